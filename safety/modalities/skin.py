"""Currents through electrodes on the skin, held and renewed: what tACS, tDCS, tRNS and TENS have in common.

Conventions. A contact carries amplitude x |share|: shares are signed, sum to zero, and the positive ones sum to one,
so that the amplitude is the whole current. Density is a current / contact area, charge a current x time; which part of
the amplitude counts for each is said by the kind of current, toward more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from operator import eq

from drivers.capabilities import Capabilities
from drivers.stimulation import Train, amplitude, quantities
from safety.limit_values import Limits
from safety.messages import Reason
from safety.modalities import held
from safety.modalities.bounds import (
    check_exact,
    check_kind,
    check_value,
    exact,
    is_number,
    shown,
)
from safety.modalities.contacts import Shares, check_outputs, is_share, listed, shares_of
from safety.modalities.facts import dated_facts
from safety.modalities.quantities import Declared, DeclaredBudget, DeclaredSpacing, Exposure, Facts
from safety.modalities.reasons import DENSITY, FACT_MISSING, reason
from safety.modalities.rules import DeclaredContacts, DeclaredInput, ModalityRules, WrongTrain
from safety.modalities.tes_numbers import (
    BUDGETS,
    CONTACT_IMPEDANCE,
    CONTACTS,
    CURRENT_DENSITY,
    RAMP_UP,
    SPACING,
)
from safety.remembering import Remembered


def nothing_else(train: Train, limits: Limits) -> list[Reason]:
    """A current that has no limit of its own kind."""
    return []


def check_facts(limits: Limits, facts: Facts) -> tuple[Reason, ...]:
    """The dated facts, and the contact impedance of this moment."""
    return dated_facts(limits, facts) + held.check_impedance(CONTACT_IMPEDANCE, limits, facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCurrent(held.Held):
    """One kind of held current. `charging` and `dense`: the mA of a mA of its amplitude that count for charge and for
    density, None where the train's own numbers are none. `facts`: what must hold today. `also`: what refuses it beyond
    what all of them share."""

    asked: tuple[Declared, ...]
    ramp_up: Declared = RAMP_UP
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
            interval_after_ns=held.no_interval,
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
        reasons += check_outputs(train, limits, caps)
        if len(train.outputs) > len(limits.contacts):
            return tuple(reasons)  # refused already, before any of them costs time
        reasons += self._check_density(train, limits)
        reasons += self.also(train, limits)
        return tuple(reasons)

    def exposure(self, train: Train, span_ns: int, reached: float) -> Exposure:
        """Time and charge of a span; an impossible span counts as the lease, an impossible amplitude as asked."""
        part = self.charging(train)
        if part is None:
            raise WrongTrain(f"{train.modality} with numbers that are none")
        return held.spent(train, span_ns, reached, part)

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


Loads = tuple[list[tuple[Fraction, str]], list[str]]


def per_area(train: Train, limits: Limits) -> Loads:
    """The |share| / cm2 of each contact that has a share and an area, and the names of those without an area."""
    return _loads(limits, shares_of(train))


def _loads_of(limits: Limits, outputs: Shares) -> Loads:
    shares: list[tuple[Fraction, str]] = []
    without: list[str] = []
    for name, share, _ in outputs:
        contact = limits.contact(name)
        if contact is None or not is_share(share):
            continue  # refused already, as outputs
        area = contact.area_cm2
        if is_number(area, integer=False) and area > 0:
            shares.append((abs(exact(share)) / exact(area), name))
        else:
            without.append(name)
    return shares, without


_loads = Remembered(_loads_of, eq)
