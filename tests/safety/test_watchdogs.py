"""Freshness: each watched party just inside its limit, at it and just over; both sides of every age."""

from __future__ import annotations

import msgspec
import pytest

from drivers.link import Prepare, Status
from drivers.stimulator import DeviceStatus
from safety import trips
from safety.events import Beat, Gone, PauseAsked, RelaySaid, Tick
from safety.messages import Heartbeat, Pause
from safety.watchdogs import evidence_trouble, observe, overdue
from tests.safety.bench_device import MS
from tests.safety.histories import history_with, past
from tests.safety.strategies import hold
from tests.safety.world import SFREQ_HZ, T0, World, rules_of, tripped

SLACK_NS = 100_000  # the uncertainty that the world's evidence declares


def armed() -> World:
    return World(rules_of()).armed()


def running() -> World:
    world = armed()
    world.ask()
    return world.run_ms(60)


def trouble(world: World, **bent: object) -> str:
    found = evidence_trouble(world.rules, world.state, world.evidence(**bent), world.now)
    return "" if found is None else found.code


@pytest.mark.parametrize(
    ("age_ns", "code"),
    [
        (250 * MS - SLACK_NS, ""),
        (250 * MS - SLACK_NS + 1, "ILK-203"),
        (10**18, "ILK-203"),
        (0, ""),
        (-20 * MS - SLACK_NS, ""),
        (-20 * MS - SLACK_NS - 1, "ILK-204"),
        (-(10**18), "ILK-204"),
    ],
)
def test_the_age_of_evidence_is_judged_from_both_sides(age_ns: int, code: str):
    world = armed()
    assert trouble(world, newest_ns=world.mono_ns - age_ns) == code


@pytest.mark.parametrize(
    ("unsure_ns", "code"),
    [(0, ""), (240 * MS, ""), (240 * MS + 1, "ILK-203"), (10**18, "ILK-203"), (-1, "ILK-203")],
)
def test_an_uncertain_stamp_is_as_old_as_it_may_be(unsure_ns: int, code: str):
    assert trouble(armed(), uncertainty_ns=unsure_ns) == code


def test_an_uncertainty_does_not_excuse_a_stamp_from_the_future():
    world = armed()
    stamp = world.mono_ns + 10**9
    assert trouble(world, newest_ns=stamp, uncertainty_ns=10**9) == "ILK-203"
    assert trouble(world, newest_ns=stamp, uncertainty_ns=0) == "ILK-204"


@pytest.mark.parametrize(
    ("fraction", "code"),
    [
        (0.8, ""),
        (1.0, ""),
        (0.7999999999, "ILK-208"),
        (1.0000001, "ILK-208"),
        (float("nan"), "ILK-208"),
        (float("inf"), "ILK-208"),
        (-1.0, "ILK-208"),
    ],
)
def test_the_clean_fraction_is_a_fraction(fraction: float, code: str):
    world = armed()
    assert trouble(world, clean_fraction=fraction) == code
    world.jump_to(world.mono_ns + MS)
    before_ns = world.state.watch.clean_ns
    world.beat(clean_fraction=fraction)
    assert before_ns < world.mono_ns
    assert world.state.watch.clean_ns == (before_ns if code else world.mono_ns)


def test_another_stream_is_another_stream():
    assert trouble(armed(), stream_uid="") == "ILK-207"


@pytest.mark.parametrize("n_samples", (-1, 2**53 + 1, 10**320))
def test_a_count_that_nobody_counted_is_no_count(n_samples: int):
    assert trouble(armed(), n_samples=n_samples) == "ILK-206"


@pytest.mark.parametrize("first", (-1, 2**53 + 1, 10**400))
def test_no_rate_is_reckoned_from_a_count_that_nobody_counted(first: int):
    """The first beat's count is the beginning of the span over which samples are counted."""
    world = armed()
    started = msgspec.structs.replace(
        world.state.watch, previous_samples=first, previous_ns=world.mono_ns - 5_000 * MS
    )
    state = msgspec.structs.replace(world.state, watch=started)
    assert evidence_trouble(world.rules, state, world.evidence(), world.now) == trips.EEG_RATE


