"""STOP from anyone, at any phase, whatever else goes on: never refused, never queued, always in the ledger."""

from __future__ import annotations

import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import msgspec
import pytest

from drivers.link import frame
from drivers.stimulation import Modality
from safety.events import StopPressed
from safety.messages import AskStatus, FireRequest, PhaseChanged
from safety.stop import press
from tests.system.interlock_rig import RAMP_MS, ROOT, SLACK_MS, WAIT_S, Rig, interlock_rig, together, until
from tests.system.played_controller import hold

pytestmark = pytest.mark.system

SESSIONS = 5  # own choice: enough for a median; the campaign counts hundreds
STOP_MS = 20  # promised: from a connection to `stop.sock`; `nociloop stop` from exec 300
COMMAND_MS = 300
NOCILOOP = Path(sys.executable).with_name("nociloop")


def pressed(rig: Rig) -> int:
    """Press STOP; its reply must be the sequence of a stop in the ledger."""
    sequence = press(rig.stop_sock)
    assert sequence is not None, "not confirmed"
    until(lambda: any(entry.seq == sequence for entry in rig.entries()), f"entry {sequence}")
    event = next(entry.event for entry in rig.entries() if entry.seq == sequence)
    assert event == StopPressed(source="stop.sock", ends=False)
    return sequence


def limit_ms(modality: Modality = "tacs") -> float:
    return STOP_MS + SLACK_MS + (RAMP_MS if modality == "tacs" else 0)


# At any phase


def test_a_connection_is_stop_at_any_phase() -> None:
    together(*(partial(_stop_in, phase) for phase in ("SAFE", "READY", "ARMED")))


def _stop_in(phase: str) -> None:
    with interlock_rig() as rig:
        if phase != "SAFE":
            rig.controller()
        if phase == "ARMED":
            rig.arm()
        assert rig.status().phase == phase
        first = pressed(rig)
        assert (rig.status().phase, rig.status().code) == ("TRIPPED", "ILK-001")
        assert not rig.act("arm").ok
        assert pressed(rig) > first  # and once more when it has tripped
        assert rig.status().code == "ILK-001"
        assert rig.ended_in_order() == 4
        assert rig.highest() == 0.0
        assert not rig.stop_sock.exists(), "a rig that has ended must not be found by `nociloop stop`"


def test_stop_while_output_is_on() -> None:
    together(lambda: _stop_the_output("tacs"), lambda: _stop_the_output("rtms"))


def _stop_the_output(modality: Modality) -> None:
    with interlock_rig(modality) as rig:
        controller = rig.running()
        since_ns = time.monotonic_ns()
        assert press(rig.stop_sock) is not None
        rig.zero_ms(since_ns, limit_ms(modality))
        controller.wait(lambda said: isinstance(said, PhaseChanged) and said.phase == "TRIPPED")
        rig.until_tripped("ILK-001")
        until(lambda: rig.act("reset").ok, "a reset")  # a named person alone leads out, and to SAFE only
        assert rig.interlock is not None
        assert rig.interlock.wait(WAIT_S) == 4
        rig.ended_in_order()
        rig.judged_ms(since_ns, limit_ms(modality))


def test_times_from_connection_to_command_and_to_zero() -> None:
    """The figures, over a few sessions on one device; all but the promise is printed only."""
    command_ms, zero_ms = [], []
    with interlock_rig() as rig:
        for session in range(SESSIONS):
            if session:
                rig.next_session()
            rig.running()
            since_ns = time.monotonic_ns()
            assert press(rig.stop_sock) is not None
            command_ms.append(rig.heard("STOP", since_ns))
            until(lambda: rig.status().phase == "TRIPPED", "TRIPPED")
            zero_ms.append(rig.zero_ms(since_ns, limit_ms()))
            rig.world.forget()
    for name, figures in (("STOP at the device", command_ms), ("zero", zero_ms)):
        print(f"\n{name}: p50 {statistics.median(figures):.1f} ms, max {max(figures):.1f} ms of {SESSIONS}")
    assert statistics.median(command_ms) <= STOP_MS


# By the command


def stop_command(rig: Rig, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [NOCILOOP, "stop", *arguments],
        env=rig.world.environment, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S,
    )  # fmt: skip


