"""The parts of a simulated world: each a process of its own, started, waited for, and ended with its context."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from controller.running import NotStarted

READY_S = 15.0


@contextmanager
def part(module: str, *arguments: str) -> Iterator[dict[str, object]]:
    """A part of the world: started, waited for until it says that it is ready, ended with the context."""
    child = subprocess.Popen(
        [sys.executable, "-m", module, *arguments, "--die-with-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield ready_line(child, module)
    finally:
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        try:
            child.wait(2.0)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def ready_line(child: subprocess.Popen[bytes], module: str) -> dict[str, object]:
    if child.stdout is None:
        raise NotStarted((f"{module}: no output",), 70)
    readable, _, _ = select.select([child.stdout], [], [], READY_S)
    line = child.stdout.readline() if readable else b""
    try:
        said = json.loads(line)
    except ValueError:
        raise NotStarted((f"{module}: did not start within {READY_S:g} s",), 3) from None
    if not isinstance(said, dict):
        raise NotStarted((f"{module}: said {line[:80]!r}, expected its ready line",), 3)
    return said
