"""Continuous theta bursts: segments that follow one another without a pause, and are accounted as one train."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from drivers.link import Fire, Prepare, StopDevice
from drivers.stimulation import Output, Train
from safety import trips
from safety.events import PauseAsked
from safety.judging import allowed_now, judge_start
from safety.messages import Pause, Refusal
from safety.modalities import segment as had
from safety.oracle_course import Course
from safety.oracle_ledger import check_ledger, judge
from safety.oracle_segments import too_soon
from tests.safety.bench_device import MS
from tests.safety.examples.ctbs import segment
from tests.safety.shorter import shorter_trains
from tests.safety.test_oracle_ledger import ledger_of
from tests.safety.world import World, rules_of
from tests.safety.worlds import armed

PERIOD_NS = 200 * MS


def due_ns(world: World) -> int:
    assert world.state.segments is not None
    return world.state.segments.due_ns


def until(world: World, at_ns: int) -> World:
    return world.run_ms((at_ns - world.mono_ns) / MS)


def ends(world: World) -> World:
    """Until the device has told the end of the segment that runs."""
    return until(world, due_ns(world) + 12 * MS)


def first(world: World, train: Train | None = None) -> World:
    """One segment out, and told to be over."""
    assert world.codes(world.ask(train)) == set()
    world.run_ms(20)
    return ends(world)


def go_on(world: World, n: int, train: Train | None = None) -> World:
    """So many further segments, each asked for as soon as the one before is over."""
    for _ in range(n):
        request = world.ask(train)
        assert world.codes(request) == set()
        world.run_ms(20)
        assert world.state.running is not None
        ends(world)
    return world


def found(world: World, request: int) -> list[tuple[str, str, float, float]]:
    refusal = next(m for m in world.heard if isinstance(m, Refusal) and m.id == request)
    return [(r.code, r.quantity, r.value, r.limit) for r in refusal.reasons]


# The whole train


def test_forty_seconds_go_out_in_twenty_segments_and_not_one_burst_more():
    world = first(armed("ctbs"))
    go_on(world, 19)
    assert world.device.n_pulses == 600
    assert world.state.segments is not None
    assert world.state.segments.bursts == 200
    assert world.phase == "ARMED"
    request = world.ask(segment(n_bursts=1))
    assert ("ILK-108", "train_s", 40.2, 40.0) in found(world, request)
    world.run_ms(300)
    assert world.device.n_pulses == 600
    assert check_ledger(ledger_of(world)) == ()


def test_a_policy_is_told_from_when_to_when_it_may_go_on():
    def told(world: World) -> tuple[int, int]:
        allowed = allowed_now(world.rules, world.state, world.now)
        return allowed.next_from_ns, allowed.next_until_ns

    world = armed("ctbs")
    assert told(world) == (0, 0)
    world.ask()
    world.run_ms(20)
    assert world.state.running is not None and told(world) == (0, 0)
    ends(world)
    assert told(world) == (due_ns(world), due_ns(world) + PERIOD_NS)
    go_on(world, 18)
    assert told(world) == (due_ns(world), due_ns(world) + PERIOD_NS)
    go_on(world, 1)
    assert told(world) == (0, 0)  # forty seconds are out


def test_a_joint_is_no_longer_than_a_period_and_never_shorter():
    """The device's own onsets: between the last burst of a segment and the first of the next."""
    world = first(armed("ctbs"))
    fires = len(world.calls(Fire))
    onsets = [world.state.before.onset_ns]  # type: ignore[union-attr]
    for _ in range(5):
        go_on(world, 1)
        onsets.append(world.state.before.onset_ns)  # type: ignore[union-attr]
    assert len(world.calls(Fire)) == fires + 5
    for before, after in itertools.pairwise(onsets):
        assert 0 <= after - (before + 2_000 * MS) <= PERIOD_NS


def test_a_segment_may_be_asked_for_its_very_instant():
    """With a device that tells the end before the next burst is due, nothing is lost at the joint."""
    world = armed("ctbs")
    world.ask()
    world.run_ms(20)
    due = due_ns(world)
    world.device.going.train = segment(n_bursts=9)  # type: ignore[union-attr]  # over with its last burst
    until(world, due - 190 * MS)
    assert world.state.running is None
    request = world.ask(onset_at_ns=due)
    world.run_ms(250)
    assert world.codes(request) == set()
    assert world.state.running is not None
    assert world.state.running.onset_ns == due
    assert judge(ledger_of(world)).objections == ()


