"""What counts against each budget at the end of a ledger: earlier sessions of the participant, and this one. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from controller.finished.ledger import BROKEN
from controller.ledger_report.reading import Material
from safety.events import Now
from safety.limit_values import Budget
from safety.windows import NO_SESSION, budgets_in_force, total_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseLine:
    """One budget. NaN: not known, or not a sum (a budget of a pulse or a train begins anew with each).

    `earlier`: what the participant's earlier sessions count; `reserved` of this session counts as spent.
    """

    budget: Budget
    earlier: float
    confirmed: float
    permitted: float
    reserved: float

    @property
    def total(self) -> float:
        """What counts at the end of this ledger."""
        return self.earlier + self.reserved

    @property
    def share(self) -> float:
        """The total as a part of the budget; NaN without a budget."""
        return self.total / self.budget.high if self.budget.high > 0 else math.nan

    @property
    def beyond(self) -> bool:
        """Whether the budget was overrun."""
        return self.total > self.budget.high


def doses_of(material: Material) -> tuple[DoseLine, ...]:
    """Every budget in force, those of the file first."""
    entries = material.entries
    now = entries[-1].now if entries else material.genesis.now
    return tuple(_line(material, budget, now) for budget in budgets_in_force(material.genesis.rules.limits))


def _line(material: Material, budget: Budget, now: Now) -> DoseLine:
    sums = (math.nan,) * 3
    if budget.scope not in ("pulse", "train", "in_a_row"):
        sums = _own(material, budget.name)
    return DoseLine(
        budget=budget,
        earlier=_earlier(material, budget, now),
        confirmed=sums[0],
        permitted=sums[1],
        reserved=0.0 if budget.scope == "in_a_row" else sums[2],
    )


def _earlier(material: Material, budget: Budget, now: Now) -> float:
    if budget.scope in ("pulse", "train"):
        return math.nan
    if budget.scope == "session":
        return 0.0
    rules = material.genesis.rules
    try:
        total = total_of(budget, rules.limits.modality, rules.history, NO_SESSION, now)
        return math.nan if total is None else float(total)
    except BROKEN:
        return math.nan


def _own(material: Material, name: str) -> tuple[float, float, float]:
    """Confirmed, permitted and reserved of this session; NaN where the decisions could not be reproduced."""
    course = material.ledger.dose
    if not course:
        return (math.nan,) * 3
    last = course[-1]
    confirmed, permitted, reserved = (
        each.get(name, math.nan) for each in (last.confirmed, last.permitted, last.reserved)
    )
    return confirmed, permitted, reserved
