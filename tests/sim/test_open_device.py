"""The emulated open device against docs/open-device-protocol.md: commands, answers, rules of output."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.devices.open_device_line import Bad, Command, LineBuffer, parse, seal
from sim.record import Break, LinkLost, Pulse, amplitude_at, deliveries, zero_since
from tests.sim.open_device_bench import HOLD, MS, T0, TRAIN, Bench, armed, opened, sealed


def test_the_example_lines_of_the_page_and_their_answers():
    bench = Bench()
    assert bench.device.handle(b">1 HELLO v=1*0D95", T0) == seal(
        "<1 OK v=1 model=open-sim serial=SIM-0001 fw=1.0.0 mod=tacs,rtms out=F3,F4,Oz,coil "
        "link_ms=250 onset_us=500 stop_us=500"
    )
    answer = bench.device.handle(b">2 STAT*8F18", T0 + 7_000)
    assert opened(answer) == "OK state=idle a=0 en=1 z_ohm=8000 fault=none t_us=7 bad=0"


def test_caps_are_those_of_the_page():
    bench = Bench()
    assert bench.say("CAPS mod=tacs") == (
        "OK mod=tacs a=0:4000:10 f=100:100000:10 ph=0:359999:1 up=10:30000:1 dn=10:30000:1 dur=50:500:1"
    )
    assert bench.say("CAPS mod=rtms") == "OK mod=rtms p=0:1000:10 r=100:100000:100 n=1:10000:1"


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


def test_a_hold_rises_stays_ends_by_itself_and_falls():
    bench = armed()
    assert bench.start() == "OK token=1 in_us=0 t_us=0"
    bench.wait(50)
    assert bench.stat("a") == "500" and bench.stat("state") == "running"
    bench.wait(1000)
    found = [(e.t_ns - T0, e.a_ma_pp, e.to_ma_pp) for e in bench.record.breaks]
    assert found == [
        (0, 0.0, 1.0),
        (100 * MS, 1.0, 1.0),
        (500 * MS, 1.0, 0.0),
        (600 * MS, 0.0, 0.0),
    ]
    assert bench.stat("state") == "armed" and bench.stat("a") == "0"


def test_a_lease_that_ends_within_the_rise_falls_from_where_it_is():
    bench = armed()
    bench.start(HOLD.replace("up=100", "up=1000").replace("dur=500", "dur=50"))
    bench.wait(300)
    assert amplitude_at(bench.record, T0 + 50 * MS) == pytest.approx(0.05)
    assert zero_since(bench.record, T0) == T0 + 150 * MS


def test_a_renewal_takes_over_from_the_present_amplitude():
    bench = armed()
    bench.start()
    bench.wait(50)
    bench.start(HOLD.replace("a=1000", "a=2000"))
    bench.wait(1000)
    record = bench.record
    assert amplitude_at(record, T0 + 50 * MS) == pytest.approx(0.5)
    assert amplitude_at(record, T0 + 100 * MS) == pytest.approx(1.25)
    assert amplitude_at(record, T0 + 549 * MS) == 2.0
    assert zero_since(record, T0) == T0 + 650 * MS
    assert [(d.token, d.ended) for d in deliveries(record)] == [(1, True), (2, True)]
    first = bench.outs()[0]
    assert (first["token"], first["to_us"], first["a"], first["end"]) == (1, 50_000, 500, 1)


def test_a_renewal_downward_takes_dn_and_one_in_the_fall_takes_over():
    bench = armed()
    bench.start()
    bench.wait(100)
    bench.start(HOLD.replace("a=1000", "a=0").replace("dn=100", "dn=40"))
    bench.wait(20)
    assert bench.stat("a") == "500"
    bench.wait(580)
    bench.start()
    bench.wait(550)
    taken_ns = bench.now_ns
    bench.start()
    bench.wait(200)
    assert amplitude_at(bench.record, taken_ns) == pytest.approx(0.5)
    assert amplitude_at(bench.record, taken_ns + 10 * MS) == pytest.approx(0.55)


def test_a_renewal_waiting_at_the_very_end_of_the_lease_wins():
    bench = armed()
    bench.start()
    bench.wait(100)
    bench.start(in_us=400_000)
    bench.wait(450)
    assert bench.stat("a") == "1000" and bench.stat("state") == "running"
    assert 0.0 not in [e.to_ma_pp for e in bench.record.breaks]


def test_one_start_waits_at_a_time():
    bench = armed()
    bench.start(in_us=100_000)
    assert bench.start(HOLD.replace("a=1000", "a=2000")) == "ERR code=busy"
    bench.wait(50)
    assert bench.stat("a") == "0"


def test_the_onset_told_is_the_onset_kept_and_never_early():
    bench = armed()
    bench.now_ns += 1_001
    assert bench.start().endswith(" t_us=2")
    bench.wait(10)
    assert bench.record.breaks[0].t_ns == T0 + 2_000


def test_the_carrier_runs_on_through_a_renewal_and_starts_anew_at_another_frequency():
    bench = armed()
    bench.start(HOLD.replace("ph=0", "ph=90000"))
    bench.wait(1)
    phase = bench.device.output.phase_rad
    assert phase(T0) == pytest.approx(math.pi / 2) and phase(T0 + 25 * MS) == pytest.approx(math.pi)
    assert phase(T0 + 90 * MS) == pytest.approx(0.3 * math.pi)
    bench.wait(29)
    bench.start()
    bench.wait(1)
    assert phase(T0 + 50 * MS) == pytest.approx(math.pi)
    bench.start(HOLD.replace("f=10000", "f=20000"))
    bench.wait(1)
    assert phase(T0 + 31 * MS) == pytest.approx(0.0) and phase(T0 + 56 * MS) == pytest.approx(math.pi)
    bench.say("STOP how=cut")
    assert phase(bench.now_ns) == 0.0


def test_an_onset_in_the_future_comes_at_its_time_and_stop_takes_it_back():
    bench = armed()
    assert bench.start(in_us=200_000) == "OK token=1 in_us=200000 t_us=200000"
    assert bench.stat("state") == "running" and bench.stat("a") == "0"
    bench.wait(250)
    assert bench.record.breaks[0].t_ns == T0 + 200 * MS
    bench.say("STOP how=cut")
    bench.say("ARM")
    bench.start(in_us=1_000_000)
    bench.wait(10)
    assert bench.say("STOP how=ramp") == "OK state=idle"
    bench.wait(2000, pet=False)
    assert bench.outs()[-1] | {"token": 2, "a": 0, "n": 0, "end": 1} == bench.outs()[-1]
    assert zero_since(bench.record, T0) == T0 + 250 * MS
    assert bench.say("ARM") == "OK state=armed"
    for in_us in (-1, 1_000_001):
        assert bench.start(in_us=in_us) == "ERR code=range"


def test_stop_by_ramp_and_by_cut():
    bench = armed()
    bench.start()
    bench.wait(200)
    assert bench.say("STOP how=ramp") == "OK state=stopping"
    stopped_ns = bench.now_ns
    bench.wait(50)
    assert bench.stat("a") == "500"
    assert bench.say(HOLD) == "ERR code=state" and bench.say("ARM") == "ERR code=state"
    assert bench.say("STOP how=ramp") == "OK state=stopping"
    bench.wait(60)
    assert bench.stat("state") == "idle"
    assert zero_since(bench.record, T0) == stopped_ns + 100 * MS
    bench.say("ARM")
    bench.start()
    bench.wait(200)
    assert bench.say("STOP how=cut") == "OK state=idle"
    assert zero_since(bench.record, T0) == bench.now_ns
    assert bench.outs()[-1]["end"] == 1 and bench.outs()[-1]["a"] == 1000


def test_a_cut_ends_a_ramp_under_way():
    bench = armed()
    bench.start()
    bench.wait(200)
    bench.say("STOP how=ramp")
    bench.wait(10)
    assert bench.say("STOP how=cut") == "OK state=idle"
    assert zero_since(bench.record, T0) == bench.now_ns


def test_stop_in_the_fall_never_makes_it_last_longer():
    bench = armed()
    bench.start()
    bench.wait(550)
    bench.say("STOP how=ramp")
    bench.wait(500, pet=False)
    assert zero_since(bench.record, T0) == T0 + 600 * MS


def test_after_disarming_nothing_is_prepared():
    bench = armed()
    bench.say(HOLD)
    bench.say("STOP how=cut")
    assert bench.say("FIRE token=1 in_us=0") == "ERR code=state"
    bench.say("ARM")
    assert bench.say("FIRE token=1 in_us=0") == "ERR code=state"


def test_a_train_gives_its_pulses_on_time_and_ends():
    bench = armed()
    bench.start(TRAIN.replace("r=10000", "r=30000"))
    assert bench.stat("a") == "600"
    bench.wait(2000)
    times = [pulse.t_ns - T0 for pulse in bench.record.pulses]
    assert times == [k * 10**12 // 30_000 for k in range(40)]
    assert {pulse.p_pct for pulse in bench.record.pulses} == {60.0}
    assert bench.stat("state") == "armed" and bench.stat("a") == "0"
    outs = bench.outs()
    assert sum(out["n"] for out in outs) == 40 and outs[-1]["end"] == 1
    # 0, 33, 67 ms; a pulse on the edge of a slice (100 ms) belongs to the one it opens
    assert [out["n"] for out in outs[:2]] == [3, 3]
    assert all(a["to_us"] == b["from_us"] for a, b in itertools.pairwise(outs))


@pytest.mark.parametrize("how", ["ramp", "cut"])
def test_stop_ends_a_train_at_once(how: str):
    bench = armed()
    bench.start(TRAIN)
    bench.wait(250)
    assert bench.say(f"STOP how={how}") == "OK state=idle"
    bench.wait(3000, pet=False)
    assert len(bench.record.pulses) == 3
    assert zero_since(bench.record, T0) == T0 + 200 * MS


def test_hold_and_train_never_meet_and_a_second_train_is_busy():
    bench = armed()
    bench.start(TRAIN)
    for setting in (HOLD, TRAIN):
        assert bench.start(setting) == "ERR code=busy"
    bench.say("STOP how=cut")
    bench.say("ARM")
    bench.start(HOLD)
    assert bench.start(TRAIN) == "ERR code=busy"
    bench.wait(400)
    assert bench.start(TRAIN, in_us=1_000_000) == "ERR code=busy"
    assert len(bench.record.pulses) == 1


@pytest.mark.parametrize("setting", [HOLD, TRAIN, HOLD.replace("dur=500", "dur=450")])
def test_slices_follow_one_another_without_a_gap(setting: str):
    bench = armed()
    bench.start(setting)
    bench.wait(130)
    if setting != TRAIN:
        bench.start(HOLD.replace("a=1000", "a=500"))
    bench.wait(5000)
    outs = bench.outs()
    assert outs[0]["from_us"] == 0
    for one, other in itertools.pairwise(outs):
        assert one["to_us"] == other["from_us"]
        assert one["end"] == int(one["token"] != other["token"])
    assert all(0 <= out["to_us"] - out["from_us"] <= 100_000 for out in outs)
    assert outs[-1]["end"] == 1
    greatest = max(out["a"] for out in outs)
    assert greatest == (600 if setting == TRAIN else 1000)


@pytest.mark.parametrize("late_ms", [0.0, 1.0])
def test_the_link_watchdog_ramps_disarms_and_says_so(late_ms: float):
    bench = armed()
    bench.start()
    bench.wait(150)
    bench.start()
    bench.wait(249, pet=False)
    assert bench.told[-1].startswith("OUT")
    bench.wait(1 + late_ms, pet=False)
    struck_ns = T0 + 400 * MS
    assert [e.t_ns for e in bench.record.entries if isinstance(e, LinkLost)] == [struck_ns]
    assert bench.stat("state") == "stopping" and "LINK" in bench.told
    bench.wait(200, pet=False)
    assert zero_since(bench.record, T0) == struck_ns + 100 * MS
    assert bench.stat("state") == "idle"


def test_the_link_watchdog_ends_a_train_and_a_start_that_waits():
    bench = armed()
    bench.start(TRAIN)
    bench.wait(1000, pet=False)
    assert len(bench.record.pulses) == 3 and bench.stat("state") == "idle"
    bench.say("ARM")
    bench.start(HOLD, in_us=300_000)
    bench.wait(1000, pet=False)
    assert not bench.record.breaks


def test_the_link_watchdog_leaves_an_idle_device_alone():
    bench = Bench()
    bench.wait(10_000, pet=False)
    assert bench.told == []


def test_the_enable_input_cuts_and_is_needed_to_arm_and_fire():
    bench = Bench(enabled=False)
    assert bench.say("ARM") == "ERR code=enable" and bench.stat("en") == "0"
    bench.contact(True)
    bench.say("ARM")
    bench.start()
    bench.wait(200)
    bench.contact(False)
    assert zero_since(bench.record, T0) == bench.now_ns
    assert bench.told[-1] == "ENABLE en=0" and "end=1" in bench.told[-2]
    assert bench.stat("state") == "idle"
    assert bench.say("FIRE token=1 in_us=0") == "ERR code=enable"
    bench.contact(True)
    bench.wait(1000, pet=False)
    assert bench.stat("a") == "0" and bench.say("FIRE token=1 in_us=0") == "ERR code=state"


def test_the_enable_input_ends_a_ramp_and_a_start_that_waits():
    bench = armed()
    bench.start()
    bench.wait(200)
    bench.start(in_us=50_000)
    bench.say("STOP how=ramp")
    bench.wait(10)
    bench.contact(False)
    bench.wait(1000, pet=False)
    assert zero_since(bench.record, T0) == T0 + 210 * MS


@given(st.lists(st.floats(0.001, 400), min_size=1, max_size=12), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_step_of_any_lateness_gives_the_same_record(steps_ms: list[float], script: int):
    def run(step_ms: float | None) -> list[object]:
        bench = armed(step_ms=step_ms)
        bench.start(TRAIN if script == 3 else HOLD, in_us=1234)
        bench.wait(170)
        if script == 1:
            bench.start(HOLD.replace("a=1000", "a=300"))
        if script == 2:
            bench.say("STOP how=ramp")
        bench.wait(2000, pet=script == 0)
        kept = [e for e in bench.kept if isinstance(e, Break | Pulse | LinkLost)]
        return [kept, bench.told]

    timely = run(None)
    for step_ms in steps_ms[:3]:
        assert run(max(step_ms, 0.7)) == timely


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
