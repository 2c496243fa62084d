"""One event on one state: what the step does, and what it leaves as it was."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from drivers.link import CallFailed, Done, Poll, Status, StopDevice
from drivers.stimulator import DeviceStatus
from safety.events import (
    BadFrame,
    Beat,
    Durable,
    EndAsked,
    Event,
    Gone,
    HostGone,
    HostSaid,
    LedgerTrouble,
    PauseAsked,
    RelayGone,
    RelaySaid,
    StopPressed,
    Tick,
)
from safety.interlock import END_NS, _ending, is_entry, step
from safety.messages import ActResult, End, Heartbeat, Pause, PhaseChanged
from safety.safing import Step
from safety.state import (
    Arming,
    EndProcess,
    OpenRelay,
    PetRelay,
    State,
    Stopping,
    ToController,
    ToDevice,
    ToPerson,
)
from safety.watchdogs import POLL_NS
from tests.safety.bench_device import MS
from tests.safety.strategies import hold
from tests.safety.world import World
from tests.safety.worlds import armed, arming, holding, in_hand, ready, safe, tripped_world

STOPPING = Stopping(call=50, how="ramp", deadline_ns=10**18, taken=True)


def decided(world: World, event: Event, **bent: object) -> Step:
    """The step from this world's state, bent so, with the device of a fresh watch."""
    return step(world.rules, msgspec.structs.replace(world.state, **bent), event, world.now)


def sent(found: Step) -> list[str]:
    return [
        each.message.how
        for each in found.effects
        if isinstance(each, ToDevice) and isinstance(each.message, StopDevice)
    ]


def said(found: Step) -> list[str]:
    return [
        each.message.text
        for each in found.effects
        if isinstance(each, ToController) and isinstance(each.message, PhaseChanged)
    ]


def answers(found: Step) -> list[ActResult]:
    return [each.result for each in found.effects if isinstance(each, ToPerson)]


def failed(call: int, code: str = "lost") -> HostSaid:
    return HostSaid(message=CallFailed(call=call, code=code, text="why"))


def status(world: World, call: int | None = None, amplitude: float = 0.0, word: str = "idle") -> HostSaid:
    told = DeviceStatus(state=word, at_ns=0, fault="", impedance_kohm=3.0, amplitude=amplitude)  # type: ignore[arg-type]
    return HostSaid(message=Status(call=-world.state.watch.poll if call is None else call, status=told))


# A call that failed


@pytest.mark.parametrize("make", (ready, armed, tripped_world))
def test_a_poll_that_was_superseded_is_nothing_and_no_other_call_is(make: Callable[[], World]):
    world = make()
    assert decided(world, failed(-3, "superseded")).state.phase == world.phase
    assert decided(world, failed(-3, "superseded")).effects == ()
    assert decided(armed(), failed(0, "superseded")).state.trip
    assert decided(armed(), failed(3, "superseded")).state.trip


def test_a_stop_that_failed_opens_the_relay_and_nobody_arms_again():
    world = tripped_world()
    found = decided(world, failed(50), stopping=STOPPING)
    assert (found.state.host, found.state.host_text, found.state.stopping) == ("failed", "lost: why", None)
    assert OpenRelay() in found.effects
    assert "zero is NOT CONFIRMED (lost: why): use the hardware stop" in said(found)
    other = decided(world, failed(51), stopping=STOPPING)
    assert other.state.stopping == STOPPING and other.state.host == world.state.host


@pytest.mark.parametrize(("call", "ends"), [(9, True), (0, True), (-1, True), (1, False), (10, False)])
def test_an_arming_ends_with_its_own_call_or_with_the_link(call: int, ends: bool):
    world = arming()
    under_way = world.state.arming
    assert under_way is not None
    bent: Arming = msgspec.structs.replace(under_way, step="device", call=9)
    found = decided(world, failed(call), arming=bent)
    assert (found.state.arming is None) is ends
    assert sent(found) == (["cut"] if ends else [])
    assert [each.code for each in answers(found)] == (["ILK-336"] if ends else [])


