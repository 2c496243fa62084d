"""Driver and device host against the emulated device, written by another hand from the same page."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from drivers.link import CallFailed, Fire, Poll, Status, StopDevice
from drivers.open_device import OpenDevice
from drivers.stimulation import Delivery, Train
from drivers.stimulator import (
    DeviceLost,
    DeviceRefused,
    DeviceSilent,
    LateOnset,
    StimulatorError,
    WrongState,
)
from tests.drivers.peer import hold, pulses
from tests.drivers.processes import Emulator, HostProcess

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def tcp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("tcp")) as emulator:
        yield emulator


@pytest.fixture
def emulator(tcp: Emulator) -> Iterator[Emulator]:
    tcp.forget()
    yield tcp
    tcp.say("clear")


@pytest.fixture
async def device(emulator: Emulator) -> AsyncIterator[OpenDevice]:
    device = OpenDevice.from_config({"endpoint": emulator.endpoint, "answer_ms": 50})
    await device.open()
    await device.arm()
    yield device
    emulator.say("clear")
    await device.close()


async def ended(device: OpenDevice, n: int = 1) -> list[Delivery]:
    """All slices until `n` trains have ended."""
    got: list[Delivery] = []
    async with asyncio.timeout(3):
        async for delivery in device.deliveries():
            got.append(delivery)
            if sum(each.ended for each in got) == n:
                break
    return got


async def start(device: OpenDevice, train: Train, onset_at_ns: int = 0) -> tuple[int, int]:
    token, read_back = await device.prepare(train)
    assert read_back == train
    return token, await device.fire(token, onset_at_ns)


def number(entry: dict[str, object], key: str) -> float:
    value = entry[key]
    assert isinstance(value, int | float)
    return value


async def test_pulses_come_as_they_were_asked(device: OpenDevice, emulator: Emulator) -> None:
    asked_ns = time.monotonic_ns() + 30_000_000
    token, onset_ns = await start(device, pulses(60.0, n_pulses=4, rate_hz=50.0), asked_ns)
    slices = await ended(device)
    assert abs(onset_ns - asked_ns) < 10_000_000
    truth = emulator.truth("pulse", 4)
    assert [number(pulse, "p_pct") for pulse in truth] == [60.0] * 4
    assert abs(number(truth[0], "t_ns") - onset_ns) < 25_000_000
    assert sum(each.n_pulses for each in slices) == 4
    assert {(each.token, each.confirmed) for each in slices} == {(token, True)}
    assert max(each.amplitude for each in slices) == 60.0


async def test_a_hold_is_renewed_and_stops_by_its_ramp(device: OpenDevice, emulator: Emulator) -> None:
    for _ in range(3):
        await start(device, hold(1.0, duration_ms=200))
        await asyncio.sleep(0.06)
    assert (await device.status()).amplitude == 1.0
    await device.stop("ramp")
    assert (await device.status()).state == "stopping"
    slices = await ended(device, 3)
    assert (await device.status()).state == "idle"
    assert [each.token for each in slices if each.ended] == sorted({each.token for each in slices})
    for before, after in pairwise(slices):
        assert 0 <= after.start_ns - before.end_ns < 1_000_000
    assert "how=ramp" in emulator.heard("STOP", 2)[-1]
    breaks = emulator.truth("break", 6)
    assert max(number(entry, "to_ma_pp") for entry in breaks) == 1.0
    assert abs(number(breaks[-1], "t_ns") - slices[-1].end_ns) < 25_000_000


async def test_a_hold_that_is_fired_again_goes_on_under_its_token(
    device: OpenDevice, emulator: Emulator
) -> None:
    token, _ = await device.prepare(hold(1.0, duration_ms=200))
    first_ns = await device.fire(token, 0)
    for _ in range(4):
        await asyncio.sleep(0.1)
        again_ns = await device.fire(token, 0)
    assert 390_000_000 < again_ns - first_ns < 900_000_000
    slices = await ended(device)
    assert {each.token for each in slices} == {token}
    assert slices[-1].end_ns - again_ns == pytest.approx(250_000_000, abs=10_000_000)
    with pytest.raises(WrongState):
        await device.fire(token, 0)
    assert len(emulator.heard("RENEW", 4)) == 4
    assert len(emulator.heard("FIRE")) == len(emulator.heard("SET")) == 1


@pytest.mark.parametrize(("fault", "error"), [("busy", DeviceRefused), ("late", LateOnset)])
async def test_a_renewal_that_is_refused_leaves_the_hold_to_end(
    device: OpenDevice, emulator: Emulator, fault: str, error: type[StimulatorError]
) -> None:
    token, _ = await device.prepare(hold(1.0, duration_ms=200))
    onset_ns = await device.fire(token, 0)
    emulator.say(f"fault {fault}")
    with pytest.raises(error):
        await device.fire(token, 0)
    slices = await ended(device)
    assert slices[-1].end_ns - onset_ns == pytest.approx(250_000_000, abs=10_000_000)
    assert emulator.heard("RENEW")


async def test_left_alone_a_hold_ends_by_itself(device: OpenDevice) -> None:
    _, onset_ns = await start(device, hold(1.0, duration_ms=60))
    last = (await ended(device))[-1]
    assert abs(last.end_ns - onset_ns - 110_000_000) < 10_000_000


# ---- faults of the line


@pytest.mark.parametrize("fault", ["duplicate", "unsolicited", "split"])
async def test_what_only_looks_wrong_does_no_harm(device: OpenDevice, emulator: Emulator, fault: str) -> None:
    emulator.say(f"fault {fault}")
    await start(device, hold(1.0, duration_ms=50))
    assert (await device.status()).state == "running"
    await device.stop("cut")
    assert (await device.status()).state == "idle"


@pytest.mark.parametrize("fault", ["drop_reply", "corrupt_crc", "truncate", "wrong_seq", "delay_reply:200"])
async def test_a_fire_whose_answer_is_lost_is_unknown_and_not_repeated(
    device: OpenDevice, emulator: Emulator, fault: str
) -> None:
    token, _ = await device.prepare(hold(1.0, duration_ms=50))
    emulator.say(f"fault {fault}:FIRE")
    with pytest.raises(DeviceSilent):
        await device.fire(token, 0)
    assert len(emulator.heard("FIRE")) == 1
    await device.stop("cut")
    assert (await ended(device))[-1].confirmed


@pytest.mark.parametrize("fault", ["drop_reply", "corrupt_crc", "truncate", "wrong_seq"])
async def test_a_stop_whose_answer_is_lost_still_stops(
    device: OpenDevice, emulator: Emulator, fault: str
) -> None:
    await start(device, hold())
    emulator.say(f"fault {fault}:STOP")
    with pytest.raises(DeviceSilent):
        await device.stop("cut")
    if fault == "truncate":
        with pytest.raises(DeviceSilent):  # its answer is glued to the rest of the one before, and dropped
            await device.status()
    assert (await device.status()).state == "idle"
    said = emulator.heard("STOP", 4)[1:]
    assert (len(said), len(set(said))) == (3, 1)


async def test_every_other_answer_to_stop_is_enough(device: OpenDevice, emulator: Emulator) -> None:
    emulator.say("fault drop_reply:2")
    await device.stop("cut")
    await device.stop("cut")


async def test_a_device_that_hangs_is_silent_to_all(device: OpenDevice, emulator: Emulator) -> None:
    emulator.say("fault hang")
    began = time.monotonic()
    with pytest.raises(DeviceSilent):
        await device.status()
    with pytest.raises(DeviceSilent):
        await device.stop("ramp")
    assert time.monotonic() - began < 0.5


# ---- faults of the device


@pytest.mark.parametrize(("fault", "stored"), [("clamp_silently", 0.5), ("clamp_up", 1.1)])
async def test_what_was_clamped_reads_back(
    device: OpenDevice, emulator: Emulator, fault: str, stored: float
) -> None:
    emulator.say(f"fault {fault}")
    assert (await device.prepare(hold(1.0)))[1] == hold(stored)


@pytest.mark.parametrize(("fault", "error"), [("busy", DeviceRefused), ("late", LateOnset)])
async def test_a_refused_fire_puts_out_nothing(
    device: OpenDevice, emulator: Emulator, fault: str, error: type[StimulatorError]
) -> None:
    token, _ = await device.prepare(hold())
    emulator.say(f"fault {fault}")
    with pytest.raises(error):
        await device.fire(token, 0)
    assert emulator.heard("FIRE")
    assert emulator.truth("break", 0) == []


async def test_a_device_that_ignores_stop_is_seen_and_does_not_open_again(
    device: OpenDevice, emulator: Emulator
) -> None:
    await start(device, hold(duration_ms=500))
    emulator.say("fault stuck_on")
    await device.stop("cut")
    assert (await device.status()).state == "running"
    await device.close()
    with pytest.raises(DeviceRefused, match="is running"):
        await device.open()
    emulator.say("clear")
    await device.open()


async def test_a_skewed_clock_is_followed(device: OpenDevice, emulator: Emulator) -> None:
    emulator.say("fault skew:10000")
    for _ in range(3):
        await asyncio.sleep(0.02)
        await device.status()
    _, onset_ns = await start(device, pulses(10.0, n_pulses=1))
    await ended(device)
    assert abs(number(emulator.truth("pulse")[0], "t_ns") - onset_ns) < 3_000_000


async def test_the_link_watchdog_of_the_device_is_believed(device: OpenDevice, emulator: Emulator) -> None:
    token, _ = await device.prepare(hold())
    await asyncio.sleep(0.3)
    with pytest.raises(StimulatorError, match="link watchdog"):
        await device.fire(token, 0)
    assert emulator.truth("link_lost")
    await device.arm()


# ---- through the host, in processes


def test_over_a_pty_through_the_host(tmp_path: Path) -> None:
    with Emulator(tmp_path, "--pty") as emulator, HostProcess(tmp_path) as host:
        assert emulator.endpoint.startswith("serial:")
        host.open("open_device", endpoint=emulator.endpoint)
        host.arm()
        prepared = host.prepare(hold(1.0, duration_ms=50))
        assert prepared.read_back == hold(1.0, duration_ms=50)
        host.fire(prepared.token)
        host.delivered(lambda got: any(each.ended for each in got))
        assert all(each.confirmed for each in host.deliveries)
        status = host.poll()
        assert isinstance(status, Status)
        assert status.status.state == "armed"


def test_a_killed_interlock_takes_the_output_to_zero(emulator: Emulator, tmp_path: Path) -> None:
    with HostProcess(tmp_path) as host:
        host.open("open_device", endpoint=emulator.endpoint)
        host.arm()
        token = host.prepare(hold(2.0, duration_ms=500)).token
        host.fire(token)
        time.sleep(0.06)
        closed_ns = time.monotonic_ns()
        host.link.close()
        assert host.ended() == (0, "")
    time.sleep(0.06)  # its ramp
    assert "how=ramp" in emulator.heard("STOP", 2)[-1]
    last = emulator.truth("break", 4)[-1]
    assert number(last, "a_ma_pp") == 0.0
    assert (
        number(last, "t_ns") - closed_ns < 150_000_000
    )  # 20 ms and a ramp of 50, with slack for a busy machine


def test_a_fire_that_times_out_is_assumed_by_the_host(emulator: Emulator, tmp_path: Path) -> None:
    with HostProcess(tmp_path) as host:
        host.open("open_device", endpoint=emulator.endpoint)
        host.arm()
        token = host.prepare(hold(2.0, duration_ms=50)).token
        emulator.say("fault drop_reply:FIRE")
        assert host.failed(Fire(call=host.call(), token=token, onset_at_ns=0)).code == "silent"
        (assumed,) = [each for each in host.deliveries if not each.confirmed]
        assert (assumed.token, assumed.amplitude, assumed.ended) == (token, 2.0, True)


def test_a_stop_overtakes_a_fire_in_the_host(emulator: Emulator, tmp_path: Path) -> None:
    with HostProcess(tmp_path) as host:
        host.open("open_device", endpoint=emulator.endpoint)
        host.arm()
        token = host.prepare(hold(2.0, duration_ms=500)).token
        emulator.say("fault drop_reply:FIRE")
        host.send(Fire(call=900, token=token, onset_at_ns=0))
        time.sleep(0.01)
        host.send(Poll(call=901), StopDevice(call=902, how="cut"))
        answers = [host.answer(901), host.answer(900)]
        assert [each.code for each in answers if isinstance(each, CallFailed)] == ["superseded"] * 2
        host.answer(902)
        status = host.poll()
        assert isinstance(status, Status)
        assert status.status.state == "idle"


def test_a_device_that_vanishes_is_lost_and_its_train_assumed(tmp_path: Path) -> None:
    with Emulator(tmp_path) as emulator, HostProcess(tmp_path) as host:
        host.open("open_device", endpoint=emulator.endpoint)
        host.arm()
        token = host.prepare(pulses(90.0, n_pulses=50, rate_hz=50.0)).token
        host.fire(token)
        emulator.process.send_signal(signal.SIGKILL)
        rest = host.delivered(lambda got: any(each.ended for each in got))[-1]
        assert (rest.confirmed, rest.amplitude) == (False, 90.0)
        assert sum(each.n_pulses for each in host.deliveries) == 50
        failed = host.poll()
        assert isinstance(failed, CallFailed)
        assert failed.code == "lost"


async def test_a_device_that_is_frozen_is_silent_then_well(tmp_path: Path) -> None:
    with Emulator(tmp_path) as emulator:
        device = OpenDevice.from_config({"endpoint": emulator.endpoint})
        await device.open()
        emulator.process.send_signal(signal.SIGSTOP)
        with pytest.raises(DeviceSilent):
            await device.status()
        emulator.process.send_signal(signal.SIGCONT)
        await device.stop("cut")
        assert (await device.status()).state == "idle"
        emulator.say("fault vanish_after:1")
        with pytest.raises(DeviceLost):
            for _ in range(3):
                await device.status()
        await device.close()
