"""A hold that goes on as it is: its own token is fired again, and only its end moves."""

from __future__ import annotations

import msgspec
import pytest

from drivers.capabilities import Capabilities
from drivers.link import CallFailed, Delivered, Fire, Fired, Prepare
from drivers.stimulation import Delivery, Output
from safety.entries import Genesis
from safety.firing import renewable
from safety.messages import Refusal
from safety.oracle_ledger import judge
from safety.state import Running
from tests.safety.bench_device import MS
from tests.safety.strategies import hold
from tests.safety.test_oracle_sessions import judged_by_hand
from tests.safety.world import World
from tests.safety.worlds import armed, fired, holding

HELD = hold(amplitude_ma_pp=0.4, ramp_up_ms=400)


def held(ms: float = 200) -> World:
    """A hold that runs, of 400 ms."""
    return holding(HELD, ms=ms)


def running_of(world: World) -> Running:
    assert world.state.running is not None
    return world.state.running


def in_renewal(*, late: bool = False) -> World:
    """A renewal on its way to a host that says only what the test says; `late`: it does not reach the hold."""
    world = held()
    world.host_answers = False
    world.device.late = late
    world.ask(HELD)
    assert world.state.firing is not None and world.state.firing.renews
    return world


def test_an_unchanged_hold_is_fired_again_and_not_prepared():
    world = held()
    token = world.calls(Fire)[0].token
    request = world.ask(HELD)
    assert world.codes(request) == set()
    assert [call.token for call in world.calls(Fire)] == [token, token]
    assert len(world.calls(Prepare)) == 1
    permit = world.permits()[-1]
    assert (permit.id, permit.token) == (request, world.calls(Fire)[-1].call)
    assert permit.lease_until_ns == world.mono_ns + 400 * MS
    assert permit.allowed.amplitude_now == 0.4
    world.run_ms(20)
    running = world.state.running
    assert running is not None and world.state.firing is None
    assert (running.id, running.token, running.train) == (request, token, HELD)
    assert running.onset_ns < permit.read_ns and permit.read_ns <= running.until_ns - 400 * MS
    assert running.zero_ns == running.until_ns + 100 * MS


def test_the_renewal_of_another_token_is_no_renewal():
    world = in_renewal()
    running = msgspec.structs.replace(running_of(world), token=running_of(world).token + 1)
    firing = world.state.firing
    assert firing is not None
    world.state = msgspec.structs.replace(world.state, running=running)
    world.checks = False  # a state that no event leads to
    world.host_says(Fired(call=firing.call, token=firing.token, onset_ns=world.mono_ns, at_ns=world.mono_ns))
    assert world.state.trip == "ILK-214" and "was renewed after its end" in world.state.trip_text


@pytest.mark.parametrize(("early_ns", "there"), [(0, True), (1, False)])
def test_what_has_begun_is_renewed_and_nothing_before(early_ns: int, there: bool):
    world = held()
    running = msgspec.structs.replace(running_of(world), onset_ns=world.mono_ns + early_ns)
    state = msgspec.structs.replace(world.state, running=running)
    assert (renewable(state, world.request(HELD), world.now) is not None) is there


def test_a_device_that_is_not_known_renews_nothing():
    world = held()
    request = world.request(HELD)
    assert renewable(world.state, request, world.now) is not None
    unknown = msgspec.structs.replace(world.state, capabilities=None)
    assert renewable(unknown, request, world.now) is None


def test_renewed_in_time_it_never_falls_and_is_told_in_one_piece():
    world = held()
    for _ in range(30):
        world.ask(HELD)
        world.run_ms(200)
        assert world.device.output == pytest.approx(0.4, abs=0.01)
    assert world.state.lapses == () and world.phase == "ARMED"
    assert not any(isinstance(message, Refusal) for message in world.heard)
    world.run_ms(700)
    assert world.device.output == 0.0 and len(world.state.lapses) == 1
    oracle, said = judged_by_hand(world)
    assert said == [] and oracle.permits == 31