@pytest.mark.parametrize(
    ("call", "host", "broken"),
    [(0, "open", True), (-1, "open", True), (1, "open", False), (1, "opening", True)],
)
def test_before_anything_is_armed_a_failure_of_the_link_is_a_missing_device(
    call: int, host: str, broken: bool
):
    world = ready()
    found = decided(world, failed(call), host=host)
    assert found.state.trip == ""
    assert (found.state.host, found.state.host_text) == (("failed", "lost: why") if broken else (host, ""))
    assert (found.state.phase == "SAFE") is broken


# Status


def test_zero_that_the_device_tells_ends_a_stop():
    world = tripped_world()
    at_zero = msgspec.structs.replace(world.state.watch, host_state="idle", host_amplitude=0.0)
    found = decided(world, status(world), stopping=STOPPING, watch=at_zero)
    assert found.state.stopping is None and OpenRelay() in found.effects
    early = decided(world, status(world), stopping=msgspec.structs.replace(STOPPING, taken=False))
    assert early.state.stopping is not None and OpenRelay() not in early.effects


def test_output_while_nothing_is_armed_trips_and_while_tripped_is_cut():
    world = ready()
    found = decided(world, status(world, amplitude=0.3))
    assert (found.state.trip, "0.3 while READY" in found.state.trip_text) == ("ILK-216", True)
    down = tripped_world()
    again = decided(down, status(down, amplitude=0.3))
    assert sent(again) == ["cut"] and again.state.trip == down.state.trip
    assert decided(down, status(down, amplitude=0.3), stopping=STOPPING).effects == ()
    older = decided(world, status(world, call=-world.state.watch.poll - 1, amplitude=0.3))
    assert older.state.trip == "" and older.effects == ()


def test_while_armed_a_status_decides_nothing():
    world = holding(hold(0.5))
    found = decided(world, status(world, amplitude=0.5, word="delivering"))
    assert found.effects == () and found.state.phase == "ARMED"


# Who is gone


@pytest.mark.parametrize(("make", "trips"), [(armed, True), (arming, True), (ready, False), (safe, False)])
def test_a_host_that_is_gone_confirms_nothing(make: Callable[[], World], trips: bool):
    world = make()
    found = decided(world, HostGone(why="killed"), stopping=STOPPING)
    assert (found.state.host, found.state.host_text, found.state.stopping) == ("gone", "killed", None)
    assert OpenRelay() in found.effects
    assert (found.state.trip == "ILK-212") is trips
    before = decided(world, HostGone(why="killed"), host="failed", host_text="no port")
    assert before.state.host_text == "no port"


@pytest.mark.parametrize(
    ("make", "phase", "ending"),
    [
        (armed, "TRIPPED", False),
        (arming, "TRIPPED", False),
        (tripped_world, "TRIPPED", False),
        (ready, "SAFE", True),
    ],
)
def test_a_controller_that_is_gone(make: Callable[[], World], phase: str, ending: bool):
    world = make()
    before = world.state.trip
    found = decided(world, Gone(why="killed"))
    assert (found.state.phase, found.state.ending, found.state.controller) == (phase, ending, False)
    assert found.state.trip == (before or ("ILK-202" if phase == "TRIPPED" else ""))


@pytest.mark.parametrize(
    ("make", "phase", "ending", "stops"),
    [
        (armed, "SAFE", True, ["ramp"]), (arming, "SAFE", True, ["ramp"]), (ready, "SAFE", True, []),
        (tripped_world, "TRIPPED", False, []),
    ],
)  # fmt: skip
def test_an_end_that_is_asked_for(make: Callable[[], World], phase: str, ending: bool, stops: list[str]):
    found = decided(make(), EndAsked(end=End(reason="done")))
    assert (found.state.phase, found.state.ending, sent(found)) == (phase, ending, stops)


@pytest.mark.parametrize(
    ("make", "stops"), [(armed, ["ramp"]), (arming, ["ramp"]), (ready, []), (tripped_world, [])]
)
def test_a_pause_is_of_what_is_armed(make: Callable[[], World], stops: list[str]):
    world = make()
    found = decided(world, PauseAsked(pause=Pause(reason="rest")))
    assert sent(found) == stops
    assert found.state.phase == ("READY" if stops else world.phase) and found.state.trip == world.state.trip


