"""The open-device driver against a scripted peer: stopping, losing, closing, and what it reports."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from itertools import pairwise

import pytest

from drivers.open_device import DELIVERIES_MAX, OpenDevice
from drivers.stimulator import (
    DeviceLost,
    DeviceSilent,
    ReadBackMismatch,
    Superseded,
    WrongState,
)
from tests.drivers.peer import IDLE, Peer, descriptors, hold, line, out, pulses, until

pytestmark = pytest.mark.system

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
