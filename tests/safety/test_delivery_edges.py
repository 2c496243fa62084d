"""A slice of output, one fact at a time: what is taken at its very end and not a step beyond, and what is noted of it."""

from __future__ import annotations

import math

import msgspec
import pytest

from drivers.stimulation import Delivery, amplitude, duration_ns, n_pulses
from safety.delivery import _excess, _permitted, delivered, lapse, not_ended
from safety.exposures import NOTHING, plus
from safety.modalities import exposure, interval_after_ns
from safety.safing import Step
from safety.state import Firing, Running, State
from tests.safety.bench_device import MS
from tests.safety.strategies import hold, pulses
from tests.safety.world import World
from tests.safety.worlds import armed, armed_rtms, holding, ready, running_rtms, stopping, tripped_world

SLACK_NS = 60 * MS


def slice_of(token: int, at_ns: int, **bent: object) -> Delivery:
    told = Delivery(
        token=token, start_ns=at_ns, end_ns=at_ns, amplitude=0.1, n_pulses=0, ended=False, confirmed=True
    )
    return msgspec.structs.replace(told, **bent)


def runs(world: World) -> Running:
    assert world.state.running is not None
    return world.state.running


def told(world: World, state: State | None = None, **bent: object) -> Step:
    """A step of the pure function, on the running train's own token."""
    found = world.state if state is None else state
    token = found.running.token if found.running is not None else 99
    said = msgspec.structs.replace(slice_of(token, world.mono_ns), **bent)
    return delivered(world.rules, found, said, world.now)


# What nobody permitted


def test_only_the_token_that_is_being_fired_may_tell_before_its_answer():
    world = holding(hold(0.5))
    firing = Firing(request=world.request(), call=1, token=77, since_ns=world.mono_ns, onset_at_ns=0)
    state = msgspec.structs.replace(world.state, running=None, before=None, firing=firing)
    permitted = _permitted(state, 77)
    assert permitted is not None and permitted.token == 77
    assert permitted.until_ns == permitted.zero_ns == permitted.settled_ns == world.mono_ns + 3_600 * 10**9
    assert permitted.ceiling == 1.0
    nothing = msgspec.structs.replace(firing, request=world.request(hold(0.0)))
    of_nothing = _permitted(msgspec.structs.replace(state, firing=nothing), 77)
    assert of_nothing is not None and of_nothing.ceiling == 0.0
    assert _permitted(state, 78) is None
    assert _permitted(msgspec.structs.replace(state, firing=None), 77) is None


@pytest.mark.parametrize("over", (False, True))
@pytest.mark.parametrize("bent", [{}, {"amplitude": 0.0}, {"amplitude": 0.0, "n_pulses": 1}], ids=str)
def test_while_armed_no_slice_of_nobody_is_taken(bent: dict[str, object], over: bool):
    world = armed()
    state = msgspec.structs.replace(world.state, over=(99,) if over else ())
    assert told(world, state, **bent).state.trip == "ILK-216"


@pytest.mark.parametrize(
    ("bent", "over", "peace"),
    [
        ({"amplitude": 0.0}, (), True),
        ({"amplitude": 0.0, "n_pulses": 1}, (), False),
        ({"amplitude": 0.1}, (), False),
        ({"amplitude": 0.1}, (98,), False),
        ({"amplitude": 0.1}, (98, 99), True),
        ({"amplitude": math.nan}, (), False),
    ],
    ids=str,
)
def test_while_nothing_is_armed_silence_and_what_a_stop_ended_are(
    bent: dict[str, object], over: tuple[int, ...], peace: bool
):
    world = ready()
    state = msgspec.structs.replace(world.state, over=over)
    step = told(world, state, **bent)
    assert (step == Step(state)) is peace
    assert (step.state.trip == "ILK-216") is not peace


def test_a_stray_while_tripped_is_stopped_again_where_no_stop_is_under_way():
    world = tripped_world()
    assert world.state.stopping is None
    again = told(world)
    assert again.state.stopping is not None and again.state.stopping.how == "cut"
    under_way = stopping()
    state = msgspec.structs.replace(under_way.state, running=None, before=None, over=())
    assert state.stopping is not None
    found = told(under_way, state).state
    assert (found.trip, found.also) == (under_way.state.trip, ("ILK-216",))  # told once, beside the first


# Numbers


