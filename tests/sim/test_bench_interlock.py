"""The benchmark of the interlock finds real figures: a short run of it."""

from __future__ import annotations

import pytest

from sim.bench_interlock import measure_interlock, was_on
from sim.record import Break, Record

pytestmark = pytest.mark.system


def test_a_short_run_finds_every_figure_within_wide_bounds():
    found = measure_interlock(1.0, 1)
    assert found.core.verdicts > 100 and 200 < found.core.verdicts_per_s < 1e6
    assert 400 < found.core.entry_bytes.max_ms <= 800
    stages = {each.stage: each for each in found.stages}
    for cores in (", awake", ""):
        sent, written, answered = (
            stages[f"read → {name}{cores}"] for name in ("sent on", "reply written", "answered")
        )
        assert 0 < sent.p50_ms <= min(written.p50_ms, answered.p50_ms)
        assert max(written.p50_ms, answered.p50_ms) < 50
        assert sent.n == answered.n and sent.n - 2 <= written.n <= sent.n
    zero = {each.stage: each for each in found.zero}
    assert set(zero) == {f"{what}, {load}" for what in ("STOP", "hung") for load in ("none", "load", "heavy")}
    for name, each in zero.items():
        assert each.n == 1 and 90 < each.max_ms < 2_000, f"{name}: {each.max_ms} ms"


def record(*points: tuple[int, float]) -> Record:
    breaks = tuple(Break(t_ns=t_ms * 1_000_000, token=1, a_ma_pp=a) for t_ms, a in points)
    return Record(entries=breaks, breaks=breaks, pulses=())


@pytest.mark.parametrize(
    ("t_ms", "on"), [(50, False), (150, True), (300, True), (505, False), (560, False), (700, False)]
)
def test_an_end_is_credited_to_its_cause_only_where_the_output_was_on_and_not_falling(
    t_ms: int, on: bool
) -> None:
    rises_holds_falls = record((0, 0.0), (100, 0.0), (200, 1.0), (500, 1.0), (600, 0.0))
    assert was_on(rises_holds_falls, t_ms * 1_000_000) is on
