"""Where the time of a request went, stage by stage: quantiles and the greatest, never only a mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from controller.finished.device import Command
from controller.finished.tables import Stamps
from controller.finished.values import Spread

# Stage -> what it is; in the order of the way of a request.
STAGES: Final[Mapping[str, str]] = {
    "sample → received": "newest sample's own time to its block in the controller's hands",
    "received → computed": "window, biomarkers, policy",
    "computed → asked": "the request leaves the controller",
    "asked → read": "the interlock has read it; with the wait for the disk where it had to be durable first",
    "read → sent": "decided, and sent on to the device host",
    "sent → answered": "the verdict is back in the controller",
    "asked → answered": "the whole question, as the controller sees it",
    "read → SET": "decided, and the settings have reached the device",
    "SET → FIRE": "read back, compared, and the start reaches the device",
    "sample → FIRE": "newest sample's own time to the start command in the device (FIRE, or RENEW): the whole loop",
    "sample → FIRE, after SET": "the same, of those that had to be set and read back first",
}


def stage_times_ms(stamps: Sequence[Stamps], commands: Sequence[Command] = ()) -> dict[str, list[float]]:
    """Each stage's times in ms, as far as they were stamped."""
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    arrivals = _arrivals(stamps, commands)
    for row, (set_ns, fire_ns) in zip(stamps, arrivals, strict=True):
        _note(found["sample → received"], row.sample_ns, row.received_ns)
        _note(found["received → computed"], row.received_ns, row.computed_ns)
        _note(found["computed → asked"], row.computed_ns, row.asked_ns)
        _note(found["asked → read"], row.asked_ns, row.ilk_read_ns)
        _note(found["read → sent"], row.ilk_read_ns, row.ilk_sent_ns)
        _note(found["sent → answered"], row.ilk_sent_ns, row.answered_ns)
        _note(found["asked → answered"], row.asked_ns, row.answered_ns)
        _note(found["read → SET"], row.ilk_read_ns, set_ns)
        _note(found["SET → FIRE"], set_ns, fire_ns)
        _note(found["sample → FIRE"], row.sample_ns, fire_ns)
        if set_ns:
            _note(found["sample → FIRE, after SET"], row.sample_ns, fire_ns)
    return found


def spreads(times_ms: Mapping[str, Sequence[float]]) -> tuple[Spread, ...]:
    """The quantiles of each stage that has any time."""
    return tuple(
        Spread(
            stage=stage,
            n=len(ordered),
            p50_ms=quantile(ordered, 0.50),
            p95_ms=quantile(ordered, 0.95),
            p99_ms=quantile(ordered, 0.99),
            max_ms=ordered[-1],
            text=STAGES.get(stage, ""),
        )
        for stage, ordered in ((stage, sorted(values)) for stage, values in times_ms.items())
        if ordered
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed: a time that was really seen; NaN of none."""
    if not ordered:
        return float("nan")
    return ordered[max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))]


def _arrivals(stamps: Sequence[Stamps], commands: Sequence[Command]) -> list[tuple[int, int]]:
    """For each request the SET and the start that the device received for it; 0 where there is none.

    Commands come in the order of the permits: the first SET or RENEW not taken yet after the interlock read the
    request, and after a SET the FIRE that follows it. So a FIRE is never counted for a request whose own was lost.
    """
    index = 0
    found = []
    for row in stamps:
        set_ns = fire_ns = 0
        if row.verdict == "permit" and row.ilk_read_ns:
            while index < len(commands) and not (
                commands[index].word != "FIRE" and commands[index].t_ns >= row.ilk_read_ns
            ):
                index += 1
            if index < len(commands) and commands[index].word == "RENEW":
                fire_ns = commands[index].t_ns
                index += 1
            elif index < len(commands):
                set_ns = commands[index].t_ns
                index += 1
                if index < len(commands) and commands[index].word == "FIRE":
                    fire_ns = commands[index].t_ns
        found.append((set_ns, fire_ns))
    return found


def _note(times_ms: list[float], from_ns: int, to_ns: int) -> None:
    """A negative time is kept: it shows a clock that is wrong, and must not vanish."""
    if from_ns and to_ns:
        times_ms.append((to_ns - from_ns) / 1e6)
