"""Every code of safety/trips.py is produced by the situation that it names, and no code is without a situation."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from drivers.link import ArmDevice, CallFailed, Delivered, Prepare, Prepared
from drivers.stimulation import Delivery, Modality
from safety.events import BadFrame, Gone, HostGone, HostSaid, LedgerTrouble, RelayGone, RelaySaid
from safety.latch import Latched
from safety.messages import ActResult, PhaseChanged
from safety.start import first_state_after
from safety.state import OpenRelay, ToDevice
from safety.trips import BY_CODE, PERMISSIVES, REFUSALS, TRIPS
from tests.safety.after_sessions import CLOCKS, HOUR_NS, SECOND_DAY, WALL_NS, after, with_history
from tests.safety.bench_device import MS
from tests.safety.histories import past
from tests.safety.strategies import PAIR, caps_of, hold, pulses
from tests.safety.world import (
    STRANGER,
    T0,
    World,
    bend_rules,
    first_state,
    hello_of,
    opened_of,
    rules_of,
    tripped,
)


def armed(modality: Modality = "tacs", **watch: float) -> World:
    return World(rules_of(modality, **watch)).armed()


def running(modality: Modality = "tacs") -> World:
    world = armed(modality)
    world.ask()
    world.run_ms(60)
    assert world.state.running is not None
    return world


def slice_of(world: World, **bent: object) -> Delivery:
    token = world.state.running.token if world.state.running is not None else 7
    now_ns = world.mono_ns
    told = Delivery(
        token=token, start_ns=now_ns, end_ns=now_ns, amplitude=0.1, n_pulses=0, ended=False, confirmed=True
    )
    return msgspec.structs.replace(told, **bent)


def silent_end(world: World) -> World:
    """The device never reports the end of what runs."""
    for _ in range(100):
        world.run_ms(10)
        kept = [event for event in world.forget_queue() if not _is_delivery(event)]
        for event in kept:
            world.later(MS, event)
    return world


def _is_delivery(event: object) -> bool:
    return isinstance(event, HostSaid) and isinstance(event.message, Delivered)


def twice(world: World) -> None:
    world.stop()
    world.stop()


def evidence_for(ms: float, **bent: object) -> Callable[[World], None]:
    def change(world: World) -> None:
        for name, value in bent.items():
            setattr(world, name, value)
        world.run_ms(ms)

    return change


def lapses(world: World) -> None:
    for _ in range(3):
        world.ask()
        world.run_ms(2_000)


def wrong_response(world: World) -> None:
    world.ask(hold(0.3), response=0.5)
    for _ in range(40):
        world.run_ms(200)
        if world.phase == "ARMED":
            world.ask(hold(0.3), response=0.9)


def bad_frames(world: World) -> None:
    for _ in range(20):
        world.take(BadFrame(source="controller", text="rubbish"))


def other_stream(world: World) -> None:
    world.beating = False
    world.beat(stream_uid="another")
    world.tick()


def failing_prepare(world: World) -> None:
    world.host_answers = False
    world.ask()
    world.run_ms(20)
    world.host_says(CallFailed(call=world.calls(Prepare)[-1].call, code="refused", text="range"))


def other_settings(world: World) -> None:
    world.host_answers = False
    world.ask(hold(amplitude_ma_pp=0.5))
    world.run_ms(20)
    call = world.calls(Prepare)[-1].call
    world.host_says(Prepared(call=call, token=1, read_back=hold(amplitude_ma_pp=0.51), at_ns=world.mono_ns))


def disarmed(world: World) -> None:
    world.device.armed = False
    world.run_ms(100)


def late(world: World) -> None:
    world.jump_to(world.mono_ns + 151 * MS)
    world.tick()


def offset(world: World, **bent: int) -> None:
    for name, by_ns in bent.items():
        setattr(world, name, getattr(world, name) + by_ns)
    world.tick()


def unfinished() -> World:
    """The start after a session that was killed while it was armed."""
    left = Latched(
        schema=1, rig="rig-1", mark="armed", session_id="s-0", at_wall_ns=T0.wall_ns, code="", text=""
    )
    return World(rules_of(), first_state_after(left, relay=True, watch=first_state().watch))


TRIP_CASES: dict[str, tuple[Callable[[], World], Callable[[World], object]]] = {
    "ILK-001": (armed, World.stop),
    "ILK-002": (running, twice),
    "ILK-003": (armed, lambda world: world.stop(ends=True)),
    "ILK-004": (unfinished, lambda world: None),
    "ILK-201": (armed, evidence_for(130, beating=False)),
    "ILK-202": (armed, lambda world: world.take(Gone(why="end of file"))),
    "ILK-203": (armed, evidence_for(60, data_age_ns=251 * MS)),
    "ILK-204": (armed, evidence_for(60, data_age_ns=-21 * MS)),
    "ILK-205": (armed, evidence_for(1_100, frozen_crc=True)),
    "ILK-206": (armed, evidence_for(9_000, rate=0.9)),
    "ILK-207": (armed, other_stream),
    "ILK-208": (armed, evidence_for(2_100, clean_fraction=0.79)),
    "ILK-211": (armed, evidence_for(170, host_answers=False)),
    "ILK-212": (armed, lambda world: world.take(HostGone(why="ended"))),
    "ILK-213": (armed, failing_prepare),
    "ILK-214": (armed, other_settings),
    "ILK-215": (
        running,
        lambda world: world.host_says(Delivered(delivery=slice_of(world, amplitude=1.1))),
    ),
    "ILK-216": (running, lambda world: world.host_says(Delivered(delivery=slice_of(world, token=999)))),
    "ILK-217": (running, silent_end),
    "ILK-218": (armed, disarmed),
    "ILK-221": (armed, evidence_for(180, relay_answers=False)),
    "ILK-222": (armed, lambda world: world.take(RelaySaid(closed=False))),
    "ILK-231": (armed, lambda world: world.tick(behind_ns=250 * MS + 1)),
    "ILK-232": (armed, lambda world: world.take(LedgerTrouble(kind="failed", text="EIO"))),
    "ILK-233": (armed, lambda world: world.take(LedgerTrouble(kind="disk_low", text="1 MB"))),
    "ILK-234": (armed, lambda world: world.take(LedgerTrouble(kind="limits_changed", text="digest"))),
    "ILK-241": (armed, late),
    "ILK-242": (armed, lambda world: offset(world, boot_offset_ns=501 * MS)),
    "ILK-243": (armed, lambda world: offset(world, wall_offset_ns=-2_001 * MS)),
    "ILK-251": (armed, lapses),
    "ILK-252": (armed, wrong_response),
    "ILK-261": (armed, bad_frames),
    "ILK-271": (
        lambda: World(rules_of()).ready(),
        lambda world: (world.present(world.act(valid_s=0.5)), world.run_ms(600)),
    ),
}


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_each_trip_is_produced_by_what_it_names(code: str):
    make, happen = TRIP_CASES[code]
    world = make()
    happened = len(world.effects)
    happen(world)
    if code == "ILK-004":  # it is tripped before anything happens
        world.ready_or_not().present()
        assert (world.state.trip, world.phase) == (code, "TRIPPED")
        assert BY_CODE[code].text in world.state.trip_text
        return
    codes = [m.code for m in world.heard if isinstance(m, PhaseChanged) and m.phase == "TRIPPED"]
    assert world.phase == "TRIPPED"
    if code == "ILK-002":
        assert world.state.trip == "ILK-001"
        stops = [
            e.message for e in world.effects if isinstance(e, ToDevice) and "StopDevice" in repr(e.message)
        ]
        assert [stop.how for stop in stops] == ["ramp", "cut"]
        return
    if code != "ILK-202":  # nobody is there to be told
        assert tripped(world) == code
        assert codes == [code]
    assert world.state.trip == code
    assert BY_CODE[code].text in world.state.trip_text
    stops = [
        e.message
        for e in world.effects[happened:]
        if isinstance(e, ToDevice) and "StopDevice" in repr(e.message)
    ]
    assert stops[0].how == BY_CODE[code].how
    if BY_CODE[code].how == "cut":
        assert OpenRelay() in world.effects[happened:]


def test_every_trip_has_a_case_and_every_case_a_trip():
    assert set(TRIP_CASES) == {kind.code for kind in TRIPS}
    assert len(BY_CODE) == len(TRIPS)


def test_every_code_is_of_one_kind_and_says_what_to_do():
    kinds = [BY_CODE, REFUSALS, PERMISSIVES]
    codes = [code for kind in kinds for code in kind]
    assert len(codes) == len(set(codes))
    for text, remedy in (*REFUSALS.values(), *PERMISSIVES.values()):
        assert text and remedy and "\n" not in text + remedy
    for trip in TRIPS:
        assert trip.text and trip.remedy and trip.how in ("ramp", "cut")


def refused(world: World, request_id: int) -> set[str]:
    return world.codes(request_id)


def asked(make: Callable[[], World], **bent: object) -> Callable[[], set[str]]:
    def ask() -> set[str]:
        world = make()
        return world.codes(world.ask(**bent))

    return ask


def answered(world: World) -> set[str]:
    return {result.code for result in world.answered}


def presented(**bent: object) -> Callable[[], set[str]]:
    def present() -> set[str]:
        world = World(rules_of()).ready()
        world.present(world.act(**bent))
        return answered(world)

    return present


def two_at_once() -> set[str]:
    world = armed()
    world.ask()
    return world.codes(world.ask())


def train_in_train() -> set[str]:
    world = running("rtms")
    return world.codes(world.ask(pulses(n_pulses=39)))


def before_the_interval() -> set[str]:
    world = armed("rtms")
    world.ask()
    world.run_ms(4_500)
    assert world.state.running is None
    return world.codes(world.ask())


def after_a_lapse() -> set[str]:
    world = armed()
    world.ask()
    world.run_ms(600)
    return world.codes(world.ask())


def bad_evidence() -> set[str]:
    world = armed()
    return world.codes(world.ask(evidence=world.evidence(clean_fraction=0.7)))


def over_budget() -> set[str]:
    world = World(rules_of(budgets={"on_time_s": 0.4})).armed()
    return world.codes(world.ask())


def unprepared() -> set[str]:
    world = armed()
    world.fire(7)
    return world.codes(7)


def undurable() -> set[str]:
    world = armed()
    world.disk_ns = None
    request = world.ask()
    world.run_ms(300)
    return world.codes(request)


def rise_of_the_wrong_sign() -> set[str]:
    world = armed()
    seen = msgspec.structs.replace(world.state.response, wrong=2)
    world.state = msgspec.structs.replace(world.state, response=seen)
    return world.codes(world.ask())


def second_controller() -> set[str]:
    world = armed().join()
    return {message.code for message in world.heard if isinstance(message, PhaseChanged)}


def other_hello() -> set[str]:
    world = World(rules_of()).open().join(session_digest="e" * 64)
    return {message.code for message in world.heard if isinstance(message, PhaseChanged)}


def relay_stuck() -> set[str]:
    world = World(rules_of()).ready()
    world.relay_answers = False
    world.present()
    world.run_ms(300)
    return answered(world)


def device_does_not_arm() -> set[str]:
    world = World(rules_of()).ready()
    world.host_answers = False
    world.present()
    world.run_ms(50)
    world.host_says(
        CallFailed(call=world.calls(ArmDevice)[-1].call, code="refused", text="enable input open")
    )
    return answered(world)


def clocks_apart() -> set[str]:
    world = World(rules_of()).ready()
    world.boot_offset_ns += 501 * MS
    world.present()
    return answered(world)


REFUSAL_CASES: dict[str, Callable[[], set[str]]] = {
    "ILK-301": asked(lambda: World(rules_of()).ready()),
    "ILK-302": two_at_once,
    "ILK-303": train_in_train,
    "ILK-304": before_the_interval,
    "ILK-305": after_a_lapse,
    "ILK-306": bad_evidence,
    "ILK-308": over_budget,
    "ILK-309": unprepared,
    "ILK-310": asked(armed, onset_at_ns=1),
    "ILK-311": undurable,
    "ILK-312": asked(armed, id=0),
    "ILK-313": asked(armed, response=float("nan")),
    "ILK-314": rise_of_the_wrong_sign,
    "ILK-315": after(past(WALL_NS, on_time_s=1.0)),
    "ILK-316": after(past(WALL_NS, "rtms", n_pulses=1)),
    "ILK-317": after(*(past(WALL_NS - n * HOUR_NS, on_time_s=1.0) for n in range(1, 5))),
    "ILK-318": after(past(WALL_NS - 24 * HOUR_NS, on_time_s=1.0), budget=SECOND_DAY),
    "ILK-319": asked(running, train=hold(outputs=PAIR[::2])),
    "ILK-321": second_controller,
    "ILK-322": other_hello,
    "ILK-331": presented(person="eve"),
    "ILK-332": presented(key=STRANGER),
    "ILK-333": presented(nonce="nonce-7"),
    "ILK-334": presented(kind="reset"),
    "ILK-335": relay_stuck,
    "ILK-336": device_does_not_arm,
    "ILK-337": clocks_apart,
    "ILK-338": presented(valid_s=90_001.0),
}


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_each_refusal_is_produced_by_what_it_names(code: str):
    assert code in REFUSAL_CASES[code]()


def test_every_refusal_has_a_case():
    assert set(REFUSAL_CASES) == set(REFUSALS)


def lacking(world: World) -> str:
    """What the controller is told of a world that becomes SAFE again, or never READY."""
    from safety.arming import missing

    return " ".join(missing(world.rules, world.state, world.now))


def without(code: str) -> World:
    rules = rules_of()
    match code:
        case "ILK-401":
            return World(rules).open().run_ms(100)
        case "ILK-402":
            return World(rules).join().run_ms(100)
        case "ILK-403" | "ILK-405":
            kind = "disk_low" if code == "ILK-403" else "limits_changed"
            world = World(rules).open().join().run_ms(100)
            world.take(LedgerTrouble(kind=kind, text="why"))
            return world
        case "ILK-404":
            return World(bend_rules(rules, valid_until="2026-05-31")).open().join().run_ms(100)
        case "ILK-407":
            world = World(rules, first_state(relay=False)).open().join()
            return world.run_ms(100)
        case "ILK-409":
            return World(msgspec.structs.replace(rules, simulated=False)).open().join().run_ms(100)
        case "ILK-410":
            world = World(rules)
            world.device.impedance_kohm = None
            return world.open().join().run_ms(100)
    if code in CLOCKS:
        return with_history(**CLOCKS[code])
    lacks: dict[str, dict[str, object]] = {
        "ILK-421": {"ends_by_itself": False},
        "ILK-422": {"stops_on_link_loss": False},
        "ILK-423": {"reads_back": False},
        "ILK-424": {"confirms": False},
        "ILK-425": {"measures_impedance": False},
        "ILK-426": {"onset_latency_ns": 50 * MS + 1},
    }
    alone = bend_rules(rules, relay=msgspec.structs.replace(rules.limits.relay, endpoint="none"))
    caps = msgspec.structs.replace(caps_of("tacs"), **lacks[code])
    return World(alone, first_state(relay=False)).open(caps).join().run_ms(100)


@pytest.mark.parametrize("code", sorted(PERMISSIVES))
def test_each_permissive_that_is_missing_keeps_it_safe_and_is_named(code: str):
    world = without(code)
    assert world.phase == "SAFE"
    assert code in lacking(world)
    assert PERMISSIVES[code][0] in lacking(world)
    world.present()
    assert [(result.ok, result.code) for result in world.answered] == [(False, "ILK-334")]


def test_ready_names_what_went_missing():
    world = World(rules_of()).ready()
    world.device.impedance_kohm = 99.0
    world.run_ms(100)
    assert world.phase == "SAFE"
    assert world.last(PhaseChanged).code == "ILK-410"
    world.device.impedance_kohm = 5.0
    world.run_ms(100)
    assert world.phase == "READY"


def test_the_relay_that_went_takes_ready_with_it():
    world = World(rules_of()).ready()
    world.take(RelayGone(why="its line closed"))
    assert world.phase == "SAFE"
    assert world.last(PhaseChanged).code == "ILK-407"


@pytest.mark.parametrize(
    "bent",
    [{"driver": "other"}, {"serial": "SIM-2"}, {"modalities": ("rtms",)}],
    ids=lambda bent: next(iter(bent)),
)
def test_another_device_is_not_opened(bent: dict[str, object]):
    world = World(rules_of()).open(msgspec.structs.replace(caps_of("tacs"), **bent)).join().run_ms(100)
    assert world.phase == "SAFE"
    assert str(next(iter(bent.values()))).strip("(),'") in lacking(world)


def test_a_driver_of_another_package_is_not_opened():
    world = World(rules_of())
    world.host_says(opened_of(caps_of("tacs"), "elsewhere"))
    world.join().run_ms(100)
    assert world.phase == "SAFE"
    assert "elsewhere" in lacking(world)


def test_what_was_answered_is_a_result_and_the_hello_is_not_welcomed():
    world = World(rules_of()).open()
    world.join(protocol=2)
    assert world.state.controller is False
    assert world.state.hello is None
    assert not any(isinstance(result, ActResult) for result in world.answered)
    world.join(sfreq_hz=float("nan"))
    assert world.state.hello is None
    assert hello_of().protocol == 1