@pytest.mark.parametrize(("train_s", "n"), [(20.0, 10), (6.0, 3), (2.0, 1)])
def test_a_shorter_protocol_ends_sooner(train_s: float, n: int):
    """Three hundred pulses in 20 s; and a train of one segment, of which none goes on."""
    world = first(World(shorter_trains(train_s)).armed())
    go_on(world, n - 1)
    assert world.device.n_pulses == 30 * n
    request = world.ask(segment(n_bursts=1))
    assert found(world, request)[0] == ("ILK-108", "train_s", pytest.approx(train_s + 0.2), train_s)


def test_the_last_segment_may_be_a_shorter_one():
    world = first(World(shorter_trains(5.0)).armed())
    go_on(world, 1)
    over = world.ask(segment(n_bursts=6))
    assert found(world, over) == [("ILK-108", "train_s", 5.2, 5.0)]
    assert world.codes(world.ask(segment(n_bursts=5))) == set()
    world.run_ms(1_100)
    assert world.device.n_pulses == 75


def test_joints_that_are_all_late_end_the_train_before_its_bursts_do():
    """Each at the end of its window: 2.2 s a segment, so that 42 s are over with the nineteenth; both hands say so."""
    world, n = first(armed("ctbs")), 1
    while True:
        at_ns = due_ns(world) + PERIOD_NS
        request = world.ask(onset_at_ns=at_ns)
        if world.codes(request):
            break
        until(world, at_ns + 20 * MS)
        ends(world)
        n += 1
    assert n == 19
    assert found(world, request)[0][:2] == ("ILK-108", "train_s")
    assert check_ledger(ledger_of(world)) == ()
    last = next(m.train for m in reversed(world.calls(Prepare)))
    courses = [_course(n, None) for n in range(2)]
    courses[0].onset_ns, courses[0].joined, courses[0].joined_ns = 0, 10, -38_000 * MS
    assert last == segment()
    assert list(too_soon(courses[0], courses[1], 2_000 * MS, world.rules.limits)) == []
    courses[0].joined_ns -= 1
    assert all("with its joints" in each for each in too_soon(*courses, 2_000 * MS, world.rules.limits))
    assert list(too_soon(*courses, 2_000 * MS, world.rules.limits))


# The joint


def test_no_segment_begins_before_it_is_due():
    world = armed("ctbs")
    world.ask()
    world.run_ms(20)
    due = due_ns(world)
    world.device.going.train = segment(n_bursts=5)  # type: ignore[union-attr]  # it ends early, by itself
    until(world, due - 900 * MS)
    assert world.state.running is None
    assert world.codes(world.ask()) == {"ILK-304"}
    assert world.codes(world.ask(onset_at_ns=due - 1)) == {"ILK-304"}
    assert world.codes(world.ask(onset_at_ns=due)) == set()


def test_one_that_comes_later_than_a_period_does_not_go_on():
    for late_ns, refused in ((0, set()), (1, {"ILK-304"})):
        world = first(armed("ctbs"))
        at_ns = due_ns(world) + PERIOD_NS + late_ns
        until(world, at_ns - 50 * MS)
        assert world.codes(world.ask(onset_at_ns=at_ns)) == refused, late_ns
        world.run_ms(100)
        assert (world.state.running is not None) == (not refused)
        assert judge(ledger_of(world)).objections == ()


def test_a_train_that_was_interrupted_is_over_and_the_interval_runs():
    world = first(armed("ctbs"))
    go_on(world, 2)
    world.run_ms(300)
    assert world.codes(world.ask()) == {"ILK-304"}
    rest_ns = world.state.not_before_ns - world.mono_ns
    assert 1_799 * 1_000 * MS < rest_ns <= 1_800 * 1_000 * MS
    world.run_ms(30_000)
    assert world.codes(world.ask()) == {"ILK-304"}


def test_after_the_interval_a_train_is_a_new_one():
    world = first(World(shorter_trains(2.0)).armed())
    rest_ns, last = world.state.not_before_ns, segment()
    assert rest_ns > due_ns(world) + 1_797 * 1_000 * MS
    for start_ns, refused in ((rest_ns - 1, {"ILK-304"}), (rest_ns, set())):
        found = judge_start(world.rules, world.state, last, start_ns, world.now)
        assert {reason.code for reason in found} == refused
    begun = had(world.state.segments, last, rest_ns)
    assert begun is not None
    assert begun.bursts == 10  # counted anew


