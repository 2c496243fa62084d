"""Currents through implanted electrodes, held and renewed: what DBS, SCS, DRG and PNS have in common.

Conventions. An amplitude is that of the first phase, never negative; shares are signed, sum to zero, and the positive
ones sum to one, so that the amplitude is the whole current. A contact carries amplitude x |share| and is judged by its
own area; the case of the pulse generator, an output of the name "case", is a way back like any other but larger. The
second phase carries the same charge back; whatever holds for a current holds for both phases. What the device can is
not what tissue can: each is asked, and the least counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from drivers.capabilities import Capabilities
from drivers.stimulation import Pulses, Train, quantities
from safety.limit_values import Limits, is_iso_date
from safety.messages import Reason
from safety.modalities import held
from safety.modalities.bounds import (
    as_float,
    check_exact,
    check_kind,
    check_value,
    device_bound,
    exact,
    is_number,
    is_plain,
    outside,
    shown,
)
from safety.modalities.contacts import check_outputs, is_share, listed
from safety.modalities.facts import dated_facts
from safety.modalities.implanted_numbers import (
    CHARGE_DENSITY,
    CONTACT_IMPEDANCE,
    DIRECT_CURRENT,
    DURATION,
    FORMULAS,
    IMBALANCE,
    INPUTS,
    RAMP_DOWN,
    RAMP_UP,
    SHANNON,
    SHARED,
    SPACING,
)
from safety.modalities.quantities import (
    Declared,
    DeclaredBudget,
    DeclaredSpacing,
    Exposure,
    Facts,
    Formula,
)
from safety.modalities.reasons import (
    DENSITY,
    FACT_MISSING,
    FACT_OUTDATED,
    REGIME,
    TIMING,
    reason,
)
from safety.modalities.rules import CASE, DeclaredContacts, ModalityRules, WrongTrain, hold_of, no_rest
from safety.modalities.shannon import charge_uc, k_of

LEAKAGE_DAYS_MAX = 366  # own choice: a device is measured at least once a year
NA_PER_UA = 1000
US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """The numbers of a carrier, exactly: each is positive, but for an amplitude and a gap that may be 0."""

    amplitude_ma: Fraction
    width_us: Fraction
    gap_us: Fraction
    second_width_us: Fraction
    rate_hz: Fraction
    per_burst: Fraction
    in_burst_hz: Fraction

    @property
    def second_ma(self) -> Fraction:
        """The amplitude of the second phase, by charge balance."""
        return self.amplitude_ma * self.width_us / self.second_width_us

    @property
    def mean_hz(self) -> Fraction:
        """Pulses per second, bursts and the time between them taken together."""
        return self.rate_hz * self.per_burst


def carried(train: Train) -> Pulses:
    """The pulses of a train whose kind was judged; raises WrongTrain."""
    carrier = hold_of(train).carrier
    if not isinstance(carrier, Pulses):
        raise WrongTrain(f"{train.modality} without pulses")
    return carrier


def phases_of(carrier: Pulses) -> Phases | None:
    """The exact numbers; None where one of them is none or has the wrong sign, and is refused as that."""
    numbers = (
        carrier.amplitude_ma,
        carrier.width_us,
        carrier.gap_us,
        carrier.second_width_us,
        carrier.rate_hz,
    )
    if not all(is_plain(number, integer=False) for number in (*numbers, carrier.rate_in_burst_hz)):
        return None
    if not is_plain(carrier.pulses_per_burst, integer=True):
        return None
    found = Phases(
        amplitude_ma=exact(carrier.amplitude_ma),
        width_us=exact(carrier.width_us),
        gap_us=exact(carrier.gap_us),
        second_width_us=exact(carrier.second_width_us),
        rate_hz=exact(carrier.rate_hz),
        per_burst=Fraction(carrier.pulses_per_burst),
        in_burst_hz=exact(carrier.rate_in_burst_hz),
    )
    positive = (found.width_us, found.second_width_us, found.rate_hz, found.per_burst, found.in_burst_hz)
    return found if min(positive) > 0 and min(found.amplitude_ma, found.gap_us) >= 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """One way of stimulating that has been studied: what is inside all of these ends belongs to it."""

    name: str
    amplitude_ma_max: float
    width_us_max: float
    rate_hz_min: float
    rate_hz_max: float
    in_burst_hz_max: float
    per_burst_max: int

    def has(self, phases: Phases) -> bool:
        """Whether pulses are of this regime, by the larger of their phases."""
        return (
            max(phases.amplitude_ma, phases.second_ma) <= exact(self.amplitude_ma_max)
            and phases.width_us <= exact(self.width_us_max)
            and exact(self.rate_hz_min) <= phases.rate_hz <= exact(self.rate_hz_max)
            and phases.in_burst_hz <= exact(self.in_burst_hz_max)
            and phases.per_burst <= self.per_burst_max
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Implanted(held.Held):
    """One place of the electrodes. `pulses`: widths and rates; `regimes`: empty where the rows say all."""

    ramp_up: Declared = RAMP_UP
    pulses: tuple[Declared, ...]
    contact_ma: Declared
    total_ma: Declared
    charge_uc: Declared
    budgets: tuple[DeclaredBudget, ...]
    contacts: DeclaredContacts
    regimes: tuple[Regime, ...] = ()
    formulas: tuple[Formula, ...] = ()
    spacing: tuple[DeclaredSpacing, ...] = SPACING
    rest_after_ns: Callable[[Exposure], int] = no_rest

    @property
    def asked(self) -> tuple[Declared, ...]:
        """What stands in the train."""
        return (self.amplitude, *self.pulses, RAMP_UP, RAMP_DOWN, DURATION)

    @property
    def quantities(self) -> tuple[Declared, ...]:
        """All that limits.toml has a row for."""
        return (*self.asked, self.slew, self.contact_ma, self.total_ma, self.charge_uc, *SHARED)

    def rules(self) -> ModalityRules:
        """The table that the core asks."""
        return ModalityRules(
            quantities=self.quantities,
            budgets=self.budgets,
            spacing=self.spacing,
            formulas=(*FORMULAS, *self.formulas),
            contacts=self.contacts,
            inputs=INPUTS,
            steady=tuple(declared.name for declared in self.pulses),
            stop="ramp",
            check=self.check,
            check_facts=check_facts,
            check_slew=self.check_slew,
            rows=self.rows,
            amplitude_ceiling=self.amplitude_ceiling,
            exposure=exposure,
            interval_after_ns=held.no_interval,
            rest_after_ns=self.rest_after_ns,
        )

    def check(self, train: Train, limits: Limits, caps: Capabilities, facts: Facts) -> tuple[Reason, ...]:
        """Every reason that refuses this hold, but for slew, which needs the output of the moment."""
        reasons = list(check_facts(limits, facts))
        wrong = check_kind(train, limits, caps)
        if wrong:
            return (*reasons, *wrong)
        numbers = quantities(train)
        for declared in self.asked:
            reasons += check_value(declared, numbers[declared.name], limits, caps)
        reasons += check_outputs(train, limits, caps)
        phases = phases_of(carried(train))
        if phases is None or len(train.outputs) > len(limits.contacts):
            return tuple(reasons)  # refused already, one number or the outputs by name
        reasons += _check_timing(phases, limits)
        reasons += self._check_regime(phases)
        reasons += self._check_second_phase(phases, limits, caps)
        reasons += self._check_tissue(train, phases, limits, caps)
        return tuple(reasons)

    def _check_regime(self, phases: Phases) -> list[Reason]:
        if not self.regimes or any(regime.has(phases) for regime in self.regimes):
            return []
        found = f"{as_float(phases.rate_hz):.6g} Hz with {as_float(phases.width_us):.6g} us"
        known = ", ".join(regime.name for regime in self.regimes)
        return [reason(REGIME, f"{found} and {as_float(phases.amplitude_ma):.6g} mA; known are {known}")]

    def _check_second_phase(self, phases: Phases, limits: Limits, caps: Capabilities) -> list[Reason]:
        """The second phase against the rows of the amplitude, the device's range, and the step that it is set in."""
        second, device, reasons = phases.second_ma, device_bound(self.amplitude, caps), []
        if second > phases.amplitude_ma:  # else the first phase says it all
            reasons += check_exact(self.amplitude, second, limits, where=" of the second phase")
            if device is not None:  # else refused already, as without a limit
                reasons += outside(self.amplitude, second, device, where=" of the second phase")
        return reasons + check_exact(IMBALANCE, imbalance(phases, self.amplitude, caps) * 100, limits)

    def _check_tissue(self, train: Train, phases: Phases, limits: Limits, caps: Capabilities) -> list[Reason]:
        """Current, charge, density and Shannon's k where each is greatest, and what flows on for ever."""
        loads, without = _loads(train, limits, self.contacts)
        reasons = []
        if without:
            detail = f"an area of {listed(without)} of {self.contacts.area_low_cm2:g} cm2 or more"
            reasons.append(reason(FACT_MISSING, detail, quantity="area_cm2"))
        highest_ma, charge = (
            max(phases.amplitude_ma, phases.second_ma),
            charge_uc(phases.amplitude_ma, phases.width_us),
        )
        reasons += check_exact(self.total_ma, highest_ma, limits)
        share, name = max(
            ((load.share, load.name) for load in loads if load.name != CASE), default=(Fraction(0), "")
        )
        reasons += check_exact(self.contact_ma, share * highest_ma, limits, where=f" of {shown(name)}")
        share, name = max(((load.share, load.name) for load in loads), default=(Fraction(0), ""))
        reasons += check_exact(self.charge_uc, share * charge, limits, where=f" of {shown(name)}")
        if loads:
            per_area, name = max((load.share / load.area_cm2, load.name) for load in loads)
            where = f" at {shown(name)}"
            reasons += check_exact(CHARGE_DENSITY, per_area * charge, limits, code=DENSITY, where=where)
            worst = max(loads, key=lambda load: load.share**2 / load.area_cm2)
            k = k_of(worst.share * charge, worst.area_cm2)
            reasons += check_exact(SHANNON, k, limits, code=DENSITY, where=f" at {shown(worst.name)}")
        leakage = limits.inputs.leakage_na
        if not is_number(leakage, integer=False):
            return reasons  # refused already, as a missing fact
        left_na = share * charge * NA_PER_UA * imbalance(phases, self.amplitude, caps) * phases.mean_hz
        return reasons + check_exact(DIRECT_CURRENT, abs(exact(leakage)) + left_na, limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    """What part of the amplitude a contact carries, and its area."""

    name: str
    share: Fraction
    area_cm2: Fraction


def _loads(train: Train, limits: Limits, declared: DeclaredContacts) -> tuple[list[_Load], list[str]]:
    """Every contact that carries a part, and the names of those whose area cannot be judged by."""
    loads: list[_Load] = []
    without: list[str] = []
    for output in train.outputs:
        contact = limits.contact(output.name)
        if contact is None or not is_share(output.share):
            continue  # refused already, as outputs
        area = contact.area_cm2
        if is_number(area, integer=False) and declared.takes_area(output.name, area):
            loads.append(_Load(name=output.name, share=abs(exact(output.share)), area_cm2=exact(area)))
        else:
            without.append(output.name)
    return loads, without


def imbalance(phases: Phases, declared: Declared, caps: Capabilities) -> Fraction:
    """How far the second phase may be off, as a part of itself, where the device can set it in steps only.

    On a step, to one part in 10^9, it is exact; else the device may round either way, and the farther step counts.
    """
    envelope = caps.envelopes.get(declared.name)
    step = envelope.step if envelope is not None and is_number(envelope.step, integer=False) else 0.0
    if step <= 0:
        return Fraction(0)
    steps = phases.second_ma / exact(step)
    off = abs(steps - round(steps))
    return Fraction(0) if off <= steps / 10**9 else max(off, 1 - off) / steps


def _check_timing(phases: Phases, limits: Limits) -> list[Reason]:
    """Both phases, the gap and the recharge fit between two pulses, and a burst between two bursts."""
    recharge = limits.inputs.recharge_us
    reasons = []
    if is_number(recharge, integer=False):  # else refused already, as a missing fact
        used_us = phases.width_us + phases.gap_us + phases.second_width_us + exact(recharge)
        reasons += _fits("phases, gap and recharge", used_us, US_PER_S / phases.in_burst_hz)
    return reasons + _fits(
        "a burst", US_PER_S * phases.per_burst / phases.in_burst_hz, US_PER_S / phases.rate_hz
    )


def _fits(what: str, used_us: Fraction, period_us: Fraction) -> list[Reason]:
    if used_us <= period_us:
        return []
    used, period = as_float(used_us), as_float(period_us)
    detail = f"{what} take {used:.10g} us, there are {period:.10g}"
    return [reason(TIMING, detail, quantity="rate_in_burst_hz", value=used, limit=period)]


def check_facts(limits: Limits, facts: Facts) -> tuple[Reason, ...]:
    """The dated facts, the device's own leakage and recharge, and the contact impedance of this moment."""
    return (
        dated_facts(limits, facts)
        + _device_facts(limits, facts)
        + held.check_impedance(CONTACT_IMPEDANCE, limits, facts)
    )


def _device_facts(limits: Limits, facts: Facts) -> tuple[Reason, ...]:
    reasons = []
    inputs = limits.inputs
    for name, value in (("leakage_na", inputs.leakage_na), ("recharge_us", inputs.recharge_us)):
        if not (is_number(value, integer=False) and value >= 0):
            reasons.append(reason(FACT_MISSING, f"the device's {name}, as measured", quantity=name))
    measured_on = inputs.leakage_measured_on
    if not is_iso_date(measured_on):
        reasons.append(reason(FACT_MISSING, "the day of leakage_na", quantity="leakage_measured_on"))
    elif is_iso_date(facts.today):
        days = (date.fromisoformat(facts.today) - date.fromisoformat(measured_on)).days
        if not 0 <= days <= LEAKAGE_DAYS_MAX:
            detail = f"leakage_na is of {measured_on}, expected at most {LEAKAGE_DAYS_MAX} days before {facts.today}"
            reasons.append(reason(FACT_OUTDATED, detail, quantity="leakage_measured_on"))
    return tuple(reasons)


def exposure(train: Train, span_ns: int, reached: float) -> Exposure:
    """Time and charge of the first phases in a span; an impossible span counts as the lease, an impossible amplitude
    as asked."""
    phases = phases_of(carried(train))
    flowing = Fraction(1) if phases is None else phases.width_us * phases.mean_hz / US_PER_S  # of the time
    return held.spent(train, span_ns, reached, flowing)
