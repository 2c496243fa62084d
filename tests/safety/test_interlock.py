"""The state table: SAFE, READY, ARMED, TRIPPED, and no other way between them; STOP and the ends in every state."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.link import CallFailed, Delivered, Done, Fire, Fired, Prepare, Prepared, Status, StopDevice
from drivers.stimulation import Delivery
from drivers.stimulator import DeviceStatus
from safety.events import (
    Asked,
    BadFrame,
    Beat,
    Durable,
    EndAsked,
    FireAsked,
    Gone,
    HostGone,
    HostSaid,
    LedgerTrouble,
    Now,
    PauseAsked,
    RelayGone,
    RelaySaid,
    StopPressed,
    Tick,
)
from safety.interlock import is_entry, step
from safety.messages import End, FireRequest, Heartbeat, Pause, Permit, PhaseChanged, Trip
from safety.safing import Step
from safety.state import EndProcess, OpenRelay, PetRelay, ToController, ToDevice
from tests.safety.bench_device import MS
from tests.safety.strategies import NASTY, hold, pulses
from tests.safety.world import LONG, BrokenRule, World, first_state, phases, rules_of, tripped, watch_step


def safe() -> World:
    return World(rules_of())


def ready() -> World:
    return safe().ready()


def arming() -> World:
    world = ready()
    world.present()
    return world


def armed() -> World:
    return safe().armed()


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


WORLDS = (safe, ready, arming, armed, running, stopping, tripped_world)


def stops(world: World) -> list[str]:
    return [stop.how for stop in world.calls(StopDevice)]


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


def test_a_poll_that_a_stop_overtook_is_no_failure():
    world = running()
    world.take(PauseAsked(pause=Pause(reason="no EEG")))
    world.host_says(CallFailed(call=-world.state.watch.poll, code="superseded", text="a stop overtook it"))
    world.run_ms(500)
    assert world.phase == "READY"
    assert world.state.host == "open"


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
    assert world.entries[-1].fold.counts["Tick"] >= 45


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


NUMBERS = st.sampled_from(
    [0, 1, -1, 7, 10**9, 2**31, 2**53 + 1, 2**63, -(2**63), 10**30, 10**320, -(10**320)]
)
FLOATS = st.sampled_from([*NASTY, 0.5, 1.0, 1.0001, 2.0, 100.0, -0.5])
TEXTS = st.sampled_from(
    ["", "x", "host", "controller", "failed", "superseded", "late", "silent", "read_back", "é" * 50]
)


@st.composite
def host_messages(draw: st.DrawFn, world: World) -> object:
    state = world.state
    call = draw(st.sampled_from([state.call, state.call - 1, 0, -1, -state.watch.poll, 10**30]))
    running = state.running or state.before
    token = draw(
        st.sampled_from([running.token if running else 1, state.firing.token if state.firing else 2, 999])
    )
    now_ns = world.mono_ns
    at_ns = draw(st.sampled_from([now_ns, now_ns - 40 * MS, now_ns + 40 * MS, 0, -1, 10**320, 2**63]))
    train = hold(amplitude_ma_pp=draw(FLOATS), ramp_up_ms=draw(NUMBERS))
    match draw(st.integers(0, 6)):
        case 0:
            return Done(call=call, at_ns=at_ns)
        case 1:
            return Prepared(
                call=call,
                token=token,
                read_back=draw(st.sampled_from([train, pulses(), hold()])),
                at_ns=at_ns,
            )
        case 2:
            return Fired(call=call, token=token, onset_ns=at_ns, at_ns=at_ns)
        case 3:
            state_ = draw(
                st.sampled_from(["closed", "idle", "armed", "running", "stopping", "fault", "unknown"])
            )
            kohm = draw(st.one_of(st.none(), FLOATS))
            status = DeviceStatus(
                state=state_, at_ns=at_ns, amplitude=draw(FLOATS), fault="", impedance_kohm=kohm
            )
            return Status(call=call, status=status)
        case 4:
            return CallFailed(call=call, code=draw(TEXTS), text=draw(TEXTS))
        case _:
            start_ns = draw(st.sampled_from([at_ns, now_ns - 100 * MS, now_ns]))
            return Delivered(
                delivery=Delivery(
                    token=token, start_ns=start_ns, end_ns=at_ns, amplitude=draw(FLOATS), n_pulses=draw(NUMBERS),
                    ended=draw(st.booleans()), confirmed=draw(st.booleans()),
                )
            )  # fmt: skip


@st.composite
def any_events(draw: st.DrawFn, world: World) -> object:
    """Any event at all, with the numbers at which code breaks."""
    evidence = world.evidence(
        n_samples=draw(NUMBERS), newest_ns=world.mono_ns - draw(NUMBERS), uncertainty_ns=draw(NUMBERS),
        clean_fraction=draw(FLOATS),
    ) if draw(st.booleans()) else world.evidence()  # fmt: skip
    trains = st.sampled_from(
        [
            hold(), hold(amplitude_ma_pp=0.5), hold(amplitude_ma_pp=draw(FLOATS)), pulses(), hold(duration_ms=draw(NUMBERS)),
            pulses(rate_hz=draw(FLOATS), n_pulses=draw(NUMBERS)), hold(ramp_up_ms=draw(NUMBERS)), hold(outputs=()),
        ]
    )  # fmt: skip
    onset = st.sampled_from(
        [0, -1, -2, world.mono_ns + 10 * MS, world.mono_ns, world.mono_ns + 2**31, 10**320]
    )
    match draw(st.integers(0, 19)):
        case 0:
            return StopPressed(source=draw(TEXTS), ends=draw(st.booleans()))
        case 1:
            return Gone(why="x")
        case 2:
            return HostGone(why="x")
        case 3:
            return RelayGone(why="x")
        case 4 | 5:
            return RelaySaid(closed=draw(st.booleans()))
        case 6:
            return LedgerTrouble(kind=draw(TEXTS), text="x")
        case 7:
            return BadFrame(source=draw(TEXTS), text="x")
        case 8:
            return Durable(seq=draw(st.sampled_from([0, world.state.entries, 2**63, -1])))
        case 9 | 10:
            return Tick(behind_ns=draw(st.sampled_from([0, 0, 0, 10**320, -1])))
        case 11:
            return (
                PauseAsked(pause=Pause(reason="x")) if draw(st.booleans()) else EndAsked(end=End(reason="x"))
            )
        case 12:
            return Beat(heartbeat=Heartbeat(seq=draw(NUMBERS), progress=draw(NUMBERS), evidence=evidence))
        case 13 | 14:
            request = world.request(
                draw(trains), onset_at_ns=draw(onset), evidence=evidence, response=draw(st.sampled_from([0.5, 0.5, *NASTY])),
                id=draw(st.sampled_from([world.ids + 1, world.ids + 1, 0, -1, 10**320])),
            )  # fmt: skip
            return Asked(request=request)
        case 15:
            request_id = draw(st.sampled_from([world.state.last_id, 0, 10**320]))
            return FireAsked(request=FireRequest(id=request_id, onset_at_ns=draw(onset), evidence=evidence))
        case _:
            return HostSaid(message=draw(host_messages(world)))


@settings(max_examples=5_000 if LONG else 300, deadline=None)
@given(st.data())
def test_step_never_raises_and_never_starts_output_where_it_may_not(data: st.DataObject):
    make = data.draw(st.sampled_from([*WORLDS, ready, armed, running, armed_rtms, running_rtms]))
    world = make()
    for _ in range(data.draw(st.integers(1, 8))):
        world.take(data.draw(any_events(world)))
        world.run_ms(data.draw(st.sampled_from([0, 1, 12, 30])))


def armed_rtms() -> World:
    return World(rules_of("rtms")).armed()


def running_rtms() -> World:
    world = armed_rtms()
    world.ask()
    return world.run_ms(60)


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


def test_a_fresh_state_needs_no_relay_to_stop():
    world = World(rules_of(), first_state(relay=False))
    world.stop()
    assert world.phase == "TRIPPED"
