"""The interlock as a process: what it costs, what it never does, when it refuses to start, and a disk that is full."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from safety.messages import FromInterlock, Permit, Refusal
from tests.system.interlock_rig import (
    RAMP_MS,
    SLACK_MS,
    WAIT_S,
    Rig,
    alive,
    interlock_rig,
    until,
)
from tests.system.played_controller import hold
from tests.system.refusals import said_in_words

pytestmark = pytest.mark.system

START_S, START_SLACK_S = 0.3, 0.5  # the promise, and what a machine that others share may add
RSS_KB = 40 * 1024
REQUESTS = 2000
GROWTH_KB = 1024


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def descriptors(pid: int, thread: int = 0) -> list[str]:
    return sorted(os.readlink(entry) for entry in Path(f"/proc/{pid}/task/{thread or pid}/fd").iterdir())


def other_threads(pid: int) -> list[int]:
    return [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir() if int(each.name) != pid]


# What it costs


def test_start_memory_and_descriptors() -> None:
    """Small and soon there; two thousand requests later it is as small."""
    with interlock_rig() as rig:
        controller = rig.running()
        assert rig.start_s <= START_S + START_SLACK_S
        controller.let_go()
        _ask(rig, 300)  # what is allocated once is allocated now
        before_kb, open_before = resident_kb(rig.pid), descriptors(rig.pid)
        permits = _ask(rig, REQUESTS)
        grown_kb = resident_kb(rig.pid) - before_kb
        print(f"\nstart {rig.start_s:.3f} s, {before_kb / 1024:.1f} MB, +{grown_kb} kB after {REQUESTS} requests,"
              f" {permits} permitted")  # fmt: skip
        assert before_kb <= RSS_KB and grown_kb <= GROWTH_KB
        assert descriptors(rig.pid) == open_before
        (ledgers,) = other_threads(rig.pid)
        held = descriptors(
            rig.pid, ledgers
        )  # a link among them would outlive a SIGKILL until the disk has answered
        assert any(each.endswith("/ledger.jsonl") for each in held)
        assert sum(each.startswith("socket:") for each in open_before) >= 5
        assert not any(each.startswith("socket:") for each in held), held
        assert rig.ended_in_order() == 4
        rig.nobody_left()


def _ask(rig: Rig, count: int) -> int:
    """Ask by tens; how many were permitted. The hold never lapses meanwhile."""
    controller = rig.controllers[0]
    before = len(controller.all_of(Permit))
    for _ in range(count // 10):
        last = [controller.send_request(hold(0.1)) for _ in range(10)][-1]
        controller.wait(partial(_answers, last))
    return len(controller.all_of(Permit)) - before


def _answers(request_id: int, said: FromInterlock) -> bool:
    return isinstance(said, Permit | Refusal) and said.id == request_id


# What it never does

# A line of strace -f -y: the thread, the call, and the paths of its descriptors in <>.
CALL = re.compile(r"^(?P<tid>\d+) +(?:<\.\.\. )?(?P<name>\w+)(?P<rest>.*)$")
FILE_CALLS = re.compile(
    r"(open|creat|.?stat|stat|newfstat|access|faccess|readlink|getdents|rename|unlink|mkdir|fsync|fdatasync|sync|p(read|write)|"
    r"lseek|exec).*"
)


@contextmanager
def traced(pid: int, output: Path) -> Iterator[None]:
    """strace on every thread of a process, for as long as the block lasts."""
    tracer = subprocess.Popen(
        ["strace", "-f", "-y", "-o", str(output), "-p", str(pid)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )  # fmt: skip
    assert tracer.stderr is not None
    try:
        attached = tracer.stderr.readline()
        assert b"attached" in attached, attached
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(WAIT_S)
        tracer.stderr.close()


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_the_deciding_thread_touches_no_file() -> None:
    """Entries are written by the ledger's thread alone: a write was seen to take 190 ms under load."""
    with interlock_rig() as rig:
        rig.running()
        written = len(rig.said())
        with traced(rig.pid, rig.folder / "strace"):
            until(lambda: len(rig.said()) > written + 20_000, "a second's entries")
        by_thread: dict[int, Counter[str]] = {}
        on_files: dict[int, set[str]] = {}
        for line in (rig.folder / "strace").read_text().splitlines():
            found = CALL.match(line)
            if found is None:
                continue
            tid, name = int(found["tid"]), found["name"]
            by_thread.setdefault(tid, Counter())[name] += 1
            if FILE_CALLS.match(name) or re.match(r"\(\d+</", found["rest"]):
                on_files.setdefault(tid, set()).add(line)
        assert by_thread[rig.pid]["epoll_wait"] > 10, by_thread
        assert on_files.get(rig.pid, set()) == set()
        assert any("ledger.jsonl" in line for lines in on_files.values() for line in lines), (
            "paths are not seen"
        )
        others = [tid for tid in by_thread if tid != rig.pid]
        assert len(others) == 1 and by_thread[others[0]]["fdatasync"] > 0, by_thread
        print(f"\ndeciding thread: {dict(by_thread[rig.pid])}\nledger's thread: {dict(by_thread[others[0]])}")
        assert rig.status().phase == "ARMED"
        assert rig.ended_in_order() == 4


