"""What every simulated process shares: one thread on a selector, absolute deadlines, a clean end.

It ends on SIGTERM, SIGINT or, where asked, when its standard input ends: so no orphan is left behind by a
parent that was killed. Errors of use are one line on standard error and status 2.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from sim.clock import Clock

_SUN_PATH_MAX = 107  # bytes of a Unix socket's path on Linux, unix(7)
_STDIN = 0
_STDIN_LINE_MAX = 256
_IDLE_S = 60.0  # a loop with nothing due looks up once a minute; own choice


class UseError(Exception):
    """Something the user gave is wrong: one line."""


class Shell:
    """The loop. Callbacks run in it; whatever they schedule is asked for again by `next_ns`."""

    def __init__(self, *, clock: Clock, stdin: bool, on_line: Callable[[str], None]) -> None:
        self.clock = clock
        self._on_line = on_line
        self._typed = bytearray()
        self._ended = False
        # A thread that writes the record may keep the interpreter this long, not the default 5 ms.
        sys.setswitchinterval(0.0002)
        # select(2) waits to the µs; epoll would round each wait up to the ms.
        self._selector = selectors.SelectSelector()
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)
        self.watch(self._woken, self.end)
        if stdin:
            try:
                os.fstat(_STDIN)
            except OSError as error:
                raise UseError("--die-with-stdin: there is no standard input, expected a pipe") from error
            self.watch(_STDIN, self._read_stdin)

    def watch(self, source: socket.socket | int, on_readable: Callable[[], None]) -> None:
        """Call back whenever `source` may be read."""
        self._selector.register(source, selectors.EVENT_READ, on_readable)

    def unwatch(self, source: socket.socket | int) -> None:
        """Stop watching."""
        self._selector.unregister(source)

    def end(self) -> None:
        """Leave `run` after this turn."""
        self._ended = True

    def run(self, next_ns: Callable[[], int | None], step: Callable[[], None]) -> None:
        """Until ended: wait for a source or the next deadline, then `step`."""
        while not self._ended:
            due_ns = next_ns()
            wait_s = _IDLE_S if due_ns is None else max(0.0, (due_ns - self.clock.now_ns()) / 1e9)
            for key, _ in self._selector.select(min(wait_s, _IDLE_S)):
                on_readable: Callable[[], None] = key.data
                # An earlier callback of this turn may have closed what this one would read.
                if key.fd in self._selector.get_map():
                    on_readable()
            step()

    def close(self) -> None:
        """Release what the loop itself holds; the last thing a process does."""
        signal.set_wakeup_fd(-1)
        self._selector.close()
        self._woken.close()
        self._wake.close()

    def _read_stdin(self) -> None:
        """The parent's end is gone, or it types lines."""
        data = os.read(_STDIN, 4096)
        if not data:
            self.end()
            return
        self._typed += data
        *lines, rest = self._typed.split(b"\n")
        self._typed = bytearray(rest[-_STDIN_LINE_MAX:])
        for line in lines:
            self._on_line(line.decode("utf-8", "replace").strip())


def listen_unix(path: Path) -> socket.socket:
    """A listening Unix stream socket; one that a killed process left behind is replaced."""
    _check_path(path)
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(1.0)
                if probe.connect_ex(os.fspath(path)) == 0:
                    raise UseError(f"{path}: another process listens there, expected none; end it first")
            path.unlink()
    except FileNotFoundError:
        pass  # the usual case
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.setblocking(False)
    try:
        server.bind(os.fspath(path))
    except OSError as error:
        server.close()
        raise UseError(
            f"{path}: cannot listen there ({error.strerror}); give a path that can be made"
        ) from error
    server.listen(1)
    return server


def connect_unix(path: Path) -> socket.socket | None:
    """A connected Unix stream socket, or None while nobody listens."""
    _check_path(path)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.setblocking(False)
    if client.connect_ex(os.fspath(path)) != 0:
        client.close()
        return None
    return client


def accept(server: socket.socket, *, full: bool) -> socket.socket | None:
    """The client that waits; None if it left again, or if there is one already: then it is turned away."""
    try:
        client, _ = server.accept()
    except OSError:
        return None
    if full:
        client.close()
        return None
    client.setblocking(False)
    return client


def receive(client: socket.socket) -> bytes | None:
    """What arrived; empty at the end, however it came about; None if nothing did after all."""
    try:
        return client.recv(4096)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def say_ready(facts: dict[str, str | int]) -> None:
    """The one line on standard output that says where to find us."""
    sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
    sys.stdout.flush()


def complain(text: str) -> int:
    """One line on standard error; the exit status for wrong use."""
    print(text, file=sys.stderr)
    return 2


def _check_path(path: Path) -> None:
    """A path that a Unix socket can have."""
    if len(os.fsencode(path)) > _SUN_PATH_MAX:
        raise UseError(f"{path}: longer than {_SUN_PATH_MAX} bytes, expected a shorter socket path")
