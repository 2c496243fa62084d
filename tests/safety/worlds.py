"""Worlds that have come some way: ready, armed, running, tripped, with a request in hand or a train prepared."""

from __future__ import annotations

import msgspec

from drivers.link import Fire, Fired, Prepare, Prepared, StopDevice
from drivers.stimulation import Modality, Train
from tests.safety.world import World, rules_of


def safe() -> World:
    return World(rules_of())


def ready() -> World:
    return safe().ready()


def arming() -> World:
    world = ready()
    world.present()
    return world


def armed(modality: Modality = "tacs") -> World:
    return World(rules_of(modality)).armed()


def running() -> World:
    world = armed()
    world.ask()
    return world.run_ms(60)


def stopping() -> World:
    world = running()
    world.stop()
    return world


def tripped_world() -> World:
    world = stopping()
    return world.run_ms(300)


def armed_rtms() -> World:
    return World(rules_of("rtms")).armed()


def running_rtms() -> World:
    world = armed_rtms()
    world.ask()
    return world.run_ms(60)


def holding(train: Train | None = None, ms: float = 60) -> World:
    world = armed()
    world.ask(train)
    world.run_ms(ms)
    assert world.state.running is not None
    return world


def in_hand(train: Train | None = None, *, prepared: bool = False) -> World:
    """A request on its way to a host that says only what the test says."""
    world = armed()
    world.ask(train)
    world.host_answers = False
    world.run_ms(6)
    assert world.state.asked is not None
    assert world.state.asked.stage == "preparing"
    if prepared:
        world.host_says(read_back(world))
        assert world.state.firing is not None
    return world


def read_back(world: World, train: Train | None = None, token: int = 55) -> Prepared:
    prepare = world.calls(Prepare)[-1]
    return Prepared(call=prepare.call, token=token, read_back=train or prepare.train, at_ns=world.mono_ns)


def fired(world: World, **bent: int) -> Fired:
    fire = world.calls(Fire)[-1]
    said = Fired(call=fire.call, token=fire.token, onset_ns=world.mono_ns, at_ns=world.mono_ns)
    return msgspec.structs.replace(said, **bent)


def prepared_only(modality: Modality = "rtms", **bent: object) -> tuple[World, int]:
    world = armed(modality)
    request = world.ask(onset_at_ns=-1, **bent)
    world.run_ms(20)
    assert world.state.asked is not None
    assert world.state.asked.stage == "ready"
    assert not world.calls(Fire)
    return world, request


WORLDS = (safe, ready, arming, armed, running, stopping, tripped_world)


def stops(world: World) -> list[str]:
    return [stop.how for stop in world.calls(StopDevice)]