@pytest.mark.parametrize(
    ("rate", "code"), [(1.0, ""), (0.96, ""), (1.04, ""), (0.9, "ILK-206"), (1.1, "ILK-206")]
)
def test_samples_are_counted_against_time_from_both_sides(rate: float, code: str):
    world = armed()
    world.run_ms(5_000)
    world.stream_ns = world.mono_ns - round((world.mono_ns - world.stream_ns) / rate)  # no step in the count
    world.rate = rate
    world.run_ms(9_000)
    assert world.state.trip == code


def test_a_count_that_jumps_is_found_at_once():
    world = armed()
    world.run_ms(9_000)
    count = world.evidence().n_samples
    slack = round(0.05 * SFREQ_HZ * 8) + 1
    assert trouble(world, n_samples=count) == ""
    assert trouble(world, n_samples=count + slack) == "ILK-206"
    assert trouble(world, n_samples=count - slack) == "ILK-206"
    assert trouble(world, n_samples=count // 2) == "ILK-206"


@pytest.mark.parametrize("hole_ms", (251, 1_000, 60_000))
def test_after_a_silence_the_rate_is_counted_anew(hole_ms: int):
    """What was lost while it paused neither hinders the next arming nor trips it."""
    world = armed()
    world.run_ms(9_000)
    world.take(PauseAsked(pause=Pause(reason="no EEG")))
    world.run_ms(400)
    assert world.phase == "READY"
    world.beating = False
    world.run_ms(hole_ms)
    world.stream_ns += hole_ms * MS
    world.beating = True
    world.run_ms(100)
    world.present()
    world.run_ms(9_000)
    assert world.phase == "ARMED"
    world.stream_ns += 1_000 * MS
    world.run_ms(40)
    assert tripped(world) == "ILK-206"  # it is watched again


def test_a_gap_that_output_outlives_counts_against_the_rate():
    """Just within the age of data: what is lost there is held against the stream."""
    world = armed()
    world.run_ms(9_000)
    for _ in range(4):
        world.data_age_ns, kept_ns = 200 * MS, world.data_age_ns
        world.stream_ns += 200 * MS
        world.run_ms(40)
        world.data_age_ns = kept_ns
        world.run_ms(200)
    assert tripped(world) == "ILK-206"


def test_frozen_data_with_fresh_stamps_is_as_old_as_its_last_change():
    world = armed()
    limit_ms = world.rules.limits.watch.data_age_ms
    world.frozen_crc = True
    world.run_ms(20)
    seen_ns = world.state.watch.crc_ns
    world.run_ms((seen_ns + limit_ms * MS - world.mono_ns) / MS)
    assert world.phase == "ARMED"
    world.run_ms(20)
    assert tripped(world) == "ILK-205"


def test_data_that_moves_again_in_time_is_not_frozen():
    world = armed()
    for _ in range(5):
        world.frozen_crc = True
        world.run_ms(world.rules.limits.watch.data_age_ms - 50)
        world.frozen_crc = False
        world.run_ms(40)
    assert world.phase == "ARMED"


def test_an_artefact_of_two_seconds_ends_nothing_but_increases():
    world = running()
    world.clean_fraction = 0.5
    world.run_ms(40)
    assert "ILK-306" in world.codes(world.ask(hold(amplitude_ma_pp=1.1)))
    down = world.ask(hold(amplitude_ma_pp=0.5))
    assert world.codes(down) == set()
    world.run_ms(1_900)
    assert world.phase == "ARMED"
    world.run_ms(120)
    assert tripped(world) == "ILK-208"


def test_a_heartbeat_just_in_time_and_just_late():
    world = armed()
    world.beating = False
    world.beat()
    beat_ns = world.mono_ns
    world.run_ms(99)
    world.jump_to(beat_ns + 100 * MS)
    world.tick()
    assert world.phase == "ARMED"
    world.jump_to(beat_ns + 100 * MS + 1)
    world.tick()
    assert tripped(world) == "ILK-201"


@pytest.mark.parametrize("back", (0, 1, 10))
def test_a_beat_told_twice_keeps_nothing_alive(back: int):
    world = armed()
    world.beating = False
    for _ in range(12):
        seq = world.beats - back
        beat = Heartbeat(seq=seq, progress=world.beats, evidence=world.evidence())
        world.take(Beat(heartbeat=beat))
        world.run_ms(10)
    assert tripped(world) == "ILK-201"


def test_a_loop_that_beats_and_works_through_nothing_is_found():
    world = armed()
    world.progressing = False
    world.run_ms(340)
    assert world.phase == "ARMED"
    world.run_ms(40)
    assert tripped(world) == "ILK-201"


@pytest.mark.parametrize(("behind_ns", "code"), [(250 * MS, ""), (250 * MS + 1, "ILK-231")])
def test_how_far_the_ledger_may_be_behind(behind_ns: int, code: str):
    world = armed()
    world.tick(behind_ns=behind_ns)
    assert world.state.trip == code


@pytest.mark.parametrize(
    ("by_ns", "code"),
    [
        (500 * MS, ""),
        (500 * MS + 1, "ILK-242"),
        (-500 * MS, ""),
        (-500 * MS - 1, "ILK-242"),
        (10**15, "ILK-242"),
    ],
)
def test_a_suspend_shows_between_two_clocks(by_ns: int, code: str):
    world = armed()
    world.boot_offset_ns += by_ns
    world.tick()
    assert world.state.trip == code


@pytest.mark.parametrize(
    ("by_ns", "code"),
    [
        (2_000 * MS, ""),
        (2_000 * MS + 1, "ILK-243"),
        (-2_000 * MS - 1, "ILK-243"),
        (3_600_000 * MS, "ILK-243"),
        (-3_600_000 * MS, "ILK-243"),
    ],
)
def test_a_jump_of_the_wall_clock_trips_either_way(by_ns: int, code: str):
    world = armed()
    world.wall_offset_ns += by_ns
    world.tick()
    assert world.state.trip == code


def test_nothing_is_decided_by_a_clock_that_jumped_before_the_next_tick():
    """A day ahead no budget of a day has anything in it; after a sleep the newest sample looks as new as it was."""
    for clock, by_ns, code in (
        ("wall_offset_ns", 25 * 3_600_000 * MS, "ILK-243"),
        ("wall_offset_ns", -25 * 3_600_000 * MS, "ILK-243"),
        ("boot_offset_ns", 600_000 * MS, "ILK-242"),
    ):
        for act in (lambda world: world.ask(), lambda world: world.fire(1), lambda world: world.beat()):
            world = armed()
            setattr(world, clock, getattr(world, clock) + by_ns)
            act(world)
            assert tripped(world) == code
            assert not world.permits()
            assert not world.calls(Prepare)
            world.run_ms(500)
            assert world.device.output == 0.0
    spent = history_with(past(T0.wall_ns - 7_200_000 * MS, on_time_s=3600.0))
    world = World(msgspec.structs.replace(rules_of(), history=spent)).armed()
    assert world.codes(world.ask()) == {"ILK-308"}
    world.wall_offset_ns += 25 * 3_600_000 * MS
    world.ask()
    assert not world.permits()
    world.stop()
    assert world.state.trip == "ILK-243"


@pytest.mark.parametrize(("late_ns", "code"), [(150 * MS, ""), (150 * MS + 1, "ILK-241")])
def test_its_own_lateness(late_ns: int, code: str):
    world = armed()
    world.mono_ns = world.state.watch.tick_ns + late_ns
    world.beat()
    world.take(RelaySaid(closed=True))
    world.host_says(_status(world))
    world.tick()
    assert world.state.trip == code


def _status(world: World, **bent: object) -> Status:
    status = DeviceStatus(
        state=str(bent.get("state", "armed")),  # type: ignore[arg-type]
        at_ns=world.mono_ns,
        amplitude=float(str(bent.get("amplitude", 0.0))),
        fault="",
        impedance_kohm=5.0,
    )
    return Status(call=-world.state.watch.poll, status=status)


def test_a_host_that_does_not_answer_a_poll():
    world = armed()
    world.host_answers = False
    world.run_ms(35)
    polled_ns = world.state.watch.poll_ns
    assert polled_ns
    world.run_ms((polled_ns + 100 * MS - world.mono_ns) / MS)
    assert world.phase == "ARMED"
    world.run_ms(10)
    assert tripped(world) == "ILK-211"


def test_an_answer_to_an_older_poll_proves_nothing():
    world = armed()
    world.host_answers = False
    for _ in range(20):
        world.run_ms(10)
        status = _status(world)
        world.host_says(Status(call=status.call + 1, status=status.status))
    assert tripped(world) == "ILK-211"


def test_a_relay_just_in_time_and_just_late():
    world = armed()
    world.relay_answers = False
    world.run_ms(5)
    world.forget_queue()
    said_ns = world.state.watch.relay_ns
    world.host_answers = True
    world.run_ms((said_ns + 150 * MS - world.mono_ns) / MS - 1)
    assert world.phase == "ARMED"
    world.run_ms(12)
    assert tripped(world) == "ILK-221"


@pytest.mark.parametrize("state", ("idle", "fault", "closed", "unknown"))
def test_a_device_that_left_armed_by_itself(state: str):
    world = armed()
    world.host_answers = False
    world.run_ms(30)
    world.host_says(_status(world, state=state))
    world.tick()
    assert tripped(world) == "ILK-218"


@pytest.mark.parametrize("state", ("armed", "running", "stopping"))
def test_a_device_that_is_as_it_should_be(state: str):
    world = armed()
    world.host_answers = False
    world.run_ms(30)
    world.host_says(_status(world, state=state))
    world.tick()
    assert world.phase == "ARMED"


@pytest.mark.parametrize("amplitude", (0.01, 5.0, -0.01, float("nan"), float("inf")))
def test_output_while_nothing_runs(amplitude: float):
    world = armed()
    world.host_answers = False
    world.run_ms(30)
    world.host_says(_status(world, amplitude=amplitude))
    world.tick()
    assert tripped(world) == "ILK-216"


@pytest.mark.parametrize(
    ("amplitude", "code"),
    [(1.0, ""), (1.00005, ""), (1.0002, "ILK-215"), (-0.5, "ILK-215"), (float("nan"), "ILK-215")],
)
def test_output_beside_what_runs(amplitude: float, code: str):
    world = running()
    world.host_answers = False
    world.run_ms(30)
    world.host_says(_status(world, state="running", amplitude=amplitude))
    world.tick()
    assert world.state.trip == code


def test_output_in_the_interval_after_a_train_is_nobodys():
    world = World(rules_of("rtms")).armed()
    world.ask()
    world.run_ms(4_500)
    assert world.state.running is None
    assert world.state.not_before_ns > world.mono_ns
    world.host_answers = False
    world.run_ms(30)
    world.host_says(_status(world, amplitude=45.0))
    world.tick()
    assert tripped(world) == "ILK-216"


def test_what_is_no_foldable_event_leaves_the_watch_alone():
    world = armed()
    watch = world.state.watch
    assert observe(world.rules, watch, Tick(behind_ns=3), world.now) != watch
    assert observe(world.rules, watch, Gone(why=""), world.now) is watch


def test_the_order_is_worst_first():
    """Where several are overdue, a cut wins over a ramp."""
    world = armed()
    world.beating = world.relay_answers = world.host_answers = False
    world.run_ms(5)
    world.forget_queue()
    world.mono_ns += 160 * MS
    found = overdue(world.rules, world.state, world.now)
    assert found is not None
    assert found.how == "cut"
    assert found in (trips.HOST_SILENT, trips.RELAY_SILENT)