def test_the_command_stops_and_says_so() -> None:
    with interlock_rig() as rig:
        rig.running()
        since_ns = time.monotonic_ns()
        done = stop_command(rig)
        took_ms = rig.zero_ms(since_ns, COMMAND_MS + RAMP_MS + SLACK_MS)
        print(f"\n`nociloop stop`: zero {took_ms:.0f} ms from exec")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("demo: STOP taken, it goes to zero (ledger entry ")
        rig.ended_in_order()
        gone = stop_command(rig)
        assert (gone.returncode, gone.stdout.count("\n")) == (1, 1)
        assert gone.stdout.startswith("no rig found")


def test_the_command_stops_from_a_shell_without_the_environment(tmp_path: Path) -> None:
    """The rig's directory was named where it was started, and nowhere else; the places looked in are the test's own."""
    (tmp_path / "tmp").mkdir()
    moved = (
        "import sys; from pathlib import Path; from safety import rig; "
        f"rig.SITE_DIRECTORY, rig.USERS = Path({str(tmp_path / 'run')!r}), Path({str(tmp_path / 'user')!r}); "
        f"rig.SHARED_TMP = Path({str(tmp_path / 'tmp')!r}); "
    )
    with interlock_rig(start=False) as rig:
        rig.world.environment = dict(rig.world.environment) | {"NOCILOOP_RUNTIME_ALONE": ""}
        rig.starter = ("-c", moved + "from safety.start import main; sys.exit(main())")
        assert "ready" in rig.start(), rig.ready

        def stop() -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-c", moved + "from safety.stop import main; sys.exit(main([]))"]
            return subprocess.run(
                command, env={}, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S, check=False
            )

        rig.running()
        since_ns = time.monotonic_ns()
        done = stop()
        rig.zero_ms(since_ns, COMMAND_MS + RAMP_MS + SLACK_MS)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("demo: STOP taken, it goes to zero (ledger entry ")
        rig.ended_in_order()
        assert list((tmp_path / "tmp").glob("*/.noted/*")) == []
        gone = stop()
        assert (gone.returncode, gone.stdout.count("\n")) == (1, 1)
        assert gone.stdout.startswith(f"no rig found in {tmp_path / 'run'}, {tmp_path / 'tmp'}/nociloop-")


def test_a_rig_that_hangs_does_not_keep_the_command_from_the_next() -> None:
    with interlock_rig() as rig, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung:
        (rig.directory.parent / "aaa").mkdir()  # comes first in any order
        hung.bind(str(rig.directory.parent / "aaa" / "stop.sock"))
        hung.listen(1)
        rig.running()
        since_ns = time.monotonic_ns()
        done = stop_command(rig, "--json")
        rig.zero_ms(since_ns, COMMAND_MS + RAMP_MS + SLACK_MS)
        assert done.returncode == 1
        said = {each["rig"]: each["confirmed"] for each in msgspec.json.decode(done.stdout)}
        assert said == {"aaa": False, "demo": True}


# Against resistance


def test_a_second_stop_cuts() -> None:
    with interlock_rig() as rig:
        rig.running()
        since_ns = time.monotonic_ns()
        assert press(rig.stop_sock) is not None
        assert press(rig.stop_sock) is not None
        rig.heard("STOP how=cut", since_ns)
        took_ms = rig.zero_ms(since_ns, RAMP_MS - 10)
        print(f"\ntwo STOPs: zero {took_ms:.1f} ms")
        rig.until_tripped("ILK-001")
        rig.ended_in_order()


def test_two_hundred_connections_at_once() -> None:
    with interlock_rig() as rig:
        rig.running()
        since_ns = time.monotonic_ns()
        crowd = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(200)]
        try:
            for each in crowd:
                each.settimeout(WAIT_S)
                each.connect(str(rig.stop_sock))
            replies = [each.recv(64) for each in crowd]
        finally:
            for each in crowd:
                each.close()
        rig.zero_ms(since_ns, limit_ms())
        sequences = {msgspec.json.decode(reply)["seq"] for reply in replies}
        assert len(sequences) == 200
        rig.ended_in_order()
        stops = {entry.seq for entry in rig.entries() if isinstance(entry.event, StopPressed)}
        assert sequences <= stops


