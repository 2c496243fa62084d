"""Requests: permit or refuse, wait for the disk, prepare, fire, renew; and the ways around a limit that are closed."""

from __future__ import annotations

import math

import msgspec
import pytest

from drivers.link import CallFailed, Fire, Fired, Prepare, Prepared, Status, StopDevice
from drivers.stimulation import Output, Train
from safety.events import Durable, RelaySaid
from safety.messages import Allowed, Pending, Permit, Refusal
from tests.safety.bench_device import MS
from tests.safety.strategies import NASTY, hold, pulses, valid_train
from tests.safety.world import World, rules_of, tripped


def armed(modality: str = "tacs", **watch: float) -> World:
    return World(rules_of("rtms" if modality == "rtms" else "tacs", **watch)).armed()


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


def answer(world: World) -> str:
    return type(world.heard[-1]).__name__


@pytest.mark.parametrize("modality", ("tacs", "rtms"))
def test_a_request_waits_for_its_reservation_then_goes_out(modality: str):
    world = armed(modality)
    request = world.ask()
    assert isinstance(world.heard[-1], Pending)
    assert not world.calls(Prepare)
    world.run_ms(4)
    assert not world.calls(Prepare)
    world.run_ms(2)
    permit = world.last(Permit)
    assert permit.id == request
    assert world.calls(Prepare)[-1].call == permit.token
    world.run_ms(30)
    assert world.state.running is not None
    assert world.state.running.id == request
    assert world.device.output > 0


def test_nothing_goes_out_that_is_not_durable():
    world = armed()
    world.disk_ns = None
    request = world.ask()
    world.run_ms(249)
    assert not world.calls(Prepare)
    assert world.state.asked is not None
    world.run_ms(12)
    assert world.codes(request) == {"ILK-311"}
    assert world.state.asked is None
    assert world.device.output == 0.0
    assert world.state.dose.granted.on_time_s > 0  # what was granted stays spent


def test_durability_of_an_earlier_entry_is_not_enough():
    world = armed()
    world.disk_ns = None
    world.ask()
    seq = world.state.entries
    world.take(Durable(seq=seq - 1))
    assert not world.calls(Prepare)
    world.take(Durable(seq=seq))
    assert len(world.calls(Prepare)) == 1


@pytest.mark.parametrize("response", [x for x in NASTY if not math.isfinite(x)])
def test_a_response_that_is_no_number(response: float):
    world = armed()
    assert world.codes(world.ask(response=response)) == {"ILK-313"}


@pytest.mark.parametrize("back", (0, 1, 100))
def test_an_id_must_rise(back: int):
    world = holding()
    bad = world.ids - back
    world.ask(id=bad)
    assert "ILK-312" in world.codes(bad)


def test_a_refused_id_may_be_used_again():
    world = armed()
    world.ask(hold(amplitude_ma_pp=3.0))
    assert world.codes(1) == {"ILK-101", "ILK-111"} or "ILK-101" in world.codes(1)
    world.ask(id=1)
    assert isinstance(world.heard[-1], Pending)


@pytest.mark.parametrize(
    ("ahead_ns", "refused"),
    [
        (0, False),
        (1, False),
        (1_000 * MS, False),
        (1_000 * MS + 1, True),
        (-1, True),
        (-(10**9), True),
        (10**18, True),
    ],
)
def test_the_onset_lies_within_a_second(ahead_ns: int, refused: bool):
    world = armed("rtms")
    codes = world.codes(world.ask(onset_at_ns=world.mono_ns + ahead_ns))
    assert codes == ({"ILK-310"} if refused else set())


@pytest.mark.parametrize("onset_at_ns", (-2, -(10**18), 1))
def test_an_onset_that_is_none(onset_at_ns: int):
    world = armed("rtms")
    assert world.codes(world.ask(onset_at_ns=onset_at_ns)) == {"ILK-310"}


def test_a_refusal_changes_no_state():
    world = armed()
    before = world.state
    world.ask(hold(amplitude_ma_pp=9.0))
    assert isinstance(world.heard[-1], Refusal)
    assert msgspec.structs.replace(world.state, entries=before.entries) == before


