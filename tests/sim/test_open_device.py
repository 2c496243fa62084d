"""The emulated open device against docs/open-device-protocol.md: lines, commands, answers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.devices.open_device_line import Bad, Command, LineBuffer, parse, seal
from sim.record import deliveries
from tests.sim.open_device_bench import BURSTS, HOLD, MS, T0, TRAIN, Bench, armed, opened, sealed


def test_the_example_lines_of_the_page_and_their_answers():
    bench = Bench()
    assert bench.device.handle(b">1 HELLO v=1*0D95", T0) == seal(
        "<1 OK v=1 model=open-sim serial=SIM-0001 fw=1.0.0 mod=tacs,rtms,tbs,ctbs out=F3,F4,Oz,coil "
        "link_ms=250 onset_us=500 stop_us=500 renews=1"
    )
    answer = bench.device.handle(b">2 STAT*8F18", T0 + 7_000)
    assert opened(answer) == "OK state=idle a=0 en=1 z_ohm=8000 fault=none t_us=7 bad=0"


def test_caps_are_those_of_the_page():
    bench = Bench()
    assert bench.say("CAPS mod=tacs") == (
        "OK mod=tacs a=0:4000:10 f=100:100000:10 ph=0:359999:1 up=10:30000:1 dn=10:30000:1 dur=50:500:1"
    )
    assert bench.say("CAPS mod=rtms") == "OK mod=rtms p=0:1000:10 r=100:100000:100 n=1:10000:1"
    for kind in ("tbs", "ctbs"):
        told = f"OK mod={kind} p=0:1000:10 k=1:10:1 q=10000:100000:1000 r=100:20000:100 n=1:1000:1"
        assert bench.say(f"CAPS mod={kind}") == told


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("HELLO", "ERR code=syntax"),
        ("HELLO v=2", "ERR code=range"),
        ("HELLO v=x", "ERR code=syntax"),
        ("NOSUCH", "ERR code=syntax"),
        ("ARM now=1", "ERR code=syntax"),
        ("CAPS mod=tdcs", "ERR code=range"),
        ("STAT a=1", "ERR code=syntax"),
        ("STOP", "ERR code=syntax"),
        ("STOP how=softly", "ERR code=syntax"),
        ("FIRE token=1", "ERR code=syntax"),
        ("FIRE token=1 in_us=0", "ERR code=state"),
        (HOLD, "ERR code=state"),
        (TRAIN, "ERR code=state"),
        ("SET mod=rtms", "ERR code=syntax"),
        ("STOP how=ramp", "OK state=idle"),
        ("STOP how=cut", "OK state=idle"),
    ],
)
def test_answers_while_idle(text: str, answer: str):
    assert Bench().say(text) == answer


@pytest.mark.parametrize(
    ("found", "instead", "answer"),
    [
        ("a=1000", "a=4000", "OK"),
        ("a=1000", "a=4010", "ERR code=range"),
        ("a=1000", "a=1005", "ERR code=range"),
        ("a=1000", "a=-10", "ERR code=range"),
        ("a=1000", "a=1e3", "ERR code=syntax"),
        ("a=1000", "a=+1000", "ERR code=syntax"),
        ("a=1000", "a=nan", "ERR code=syntax"),
        ("a=1000", "a=99999999999999999999", "ERR code=syntax"),
        ("f=10000", "f=90", "ERR code=range"),
        ("f=10000", "f=100", "OK"),
        ("f=10000", "f=10005", "ERR code=range"),
        ("ph=0", "ph=359999", "OK"),
        ("ph=0", "ph=360000", "ERR code=range"),
        ("up=100", "up=9", "ERR code=range"),
        ("up=100", "up=10", "OK"),
        ("dn=100", "dn=30001", "ERR code=range"),
        ("dur=500", "dur=501", "ERR code=range"),
        ("dur=500", "dur=50", "OK"),
        ("dur=500", "dur=49", "ERR code=range"),
        ("Oz:-1000", "Cz:-1000", "ERR code=range"),
        ("Oz:-1000", "coil:-1000", "ERR code=range"),
        ("Oz:-1000", "F3:-1000", "ERR code=range"),
        ("Oz:-1000", "Oz:-1001", "ERR code=range"),
        ("Oz:-1000", "F3:1000,Oz:-1000", "ERR code=range"),
        ("Oz:-1000", "Oz:1000", "ERR code=range"),
        ("F3:1000,Oz:-1000", "F3:333,F4:667,Oz:-1000", "OK"),
        ("F3:1000,Oz:-1000", "F3:0", "ERR code=range"),
        ("F3:1000,Oz:-1000", "F3", "ERR code=syntax"),
        ("mod=tacs", "mod=rtms", "ERR code=syntax"),
        ("ph=0 ", "", "ERR code=syntax"),
        ("ph=0", "ph=0 zz=1", "ERR code=syntax"),
    ],
)
def test_set_takes_what_is_in_range_and_on_step(found: str, instead: str, answer: str):
    bench = armed()
    assert bench.say(HOLD.replace(found, instead)).startswith(answer)
    assert bench.stat("a") == "0"


@pytest.mark.parametrize("bad", ["p=1010", "p=605", "r=50", "r=10050", "n=0", "n=10001", "out=F3:1000"])
def test_set_refuses_a_train_out_of_range(bad: str):
    key = bad.split("=")[0]
    words = [bad if word.startswith(f"{key}=") else word for word in TRAIN.split()]
    assert armed().say(" ".join(words)) == "ERR code=range"


@pytest.mark.parametrize(
    ("found", "instead", "answer"),
    [
        ("k=3", "k=10", "OK"),
        ("k=3", "k=11", "ERR code=range"),
        ("k=3", "k=0", "ERR code=range"),
        ("q=50000", "q=15000", "OK"),  # three pulses in 200 ms: the burst fills its period
        ("q=50000", "q=14000", "ERR code=range"),
        ("r=5000", "r=16600", "OK"),
        ("r=5000", "r=16700", "ERR code=range"),
        ("n=10", "n=1001", "ERR code=range"),
        ("p=300", "p=305", "ERR code=range"),
        ("q=50000 ", "", "ERR code=syntax"),
        ("mod=tbs", "mod=rtms", "ERR code=syntax"),
        ("mod=tbs", "mod=ctbs", "OK"),
        ("out=coil:1000", "out=F3:1000", "ERR code=range"),
    ],
)
def test_set_takes_bursts_that_fit_their_period(found: str, instead: str, answer: str):
    assert armed().say(BURSTS.replace(found, instead)).startswith(answer)


def test_set_answers_every_key_as_stored_and_a_new_one_replaces_the_old():
    bench = armed()
    keys = dict(pair.split("=") for pair in HOLD.split()[1:])
    told = dict(pair.split("=") for pair in bench.say(HOLD).split()[1:])
    assert told == keys | {"token": "1"}
    assert bench.say(TRAIN).startswith("OK token=2 ")
    assert bench.say("FIRE token=1 in_us=0") == "ERR code=token"
    assert bench.say("FIRE token=3 in_us=0") == "ERR code=token"
    assert bench.say("FIRE token=0 in_us=0") == "ERR code=token"
    assert bench.say("FIRE token=2 in_us=0").startswith("OK token=2 in_us=0 t_us=")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\x00",
        b"\xff" * 300,
        b">1 STAT",
        b">1 STAT*8F18",
        b">2 STAT*8f18",
        b">2 STAT*8F18 ",
        b">2 STAT*8F18\r",
        b">2  STAT*8F18",
        sealed("<2 STAT"),
        sealed("!2 STAT"),
        sealed(">65536 STAT"),
        sealed(">-1 STAT"),
        sealed(">2 stat"),
        sealed(">2 STOP how=cut how=ramp"),
        sealed(">2 STOP how="),
        sealed(">2 STOP how=cut "),
        sealed(">2 STOP HOW=cut"),
        sealed(">1 STAT" + " x=1" * 63),
    ],
)
def test_a_line_that_is_none_is_dropped_counted_and_no_sign_of_life(line: bytes):
    bench = armed()
    bench.wait(200, pet=False)
    assert bench.device.handle(line, bench.now_ns) == b""
    bench.wait(49, pet=False)
    assert bench.stat("bad") == "1"
    bench.wait(251, pet=False)
    assert bench.told == ["LINK"]


@given(st.lists(st.binary(max_size=600) | st.sampled_from([b"\n", b">", b"*", b"FIRE token=1 in_us=0"])))
@settings(max_examples=150, deadline=None)
def test_random_bytes_never_raise_and_never_start_output(pieces: list[bytes]):
    bench = armed()
    bench.say(HOLD)
    lines = LineBuffer()
    for piece in pieces:
        bench.now_ns += MS
        for line in lines.feed(piece):
            bench.device.handle(line, bench.now_ns)
    bench.wait(10)
    assert not bench.record.breaks and not bench.record.pulses


@given(st.binary(max_size=2000), st.integers(1, 300))
@settings(max_examples=150, deadline=None)
def test_the_line_buffer_cuts_the_same_however_bytes_arrive(data: bytes, size: int):
    whole, pieces = LineBuffer(), LineBuffer()
    got = [line for at in range(0, len(data), size) for line in pieces.feed(data[at : at + size])]
    assert got == whole.feed(data)


def test_after_an_overlong_line_the_next_one_is_found():
    lines = LineBuffer()
    assert len(lines.feed(b"x" * 100_000)) == 1
    assert [line for line in lines.feed(b"yy\n>2 STAT*8F18\n") if line == b">2 STAT*8F18"]


@given(st.text(alphabet="> HELOSTARMFICP=_abcz019:,*+-.", max_size=80))
@settings(max_examples=150, deadline=None)
def test_any_valid_check_over_any_text_is_answered_or_dropped(text: str):
    bench = armed()
    answer = bench.device.handle(sealed(text), bench.now_ns)
    if answer:
        assert opened(answer).startswith(("OK", "ERR code="))
    assert not bench.record.breaks


def test_the_longest_answer_fits_a_line():
    bench = armed()
    longest = "SET mod=tacs a=4000 f=100000 ph=359999 up=30000 dn=30000 dur=500 out=F3:1000,F4:-500,Oz:-500"
    bench.seq = 65_534
    assert bench.say(longest).startswith("OK token=1")


def test_a_repeated_line_gets_the_earlier_answer_and_does_nothing():
    bench = armed()
    bench.say(HOLD)
    line = sealed(">900 FIRE token=1 in_us=0")
    first = bench.device.handle(line, bench.now_ns)
    assert opened(first).startswith("OK token=1")
    bench.now_ns += 400 * MS // 2
    assert bench.device.handle(line, bench.now_ns) == first
    again = bench.device.handle(sealed(">901 FIRE token=1 in_us=0"), bench.now_ns)
    assert opened(again) == "ERR code=token"
    bench.wait(2000)
    assert len(deliveries(bench.record)) == 1


def test_a_repeated_set_makes_no_second_token():
    bench = armed()
    line = sealed(f">7 {HOLD}")
    assert bench.device.handle(line, T0) == bench.device.handle(line, T0 + MS)


def test_the_seq_of_events_counts_on_its_own_and_wraps():
    bench = armed()
    bench.start(TRAIN.replace("n=40", "n=10000").replace("r=10000", "r=100000"))
    seqs = []
    for _ in range(30):
        bench.now_ns += 100 * MS
        bench.device.handle(sealed(f">{1 + len(seqs) % 2} STAT"), bench.now_ns)
        seqs += [int(event[1:].split(b" ")[0]) for event in bench.device.events()]
    assert seqs == list(range(len(seqs))) and len(seqs) >= 29


@pytest.mark.parametrize(("length", "fits"), [(256, True), (257, False)])
def test_a_line_may_have_256_bytes_with_its_newline(length: int, fits: bool):
    line = sealed(">65535 STAT x=" + "1" * (length - len(">65535 STAT x=*0000") - 1))
    assert len(line) + 1 == length
    assert isinstance(parse(line), Command) == fits
    assert LineBuffer().feed(line + b"\n") == ([line] if fits else [Bad(why="too long")])


def test_the_line_buffer_tells_of_a_long_line_before_it_ends():
    lines = LineBuffer()
    assert lines.feed(b"x" * 256) == [] and lines.feed(b"x") == [Bad(why="too long")]
    assert lines.feed(b"x" * 1000) == [] and lines.feed(b"\n") == []
