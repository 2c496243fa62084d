"""The way up: the one controller, the person's act, and each step of the relay's proof test, wrong or late."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.link import ArmDevice, CallFailed, Done, StopDevice
from safety.acts import sign
from safety.arming import ARMING_MAX_NS, missing, silence_ns
from safety.events import Durable, HostGone, LedgerTrouble, RelayGone, RelaySaid
from safety.messages import ActResult, Allowed, PhaseChanged, Welcome
from safety.state import OpenRelay, PetRelay
from tests.safety.bench_device import MS
from tests.safety.strategies import caps_of
from tests.safety.world import (
    PEOPLE,
    SESSION,
    STRANGER,
    World,
    bend_rules,
    first_state,
    phases,
    rules_of,
    tripped,
)


def ready() -> World:
    return World(rules_of()).ready()


def proving(*said: bool) -> World:
    """In the proof test, after the relay has said so."""
    world = ready()
    world.relay_answers = False
    world.present()
    for closed in said:
        world.take(RelaySaid(closed=closed))
    if len(said) == 4 and world.state.arming is not None:  # that the rig is armed is durable
        world.take(Durable(seq=world.state.arming.after))
    return world


def result(world: World) -> ActResult:
    assert len(world.answered) == 1
    return world.answered[0]


def test_the_welcome_has_the_rows_and_later_words_do_not():
    world = World(rules_of()).open()
    world.join()
    welcome = world.last(Welcome)
    assert welcome.session_id == "s-1"
    assert welcome.allowed.high("amplitude_ma_pp") == 2.0 and welcome.allowed.high("amplitude_ma") == 0.0
    assert welcome.allowed.amplitude_max == 0.4  # slew over the longest ramp that a lease can hold
    world.run_ms(100)
    world.present()
    world.run_ms(100)
    assert world.last(Allowed).rows == welcome.allowed.rows
    world.ask(msgspec.structs.replace(world.request().train, outputs=()))
    assert world.heard[-1].allowed.rows == ()


@pytest.mark.parametrize(
    "bent",
    [
        {"protocol": 2},
        {"session_id": "s-2"},
        {"session_digest": "e" * 64},
        {"modality": "rtms"},
        {"sfreq_hz": math.nextafter(1.0, 0.0)},
        {"sfreq_hz": math.nextafter(100_000.0, math.inf)},
        {"sfreq_hz": float("nan")},
        {"sfreq_hz": float("inf")},
    ],
    ids=str,
)
def test_a_hello_that_does_not_fit_is_refused_and_another_may_come(bent: dict[str, object]):
    world = World(rules_of()).open().join(**bent)
    assert world.last(PhaseChanged).code == "ILK-322"
    assert world.state.hello is None
    assert not any(isinstance(message, Welcome) for message in world.heard)
    world.join()
    assert world.last(Welcome)


@pytest.mark.parametrize("sfreq_hz", (1.0, 100_000.0))
def test_the_slowest_and_the_fastest_amplifier_are_taken(sfreq_hz: float):
    assert World(rules_of()).open().join(sfreq_hz=sfreq_hz).last(Welcome)


def test_one_controller_per_session_ever():
    world = ready()
    world.join()
    assert world.last(PhaseChanged).code == "ILK-321"
    assert sum(isinstance(message, Welcome) for message in world.heard) == 1


@pytest.mark.parametrize("first", ("open", "join"))
def test_ready_comes_in_any_order(first: str):
    world = World(rules_of())
    for what in ("open", "join") if first == "open" else ("join", "open"):
        getattr(world, what)()
        world.run_ms(100)
    assert world.phase == "READY"


def test_an_impedance_that_comes_last_makes_it_ready():
    world = World(rules_of())
    world.device.impedance_kohm = None
    world.open().join().run_ms(100)
    assert world.phase == "SAFE"
    world.device.impedance_kohm = 5.0
    world.run_ms(60)
    assert world.phase == "READY"


def alone_ms(world: World) -> float:
    """How much longer than an answer its own opening may take: silence, and the longest ramp."""
    longest = next((row.high for row in world.state.rows if row.quantity == "ramp_down_ms"), 0.0)
    assert round((world.rules.limits.relay.silence_ms + longest) * MS) == silence_ns(world.rules, world.state)
    return world.rules.limits.relay.silence_ms + longest


def test_the_proof_test_opens_closes_opens_and_closes():
    """The second time it opens by its own silence: nothing tells it to, and it is not petted."""
    world = ready()
    before = len(world.effects)
    world.present()
    world.run_ms(50)
    moves = [e for e in world.effects[before:] if isinstance(e, PetRelay | OpenRelay)]
    assert moves[:3] == [OpenRelay(), PetRelay(), PetRelay()]
    assert OpenRelay() not in moves[1:]
    assert world.phase == "ARMED"
    assert result(world).ok
    assert world.device.output == 0.0


@pytest.mark.parametrize("said", [(), (False,), (False, True), (False, True, False)], ids=str)
def test_a_relay_that_falls_silent_in_any_step_fails(said: tuple[bool, ...]):
    world = proving(*said)
    world.run_ms(199 + (alone_ms(world) if len(said) == 2 else 0))
    assert not world.answered
    world.run_ms(15)
    assert (result(world).ok, result(world).code) == (False, "ILK-335")
    lacks = "did not open by its own silence" if len(said) == 2 else "no answer at"
    assert lacks in result(world).text
    assert world.phase == "READY"
    assert world.state.arming is None
    assert not world.calls(ArmDevice)
    assert world.effects[-1] == OpenRelay() or OpenRelay() in world.effects[-3:]


@pytest.mark.parametrize("said", [(), (False,), (False, True), (False, True, False)], ids=str)
def test_a_relay_that_says_the_wrong_thing_gets_no_further(said: tuple[bool, ...]):
    world = proving(*said)
    wrong = len(said) % 2 == 0
    for _ in range(5):
        world.take(RelaySaid(closed=wrong))
    assert not world.calls(ArmDevice)
    world.run_ms(215 + (alone_ms(world) if len(said) == 2 else 0))
    assert result(world).code == "ILK-335"


def test_a_welded_contact_is_found():
    world = ready()
    world.relay_answers = False
    world.present()
    for _ in range(30):
        world.take(RelaySaid(closed=True))
        world.run_ms(10)
    assert result(world).code == "ILK-335"
    assert not world.calls(ArmDevice)


def test_each_step_has_its_own_deadline():
    world = proving()
    for closed in (False, True, False):
        world.run_ms(150)
        world.take(RelaySaid(closed=closed))
    world.run_ms(150)
    assert not world.answered
    world.take(RelaySaid(closed=True))
    assert len(world.calls(ArmDevice)) == 1


def test_a_relay_that_opens_while_the_device_arms_ends_the_arming():
    world = proving(False, True, False, True)
    assert world.calls(ArmDevice)
    world.take(RelaySaid(closed=True))
    assert world.state.arming is not None
    world.take(RelaySaid(closed=False))
    assert result(world).code == "ILK-335"
    assert world.calls(StopDevice)[-1].how == "cut"
    world.run_ms(300)
    assert world.phase == "READY"
    assert not world.device.armed


def test_no_answer_of_the_host_arms_during_the_proof_test():
    for said in ((), (False,), (False, True), (False, True, False)):
        world = proving(*said)
        for call in (0, world.state.call, world.state.call + 1, -1):
            world.host_says(Done(call=call, at_ns=0))
        assert world.phase == "READY"
        assert world.state.arming is not None


def test_only_the_right_answer_arms():
    world = proving(False, True, False, True)
    call = world.calls(ArmDevice)[-1].call
    for other in (0, call - 1, call + 1, -call):
        world.host_says(Done(call=other, at_ns=0))
        assert world.phase == "READY"
    world.host_says(Done(call=call, at_ns=0))
    assert world.phase == "ARMED"


def test_a_device_that_does_not_answer_is_stopped():
    world = ready()
    world.host_answers = False
    world.present()
    world.run_ms(3_100)
    assert result(world).code == "ILK-336"
    assert world.calls(StopDevice)[-1].how == "cut"
    assert not world.relay_closed
    world.host_says(Done(call=world.calls(ArmDevice)[-1].call, at_ns=0))  # too late
    assert world.phase != "ARMED"


def test_a_device_that_refuses_to_arm_is_stopped():
    world = proving(False, True, False, True)
    world.host_says(
        CallFailed(call=world.calls(ArmDevice)[-1].call, code="refused", text="enable input open")
    )
    assert result(world).code == "ILK-336"
    assert "enable input open" in result(world).text
    assert world.calls(StopDevice)[-1].how == "cut"


@pytest.mark.parametrize("how", ("stop", "relay", "host", "host failed"))
def test_whatever_happens_while_arming_the_person_is_answered(how: str):
    world = proving(False)
    match how:
        case "stop":
            world.stop()
        case "relay":
            world.take(RelayGone(why="its line closed"))
        case "host":
            world.take(HostGone(why="ended"))
        case "host failed":
            world.host_says(CallFailed(call=-3, code="lost", text="the link broke"))
    assert result(world).ok is False
    assert world.state.arming is None
    world.run_ms(500)
    assert not world.calls(ArmDevice)
    assert "ARMED" not in phases(world)


@pytest.mark.parametrize(
    ("bent", "code"),
    [
        ({"person": "eve", "key": STRANGER}, "ILK-331"),
        ({"person": ""}, "ILK-331"),
        ({"key": STRANGER}, "ILK-332"),
        ({"person": "bob", "key": STRANGER}, "ILK-332"),
        ({"session_id": "s-2"}, "ILK-333"),
        ({"nonce": "nonce-1"}, "ILK-333"),
        ({"nonce": ""}, "ILK-333"),
        ({"valid_s": 0.0}, "ILK-333"),
        ({"valid_s": -1.0}, "ILK-333"),
        ({"kind": "reset"}, "ILK-334"),
    ],
    ids=lambda each: "-".join(each) if isinstance(each, dict) else each,
)
def test_an_act_that_is_not_right_arms_nothing(bent: dict[str, object], code: str):
    world = ready()
    world.present(world.act(**bent))
    assert (result(world).ok, result(world).code) == (False, code)
    assert world.state.arming is None
    world.run_ms(100)
    assert world.phase == "READY"
    assert not world.calls(ArmDevice)


def test_an_act_with_another_reason_than_was_signed_is_refused():
    world = ready()
    world.present(msgspec.structs.replace(world.act(), reason="something else"))
    assert result(world).code == "ILK-332"


def test_an_act_is_good_once():
    world = ready()
    act = world.act()
    world.present(act)
    world.run_ms(50)
    world.present(act)
    assert world.answered[-1].code == "ILK-333"
    world.stop()
    world.run_ms(300)
    world.present(act)
    assert world.answered[-1].code == "ILK-333"
    assert world.phase == "TRIPPED"


def test_a_refused_act_spends_its_nonce():
    world = ready()
    act = world.act()
    world.present(world.act(person="eve"))
    world.present(act)
    assert world.answered[-1].code == "ILK-333"
    world.present()
    world.run_ms(50)
    assert world.phase == "ARMED"


def test_two_acts_at_once_are_one():
    world = ready()
    world.relay_answers = False
    world.present()
    world.present()
    assert [answer.code for answer in world.answered] == ["ILK-334"]


@pytest.mark.parametrize(
    "bent",
    [
        {"clean_fraction": 0.5},
        {"newest_ns": 0},
        {"stream_uid": "other"},
    ],
    ids=str,
)
def test_nobody_arms_on_bad_evidence(bent: dict[str, object]):
    world = ready()
    world.beating = False
    world.beat(**bent)
    world.present()
    assert result(world).code == "ILK-306"


def test_nobody_arms_without_any_evidence():
    world = World(rules_of())
    world.beating = False
    world.device.enabled = False
    world.open().join().run_ms(100)
    assert world.phase == "READY"
    world.present()
    assert result(world).code == "ILK-306"


@pytest.mark.parametrize("beyond_ns", (0, 1, 10**30))
def test_an_arming_has_an_end_that_somebody_may_wait_for(beyond_ns: int):
    world = ready()
    ahead_ns = ARMING_MAX_NS + beyond_ns
    act = sign(
        PEOPLE["ann"], act="arm", person="ann", session_id=SESSION, nonce="nonce-0", reason="x",
        expires_wall_ns=world.now.wall_ns + ahead_ns,
    )  # fmt: skip
    world.present(act)
    world.run_ms(100)
    assert (result(world).code, world.phase) == (("ILK-338", "READY") if beyond_ns else ("", "ARMED"))


def test_arming_expires_by_the_wall_clock():
    world = ready()
    world.present(world.act(valid_s=1.0))
    world.run_ms(900)
    assert world.phase == "ARMED"
    world.run_ms(111)
    assert tripped(world) == "ILK-271"


def test_without_a_relay_the_device_alone_is_armed():
    rules = rules_of()
    relay = msgspec.structs.replace(rules.limits.relay, endpoint="none")
    world = World(bend_rules(rules, relay=relay), first_state(relay=False))
    world.ready()
    world.device.enabled = True
    world.present()
    world.run_ms(50)
    assert world.phase == "ARMED"
    world.run_ms(500)
    assert world.phase == "ARMED"
    assert PetRelay() not in world.effects and OpenRelay() not in world.effects


@pytest.mark.parametrize(("lacking", "code"), [("stops_on_link_loss", "ILK-422"), ("reads_back", "ILK-423")])
def test_what_a_device_lacks_needs_a_relay(lacking: str, code: str):
    rules = rules_of()
    caps = msgspec.structs.replace(caps_of("tacs"), **{lacking: False})
    alone = bend_rules(rules, relay=msgspec.structs.replace(rules.limits.relay, endpoint="none"))
    world = World(alone, first_state(relay=False)).open(caps).join().run_ms(100)
    assert world.phase == "SAFE"
    assert [text[:7] for text in missing(world.rules, world.state, world.now)] == [code]
    assert World(rules).open(caps).join().run_ms(100).phase == "READY"


@pytest.mark.parametrize("by_ns", (500_000_001, -500_000_001))
@pytest.mark.parametrize("clock", ("boot", "wall"))
def test_nobody_arms_after_a_suspend_or_a_jump_of_the_clock(clock: str, by_ns: int):
    world = ready()
    if clock == "boot":
        world.boot_offset_ns += by_ns
    else:
        world.wall_offset_ns += 4 * by_ns
    world.present()
    assert result(world).code == "ILK-337"
    assert world.phase == "READY"
    assert not world.state.marked
    assert World(rules_of()).ready().present().state.arming is not None


@pytest.mark.parametrize(("kind", "code"), [("disk_low", "ILK-403"), ("limits_changed", "ILK-405")])
def test_what_is_found_before_arming_keeps_it_from_ready(kind: str, code: str):
    world = ready()
    world.take(LedgerTrouble(kind=kind, text="why"))
    assert world.phase == "SAFE"
    assert world.last(PhaseChanged).code == code
    assert "why" in world.last(PhaseChanged).text
    world.present()
    assert result(world).code == "ILK-334"
    assert not world.state.marked
    while_arming = ready()
    while_arming.present()
    while_arming.take(LedgerTrouble(kind=kind, text="why"))
    assert while_arming.phase == "TRIPPED"


def test_a_relay_that_is_left_alone_is_not_petted():
    """Each tick of the wait would begin its silence anew."""
    world = proving(False, True)
    before = len(world.effects)
    world.run_ms(alone_ms(world))
    assert world.state.arming is not None and world.state.arming.step == "open_2"
    assert not [each for each in world.effects[before:] if isinstance(each, PetRelay | OpenRelay)]
    world.take(RelaySaid(closed=False))
    assert world.effects[-1] == PetRelay()


def test_the_relay_is_told_to_open_when_arming_fails():
    world = proving(False, True)
    world.run_ms(30 * 10)
    assert OpenRelay() in world.effects


@given(st.lists(st.booleans(), max_size=9))
def test_only_open_closed_open_closed_in_this_order_proves_the_relay(said: list[bool]):
    """Whatever else it says, twice, late or lied: each of the four must be heard after the one before."""
    world = proving()
    wanted = [False, True, False, True]
    for closed in said:
        if wanted and closed == wanted[0]:
            wanted.pop(0)
        world.take(RelaySaid(closed=closed))
        proven = not wanted
        assert (world.state.arming is not None and world.state.arming.step == "record") is proven
        if proven:
            break
    assert not world.calls(ArmDevice)
