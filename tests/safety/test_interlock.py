"""The state table: SAFE, READY, ARMED, TRIPPED, and no other way between them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from safety.events import EndAsked, PauseAsked
from safety.messages import End, Pause, PhaseChanged
from tests.safety.world import World, phases, tripped
from tests.safety.worlds import armed, arming, ready, running, stopping, tripped_world


def test_the_way_up_and_down():
    world = ready()
    assert phases(world) == ["READY"]
    world.present()
    world.run_ms(50)
    assert phases(world) == ["READY", "ARMED"]
    assert world.relay_closed
    assert world.state.armed_by == "ann"
    world.stop()
    assert tripped(world) == "ILK-001"
    world.run_ms(300)
    assert not world.relay_closed
    world.present(world.act("reset"))
    assert phases(world) == ["READY", "ARMED", "TRIPPED", "SAFE"]
    world.run_ms(100)
    assert world.ended == 4
    assert world.phase == "SAFE"


@pytest.mark.parametrize("make", (ready, arming, armed, running), ids=lambda make: make.__name__)
def test_end_goes_to_safe_and_ends_the_process(make: Callable[[], World]):
    world = make()
    world.take(EndAsked(end=End(reason="over")))
    assert world.phase == "SAFE"
    world.run_ms(1_000)
    assert world.ended == 0
    assert world.device.output == 0.0
    assert not world.device.armed
    assert "TRIPPED" not in phases(world)


def test_end_does_not_lead_out_of_tripped():
    world = tripped_world()
    world.take(EndAsked(end=End(reason="over")))
    world.run_ms(3_000)
    assert world.phase == "TRIPPED"
    assert world.ended is None


@pytest.mark.parametrize("make", (arming, armed, running), ids=lambda make: make.__name__)
def test_pause_goes_to_ready_and_only_an_act_arms_again(make: Callable[[], World]):
    world = make()
    nonce = world.act().nonce
    world.take(PauseAsked(pause=Pause(reason="no EEG")))
    assert world.phase == "READY"
    assert world.state.armed_by == ""
    world.present()
    assert world.answered[-1].code == "ILK-334"  # the ramp still runs
    world.run_ms(500)
    assert world.phase == "READY"
    assert not world.device.armed
    assert not world.relay_closed
    assert world.codes(world.ask()) == {"ILK-301"}
    world.present(world.act(nonce=nonce))
    assert world.answered[-1].code == "ILK-333"
    world.present()
    world.run_ms(50)
    assert world.phase == "ARMED"
    assert "TRIPPED" not in phases(world)


def test_a_pause_whose_stop_fails_is_not_armed_again():
    world = running()
    world.host_answers = False
    world.take(PauseAsked(pause=Pause(reason="no EEG")))
    world.run_ms(1_000)
    assert world.phase == "SAFE"
    assert world.last(PhaseChanged).code == "ILK-402"
    world.host_answers = True
    world.run_ms(100)
    world.present()
    assert world.answered[-1].code == "ILK-334"
    assert not world.relay_closed


def test_tripped_never_becomes_armed():
    world = tripped_world()
    for act in (world.act("arm"), world.act("arm", person="bob")):
        world.present(act)
        assert world.answered[-1].code in ("ILK-333", "ILK-334")
        world.run_ms(100)
        assert world.phase == "TRIPPED"


def test_after_a_reset_nothing_arms():
    world = tripped_world()
    world.disk_ns = None  # the end waits for the disk
    world.present(world.act("reset"))
    assert world.phase == "SAFE"
    for _ in range(5):
        world.run_ms(100)
        world.present()
        assert world.phase == "SAFE"
        assert not world.answered[-1].ok
    world.run_ms(2_000)
    assert world.ended == 4


def test_a_reset_waits_for_zero():
    world = stopping()
    world.present(world.act("reset"))
    assert world.answered[-1].code == "ILK-334"
    assert world.phase == "TRIPPED"


def test_the_end_waits_for_the_ledger_but_not_for_ever():
    world = armed()
    world.disk_ns = None
    world.take(EndAsked(end=End(reason="over")))
    world.run_ms(2_000)
    assert world.ended is None
    world.run_ms(500)
    assert world.ended == 0
