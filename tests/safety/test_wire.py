"""What controllers and persons send: strict about every type, key and number, and never an exception."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.link import FRAME_BYTES_MAX, FrameBuffer, FrameError, frame
from safety.events import Asked, BadFrame, Beat, EndAsked, FireAsked, Joined, PauseAsked
from safety.messages import Act, AskStatus, End, FireRequest, Heartbeat, Hello, Pause, Request
from safety.wire import TEXT_MAX, act_of, event_of, message_of
from tests.safety.world import World, hello_of, rules_of

WORLD = World(rules_of())
MESSAGES = (
    hello_of(),
    Heartbeat(seq=1, progress=1, evidence=WORLD.evidence()),
    WORLD.request(),
    FireRequest(id=1, onset_at_ns=0, evidence=WORLD.evidence()),
    Pause(reason="x"),
    End(reason="x"),
)
KINDS = (Hello, Heartbeat, Request, FireRequest, Pause, End)


def test_every_message_comes_through_as_it_was_sent():
    assert tuple(type(message) for message in MESSAGES) == KINDS
    for message in MESSAGES:
        assert message_of(msgspec.json.encode(message)) == message
    for act in (AskStatus(), WORLD.act()):
        assert act_of(msgspec.json.encode(act)) == act


EVENTS = (
    Joined(hello=MESSAGES[0]), Beat(heartbeat=MESSAGES[1]), Asked(request=MESSAGES[2]), FireAsked(request=MESSAGES[3]),
    PauseAsked(pause=MESSAGES[4]), EndAsked(end=MESSAGES[5]),
)  # fmt: skip


@pytest.mark.parametrize(
    ("message", "event"), list(zip(MESSAGES, EVENTS, strict=True)), ids=lambda each: type(each).__name__
)
def test_each_message_is_its_own_event_and_before_the_hello_none(
    message: msgspec.Struct, event: msgspec.Struct
):
    body = msgspec.json.encode(message)
    assert event_of(body, True) == event
    if isinstance(message, Hello):
        assert event_of(body, False) == event
    else:
        text = f"{type(message).__name__} before hello"
        assert event_of(body, False) == BadFrame(source="controller", text=text)


@pytest.mark.parametrize("known", (True, False))
def test_what_cannot_be_read_is_a_bad_frame_that_says_why(known: bool):
    for body in (b"", b'["raw","ARM"]', b'["pause"]'):
        assert event_of(body, known) == BadFrame(source="controller", text=message_of(body))


def test_the_longest_word_of_what_is_wrong_is_cut():
    key = "k" * 1000
    told = act_of(msgspec.json.encode({"type": "act", key: 1}))
    assert isinstance(told, str) and len(told) <= 200
    told = message_of(json.dumps(["x" * 1000]).encode())
    assert isinstance(told, str) and len(told) == 200


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_missing_or_further_field_is_no_message(message: msgspec.Struct):
    whole = json.loads(msgspec.json.encode(message))
    assert len(whole) == 1 + len(message.__struct_fields__)
    for n in range(len(whole)):
        assert isinstance(message_of(json.dumps(whole[:n]).encode()), str)
        assert isinstance(message_of(json.dumps(whole[:n] + whole[n + 1 :]).encode()), str)
    assert isinstance(message_of(json.dumps([*whole, True]).encode()), str)


# Where a field of a request stands in the arrays that it is written as.
PLACES: dict[str, tuple[int, ...]] = {
    "id": (1,),
    "onset_at_ns": (3,),
    "response": (4,),
    "train.waveform.duration_ms": (2, 2, 4),
    "train.waveform.carrier.amplitude_ma_pp": (2, 2, 1, 1),
    "evidence.newest_ns": (5, 2),
    "evidence.clean_fraction": (5, 5),
}


def bent(place: tuple[int, ...], value: str) -> bytes:
    whole = json.loads(msgspec.json.encode(WORLD.request()))
    inner = whole
    for at in place[:-1]:
        inner = inner[at]
    assert isinstance(inner[place[-1]], int | float)
    inner[place[-1]] = "@"
    return json.dumps(whole).replace('"@"', value).encode()


def test_a_field_stands_where_the_tests_look_for_it():
    for name, place in PLACES.items():
        told = message_of(bent(place, "77"))
        assert isinstance(told, Request)
        found: object = told
        for part in name.split("."):
            found = getattr(found, part)
        assert found == 77


@pytest.mark.parametrize(
    "value", ("NaN", "Infinity", "-Infinity", "1e999", "true", '"1.0"', "null", "[]", "{}", "1" * 5000)
)
@pytest.mark.parametrize("name", PLACES)
def test_a_number_is_a_number_of_its_type(name: str, value: str):
    assert isinstance(message_of(bent(PLACES[name], value)), str)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"NaN",
        b"\xff\xfe",
        b'["request"]',
        b'["raw","ARM"]',
        b'{"type":"pause","reason":"x"}',
        b'["pause","x"] ',
        b'["pause","x"][]',
        b'["pause","x"',
        b'["pause","\xff"]',
        b'["pause"]',
        b'[1,"x"]',
        b"[" * 60_000,
        b'{"a":' * 20_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_rubbish_is_one_short_line(body: bytes):
    for read in (message_of, act_of):
        found = read(body)
        if isinstance(found, Pause):
            assert body.endswith(b" ")
            continue
        assert isinstance(found, str)
        assert 0 < len(found) <= TEXT_MAX
        assert "\n" not in found


def test_an_act_is_no_request_and_a_request_is_no_act():
    assert isinstance(act_of(msgspec.json.encode(WORLD.request())), str)
    assert isinstance(message_of(msgspec.json.encode(WORLD.act())), str)
    unknown = json.loads(msgspec.json.encode(WORLD.act())) | {"act": "override"}
    assert isinstance(act_of(json.dumps(unknown).encode()), str)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise(body: bytes):
    for read in (message_of, act_of):
        assert isinstance(
            read(body), str | Hello | Heartbeat | Request | FireRequest | Pause | End | Act | AskStatus
        )


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_frames_come_through_however_they_are_cut(data: st.DataObject):
    stream = b"".join(frame(message) for message in MESSAGES)
    buffer, found = FrameBuffer(), []
    while stream:
        n = data.draw(st.integers(1, len(stream)))
        found += buffer.feed(stream[:n])
        stream = stream[n:]
    assert tuple(message_of(body) for body in found) == MESSAGES


@pytest.mark.parametrize("length", (0, FRAME_BYTES_MAX + 1, 2**32 - 1))
def test_an_impossible_length_is_refused_before_it_is_buffered(length: int):
    with pytest.raises(FrameError):
        FrameBuffer().feed(length.to_bytes(4, "big"))


def test_a_frame_is_four_bytes_of_length_and_that_many_bytes():
    assert frame(End(reason="x")) == b'\x00\x00\x00\x0b["end","x"]'
    buffer = FrameBuffer(bytes_max=300)
    assert buffer.feed(b"\x00\x00\x01") == []
    assert buffer.feed(b"\x2c" + b"a" * 299) == []
    assert buffer.feed(b"a\x00\x00\x00\x01b\x00\x00\x00\x01") == [b"a" * 300, b"b"]
    assert buffer.feed(b"c") == [b"c"]
    with pytest.raises(FrameError, match="frame of 301 bytes, expected 1 to 300"):
        buffer.feed(b"\x00\x00\x01\x2d")


def test_the_longest_frame_is_taken():
    assert FRAME_BYTES_MAX == 65_536
    body = b"x" * FRAME_BYTES_MAX
    assert FrameBuffer().feed(len(body).to_bytes(4, "big") + body) == [body]