def test_a_refusal_names_every_limit_that_refused():
    world = armed()
    train = hold(amplitude_ma_pp=2.5, frequency_hz=99.0, duration_ms=401, ramp_up_ms=10)
    request = world.ask(train, response=math.nan, evidence=world.evidence(clean_fraction=0.0))
    refusal = world.last(Refusal)
    quantities = {reason.quantity for reason in refusal.reasons}
    assert {"amplitude_ma_pp", "frequency_hz", "duration_ms", "ramp_up_ms", "slew_ma_per_s"} <= quantities
    assert {"ILK-101", "ILK-306", "ILK-313"} <= world.codes(request)


@pytest.mark.parametrize("modality", ("tacs", "rtms"))
def test_the_train_of_another_modality(modality: str):
    world = armed(modality)
    other = valid_train("rtms" if modality == "tacs" else "tacs")
    assert "ILK-106" in world.codes(world.ask(other))


def test_two_at_once():
    world = armed()
    first = world.ask(hold(amplitude_ma_pp=0.2))
    assert world.codes(world.ask(hold(amplitude_ma_pp=0.3))) == {"ILK-302"}
    world.run_ms(30)
    assert world.state.running is not None
    assert world.state.running.id == first


def test_a_step_down_goes_at_once_even_while_another_request_is_under_way():
    world = holding(ms=200)
    older = world.ask(hold(amplitude_ma_pp=1.1))
    world.host_answers = False
    down = world.ask(hold(amplitude_ma_pp=0.1))
    assert world.codes(older) == {"ILK-302"}
    assert world.codes(down) == set()
    assert [call.train.waveform.carrier.amplitude_ma_pp for call in world.calls(Prepare)][-1] == 0.1
    world.host_says(Prepared(call=world.calls(Prepare)[-2].call, token=1, read_back=hold(), at_ns=0))
    assert len(world.calls(Fire)) == 1  # the older one is never fired


def test_a_step_down_needs_no_evidence_and_a_renewal_does():
    world = holding(ms=200)
    world.clean_fraction = 0.0
    world.run_ms(20)
    assert world.codes(world.ask(hold(amplitude_ma_pp=1.0))) == {"ILK-306"}
    assert world.codes(world.ask(hold(amplitude_ma_pp=1.0, duration_ms=399))) == {"ILK-306"}
    assert world.codes(world.ask(hold(amplitude_ma_pp=0.99))) == set()
    world.run_ms(60)
    assert world.phase == "ARMED"


@pytest.mark.parametrize(
    "bent",
    [
        {"frequency_hz": 11.0},
        {"phase_rad": 0.1},
        {"ramp_up_ms": 999},
        {"ramp_up_ms": 1001},
        {"ramp_down_ms": 99},
        {"outputs": (Output(name="F3", share=-1.0), Output(name="Oz", share=1.0))},
    ],
    ids=lambda bent: next(iter(bent)),
)
def test_a_step_down_changes_nothing_else(bent: dict[str, object]):
    world = holding(ms=200)
    world.clean_fraction = 0.0
    world.run_ms(20)
    request = world.ask(hold(amplitude_ma_pp=0.5, **bent))  # type: ignore[arg-type]
    assert "ILK-306" in world.codes(request)


def test_a_lower_pulse_train_is_no_step_down():
    world = armed("rtms")
    world.ask(pulses(n_pulses=40))
    world.run_ms(100)
    for n in (39, 20, 1):
        request = world.ask(pulses(n_pulses=n, amplitude_pct_mso=10.0))
        assert world.codes(request) == {"ILK-303"}
    assert len(world.calls(Prepare)) == 1


def test_a_train_whose_end_was_not_told_is_still_running():
    world = armed("rtms")
    world.ask(pulses(n_pulses=5))
    world.run_ms(450)
    world.host_ns = 60 * MS  # the news of its end is late
    world.run_ms(90)
    assert world.device.going is None
    assert world.state.running is not None
    assert world.mono_ns > world.state.running.until_ns
    assert world.codes(world.ask(pulses(n_pulses=5))) == {"ILK-303"}


