"""When something runs, goes on, fits or rises: each instant at its turn, and a nanosecond to either side."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import pytest

from drivers.stimulation import Train
from safety import judging
from safety.judging import _handing_over as handing_over
from safety.judging import _onset_fits as onset_fits
from safety.judging import (
    allowed_now,
    carried,
    is_increase,
    judge,
    judge_start,
    lease_fits,
    least_output,
    may_put_out,
    present,
    steps_down,
)
from safety.messages import Permit, Request
from safety.state import Firing, Running, State, Stopping
from tests.safety.bench_device import MS
from tests.safety.histories import history_with, past
from tests.safety.strategies import hold, pulses
from tests.safety.world import UID, World
from tests.safety.worlds import armed, armed_rtms, holding, in_hand, running_rtms

TAKEOVER_NS = 50 * MS


def runs(world: World) -> Running:
    assert world.state.running is not None
    return world.state.running


def with_running(world: World, **bent: object) -> State:
    return msgspec.structs.replace(world.state, running=msgspec.structs.replace(runs(world), **bent))


def asking(world: World, train: Train | None = None, onset_at_ns: int = 0) -> Request:
    return msgspec.structs.replace(world.request(train or hold(0.5)), onset_at_ns=onset_at_ns)


@pytest.mark.parametrize(("left_ns", "there"), [(0, True), (1, True), (-1, False)])
def test_what_runs_is_there_to_the_end_of_its_lease(left_ns: int, there: bool):
    world = holding(hold(0.5))
    state = with_running(world, until_ns=world.mono_ns + left_ns)
    assert (present(state, world.now) == state.running) is there
    assert present(with_running(world, ended=True), world.now) is None
    assert present(msgspec.structs.replace(state, running=None), world.now) is None


@pytest.mark.parametrize(("left_ns", "over"), [(1, False), (0, False), (-1, True)])
def test_after_its_lease_a_hold_begins_no_more_where_the_last_one_was(left_ns: int, over: bool):
    world = holding(hold(0.5))
    state = with_running(world, until_ns=world.mono_ns + left_ns)
    against = judge_start(world.rules, state, hold(0.5), world.mono_ns, world.now)
    assert ("ILK-305" in {each.code for each in against}) is over


@pytest.mark.parametrize(("left_ns", "there"), [(TAKEOVER_NS, True), (TAKEOVER_NS - 1, False)])
def test_what_is_carried_on_has_some_of_its_lease_left(left_ns: int, there: bool):
    world = holding(hold(0.5))
    state = with_running(world, until_ns=world.mono_ns + left_ns)
    assert (carried(state, world.mono_ns) == state.running) is there
    assert carried(with_running(world, ended=True), world.mono_ns) is None
    pulsed = running_rtms()
    assert carried(pulsed.state, pulsed.mono_ns) is None
    assert carried(armed().state, world.mono_ns) is None


@pytest.mark.parametrize(("left_ns", "there"), [(0, True), (-1, False)])
def test_a_hold_is_handed_over_while_its_lease_lasts(left_ns: int, there: bool):
    world = holding(hold(0.5))
    before = msgspec.structs.replace(runs(world), until_ns=world.mono_ns + left_ns)
    next_ = Firing(request=world.request(), call=1, token=2, since_ns=0, onset_at_ns=0)
    state = msgspec.structs.replace(world.state, running=None, before=before, firing=next_)
    assert (handing_over(state, world.now) == before) is there
    assert allowed_now(world.rules, state, world.now).amplitude_now == (0.5 if there else 0.0)
    assert handing_over(msgspec.structs.replace(state, firing=None), world.now) is None
    assert handing_over(msgspec.structs.replace(state, before=None), world.now) is None
    pulsed = msgspec.structs.replace(runs(running_rtms()), until_ns=10**18)
    assert handing_over(msgspec.structs.replace(state, before=pulsed), world.now) is None


@pytest.mark.parametrize(("tacs_ago_s", "rtms_ago_s"), [(10, 20), (20, 10)])
def test_of_a_gap_and_a_wash_out_that_both_run_the_longer_is_told(tacs_ago_s: int, rtms_ago_s: int):
    world = armed()
    wall_ns = world.now.wall_ns
    earlier = history_with(
        past(wall_ns - tacs_ago_s * 10**9, "tacs", on_time_s=1.0),
        past(wall_ns - rtms_ago_s * 10**9, "rtms", n_pulses=1),
    )
    limits = world.rules.limits
    spacing = tuple(msgspec.structs.replace(each, low=3600.0) for each in limits.spacing)
    rules = msgspec.structs.replace(
        world.rules, history=earlier, limits=msgspec.structs.replace(limits, spacing=spacing)
    )
    told = allowed_now(rules, world.state, world.now)
    assert told.not_before_ns == world.mono_ns + (3600 - min(tacs_ago_s, rtms_ago_s)) * 10**9


def test_nothing_is_permitted_while_a_stop_is_on_its_way_or_the_device_is_not_known():
    world = armed()
    request = world.request()
    assert judge(world.rules, world.state, request, world.now) == ()
    stopping_ = Stopping(call=1, how="ramp", deadline_ns=0)
    for bent in ({"stopping": stopping_}, {"capabilities": None}, {"phase": "READY"}):
        state = msgspec.structs.replace(world.state, **bent)
        assert [each.code for each in judge(world.rules, state, request, world.now)] == ["ILK-301"]


@pytest.mark.parametrize(("ahead_ms", "fits"), [(1, True), (100, True), (101, False)])
def test_a_hold_that_begins_later_is_the_shorter_for_it(ahead_ms: int, fits: bool):
    world = armed()
    request = asking(world, hold(0.4, duration_ms=400), world.mono_ns + ahead_ms * MS)
    assert onset_fits(world.state, request, world.now) is fits


def test_where_nothing_waits_the_next_train_may_come_at_once():
    world = holding(hold(0.5))
    told = allowed_now(world.rules, world.state, world.now)
    assert (told.not_before_ns, told.busy_until_ns) == (0, 0)
    pulsed = running_rtms()
    told = allowed_now(pulsed.rules, pulsed.state, pulsed.now)
    assert told.busy_until_ns == runs(pulsed).until_ns


@pytest.mark.parametrize(
    ("make", "most"), [(lambda: holding(hold(0.5)), 0.5), (running_rtms, 0.0), (armed, 0.0)]
)
def test_while_nothing_may_rise_a_hold_may_stay_and_a_train_is_not_repeated(
    make: Callable[[], World], most: float
):
    world = make()
    response = msgspec.structs.replace(world.state.response, wrong=world.rules.limits.response.windows_refuse)
    told = allowed_now(world.rules, msgspec.structs.replace(world.state, response=response), world.now)
    assert (told.may_rise, told.amplitude_max) == (False, most)


@pytest.mark.parametrize(
    ("onset_ns", "fits"),
    [(-2, False), (-1, True), (0, True), (1, False)],
)
def test_an_onset_that_is_no_instant(onset_ns: int, fits: bool):
    world = armed_rtms()
    assert onset_fits(world.state, asking(world, pulses(), onset_ns), world.now) is fits


@pytest.mark.parametrize(
    ("ahead_ns", "fits"),
    [(-1, False), (0, True), (1, True), (1_000 * MS, True), (1_000 * MS + 1, False)],
)
def test_how_far_ahead_an_onset_may_lie(ahead_ns: int, fits: bool):
    world = armed_rtms()
    asked = asking(world, pulses(), world.mono_ns + ahead_ns)
    assert onset_fits(world.state, asked, world.now) is fits


def test_a_hold_that_takes_over_does_so_at_once():
    world = holding(hold(0.5))
    for onset_ns, fits in ((0, True), (-1, False), (1, False), (world.mono_ns, False)):
        assert onset_fits(world.state, asking(world, hold(0.5), onset_ns), world.now) is fits
    for onset_ns in (-1, world.mono_ns):
        assert onset_fits(world.state, asking(world, pulses(), onset_ns), world.now)


@pytest.mark.parametrize(
    ("duration_ms", "ahead_ns", "fits"),
    [
        (500, 0, True),
        (500, 1, False),
        (499, MS, True),
        (499, MS + 1, False),
        (500, -5, True),
        (501, -MS, False),
    ],
)
def test_a_lease_runs_from_the_decision(duration_ms: int, ahead_ns: int, fits: bool):
    world = armed()
    train = hold(0.5, duration_ms=duration_ms)
    assert lease_fits(train, world.mono_ns + ahead_ns, world.now) is fits
    assert lease_fits(pulses(), world.mono_ns + 10**12, world.now)


def test_a_step_down_is_at_once_and_from_a_hold_that_goes_on():
    world = holding(hold(0.5))
    assert steps_down(world.state, asking(world, hold(0.4)), world.now)
    assert not steps_down(world.state, asking(world, hold(0.5)), world.now)
    assert not steps_down(world.state, asking(world, hold(0.6)), world.now)
    assert not steps_down(world.state, asking(world, hold(0.4), world.mono_ns), world.now)
    late = with_running(world, until_ns=world.mono_ns + TAKEOVER_NS - 1)
    assert not steps_down(late, asking(world, hold(0.4)), world.now)


def test_whether_a_hold_may_still_put_something_out():
    world = holding(hold(0.5))
    high, at_ns = runs(world), world.mono_ns
    assert may_put_out(high, at_ns)
    assert not may_put_out(msgspec.structs.replace(high, ended=True), at_ns)
    zero = msgspec.structs.replace(high, train=hold(0.0), ceiling=0.4, settled_ns=at_ns)
    assert may_put_out(zero, at_ns)
    assert not may_put_out(zero, at_ns + 1)
    assert not may_put_out(msgspec.structs.replace(zero, ceiling=0.0), at_ns)
    assert not may_put_out(runs(running_rtms()), at_ns)


@pytest.mark.parametrize(
    ("least", "target", "since_ms", "level"),
    [
        (0.0, 0.5, 0, 0.0), (0.0, 0.5, 250, 0.125), (0.0, 0.5, 1000, 0.5), (0.0, 0.5, 5000, 0.5), (0.0, 0.5, -5, 0.0),
        (0.2, 0.5, 0, 0.2), (0.2, 0.5, 500, 0.35), (0.2, 0.5, 1000, 0.5),
        (0.5, 0.2, 0, 0.2), (0.5, 0.2, 500, 0.2), (0.4, 0.4005, 500, 0.40025), (0.4, 0.4, 500, 0.4),
    ],
)  # fmt: skip
def test_the_least_that_comes_out_rises_with_the_ramp(
    least: float, target: float, since_ms: float, level: float
):
    train = hold(target, ramp_up_ms=1000)
    running = msgspec.structs.replace(runs(holding(hold(0.5))), train=train, least=least, onset_ns=10**12)
    assert least_output(running, 10**12 + round(since_ms * MS)) == pytest.approx(level, abs=1e-12)


def test_without_a_ramp_the_whole_comes_out_and_of_no_hold_nothing_is_sure():
    running = runs(holding(hold(0.5)))
    at_once = msgspec.structs.replace(running, train=hold(0.3, ramp_up_ms=0), least=0.1)
    assert least_output(at_once, running.onset_ns) == 0.3
    for early_ns in (0, 1, 10**9):
        assert least_output(running, running.onset_ns - early_ns) == running.least
    short = msgspec.structs.replace(running, train=hold(0.3, ramp_up_ms=1), least=0.1, onset_ns=10**12)
    assert least_output(short, 10**12) == 0.1 and least_output(short, 10**12 + MS) == 0.3
    assert least_output(None, 0) == least_output(runs(running_rtms()), 10**18) == 0.0


def test_what_is_more_than_what_runs():
    world = holding(hold(0.5))
    until_ns = runs(world).until_ns
    for train, more in ((hold(0.5), False), (hold(0.4), False), (hold(0.0), False), (hold(0.6), True)):
        assert is_increase(world.state, train, until_ns) is more
    for idle in (
        msgspec.structs.replace(world.state, running=None),
        with_running(world, ended=True),
        with_running(world, until_ns=until_ns - 1),
    ):
        assert is_increase(idle, hold(0.4), until_ns)
        assert not is_increase(idle, hold(0.0), until_ns)


@pytest.mark.parametrize(
    ("high", "since_ns", "asked"),
    [
        (0.5, 1_000 * MS, False),
        (0.5, 1_000 * MS - 1, True),
        (0.5, 0, True),
        (0.4, 1_000 * MS, True),
        (0.6, 1_000 * MS, True),
    ],
)
def test_a_hold_that_goes_on_where_it_is_is_asked_for_no_rise(
    high: float, since_ns: int, asked: bool, monkeypatch: pytest.MonkeyPatch
):
    world = holding(hold(0.5, ramp_up_ms=1000))
    state = with_running(
        world, least=0.0, onset_ns=world.mono_ns - since_ns, until_ns=world.mono_ns + TAKEOVER_NS
    )
    rises: list[float] = []
    monkeypatch.setattr(judging, "check_slew", lambda train, level, limits: rises.append(level) or ())
    judge_start(world.rules, state, hold(high, ramp_up_ms=1000), world.mono_ns, world.now)
    assert len(rises) == asked


@pytest.mark.parametrize(
    ("train", "onset_at_ns", "left_ns", "unclean_ns", "uid", "refused"),
    [
        (hold(0.5), 0, TAKEOVER_NS, 0, UID, False),
        (hold(0.5), 0, TAKEOVER_NS, 2_000 * MS, UID, False),
        (hold(0.5), 0, TAKEOVER_NS, 2_000 * MS + 1, UID, True),
        (hold(0.5), 0, TAKEOVER_NS, 0, "another", True),
        (hold(0.5), 0, TAKEOVER_NS - 1, 0, UID, True),
        (hold(0.5), 1, TAKEOVER_NS, 0, UID, True),
        (hold(0.6), 0, TAKEOVER_NS, 0, UID, True),
    ],
)
def test_while_a_blink_passes_nothing_goes_on_but_a_hold_as_it_is(
    train: Train, onset_at_ns: int, left_ns: int, unclean_ns: int, uid: str, refused: bool
):
    world = holding(hold(0.5))
    state = with_running(world, until_ns=world.mono_ns + left_ns)
    watch = msgspec.structs.replace(state.watch, clean_ns=world.mono_ns - unclean_ns)
    state = msgspec.structs.replace(state, watch=watch)
    request = msgspec.structs.replace(
        asking(world, train, onset_at_ns), evidence=world.evidence(clean_fraction=0.1, stream_uid=uid)
    )
    assert ("ILK-306" in {each.code for each in judge(world.rules, state, request, world.now)}) is refused
    idle = msgspec.structs.replace(state, running=None)
    assert "ILK-306" in {each.code for each in judge(world.rules, idle, request, world.now)}


@pytest.mark.parametrize(
    ("has_asked", "has_firing"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_one_request_at_a_time_is_on_its_way(has_asked: bool, has_firing: bool):
    asked, under_way = in_hand(hold(0.5)), in_hand(hold(0.5), prepared=True)
    world = under_way
    state = msgspec.structs.replace(
        world.state,
        asked=asked.state.asked if has_asked else None,
        firing=world.state.firing if has_firing else None,
    )
    found = judge(world.rules, state, asking(world), world.now)
    assert [each.code for each in found].count("ILK-302") == (has_asked or has_firing)


# What is told beforehand


def test_while_nothing_runs_nothing_is_told_of_it():
    world = armed()
    world.ask(hold(0.5))
    world.run_ms(5)
    permit = world.last(Permit).allowed
    assert (permit.amplitude_now, permit.busy_until_ns) == (0.0, 0)


def test_of_a_train_it_is_told_until_when_and_of_a_hold_how_high():
    pulsed = running_rtms()
    pulsed.codes(pulsed.ask(pulses()))
    refused = pulsed.heard[-1].allowed  # type: ignore[union-attr]
    assert refused.busy_until_ns == runs(pulsed).until_ns
    world = holding(hold(0.5))
    world.ask(hold(math.nextafter(4.0, 5.0)))
    refused = world.heard[-1].allowed  # type: ignore[union-attr]
    assert (refused.busy_until_ns, refused.amplitude_now) == (0, 0.5)