def test_a_segment_whose_disk_or_host_is_late_is_dropped_and_never_fired_late():
    world = first(armed("ctbs"))
    fires = len(world.calls(Fire))
    until(world, due_ns(world) + 150 * MS)
    world.host_ns = 80 * MS  # the read-back comes when the period is over
    request = world.ask()
    assert world.codes(request) == set()
    world.run_ms(95)
    assert world.codes(request) == {"ILK-304"}
    assert len(world.calls(Fire)) == fires
    assert world.phase == "ARMED"


@pytest.mark.parametrize(
    "other",
    [
        segment(amplitude_pct_mso=32.0),
        segment(amplitude_pct_mso=30.0, bursts_hz=4.0, n_bursts=8),
        segment(amplitude_pct_mso=30.0, rate_in_burst_hz=40.0),
        segment(amplitude_pct_mso=30.0, pulses_per_burst=2),
        segment(amplitude_pct_mso=30.0, outputs=(Output(name="coil", share=1),)),
    ],
)
def test_what_goes_on_has_the_same_bursts_and_no_more_of_them(other: Train):
    """Stronger, slower, closer, fewer: another train. An output of the same share, said as a whole number, is the same."""
    world = first(armed("ctbs"), segment(amplitude_pct_mso=30.0))
    same = other == segment(amplitude_pct_mso=30.0)
    assert world.codes(world.ask(other)) == (set() if same else {"ILK-304"})
    if not same:
        assert world.codes(world.ask(segment(amplitude_pct_mso=30.0))) == set()


def test_a_lower_amplitude_goes_on_and_does_not_rise_again():
    world = first(armed("ctbs"), segment(amplitude_pct_mso=30.0))
    go_on(world, 1, segment(amplitude_pct_mso=20.0))
    assert world.codes(world.ask(segment(amplitude_pct_mso=30.0))) == {"ILK-304"}
    assert world.codes(world.ask(segment(amplitude_pct_mso=20.0))) == set()


def test_the_device_must_have_told_the_end_of_the_one_before():
    world = armed("ctbs")
    world.ask()
    world.run_ms(1_500)
    assert world.codes(world.ask(onset_at_ns=due_ns(world))) == {"ILK-303"}
    world.host_ns = 60 * MS  # the news of its end is late
    until(world, due_ns(world) + 30 * MS)
    assert world.device.going is None
    assert world.codes(world.ask()) == {"ILK-303"}


def test_the_intermittent_protocol_has_no_segments():
    world = armed("tbs")
    world.ask()
    world.run_ms(2_030)
    assert world.state.segments is None
    assert world.codes(world.ask()) == {"ILK-304"}


# Every segment by itself


def test_each_segment_rests_on_evidence_of_its_own():
    world = first(armed("ctbs"))
    stale = world.evidence(newest_ns=world.mono_ns - 300 * MS)
    assert world.codes(world.ask(evidence=stale)) == {"ILK-306"}
    world.frozen_crc = True
    world.run_ms(40)
    assert world.codes(world.ask()) == set()
    world.run_ms(400)
    assert world.state.trip == trips.EEG_FROZEN.code
    assert world.device.going is None


def test_the_wrong_sign_of_the_response_ends_the_train():
    world = armed("ctbs")
    for response, n in ((0.0, 1), (0.9, 4)):
        for _ in range(n):
            request = world.ask(response=response)
            if world.codes(request):
                assert world.codes(request) == {"ILK-314"}
                return
            world.run_ms(20)
            ends(world)
    raise AssertionError("it went on whatever the response was")


# The ways down


@pytest.mark.parametrize("after_ms", [1, 7, 20, 21, 199, 200, 450, 1_990, 2_014, 2_020, 2_030])
def test_stop_ends_it_between_any_two_pulses(after_ms: float):
    """Within a burst, between bursts, at a joint, and while the next segment is on its way to the device."""
    world = go_on(first(armed("ctbs")), 1)
    request = world.ask()
    world.run_ms(after_ms)
    if after_ms > 2_000:
        assert world.codes(world.ask()) == set()
        world.run_ms(2)
    world.stop()
    pulses = world.device.n_pulses
    assert len(world.calls(StopDevice)) == 1
    assert world.device.going is None
    world.run_ms(3_000)
    assert world.codes(request) == set()
    assert world.device.n_pulses == pulses
    assert world.device.going is None
    assert world.phase == "TRIPPED"
    assert judge(ledger_of(world)).objections == ()