def test_the_interval_runs_from_the_actual_end():
    world = armed("rtms")
    world.ask(pulses(n_pulses=40))
    world.run_ms(1_000)
    world.device.going.train = pulses(n_pulses=11)  # type: ignore[union-attr]  # it ends early, by itself
    world.run_ms(300)
    ended_ns = world.state.before.onset_ns + round(1.1e9)  # type: ignore[union-attr]
    assert abs(world.state.not_before_ns - (ended_ns + 6_000 * MS)) <= 2 * MS
    world.run_ms((world.state.not_before_ns - world.mono_ns) / MS - 1)
    assert world.codes(world.ask()) == {"ILK-304"}
    world.run_ms(1)
    assert world.codes(world.ask()) == set()


def test_an_onset_after_the_interval_may_be_asked_before_its_end():
    world = armed("rtms")
    world.ask(pulses(n_pulses=5))
    world.run_ms(1_000)
    not_before_ns = world.state.not_before_ns
    world.run_ms((not_before_ns - world.mono_ns) / MS - 500)
    assert world.codes(world.ask(onset_at_ns=not_before_ns - 1)) == {"ILK-304"}
    request = world.ask(onset_at_ns=not_before_ns)
    world.run_ms(700)
    assert world.codes(request) == set()
    assert world.state.running is not None
    assert world.state.running.onset_ns == not_before_ns


def test_a_hold_is_renewed_for_ever_without_a_gap():
    world = holding(hold(amplitude_ma_pp=0.4, ramp_up_ms=400))
    for n in range(20):
        world.ask(hold(amplitude_ma_pp=0.4, ramp_up_ms=400))
        world.run_ms(200)
        assert n < 8 or world.device.output == pytest.approx(0.4, abs=0.01)
    assert not any(isinstance(message, Refusal) for message in world.heard)
    assert world.state.lapses == ()


def test_a_renewal_starts_from_what_comes_out_not_from_what_was_asked():
    """A slow ramp to 1 mA, and at once a renewal with a ramp of 50 ms: 18 mA/s if the target counted."""
    world = holding(ms=100)
    assert world.device.output < 0.15
    request = world.ask(hold(amplitude_ma_pp=1.0, ramp_up_ms=50))
    assert world.codes(request) == {"ILK-111"}
    world.run_ms(250)
    assert world.device.rise_ma_per_s <= 1.001


def test_a_ramp_may_be_continued_at_its_own_pace():
    world = holding(ms=100)
    for _ in range(4):
        left_ma = 1.0 - world.device.output
        request = world.ask(hold(amplitude_ma_pp=1.0, ramp_up_ms=math.ceil(left_ma * 1000) + 20))
        assert world.codes(request) == set()
        world.run_ms(200)
    assert world.device.rise_ma_per_s <= 1.001
    assert world.device.output > 0.7


@pytest.mark.parametrize("late_ms", (0, 1, 40, 90, 120, 200))
def test_a_renewal_at_the_end_of_the_lease_starts_from_zero(late_ms: float):
    fast = hold(amplitude_ma_pp=0.4, ramp_up_ms=50)
    world = armed()
    world.ask(hold(amplitude_ma_pp=0.4, ramp_up_ms=400))
    world.run_ms(8)
    world.run_ms((world.state.running.until_ns - world.mono_ns) / MS - 49 + late_ms)  # type: ignore[union-attr]
    request = world.ask(fast)
    world.run_ms(200)
    assert world.codes(request) & {"ILK-111", "ILK-305"}
    assert world.device.rise_ma_per_s <= 1.001


def test_a_prepared_renewal_whose_hold_ran_out_meanwhile_is_refused():
    world = holding(hold(amplitude_ma_pp=0.3, ramp_up_ms=300), ms=20)
    world.run_ms((world.state.running.until_ns - world.mono_ns) / MS - 80)  # type: ignore[union-attr]
    world.host_ns = 45 * MS
    request = world.ask(hold(amplitude_ma_pp=0.3, ramp_up_ms=50))
    assert world.codes(request) == set()
    world.run_ms(60)
    assert world.codes(request) == {"ILK-111"}
    assert len(world.calls(Fire)) == 1
    world.run_ms(200)
    assert world.device.rise_ma_per_s <= 1.001


