"""The benchmark of the interlock finds real figures: a short run of it."""

from __future__ import annotations

import math

from sim.bench_interlock import measure_interlock


def test_a_short_run_finds_every_figure_within_wide_bounds():
    found = measure_interlock(1.0, 1)
    assert found.core.verdicts > 100 and 200 < found.core.verdicts_per_s < 1e6
    assert 500 < found.core.entry_bytes.max_ms <= 900
    stages = {each.stage: each for each in found.stages}
    assert 0 < stages["read → sent on"].p50_ms <= stages["read → answered"].p50_ms < 50
    zero = {each.stage: each for each in found.zero}
    assert set(zero) == {f"{what}, {load}" for what in ("STOP", "hung") for load in ("none", "load", "heavy")}
    assert all(
        each.n == 1 and math.isfinite(each.max_ms) and 90 < each.max_ms < 1_500 for each in zero.values()
    )
