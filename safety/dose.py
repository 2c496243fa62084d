"""Exposure over a session; reservations. Pure.

Three sums, each only ever rising: `confirmed` by the device, `granted` by permits (a hold's overlapping leases count
once, at the greatest amplitude), and `reserved`, the blocks that are durable in ledger and store before output. A budget
is held against `reserved`: what is reserved counts as spent until the session's end, and after a crash for good. Unknown
delivery is delivery.
"""

from __future__ import annotations

import msgspec

from drivers.stimulation import Hold, Train, Value, amplitude, duration_ns
from safety.exposures import NOTHING, covers, greatest, minus, per_pulse, plus
from safety.modalities import Exposure, exposure, in_segments, ramp_down_ns

BLOCK_NS = 5_000_000_000  # outstanding is at most a train, or 5 s of a hold
# Own choice: no output rests on an older reservation, so that the store's last entry tells within this, and the longest
# that an output can lie ahead and last, when a session that crashed had its last.
MARK_NS = 60_000_000_000


class Dose(Value, frozen=True):
    """`coming` is a reservation on its way to the disk, none where `coming_after` is 0: it counts against budgets at
    once, and for permits when every entry below `coming_after` is durable. `marked_ns`: when the last durable one was
    made. `covered_ns`: until when a hold's permits reach. `pulse` is what one pulse of the last permit may spend, of a
    hold its lease; `train` what all of its output may, a pulse train or holds without a pause between them. `first_ns`
    and `last_ns`: the earliest and the latest of all output so far."""

    confirmed: Exposure = NOTHING
    granted: Exposure = NOTHING
    reserved: Exposure = NOTHING
    coming: Exposure = NOTHING
    coming_after: int = 0
    coming_ns: int = 0
    marked_ns: int = 0
    covered_ns: int = 0
    covered_amplitude: float = 0.0
    pulse: Exposure = NOTHING
    train: Exposure = NOTHING
    first_ns: int = 0
    last_ns: int = 0


def grant(
    dose: Dose,
    train: Train,
    start_ns: int,
    wait_ns: int,
    warm: Exposure = NOTHING,
    *,
    joins: bool = False,
) -> Dose:
    """The dose after a permit of `train` from `start_ns`: the union of a hold's time at the greatest amplitude.

    `wait_ns` is how much later it may start. A hold that takes over counts to the latest end that this leaves: the
    one before it may have started at once. One that stands alone lasts as long whenever it starts. `warm` is what a whole
    train spends besides, by what the limits say of the participant. `joins`: it is the next segment of the train before.
    """
    level = amplitude(train)
    over_ns = start_ns + wait_ns + duration_ns(train) + ramp_down_ns(train)
    span = dose.first_ns or start_ns, max(dose.last_ns, over_ns)
    if not isinstance(train.waveform, Hold):
        whole = plus(_whole(train), warm)
        before = dose.train if joins else NOTHING
        return _granted(dose, span, whole, before, dose.covered_ns, dose.covered_amplitude)
    zero_ns = start_ns + duration_ns(train) + train.waveform.ramp_down_ms * 1_000_000
    zero_ns += wait_ns if start_ns < dose.covered_ns else 0
    overlap_ns = max(0, min(dose.covered_ns, zero_ns) - start_ns)
    # A step down begins where the hold before it was: until it is there, it counts as that.
    joined = start_ns < dose.covered_ns + wait_ns
    reached = max(level, dose.covered_amplitude) if joined else level
    extra = exposure(train, max(0, zero_ns - max(dose.covered_ns, start_ns)), reached)
    if level > dose.covered_amplitude:
        raised = exposure(train, overlap_ns, level - dose.covered_amplitude)
        extra = plus(extra, msgspec.structs.replace(raised, on_time_s=0.0, n_pulses=0))
    # All of the covered span is now charged at `level` at least, so that a later rise is charged from here.
    before = dose.train if start_ns <= dose.covered_ns + wait_ns else NOTHING
    return _granted(dose, span, extra, before, max(dose.covered_ns, zero_ns), level)


def _granted(
    dose: Dose, span: tuple[int, int], extra: Exposure, before: Exposure, covered_ns: int, level: float
) -> Dose:
    return msgspec.structs.replace(
        dose,
        first_ns=span[0],
        last_ns=span[1],
        granted=plus(dose.granted, extra),
        pulse=per_pulse(extra),
        train=plus(before, extra),
        covered_ns=covered_ns,
        covered_amplitude=level,
    )


def settle(dose: Dose, durable: int) -> Dose:
    """Move a reservation that has reached the disk to where permits may rest on it."""
    if dose.coming_after == 0 or durable < dose.coming_after:
        return dose
    return msgspec.structs.replace(
        dose, reserved=committed(dose), marked_ns=dose.coming_ns, coming=NOTHING, coming_after=0, coming_ns=0
    )


def committed(dose: Dose) -> Exposure:
    """What counts against budgets: every reservation, durable or on its way."""
    return dose.reserved if dose.coming == NOTHING else plus(dose.reserved, dose.coming)


def is_reserved(dose: Dose, at_ns: int) -> bool:
    """Whether all that was granted rests on durable reservations, the last of them young enough for output now."""
    young = dose.marked_ns != 0 and at_ns - dose.marked_ns <= MARK_NS
    return young and covers(dose.reserved, dose.granted)


def reserve(dose: Dose, wanted: Exposure, after: int, now_ns: int) -> Dose:
    """Reserve `wanted` beyond what is reserved: it is on its way to the disk as entry `after - 1`."""
    return msgspec.structs.replace(
        dose, coming=plus(dose.coming, wanted), coming_after=after, coming_ns=now_ns
    )


def running_low(dose: Dose, train: Train, at_ns: int) -> bool:
    """Whether less than half a block, or half of its time, lies ahead of a hold, or no further segment of a train that has
    several: reserve the next before it is needed."""
    if dose.coming_after != 0:
        return False
    if not isinstance(train.waveform, Hold):
        return in_segments(train.modality) and not covers(minus(dose.reserved, dose.granted), _whole(train))
    left, half = minus(dose.reserved, dose.granted), exposure(train, BLOCK_NS // 2, amplitude(train))
    return not covers(left, half) or at_ns - dose.marked_ns > MARK_NS // 2


def needed(dose: Dose) -> Exposure:
    """What the grants need beyond what is reserved."""
    return minus(dose.granted, committed(dose))


def block(train: Train, need: Exposure, highest: float) -> Exposure:
    """What to reserve for a request that needs `need` more: a train whole, with one more where it is a segment, which must
    not wait for the disk; a hold 5 s ahead at the highest amplitude that it may be raised to meanwhile."""
    if not isinstance(train.waveform, Hold):
        return plus(need, _whole(train)) if in_segments(train.modality) else need
    return greatest(exposure(train, BLOCK_NS, max(highest, amplitude(train))), need)


def _whole(train: Train) -> Exposure:
    """What a train that ends by its number spends."""
    return exposure(train, duration_ns(train), amplitude(train))
