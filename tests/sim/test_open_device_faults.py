"""Faults of the emulated open device by name: each shows, and none lets more out than the page allows or it says."""

from __future__ import annotations

import pytest

from sim.devices.open_device_faults import DEVICE_FAULTS, LINE_FAULTS, Fault, FaultError, Faults, parse_fault
from sim.devices.open_device_model import Identity, OpenDevice
from sim.devices.open_device_port import WAITING_MAX, Port
from sim.record import Fault as FaultEntry
from sim.record import Tx, zero_since
from tests.sim.open_device_bench import HOLD, MS, T0, TRAIN, armed, opened, sealed


def port(*faults: str) -> Port:
    active = Faults(tuple(parse_fault(fault) for fault in faults))
    return Port(OpenDevice(identity=Identity(), started_ns=T0, enabled=True, faults=active), active)


def ask(line: Port, text: str, at_ms: float = 1) -> list[bytes]:
    """What the port sends within the same instant."""
    now_ns = T0 + round(at_ms * MS)
    line.feed(sealed(f">5 {text}") + b"\n", now_ns)
    return line.take(now_ns)


@pytest.mark.parametrize(
    "text",
    ["", "nosuch", "skew", "skew:", "skew:x", "skew:20000", "delay_reply", "delay_reply:-1", "busy:1", "drop_reply:0",
     "drop_reply:stat", "vanish_after:1:2", "delay_reply:5:STAT:1", "stuck_on:STOP"],
)  # fmt: skip
def test_a_fault_that_is_none_is_one_line(text: str):
    with pytest.raises(FaultError, match=r"^[^\n]+$"):
        parse_fault(text)


def test_a_fault_takes_its_argument_and_its_selection():
    assert parse_fault("delay_reply:20:FIRE") == Fault(name="delay_reply", number=20, word="FIRE")
    assert parse_fault("drop_reply:3") == Fault(name="drop_reply", every=3)
    assert parse_fault("skew:-50") == Fault(name="skew", number=-50)
    for name, (argument, _) in (DEVICE_FAULTS | LINE_FAULTS).items():
        parse_fault(name + (":1" if argument else ""))


def test_without_faults_an_answer_is_one_chunk():
    line = port()
    assert [opened(chunk) for chunk in ask(line, "ARM")] == ["OK state=armed"]
    assert [e.line for e in line.entries() if isinstance(e, Tx)] == [sealed("<5 OK state=armed").decode()]


def test_faults_of_an_answer():
    assert ask(port("drop_reply"), "ARM") == []
    (broken,) = ask(port("corrupt_crc"), "ARM")
    assert broken != sealed("<5 OK state=armed") + b"\n" and broken[:-2] == sealed("<5 OK state=armed")[:-1]
    (half,) = ask(port("truncate"), "ARM")
    assert b"\n" not in half and (sealed("<5 OK state=armed")).startswith(half)
    one, other = ask(port("duplicate"), "ARM")
    assert one == other == sealed("<5 OK state=armed") + b"\n"
    assert ask(port("wrong_seq"), "ARM") == [sealed("<6 OK state=armed") + b"\n"]
    chunks = ask(port("unsolicited"), "ARM")
    assert len(chunks) == 3 and chunks[-1] == sealed("<5 OK state=armed") + b"\n"
    assert ask(port("hang"), "ARM") == []


def test_a_selected_answer_alone_is_struck():
    line = port("drop_reply:FIRE")
    assert len(ask(line, "ARM")) == 1 and len(ask(line, HOLD)) == 1
    assert ask(line, "FIRE token=1 in_us=0") == []
    assert line.device.state == "running"
    line = port("drop_reply:2")
    assert [len(ask(line, f"HELLO v={n}")) for n in range(4)] == [1, 0, 1, 0]


def test_a_delayed_answer_comes_late_but_acts_at_once():
    line = port("delay_reply:20")
    assert ask(line, "ARM") == [] and line.device.state == "armed"
    assert line.next_ns() == T0 + 21 * MS
    assert line.take(T0 + 21 * MS - 1) == [] and len(line.take(T0 + 21 * MS)) == 1


def test_a_split_answer_comes_in_pieces_that_nothing_comes_between():
    line = port("split")
    first = ask(line, "ARM")
    second = ask(line, "STAT", at_ms=2)
    rest = line.take(T0 + 500 * MS)
    text = b"".join(first + second + rest)
    assert text.count(b"\n") == 2 and all(len(chunk) <= 3 for chunk in first + rest)
    assert next(opened(part + b"\n") for part in text.splitlines()) == "OK state=armed"


def test_a_silent_device_acts_and_a_vanished_port_is_gone():
    line = port("silent_after:1")
    assert len(ask(line, "ARM")) == 1
    assert ask(line, HOLD) == [] and ask(line, "FIRE token=1 in_us=0") == []
    assert line.device.state == "running"
    line.advance(T0 + 1000 * MS)
    assert line.take(T0 + 1000 * MS) == [] and line.device.state == "idle"
    line = port("vanish_after:2")
    ask(line, "ARM")
    assert not line.vanished
    assert len(ask(line, "STAT")) == 1 and line.vanished