@pytest.mark.parametrize(
    ("bent", "possible"),
    [
        ({"n_pulses": 1_000_000}, True), ({"n_pulses": 1_000_001}, False), ({"n_pulses": -1_000_001}, False),
        ({"amplitude": 1e6}, True), ({"amplitude": math.nextafter(1e6, 1e7)}, False), ({"amplitude": -1.1e6}, False),
        ({"start_ns": -(2**62)}, True), ({"start_ns": -(2**62) - 1}, False), ({"start_ns": 2**62 + 1}, False),
        ({"end_ns": 2**62}, True), ({"end_ns": 2**62 + 1}, False), ({"end_ns": -(2**62) - 1}, False),
        ({"amplitude": math.nan}, False), ({"amplitude": math.inf}, False),
    ],
    ids=str,
)  # fmt: skip
def test_numbers_that_cannot_be_are_told_from_those_that_are_too_much(
    bent: dict[str, object], possible: bool
):
    world = running_rtms()
    step = told(world, **bent)
    assert ("numbers that cannot be" in step.state.trip_text) is not possible
    if not possible:
        assert step.state.dose.confirmed == world.state.dose.confirmed


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (0.5 * 1.0001 + 1e-9, True), (math.nextafter(0.5 * 1.0001 + 1e-9, 1), False), (0.50006, False),
        (-1e-300, False), (0.0, True),
    ],
)  # fmt: skip
def test_the_amplitude_of_a_hold_that_has_settled(value: float, good: bool):
    world = holding(hold(0.5))
    running = msgspec.structs.replace(runs(world), settled_ns=0, ceiling=9.0)
    step = told(world, msgspec.structs.replace(world.state, running=running), amplitude=value)
    assert (step.state.trip == "") is good


@pytest.mark.parametrize(("amplitude_ma_pp", "good"), [(0.0, True), (5e-324, False), (0.0005, False)])
def test_what_is_long_over_puts_out_nothing_at_all(amplitude_ma_pp: float, good: bool):
    world = holding(hold(0.5))
    end_ns = runs(world).zero_ns + 10**9
    step = told(world, amplitude=amplitude_ma_pp, end_ns=end_ns)
    assert ("longer than permitted" in step.state.trip_text) is not good


def test_a_slice_that_goes_beyond_nothing_is_said_nothing_of():
    world = holding(hold(0.5))
    assert _excess(runs(world), slice_of(runs(world).token, world.mono_ns)) == ""


def test_until_it_has_settled_a_hold_may_have_what_was_before():
    world = holding(hold(0.5))
    at_ns = world.mono_ns
    running = msgspec.structs.replace(runs(world), settled_ns=at_ns, ceiling=0.9)
    state = msgspec.structs.replace(world.state, running=running)
    assert told(world, state, amplitude=0.9).state.trip == ""
    assert told(world, state, amplitude=0.9, start_ns=at_ns + 1, end_ns=at_ns + 1).state.trip == "ILK-215"


@pytest.mark.parametrize(("before_ns", "good"), [(0, True), (SLACK_NS, True), (SLACK_NS + 1, False)])
def test_how_long_before_its_onset_a_slice_may_begin(before_ns: int, good: bool):
    world = holding(hold(0.5))
    assert (told(world, start_ns=runs(world).onset_ns - before_ns).state.trip == "") is good


@pytest.mark.parametrize(("after_ns", "good"), [(0, True), (SLACK_NS, True), (SLACK_NS + 1, False)])
def test_how_long_after_its_end_a_slice_may_have_output(after_ns: int, good: bool):
    world = holding(hold(0.5))
    end_ns = runs(world).zero_ns + after_ns
    assert (told(world, end_ns=end_ns).state.trip == "") is good
    assert told(world, end_ns=end_ns, amplitude=0.0).state.trip == ""


@pytest.mark.parametrize(("span_ns", "good"), [(0, True), (-1, False), (1, True)])
def test_a_slice_ends_no_sooner_than_it_starts(span_ns: int, good: bool):
    world = holding(hold(0.5))
    assert (told(world, end_ns=world.mono_ns + span_ns).state.trip == "") is good


@pytest.mark.parametrize(
    ("had", "n", "good"), [(0, 40, True), (0, 41, False), (39, 1, True), (40, 1, False), (0, -1, False)]
)
def test_the_pulses_of_a_train_add_up(had: int, n: int, good: bool):
    world = armed_rtms()
    world.ask(pulses(n_pulses=40))
    world.run_ms(60)
    assert n_pulses(runs(world).train) == 40
    running = msgspec.structs.replace(runs(world), pulses=had)
    step = told(world, msgspec.structs.replace(world.state, running=running), n_pulses=n)
    assert (step.state.trip == "") is good
    assert step.state.running is None or step.state.running.pulses == had + max(0, n)


def test_a_hold_has_no_pulses():
    world = holding(hold(0.5))
    assert told(world, n_pulses=1).state.trip == told(world, n_pulses=-1).state.trip == "ILK-215"


# What is noted


