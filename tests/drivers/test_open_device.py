"""The open-device driver against a scripted peer: each rule of the wire."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import pairwise

import pytest

from drivers.open_device import DELIVERIES_MAX, OpenDevice
from drivers.stimulation import Delivery
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
from tests.drivers.peer import HELLO, Peer, hold, line, pulses

IDLE = "OK state=idle a=0 en=1 z_ohm=4800 fault=none t_us=5000000 bad=0"


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer() as peer:
        yield peer


@pytest.fixture
async def device(peer: Peer) -> AsyncIterator[OpenDevice]:
    device = peer.device()
    await device.open()
    yield device
    await device.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110  it waits for the peer's side of the wire
            await asyncio.sleep(0.001)


async def armed(device: OpenDevice) -> OpenDevice:
    await device.arm()
    return device


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


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


# ---- stopping


async def test_a_stop_overtakes_a_fire_that_waits(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    token, _ = await device.prepare(hold())
    peer.mute("FIRE")
    firing = asyncio.create_task(device.fire(token, 0))
    await until(lambda: peer.words()[-1] == "FIRE")
    began = time.monotonic()
    await device.stop("ramp")
    assert time.monotonic() - began < 0.07
    with pytest.raises(Superseded, match="stopped while FIRE waited"):
        await firing
    assert peer.heard[-1] == "STOP how=ramp"
    with pytest.raises(WrongState):
        await device.prepare(hold())


async def test_no_arm_leaves_after_a_stop(peer: Peer, device: OpenDevice) -> None:
    await device.stop("cut")  # so that arm() has to ask STAT first
    stat = len(peer.heard) + 1
    # The answer to STAT has come, and the task that waits for it has not run yet when the stop is asked.
    peer.mute("STAT")
    arming = asyncio.create_task(device.arm())
    await until(lambda: len(peer.heard) == stat)
    device._dialogue._received(line(f"<{peer.seqs[-1]} {IDLE}"))
    await device.stop("cut")
    with pytest.raises(Superseded):
        await arming
    assert "ARM" not in peer.words()


async def test_stops_share_one_line_and_a_cut_overtakes_a_ramp(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    peer.heard.clear()
    peer.mute("STOP")
    ramps = [asyncio.create_task(device.stop("ramp")) for _ in range(50)]
    await until(lambda: peer.heard == ["STOP how=ramp"])
    del peer.script["STOP"]
    cuts = [asyncio.create_task(device.stop("cut")) for _ in range(50)]
    await asyncio.gather(*ramps, *cuts)
    assert peer.heard == ["STOP how=ramp", "STOP how=cut"]


async def test_a_lost_stop_is_said_again_in_the_same_line(peer: Peer, device: OpenDevice) -> None:
    heard: list[str] = []
    peer.script["STOP"] = lambda _: ["OK state=idle"] if len(heard) == 2 or heard.append("") else []  # type: ignore[func-returns-value]
    await device.stop("cut")
    assert peer.heard[-3:] == ["STOP how=cut"] * 3
    assert len(set(peer.seqs[-3:])) == 1


async def test_a_stop_without_answer_ends_in_time_and_leaves_nothing_armed(
    peer: Peer, device: OpenDevice
) -> None:
    await device.arm()
    peer.mute("STOP")
    began = time.monotonic()
    with pytest.raises(DeviceSilent, match="output is unknown"):
        await device.stop("ramp")
    assert 0.07 < time.monotonic() - began < 0.2
    with pytest.raises(WrongState):
        await device.prepare(hold())
    with pytest.raises(WrongState):  # STAT says armed still
        await device.arm()
    del peer.script["STOP"]
    await device.stop("ramp")
    await device.arm()


async def test_a_stop_that_is_refused_is_no_stop(peer: Peer, device: OpenDevice) -> None:
    peer.script["STOP"] = lambda _: ["ERR code=state"]
    with pytest.raises(ReadBackMismatch, match="output is unknown"):
        await device.stop("cut")


async def test_after_an_acknowledged_stop_only_a_confirmed_idle_arms(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    peer.script["STOP"] = lambda _: ["OK state=stopping"]
    await device.stop("ramp")
    peer.state = "stopping"
    with pytest.raises(WrongState, match="confirmed idle"):
        await device.arm()
    peer.state = "idle"
    await device.arm()


async def test_a_stop_outside_of_any_opening_does_nothing(peer: Peer) -> None:
    device = peer.device()
    await device.stop("ramp")
    await device.stop("cut")
    await device.open()
    await device.close()
    await device.stop("cut")
    assert peer.words()[-1] == "STAT"


CALLS: dict[str, Callable[[OpenDevice], Coroutine[None, None, object]]] = {
    "STAT": lambda device: device.status(),
    "SET": lambda device: device.prepare(hold()),
    "FIRE": lambda device: device.fire(1, 0),
    "STOP": lambda device: device.stop("ramp"),
}


@pytest.mark.parametrize("word", CALLS)
async def test_cancelled_anywhere_it_can_still_be_stopped(peer: Peer, device: OpenDevice, word: str) -> None:
    await device.arm()
    if word == "FIRE":
        await device.prepare(hold())
    peer.mute(word)
    sent = len(peer.heard)
    call = asyncio.create_task(CALLS[word](device))
    await until(lambda: len(peer.heard) > sent)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    peer.script.clear()
    await device.stop("cut")
    assert peer.heard[-1] == "STOP how=cut"
    assert (await device.status()).state == "idle"
    await device.arm()


@pytest.mark.parametrize("word", ["STOP", "HELLO", "STAT"])
async def test_a_cancelled_opening_holds_nothing(peer: Peer, word: str) -> None:
    before = descriptors()
    peer.mute(word)
    opening = asyncio.create_task(peer.device().open())
    await until(lambda: word in peer.words())
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await until(peer.disconnected.is_set)
    await until(lambda: descriptors() <= before)


# ---- losing and closing


async def test_a_lost_link_fails_all_that_waits_and_what_follows(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    token, _ = await device.prepare(hold())
    peer.mute("FIRE")
    reading = asyncio.create_task(out(device, 1))
    firing = asyncio.create_task(device.fire(token, 0))
    await until(lambda: peer.words()[-1] == "FIRE")
    peer.hang_up()
    for waiting in (firing, reading):
        with pytest.raises(DeviceLost):
            await waiting
    for call in CALLS.values():
        with pytest.raises(DeviceLost, match="closed the link"):
            await call(device)
    await device.close()
    await device.open()
    assert (await device.status()).state == "idle"


async def test_a_link_lost_while_stopping_is_told(peer: Peer, device: OpenDevice) -> None:
    peer.mute("STOP")
    stopping = asyncio.create_task(device.stop("ramp"))
    await until(lambda: peer.words()[-1] == "STOP")
    peer.hang_up()
    with pytest.raises(DeviceLost):
        await stopping


async def test_closing_stops_what_is_armed_and_frees_the_descriptor(peer: Peer) -> None:
    before, device = descriptors(), peer.device()
    await device.open()
    await device.arm()
    await device.close()
    assert peer.heard[-1] == "STOP how=ramp"
    await until(peer.disconnected.is_set)
    await until(lambda: descriptors() <= before)
    sent = len(peer.heard)
    await asyncio.gather(device.close(), device.close())
    assert len(peer.heard) == sent
    with pytest.raises(WrongState, match="is not open"):
        await device.status()


async def test_closing_does_not_begin_a_ramp_anew(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    await device.stop("ramp")
    sent = len(peer.heard)
    await device.close()
    assert len(peer.heard) == sent


async def test_closing_is_bounded_where_nobody_answers(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    peer.mute("STOP")
    peer.mute("STAT")
    asking = asyncio.create_task(device.status())
    await until(lambda: peer.words()[-1] == "STAT")
    began = time.monotonic()
    await device.close()
    assert time.monotonic() - began < 0.5
    with pytest.raises(Superseded):
        await asking


# ---- deliveries


async def out(device: OpenDevice, n: int) -> list[Delivery]:
    got: list[Delivery] = []
    async with asyncio.timeout(2):
        async for delivery in device.deliveries():
            got.append(delivery)
            if len(got) == n:
                break
    return got


async def test_deliveries_are_in_our_units_and_on_our_clock(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    token, _ = await device.prepare(hold())
    onset_ns = await device.fire(token, 0)
    at = peer.t_us
    peer.say(f"!1 OUT token=1 from_us={at} to_us={at + 100000} a=1000 n=0 end=0")
    peer.say(f"!2 OUT token=1 from_us={at + 100000} to_us={at + 150000} a=990 n=0 end=1")
    first, last = await out(device, 2)
    assert (first.amplitude, first.ended, first.confirmed, first.start_ns) == (1.0, False, True, onset_ns)
    assert (last.amplitude, last.ended, last.start_ns) == (0.99, True, first.end_ns)
    assert last.end_ns - first.start_ns == 150_000_000


async def test_pulses_count_and_unknown_tokens_are_reported_large(peer: Peer, device: OpenDevice) -> None:
    await device.arm()
    token, _ = await device.prepare(pulses())
    await device.fire(token, 0)
    peer.say("!1 OUT token=1 from_us=2000000 to_us=2100000 a=600 n=5 end=1")
    peer.say("!2 OUT token=55 from_us=2100000 to_us=2200000 a=600 n=0 end=0")
    known, foreign = await out(device, 2)
    assert (known.amplitude, known.n_pulses, known.ended) == (60.0, 5, True)
    assert (foreign.token, foreign.amplitude) == (55, 60.0)


async def test_times_never_run_back(peer: Peer, device: OpenDevice) -> None:
    dice = [2_000_000, 2_100_000, 2_050_000, 2_060_000, 1_000_000, 2_200_000]
    for start, end in pairwise(dice):
        peer.say(f"!1 OUT token=1 from_us={min(start, end)} to_us={max(start, end)} a=1 n=0 end=0")
    got = await out(device, len(dice) - 1)
    times = [time_ns for delivery in got for time_ns in (delivery.start_ns, delivery.end_ns)]
    assert times == sorted(times)


async def test_events_that_cannot_be_read_or_are_not_known_do_no_harm(peer: Peer, device: OpenDevice) -> None:
    peer.say("!1 OUT token=x from_us=1 to_us=2 a=1 n=0 end=0")
    peer.say("!2 OUT token=1")
    peer.say("!3 FAULT")
    peer.say("!4 NEWS")
    assert (await device.status()).state == "idle"


@pytest.mark.parametrize(
    ("event", "why"),
    [("LINK", "link watchdog"), ("ENABLE en=0", "enable input"), ("FAULT code=hot", "fault hot")],
)
async def test_a_device_that_disarms_by_itself_is_believed(
    peer: Peer, device: OpenDevice, event: str, why: str
) -> None:
    await device.arm()
    token, _ = await device.prepare(hold())
    peer.say(f"!1 {event}")
    await until(lambda: device._machine.disarmed_by != "")
    for call in (device.prepare(hold()), device.fire(token, 0)):
        with pytest.raises(WrongState, match=why):
            await call
    peer.state = "idle"
    await device.arm()


async def test_deliveries_left_unread_are_missed_aloud_and_the_stop_still_goes(
    peer: Peer, device: OpenDevice
) -> None:
    slice_ = line("!1 OUT token=1 from_us=2000000 to_us=2000000 a=1 n=0 end=0")
    peer.say(slice_ * (DELIVERIES_MAX + 10))
    got = 0
    await until(lambda: device._reports.lost != "")
    with pytest.raises(DeviceLost, match="lay unread"):
        async for _ in device.deliveries():
            got += 1
    assert got == DELIVERIES_MAX
    await device.stop("cut")
    assert peer.words()[-1] == "STOP"


async def test_deliveries_end_when_it_is_closed(peer: Peer, device: OpenDevice) -> None:
    peer.say("!1 OUT token=1 from_us=2000000 to_us=2000000 a=1 n=0 end=0")
    await until(lambda: len(device._reports.waiting) == 1)
    reading = device.deliveries()
    assert (await anext(reading)).token == 1
    rest = asyncio.create_task(out(device, 1))
    await asyncio.sleep(0)
    await device.close()
    assert await rest == []
