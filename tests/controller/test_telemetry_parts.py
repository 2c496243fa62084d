"""Telemetry without a broker: what may leave the rig, what waits, how a STOP request is read, what config is."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controller.taps import Event
from controller.telemetry.feed import READINGS_MAX, TELLING_MAX, TelemetryFeed, TelemetryLost, frames_of
from controller.telemetry.frames import (
    Bye,
    EventFrame,
    Notice,
    ReadingsFrame,
    Setup,
    StateFrame,
    decode,
    encode,
)
from controller.telemetry.outbox import EVENTS_MAX, Outbox, Topic
from controller.telemetry.outbox import READINGS_MAX as OUT_READINGS_MAX
from controller.telemetry.process import end_all
from controller.telemetry.stop import REQUEST_BYTES_MAX, connect_stop, read_request, stop
from controller.telemetry_config import OutletsConfig, RecordingConfig, TelemetryConfig
from safety.messages import PhaseChanged, Trip
from tests.controller.test_outlets import REPORT
from tests.controller.test_recorder import T0_NS, block, cycle

pytestmark = pytest.mark.system

NOW = (1_000_000_000, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def plain(text: str) -> str:
    return text


def put(outbox: Outbox, topic: Topic, number: int = 0) -> None:
    outbox.put(outbox.make(topic, 0, NOW, {"n": number}))


def drain(outbox: Outbox) -> list[tuple[str, int]]:
    taken: list[tuple[str, int]] = []
    while (message := outbox.take()) is not None:
        taken.append((message.topic, json.loads(message.payload)["n"]))
    return taken


def test_only_what_cannot_unblind_leaves_the_rig():
    assert frames_of(1, REPORT, plain) == [] and frames_of(1, block(0, 5), plain) == []
    (readings,) = frames_of(1, cycle(3, None), plain)
    assert isinstance(readings, ReadingsFrame)
    assert b"amplitude" not in encode(readings) and decode(encode(readings)).index == 3
    assert [type(frame) for frame in frames_of(7, Trip(code="T", text="a", remedy="b"), plain)] == [
        StateFrame,
        EventFrame,
    ]
    (state, event) = frames_of(7, PhaseChanged(phase="ARMED", code="c", text="t"), plain)
    assert (state.t_ns, state.phase, event.text) == (7, "ARMED", "ARMED: t")


def test_a_frozen_process_costs_the_oldest_readings_and_no_event():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        feed = TelemetryFeed(ours, None)
        for index in range(2000):
            feed.consume([(T0_NS, cycle(index, None))])
        for number in range(TELLING_MAX):
            feed.consume([(T0_NS, Event(t_ns=number, kind="k", code="c", text=""))])
        assert feed.dropped > 500
        theirs.setblocking(False)
        heard: list[ReadingsFrame | EventFrame | StateFrame | Setup | Bye] = []
        for _ in range(200):
            try:
                while True:
                    heard.append(decode(theirs.recv(65536)))
            except BlockingIOError:
                feed.consume([])
        counts = Counter(type(frame) for frame in heard)
        assert counts[EventFrame] == TELLING_MAX and counts[ReadingsFrame] == 2000 - feed.dropped
        kept = [frame.index for frame in heard if isinstance(frame, ReadingsFrame)]
        assert kept == sorted(kept) and kept[-READINGS_MAX:] == list(range(2000 - READINGS_MAX, 2000))
        feed.close()
        assert decode(theirs.recv(65536)) == Bye()


def test_a_frame_too_large_is_counted_and_a_lost_process_says_why():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    feed = TelemetryFeed(ours, None)
    feed.consume([(1, Event(t_ns=1, kind="k", code="c", text="x" * 100_000))])
    assert feed.dropped == 1
    notice = Notice(connected=False, trouble="", dropped=0, n_stops=0, failed="bad password file")
    theirs.send(b"not a notice")
    feed.consume([])
    theirs.send(encode(notice))
    theirs.close()
    with pytest.raises(TelemetryLost, match="bad password file"):
        feed.consume([(1, Event(t_ns=1, kind="k", code="c", text=""))])
    with pytest.raises(TelemetryLost):
        feed.close()


def test_withheld_words_are_struck_out_of_every_text():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        feed = TelemetryFeed(ours, None, withheld=("P-1", "P-17", "", "sham(1)"))
        feed.consume([(1, Event(t_ns=1, kind="k", code="c", text="p-17, P-1; xP-1y P-170 sham(1) at P-17."))])
        heard = decode(theirs.recv(65536))
        assert isinstance(heard, EventFrame)
        assert heard.text == "[withheld], [withheld]; xP-1y P-170 [withheld] at [withheld]."
        feed.close()


def test_the_outbox_keeps_the_newest_state_all_events_and_fresh_readings():
    outbox = Outbox()
    for number in range(1000):
        put(outbox, "telemetry/readings", number)
    for number in range(EVENTS_MAX + 1):
        put(outbox, "event", number)
    put(outbox, "status", 1)
    put(outbox, "status", 2)
    assert outbox.dropped == 1000 - OUT_READINGS_MAX + 1
    taken = drain(outbox)
    assert taken[0] == ("status", 2) and taken[1] == ("event", 1)
    assert taken[-1] == ("telemetry/readings", 999) and len(taken) == 1 + EVENTS_MAX + OUT_READINGS_MAX


def test_what_could_not_be_published_comes_first_again_unless_it_is_stale():
    outbox = Outbox()
    for topic in ("event", "status", "telemetry/readings"):
        put(outbox, topic, 1)
    status, event, reading = outbox.take(), outbox.take(), outbox.take()
    assert status is not None and event is not None and reading is not None
    put(outbox, "event", 2)
    put(outbox, "status", 2)
    for message in (status, event, reading):
        outbox.give_back(message)
    assert drain(outbox) == [("status", 2), ("event", 1), ("event", 2)]
    assert outbox.dropped == 1
    for number in range(EVENTS_MAX):
        put(outbox, "event", number)
    outbox.give_back(event)
    assert len(outbox) == EVENTS_MAX and outbox.dropped == 2


def test_a_message_carries_schema_sequence_and_both_times():
    outbox = Outbox()
    put(outbox, "event")
    message = outbox.make("event", 250_000_000, NOW, {"n": 0})
    assert json.loads(message.payload) == {
        "schema": "nociloop/event/1",
        "seq": 2,
        "t_utc": "2026-01-02T03:04:04.250000+00:00",
        "t_mono_ns": 250_000_000,
        "n": 0,
    }
    assert (message.qos, message.retain) == (1, True)
    ack = outbox.make("interlock/ack", 0, NOW, {})
    assert (ack.qos, ack.retain) == (1, False)


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_no_payload_breaks_the_reader_of_requests(payload: bytes):
    asked = read_request(payload)
    assert len(asked.request_id) <= 64 and asked.request_id.isprintable()
    assert asked.fault or json.loads(payload)["verb"] == "stop"


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=4),
    st.text(max_size=80),
)
def test_a_stop_is_a_stop_whatever_else_it_says(more: dict[str, object], request_id: str):
    payload = json.dumps(more | {"request_id": request_id, "verb": "stop"}).encode()
    asked = read_request(payload)
    assert asked.fault == ""
    assert asked.request_id == "".join(char for char in request_id if char.isprintable())[:64]


def test_the_size_limit_of_a_request_is_exact():
    body = b'{"request_id":"a","verb":"stop"}'
    assert read_request(body.ljust(REQUEST_BYTES_MAX)).fault == ""
    over = read_request(body.ljust(REQUEST_BYTES_MAX + 1))
    assert (over.request_id, over.fault) == ("a", "4097 bytes; expected at most 4096")


async def test_a_full_queue_of_stop_sock_is_never_taken_for_a_connection(tmp_path: Path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen(0)
        first = connect_stop(path)
        assert first is not None
        assert connect_stop(path) is None
        answer = await stop(path)
        assert not answer.confirmed and "busy" in answer.text
        first.close()
    for absent in (path, str(tmp_path / "absent"), "x" * 200, ""):
        answer = await stop(absent)
        assert not answer.confirmed and answer.text.startswith("NOT CONFIRMED")


def test_telemetry_is_off_and_local_unless_asked():
    assert not TelemetryConfig().enabled and TelemetryConfig().host == "127.0.0.1"
    assert RecordingConfig().raw and not OutletsConfig().readings and not OutletsConfig().markers


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"site": "a/b"}, "site"),
        ({"rig": "+"}, "rig"),
        ({"rig": "#"}, "rig"),
        ({"rig": ""}, "rig"),
        ({"site": "$SYS"}, "site"),
        ({"rig": "a\n"}, "rig"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"port": "1883"}, "port"),
        ({"port": True}, "port"),
        ({"keepalive_s": 1}, "keepalive_s"),
        ({"host": ""}, "host"),
        ({"hots": "x"}, "hots"),
        ({"password_file": "/p"}, "without a username"),
        ({"ca_file": "/c"}, "tls = true"),
        ({"host": "broker.lab", "username": "u", "password_file": "/p"}, "clear text"),
    ],
)
def test_a_wrong_table_names_its_key(table: dict[str, object], text: str):
    with pytest.raises(ValidationError, match=text):
        TelemetryConfig.model_validate(table)


def test_a_password_may_go_to_this_machine_or_through_tls():
    for host, tls in (("127.0.0.1", False), ("::1", False), ("localhost", False), ("broker.lab", True)):
        TelemetryConfig(host=host, tls=tls, username="u", password_file="/p")


async def test_a_task_that_swallows_its_cancellation_is_ended_all_the_same():
    swallowed = 0

    async def deaf() -> None:
        nonlocal swallowed
        while swallowed < 3:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.sleep(60)

    async def broken() -> None:
        raise ValueError("its own end")

    tasks = [
        asyncio.create_task(deaf()),
        asyncio.create_task(broken()),
        asyncio.create_task(asyncio.sleep(60)),
    ]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end_all(tasks)
    assert swallowed == 3 and all(task.done() for task in tasks)
    await end_all([])