def test_a_hold_that_takes_over_starts_at_once():
    world = holding(hold(amplitude_ma_pp=0.4, ramp_up_ms=400), ms=350)
    for onset_at_ns in (-1, world.mono_ns + 900 * MS, world.mono_ns + 10 * MS):
        for train in (hold(amplitude_ma_pp=0.4, ramp_up_ms=50), hold(amplitude_ma_pp=0.3, ramp_up_ms=400)):
            assert "ILK-310" in world.codes(world.ask(train, onset_at_ns=onset_at_ns))


def test_a_lapse_is_followed_by_off_time_and_a_start_from_zero():
    world = holding(hold(amplitude_ma_pp=0.4, ramp_up_ms=400))
    world.run_ms(500)
    assert len(world.state.lapses) == 1
    assert world.state.not_before_ns > world.mono_ns
    fast = hold(amplitude_ma_pp=0.4, ramp_up_ms=50)
    slow = hold(amplitude_ma_pp=0.4, ramp_up_ms=400)
    assert world.codes(world.ask(slow)) == {"ILK-305"}
    world.run_ms(1_000)
    assert world.codes(world.ask(fast)) == {"ILK-111"}
    assert world.codes(world.ask(slow)) == set()


def test_a_request_between_the_end_of_a_lease_and_its_news_hides_no_lapse():
    world = holding(hold(amplitude_ma_pp=0.4, ramp_up_ms=400))
    world.run_ms((world.state.running.until_ns - world.mono_ns) / MS + 5)  # type: ignore[union-attr]
    assert world.state.running is not None
    assert "ILK-305" in world.codes(world.ask(hold(amplitude_ma_pp=0.4, ramp_up_ms=400)))
    world.run_ms(200)
    assert len(world.state.lapses) == 1


def test_a_step_to_zero_is_no_lapse():
    world = holding(hold(amplitude_ma_pp=0.4, ramp_up_ms=400), ms=200)
    world.ask(hold(amplitude_ma_pp=0.0, ramp_up_ms=400))
    world.run_ms(1_000)
    assert world.state.lapses == ()
    assert world.codes(world.ask(hold(amplitude_ma_pp=0.4, ramp_up_ms=400))) == set()


def test_three_lapses_trip_and_two_in_a_minute_do_not():
    world = armed()
    for lapses in (1, 2):
        world.ask()
        world.run_ms(2_000)
        assert len(world.state.lapses) == lapses
    assert world.phase == "ARMED"
    world.run_ms(60_000)
    world.ask()
    world.run_ms(2_000)
    assert world.phase == "ARMED"
    assert len(world.state.lapses) == 1


@pytest.mark.parametrize(
    "bent",
    [
        {"amplitude_ma_pp": 1.01},
        {"amplitude_ma_pp": 0.99},
        {"amplitude_ma_pp": math.nan},
        {"amplitude_ma_pp": -1.0},
        {"frequency_hz": 10.01},
        {"phase_rad": 0.001},
        {"ramp_up_ms": 1001},
        {"ramp_up_ms": 10**320},
        {"ramp_down_ms": 99},
        {"duration_ms": 401},
        {"duration_ms": 0},
        {"modality": "rtms"},
        {"outputs": ()},
        {"outputs": (Output(name="F3", share=1.0), Output(name="F4", share=-1.0))},
        {"outputs": (Output(name="F3", share=-1.0), Output(name="Oz", share=1.0))},
        {"outputs": (Output(name="F3", share=math.nan), Output(name="Oz", share=-1.0))},
    ],
    ids=str,
)
def test_a_read_back_that_differs_in_anything_trips(bent: dict[str, object]):
    world = in_hand()
    world.host_says(read_back(world, hold(**bent)))  # type: ignore[arg-type]
    assert tripped(world) == "ILK-214"
    assert not world.calls(Fire)


def test_a_read_back_of_another_waveform_trips():
    world = in_hand()
    world.host_says(read_back(world, pulses()))
    assert tripped(world) == "ILK-214"


def test_a_read_back_within_rounding_is_the_same():
    world = in_hand(hold(amplitude_ma_pp=0.3))
    world.host_says(read_back(world, hold(amplitude_ma_pp=0.1 + 0.2)))
    assert len(world.calls(Fire)) == 1


def test_prepare_answered_twice_fires_once():
    world = in_hand()
    world.host_says(read_back(world))
    world.host_says(read_back(world))
    assert len(world.calls(Fire)) == 1