def test_a_hanging_device_still_ends_its_output_by_itself():
    line = port()
    for text in ("ARM", HOLD, "FIRE token=1 in_us=0"):
        ask(line, text)
    line.inject(parse_fault("hang"), T0 + 100 * MS)
    for at_ms in range(110, 1500, 10):
        assert ask(line, "STOP how=cut", at_ms) == []
    line.clear_faults(T0 + 1600 * MS)
    assert len(ask(line, "STAT", 1601)) == 1 and line.device.state == "idle"
    assert [e.name for e in line.entries() if isinstance(e, FaultEntry)] == ["hang", "clear"]


def test_what_waits_is_bounded_and_a_new_client_hears_nothing_old():
    line = port("delay_reply:900000000")
    for number in range(WAITING_MAX + 50):
        ask(line, "STAT", 1 + number)
    assert len(line.take(10**18)) == WAITING_MAX
    ask(line, "STAT", 5000)
    line.feed(b">6 ST", T0 + 5001 * MS)
    line.new_client()
    assert line.take(10**18) == []
    line.clear_faults(T0 + 5002 * MS)
    assert len(ask(line, "STAT", 5003)) == 1


@pytest.mark.parametrize("code", ["busy", "late"])
def test_fire_is_refused(code: str):
    bench = armed(code)
    assert bench.start() == f"ERR code={code}"
    assert not bench.record.breaks


def test_clamps_show_in_the_read_back():
    bench = armed("clamp_silently")
    assert " a=500 " in bench.say(HOLD) and " p=300 " in bench.say(TRAIN)
    bench = armed("clamp_up")
    assert " a=1100 " in bench.say(HOLD) and " a=60 " in bench.say(HOLD.replace("a=1000", "a=50"))
    bench.start()
    bench.wait(1000)
    assert max(e.a_ma_pp for e in bench.record.breaks) == 1.1


def test_stuck_on_ignores_stop_but_not_the_lease_nor_the_contact():
    bench = armed("stuck_on")
    bench.start()
    bench.wait(200)
    assert bench.say("STOP how=cut") == "OK state=running"
    bench.wait(1000)
    assert zero_since(bench.record, T0) == T0 + 600 * MS
    bench.start()
    bench.wait(100)
    bench.contact(False)
    assert zero_since(bench.record, T0) == bench.now_ns


def test_runaway_ends_by_the_contact_alone():
    bench = armed("runaway")
    bench.start()
    bench.wait(5000, pet=False)
    assert bench.say("STOP how=cut") == "OK state=running" and bench.stat("a") == "1000"
    bench.contact(False)
    assert zero_since(bench.record, T0) == T0 + 5000 * MS


@pytest.mark.parametrize("pet", [True, False])
def test_a_runaway_cured_ends_from_now_on(pet: bool):
    bench = armed("runaway")
    bench.start()
    bench.wait(5000, pet=pet)
    bench.device.clear_faults(bench.now_ns)
    bench.wait(200, pet=False)
    assert zero_since(bench.record, T0) == T0 + 5100 * MS
    times = [e.t_ns for e in bench.record.entries]
    assert times == sorted(times)


def test_an_electrode_that_comes_off_latches():
    bench = armed("fault_electrode:200")
    bench.start()
    bench.wait(300)
    assert zero_since(bench.record, T0) == T0 + 200 * MS
    assert bench.told[-1] == "FAULT code=electrode"
    assert bench.stat("fault") == "electrode" and bench.stat("z_ohm") == "1000000"
    for text in ("ARM", HOLD, "FIRE token=1 in_us=0"):
        assert bench.say(text) == "ERR code=fault"
    assert bench.say("STOP how=ramp") == "OK state=fault"


def test_an_electrode_comes_off_in_mid_run():
    bench = armed()
    bench.start()
    bench.wait(200)
    bench.device.inject(parse_fault("fault_electrode"), bench.now_ns)
    bench.wait(1)
    assert zero_since(bench.record, T0) == T0 + 200 * MS and bench.device.state == "fault"


def test_a_lie_is_told_and_the_record_has_the_truth():
    bench = armed("lie_delivery")
    bench.start(TRAIN)
    bench.wait(5000)
    assert len(bench.record.pulses) == 40
    assert sum(out["n"] for out in bench.outs()) < 40 and max(out["a"] for out in bench.outs()) == 300


def test_a_skewed_clock_tells_other_times_and_keeps_the_true_ones():
    bench = armed("skew:1000")
    bench.wait(10_000)
    assert bench.stat("t_us") == "10010000"
    bench.start()
    bench.wait(1000)
    assert bench.outs()[0]["from_us"] == 10_010_000
    assert zero_since(bench.record, bench.now_ns - 1000 * MS) == bench.now_ns - 400 * MS
