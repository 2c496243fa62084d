"""Budgets that a limits file may add to those that a modality declares. They only tighten: what is declared stays required.

What a train spends is what its modality counts: of a hold no pulses, so that none has a budget of a pulse; of pulses no
charge; thermal doses of ultrasound alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from drivers.stimulation import Modality
from safety.limit_values import BudgetName, Scope
from safety.modalities.quantities import DeclaredBudget

_HELD: Final[tuple[BudgetName, ...]] = ("on_time_s", "charge_c")
_PULSED: Final[tuple[BudgetName, ...]] = ("on_time_s", "n_pulses")
_HEATING: Final[tuple[BudgetName, ...]] = (*_PULSED, "cem43_brain_min", "cem43_bone_min", "cem43_skin_min")
_SPENT: Final[Mapping[Modality, tuple[BudgetName, ...]]] = {
    "tacs": _HELD,
    "tdcs": _HELD,
    "trns": _HELD,
    "tens": _HELD,
    "rtms": _PULSED,
    "tbs": _PULSED,
    "ctbs": _PULSED,
    "dbs": _HELD,
    "scs": _HELD,
    "drg": _HELD,
    "pns": _HELD,
    "tus": _HEATING,
}
# Own choice: a year, the charge of an implanted lead at its most for as long, more than any course has. More is a mistake
# of unit.
_MOST: Final[Mapping[BudgetName, tuple[str, float]]] = {
    "on_time_s": ("s", 31_536_000.0),
    "charge_c": ("C", 1_000_000.0),
    "n_pulses": ("pulses", 1_000_000_000.0),
    "n_sessions": ("sessions", 10_000.0),
    "cem43_brain_min": ("min at 43 C", 1_000.0),
    "cem43_bone_min": ("min at 43 C", 1_000.0),
    "cem43_skin_min": ("min at 43 C", 1_000.0),
}
_LONG: Final[tuple[Scope, ...]] = ("24h", "7d", "course")
_SUMMED: Final[tuple[Scope, ...]] = ("train", "session", *_LONG)


def addable(modality: Modality, declared: tuple[DeclaredBudget, ...]) -> tuple[DeclaredBudget, ...]:
    """What a file may add to the budgets that are `declared`, with the most that it may set each to."""
    spent = _SPENT[modality]
    pairs: list[tuple[Scope, BudgetName]] = []
    if "n_pulses" in spent:
        pairs += (("pulse", name) for name in spent if name != "n_pulses")
    pairs += ((scope, name) for scope in _SUMMED for name in spent)
    pairs += ((scope, "n_sessions") for scope in _LONG)
    known = {(each.scope, each.name) for each in declared}
    units = {each.name: each.unit for each in declared}
    return tuple(_added(scope, name, units) for scope, name in pairs if (scope, name) not in known)


def _added(scope: Scope, name: BudgetName, units: Mapping[BudgetName, str]) -> DeclaredBudget:
    unit, high = _MOST[name]
    return DeclaredBudget(
        name=name,
        scope=scope,
        unit=units.get(name, unit),
        high=high,
        integer=name in ("n_pulses", "n_sessions"),
        source="own choice: more is a mistake of unit",
        edition="1",
        status="unverified",
    )
