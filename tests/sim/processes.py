"""Starts a simulated process for a test and makes sure that none is left behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bounded import line_of
from tests.sim.open_device_bench import opened, sealed

DEADLINE_S = 5.0


class Process:
    """One running simulated process; `ready` is its first line."""

    def __init__(self, module: str, arguments: list[str]) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments, "--die-with-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.popen.stdin is not None and self.popen.stdout is not None
        self.ready: dict[str, str] = json.loads(line_of(self.popen.stdout))

    def type(self, line: str) -> None:
        """A line on its standard input."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(line.encode() + b"\n")
        self.popen.stdin.flush()

    def end(self) -> int:
        """End its standard input; its exit status."""
        assert self.popen.stdin is not None and self.popen.stdout is not None
        self.popen.stdin.close()
        self.popen.stdout.close()
        return self.popen.wait(DEADLINE_S)


@contextmanager
def running(module: str, *arguments: str | Path) -> Iterator[Process]:
    """A process for the length of a test."""
    process = Process(module, [str(argument) for argument in arguments])
    try:
        yield process
    finally:
        process.popen.kill()
        process.popen.wait(DEADLINE_S)
        for pipe in (process.popen.stdin, process.popen.stdout):
            if pipe is not None:
                pipe.close()


def run_to_end(module: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A process that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds, no longer than the deadline."""
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, "deadline passed"
        time.sleep(0.002)


class Talker:
    """A host's end of the line: send a command, read lines until its answer."""

    def __init__(self, read: Callable[[], bytes], write: Callable[[bytes], object]) -> None:
        self._read, self._write = read, write
        self._data = b""
        self._seq = 0
        self.told: list[str] = []

    def say(self, text: str) -> str:
        """The answer to a command; events go to `told`."""
        self._seq += 1
        self._write(sealed(f">{self._seq} {text}") + b"\n")
        while True:
            line = self.line()
            if line.startswith(b"<%d " % self._seq):
                return opened(line)
            self.told.append(opened(line))

    def line(self) -> bytes:
        """The next line."""
        while b"\n" not in self._data:
            data = self._read()
            if not data:
                raise EOFError("the other end is gone")
            self._data += data
        line, _, self._data = self._data.partition(b"\n")
        return line + b"\n"


def tcp(endpoint: str) -> tuple[socket.socket, Talker]:
    """Connect to `tcp:HOST:PORT`."""
    _, host, port = endpoint.split(":")
    client = socket.create_connection((host, int(port)), DEADLINE_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client, Talker(lambda: client.recv(4096), client.sendall)
