"""*Load* and *heavy load*: what the machine has to bear while time to zero is measured.

Load is one busy process a core and one writer of 20 MB/s with fsync; heavy load is two writers without a bound. *Awake* is
no load: on each core a process that gives way at once to everybody, so that the core never sleeps. (cyclictest holds cores
awake by /dev/cpu_dma_latency; a virtual core halts all the same.)
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

Load = Literal["none", "awake", "load", "heavy"]
BLOCK = 1_000_000
FILE_BLOCKS = 64  # a writer goes round in so many MB


@contextmanager
def under(load: Load) -> Iterator[None]:
    """The load, for as long as the block lasts; ended in every case."""
    with ExitStack() as stack:
        if load != "none":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nociloop-load-")))
            stack.enter_context(_processes(load, folder))
        yield


@contextmanager
def _processes(load: Load, folder: Path) -> Iterator[None]:
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "sim.load", *words],
            stdin=subprocess.DEVNULL,
            start_new_session=load == "awake",
        )
        for words in _commands(load, folder)
    ]
    try:
        time.sleep(0.5)
        if any(child.poll() is not None for child in children):
            raise RuntimeError("the load did not start")
        yield
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait(10.0)


def _commands(load: Load, folder: Path) -> list[list[str]]:
    if load == "awake":
        return [["awake", str(core)] for core in sorted(os.sched_getaffinity(0))]
    if load == "load":
        return [["write", str(folder / "0"), "20"], *(["spin"] for _ in range(os.cpu_count() or 1))]
    return [["write", str(folder / f"{n}"), "0"] for n in range(2)]


def _ends_with_its_parent(parent: int) -> bool:
    return os.getppid() != parent


def spin() -> None:
    """Keep a core busy."""
    parent = os.getppid()
    while not _ends_with_its_parent(parent):
        for _ in range(100_000):
            pass


def stay_awake(core: int) -> None:
    """Keep a core from sleeping, and from nothing else: the policy of an idle task, in a group of its own of the least
    weight (autogroup counts niceness by session), giving way at each turn."""
    parent = os.getppid()
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    try:
        Path("/proc/self/autogroup").write_text("19", encoding="ascii")
    except OSError:
        pass  # a system without autogroup counts the policy itself
    while not _ends_with_its_parent(parent):
        for _ in range(10_000):
            os.sched_yield()


def write(path: Path, mb_per_s: int) -> None:
    """Write and fsync, 1 MB at a time; at most `mb_per_s`, 0 for without a bound."""
    parent, block = os.getppid(), os.urandom(BLOCK)
    begun_s, blocks = time.monotonic(), 0
    with path.open("wb", buffering=0) as file:
        while not _ends_with_its_parent(parent):
            if blocks % FILE_BLOCKS == 0:
                file.seek(0)
            file.write(block)
            os.fsync(file.fileno())
            blocks += 1
            if mb_per_s:
                time.sleep(max(0.0, begun_s + blocks / mb_per_s - time.monotonic()))


if __name__ == "__main__":
    if sys.argv[1] == "spin":
        spin()
    elif sys.argv[1] == "awake":
        stay_awake(int(sys.argv[2]))
    else:
        write(Path(sys.argv[2]), int(sys.argv[3]))
