"""What the host says out of turn: output that nobody armed, a second opening, answers nobody waits for, bad frames."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from drivers.link import CallFailed, Done, Fire, Fired, Poll, Prepare, Prepared, Status
from drivers.stimulator import DeviceStatus
from safety.events import BadFrame, HostSaid, PauseAsked
from safety.interlock import step
from safety.messages import Pause
from tests.safety.strategies import hold
from tests.safety.world import World, rules_of, tripped
from tests.safety.worlds import armed, arming, ready, running, safe, stops, tripped_world


@pytest.mark.parametrize("make", (safe, ready, tripped_world), ids=lambda make: make.__name__)
def test_output_that_nobody_armed_is_cut(make: Callable[[], World]):
    world = make()
    world.open()
    if world.state.host != "open":  # opened a second time
        world = make()
        if make is safe:
            world.open()
    world.run_ms(100)
    world.host_answers = False
    world.run_ms(30)
    status = DeviceStatus(state="running", at_ns=0, amplitude=0.5, fault="", impedance_kohm=5.0)
    world.host_says(Status(call=-world.state.watch.poll, status=status))
    assert world.phase == "TRIPPED"
    assert world.state.trip == ("ILK-001" if make is tripped_world else "ILK-216")
    assert stops(world)[-1] == "cut"


@pytest.mark.parametrize("make", (safe, ready), ids=lambda make: make.__name__)
def test_an_answer_to_an_older_poll_decides_nothing(make: Callable[[], World]):
    world = make()
    world.run_ms(100)
    watch = msgspec.structs.replace(world.state.watch, host_amplitude=0.5)
    state = msgspec.structs.replace(world.state, watch=watch)
    status = DeviceStatus(state="running", at_ns=0, amplitude=0.5, fault="", impedance_kohm=5.0)
    for call, phase in (
        (-watch.poll - 1, state.phase),
        (-watch.poll + 1, state.phase),
        (-watch.poll, "TRIPPED"),
    ):
        decided = step(world.rules, state, HostSaid(message=Status(call=call, status=status)), world.now)
        assert decided.state.phase == phase


def test_a_host_that_is_not_open_is_not_asked():
    world = World(rules_of())
    world.run_ms(200)
    assert world.state.host != "open" and not world.calls(Poll)
    world.open().run_ms(200)
    assert world.calls(Poll)


def test_output_while_arming_is_cut():
    world = arming()
    world.host_answers = False
    world.run_ms(2)
    status = DeviceStatus(state="armed", at_ns=0, amplitude=0.01, fault="", impedance_kohm=5.0)
    world.run_ms(30)
    world.host_says(Status(call=-world.state.watch.poll, status=status))
    assert tripped(world) == "ILK-216"
    assert world.answered[-1].ok is False


@pytest.mark.parametrize("make", (safe, ready, arming, armed, running), ids=lambda make: make.__name__)
def test_a_device_that_opens_again_is_not_trusted(make: Callable[[], World]):
    world = make()
    if make is safe:
        world.open()
    something = world.phase == "ARMED" or world.state.arming is not None
    wider = world.state.capabilities
    world.open()
    assert world.state.host == "failed"
    assert world.state.capabilities == wider
    assert world.phase == ("TRIPPED" if something else "SAFE")


@pytest.mark.parametrize("make", (armed, running), ids=lambda make: make.__name__)
def test_an_answer_out_of_turn_arms_and_fires_nothing(make: Callable[[], World]):
    world = make()
    sent = len(world.calls(Fire)) + len(world.calls(Prepare))
    train = hold()
    for message in (
        Done(call=0, at_ns=0),
        Done(call=999, at_ns=0),
        Prepared(call=999, token=1, read_back=train, at_ns=0),
        Prepared(call=0, token=1, read_back=train, at_ns=0),
        CallFailed(call=-1, code="superseded", text=""),
    ):
        world.host_says(message)
    assert world.phase == "ARMED"
    assert len(world.calls(Fire)) + len(world.calls(Prepare)) == sent
    world.host_says(Fired(call=999, token=1, onset_ns=world.mono_ns, at_ns=0))
    assert tripped(world) == "ILK-216"


def test_a_fired_that_nobody_asked_for_trips_even_when_nothing_is_armed():
    world = ready()
    world.host_says(Fired(call=1, token=1, onset_ns=world.mono_ns, at_ns=0))
    assert tripped(world) == "ILK-216"


def test_bad_frames_of_others_do_not_end_a_session():
    world = armed()
    for source in ("person", "uid 1000"):
        for _ in range(50):
            world.take(BadFrame(source=source, text="rubbish"))
    for _ in range(19):
        world.take(BadFrame(source="controller", text="rubbish"))
    assert world.phase == "ARMED"
    world.take(BadFrame(source="person", text="rubbish"))
    assert world.phase == "ARMED"
    world.take(BadFrame(source="controller", text="rubbish"))
    assert tripped(world) == "ILK-261"


def test_a_bad_frame_of_the_host_trips_where_something_may_run():
    world = running()
    world.take(BadFrame(source="host", text="rubbish"))
    assert tripped(world) == "ILK-213"
    assert ready().take(BadFrame(source="host", text="rubbish")).state.phase == "READY"


def test_a_poll_that_a_stop_overtook_is_no_failure():
    world = running()
    world.take(PauseAsked(pause=Pause(reason="no EEG")))
    world.host_says(CallFailed(call=-world.state.watch.poll, code="superseded", text="a stop overtook it"))
    world.run_ms(500)
    assert world.phase == "READY"
    assert world.state.host == "open"