@pytest.mark.parametrize("who", ["controller", "host", "relay"])
def test_a_hang_ends_it_within_its_bound(who: str):
    """As any train of pulses: 150 ms and the relay's time, not the 40 s of the train and not the 2 s of the segment."""
    world = go_on(first(armed("ctbs")), 1)
    world.ask()
    world.run_ms(50)
    if who == "controller":
        world.beating = False
    elif who == "host":
        world.host_answers = False
    else:
        world.relay_answers = False
    began_ns = world.mono_ns
    world.run_ms(200)
    assert world.phase == "TRIPPED"
    assert world.device.going is None
    pulses = world.device.n_pulses
    assert world.mono_ns - began_ns <= 250 * MS
    world.run_ms(3_000)
    assert world.device.n_pulses == pulses


def test_an_interlock_that_hangs_leaves_no_more_than_the_segment():
    """Nobody asks for the next: a device that nobody can stop ends with what it has."""
    world = go_on(first(armed("ctbs")), 1)
    world.ask()
    world.run_ms(50)
    pulses = world.device.n_pulses
    world.device.advance(world.mono_ns + 60_000 * MS)
    assert world.device.n_pulses - pulses <= 30
    assert world.device.going is None


def test_a_train_that_was_stopped_does_not_go_on():
    """Not even where somebody arms anew before the next burst would be due."""
    world = first(armed("ctbs"))
    due = due_ns(world)
    world.take(PauseAsked(pause=Pause(reason="a test")))
    assert world.state.segments is None
    found = judge_start(world.rules, world.state, segment(), due, world.now)
    assert {reason.code for reason in found} == {"ILK-304"}
    before, asked = (_course(n, onset) for n, onset in ((1, due - 2_000 * MS), (2, None)))
    assert list(too_soon(before, asked, due, world.rules.limits)) == []
    assert asked.joined == 10
    before.stop_ns = due - 10 * MS
    assert len(list(too_soon(before, asked, due, world.rules.limits))) == 1
    assert asked.joined == 0


def _course(n: int, onset_ns: int | None) -> Course:
    request = msgspec.structs.replace(armed("ctbs").request(segment()), id=n)
    return Course(request=request, permitted_ns=0, until_ns=0, onset_at_ns=0, onset_ns=onset_ns)


# Accounting


def test_a_segment_does_not_wait_for_the_disk():
    """What it needs was reserved with the one before, and the next is reserved while it runs."""
    world = armed("ctbs")
    world.ask()
    assert not world.calls(Prepare)  # the first one waits
    world.run_ms(20)
    ends(world)
    world.disk_ns = 240 * MS
    for n in range(2, 5):
        world.ask()
        assert len(world.calls(Prepare)) == n
        world.run_ms(20)
        ends(world)
    assert world.phase == "ARMED"
    assert world.state.dose.reserved.n_pulses >= 120


def test_a_train_s_budget_counts_all_of_its_segments():
    world = go_on(first(armed("ctbs")), 3)
    assert (world.state.dose.train.n_pulses, world.state.dose.train.on_time_s) == (120, 8.0)
    assert world.state.dose.granted.n_pulses == 120


def test_the_last_segments_fit_the_budget_to_the_pulse():
    rules = rules_of("ctbs", budgets={"n_pulses": 90})
    world = go_on(first(World(rules).armed()), 2)
    assert world.device.n_pulses == 90
    assert world.codes(world.ask(segment(n_bursts=1, pulses_per_burst=3))) == {"ILK-308"}


# The second hand


def test_the_oracle_finds_a_segment_too_many_and_one_too_late():
    good = ledger_of(go_on(first(World(shorter_trains(8.0)).armed()), 3))
    assert check_ledger(good) == ()
    for train_s, objected in ((8.0, False), (7.9, True)):
        genesis = msgspec.structs.replace(good[0], rules=shorter_trains(train_s))
        assert any("train_s" in each for each in check_ledger((genesis, *good[1:]))) == objected
