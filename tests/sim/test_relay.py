"""The simulated watchdog relay: silence opens it, nothing but a pet closes it."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.record import Closed, Contact, Opened, load
from sim.relay import Relay, RelayFault
from tests.sim.open_device_bench import MS
from tests.sim.processes import DEADLINE_S, run_to_end, running, tcp, until

pytestmark = pytest.mark.system

P, X = b"PX"


def relay(fault: RelayFault | None = None) -> Relay:
    return Relay(silence_ns=100 * MS, ramp_ns=50 * MS, fault=fault)


def test_it_is_open_until_it_is_petted_and_opens_on_command():
    it = relay()
    assert it.feedback == b"O" and it.next_ns() is None
    assert it.hear(P, 10) == b"C" and it.closed
    assert it.hear(X, 20) == b"O" and not it.closed and it.next_ns() is None
    assert it.hear(X, 30) == b"O"
    assert it.entries() == [Closed(t_ns=10, cause="pet"), Opened(t_ns=20, cause="command")]


def test_it_opens_after_silence_and_ramp_at_the_time_that_was_due():
    it = relay()
    it.hear(P, 0)
    it.hear(P, 100 * MS)
    assert it.next_ns() == 250 * MS
    assert not it.advance(250 * MS - 1) and it.closed
    assert it.advance(900 * MS) and not it.closed
    assert it.entries()[-1] == Opened(t_ns=250 * MS, cause="silence")
    assert not it.advance(901 * MS)


def test_the_end_of_the_interlock_leaves_the_ramp_and_no_more():
    it = relay()
    it.hang_up(0)
    assert it.next_ns() is None
    it.hear(P, 0)
    it.hang_up(20 * MS)
    assert it.next_ns() == 70 * MS
    it.hear(P, 0)
    it.hang_up(140 * MS)
    assert it.next_ns() == 150 * MS
    it.advance(150 * MS)
    assert not it.closed


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 300)), max_size=30))
def test_it_is_never_closed_longer_than_silence_and_ramp_after_a_pet(heard: list[tuple[int, int]]):
    it = relay()
    now_ns, petted_ns = 0, None
    for byte, after_ms in heard:
        now_ns += after_ms * MS
        it.advance(now_ns)
        fresh = petted_ns is not None and now_ns < petted_ns + 150 * MS
        assert it.closed == fresh
        answer = it.hear(byte, now_ns)
        petted_ns = now_ns if byte == P else None
        assert answer == (b"C" if byte == P else b"O")


def test_faults():
    stuck = relay("stuck_closed")
    assert stuck.hear(P, 0) == b"C" and stuck.hear(X, 1) == b"C"
    stuck.hear(P, 2)
    stuck.advance(1000 * MS)
    assert stuck.closed and stuck.feedback == b"C"
    welded = relay("stuck_open")
    assert welded.hear(P, 0) == b"O" and not welded.closed
    deaf = relay("deaf")
    assert deaf.hear(P, 0) == b"" and not deaf.closed


def test_faults_of_the_feedback():
    inverted = relay("inverted")
    assert inverted.hear(P, 0) == b"O" and inverted.closed and inverted.hear(X, 1) == b"C"
    twice = relay("twice")
    assert twice.hear(P, 0) == b"CC" and twice.hear(X, 1) == b"OO"
    liar = relay("lies_once")
    assert liar.hear(X, 0) == b"C" and not liar.closed and liar.hear(X, 1) == b"O"
    liar.set_fault("lies_once", 2)
    assert liar.hear(P, 3) == b"O" and liar.closed and liar.hear(P, 4) == b"C"


def test_late_answers_come_late_and_in_order():
    for fault, after_ns in (("late", 300 * MS), ("slow", 90 * MS)):
        it = relay(fault)
        assert it.hear(P, 0) == b"" and it.closed and it.hear(X, 5) == b"" and not it.closed
        assert it.next_ns() == after_ns
        assert it.answers(after_ns - 1) == b""
        assert it.answers(after_ns) == b"C" and it.next_ns() == after_ns + 5
        assert it.answers(after_ns + 5) == b"O" and it.next_ns() is None
    petted = relay("slow")
    petted.hear(P, 0)
    assert petted.next_ns() == 90 * MS


def test_faults_in_mid_run():
    it = relay()
    it.hear(P, 0)
    it.set_fault("deaf", 10)
    assert it.hear(P, 100 * MS) == b""
    assert it.advance(150 * MS) and not it.closed
    it.set_fault(None, 151 * MS)
    it.hear(P, 200 * MS)
    it.set_fault("stuck_closed", 210 * MS)
    it.hear(X, 220 * MS)
    assert it.closed
    it.set_fault(None, 230 * MS)
    assert not it.closed
    it.hear(P, 300 * MS)
    it.set_fault("stuck_open", 310 * MS)
    assert not it.closed and it.hear(P, 320 * MS) == b"O"


def test_the_process_between_interlock_and_device(tmp_path: Path):
    contact, listen, record = tmp_path / "contact", tmp_path / "relay", tmp_path / "relay.jsonl"
    truth = tmp_path / "device.jsonl"
    arguments = ("--listen", listen, "--contact", contact, "--record", record, "--ramp-ms", "20")
    with (
        running("sim.relay", *arguments) as process,
        running(
            "sim.devices.open_device", "--tcp", "127.0.0.1:0", "--record", truth, "--contact", contact
        ) as device,
        socket.socket(socket.AF_UNIX) as interlock,
        socket.socket(socket.AF_UNIX) as second,
    ):
        assert process.ready == {"listen": str(listen)}
        client, host = tcp(device.ready["endpoint"])
        interlock.settimeout(DEADLINE_S)
        interlock.connect(str(listen))
        second.settimeout(DEADLINE_S)
        interlock.send(b"P")
        assert interlock.recv(1) == b"C"
        second.connect(str(listen))
        assert second.recv(1) == b""
        petted_ns = time.monotonic_ns()
        interlock.send(b"P")
        assert interlock.recv(1) == b"C"
        assert interlock.recv(1) == b"O"  # unasked, out of silence
        silent_ns = time.monotonic_ns() - petted_ns
        assert 120 * MS <= silent_ns < 400 * MS
        interlock.send(b"P")
        assert interlock.recv(1) == b"C"
        until(lambda: "en=1" in host.say("STAT"))
        process.popen.kill()
        until(lambda: "en=0" in host.say("STAT"))
        client.close()
        assert device.end() == 0
    moves = [e for e in load(record).entries if isinstance(e, Opened | Closed)]
    assert [(type(e).__name__, e.cause) for e in moves][:2] == [("Closed", "pet"), ("Opened", "silence")]
    assert [e.closed for e in load(truth).entries if isinstance(e, Contact)][-2:] == [True, False]


def test_the_process_finds_a_socket_in_use(tmp_path: Path):
    listen = tmp_path / "relay"
    arguments = ["--listen", str(listen), "--contact", str(tmp_path / "c"), "--record", str(tmp_path / "r")]
    with running("sim.relay", *arguments) as process:
        done = run_to_end("sim.relay", *arguments, cwd=tmp_path)
        assert done.returncode == 2 and "another process listens" in done.stderr
        process.popen.kill()
        process.popen.wait(5.0)
    with running("sim.relay", *arguments) as process:  # what the killed one left behind is no obstacle
        assert process.end() == 0
    assert not listen.exists()
