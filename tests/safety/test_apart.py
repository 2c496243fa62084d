"""A thread's own descriptors: closed where it was told to, kept otherwise, and untouched where the system cannot."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from safety.apart import let_sockets_go

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descriptors of a thread are Linux's")


@contextmanager
def a_thread_apart() -> Iterator[Path]:
    """Where the descriptors of a thread that has let its sockets go can be seen while it lives."""
    told: list[tuple[bool, int]] = []
    begun, over = threading.Event(), threading.Event()

    def run() -> None:
        told.append((let_sockets_go(), threading.get_native_id()))
        begun.set()
        over.wait(30.0)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert begun.wait(5.0)
    could, number = told[0]
    assert could
    try:
        yield Path(f"/proc/self/task/{number}/fd")
    finally:
        over.set()
        thread.join(5.0)


def test_sockets_are_closed_in_the_thread_and_open_outside_of_it():
    pairs = [socket.socketpair() for _ in range(3)]
    spare = os.dup(pairs[0][0].fileno())
    with a_thread_apart() as seen:
        held = {int(each.name) for each in seen.iterdir()}
        assert not held & {spare, *(each.fileno() for pair in pairs for each in pair)}
        os.close(spare)
        for ours, theirs in pairs:
            ours.send(b"?")
            assert theirs.recv(1) == b"?"
            theirs.settimeout(5.0)
            ours.close()  # the last there is, though the thread lives on
            assert theirs.recv(1) == b""
            theirs.close()


def test_what_is_no_socket_stays_open_in_the_thread():
    reads, writes = os.pipe()
    with a_thread_apart() as seen:
        assert {reads, writes} <= {int(each.name) for each in seen.iterdir()}
        os.close(writes)
        os.set_blocking(reads, False)
        with pytest.raises(BlockingIOError):  # the thread's own copy keeps the pipe open
            os.read(reads, 1)
    os.set_blocking(reads, True)  # a thread is joined a moment before its descriptors are closed
    assert os.read(reads, 1) == b""
    os.close(reads)


def says_no(*_: int) -> int:
    return -1


def unseen(_: str) -> list[str]:
    raise FileNotFoundError(2, "no such file", "/proc/self/fd")


@pytest.mark.parametrize(
    ("what", "where", "instead"),
    [
        ("CDLL", ctypes, lambda _: SimpleNamespace()),
        ("CDLL", ctypes, lambda _: SimpleNamespace(close_range=says_no)),
        ("listdir", os, unseen),
    ],
    ids=["without the call", "refuses it", "without /proc"],
)
def test_where_the_system_cannot_nothing_changes(
    what: str, where: object, instead: object, monkeypatch: pytest.MonkeyPatch
):
    one, other = socket.socketpair()
    with monkeypatch.context() as patch:
        patch.setattr(where, what, instead)
        assert let_sockets_go() is False
    one.send(b"?")
    assert other.recv(1) == b"?"
    one.close()
    other.close()
