"""What a modality declares of each of its numbers: unit, absolute bounds, source, and which way is down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from drivers.stimulation import Value
from safety.limit_values import BudgetName, Scope, SpacingName, Status

Sides = Literal["max", "min", "both"]
Down = Literal["less", "same"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One quantity. `low` and `high` are the absolute bounds, inclusive, that no file can widen.

    `sides`: which of min and max a row of limits.toml gives. `asked`: it stands in the train, so the device
    has an envelope for it; else it is computed. `down`: how an asked one may change in a step down ("less":
    fall or stay).
    """

    name: str
    unit: str
    low: float
    high: float
    sides: Sides
    integer: bool
    asked: bool
    down: Down
    source: str
    edition: str
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredBudget:
    """One budget in one scope, and the most that any file may set it to: limits.toml must have its row."""

    name: BudgetName
    scope: Scope
    unit: str
    high: float
    integer: bool
    source: str
    edition: str
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredSpacing:
    """One time without output before a session, and the least that any file may set it to, both in s."""

    name: SpacingName
    low: float
    source: str
    edition: str
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """A tissue formula or table in code, named so that an unverified one can be told from the others."""

    name: str
    source: str
    edition: str
    status: Status


class Facts(Value, frozen=True):
    """What is known when it is asked and stands in no file. `today` is an ISO date, local to the site."""

    today: str
    impedance_kohm: float | None


class Exposure(Value, frozen=True):
    """What a delivery spends of the budgets, rounded up."""

    on_time_s: float
    charge_c: float
    n_pulses: int
    cem43_brain_min: float = 0.0
    cem43_bone_min: float = 0.0
    cem43_skin_min: float = 0.0