@pytest.mark.parametrize(
    "other",
    [
        hold(amplitude_ma_pp=0.41, ramp_up_ms=400),
        hold(amplitude_ma_pp=0.4, ramp_up_ms=401),
        hold(amplitude_ma_pp=0.4, ramp_up_ms=400, duration_ms=399),
        hold(amplitude_ma_pp=0.4, ramp_up_ms=400, frequency_hz=10.01),
    ],
)
def test_what_changes_anything_is_prepared(other: object):
    world = held()
    world.ask(other)  # type: ignore[arg-type]
    assert len(world.calls(Fire)) == 1 and len(world.calls(Prepare)) == 2


def test_a_current_that_turns_round_is_neither_renewed_nor_prepared():
    """While output is on a hold changes nothing but its amplitude."""
    world = held()
    turned = (Output(name="F3", share=-1.0), Output(name="Oz", share=1.0))
    world.ask(hold(amplitude_ma_pp=0.4, ramp_up_ms=400, outputs=turned))
    assert len(world.calls(Fire)) == 1 and len(world.calls(Prepare)) == 1


def test_a_device_that_cannot_is_asked_to_prepare():
    world = held()
    caps = world.state.capabilities
    assert caps is not None
    world.state = msgspec.structs.replace(world.state, capabilities=without_renewal(caps))
    world.ask(HELD)
    assert len(world.calls(Fire)) == 1 and len(world.calls(Prepare)) == 2


def without_renewal(caps: Capabilities) -> Capabilities:
    return msgspec.structs.replace(caps, renews=False)


@pytest.mark.parametrize(("left_ns", "prepares"), [(50 * MS, 1), (50 * MS - 1, 2)])
def test_near_its_end_a_hold_is_prepared_anew(left_ns: int, prepares: int):
    world = held()
    running = world.state.running
    assert running is not None
    world.run_ms((running.until_ns - left_ns - world.mono_ns) / MS)
    assert world.mono_ns == running.until_ns - left_ns
    assert world.codes(world.ask(HELD)) == set()
    assert len(world.calls(Prepare)) == prepares


def test_a_hold_that_has_not_begun_is_not_renewed():
    world = armed()
    train = hold(amplitude_ma_pp=0.4, ramp_up_ms=400, duration_ms=300)
    world.ask(train, onset_at_ns=world.mono_ns + 150 * MS)
    world.run_ms(60)
    assert world.state.running is not None and world.state.running.onset_ns > world.mono_ns
    world.ask(train)
    assert len(world.calls(Fire)) == 1


def test_an_onset_ahead_or_a_later_fire_is_no_renewal():
    for onset in (-1, 40 * MS):
        world = held()
        world.ask(HELD, onset_at_ns=onset if onset < 0 else world.mono_ns + onset)
        assert len(world.calls(Fire)) == 1


def test_a_renewal_that_came_too_late_is_refused_and_the_hold_lapses():
    world = in_renewal(late=True)
    fire = world.calls(Fire)[-1]
    world.host_says(CallFailed(call=fire.call, code="late", text="it falls"))
    assert world.codes(world.ids) == {"ILK-310"}
    assert world.phase == "ARMED" and world.state.firing is None
    assert world.state.running is not None and world.state.running.id == 1
    world.host_answers = True
    world.run_ms(700)
    assert len(world.state.lapses) == 1


@pytest.mark.parametrize("code", ["refused", "wrong_state", "lost", "read_back", "silent", "internal"])
def test_any_other_failure_of_a_renewal_trips(code: str):
    world = in_renewal()
    world.host_says(CallFailed(call=world.calls(Fire)[-1].call, code=code, text="no"))
    assert world.phase == "TRIPPED"


