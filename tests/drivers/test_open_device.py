"""The open-device driver against a scripted peer: opening, and the order of calls."""

from __future__ import annotations

import asyncio
import time
from typing import get_args

import pytest

from drivers.capabilities import Lack
from drivers.open_device import OpenDevice
from drivers.stimulator import (
    ConfigError,
    DeviceLost,
    DeviceNotFound,
    DeviceRefused,
    DeviceSilent,
    LateOnset,
    ReadBackMismatch,
    StimulatorError,
    Superseded,
    WrongState,
)
from tests.drivers.peer import HELLO, IDLE, Peer, descriptors, hold, line, out, pulses, until

pytestmark = pytest.mark.system

# ---- opening


async def test_opening_cuts_first_and_sees_idle_last(peer: Peer, device: OpenDevice) -> None:
    assert peer.heard == ["STOP how=cut", "HELLO v=1", "CAPS mod=tacs", "CAPS mod=rtms", "STAT"]
    assert (await device.status()).state == "idle"


async def test_capabilities_are_as_read(peer: Peer) -> None:
    device = peer.device()
    can = await device.open()
    await device.close()
    assert (can.serial, can.modalities, can.outputs) == ("S7", ("tacs", "rtms"), ("F3", "F4", "Oz", "coil"))
    assert (can.onset_latency_ns, can.stop_latency_ns, can.link_timeout_ms) == (500_000, 400_000, 250)
    assert can.envelopes["amplitude_ma_pp"].high == 4.0
    assert can.envelopes["amplitude_pct_mso"].high == 100.0
    said = {each for each in get_args(Lack) if each != "exact_onset" and not getattr(can, each)}
    assert said == set(OpenDevice.LACKS)


async def test_what_an_earlier_life_left_running_is_cut_and_not_taken_for_ours(peer: Peer) -> None:
    def stop(_: dict[str, str]) -> list[str | bytes]:
        peer.say("!1 OUT token=4 from_us=1 to_us=2 a=100 n=0 end=1")
        return ["OK state=idle"]

    peer.script["STOP"] = stop
    device = peer.device()
    await device.open()
    peer.say("!2 OUT token=5 from_us=3 to_us=4 a=100 n=0 end=1")
    assert [each.token for each in await out(device, 1)] == [5]
    await device.close()


async def test_a_modality_that_we_do_not_know_is_left_alone(peer: Peer) -> None:
    peer.script["HELLO"] = lambda _: [HELLO.replace("mod=tacs,rtms", "mod=laser,rtms")]
    device = peer.device()
    assert (await device.open()).modalities == ("rtms",)
    await device.arm()
    with pytest.raises(DeviceRefused, match="modality tacs"):
        await device.prepare(hold())
    await device.close()


@pytest.mark.parametrize(
    "stat",
    [
        IDLE.replace("idle", "running").replace("a=0", "a=1000"),
        IDLE.replace("idle", "stopping"),
        IDLE.replace("a=0", "a=1"),
        IDLE.replace("idle", "fault").replace("none", "hot"),
        IDLE.replace("idle", "armed"),
    ],
)
async def test_a_device_that_is_not_at_zero_after_stop_does_not_open(peer: Peer, stat: str) -> None:
    peer.script["STAT"] = lambda _: [stat]
    before, device = descriptors(), peer.device()
    with pytest.raises(DeviceRefused, match="after STOP, expected idle"):
        await device.open()
    await until(peer.disconnected.is_set)
    await until(lambda: descriptors() <= before)
    with pytest.raises(WrongState):
        await device.arm()


@pytest.mark.parametrize(
    "hello",
    [
        HELLO.replace("v=1", "v=2"),
        HELLO.replace("serial=S7 ", ""),
        HELLO.replace("link_ms=250", "link_ms=soon"),
        HELLO.replace("mod=tacs,rtms", "mod=rtms").replace("250", "0"),
    ],
)
async def test_something_else_that_answers_is_not_found(peer: Peer, hello: str) -> None:
    peer.script["HELLO"] = lambda _: [hello]
    with pytest.raises(DeviceNotFound, match="no device that can be used"):
        await peer.device().open()