@pytest.mark.parametrize(("make", "trips"), [(armed, True), (arming, True), (ready, False)])
def test_a_relay_that_is_gone_is_missed(make: Callable[[], World], trips: bool):
    found = decided(make(), RelayGone(why="closed"))
    assert not found.state.relay
    assert (found.state.phase, bool(found.state.trip)) == (("TRIPPED", True) if trips else ("SAFE", False))


@pytest.mark.parametrize(("closed", "trip"), [(True, ""), (False, "ILK-223")])
def test_a_relay_that_opens_while_armed(closed: bool, trip: str):
    found = decided(armed(), RelaySaid(closed=closed))
    assert bool(found.state.trip) is bool(trip)
    assert found.state.relay_closed is closed
    assert decided(ready(), RelaySaid(closed=closed)).state.trip == ""


@pytest.mark.parametrize(
    ("kind", "make", "trip"),
    [
        ("failed", safe, "ILK-231"), ("failed", ready, "ILK-231"), ("disk_low", armed, "ILK-232"),
        ("disk_low", arming, "ILK-232"), ("limits_changed", armed, "ILK-233"), ("disk_low", ready, ""),
        ("limits_changed", ready, ""),
    ],
)  # fmt: skip
def test_trouble_of_the_ledger(kind: str, make: Callable[[], World], trip: str):
    found = decided(make(), LedgerTrouble(kind=kind, text="why"))
    assert bool(found.state.trip) is bool(trip)
    kept = (LedgerTrouble(kind=kind, text="why"),)
    assert found.state.troubles == (() if trip else kept)


@pytest.mark.parametrize(("source", "counts"), [("controller", 1), ("person", 0)])
def test_only_frames_of_the_controller_are_counted(source: str, counts: int):
    world = armed()
    found = decided(world, BadFrame(source=source, text="rubbish"), bad_frames=3)
    assert found.state.bad_frames == 3 + counts and found.state.trip == ""
    last = decided(world, BadFrame(source=source, text="rubbish"), bad_frames=19)
    assert bool(last.state.trip) is bool(counts)
    idle = decided(ready(), BadFrame(source=source, text="rubbish"), bad_frames=19)
    assert idle.state.trip == "" and idle.state.bad_frames == 19 + counts


# By the clock


@pytest.mark.parametrize("over_ns", (0, 1))
def test_deadlines_of_a_stop_and_of_an_arming(over_ns: int):
    world = tripped_world()
    due = msgspec.structs.replace(STOPPING, deadline_ns=world.mono_ns - over_ns)
    found = decided(world, Tick(behind_ns=0), stopping=due)
    assert (found.state.stopping is None) is bool(over_ns)
    assert any("NOT CONFIRMED (the stop was not confirmed)" in text for text in said(found)) is bool(over_ns)
    waiting = arming()
    assert waiting.state.arming is not None
    for at, code, words, stops in (
        ("record", "ILK-311", "that the rig is armed", []),
        ("open_2", "ILK-335", "it did not open by its own silence", []),
        ("close_1", "ILK-335", "no answer at close_1", []),
        ("device", "ILK-336", "no answer in time", ["cut"]),
    ):
        late = msgspec.structs.replace(waiting.state.arming, step=at, deadline_ns=waiting.mono_ns - over_ns)
        ended = decided(waiting, Tick(behind_ns=0), arming=late)
        assert (ended.state.arming is None) is bool(over_ns)
        assert sent(ended) == (stops if over_ns else [])
        assert [(each.code, words in each.text) for each in answers(ended)] == (
            [(code, True)] if over_ns else []
        )


@pytest.mark.parametrize(("late_ms", "trips"), [(150, False), (151, True)])
def test_whatever_comes_first_after_a_pause_of_its_own_finds_it(late_ms: int, trips: bool):
    world = armed()
    watch = msgspec.structs.replace(world.state.watch, tick_ns=world.mono_ns - late_ms * MS)
    for event in (RelaySaid(closed=True), Durable(seq=0)):
        found = decided(world, event, watch=watch)
        assert (found.state.trip == "ILK-241") is trips
        assert ("a tick came after 151 ms" in found.state.trip_text) is trips
    pressed = decided(world, StopPressed(source="web", ends=False), watch=watch)
    assert pressed.state.trip == "ILK-001"
    never = msgspec.structs.replace(watch, tick_ns=0)
    assert decided(world, RelaySaid(closed=True), watch=never).state.trip == ""


