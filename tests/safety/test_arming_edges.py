"""Edges of the way up: acts and their nonces, a reset, the proof test's deadlines, what is not settled while it runs."""

from __future__ import annotations

import msgspec
import pytest

from drivers.link import ArmDevice, StopDevice
from safety.arming import ARMING_MAX_NS, PROOF_STEP_NS, _act_problem, settle, silence_ns
from safety.events import ActPresented, RelaySaid
from safety.safing import Step
from safety.state import Stopping
from tests.safety.bench_device import MS
from tests.safety.test_arming import proving, ready, result
from tests.safety.world import (
    World,
    rules_of,
)


def test_each_thing_that_is_asked_of_the_device_has_a_number_of_its_own():
    world = proving(False, True, False, True)
    before = ready().state.call
    assert [call.call for call in world.calls(ArmDevice)] == [before + 1] == [world.state.call]


def test_a_step_lasts_as_long_as_an_answer_and_the_silent_one_longer():
    world = proving()
    for closed, more_ns in ((False, 0), (True, silence_ns(world.rules, world.state)), (False, 0)):
        world.mono_ns += MS
        world.take(RelaySaid(closed=closed))
        assert world.state.arming is not None
        assert world.state.arming.deadline_ns == world.mono_ns + PROOF_STEP_NS + more_ns


@pytest.mark.parametrize("modality", ["tacs", "rtms"])
def test_how_long_a_relay_may_be_silent(modality: str):
    world = World(rules_of(modality)).ready()
    ramp_ms = 200.0 if modality == "tacs" else 0.0
    assert silence_ns(world.rules, world.state) == round((world.rules.limits.relay.silence_ms + ramp_ms) * MS)


def test_one_that_opens_before_the_device_is_asked_needs_no_stop():
    world = ready()
    world.relay_answers, world.disk_ns = False, None
    world.present()
    for closed in (False, True, False, True):
        world.take(RelaySaid(closed=closed))
    assert world.state.arming is not None and world.state.arming.step == "record"
    world.take(RelaySaid(closed=False))
    assert result(world).code == "ILK-335"
    assert not world.calls(ArmDevice) and not world.calls(StopDevice)


def test_a_reset_may_be_signed_for_longer_than_an_arming():
    """It ends nothing but itself."""
    world = ready()
    world.stop()
    world.run_ms(300)
    world.present(world.act("reset", valid_s=2 * ARMING_MAX_NS / 1e9))
    assert world.answered[-1].ok and world.phase == "SAFE"


@pytest.mark.parametrize("amiss", ["boot_offset_ns", "wall_offset_ns", "no EEG"])
def test_a_reset_is_taken_whatever_a_clock_or_the_eeg_did(amiss: str):
    """Nothing is armed by it."""
    world = ready()
    world.stop()
    world.run_ms(300)
    if amiss == "no EEG":
        watch = msgspec.structs.replace(world.state.watch, evidence=None)
        world.state = msgspec.structs.replace(world.state, watch=watch)
    else:
        setattr(world, amiss, getattr(world, amiss) + 60_000 * MS)
    world.present(world.act("reset"))
    assert world.answered[-1].ok and world.phase == "SAFE"


def test_an_act_against_which_nothing_speaks_begins_with_no_call_of_the_device():
    world = ready()
    event = ActPresented(peer=1, uid=1000, act=world.act())
    assert _act_problem(world.rules, world.state, event, world.now) == ""
    world.present(event.act)
    assert world.state.arming is not None
    assert (world.state.arming.call, world.state.arming.step) == (0, "open_1")


def test_each_act_counts_one_nonce():
    world = ready()
    before = world.state.nonces
    world.present(world.act(person="eve"))
    assert world.state.nonces == before + 1


@pytest.mark.parametrize("phase", ["SAFE", "READY"])
def test_nothing_is_settled_while_a_stop_or_an_arming_is_on_its_way(phase: str):
    world = ready()
    state = world.state
    if phase == "SAFE":  # nothing is missing
        safe_ = msgspec.structs.replace(state, phase="SAFE")
        busy = msgspec.structs.replace(safe_, stopping=Stopping(call=1, how="cut", deadline_ns=0))
        assert settle(world.rules, safe_, world.now).state.phase == "READY"
        assert settle(world.rules, busy, world.now) == Step(busy)
        return
    lacking = msgspec.structs.replace(state, host="failed", host_text="gone")
    world.relay_answers = False
    world.present()
    busy = msgspec.structs.replace(lacking, arming=world.state.arming)
    assert busy.arming is not None
    assert settle(world.rules, lacking, world.now).state.phase == "SAFE"
    assert settle(world.rules, busy, world.now) == Step(busy)
