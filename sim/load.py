"""*Load* and *heavy load*: what the machine has to bear while time to zero is measured.

Load is one busy process a core and one writer of 20 MB/s with fsync; heavy load is two writers without a bound.
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

Load = Literal["none", "load", "heavy"]
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
    commands = [["write", str(folder / f"{n}"), "0"] for n in range(2)]
    if load == "load":
        commands = [["write", str(folder / "0"), "20"], *(["spin"] for _ in range(os.cpu_count() or 1))]
    children = [
        subprocess.Popen([sys.executable, "-m", "sim.load", *words], stdin=subprocess.DEVNULL)
        for words in commands
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


def _ends_with_its_parent(parent: int) -> bool:
    return os.getppid() != parent


def spin() -> None:
    """Keep a core busy."""
    parent = os.getppid()
    while not _ends_with_its_parent(parent):
        for _ in range(100_000):
            pass


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
    else:
        write(Path(sys.argv[2]), int(sys.argv[3]))