def test_no_descriptor_left() -> None:
    """A spare is kept for the accept, and taken again after each."""
    with interlock_rig() as rig:
        rig.running()
        used = {int(entry.name) for entry in Path(f"/proc/{rig.pid}/fd").iterdir()}
        free = next(number for number in range(1024) if number not in used)
        soft, hard = resource.prlimit(rig.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(rig.pid, resource.RLIMIT_NOFILE, (free, hard))
        persons, sequences = [], []
        since_ns = time.monotonic_ns()
        for _ in range(5):
            sequences.append(press(rig.stop_sock))
            persons.append(
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            )  # whoever takes what STOP gave back
            persons[-1].connect(str(rig.directory / "acts.sock"))
        assert None not in sequences and len(set(sequences)) == 5
        rig.zero_ms(since_ns, limit_ms())
        resource.prlimit(rig.pid, resource.RLIMIT_NOFILE, (soft, hard))
        for person in persons:
            person.close()
        assert rig.ended_in_order() == 4


def flood(rig: Rig, frames: bytes, path: str, ended: threading.Event) -> threading.Thread:
    """Write these frames to a socket of the rig without end, and read nothing."""

    def write() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(0.2)
            line.connect(str(rig.directory / path))
            while not ended.is_set():
                try:
                    line.sendall(frames)
                except TimeoutError:
                    continue  # it reads slower than this is written
                except OSError:
                    return  # it would hear no more of this

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def test_stop_while_a_person_s_socket_is_flooded() -> None:
    ended = threading.Event()
    with interlock_rig() as rig:
        rig.running()
        thread = flood(rig, frame(AskStatus()) * 4000, "acts.sock", ended)
        try:
            until(lambda: rig.status().phase == "ARMED", "an answer in the flood")
            since_ns = time.monotonic_ns()
            assert press(rig.stop_sock) is not None
            command_ms = rig.heard("STOP", since_ns)
            rig.zero_ms(since_ns, limit_ms())
        finally:
            ended.set()
            thread.join(WAIT_S)
        print(f"\nSTOP at the device within a flood of a person: {command_ms:.1f} ms")
        rig.ended_in_order()


def test_stop_while_the_controller_floods() -> None:
    """What it asks costs a verdict and an entry each; STOP waits for a few of them at most."""
    with interlock_rig() as rig:
        controller = rig.running()
        requests = [
            frame(FireRequest(id=7, onset_at_ns=0, evidence=controller.evidence())) for _ in range(1000)
        ]
        controller.send_raw(b"".join(requests))
        since_ns = time.monotonic_ns()
        assert press(rig.stop_sock) is not None
        command_ms = rig.heard("STOP", since_ns)
        rig.zero_ms(since_ns, limit_ms())
        print(f"\nSTOP at the device within a flood of the controller: {command_ms:.1f} ms")
        assert command_ms <= STOP_MS + SLACK_MS / 2
        rig.ended_in_order()


def test_stop_while_the_device_host_hangs() -> None:
    """The relay is the second way to zero."""
    with interlock_rig() as rig:
        rig.running()
        os.kill(rig.host, signal.SIGSTOP)
        since_ns = time.monotonic_ns()
        assert press(rig.stop_sock) is not None
        took_ms = rig.zero_ms(since_ns, 150 + RAMP_MS + SLACK_MS)
        print(f"\nSTOP with a hung host: zero {took_ms:.1f} ms")
        os.kill(rig.host, signal.SIGCONT)
        rig.ended_in_order()


def test_a_signal_is_stop_and_the_end() -> None:
    together(*(partial(_signalled, number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)))


def _signalled(number: signal.Signals) -> None:
    with interlock_rig() as rig:
        controller = rig.running()
        since_ns = time.monotonic_ns()
        os.kill(rig.pid, number)
        rig.zero_ms(since_ns, limit_ms())
        assert rig.interlock is not None
        assert rig.interlock.wait(WAIT_S) == 4
        assert rig.ended_in_order() == 4
        rig.nobody_left()
        assert rig.trip() == "ILK-003"
        events = [entry.event for entry in rig.entries()]
        assert StopPressed(source=f"signal {number.name}", ends=True) in events
        assert controller.gone.wait(WAIT_S)


def test_a_controller_that_goes_on_asking_after_stop_gets_nothing() -> None:
    with interlock_rig() as rig:
        controller = rig.running()
        since_ns = time.monotonic_ns()
        assert press(rig.stop_sock) is not None
        rig.zero_ms(since_ns, limit_ms())
        for _ in range(20):
            controller.ask(hold(0.1))
        rig.judged_ms(since_ns, limit_ms())
        rig.ended_in_order()