def test_each_slice_is_spent_and_counted_where_it_belongs():
    world = holding(hold(0.5))
    state = msgspec.structs.replace(
        world.state, dose=msgspec.structs.replace(world.state.dose, confirmed=NOTHING)
    )
    step = told(world, state, end_ns=world.mono_ns + 7 * MS, amplitude=0.4)
    spent = exposure(runs(world).train, 7 * MS, 0.4)
    assert step.state.dose.confirmed == spent != NOTHING
    assert step.state.running == runs(world)
    backwards = told(world, state, end_ns=world.mono_ns - 7 * MS, amplitude=0.4)
    assert backwards.state.dose.confirmed == exposure(runs(world).train, 0, 0.4)


def test_pulses_are_spent_as_told_and_never_less_than_none():
    world = running_rtms()
    state = msgspec.structs.replace(
        world.state, dose=msgspec.structs.replace(world.state.dose, confirmed=NOTHING)
    )
    for n, counted in ((3, 3), (0, 0), (-2, 0)):
        assert told(world, state, n_pulses=n, amplitude=0.0).state.dose.confirmed.n_pulses == counted


def test_the_end_of_a_train_begins_the_interval_to_the_next():
    world = running_rtms()
    running = runs(world)
    for known_ns in (0, 10**18):
        state = msgspec.structs.replace(
            world.state, running=running, not_before_ns=known_ns, train_end_ns=known_ns
        )
        end_ns = world.mono_ns + 5 * MS
        after = told(world, state, end_ns=end_ns, ended=True, n_pulses=1).state
        assert after.running is None and after.before is not None and after.before.ended
        assert after.train_end_ns == max(known_ns, end_ns)
        over_ns = end_ns + interval_after_ns(running.train, world.rules.limits)
        assert after.not_before_ns == max(known_ns, over_ns)
        assert after.watch.host_state == "" and after.watch.poll == state.watch.poll + 1


def test_the_end_of_a_hold_is_no_end_of_a_train():
    world = holding(hold(0.0))
    state = msgspec.structs.replace(world.state, train_end_ns=5)
    after = told(world, state, ended=True, amplitude=0.0).state
    assert (after.running, after.train_end_ns, after.lapses) == (None, 5, ())


def test_what_ran_before_is_noted_there():
    world = holding(hold(0.5))
    before = msgspec.structs.replace(runs(world), token=77)
    state = msgspec.structs.replace(world.state, before=before)
    after = told(world, state, token=77, ended=True).state
    assert after.running == state.running
    assert after.before == msgspec.structs.replace(before, ended=True)
    assert told(world, after, token=77).state.before == after.before  # once ended, it stays so


@pytest.mark.parametrize("ended", (False, True))
def test_a_slice_that_overtakes_the_answer_is_noted_on_the_fire(ended: bool):
    world = armed_rtms()
    under_way = Firing(
        request=world.request(pulses(n_pulses=40)),
        call=9,
        token=7,
        since_ns=world.mono_ns,
        onset_at_ns=0,
        pulses=2,
    )
    state = msgspec.structs.replace(world.state, firing=under_way)
    high = amplitude(under_way.request.train)
    after = told(
        world, state, token=7, n_pulses=3, ended=ended, end_ns=world.mono_ns + 5, amplitude=high
    ).state
    ended_ns = world.mono_ns + 5 if ended else 0
    assert after.firing == msgspec.structs.replace(under_way, pulses=5, ended_ns=ended_ns)
    assert after.running is None and after.trip == ""
    assert told(world, state, token=7, amplitude=high * 1.01).state.trip == "ILK-215"
    assert told(world, state, token=7, n_pulses=39).state.trip == "ILK-215"


@pytest.mark.parametrize("ended", (False, True))
@pytest.mark.parametrize(("token", "renews"), [(77, False), (77, True), (0, True)])
def test_a_slice_of_what_runs_is_noted_there_whatever_is_under_way(token: int, renews: bool, ended: bool):
    """A renewal goes on with the token that runs."""
    world = holding(hold(0.5))
    under_way = Firing(
        request=world.request(hold(0.5)),
        call=9,
        token=token or runs(world).token,
        since_ns=world.mono_ns,
        onset_at_ns=0,
        renews=renews,
    )
    last = msgspec.structs.replace(runs(world), token=55)
    state = msgspec.structs.replace(world.state, firing=under_way, before=last)
    after = told(world, state, ended=ended).state
    assert after.firing == under_way
    assert after.running == (None if ended else runs(world))
    assert after.before == (msgspec.structs.replace(runs(world), ended=True) if ended else last)


@pytest.mark.parametrize("has_running", (False, True))
def test_a_slice_of_a_renewal_of_what_runs_no_more_is_noted_nowhere(has_running: bool):
    world = holding(hold(0.5))
    under_way = Firing(
        request=world.request(hold(0.5)), call=9, token=77, since_ns=world.mono_ns, onset_at_ns=0, renews=True
    )
    running = runs(world) if has_running else None
    state = msgspec.structs.replace(world.state, firing=under_way, running=running, before=None)
    for ended in (False, True):
        after = told(world, state, token=77, ended=ended).state
        assert (after.running, after.before, after.firing) == (running, None, under_way)


