"""When things happened, by the ledger's own clocks: time to zero of each stop, gaps in the log, steps of clocks. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from controller.finished.ledger import is_trip, trip_of
from controller.finished.values import Slice
from controller.ledger_report.facts import seconds
from drivers.link import Status
from safety.entries import Entry, Genesis
from safety.entry_words import event_words
from safety.events import HostSaid, Now, RelaySaid, Tick

TICK_NS: Final = 10_000_000  # the interlock's own clock
GAP_NS: Final = 100_000_000  # own choice: ten ticks, as long as the relay's silence
GAP_PART: Final = 20  # own choice: a busy machine leaves out single ticks, one in twenty is no gap
STEP_NS: Final = 50_000_000  # own choice: far above what a clock is slewed by between two entries


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLine:
    """One way to zero. Times are ms from the decision, NaN where the ledger does not tell.

    `output`: what came out by the device's last word before it; `ended_ms`: the end of the last output that the
    device told; `zero_ms`: when it confirmed idle at zero; `relay_ms`: when the relay was seen open.
    """

    at_s: float
    why: str
    code: str
    output: float
    ended_ms: float
    zero_ms: float
    relay_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A span in which the interlock's own ticks are missing: `ticks` of `expected` were taken."""

    at_s: float
    span_s: float
    ticks: int
    expected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """Between two entries one clock moved against the monotonic one."""

    at_s: float
    clock: str
    step_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """What the clocks did over the whole ledger. Drifts are against the monotonic clock, over the whole span;
    `wall_drift_ms` at the mono ns of each entry."""

    span_s: float
    wall_drift_s: float
    boot_drift_s: float
    steps: tuple[ClockStep, ...]
    wall_drift_ms: tuple[tuple[int, float], ...]


def stops_of(genesis: Genesis, entries: Sequence[Entry], slices: Sequence[Slice]) -> tuple[StopLine, ...]:
    """Every entry that sent a stop, and how it came to zero. A second stop before zero is a line of its own."""
    found = []
    for n, entry in enumerate(entries):
        if any(effect.startswith("device StopDevice ") for effect in entry.effects):
            found.append(_stop(genesis, entries, n, slices))
    return tuple(found)


def _stop(genesis: Genesis, entries: Sequence[Entry], n: int, slices: Sequence[Slice]) -> StopLine:
    entry = entries[n]
    code, why = "", event_words(entry.event)
    for effect in entry.effects:
        if is_trip(effect):
            code, why = trip_of(effect)
    at_ns = entry.now.mono_ns
    ended = [
        each.end_ns
        for each in slices
        if each.amplitude > 0 and each.end_ns > at_ns and _told_near(each, at_ns)
    ]
    line = StopLine(
        at_s=seconds(at_ns, genesis),
        why=why,
        code=code,
        output=_output_before(entries[: n + 1]),
        ended_ms=_ms(max(ended) - at_ns) if ended else math.nan,
        zero_ms=math.nan,
        relay_ms=math.nan,
    )
    for later in entries[n + 1 :]:
        took_ms = _ms(later.now.mono_ns - at_ns)
        match later.event:
            case HostSaid(message=Status(status=status)) if status.state == "idle" and status.amplitude == 0:
                line = replace(line, zero_ms=took_ms) if math.isnan(line.zero_ms) else line
            case RelaySaid(closed=False):
                line = replace(line, relay_ms=took_ms) if math.isnan(line.relay_ms) else line
            case _:
                pass
        if math.isfinite(line.zero_ms) and math.isfinite(line.relay_ms):
            break
    return line


def _told_near(given: Slice, at_ns: int) -> bool:
    """Output of the time of this stop: no stop takes ten seconds."""
    return given.start_ns <= at_ns + 10_000_000_000


def _output_before(entries: Sequence[Entry]) -> float:
    """What came out by the device's newest status: those that decided nothing are folded into the next entry."""
    folds = (entry.fold for entry in reversed(entries) if entry.fold is not None)
    return next((fold.watch.host_amplitude for fold in folds), math.nan)


def gaps_of(genesis: Genesis, entries: Sequence[Entry]) -> tuple[Gap, ...]:
    """Where fewer ticks were taken than a span holds: the interlock stood still, or lines are missing."""
    found = []
    since_ns, ticks = genesis.now.mono_ns, 0
    for entry in entries:
        if entry.fold is not None:
            ticks += entry.fold.counts.ticks
        ticks += isinstance(entry.event, Tick)
        span_ns = entry.now.mono_ns - since_ns
        if span_ns - ticks * TICK_NS > max(GAP_NS, span_ns // GAP_PART):
            found.append(
                Gap(
                    at_s=seconds(since_ns, genesis), span_s=seconds(genesis.now.mono_ns + span_ns, genesis),
                    ticks=ticks, expected=span_ns // TICK_NS,
                )
            )  # fmt: skip
        if ticks or span_ns > GAP_NS:
            since_ns, ticks = entry.now.mono_ns, 0
    return tuple(found)


def clocks_of(genesis: Genesis, entries: Sequence[Entry]) -> Clocks:
    """Steps between two entries, and the drift from the first to the last."""
    nows = [genesis.now, *(entry.now for entry in entries)]
    first, last = nows[0], nows[-1]
    try:
        return Clocks(
            span_s=(last.mono_ns - first.mono_ns) / 1e9,
            wall_drift_s=_against(first, last, "wall") / 1e9,
            boot_drift_s=_against(first, last, "boot") / 1e9,
            steps=tuple(_steps(genesis, nows)),
            wall_drift_ms=tuple((now.mono_ns, _against(first, now, "wall") / 1e6) for now in nows),
        )
    except OverflowError:
        return Clocks(
            span_s=math.nan, wall_drift_s=math.nan, boot_drift_s=math.nan, steps=(), wall_drift_ms=()
        )


def _steps(genesis: Genesis, nows: Sequence[Now]) -> Iterator[ClockStep]:
    for before, after in pairwise(nows):
        at_s = seconds(after.mono_ns, genesis)
        if after.mono_ns < before.mono_ns:
            yield ClockStep(
                at_s=at_s, clock="monotonic, backwards", step_s=(after.mono_ns - before.mono_ns) / 1e9
            )
        for clock in ("wall", "boot"):
            step_ns = _against(before, after, clock)
            if abs(step_ns) > STEP_NS:
                yield ClockStep(at_s=at_s, clock=clock, step_s=step_ns / 1e9)


def _against(before: Now, after: Now, clock: str) -> int:
    """How far a clock moved beyond the monotonic one."""
    moved_ns = after.wall_ns - before.wall_ns if clock == "wall" else after.boot_ns - before.boot_ns
    return moved_ns - (after.mono_ns - before.mono_ns)


def _ms(span_ns: int) -> float:
    try:
        return span_ns / 1e6
    except OverflowError:
        return math.nan
