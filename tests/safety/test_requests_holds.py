"""Holds: steps down, renewals without a gap or a jump, lapses and the time off that follows them."""

from __future__ import annotations

import math

import msgspec
import pytest

from drivers.link import Fire, Prepare, Prepared
from drivers.stimulation import Output
from safety.judging import judge
from safety.messages import Allowed, Refusal
from safety.watchdogs import UNCLEAN_NS
from tests.safety.bench_device import MS
from tests.safety.strategies import hold
from tests.safety.world import tripped
from tests.safety.worlds import armed, fired, holding, read_back


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


def test_while_a_blink_passes_a_hold_goes_on_or_down_and_no_other_way():
    world = holding(ms=200)
    world.clean_fraction = 0.0
    world.run_ms(20)
    assert world.codes(world.ask(hold(amplitude_ma_pp=1.01))) == {"ILK-306"}
    assert world.codes(world.ask(hold(amplitude_ma_pp=1.0, duration_ms=399))) == {"ILK-306"}
    assert world.codes(world.ask(hold(amplitude_ma_pp=1.0))) == set()
    world.run_ms(60)
    assert world.codes(world.ask(hold(amplitude_ma_pp=0.99))) == set()
    world.run_ms(60)
    assert world.phase == "ARMED"


@pytest.mark.parametrize(("for_ns", "goes_on"), [(UNCLEAN_NS, True), (UNCLEAN_NS + 1, False)])
def test_what_does_not_pass_in_two_seconds_is_no_blink(for_ns: int, goes_on: bool):
    world = holding(ms=200)
    world.clean_fraction = 0.0
    world.run_ms(20)
    unclean = msgspec.structs.replace(world.state.watch, clean_ns=world.mono_ns - for_ns)
    state = msgspec.structs.replace(world.state, watch=unclean)
    asked = world.request(hold(amplitude_ma_pp=1.0))
    codes = {each.code for each in judge(world.rules, state, asked, world.now)}
    assert codes == (set() if goes_on else {"ILK-306"})


@pytest.mark.parametrize("field", ["stream_uid", "n_samples", "newest_ns"])
def test_a_renewal_rests_on_no_evidence_of_any_other_fault(field: str):
    world = holding(ms=200)
    request = world.request(hold(amplitude_ma_pp=1.0))
    bad = {"stream_uid": "another", "n_samples": -1, "newest_ns": world.mono_ns - 10**9}
    evidence = msgspec.structs.replace(request.evidence, clean_fraction=0.0, **{field: bad[field]})
    asked = msgspec.structs.replace(request, evidence=evidence)
    assert [each.code for each in judge(world.rules, world.state, asked, world.now)] == ["ILK-306"]


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


@pytest.mark.parametrize(("late_ns", "trips"), [(0, False), (1, True)])
def test_a_hold_that_began_after_the_one_that_it_was_to_take_over_from_trips(late_ns: int, trips: bool):
    """Its ramp was judged from where the older one was; a nanosecond after that one's lease it may start from zero."""
    world = holding(hold(amplitude_ma_pp=0.3, ramp_up_ms=300), ms=300)
    running = world.state.running
    assert running is not None
    world.run_ms((running.until_ns - world.mono_ns) / MS - 60)
    world.host_answers = False
    assert world.codes(world.ask(hold(amplitude_ma_pp=0.3, ramp_up_ms=50))) == set()
    world.run_ms(1)
    world.host_says(read_back(world))
    assert len(world.calls(Fire)) == 2
    world.host_says(fired(world, token=55, onset_ns=running.until_ns + late_ns))
    assert world.phase == ("TRIPPED" if trips else "ARMED")
    assert not trips or tripped(world) == "ILK-241"


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
