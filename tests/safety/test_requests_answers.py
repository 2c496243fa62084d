"""What the host answers to prepare and fire: read back, onset, failure, silence, twice."""

from __future__ import annotations

import math

import msgspec
import pytest

from drivers.link import CallFailed, Fire, Fired, Prepare, Status, StopDevice
from drivers.stimulation import Output, Pulses
from safety.events import RelaySaid
from tests.safety.bench_device import MS
from tests.safety.strategies import hold, pulses
from tests.safety.world import World, tripped
from tests.safety.worlds import armed, fired, in_hand, read_back


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


def test_a_read_back_of_another_carrier_trips():
    world = in_hand()
    pulsed = Pulses(
        amplitude_ma=1.0,
        width_us=60.0,
        gap_us=0.0,
        second_width_us=60.0,
        rate_hz=10.0,
        pulses_per_burst=1,
        rate_in_burst_hz=10.0,
    )
    wave = msgspec.structs.replace(hold().waveform, carrier=pulsed)
    world.host_says(read_back(world, msgspec.structs.replace(hold(), waveform=wave)))
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
