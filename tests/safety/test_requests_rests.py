"""A nerve is stimulated for less than half of the time: what was held is then off for longer than it was on."""

from __future__ import annotations

import msgspec
import pytest

from drivers.stimulation import Train, with_amplitude
from safety.events import PauseAsked
from safety.exposures import NOTHING
from safety.messages import DeliveryReport, Pause
from safety.modalities import Exposure, rest_after_ns
from safety.oracle_course import Course
from safety.oracle_ledger import judge
from safety.oracle_runs import RUN_S, Runs
from tests.safety.bench_device import MS
from tests.safety.shorter import shorter_runs
from tests.safety.strategies import MODALITIES, limits_of, valid_train
from tests.safety.test_oracle_ledger import ledger_of
from tests.safety.world import World, rules_of

S = 1_000 * MS
LEVEL = with_amplitude(valid_train("pns"), 0.3)


def held(world: World, n: int, train: Train = LEVEL) -> World:
    """A hold that is renewed so many times, each 200 ms after the last, and then let lapse."""
    for _ in range(n):
        assert world.codes(world.ask(train)) == set()
        world.run_ms(200)
    return world.run_ms(700)


def over_ns(world: World) -> int:
    return max(m.delivery.end_ns for m in world.heard if isinstance(m, DeliveryReport) and m.delivery.ended)


def on_ns(world: World) -> int:
    return over_ns(world) - min(m.delivery.start_ns for m in world.heard if isinstance(m, DeliveryReport))


def test_what_was_on_is_off_for_longer():
    world = held(World(rules_of("pns")).armed(), 20)
    on, end = on_ns(world), over_ns(world)
    assert on > 4 * S
    rested = world.state.rested_ns
    assert on < rested - end <= on + 2 * S  # it counts what was granted, which is a little more
    world.run_ms((rested - world.mono_ns) / MS - 1)
    assert world.codes(world.ask(LEVEL)) == {"ILK-304"}
    world.run_ms(1)
    assert world.mono_ns == rested
    assert world.codes(world.ask(LEVEL)) == set()
    world.run_ms(300)
    assert world.state.running is not None
    assert judge(ledger_of(world)).objections == ()


def test_the_policy_is_told_when_the_rest_is_over():
    world = held(World(rules_of("pns")).armed(), 10)
    request = world.ask(LEVEL)
    assert world.codes(request) == {"ILK-304"}
    allowed = world.heard[-1].allowed  # type: ignore[union-attr]
    assert allowed.not_before_ns == world.state.rested_ns > world.mono_ns
    world.run_ms((world.state.rested_ns - world.mono_ns) / MS + 1)
    world.ask(LEVEL)
    world.run_ms(100)
    assert (
        world.last(DeliveryReport).allowed.not_before_ns <= world.mono_ns
    )  # while it runs it may be renewed


def test_a_renewal_and_a_change_of_amplitude_need_no_rest():
    world = World(rules_of("pns")).armed()
    for level in (0.3, 0.3, 0.4, 0.4, 0.2, 0.2):
        assert world.codes(world.ask(with_amplitude(LEVEL, level))) == set()
        world.run_ms(250)
        assert world.state.running is not None
    assert judge(ledger_of(world)).objections == ()


def test_a_run_ends_at_its_budget_and_steps_and_renewals_count_as_one():
    world = World(shorter_runs(5.0)).armed()
    refused: set[str] = set()
    began = world.mono_ns
    while not refused:
        refused = world.codes(world.ask(LEVEL))
        world.run_ms(200)
        assert world.mono_ns - began < 10 * S
    assert refused == {"ILK-308"}
    world.run_ms(1_000)
    assert 3 * S < on_ns(world) <= 5 * S
    assert world.codes(world.ask(LEVEL)) == {"ILK-304"}
    assert judge(ledger_of(world)).objections == ()