# Lapses


@pytest.mark.parametrize(
    ("bent", "lapses"),
    [({}, 1), ({"token": 77}, 0), ({"ended": False}, 0)],
    ids=str,
)
def test_a_hold_that_ends_by_itself_above_zero_has_lapsed(bent: dict[str, object], lapses: int):
    world = holding(hold(0.5))
    before = msgspec.structs.replace(runs(world), token=77)
    state = msgspec.structs.replace(world.state, before=before, not_before_ns=0)
    after = told(world, state, **({"ended": True} | bent)).state
    assert len(after.lapses) == lapses
    off_ns = world.mono_ns + world.rules.limits.watch.off_min_ms * MS
    assert after.not_before_ns >= off_ns if lapses else after.not_before_ns < off_ns


@pytest.mark.parametrize(("level", "lapses"), [(0.0, 0), (5e-324, 1), (0.0005, 1)])
def test_the_least_that_was_held_has_lapsed_and_nothing_has_not(level: float, lapses: int):
    world = holding(hold(0.5))
    running = msgspec.structs.replace(runs(world), train=hold(level))
    ended = told(world, msgspec.structs.replace(world.state, running=running), ended=True, amplitude=0.0)
    assert len(ended.state.lapses) == lapses


def test_what_is_taken_over_from_or_not_armed_does_not_lapse():
    world = holding(hold(0.5))
    next_ = Firing(request=world.request(), call=9, token=7, since_ns=world.mono_ns, onset_at_ns=0)
    assert told(world, msgspec.structs.replace(world.state, firing=next_), ended=True).state.lapses == ()
    renewed = msgspec.structs.replace(next_, renews=True, token=runs(world).token)
    assert (
        len(told(world, msgspec.structs.replace(world.state, firing=renewed), ended=True).state.lapses) == 1
    )
    idle = msgspec.structs.replace(world.state, phase="READY")
    assert told(world, idle, ended=True).state.lapses == ()
    train = running_rtms()
    assert told(train, ended=True, n_pulses=1).state.lapses == ()


def test_each_lapse_has_its_off_time_and_only_the_third_in_a_minute_trips():
    world = armed()
    most = world.rules.limits.watch.lapses_max
    off_ns = world.mono_ns + world.rules.limits.watch.off_min_ms * MS
    for known_ns in (0, 10**18):
        for n in range(most):
            lapses = (world.mono_ns,) * n
            state = msgspec.structs.replace(world.state, lapses=lapses, not_before_ns=known_ns)
            after = lapse(world.rules, state, world.now).state
            assert after.not_before_ns == max(known_ns, off_ns)
            assert (after.trip == "ILK-251") is (n + 1 >= most)
            assert after.lapses == (*lapses, world.mono_ns)
            idle = msgspec.structs.replace(state, phase="READY")
            assert lapse(world.rules, idle, world.now).state.trip == ""


@pytest.mark.parametrize("over_ns", (0, 1, 9_750 * MS))
def test_an_end_that_was_told_or_is_not_due_is_not_missed(over_ns: int):
    world = holding(hold(0.5))
    at_ns = runs(world).zero_ns + 250 * MS + over_ns
    now = msgspec.structs.replace(world.now, mono_ns=at_ns)
    missed = not_ended(world.rules, world.state, now)
    assert (missed is not None) is (over_ns > 0)
    late_ms = 250 + over_ns // MS
    assert missed is None or missed.state.trip_text.endswith(f": {late_ms} ms after the lease")
    ended = msgspec.structs.replace(world.state, running=msgspec.structs.replace(runs(world), ended=True))
    assert not_ended(world.rules, ended, now) is None
    assert not_ended(world.rules, msgspec.structs.replace(world.state, running=None), now) is None


def test_the_slices_of_a_train_add_up_to_what_it_spends():
    world = running_rtms()
    half_ns = duration_ns(runs(world).train) // 2
    state = msgspec.structs.replace(
        world.state, dose=msgspec.structs.replace(world.state.dose, confirmed=NOTHING)
    )
    onset_ns = runs(world).onset_ns
    first = told(world, state, start_ns=onset_ns, end_ns=onset_ns + half_ns, n_pulses=2).state
    second = told(world, first, start_ns=onset_ns + half_ns, end_ns=onset_ns + 2 * half_ns, n_pulses=3).state
    one = msgspec.structs.replace(exposure(runs(world).train, half_ns, 0.1), n_pulses=0)
    assert second.dose.confirmed == msgspec.structs.replace(plus(one, one), n_pulses=5)
