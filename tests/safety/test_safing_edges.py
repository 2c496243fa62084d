"""The ways to zero, one at a time: what is kept, what is sent, and what a second word changes."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from drivers.link import StopDevice
from safety import trips
from safety.messages import PhaseChanged, Trip
from safety.modalities import rest_after_ns
from safety.safing import (
    Step,
    at_zero,
    press_stop,
    rest_from,
    stand_down,
    stop_over,
    stop_taken,
    stopped_in_order,
    trip,
)
from safety.state import Latch, OpenRelay, State, Stopping, ToController, ToDevice, TrippedAlso, Unlatch
from safety.trips import TripKind
from tests.safety.strategies import hold
from tests.safety.world import World, rules_of
from tests.safety.worlds import armed, holding, ready, running, safe

How = Literal["ramp", "cut"]
RAMP, CUT = trips.STOP, trips.HOST_SILENT


def stopping(how: How, *, taken: bool = False) -> Stopping:
    return Stopping(call=7, how=how, deadline_ns=10**18, taken=taken)


def tripped(world: World, under_way: Stopping | None) -> State:
    return msgspec.structs.replace(world.state, phase="TRIPPED", trip="ILK-001", stopping=under_way)


def sent(step: Step) -> list[str]:
    return [
        each.message.how
        for each in step.effects
        if isinstance(each, ToDevice) and isinstance(each.message, StopDevice)
    ]


def test_a_kind_that_ramps_and_one_that_cuts_are_at_hand():
    assert (RAMP.how, CUT.how) == ("ramp", "cut")


@pytest.mark.parametrize("kind", (RAMP, CUT), ids=lambda kind: kind.how)
def test_a_trip_latches_stops_and_says_why(kind: TripKind):
    world = running()
    step = trip(world.rules, world.state, kind, "where", world.now)
    text = f"{kind.text}: where"
    assert (step.state.phase, step.state.trip, step.state.trip_text, step.state.marked) == (
        "TRIPPED", kind.code, text, True,
    )  # fmt: skip
    assert sent(step) == [kind.how]
    assert (OpenRelay() in step.effects) is (kind.how == "cut")
    assert Latch(code=kind.code, text=text) in step.effects
    said = [each.message for each in step.effects if isinstance(each, ToController)]
    assert Trip(code=kind.code, text=text, remedy=kind.remedy) in said
    assert PhaseChanged(phase="TRIPPED", code=kind.code, text=text) in said
    alone = trip(world.rules, world.state, kind, "", world.now)
    assert alone.state.trip_text == kind.text
    deaf = msgspec.structs.replace(world.state, controller=False)
    assert not [
        e for e in trip(world.rules, deaf, kind, "", world.now).effects if isinstance(e, ToController)
    ]


@pytest.mark.parametrize(
    ("under_way", "kind", "cuts"),
    [
        (None, trips.RESPONSE, False), ("ramp", trips.RESPONSE, False),
        (None, RAMP, False), (None, CUT, False), ("ramp", RAMP, False), ("ramp", CUT, True), ("cut", RAMP, False),
        ("cut", CUT, False),
    ],
)  # fmt: skip
def test_a_later_reason_may_only_make_a_ramp_a_cut(under_way: How | None, kind: TripKind, cuts: bool):
    world = running()
    state = tripped(world, stopping(under_way) if under_way else None)
    step = trip(world.rules, state, kind, "later", world.now)
    assert sent(step) == (["cut"] if cuts else [])
    assert step.state.trip == "ILK-001"
    new = kind.code != "ILK-001"  # which is what has tripped it
    noted = [TrippedAlso(code=kind.code, text=f"{kind.text}: later")] if new else []
    assert [each for each in step.effects if isinstance(each, Latch | TrippedAlso)] == noted
    again = trip(world.rules, msgspec.structs.replace(step.state, stopping=None), kind, "later", world.now)
    assert again.effects == () and again.state.also == step.state.also == ((kind.code,) if new else ())


@pytest.mark.parametrize("ends", (False, True))
@pytest.mark.parametrize("under_way", (None, "ramp", "cut"))
def test_stop_while_tripped(under_way: How | None, ends: bool):
    world = running()
    state = tripped(world, stopping(under_way) if under_way else None)
    step = press_stop(world.rules, state, "web", ends, world.now)
    assert sent(step) == (["cut"] if under_way == "ramp" and not ends else [])
    assert (step.state.phase, step.state.ending) == ("TRIPPED", ends)
    again = press_stop(world.rules, msgspec.structs.replace(state, ending=True), "web", ends, world.now)
    assert again.state.ending


@pytest.mark.parametrize("ends", (False, True))
def test_stop_while_armed(ends: bool):
    world = running()
    step = press_stop(world.rules, world.state, "web", ends, world.now)
    kind = trips.SIGNALLED if ends else trips.STOP
    assert (step.state.phase, step.state.trip, step.state.ending) == ("TRIPPED", kind.code, ends)
    assert step.state.trip_text == f"{kind.text}: web" and sent(step) == [kind.how]
    ending = msgspec.structs.replace(world.state, ending=True)
    assert press_stop(world.rules, ending, "web", ends, world.now).state.ending


def test_a_signal_before_anything_is_armed_is_an_orderly_end():
    for world, stops in ((ready(), ["ramp"]), (safe(), [])):
        step = press_stop(world.rules, world.state, "SIGTERM", True, world.now)
        assert (step.state.phase, step.state.ending, step.state.trip) == ("SAFE", True, "")
        assert sent(step) == stops
    world = ready()
    pressed = press_stop(world.rules, world.state, "web", False, world.now)
    assert (pressed.state.phase, pressed.state.ending) == ("TRIPPED", False)


def test_standing_down_is_no_trip():
    world = running()
    step = stand_down(world.rules, world.state, "READY", "paused", world.now)
    assert (step.state.phase, step.state.trip, sent(step)) == ("READY", "", ["ramp"])
    assert PhaseChanged(phase="READY", code="", text="paused") in [
        each.message for each in step.effects if isinstance(each, ToController)
    ]


@pytest.mark.parametrize(("call", "taken"), [(7, True), (6, False), (8, False)])
def test_a_stop_is_taken_by_its_own_answer(call: int, taken: bool):
    world = running()
    state = msgspec.structs.replace(world.state, stopping=stopping("ramp"))
    step = stop_taken(state, call)
    assert (step != Step(state)) is taken
    if taken:
        assert step.state.stopping == stopping("ramp", taken=True)
        assert step.state.watch.host_state == "" and step.state.watch.poll == state.watch.poll + 1
    none = msgspec.structs.replace(world.state, stopping=None)
    assert stop_taken(none, call) == Step(none)


@pytest.mark.parametrize("taken", (False, True))
@pytest.mark.parametrize("word", ("idle", "armed", "delivering", ""))
@pytest.mark.parametrize("amplitude", (0.0, 0.1))
def test_zero_is_what_a_device_says_after_it_took_the_stop(taken: bool, word: str, amplitude: float):
    world = running()
    watch = msgspec.structs.replace(world.state.watch, host_state=word, host_amplitude=amplitude)
    state = msgspec.structs.replace(world.state, stopping=stopping("ramp", taken=taken), watch=watch)
    assert at_zero(state) is (taken and word == "idle" and amplitude == 0.0)
    assert not at_zero(msgspec.structs.replace(state, stopping=None))


def test_what_was_armed_and_has_not_tripped_is_unmarked_at_zero():
    world = running()
    state = msgspec.structs.replace(world.state, stopping=stopping("ramp"), phase="READY", marked=True)
    over = stop_over(state)
    assert over.state == msgspec.structs.replace(state, stopping=None, running=None, before=None)
    assert over.effects == (OpenRelay(),)
    done = stopped_in_order(state)
    assert done.state == msgspec.structs.replace(over.state, marked=False)
    assert done.effects == (OpenRelay(), Unlatch(reset=False))
    for bent in ({"phase": "TRIPPED"}, {"marked": False}, {"phase": "TRIPPED", "marked": False}):
        other = msgspec.structs.replace(state, **bent)
        assert stopped_in_order(other) == stop_over(other)


def test_what_must_be_off_for_longer_than_it_was_on_rests_from_its_end():
    world = armed()
    assert rest_from(world.rules, world.state, 10**15) == world.state
    nerve = World(rules_of("pns")).armed()
    nerve.ask()
    nerve.run_ms(60)
    rest_ns = rest_after_ns("pns", nerve.state.dose.train)
    assert rest_ns > 0
    for known_ns in (0, 10**18):
        state = msgspec.structs.replace(nerve.state, rested_ns=known_ns)
        assert rest_from(nerve.rules, state, 10**15).rested_ns == max(known_ns, 10**15 + rest_ns + 1)


def test_what_a_hold_had_is_told_to_nobody_where_nobody_is():
    world = holding(hold(0.5))
    deaf = msgspec.structs.replace(world.state, controller=False)
    step = stand_down(world.rules, deaf, "READY", "", world.now)
    assert not [each for each in step.effects if isinstance(each, ToController)]