async def test_caps_of_another_modality_are_not_taken(peer: Peer) -> None:
    peer.script["CAPS"] = lambda _: ["OK mod=rtms p=0:1000:10 r=100:100000:100 n=1:10000:1"]
    with pytest.raises(DeviceNotFound, match="mod=tacs was answered"):
        await peer.device().open()


async def test_one_quantity_with_two_ranges_is_not_taken(peer: Peer) -> None:
    """What a limit is held against is one range a quantity."""
    peer.script["HELLO"] = lambda _: [HELLO.replace("mod=tacs,rtms", "mod=rtms,tbs")]
    for p, good in (("0:1000:10", True), ("0:990:10", False), ("0:1000:20", False)):
        told = {
            "rtms": "OK mod=rtms p=0:1000:10 r=100:100000:100 n=1:10000:1",
            "tbs": f"OK mod=tbs p={p} k=1:10:1 q=10000:100000:1000 r=100:20000:100 n=1:1000:1",
        }
        peer.script["CAPS"] = lambda asked, told=told: [told[asked["mod"]]]  # type: ignore[misc]
        device = peer.device()
        if good:
            assert (await device.open()).envelopes["bursts_hz"].high == 20.0
            await device.close()
            continue
        with pytest.raises(DeviceNotFound, match="differ in amplitude_pct_mso"):
            await device.open()


async def test_nothing_listening_is_not_found_at_once() -> None:
    async with Peer() as gone:
        port = gone.port
    began, before = time.monotonic(), descriptors()
    device = OpenDevice.from_config({"endpoint": f"tcp:127.0.0.1:{port}"})
    with pytest.raises(DeviceNotFound, match=f"tcp:127.0.0.1:{port}"):
        await device.open()
    assert time.monotonic() - began < 1
    await until(lambda: descriptors() <= before)
    await device.stop("cut")
    await device.close()


async def test_a_mute_peer_is_silent_within_the_deadline(peer: Peer) -> None:
    peer.mute("STOP")
    device, began = peer.device(open_ms=150, answer_ms=30), time.monotonic()
    with pytest.raises(DeviceSilent, match=r"was not identified within 0\.15 s"):
        await device.open()
    assert 0.1 < time.monotonic() - began < 0.6
    assert set(peer.words()) == {"STOP"}
    await until(peer.disconnected.is_set)


async def test_a_board_that_boots_late_is_waited_for(peer: Peer) -> None:
    peer.mute("STOP")
    opening = asyncio.create_task(peer.device(answer_ms=15).open())
    await until(lambda: len(set(peer.seqs)) > 1)
    del peer.script["STOP"]
    assert (await opening).serial == "S7"
    peer.hang_up()


async def test_a_stop_during_the_opening_ends_it(peer: Peer) -> None:
    peer.mute("HELLO")
    device = peer.device()
    opening = asyncio.create_task(device.open())
    await until(lambda: "HELLO" in peer.words())
    await device.stop("cut")
    with pytest.raises(Superseded):
        await opening
    assert peer.words()[-1] == "STOP"
    assert "CAPS" not in peer.words()


@pytest.mark.parametrize("how", ["stop", "close"])
async def test_a_stop_before_the_connection_stands_ends_the_opening(peer: Peer, how: str) -> None:
    device = peer.device()
    opening = asyncio.create_task(device.open())
    await asyncio.sleep(0)
    await (device.stop("cut") if how == "stop" else device.close())
    with pytest.raises(Superseded):
        await opening
    assert "HELLO" not in peer.words()