@pytest.mark.parametrize("wait_ms", (100, 101))
def test_prepare_answered_in_time_and_late(wait_ms: int):
    world = in_hand()
    since_ns = world.state.asked.since_ns  # type: ignore[union-attr]
    for _ in range(20):  # everything else stays fresh
        world.mono_ns = min(world.mono_ns + 5 * MS, since_ns + wait_ms * MS)
        world.beat()
        world.host_says(_poll_answer(world))
        world.take(RelaySaid(closed=True))
    world.tick()
    assert world.state.trip == ("" if wait_ms == 100 else "ILK-211")


def _poll_answer(world: World) -> Status:
    return Status(call=-world.state.watch.poll, status=world.device.status())


@pytest.mark.parametrize(
    ("bent", "code"),
    [
        ({}, ""),
        ({"token": 56}, "ILK-214"),
        ({"onset_ns": -1}, "ILK-214"),
        ({"onset_ns": 10**320}, "ILK-214"),
        ({"call": 999}, "ILK-216"),
    ],
    ids=str,
)
def test_a_fire_answered_rightly_and_wrongly(bent: dict[str, int], code: str):
    world = in_hand(prepared=True)
    world.host_says(fired(world, **bent))
    assert world.state.trip == code


@pytest.mark.parametrize(("off_ms", "code"), [(-50, ""), (-51, "ILK-214"), (100, ""), (101, "ILK-214")])
def test_the_onset_as_told_is_the_onset_as_permitted(off_ms: int, code: str):
    world = in_hand(prepared=True)
    world.host_says(fired(world, onset_ns=world.mono_ns + off_ms * MS))
    assert world.state.trip == code


def test_a_fire_that_is_not_answered_trips():
    world = in_hand(prepared=True)
    world.host_answers = True
    world.device.said.clear()
    for _ in range(12):
        world.device.said = [said for said in world.device.said if not isinstance(said, Fired)]
        world.run_ms(10)
    assert tripped(world) == "ILK-211"


@pytest.mark.parametrize(
    ("code", "trip"),
    [
        ("config", "ILK-213"),
        ("not_found", "ILK-213"),
        ("silent", "ILK-211"),
        ("lost", "ILK-213"),
        ("refused", "ILK-213"),
        ("read_back", "ILK-214"),
        ("wrong_state", "ILK-213"),
        ("late", "ILK-213"),
        ("internal", "ILK-213"),
        ("", "ILK-213"),
        ("superseded", ""),
    ],
)
def test_each_failure_of_prepare(code: str, trip: str):
    world = in_hand()
    world.host_says(CallFailed(call=world.calls(Prepare)[-1].call, code=code, text="x"))
    assert world.state.trip == trip


@pytest.mark.parametrize(
    "code", ("silent", "lost", "refused", "read_back", "wrong_state", "internal", "superseded")
)
def test_each_failure_of_fire_trips(code: str):
    world = in_hand(prepared=True)
    world.host_says(CallFailed(call=world.calls(Fire)[-1].call, code=code, text="x"))
    assert world.phase == "TRIPPED"
    assert world.calls(StopDevice)[-1].how == "cut"


def test_a_fire_that_came_too_late_is_refused_and_counts_as_spent():
    world = in_hand(prepared=True)
    spent = world.state.dose.granted
    world.host_says(CallFailed(call=world.calls(Fire)[-1].call, code="late", text="onset is past"))
    assert world.phase == "ARMED"
    assert world.codes(world.ids) == {"ILK-310"}
    assert world.state.firing is None
    assert world.state.dose.granted == spent


def test_a_failing_poll_trips():
    world = armed()
    world.host_says(CallFailed(call=-1, code="lost", text="the link broke"))
    assert tripped(world) == "ILK-213"


def prepared_only(modality: str = "rtms", **bent: object) -> tuple[World, int]:
    world = armed(modality)
    request = world.ask(onset_at_ns=-1, **bent)
    world.run_ms(20)
    assert world.state.asked is not None
    assert world.state.asked.stage == "ready"
    assert not world.calls(Fire)
    return world, request


