"""Currents through electrodes on the skin, held and renewed: what tACS, tDCS, tRNS and TENS have in common.

Conventions. A contact carries amplitude x |share|: shares are signed, sum to zero, and the positive ones sum to one,
so that the amplitude is the whole current. Density is a current / contact area, charge a current x time; which part of
the amplitude counts for each is said by the kind of current, toward more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from drivers.capabilities import Capabilities
from drivers.stimulation import Hold, Train, amplitude, is_whole, quantities
from safety.limit_values import Limits
from safety.messages import Reason, Row
from safety.modalities.bounds import (
    as_float,
    check_exact,
    check_kind,
    check_value,
    effective_rows,
    exact,
    is_number,
    layers,
    not_a_number,
    shown,
    waveform_of,
)
from safety.modalities.facts import dated_facts
from safety.modalities.quantities import Declared, DeclaredBudget, DeclaredSpacing, Exposure, Facts
from safety.modalities.reasons import DENSITY, FACT_MISSING, IMPEDANCE, OUTPUTS, SLEW, WRONG_KIND, reason
from safety.modalities.rules import DeclaredContacts, DeclaredInput, ModalityRules, WrongTrain, hold_of
from safety.modalities.tes_numbers import (
    BUDGETS,
    CONTACT_IMPEDANCE,
    CONTACTS,
    CURRENT_DENSITY,
    DURATION,
    RAMP_DOWN,
    RAMP_UP,
    SPACING,
)

SHARE_TOLERANCE = Fraction(1, 10**9)


def nothing_else(train: Train, limits: Limits) -> list[Reason]:
    """A current that has no limit of its own kind."""
    return []


def check_facts(limits: Limits, facts: Facts) -> tuple[Reason, ...]:
    """The dated facts, and the contact impedance of this moment."""
    return dated_facts(limits, facts) + check_impedance(limits, facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCurrent:
    """One kind of held current. `charging` and `dense`: the mA of a mA of its amplitude that count for charge and for
    density, None where the train's own numbers are none. `facts`: what must hold today. `also`: what refuses it beyond
    what all of them share."""

    amplitude: Declared
    asked: tuple[Declared, ...]
    slew: Declared
    charging: Callable[[Train], Fraction | None]
    dense: Callable[[Train], Fraction | None]
    density: Declared = CURRENT_DENSITY
    derived: tuple[Declared, ...] = ()
    budgets: tuple[DeclaredBudget, ...] = BUDGETS
    spacing: tuple[DeclaredSpacing, ...] = SPACING
    contacts: DeclaredContacts = CONTACTS
    inputs: tuple[DeclaredInput, ...] = ()
    steady: tuple[str, ...] = ()
    facts: Callable[[Limits, Facts], tuple[Reason, ...]] = check_facts
    also: Callable[[Train, Limits], list[Reason]] = nothing_else

    @property
    def quantities(self) -> tuple[Declared, ...]:
        """All that limits.toml has a row for."""
        return (*self.asked, self.slew, CONTACT_IMPEDANCE, self.density, *self.derived)

    def rules(self) -> ModalityRules:
        """The table that the core asks."""
        return ModalityRules(
            quantities=self.quantities,
            budgets=self.budgets,
            spacing=self.spacing,
            formulas=(),
            contacts=self.contacts,
            inputs=self.inputs,
            steady=self.steady,
            stop="ramp",
            check=self.check,
            check_facts=self.facts,
            check_slew=self.check_slew,
            rows=self.rows,
            amplitude_ceiling=self.amplitude_ceiling,
            exposure=self.exposure,
            ramp_down_max_ns=ramp_down_max_ns,
            interval_after_ns=_no_interval,
        )

    def check(self, train: Train, limits: Limits, caps: Capabilities, facts: Facts) -> tuple[Reason, ...]:
        """Every reason that refuses this hold, but for slew, which needs the output of the moment."""
        reasons = list(self.facts(limits, facts))
        wrong = check_kind(train, limits, caps)
        if wrong:
            return (*reasons, *wrong)
        asked = quantities(train)
        for declared in self.asked:
            reasons += check_value(declared, asked[declared.name], limits, caps)
        if len(train.outputs) > len(limits.contacts):  # before any of them costs time
            detail = f"{len(train.outputs)} outputs, limits.toml has {len(limits.contacts)} contacts"
            return (*reasons, reason(OUTPUTS, detail, set_by="protocol"))
        reasons += _check_outputs(train, limits, caps)
        reasons += self._check_density(train, limits)
        reasons += self.also(train, limits)
        return tuple(reasons)

    def check_slew(self, train: Train, amplitude_now: float, limits: Limits) -> tuple[Reason, ...]:
        """The rise from the present amplitude over the ramp; an output that cannot be told counts as zero."""
        wave = train.waveform
        if not (is_whole(train) and isinstance(wave, Hold)):
            return (reason(WRONG_KIND, f"{waveform_of(train)}, expected a hold of {limits.modality}"),)
        asked, ramp_ms = amplitude(train), wave.ramp_up_ms
        if not is_number(asked, integer=False):
            return (not_a_number(self.amplitude, asked),)
        if not (is_number(ramp_ms, integer=True) and ramp_ms > 0):
            return (not_a_number(RAMP_UP, ramp_ms),)
        rise = exact(asked) - _present(amplitude_now)
        if rise <= 0:
            return ()
        slew = rise * 1000 / Fraction(ramp_ms)
        return tuple(check_exact(self.slew, slew, limits, code=SLEW, where=f" over {ramp_ms} ms"))

    def rows(self, limits: Limits, caps: Capabilities) -> tuple[Row, ...]:
        """The least of all layers, quantity by quantity."""
        return effective_rows(self.quantities, limits, caps)

    def amplitude_ceiling(self, rows: tuple[Row, ...], amplitude_now: float, ramp_up_ms: int) -> float:
        """The highest amplitude that the limits and one ramp of `ramp_up_ms` from here would reach.

        Where nothing runs yet (0 ms), the ramp is taken as long as the limits and the lease let it be.
        """
        high = {row.quantity: row.high for row in rows}
        ramp_ms = (
            Fraction(ramp_up_ms) if ramp_up_ms > 0 else exact(min(high[RAMP_UP.name], high[DURATION.name]))
        )
        reach = _present(amplitude_now) + exact(high[self.slew.name]) * ramp_ms / 1000
        highest = min(reach, exact(high[self.amplitude.name]))
        return floor(highest * 1_000_000) / 1_000_000  # whole nA: never above the exact value

    def exposure(self, train: Train, span_ns: int, reached: float) -> Exposure:
        """Time and charge of a span; an impossible span counts as the lease, an impossible amplitude as asked."""
        wave, part = hold_of(train), self.charging(train)
        if part is None:
            raise WrongTrain(f"{train.modality} with numbers that are none")
        span = span_ns if span_ns >= 0 else (wave.duration_ms + wave.ramp_down_ms) * 1_000_000
        known = is_number(reached, integer=False) and reached >= 0
        level = exact(reached if known else amplitude(train))
        charge_nc = -floor(-(level * part * span / 1000))  # mA x ns / 1000 = nC
        return Exposure(
            on_time_s=-(-span // 1000) / 1_000_000, charge_c=charge_nc / 1_000_000_000, n_pulses=0
        )

    def _check_density(self, train: Train, limits: Limits) -> list[Reason]:
        """Current over area where it is greatest; a contact without an area has no density that could pass."""
        level, part = amplitude(train), self.dense(train)
        if part is None or not is_number(level, integer=False):
            return []  # refused already, as not a number
        counted_ma = abs(exact(level)) * part
        shares, without = per_area(train, limits)
        reasons = (
            [reason(FACT_MISSING, f"the area of {listed(without)}", quantity="area_cm2")] if without else []
        )
        if shares:
            greatest, name = max(shares)
            where = f" under {shown(name)}"
            reasons += check_exact(self.density, counted_ma * greatest, limits, code=DENSITY, where=where)
        return reasons


def per_area(train: Train, limits: Limits) -> tuple[list[tuple[Fraction, str]], list[str]]:
    """The |share| / cm2 of each contact that has a share and an area, and the names of those without an area."""
    shares: list[tuple[Fraction, str]] = []
    without: list[str] = []
    for output in train.outputs:
        contact = limits.contact(output.name)
        if contact is None or not _is_share(output.share):
            continue  # refused already, as outputs
        area = contact.area_cm2
        if area is not None and is_number(area, integer=False) and area > 0:
            shares.append((abs(exact(output.share)) / exact(area), output.name))
        else:
            without.append(output.name)
    return shares, without


def check_impedance(limits: Limits, facts: Facts) -> tuple[Reason, ...]:
    """The measured contact impedance against every layer; unmeasured is a missing fact."""
    value = facts.impedance_kohm
    if value is None:
        return (reason(FACT_MISSING, "the contact impedance", quantity=CONTACT_IMPEDANCE.name),)
    if not is_number(value, integer=False):
        return (not_a_number(CONTACT_IMPEDANCE, value),)
    return tuple(check_exact(CONTACT_IMPEDANCE, exact(value), limits, code=IMPEDANCE))


def ramp_down_max_ns(limits: Limits) -> int:
    """The longest ramp down that the layers leave."""
    return floor(min(bound.high for bound in layers(RAMP_DOWN, limits)) * 1_000_000)


def _present(amplitude_now: float) -> Fraction:
    known = is_number(amplitude_now, integer=False) and amplitude_now >= 0
    return exact(amplitude_now) if known else Fraction(0)


def _check_outputs(train: Train, limits: Limits, caps: Capabilities) -> list[Reason]:
    """Each contact known to the file and to the device, named once, with a share; shares that balance."""
    names = [output.name for output in train.outputs]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    unlisted = [name for name in dict.fromkeys(names) if limits.contact(name) is None]
    unplugged = [name for name in dict.fromkeys(names) if name not in caps.outputs]
    unshared = [output.name for output in train.outputs if not _is_share(output.share)]
    reasons = [
        reason(OUTPUTS, f"{what}: {listed(wrong)}", set_by=set_by)
        for what, wrong, set_by in (
            ("named more than once", twice, ""),
            ("not in limits.toml", unlisted, "protocol"),
            ("not on the device", unplugged, "device"),
            ("share is 0 or no number", unshared, ""),
        )
        if wrong
    ]
    return reasons if unshared else reasons + _check_balance(train)


def _check_balance(train: Train) -> list[Reason]:
    """The shares sum to zero, and what goes in is the whole amplitude."""
    reasons = []
    shares = [exact(output.share) for output in train.outputs]
    balance = sum(shares, Fraction(0))
    if not abs(balance) <= SHARE_TOLERANCE:
        text = f"shares sum to {as_float(balance):.10g}, expected 0"
        reasons.append(reason(OUTPUTS, text, value=as_float(balance)))
    total = sum((share for share in shares if share > 0), Fraction(0))
    if not abs(total - 1) <= SHARE_TOLERANCE:
        text = f"positive shares sum to {as_float(total):.10g}, expected 1"
        reasons.append(reason(OUTPUTS, text, value=as_float(total), limit=1.0))
    return reasons


def listed(names: list[str]) -> str:
    """A few of the names on one short line."""
    return ", ".join(shown(name) for name in names[:4]) + (
        f" and {len(names) - 4} more" if len(names) > 4 else ""
    )


def _is_share(share: float) -> bool:
    return is_number(share, integer=False) and share != 0


def _no_interval(train: Train, limits: Limits) -> int:
    """A hold is renewed."""
    return 0