async def test_opening_twice_is_refused_and_reopening_is_not(peer: Peer, device: OpenDevice) -> None:
    with pytest.raises(WrongState, match="open already"):
        await device.open()
    await device.close()
    peer.heard.clear()
    await device.open()
    assert peer.words()[0] == "STOP"


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"endpoint": 5},
        {"endpoint": "tcp:host"},
        {"endpoint": "tcp::5"},
        {"endpoint": "tcp:h:0"},
        {"endpoint": "tcp:h:65536"},
        {"endpoint": "tcp:h:99999999999999999999"},
        {"endpoint": "serial:ttyUSB0"},
        {"endpoint": "serial:/dev/x@0"},
        {"endpoint": "usb:1"},
        {"endpoint": "tcp:h:1", "speed": 3},
        {"endpoint": "tcp:h:1", "answer_ms": True},
        {"endpoint": "tcp:h:1", "answer_ms": 4},
        {"endpoint": "tcp:h:1", "open_ms": 10_001},
        {"endpoint": "tcp:h:1", "open_ms": 500.0},
    ],
)
def test_a_wrong_table_is_one_line(table: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        OpenDevice.from_config(table)
    assert "\n" not in str(caught.value)


# ---- order of calls


async def test_it_sends_nothing_of_its_own_accord(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    sent = len(peer.heard)
    await asyncio.sleep(0.12)
    assert len(peer.heard) == sent


async def test_nothing_but_status_and_stop_leaves_while_unarmed(peer: Peer, device: OpenDevice) -> None:
    with pytest.raises(WrongState, match="prepares only while armed"):
        await device.prepare(hold())
    with pytest.raises(WrongState, match="fires only while armed"):
        await device.fire(1, 0)
    await device.status()
    await device.stop("ramp")
    assert peer.words()[5:] == ["STAT", "STOP"]


async def test_prepare_gives_what_the_device_stored(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    assert await device.prepare(hold()) == (1, hold())
    assert peer.heard[-1] == "SET mod=tacs a=1000 f=10000 ph=0 up=50 dn=50 dur=300 out=F3:1000,Oz:-1000"
    assert await device.prepare(pulses()) == (2, pulses())
    assert peer.heard[-1] == "SET mod=rtms p=600 r=50000 n=5 out=coil:1000"
    stored = "OK token=9 mod=tacs a=500 f=10000 ph=0 up=50 dn=50 dur=300 out=F3:1000,Oz:-1000"
    peer.script["SET"] = lambda _: [stored]
    assert await device.prepare(hold()) == (9, hold(0.5))
    peer.script["SET"] = lambda _: ["OK token=10"]
    with pytest.raises(ReadBackMismatch, match="tcp:127"):
        await device.prepare(hold())


async def test_what_the_device_cannot_hold_exactly_is_not_sent(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    sent = len(peer.heard)
    for wrong in (hold(1.005), hold(5.0), hold(duration_ms=501), pulses(60.5), pulses(n_pulses=0)):
        with pytest.raises(DeviceRefused):
            await device.prepare(wrong)
    assert len(peer.heard) == sent


async def test_a_token_is_fired_once(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    token, _ = await device.prepare(hold())
    with pytest.raises(WrongState, match="token 99"):
        await device.fire(99, 0)
    before = time.monotonic_ns()
    onset_ns = await device.fire(token, 0)
    assert abs(onset_ns - before) < 100_000_000
    with pytest.raises(WrongState):
        await device.fire(token, 0)
    assert peer.words().count("FIRE") == 1


async def test_a_new_set_voids_the_one_before(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    token, _ = await device.prepare(hold())
    peer.mute("SET")
    with pytest.raises(DeviceSilent):
        await device.prepare(hold(2.0))
    with pytest.raises(WrongState):
        await device.fire(token, 0)


async def test_a_fire_without_answer_is_never_repeated(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    token, _ = await device.prepare(hold())
    peer.mute("FIRE")
    with pytest.raises(DeviceSilent, match="did not answer FIRE within 80 ms"):
        await device.fire(token, 0)
    with pytest.raises(WrongState):
        await device.fire(token, 0)
    assert peer.words().count("FIRE") == 1


async def test_a_late_onset_is_not_sent_and_a_far_one_neither(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    token, _ = await device.prepare(hold())
    with pytest.raises(LateOnset):
        await device.fire(token, time.monotonic_ns() - 1)
    with pytest.raises(DeviceRefused, match="ahead"):
        await device.fire(token, time.monotonic_ns() + 1_100_000_000)
    assert "FIRE" not in peer.words()
    await device.fire(token, time.monotonic_ns() + 20_000_000)
    assert 15_000 < int(peer.heard[-1].split("in_us=")[1]) <= 20_000


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("ERR code=late", LateOnset),
        ("ERR code=busy", DeviceRefused),
        ("ERR code=enable", DeviceRefused),
        ("ERR code=never_heard_of", DeviceRefused),
        ("ERR", ReadBackMismatch),
        ("WHAT", ReadBackMismatch),
        ("OK", ReadBackMismatch),
        ("OK token=77 in_us=0 t_us=5", ReadBackMismatch),
        ("OK token=1 in_us=9 t_us=5", ReadBackMismatch),
    ],
)
async def test_how_a_fire_may_be_answered(
    peer: Peer, device: OpenDevice, answer: str, error: type[StimulatorError]
) -> None:
    await device.arm()
    token, _ = await device.prepare(hold())
    peer.script["FIRE"] = lambda _: [answer]
    with pytest.raises(error) as caught:
        await device.fire(token, 0)
    assert type(caught.value) is error
    assert str(caught.value).startswith("open_device tcp:")


async def test_one_command_at_a_time(peer: Peer, device: OpenDevice) -> None:
    peer.mute("STAT")
    first = asyncio.create_task(device.status())
    await until(lambda: peer.words()[-1] == "STAT" and len(peer.heard) == 6)
    with pytest.raises(WrongState, match="STAT is under way"):
        await device.status()
    await device.stop("cut")
    with pytest.raises(Superseded):
        await first


async def test_late_double_and_foreign_answers_are_dropped(peer: Peer, device: OpenDevice) -> None:
    peer.mute("STAT")
    with pytest.raises(DeviceSilent):
        await device.status()
    old = peer.seqs[-1]
    late = IDLE.replace("idle", "running")
    peer.script["STAT"] = lambda _: [
        b"\xff\xfe garbage",
        b"\n",
        line(f"<{old} {late}"),
        line(f"<{(old + 7) % 65536} {late}"),
        line(f">{old + 1} {late}"),
        IDLE,
        late,
    ]
    assert (await device.status()).state == "idle"
    del peer.script["STAT"]
    peer.t_us = 6_000_000
    assert (await device.status()).state == "idle"


async def test_a_status_is_in_the_unit_of_what_runs(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    token, _ = await device.prepare(hold())
    await device.fire(token, 0)
    peer.a = 505
    assert (await device.status()).amplitude == 0.505
    token, _ = await device.prepare(pulses())
    await device.fire(token, 0)
    status = await device.status()
    assert (status.amplitude, status.impedance_kohm, status.fault) == (50.5, 4.8, "")


async def test_a_device_that_says_idle_is_not_fired(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    token, _ = await device.prepare(hold())
    peer.state = "idle"
    await device.status()
    with pytest.raises(WrongState, match="is idle"):
        await device.fire(token, 0)


async def test_a_device_that_runs_without_our_arming_is_only_stopped(peer: Peer, device: OpenDevice) -> None:
    peer.state = "running"
    assert (await device.status()).state == "running"
    with pytest.raises(WrongState, match="is unknown"):
        await device.prepare(hold())
    with pytest.raises(WrongState):
        await device.arm()
    await device.stop("cut")
    await device.arm()


async def test_a_restart_shows_by_its_clock(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    peer.t_us = 0
    with pytest.raises(DeviceLost, match="restarted"):
        await device.status()
    with pytest.raises(WrongState):
        await device.prepare(hold())
