"""Waiting with an end: lines of a child, and work side by side. A test that hangs must fail, and say so.

The time-out of a test interrupts the main thread alone. What waits in another thread, or is joined when the interpreter
ends, needs an end of its own: threads here are daemons, and whoever waits for them waits no longer than told.
"""

from __future__ import annotations

import os
import queue
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import IO, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")
LINE_S = 30.0
WORK_S = 110.0  # a little less than the time-out of a test


def line_of(pipe: IO[bytes] | IO[str] | None, timeout_s: float = LINE_S) -> bytes:
    """The next line of a pipe that nobody has read of by other means, its end included; empty at the end of the file."""
    assert pipe is not None
    end_s, line = time.monotonic() + timeout_s, b""
    while not line.endswith(b"\n"):
        if not select.select([pipe], [], [], max(0.0, end_s - time.monotonic()))[0]:
            raise AssertionError(f"no line within {timeout_s:g} s; so far {line!r}")
        one = os.read(pipe.fileno(), 1)  # not one byte more: what follows belongs to whoever reads next
        if not one:
            break
        line += one
    return line


class Side:
    """Work side by side, a few at a time, in threads that keep nobody from ending."""

    def __init__(self, at_once: int, work_s: float = WORK_S) -> None:
        self._work_s = work_s
        self._queue: queue.SimpleQueue[tuple[Future[object], Callable[[], object]] | None] = (
            queue.SimpleQueue()
        )
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(at_once)]
        self._futures: list[Future[object]] = []
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Side:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """What has not begun never does; what has is waited for, and fails when it does not end."""
        for future in self._futures:
            future.cancel()
        for _thread in self._threads:
            self._queue.put(None)
        end_s = time.monotonic() + self._work_s
        for each in self._threads:
            each.join(max(0.0, end_s - time.monotonic()))
        hung = [thread.name for thread in self._threads if thread.is_alive()]
        assert not hung or kind is not None, f"no end within {self._work_s:g} s: {hung}"

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do it when there is a thread for it."""
        future: Future[T] = Future()
        self._futures.append(future)  # type: ignore[arg-type]
        self._queue.put((future, lambda: work(*args, **kwargs)))  # type: ignore[arg-type]
        return future

    def _serve(self) -> None:
        while (task := self._queue.get()) is not None:
            future, work = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
                future.set_exception(error)


def together(*tries: Callable[[], None], work_s: float = WORK_S) -> None:
    """All of them at once. The first failure is raised when all have ended."""
    with Side(len(tries), 5.0) as side:
        futures = [side.submit(each) for each in tries]
        end_s = time.monotonic() + work_s
        failed = [future.exception(max(0.0, end_s - time.monotonic())) for future in futures]
    for error in failed:
        if error is not None:
            raise error
