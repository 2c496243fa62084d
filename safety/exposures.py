"""Sums of what was spent, quantity by quantity. Pure."""

from __future__ import annotations

from typing import assert_never

from safety.limit_values import BudgetName
from safety.modalities import Exposure

NOTHING = Exposure(on_time_s=0.0, charge_c=0.0, n_pulses=0)


def plus(a: Exposure, b: Exposure) -> Exposure:
    """The sum, quantity by quantity."""
    return Exposure(
        on_time_s=a.on_time_s + b.on_time_s,
        charge_c=a.charge_c + b.charge_c,
        n_pulses=a.n_pulses + b.n_pulses,
        cem43_brain_min=a.cem43_brain_min + b.cem43_brain_min,
        cem43_bone_min=a.cem43_bone_min + b.cem43_bone_min,
        cem43_skin_min=a.cem43_skin_min + b.cem43_skin_min,
    )


def minus(a: Exposure, b: Exposure) -> Exposure:
    """What of `a` goes beyond `b`, never below zero."""
    return Exposure(
        on_time_s=max(0.0, a.on_time_s - b.on_time_s),
        charge_c=max(0.0, a.charge_c - b.charge_c),
        n_pulses=max(0, a.n_pulses - b.n_pulses),
        cem43_brain_min=max(0.0, a.cem43_brain_min - b.cem43_brain_min),
        cem43_bone_min=max(0.0, a.cem43_bone_min - b.cem43_bone_min),
        cem43_skin_min=max(0.0, a.cem43_skin_min - b.cem43_skin_min),
    )


def greatest(a: Exposure, b: Exposure) -> Exposure:
    """The greater of each quantity."""
    return Exposure(
        on_time_s=max(a.on_time_s, b.on_time_s),
        charge_c=max(a.charge_c, b.charge_c),
        n_pulses=max(a.n_pulses, b.n_pulses),
        cem43_brain_min=max(a.cem43_brain_min, b.cem43_brain_min),
        cem43_bone_min=max(a.cem43_bone_min, b.cem43_bone_min),
        cem43_skin_min=max(a.cem43_skin_min, b.cem43_skin_min),
    )


def covers(have: Exposure, need: Exposure) -> bool:
    """Whether `have` is at least `need` in every quantity."""
    return (
        have.on_time_s >= need.on_time_s
        and have.charge_c >= need.charge_c
        and have.n_pulses >= need.n_pulses
        and have.cem43_brain_min >= need.cem43_brain_min
        and have.cem43_bone_min >= need.cem43_bone_min
        and have.cem43_skin_min >= need.cem43_skin_min
    )


def spent_of(spent: Exposure, name: BudgetName) -> float:
    """An exposure in the quantity of one budget; a session that spent anything is one session, on one day at least."""
    match name:
        case "on_time_s":
            return spent.on_time_s
        case "charge_c":
            return spent.charge_c
        case "n_pulses":
            return float(spent.n_pulses)
        case "cem43_brain_min":
            return spent.cem43_brain_min
        case "cem43_bone_min":
            return spent.cem43_bone_min
        case "cem43_skin_min":
            return spent.cem43_skin_min
        case "n_sessions" | "n_days":
            return float(spent != NOTHING)
        case _:
            assert_never(name)


def per_pulse(spent: Exposure) -> Exposure:
    """What one pulse of a train spends; of an output without pulses, all of it."""
    count = spent.n_pulses
    if count == 0:
        return spent
    return Exposure(
        on_time_s=spent.on_time_s / count,
        charge_c=spent.charge_c / count,
        n_pulses=1,
        cem43_brain_min=spent.cem43_brain_min / count,
        cem43_bone_min=spent.cem43_bone_min / count,
        cem43_skin_min=spent.cem43_skin_min / count,
    )
