"""A nerve's runs: the law comes down before the end of each, rests, and begins again; policy and interlock together."""

from __future__ import annotations

from controller.policies.dual_threshold import DualThreshold, DualThresholdConfig
from drivers.stimulation import with_amplitude
from safety.judging import allowed_now
from tests.controller.material import reading
from tests.safety.shorter import shorter_runs
from tests.safety.strategies import valid_train
from tests.safety.world import World


def test_it_comes_down_before_a_run_is_over_and_rests_without_a_lapse():
    world = World(shorter_runs(6.0)).armed()
    config = DualThresholdConfig(biomarker="b", hi=0.3, lo=0.1, step=0.1, rate_per_s=0.5)
    policy = DualThreshold(config, with_amplitude(valid_train("pns"), 0.3), 0.1)
    began_ns, asked, refused, told = world.mono_ns, 0, set(), set()
    for _ in range(600):
        allowed = allowed_now(world.rules, world.state, world.now, with_rows=True)
        told.add(allowed.scope["on_time_s"])
        train = policy.decide({"b": reading(0.5)}, allowed, world.mono_ns)
        if train is not None:
            asked += 1
            refused |= world.codes(world.ask(train))
        world.run_ms(100)
    assert world.phase == "ARMED"
    assert world.state.lapses == ()
    assert told == {"train"}
    assert refused <= {"ILK-304"}
    assert asked > 50
    assert 0.2 < world.device.on_time_ns / (world.mono_ns - began_ns) < 0.5