def test_a_lease_that_ends_while_its_renewal_is_under_way_has_lapsed():
    world = in_renewal(late=True)
    world.checks = False
    device = world.device
    device.advance(world.mono_ns + 600 * MS)
    for message in device.said:
        if type(message).__name__ == "Delivered":
            world.host_says(message)
    assert world.state.running is None and world.state.firing is not None
    assert len(world.state.lapses) == 1
    world.host_says(fired(world))
    assert (world.phase, world.state.trip) == ("TRIPPED", "ILK-214")


def test_a_slice_of_a_renewal_whose_hold_nobody_remembers_is_spent_and_moves_nothing():
    """No order of events leads there; if one did, what came out would still count, and nothing else be made of it."""
    world = in_renewal()
    firing = world.state.firing
    assert firing is not None
    world.checks = False
    world.state = msgspec.structs.replace(world.state, running=None, before=None)
    spent, now_ns = world.state.dose.confirmed, world.mono_ns
    slice_ = Delivery(
        token=firing.token, start_ns=now_ns, end_ns=now_ns + 100 * MS, amplitude=0.4, n_pulses=0, ended=False,
        confirmed=True,
    )  # fmt: skip
    world.host_says(Delivered(delivery=slice_))
    state = world.state
    assert state.dose.confirmed.on_time_s == pytest.approx(spent.on_time_s + 0.1)
    assert (state.firing, state.running, state.before, state.phase) == (firing, None, None, "ARMED")


@pytest.mark.parametrize(
    "bent", [{"token": 7}, {"onset_ns": 0}, {"onset_ns": 2**62}, {"call": 10_000}], ids=str
)
def test_an_answer_to_a_renewal_that_does_not_fit_trips(bent: dict[str, int]):
    world = in_renewal()
    world.host_says(fired(world, **bent))
    assert world.phase == "TRIPPED"


def test_a_renewal_that_is_not_answered_trips():
    world = in_renewal()
    world.run_ms(90)
    assert world.phase == "ARMED"
    world.run_ms(60)
    assert world.phase == "TRIPPED"


def test_a_stop_during_a_renewal_goes_past_it():
    world = in_renewal()
    world.stop()
    assert world.phase == "TRIPPED" and world.state.firing is None
    world.host_says(Fired(call=world.calls(Fire)[-1].call, token=101, onset_ns=world.mono_ns, at_ns=0))
    world.host_answers = True
    world.run_ms(400)
    assert world.device.output == 0.0


def test_a_step_down_follows_a_renewal_that_is_under_way():
    world = held()
    world.ask(HELD)
    world.ask(hold(amplitude_ma_pp=0.1, ramp_up_ms=400))
    world.run_ms(300)
    assert world.phase == "ARMED" and world.device.output == pytest.approx(0.1)
    _, said = judged_by_hand(world)
    assert said == []


def test_the_oracle_objects_to_a_renewal_of_nothing_or_of_another_train():
    world = held()
    world.ask(HELD)
    world.run_ms(20)
    entries = list(world.entries)
    at = next(i for i, e in enumerate(entries) if any(x.startswith("permit 2 ") for x in e.effects))
    first = Genesis(
        prev="", seq=0, kind="opened", now=entries[0].now, utc="", boot_id="", rules=world.rules,
        state=world.first, software=world_software(),
    )  # fmt: skip
    assert judge([first, *entries]).objections == ()
    asked = entries[at].event
    other = msgspec.structs.replace(asked.request, train=hold(amplitude_ma_pp=0.3, ramp_up_ms=400))  # type: ignore[union-attr]
    bent = msgspec.structs.replace(entries[at], event=msgspec.structs.replace(asked, request=other))
    found = judge([first, *entries[:at], bent, *entries[at + 1 :]]).objections
    assert any("renewed another train" in text for text in found)
    begun = [i for i, e in enumerate(entries) if type(getattr(e.event, "message", None)) is Fired]
    found = judge([first, *entries[: begun[0]], *entries[begun[0] + 1 :]]).objections
    assert any("renewed where no hold runs" in text for text in found)


def world_software() -> object:
    from safety.entries import Software

    return Software(digest="0", python="", msgspec="", nociloop="")