def test_a_prepared_train_is_fired_at_its_instant():
    world, request = prepared_only()
    onset_ns = world.mono_ns + 30 * MS
    world.fire(request, onset_ns)
    assert world.calls(Fire)[-1].onset_at_ns == onset_ns
    assert world.last(Permit).lease_until_ns == onset_ns + 4_000 * MS
    world.run_ms(60)
    assert world.device.n_pulses == 1
    world.fire(request)
    assert world.codes(request) == {"ILK-309"}


@pytest.mark.parametrize("other", (0, 2, -1, 10**30))
def test_another_id_is_not_fired(other: int):
    world, _ = prepared_only()
    world.fire(other)
    assert world.codes(other) == {"ILK-309"}
    assert not world.calls(Fire)


@pytest.mark.parametrize("ahead_ns", (-1, 1_000 * MS + 1, 10**18))
def test_a_fire_at_another_time_is_refused(ahead_ns: int):
    world, request = prepared_only()
    world.fire(request, world.mono_ns + ahead_ns)
    assert world.codes(request) == {"ILK-310"}
    assert not world.calls(Fire)


@pytest.mark.parametrize(
    "bent",
    [{"clean_fraction": 0.5}, {"newest_ns": 0}, {"stream_uid": "x"}],
    ids=lambda bent: next(iter(bent)),
)
def test_a_fire_on_bad_evidence_is_refused(bent: dict[str, object]):
    world, request = prepared_only()
    world.fire(request, 0, **bent)
    assert world.codes(request) == {"ILK-306"}
    assert not world.calls(Fire)


def test_a_prepared_train_that_nobody_fires_is_forgotten():
    world, request = prepared_only()
    assert world.codes(world.ask()) == {"ILK-302"}
    world.run_ms(2_020)
    world.fire(request)
    assert world.codes(request) == {"ILK-309"}
    assert world.codes(world.ask()) == set()


def test_a_request_with_an_onset_is_not_fired_by_another_message():
    world = armed("rtms")
    request = world.ask(onset_at_ns=world.mono_ns + 500 * MS)
    world.run_ms(20)
    world.fire(request)
    assert world.codes(request) == {"ILK-309"}


def test_a_deferred_hold_counts_whole_and_starts_from_zero():
    """A hold may wait for its FireRequest only when nothing runs: it can borrow neither level nor time."""
    world, request = prepared_only("tacs", train=hold(amplitude_ma_pp=0.4, ramp_up_ms=400))
    assert world.state.dose.granted.on_time_s == pytest.approx(0.5)
    world.fire(request)
    world.run_ms(600)
    assert world.device.on_time_ns / 1e9 <= world.state.dose.granted.on_time_s
    assert world.device.rise_ma_per_s <= 1.001


@pytest.mark.parametrize("modality", ("tacs", "rtms"))
def test_the_lease_of_a_permit_is_bounded(modality: str):
    world = armed(modality)
    for onset in (0, world.mono_ns + 1_000 * MS):
        world.ask(onset_at_ns=onset)
        world.run_ms(8)
        permit = world.last(Permit)
        most_ns = 500 * MS if modality == "tacs" else 10_000 * MS
        assert permit.lease_until_ns <= max(onset, permit.read_ns) + most_ns


def test_what_is_allowed_is_permitted():
    """A policy that asks for exactly what it was told is allowed is not refused for it."""
    world = holding(hold(amplitude_ma_pp=0.2, ramp_up_ms=400), ms=150)
    for _ in range(6):
        allowed = world.heard[-1].allowed if not isinstance(world.heard[-1], Allowed) else world.heard[-1]
        high = math.floor(allowed.amplitude_max * 100) / 100
        request = world.ask(hold(amplitude_ma_pp=high, ramp_up_ms=400))
        assert world.codes(request) == set()
        world.run_ms(200)
    assert world.device.rise_ma_per_s <= 1.001
    assert world.device.output > 0.5


def test_a_refusal_of_the_budget_names_it():
    world = World(rules_of(budgets={"charge_c": 1e-4})).armed()
    request = world.ask()
    reason = world.last(Refusal).reasons[0]
    assert world.codes(request) == {"ILK-308"}
    assert (reason.quantity, reason.limit, reason.set_by) == ("charge_c", 1e-4, "budget")
    assert reason.value > reason.limit