def test_off_and_on_within_a_day_is_below_half_of_the_time():
    """A controller that asks all the time, and goes to zero where it may not go on: a minute and a half of cycles."""
    world, began = World(shorter_runs(3.0)).armed(), 0
    for _ in range(450):
        if "ILK-308" in world.codes(world.ask(LEVEL)):
            world.ask(with_amplitude(LEVEL, 0.0))
        world.run_ms(200)
        began = began or world.mono_ns
    assert world.phase == "ARMED"
    assert 0.2 < world.device.on_time_ns / (world.mono_ns - began) < 0.5
    assert judge(ledger_of(world)).objections == ()


@pytest.mark.parametrize("ms", [0, 30, 260])
def test_a_pause_and_another_arming_make_no_rest_shorter(ms: float):
    world = World(rules_of("pns")).armed()
    for _ in range(10):
        world.ask(LEVEL)
        world.run_ms(200)
    world.run_ms(ms)
    end = world.mono_ns
    world.take(PauseAsked(pause=Pause(reason="a test")))
    world.run_ms(600)
    world.present()
    world.run_ms(200)
    assert world.phase == "ARMED"
    assert world.codes(world.ask(LEVEL)) == {"ILK-304"}
    assert world.state.rested_ns >= end + 2 * S
    assert judge(ledger_of(world)).objections == ()


def test_no_other_modality_rests():
    one = Exposure(on_time_s=1.5, charge_c=0.0, n_pulses=0)
    for modality in MODALITIES:
        assert rest_after_ns(modality, one) == (1_500_000_000 if modality == "pns" else 0)
    assert rest_after_ns("pns", NOTHING) == 0
    assert rest_after_ns("pns", Exposure(on_time_s=0.0000000011, charge_c=0.0, n_pulses=0)) == 2  # rounded up
    assert set(RUN_S) == {"pns"}


# The second hand, by itself


def course(onset_ns: int, ended_ns: int | None = None, **bent: int) -> Course:
    request = World(rules_of("pns")).request(LEVEL)
    made = Course(request=request, permitted_ns=0, until_ns=0, onset_at_ns=0, onset_ns=onset_ns)
    made.ended_ns, made.stop_ns = ended_ns, bent.get("stop_ns", 0)
    return made


@pytest.mark.parametrize(
    ("off_ms", "good"), [(50, True), (61, False), (9_939, False), (9_940, False), (9_941, True)]
)
def test_the_oracle_takes_a_rest_of_more_than_what_went_before(off_ms: int, good: bool):
    """Ten seconds on; up to 60 ms, as far as a device's times may be off, are no pause, and no rest too short."""
    runs = Runs(limits=limits_of("pns"))
    runs.begin(course(0), 0)
    one = course(9 * S, 10 * S)
    runs.begin(one, 9 * S)
    assert runs.began_ns == (0 if one.ended_ns is None else 9 * S)
    runs.began_ns = 0
    onset = 10 * S + off_ms * MS
    assert (list(runs.against(course(onset), onset)) == []) == good


def test_the_oracle_holds_a_run_to_half_an_hour_and_to_the_row():
    for limits, most_s in ((limits_of("pns"), 1800), (shorter_runs(60.0).limits, 60)):
        wave = LEVEL.waveform
        lease = (wave.duration_ms + wave.ramp_down_ms) * MS  # type: ignore[union-attr]
        for late_ns, good in ((0, True), (1, False)):
            runs = Runs(limits=limits)
            onset = most_s * S - lease + late_ns
            runs.begin(course(0), 0)
            runs.last = course(onset - 100 * MS)
            assert (list(runs.against(course(onset), onset)) == []) == good
    without = msgspec.structs.replace(limits_of("pns"), budgets=())
    assert list(Runs(limits=without).against(course(0), 0)) != []


def test_a_stop_ends_a_run_whose_end_nobody_told():
    runs = Runs(limits=limits_of("pns"))
    runs.begin(course(0), 0)
    assert runs.last is not None
    runs.last.stop_ns = 300 * MS
    over = runs.last.over_ns
    assert list(runs.against(course(over + 100 * MS), over + 100 * MS)) != []
    assert list(runs.against(course(over + S), over + S)) == []
