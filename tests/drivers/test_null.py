"""The null device: the order of a device, and nothing out."""

from __future__ import annotations

import asyncio
import math
import time
from itertools import pairwise

import msgspec
import pytest

from drivers.null import IMPEDANCE_KOHM, NullDevice
from drivers.stimulation import MODALITIES, Delivery, Modality, Output, Sonication, Train, with_amplitude
from drivers.stimulator import ConfigError, DeviceRefused, LateOnset, WrongState
from tests.drivers.peer import hold, pulses
from tests.safety.examples import EXAMPLES
from tests.safety.strategies import valid_train

pytestmark = pytest.mark.system


class Clock:
    def __init__(self) -> None:
        self.ns = 5_000_000_000

    def __call__(self) -> int:
        return self.ns


async def ready(now_ns: Clock | None = None) -> NullDevice:
    device = NullDevice(now_ns) if now_ns else NullDevice.from_config({})
    await device.open()
    await device.arm()
    return device


async def reported(device: NullDevice) -> list[Delivery]:
    await device.close()
    return [delivery async for delivery in device.deliveries()]


async def fired(device: NullDevice, train: Train, onset_at_ns: int = 0) -> int:
    token, read_back = await device.prepare(train)
    assert read_back == train
    await device.fire(token, onset_at_ns)
    return token


def test_it_takes_no_key_but_its_outputs() -> None:
    with pytest.raises(ConfigError, match="endpoint"):
        NullDevice.from_config({"endpoint": "tcp:h:1"})
    for wrong in ("", "F3,,Oz", 3):
        with pytest.raises(ConfigError, match="outputs"):
            NullDevice.from_config({"outputs": wrong})


async def test_it_stands_for_the_contacts_that_it_is_told_and_measures_good_ones() -> None:
    device = NullDevice.from_config({"outputs": "FC5,Oz"})
    assert (await device.open()).outputs == ("FC5", "Oz")
    assert (await device.status()).impedance_kohm == IMPEDANCE_KOHM
    await device.close()


async def test_the_order_of_calls_is_kept() -> None:
    device = NullDevice()
    with pytest.raises(WrongState):
        await device.status()
    with pytest.raises(WrongState):
        await device.arm()
    await device.stop("cut")
    can = await device.open()
    assert set(can.modalities) == set(MODALITIES)
    with pytest.raises(WrongState):
        await device.open()
    for call in (device.prepare(hold()), device.fire(1, 0)):
        with pytest.raises(WrongState):
            await call
    await device.arm()
    with pytest.raises(WrongState):
        await device.arm()
    with pytest.raises(WrongState):
        await device.fire(1, 0)
    assert (await device.status()).state == "armed"
    await device.stop("ramp")
    await device.stop("ramp")
    assert (await device.status()).state == "idle"
    await device.close()
    await device.close()


@pytest.mark.parametrize(
    "train",
    [
        hold(4.01),
        hold(-0.1),
        hold(math.nan),
        hold(duration_ms=501),
        pulses(n_pulses=0),
        Train(modality="rtms", outputs=(), waveform=hold().waveform),
    ],
)
async def test_what_no_device_could_is_refused(train: Train) -> None:
    device = await ready()
    with pytest.raises(DeviceRefused):
        await device.prepare(train)
    await device.close()


SONICATION = Sonication(
    amplitude_mpa_water=0.7, frequency_khz=500.0, pulse_us=20, pulse_interval_us=200, train_ms=10, train_interval_ms=20,
    sonication_ms=60,
)  # fmt: skip


async def test_a_sonication_is_taken_and_ends_by_itself() -> None:
    device = await ready()
    train = Train(modality="tus", outputs=(Output(name="transducer", share=1.0),), waveform=SONICATION)
    token = await fired(device, train)
    assert (await device.status()).state == "running"
    await asyncio.sleep(0.1)  # its own 60 ms
    assert (await device.status()).state == "armed"
    for wrong in (msgspec.structs.replace(train, modality="rtms"), with_amplitude(train, 5.01)):
        with pytest.raises(DeviceRefused):
            await device.prepare(wrong)
    (told,) = await reported(device)
    assert (told.token, told.amplitude, told.ended) == (token, 0.0, True)
    assert 60_000_000 <= told.end_ns - told.start_ns < 90_000_000