# When it refuses to start


def refused(rig: Rig, *more: str, limits: Path | None = None) -> list[str]:
    """The lines of a refusal; nothing of it is left."""
    said = rig.start(*more, limits=limits)
    assert set(said) == {"refused"}, said
    assert rig.interlock is not None and rig.interlock.stdout is not None
    assert rig.interlock.wait(WAIT_S) == 3
    assert rig.interlock.stdout.read() == b""
    rig.interlock.stdout.close()
    rig.nobody_left()
    assert not list(rig.folder.glob("rt/*/*.sock"))
    lines = said["refused"]
    assert isinstance(lines, list) and all(isinstance(line, str) and "\n" not in line for line in lines)
    said_in_words(rig, [str(line) for line in lines])
    return [str(line) for line in lines]


def test_what_it_refuses_to_start_with() -> None:
    with interlock_rig(start=False) as rig:
        missing = rig.folder / "none.toml"
        assert refused(rig, limits=missing) == [
            f"{missing}: No such file or directory; give the limits file of the responsible person"
        ]
        wrong = rig.folder / "wrong.toml"
        text = rig.limits.read_text()
        wrong.write_text(
            text.replace("silence_ms = 100", "silence_ms = 9").replace("host_ms = 100", "host_ms = nan")
        )
        lines = refused(rig, limits=wrong)
        assert len(lines) == 2 and "silence_ms" in lines[0] and "host_ms" in lines[1]

        text = rig.limits.read_text()
        unplugged = rig.folder / "unplugged.toml"
        unplugged.write_text(text.replace(str(rig.folder / "relay"), str(rig.folder / "relay-none")))
        (line,) = refused(rig, limits=unplugged)
        assert line.startswith("relay at unix:") and "No such file" in line and not rig.ledger.exists()

        rig.ledger.write_bytes(b"")
        (line,) = refused(rig)
        assert line == f"{rig.ledger}: File exists; expected a run folder of this session's own"
        rig.ledger.unlink()
        home, rig.run_dir = rig.run_dir, rig.limits
        (line,) = refused(rig)
        assert "Not a directory" in line
        rig.run_dir = home
        assert "ready" in rig.start()  # none of it stands in the way of the next
        assert rig.end() == 0


def test_a_runtime_directory_that_is_not_ours_alone_is_refused() -> None:
    with interlock_rig(start=False) as rig:
        runtime = rig.directory.parent
        runtime.mkdir()
        runtime.chmod(0o777)
        (line,) = refused(rig)
        assert line == f"{runtime}: expected a directory of yours that nobody else may write; remove it"
        runtime.chmod(0o700)
        if os.getuid() == 0:
            os.chown(runtime, 65_534, 65_534)
            assert refused(rig) == [line]
            os.chown(runtime, 0, 0)
        (runtime / "demo").symlink_to(rig.folder)
        (line,) = refused(rig)
        assert line.startswith(f"{runtime}/demo: expected a directory of yours")
        (runtime / "demo").unlink()
        rig.world.environment = dict(rig.world.environment) | {
            "NOCILOOP_RUNTIME_DIR": f"{runtime}/{'x' * 100}"
        }
        (line,) = refused(rig)
        assert "107 bytes" in line and "NOCILOOP_RUNTIME_DIR" in line


