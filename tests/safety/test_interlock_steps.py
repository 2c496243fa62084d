"""One step of the interlock: lateness, order of its effects, what becomes an entry, and any event at any time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.link import Prepare, StopDevice
from safety.events import Asked, BadFrame, Durable, Gone, Now, StopPressed, Tick
from safety.interlock import is_entry, step
from safety.messages import Permit, PhaseChanged, Trip
from safety.safing import Step
from safety.state import EndProcess, PetRelay, ToController, ToDevice
from tests.safety.any_events import any_events
from tests.safety.bench_device import MS
from tests.safety.watch_step import BrokenRule, watch_step
from tests.safety.world import LONG, tripped
from tests.safety.worlds import WORLDS, armed, armed_rtms, ready, running, running_rtms


def test_nothing_overtakes_the_tick_after_the_interlock_was_late():
    world = armed()
    world.jump_to(world.mono_ns + 151 * MS)
    request = world.ask()
    assert tripped(world) == "ILK-241"
    assert world.codes(request) == {"ILK-301"}
    assert not world.calls(Prepare)


def test_late_by_exactly_the_limit_is_not_late():
    world = armed()
    world.jump_to(world.state.watch.tick_ns + 150 * MS)
    world.beat()
    assert world.phase == "ARMED"


def test_a_trip_effect_comes_before_anything_else_of_its_step():
    world = running()
    told = world.stop()
    kinds = [type(effect) for effect in told.effects]
    assert kinds[0] is ToDevice
    assert isinstance(told.effects[0].message, StopDevice)
    messages = [effect.message for effect in told.effects if isinstance(effect, ToController)]
    assert [type(message) for message in messages] == [Trip, PhaseChanged]


def test_pets_are_sent_while_armed_and_never_after():
    world = armed()
    assert any(isinstance(effect, PetRelay) for effect in world.tick().effects)
    world.stop()
    assert not any(isinstance(effect, PetRelay) for effect in world.tick().effects)
    world.run_ms(500)
    assert not any(isinstance(effect, PetRelay) for effect in world.tick().effects)


def test_foldable_events_that_decide_nothing_are_no_entries():
    world = armed()
    entries = world.state.entries
    world.run_ms(500)
    assert world.state.entries == entries
    assert world.counts["Tick"] >= 45
    world.ask()
    assert world.state.entries == entries + 1
    assert world.entries[-1].fold is not None
    assert world.entries[-1].fold.counts.ticks >= 45


def test_what_stands_in_the_ledger():
    world = armed()
    state = world.state
    for event, stands in (
        (Tick(behind_ns=0), False),
        (Durable(seq=1), False),
        (StopPressed(source="x", ends=False), True),
        (Gone(why=""), True),
        (Asked(request=world.request()), True),
        (BadFrame(source="person", text=""), True),
    ):
        assert is_entry(state, event, step(world.rules, state, event, world.now)) is stands
    assert is_entry(state, Tick(behind_ns=0), Step(state, (EndProcess(status=0),)))
    assert not is_entry(state, Tick(behind_ns=0), Step(state, (PetRelay(),)))


def test_the_checker_of_steps_is_awake():
    """A permit outside ARMED is found: what watches every test here is itself watched."""
    world = ready()
    lie = world.request()
    allowed = world.state
    permit = Permit(
        id=1, token=1, lease_until_ns=1, read_ns=0, sent_ns=0,
        allowed=step(world.rules, allowed, Asked(request=lie), world.now).effects[0].message.allowed,
    )  # fmt: skip
    with pytest.raises(BrokenRule, match="permit outside"):
        watch_step(
            world.rules, world.state, Asked(request=lie), Step(world.state, (ToController(message=permit),))
        )


@settings(max_examples=5_000 if LONG else 300, deadline=None)
@given(st.data())
def test_step_never_raises_and_never_starts_output_where_it_may_not(data: st.DataObject):
    make = data.draw(st.sampled_from([*WORLDS, ready, armed, running, armed_rtms, running_rtms]))
    world = make()
    for _ in range(data.draw(st.integers(1, 8))):
        world.take(data.draw(any_events(world)))
        world.run_ms(data.draw(st.sampled_from([0, 1, 12, 30])))


@pytest.mark.parametrize("mono_ns", (0, -1, 1, 2**63, 10**320))
def test_any_reading_of_the_clocks_is_survived(mono_ns: int):
    for make in WORLDS:
        world = make()
        for now in (
            Now(mono_ns=mono_ns, boot_ns=0, wall_ns=0),
            Now(mono_ns=0, boot_ns=mono_ns, wall_ns=mono_ns),
        ):
            for event in (
                Tick(behind_ns=0),
                Asked(request=world.request()),
                StopPressed(source="x", ends=False),
            ):
                decided = step(world.rules, world.state, event, now)
                watch_step(world.rules, world.state, event, decided)
