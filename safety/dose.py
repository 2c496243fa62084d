"""Exposure over a session; reservations. Pure.

Three sums, each only ever rising: `confirmed` by the device, `granted` by permits (a hold's overlapping leases count
once, at the greatest amplitude), and `reserved`, the blocks that are durable in the ledger before output. A budget is
held against `reserved`: what is reserved counts as spent until the session's end. Unknown delivery is delivery.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from drivers.stimulation import Hold, Train, Value, amplitude, duration_ns
from safety.limit_values import Budget, BudgetName, Limits
from safety.modalities import Exposure, exposure

BLOCK_NS = 5_000_000_000  # outstanding is at most a train, or 5 s of a hold (design section 4)


NOTHING = Exposure(on_time_s=0.0, charge_c=0.0, n_pulses=0)


class Dose(Value, frozen=True):
    """`coming` is a reservation whose entry is on its way to the disk: it counts against budgets at once, and for
    permits when every entry below `coming_after` is durable. `covered_ns`: until when a hold's permits reach."""

    confirmed: Exposure = NOTHING
    granted: Exposure = NOTHING
    reserved: Exposure = NOTHING
    coming: Exposure = NOTHING
    coming_after: int = 0
    covered_ns: int = 0
    covered_amplitude: float = 0.0


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


def over_budget(limits: Limits, spent: Exposure) -> tuple[tuple[Budget, float], ...]:
    """Each budget that `spent` exceeds, with the sum. A sum that is not a number exceeds every budget."""
    return tuple(
        (b, spent_of(spent, b.name))
        for b in limits.budgets
        if b.scope == "session" and not spent_of(spent, b.name) <= b.high
    )


def spent_of(spent: Exposure, name: BudgetName) -> float:
    """An exposure in the quantity of one budget."""
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


def grant(dose: Dose, train: Train, start_ns: int, wait_ns: int, warm: Exposure = NOTHING) -> Dose:
    """The dose after a permit of `train` from `start_ns`: the union of a hold's time at the greatest amplitude.

    `wait_ns` is how much later it may start. A hold that takes over counts to the latest end that this leaves: the
    one before it may have started at once. One that stands alone lasts as long whenever it starts. `warm` is what a whole
    train spends besides, by what the limits say of the participant.
    """
    level = amplitude(train)
    if not isinstance(train.waveform, Hold):
        whole = plus(exposure(train, duration_ns(train), level), warm)
        return _granted(dose, whole, dose.covered_ns, dose.covered_amplitude)
    zero_ns = start_ns + duration_ns(train) + train.waveform.ramp_down_ms * 1_000_000
    zero_ns += wait_ns if start_ns < dose.covered_ns else 0
    overlap_ns = max(0, min(dose.covered_ns, zero_ns) - start_ns)
    # A step down begins where the hold before it was: until it is there, it counts as that.
    falling = start_ns < dose.covered_ns + wait_ns and dose.covered_amplitude > level
    extra = exposure(
        train,
        max(0, zero_ns - max(dose.covered_ns, start_ns)),
        dose.covered_amplitude if falling else level,
    )
    if level > dose.covered_amplitude and overlap_ns > 0:
        raised = exposure(train, overlap_ns, level - dose.covered_amplitude)
        extra = plus(extra, Exposure(on_time_s=0.0, charge_c=raised.charge_c, n_pulses=0))
    # All of the covered span is now charged at `level` at least, so that a later rise is charged from here.
    return _granted(dose, extra, max(dose.covered_ns, zero_ns), level)


def _granted(dose: Dose, extra: Exposure, covered_ns: int, level: float) -> Dose:
    return msgspec.structs.replace(
        dose, granted=plus(dose.granted, extra), covered_ns=covered_ns, covered_amplitude=level
    )


def settle(dose: Dose, durable: int) -> Dose:
    """Move a reservation that has reached the disk to where permits may rest on it."""
    if dose.coming == NOTHING or durable < dose.coming_after:
        return dose
    return msgspec.structs.replace(dose, reserved=plus(dose.reserved, dose.coming), coming=NOTHING)


def reserve(
    limits: Limits, dose: Dose, train: Train, highest: float, after: int
) -> Dose | tuple[tuple[Budget, float], ...]:
    """Reserve what the grants need beyond what is reserved: a block ahead where the budget has room for it, else
    just the need; or the budgets that would be exceeded."""
    committed = plus(dose.reserved, dose.coming)
    need = minus(dose.granted, committed)
    for wanted in (block(train, need, highest), need):
        exceeded = over_budget(limits, plus(committed, wanted))
        if not exceeded:
            return msgspec.structs.replace(dose, coming=plus(dose.coming, wanted), coming_after=after)
    return exceeded


def running_low(dose: Dose, train: Train) -> bool:
    """Whether less than half a block lies ahead of a hold: time to reserve the next, before it is needed."""
    if not isinstance(train.waveform, Hold) or dose.coming != NOTHING:
        return False
    left, half = minus(dose.reserved, dose.granted), exposure(train, BLOCK_NS // 2, amplitude(train))
    return left.on_time_s < half.on_time_s or left.charge_c < half.charge_c


def block(train: Train, need: Exposure, highest: float) -> Exposure:
    """What to reserve for a request that needs `need` more: a train whole, a hold 5 s ahead at the highest amplitude
    that it may be raised to meanwhile, so that a rise need not wait for the disk."""
    if not isinstance(train.waveform, Hold):
        return need
    ahead = exposure(train, BLOCK_NS, max(highest, amplitude(train)))
    return Exposure(
        on_time_s=max(ahead.on_time_s, need.on_time_s),
        charge_c=max(ahead.charge_c, need.charge_c),
        n_pulses=max(ahead.n_pulses, need.n_pulses),
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
