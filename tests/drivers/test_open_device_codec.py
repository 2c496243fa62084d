"""Lines of the open device protocol: round trips, vectors, noise."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import open_device_codec as codec
from drivers.open_device_codec import LineBuffer, LineError, decode, encode
from tests.drivers.peer import line

KEYS = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=6)
VALUES = st.text("ABCxyz019_.,:+-", min_size=1, max_size=8)
FIELDS = st.dictionaries(KEYS, VALUES, max_size=8)
WORDS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=8)


def test_the_vectors_of_the_page() -> None:
    assert encode(mark=">", seq=1, word="HELLO", fields={"v": 1}) == b">1 HELLO v=1*0D95\n"
    assert encode(mark=">", seq=2, word="STAT", fields={}) == b">2 STAT*8F18\n"


@given(seq=st.integers(0, 65_535), word=WORDS, fields=FIELDS, mark=st.sampled_from("><!"))
@settings(max_examples=100, deadline=None)
def test_what_is_encoded_decodes_to_itself(seq: int, word: str, fields: dict[str, str], mark: str) -> None:
    raw = encode(mark=mark, seq=seq, word=word, fields=fields)  # type: ignore[arg-type]
    got = decode(raw[:-1])
    assert (got.mark, got.seq, got.word, dict(got.fields)) == (mark, seq, word, fields)
    assert raw == line(raw[:-6].decode())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b">",
        b">1 STAT",
        b">1 STAT*0000",
        line(">1 STAT")[:-1].lower(),
        line("1 STAT")[:-1],
        line("?1 STAT")[:-1],
        line(">65536 STAT")[:-1],
        line(">-1 STAT")[:-1],
        line(">1  STAT")[:-1],
        line(">1 STAT ")[:-1],
        line(">1 stat")[:-1],
        line(">1 SET a")[:-1],
        line(">1 SET a=")[:-1],
        line(">1 SET a=1 a=2")[:-1],
        line(">1 SET a=1  b=2")[:-1],
        line(">1 SET A=1")[:-1],
        line(">1 SET a=1=2")[:-1],
        line(">1 SET a=é")[:-1],
        line(">1 STAT\r")[:-1],
        line(">1 SET a=" + "1" * 300)[:-1],
    ],
)
def test_what_is_no_line_is_refused(raw: bytes) -> None:
    with pytest.raises(LineError):
        decode(raw)


@pytest.mark.parametrize(
    ("word", "fields", "seq"),
    [
        ("set", {}, 1),
        ("SET", {"a": ""}, 1),
        ("SET", {"a": "b c"}, 1),
        ("SET", {"a": "1\n>2 FIRE"}, 1),
        ("SET", {"A": 1}, 1),
        ("SET", {"a": "*"}, 1),
        ("SET", {"a": "é"}, 1),
        ("SET", {"a": "1" * 300}, 1),
        ("SET", {}, 65_536),
        ("SET", {}, -1),
    ],
)
def test_what_would_be_no_line_is_never_written(word: str, fields: dict[str, str], seq: int) -> None:
    with pytest.raises(LineError):
        encode(mark=">", seq=seq, word=word, fields=fields)


def test_a_line_of_256_bytes_passes_and_one_of_257_does_not() -> None:
    longest = encode(mark=">", seq=1, word="A", fields={"a": "1" * (256 - len(">1 A a=*0000\n"))})
    assert len(longest) == 256
    assert [got.word for got in LineBuffer().feed(longest)] == ["A"]
    buffer = LineBuffer()
    assert buffer.feed(line(">1 A a=" + "1" * 244) + line(">2 STAT"))[0].seq == 2
    assert buffer.bad == 1


@given(cuts=st.lists(st.integers(1, 40), max_size=30), noise=st.binary(max_size=40))
@settings(max_examples=100, deadline=None)
def test_lines_survive_any_cutting_and_noise_between(cuts: list[int], noise: bytes) -> None:
    stream = line("<1 OK a=1") + noise + b"\n" + line("!2 LINK") + line("<3 OK")
    buffer, got, at = LineBuffer(), [], 0
    for cut in [*cuts, len(stream)]:
        got += buffer.feed(stream[at : at + cut])
        at += cut
    seqs = [each.seq for each in got]
    assert [seq for seq in seqs if seq in (1, 2, 3)][:1] == [1]
    assert seqs[-2:] == [2, 3]


def test_a_flood_without_newline_is_forgotten_and_counted_once() -> None:
    buffer = LineBuffer()
    for _ in range(1000):
        assert buffer.feed(b"x" * 1000) == []
    assert len(buffer._data) < 256
    assert [each.word for each in buffer.feed(b"\n" + line("<1 OK"))] == ["OK"]
    assert buffer.bad == 1


def test_ten_thousand_random_streams_raise_nothing() -> None:
    dice = random.Random(7)
    good = [line(text) for text in ("<1 OK token=7", "!3 OUT token=1", "<5 ERR code=late", "!9 FAULT")]
    readers = (codec.identity, codec.stat, codec.started, codec.event, codec.state)
    taken = 0
    for _ in range(10_000):
        data = bytearray(dice.choice(good) + dice.randbytes(dice.randrange(30)) + dice.choice(good))
        for _ in range(dice.randrange(3)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        for got in LineBuffer().feed(bytes(data)):
            taken += 1
            for read in readers:
                try:
                    read(got)
                except LineError:
                    pass
    assert taken > 5000


@given(st.text(max_size=30))
@settings(max_examples=100, deadline=None)
def test_only_whole_decimal_numbers_are_numbers(value: str) -> None:
    got = codec.Line(mark="<", seq=1, word="OK", fields={"a": value})
    plain = value.removeprefix("-")
    if plain.isascii() and plain.isdecimal() and len(plain) <= 18:
        assert codec.integer(got, "a") == int(value)
    else:
        with pytest.raises(LineError):
            codec.integer(got, "a")


@pytest.mark.parametrize(
    "text",
    [
        "<1 OK v=2 model=M serial=S fw=F mod=tacs out=F3 link_ms=250 onset_us=5 stop_us=5",
        "<1 OK model=M serial=S fw=F mod=tacs out=F3 link_ms=250 onset_us=5 stop_us=5",
        "<1 OK v=1 model=M serial=S fw=F mod=tacs out=F3 link_ms=0 onset_us=5 stop_us=5",
        "<1 OK v=1 model=M serial=S fw=F mod=tacs out=F3 link_ms=250 onset_us=-5 stop_us=5",
    ],
)
def test_an_identity_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(LineError):
        codec.identity(decode(line(text)[:-1]))


@pytest.mark.parametrize("value", ["1", "1:2", "1:2:0", "2:1:1", "1:2:x", "1:2:3:4", "1:2:-1"])
def test_a_span_that_cannot_be_is_refused(value: str) -> None:
    with pytest.raises(LineError):
        codec.span(codec.Line(mark="<", seq=1, word="OK", fields={"a": value}), "a")


@pytest.mark.parametrize("change", ["from_us=9", "n=-1", "a=-1"])
def test_a_slice_that_cannot_be_is_refused(change: str) -> None:
    fields = {"token": "1", "from_us": "1", "to_us": "5", "a": "1", "n": "0", "end": "0"}
    key, value = change.split("=")
    with pytest.raises(LineError):
        codec.event(codec.Line(mark="!", seq=1, word="OUT", fields={**fields, key: value}))


def test_an_event_of_a_later_version_is_nothing() -> None:
    assert codec.event(codec.Line(mark="!", seq=1, word="NEWS", fields={})) is None


@pytest.mark.parametrize("word", ["closed", "unknown", "asleep"])
def test_only_states_of_the_page_are_states(word: str) -> None:
    with pytest.raises(LineError):
        codec.state(codec.Line(mark="<", seq=1, word="OK", fields={"state": word}))