def test_a_rig_a_device_and_a_participant_have_one_session_at_a_time() -> None:
    with interlock_rig() as rig:
        controller = rig.running()
        other = rig.folder / "other.toml"
        other.write_text(rig.limits.read_text().replace('rig = "demo"', 'rig = "other"'))
        elsewhere = rig.folder / "elsewhere.toml"
        elsewhere.write_text(other.read_text().replace(rig.world.endpoint, "tcp:127.0.0.1:9"))
        device = f"device {rig.world.endpoint}: found it held by rig demo, expected it free; end that session"
        for limits, expected in (
            (rig.limits, "rig demo is in use by another session"),
            (other, device),
            (elsewhere, "participant P001 has a session already"),
        ):
            second = Rig(rig.folder, "tacs", rig.world, limits, rig.folder / "second")
            lines = second.start()["refused"]
            assert isinstance(lines, list) and len(lines) == 1 and str(lines[0]).startswith(expected), lines
            assert second.interlock is not None and second.interlock.stdout is not None
            assert second.interlock.wait(WAIT_S) == 3
            second.interlock.stdout.close()
        # The session that runs has not noticed.
        assert rig.status().phase == "ARMED" and not controller.gone.is_set()
        # A hold that it renews by itself may be under way at this very instant (ILK-302).
        until(lambda: isinstance(controller.ask(hold(0.1)), Permit), "a permit")
        assert rig.ended_in_order() == 4


def test_the_sockets_of_a_killed_interlock_are_taken_over() -> None:
    with interlock_rig() as rig:
        assert rig.interlock is not None
        rig.interlock.kill()
        rig.interlock.wait(WAIT_S)
        until(lambda: not alive(rig.host), "the device host to end")
        assert rig.stop_sock.exists()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line, pytest.raises(ConnectionRefusedError):
            line.connect(str(rig.stop_sock))
        rig.run_dir = rig.folder / "next"
        rig.run_dir.mkdir()
        assert "ready" in rig.start()
        rig.running()
        assert rig.ended_in_order() == 4


# A disk that is full


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    path = folder / "disk"
    path.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(path)], check=True, timeout=20
    )
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True, timeout=20)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_a_disk_that_fills_up_trips_before_it_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path, 60) as disk, interlock_rig(run_dir=disk) as rig:
        rig.running()
        (disk / "filler").write_bytes(bytes(20_000_000))
        since_ns = time.monotonic_ns()
        rig.zero_ms(since_ns, 1000 + RAMP_MS + 2 * SLACK_MS)  # it looks once a second
        rig.until_tripped("ILK-233")
        assert rig.ended_in_order() == 4  # what is left of the disk holds the end


def test_a_ledger_that_cannot_be_written_trips_at_once() -> None:
    with interlock_rig() as rig:
        rig.running()
        size = rig.ledger.stat().st_size
        since_ns = time.monotonic_ns()
        _, hard = resource.prlimit(rig.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(rig.pid, resource.RLIMIT_FSIZE, (size + 100, hard))
        rig.zero_ms(since_ns, 250 + RAMP_MS + SLACK_MS)
        assert rig.status().code == "ILK-232"
        assert not rig.act("arm").ok
        assert rig.end() == 4
        verdict = rig.verdict()
        assert verdict.chain and verdict.execution == "same" and not verdict.closed
        assert "Traceback" not in rig.errors()
        rig.nobody_left()


def test_a_limits_file_that_changes_trips() -> None:
    """It is hashed once a second, also while the disk has no rest."""
    with interlock_rig() as rig:
        rig.running()
        since_ns = time.monotonic_ns()
        with rig.limits.open("a") as limits:
            limits.write("# a word more\n")
        rig.zero_ms(since_ns, 1000 + RAMP_MS + 2 * SLACK_MS)
        rig.until_tripped("ILK-234")
        assert rig.ended_in_order() == 4
