"""STOP, lost peers and first reasons, in every state: output ends, the relay opens, the reason is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
import pytest

from drivers.link import CallFailed, Done, Status, StopDevice
from drivers.stimulation import Modality
from drivers.stimulator import DeviceStatus
from safety.events import Gone, HostGone, LedgerTrouble, PauseAsked, RelayGone, RelaySaid
from safety.messages import Pause, PhaseChanged
from safety.modalities import interval_after_ns, ramp_down_ns
from safety.oracle_ledger import check_ledger
from safety.safing import STOP_SLACK_NS, press_stop, stop_device
from safety.state import Firing, OpenRelay, ToDevice
from tests.safety.bench_device import MS
from tests.safety.ledgers import genesis_of
from tests.safety.strategies import valid_train
from tests.safety.world import World, first_state, rules_of, tripped
from tests.safety.worlds import WORLDS, armed, ready, running, running_rtms, stops, tripped_world


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.__name__)
def test_stop_is_taken_in_every_state(make: Callable[[], World]):
    world = make()
    before = world.state.trip
    world.stop()
    assert world.phase == "TRIPPED"
    assert world.state.trip == "ILK-001"
    assert stops(world)
    assert world.state.entries == len(world.entries) + 1
    world.run_ms(1_000)
    assert world.device.output == 0.0
    assert not world.device.armed
    assert not world.relay_closed
    assert world.state.stopping is None
    assert before in ("", "ILK-001")


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.__name__)
def test_a_signal_stops_and_ends_in_every_state(make: Callable[[], World]):
    world = make()
    was_armed = world.phase in ("ARMED", "TRIPPED")
    world.stop(ends=True)
    world.run_ms(3_000)
    assert world.device.output == 0.0
    assert not world.device.armed
    assert not world.relay_closed
    assert world.ended == (4 if was_armed else 0)


@pytest.mark.parametrize("how", ("ramp", "cut"))
def test_a_stop_is_waited_for_as_long_as_its_own_way_takes(how: Literal["ramp", "cut"]):
    world = running().run_ms(100)
    assert world.state.running is not None
    ramp_ns = ramp_down_ns(world.state.running.train) if how == "ramp" else 0
    stopped = stop_device(world.rules, world.state, how, world.now)
    stopping, call = stopped.state.stopping, world.state.call + 1
    assert stopping is not None and stopping.how == how
    assert stopping.call == stopped.state.call == call
    assert stopped.effects[0] == ToDevice(message=StopDevice(call=call, how=how))
    assert stopping.deadline_ns == world.mono_ns + ramp_ns + STOP_SLACK_NS
    assert (ramp_ns > 0) is (how == "ramp")


@pytest.mark.parametrize("how", ("ramp", "cut"))
def test_what_a_stop_ends_is_over_at_its_deadline_and_no_sooner_than_was_known(how: Literal["ramp", "cut"]):
    world = running_rtms()
    assert world.state.running is not None
    interval_ns = interval_after_ns(world.state.running.train, world.rules.limits)
    for known_ns in (0, 10**18):
        state = msgspec.structs.replace(world.state, not_before_ns=known_ns, train_end_ns=known_ns)
        after = stop_device(world.rules, state, how, world.now).state
        assert after.stopping is not None
        ended_ns = after.stopping.deadline_ns
        assert after.train_end_ns == max(known_ns, ended_ns)
        assert after.not_before_ns == max(known_ns, ended_ns + interval_ns)


def test_the_tokens_that_a_stop_ends_are_kept_once_each_and_the_last_eight():
    world = running()
    runs = world.state.running
    assert runs is not None
    before = msgspec.structs.replace(runs, token=70)
    under_way = Firing(request=world.request(), call=1, token=72, since_ns=0, onset_at_ns=0)
    state = msgspec.structs.replace(
        world.state, before=before, running=msgspec.structs.replace(runs, token=71), firing=under_way
    )

    def over(*known: int) -> tuple[int, ...]:
        known_ = msgspec.structs.replace(state, over=known)
        return stop_device(world.rules, known_, "cut", world.now).state.over

    assert over() == (70, 71, 72)
    assert over(71) == (71, 70, 72)
    assert over(70, 71, 72) == (70, 71, 72)
    assert over(1, 2, 3, 4, 5) == (1, 2, 3, 4, 5, 70, 71, 72)
    assert over(1, 2, 3, 4, 5, 6) == (2, 3, 4, 5, 6, 70, 71, 72)
    nothing = msgspec.structs.replace(state, before=None, running=None, firing=None, over=(5,))
    assert stop_device(world.rules, nothing, "cut", world.now).state.over == (5,)


def test_stop_of_what_is_at_zero_and_latched_is_taken_and_changes_nothing():
    world = tripped_world()
    assert world.state.stopping is None
    for source in ("stop.sock", "the web"):
        pressed = press_stop(world.rules, world.state, source, False, world.now)
        assert (pressed.state, pressed.effects) == (world.state, ())


def test_stop_ramps_and_a_second_one_cuts():
    world = running()
    world.run_ms(100)
    level = world.device.output
    assert level > 0.1
    world.stop()
    world.run_ms(20)
    assert 0.0 < world.device.output < level
    assert stops(world) == ["ramp"]
    world.stop()
    assert world.device.output == 0.0
    assert stops(world) == ["ramp", "cut"]
    world.stop()
    assert stops(world) == ["ramp", "cut"]
    assert tripped(world) == "ILK-001"
    world.run_ms(500)
    assert not any("NOT CONFIRMED" in each.text for each in world.heard if isinstance(each, PhaseChanged))


def test_a_stop_that_is_not_confirmed_opens_the_relay():
    world = running()
    world.host_answers = False
    world.stop()
    world.run_ms(249)
    assert world.relay_closed
    world.run_ms(12)
    assert not world.relay_closed
    assert world.device.output == 0.0
    assert world.state.host == "failed"
    told = world.last(PhaseChanged)
    assert (told.phase, "zero is NOT CONFIRMED (the stop was not confirmed)" in told.text) == (
        "TRIPPED",
        True,
    )


def test_a_stop_that_the_device_refuses_opens_the_relay_at_once():
    world = running()
    world.host_answers = False
    world.stop()
    world.host_says(CallFailed(call=world.state.stopping.call, code="silent", text="no answer"))
    assert not world.relay_closed
    assert world.state.host == "failed"


def test_what_was_said_before_the_stop_was_taken_is_no_zero():
    """Idle at zero was true before arming; an answer to that old poll, late, must not end a stop."""
    world = ready()
    assert world.state.watch.host_state == "idle"
    world.host_answers = False
    world.stop()
    world.host_says(Done(call=world.state.stopping.call, at_ns=0))
    status = DeviceStatus(state="idle", at_ns=0, amplitude=0.0, fault="", impedance_kohm=5.0)
    poll = world.state.watch.poll
    world.host_says(Status(call=-(poll - 1), status=status))
    assert world.state.stopping is not None
    world.run_ms(30)
    leaking = msgspec.structs.replace(status, amplitude=0.01)
    world.host_says(Status(call=-world.state.watch.poll, status=leaking))
    assert world.state.stopping is not None
    world.run_ms(30)
    world.host_says(Status(call=-world.state.watch.poll, status=status))
    assert world.state.stopping is None


def test_the_relay_stays_closed_until_the_ramp_is_over():
    world = running()
    world.run_ms(100)
    world.stop()
    closed = []
    for _ in range(30):
        closed.append((world.relay_closed, world.device.output > 0.0))
        world.run_ms(10)
    assert (True, True) in closed
    assert (False, True) not in closed
    assert not world.relay_closed


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.__name__)
def test_a_controller_that_goes_leaves_nothing_running(make: Callable[[], World]):
    world = make()
    before = world.phase
    something = before == "ARMED" or world.state.arming is not None
    world.beating = False
    told = len(world.heard)
    world.take(Gone(why="end of file"))
    world.run_ms(3_000)
    assert len(world.heard) == told
    assert not world.state.controller
    assert world.device.output == 0.0
    assert not world.device.armed
    assert not world.relay_closed
    if something:
        assert world.state.trip == "ILK-202"
    else:
        assert world.phase == ("TRIPPED" if before == "TRIPPED" else "SAFE")
        assert world.ended == (None if before == "TRIPPED" else 0)


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.__name__)
def test_a_host_that_goes_opens_the_relay_in_every_state(make: Callable[[], World]):
    world = make()
    before, something = world.phase, world.phase == "ARMED" or world.state.arming is not None
    told = world.take(HostGone(why="ended"))
    assert OpenRelay() in told.effects
    assert not world.relay_closed
    assert world.device.output == 0.0
    expected = "TRIPPED" if something or before == "TRIPPED" else "SAFE"
    assert world.phase == expected
    world.run_ms(500)
    world.present()
    assert world.phase == expected
    assert not world.answered[-1].ok


def test_the_first_reason_is_kept():
    world = running()
    world.take(LedgerTrouble(kind="disk_low", text="1 MB"))
    world.take(LedgerTrouble(kind="failed", text="EIO"))
    world.take(Gone(why="end of file"))
    assert world.state.trip == "ILK-233"
    assert stops(world) == ["ramp"]
    world.take(RelaySaid(closed=False))
    world.take(RelayGone(why="its line closed"))
    assert world.state.trip == "ILK-233"
    assert stops(world) == ["ramp", "cut"]


def test_an_answer_that_the_stop_overtook_makes_no_cut_of_a_ramp():
    world = armed()
    world.host_ns = 30 * MS
    world.ask()
    world.run_ms(40)
    assert world.state.firing is not None
    world.stop()
    world.run_ms(60)
    assert stops(world) == ["ramp"]
    assert tripped(world) == "ILK-001"


def test_a_fresh_state_needs_no_relay_to_stop():
    world = World(rules_of(), first_state(relay=False))
    world.stop()
    assert world.phase == "TRIPPED"


@pytest.mark.parametrize("modality", ("rtms", "tbs", "tus"))
@pytest.mark.parametrize("after_ms", (6, 8, 20, 300), ids=("fired, not answered", "running", "later", "late"))
def test_the_interval_runs_from_what_a_pause_ended(modality: Modality, after_ms: int):
    """Nobody tells the end of a train whose fire was not answered when the stop went out, and it put something out."""
    world = World(rules_of(modality)).armed()
    world.ask()
    world.run_ms(after_ms)
    assert world.device.n_pulses > 0
    paused_ns = world.mono_ns
    world.take(PauseAsked(pause=Pause(reason="no EEG")))
    world.run_ms(150)
    world.present()
    world.run_ms(100)
    assert world.phase == "ARMED"
    assert world.codes(world.ask()) == {"ILK-304"}
    interval_ns = interval_after_ns(valid_train(modality), world.rules.limits)
    world.run_ms((paused_ns + interval_ns - world.mono_ns) / MS - 1)
    assert world.codes(world.ask()) == {"ILK-304"}
    world.run_ms(STOP_SLACK_NS / MS + 1)
    assert world.codes(world.ask()) == set()
    assert check_ledger((genesis_of(world), *world.entries)) == ()