@pytest.mark.parametrize(("since_ns", "asks"), [(POLL_NS - 1, False), (POLL_NS, True), (POLL_NS + 1, True)])
def test_the_device_is_asked_as_soon_as_it_is_due(since_ns: int, asks: bool):
    world = armed()
    watch = msgspec.structs.replace(world.state.watch, poll_ns=0, host_ns=world.mono_ns - since_ns)
    found = decided(world, Tick(behind_ns=0), watch=watch)
    calls = [e.message.call for e in found.effects if isinstance(e, ToDevice) and isinstance(e.message, Poll)]
    assert calls == [-watch.poll - 1] * asks and found.state.watch.poll == watch.poll + asks


@pytest.mark.parametrize(("waited_ns", "ends"), [(END_NS, False), (END_NS + 1, True)])
def test_a_ledger_that_does_not_become_durable_is_not_waited_for_without_end(waited_ns: int, ends: bool):
    world = safe()
    watch = msgspec.structs.replace(world.state.watch, durable=0)
    done_ns = world.mono_ns - waited_ns
    state = msgspec.structs.replace(world.state, watch=watch, ending=True, done_ns=done_ns)
    assert (EndProcess(status=0) in _ending(world.rules, state, world.now).effects) is ends


@pytest.mark.parametrize(
    ("trip", "behind", "ends"), [("", 0, True), ("", 1, False), ("ILK-001", 1, False), ("ILK-232", 1, True)]
)
def test_it_ends_when_all_is_written_or_nothing_more_can_be(trip: str, behind: int, ends: bool):
    world = safe()
    watch = msgspec.structs.replace(world.state.watch, durable=world.state.entries - behind)
    state = msgspec.structs.replace(world.state, watch=watch, trip=trip, ending=True, done_ns=world.mono_ns)
    found = _ending(world.rules, state, world.now)
    assert [e.status for e in found.effects if isinstance(e, EndProcess)] == [4 if trip else 0] * ends


def test_what_stands_in_the_ledger():
    world = armed()
    state: State = world.state
    beat = Beat(heartbeat=Heartbeat(seq=1, progress=1, evidence=world.evidence()))
    for event in (Tick(behind_ns=0), beat, Durable(seq=1), RelaySaid(closed=True), status(world)):
        assert not is_entry(state, event, Step(state))
        assert not is_entry(state, event, Step(state, (PetRelay(),)))
        assert is_entry(state, event, Step(state, (PetRelay(), OpenRelay())))
        assert not is_entry(state, event, Step(state, (ToDevice(message=Poll(call=-1)),)))
        assert is_entry(state, event, Step(state, (ToDevice(message=StopDevice(call=1, how="cut")),)))
        moved = msgspec.structs.replace(state, watch=msgspec.structs.replace(state.watch, tick_ns=1))
        assert not is_entry(state, event, Step(moved))
        assert is_entry(state, event, Step(msgspec.structs.replace(state, last_id=state.last_id + 1)))
    for event in (Gone(why=""), HostSaid(message=Done(call=1, at_ns=0))):
        assert is_entry(state, event, Step(state))


def test_an_entry_is_numbered_and_what_is_folded_is_not():
    world = armed()
    assert decided(world, Tick(behind_ns=0)).state.entries == world.state.entries
    assert decided(world, Gone(why="")).state.entries == world.state.entries + 1
    waits = in_hand(hold(0.5))
    assert decided(waits, failed(-1, "superseded")).state.entries == waits.state.entries + 1


@pytest.mark.parametrize(("clock", "code"), [("boot_offset_ns", "ILK-242"), ("wall_offset_ns", "ILK-243")])
def test_a_clock_that_went_astray_is_named_before_the_lateness_that_it_makes(clock: str, code: str):
    world = armed()
    world.jump_to(world.mono_ns + 151 * MS)
    setattr(world, clock, getattr(world, clock) + 60_000 * MS)
    world.tick()
    assert world.state.trip == code
