"""A train in segments, begun by the law and carried to its end: policy and interlock together, on the hand clock."""

from __future__ import annotations

import math

import pytest

from controller.policies.dual_threshold import DualThreshold, DualThresholdConfig
from drivers.stimulation import Train
from safety.judging import allowed_now
from tests.controller.material import reading
from tests.safety.bench_device import MS
from tests.safety.examples.ctbs import segment
from tests.safety.examples.tbs import bursts
from tests.safety.shorter import shorter_trains
from tests.safety.world import World, rules_of

HOP_MS = 100


def law(train: Train, hop_s: float = HOP_MS / 1000, **bent: float) -> DualThreshold:
    config = DualThresholdConfig(biomarker="alpha", hi=0.3, lo=0.1, step=1.0, **bent)  # type: ignore[arg-type]
    return DualThreshold(config, train, hop_s)


def session(world: World, policy: DualThreshold, values: list[float]) -> list[int]:
    """One hop after the other, each with its reading; the ids that were asked."""
    asked = []
    for value in values:
        allowed = allowed_now(world.rules, world.state, world.now, with_rows=True)
        train = policy.decide({"alpha": reading(value, "alpha")}, allowed, world.mono_ns)
        if train is not None:
            asked.append(world.ask(train))
        world.run_ms(HOP_MS)
    return asked


def test_one_reading_above_begins_it_and_it_goes_on_to_its_end_and_no_further():
    world = World(rules_of("ctbs")).armed()
    asked = session(world, law(segment()), [0.5] + [0.2] * 450)
    assert len(asked) == 20
    assert all(world.codes(each) == set() for each in asked)
    assert world.device.n_pulses == 600
    assert world.phase == "ARMED"


def test_what_is_told_is_where_a_segment_may_begin():
    world = World(rules_of("ctbs")).armed()
    world.ask()
    world.run_ms(100)
    assert allowed_now(world.rules, world.state, world.now).next_until_ns == 0  # one runs
    world.run_ms(1_950)
    told = allowed_now(world.rules, world.state, world.now)
    assert told.next_from_ns <= world.mono_ns < told.next_until_ns == told.next_from_ns + 200 * MS
    assert told.not_before_ns > told.next_until_ns
    for onset_ns, codes in ((told.next_until_ns + 1, {"ILK-304"}), (told.next_until_ns, set())):
        assert world.codes(world.ask(onset_at_ns=onset_ns)) == codes


def test_after_the_last_segment_nothing_more_is_told():
    short = shorter_trains(3.8)
    world = World(short).armed()
    world.ask()
    world.run_ms(2_050)
    assert allowed_now(short, world.state, world.now).next_from_ns == 0  # another 2 s are more than 3.8 s


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_without_a_reading_it_goes_on_and_does_not_begin(value: float):
    """Its own pulses blank the EEG. Evidence that is stale or unclean is the interlock's to refuse."""
    world = World(rules_of("ctbs")).armed()
    assert session(world, law(segment()), [value] * 20) == []
    asked = session(world, law(segment()), [0.5] + [value] * 60)
    assert len(asked) == 3
    world.clean_fraction = 0.1
    session(world, law(segment()), [value] * 5)
    assert world.state.running is None or world.state.running.id == asked[-1]


def test_a_response_of_the_wrong_sign_does_not_go_on():
    world = World(rules_of("ctbs")).armed()
    policy = law(segment(), response_s=0.5, response_windows=1, response_margin=0.1)
    asked = session(world, policy, [0.5] * 10 + [0.9] * 60)
    assert len(asked) == 1


def test_an_intermittent_train_goes_on_with_nothing():
    world = World(rules_of("tbs")).armed()
    assert len(session(world, law(bursts(), refractory_s=0.0), [0.5] + [0.2] * 60)) == 1
    assert allowed_now(world.rules, world.state, world.now).next_until_ns == 0


@pytest.mark.parametrize(("hop_s", "good"), [(0.1, True), (0.11, True), (0.1101, False), (0.2, False)])
def test_a_hop_that_would_miss_the_joint_is_refused(hop_s: float, good: bool):
    if good:
        law(segment(), hop_s)
        return
    with pytest.raises(ValueError, match=r"hop: found .* the next segment must begin within their period"):
        law(segment(), hop_s)
    law(bursts(), hop_s)