async def test_a_hold_runs_is_taken_over_and_ends_at_nothing() -> None:
    clock = Clock()
    device = await ready(clock)
    first = await fired(device, hold(2.0))
    assert (await device.status()).state == "running"
    assert (await device.status()).amplitude == 0.0
    clock.ns += 200_000_000
    second = await fired(device, hold(2.0))
    clock.ns += 100_000_000
    await device.stop("ramp")
    assert await reported(device) == [
        Delivery(
            token=token,
            start_ns=start_ns,
            end_ns=end_ns,
            amplitude=0.0,
            n_pulses=0,
            ended=True,
            confirmed=True,
        )
        for token, start_ns, end_ns in (
            (first, 5_000_000_000, 5_200_000_000),
            (second, 5_200_000_000, 5_300_000_000),
        )
    ]


async def test_trains_do_not_overlap() -> None:
    device = await ready(Clock())
    await fired(device, pulses())
    for other in (pulses(), hold()):
        token, _ = await device.prepare(other)
        with pytest.raises(DeviceRefused, match="busy"):
            await device.fire(token, 0)
    await device.close()


async def test_a_train_ends_by_itself() -> None:
    device = await ready()
    began = time.monotonic_ns()
    await fired(device, pulses(n_pulses=1, rate_hz=50.0))  # 20 ms
    async with asyncio.timeout(1):
        delivery = await anext(aiter(device.deliveries()))
    assert delivery.end_ns - delivery.start_ns == 20_000_000
    assert time.monotonic_ns() - began >= 20_000_000
    assert (await device.status()).state == "armed"
    await device.close()


async def test_onsets_past_and_far_are_refused() -> None:
    clock = Clock()
    device = await ready(clock)
    token, _ = await device.prepare(hold())
    with pytest.raises(LateOnset):
        await device.fire(token, clock.ns - 1)
    with pytest.raises(DeviceRefused):
        await device.fire(token, clock.ns + 1_000_000_001)
    assert await device.fire(token, clock.ns + 1_000) == clock.ns + 1_000
    with pytest.raises(WrongState):
        await device.fire(token, 0)
    await device.close()


async def test_a_hold_that_is_fired_again_lasts_from_then_on() -> None:
    clock = Clock()
    device = await ready(clock)
    token = await fired(device, hold(duration_ms=300))
    onset_ns = clock.ns
    clock.ns += 299_999_999
    assert await device.fire(token, 0) == clock.ns
    clock.ns += 299_999_999
    with pytest.raises(WrongState):
        await device.fire(token, clock.ns + 1)
    assert await device.fire(token, 0) == clock.ns
    clock.ns += 300_000_000
    with pytest.raises(LateOnset):
        await device.fire(token, 0)
    (delivery,) = await reported(device)
    assert (delivery.start_ns, delivery.end_ns, delivery.ended) == (onset_ns, clock.ns, True)


async def test_pulses_are_not_fired_again() -> None:
    device = await ready()
    token = await fired(device, pulses(n_pulses=50))
    with pytest.raises(LateOnset):
        await device.fire(token, 0)


async def test_a_renewed_hold_ends_by_itself() -> None:
    device = await ready()
    token = await fired(device, hold(duration_ms=100))
    await asyncio.sleep(0.05)
    await device.fire(token, 0)
    start = time.monotonic()
    delivery = await anext(device.deliveries())
    assert 0.09 < time.monotonic() - start < 1.0
    assert delivery.end_ns - delivery.start_ns > 190_000_000
    await device.close()


@pytest.mark.parametrize("modality", MODALITIES)
async def test_it_takes_a_train_of_every_modality(modality: Modality) -> None:
    device = await ready()
    await fired(device, valid_train(modality))
    assert (await device.status()).state == "running"
    await device.stop("ramp")
    (told,) = await reported(device)
    assert (told.amplitude, told.n_pulses, told.ended) == (0.0, 0, True)


async def test_the_next_segment_of_a_train_begins_as_soon_as_the_one_before_is_told_to_be_over() -> None:
    """Bursts without a pause: it takes the next at once, and never before the period of the last burst is over."""
    device = await ready()
    segment = EXAMPLES["ctbs"].train(n_bursts=1)
    begun = []
    for _ in range(3):
        token = await fired(device, segment)
        told = await anext(device.deliveries())
        assert (told.token, told.ended) == (token, True)
        begun.append(told.start_ns)
    await device.stop("cut")
    assert all(after - before >= 200_000_000 for before, after in pairwise(begun))
