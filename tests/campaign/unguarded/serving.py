"""The safety tests, collected once and held ready: a child of it for each removal, which runs what it is told in that order.

Nothing is imported or collected again, and no removal sees another: the process that holds the tests only forks.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NoReturn

import msgspec
import pytest

from tests.campaign.unguarded.tried import COMMON, TESTS, Listener, forget, remember_nothing

FALLS_MAX = 300  # a test that says so by its own words is looked for among so many
TEST_S = 600  # of the clock: longer than any test takes where it gets a twentieth of a processor
CHILD_S = 3600.0
END_S = 1800.0  # collected beside others, at the lowest priority
Removal = Callable[[], None]


class Found(msgspec.Struct, frozen=True):
    """What came of a removal. `by`: the tests that noticed it, by number; `ran`: how many ran."""

    answer: Literal["noticed", "unnoticed", "void"]
    text: str
    took_s: float
    by: tuple[int, ...] = ()
    ran: int = 0


class Asked(msgspec.Struct, frozen=True):
    """What is asked of the process that holds the tests."""

    name: str
    tests: tuple[int, ...]
    until_s: float
    cpu_s: float


class Held:
    """The tests, by number. `removal` is called in the child, with the name that was asked for."""

    def __init__(
        self,
        removal: Callable[[str], Removal | None],
        *,
        folder: Path = TESTS,
        falls_count: bool = False,
    ) -> None:
        faulthandler.cancel_dump_traceback_later()  # its thread would hold a lock that no fork gives back
        asking, self._asking = os.pipe()
        self._telling, telling = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._asking)
            os.close(self._telling)
            _hold(removal, folder, falls_count, asking, telling)
        os.close(asking)
        os.close(telling)
        self.tests = msgspec.json.decode(self._told(END_S), type=tuple[str, ...])
        if not self.tests:
            raise RuntimeError("the tests cannot be collected: run them first")

    def tried(
        self,
        name: str,
        tests: Sequence[int],
        *,
        until_s: float = CHILD_S,
        cpu_s: float = CHILD_S,
    ) -> Found:
        """Remove, and run these tests in this order until one notices. It is void when a time is over: `until_s` of the
        clock, or, between two tests, `cpu_s` of the processor."""
        asked = Asked(name, tuple(tests), until_s, cpu_s)
        _send(self._asking, msgspec.json.encode(asked))
        return msgspec.json.decode(self._told(until_s + 60.0), type=Found)

    def _told(self, wait_s: float) -> bytes:
        line = _received(self._telling, wait_s)
        if not line:
            raise RuntimeError("the process that holds the tests has ended, or hangs")
        return line

    def end(self) -> None:
        """Let it go."""
        os.close(self._asking)
        os.close(self._telling)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _send(descriptor: int, body: bytes) -> None:
    rest = memoryview(body + b"\n")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _received(descriptor: int, wait_s: float) -> bytes:
    """One line; empty when the other side is gone, or the time over."""
    parts, end_s = [b""], time.monotonic() + wait_s
    while not parts[-1].endswith(b"\n"):
        if not select.select([descriptor], [], [], max(0.0, end_s - time.monotonic()))[0]:
            return b""
        parts.append(os.read(descriptor, 1_000_000))
        if not parts[-1]:
            return b""
    return b"".join(parts)


def _hold(
    removal: Callable[[str], Removal | None], folder: Path, falls_count: bool, asking: int, telling: int
) -> NoReturn:
    """Collect, and serve out of pytest's own loop; never returns."""
    status = 1
    try:
        silence = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(silence, standard)
        remember_nothing()
        plugin = _Loop(removal, falls_count, asking, telling)
        status = int(pytest.main([*COMMON, f"--timeout={TEST_S}", str(folder)], plugins=[plugin]))
        if not plugin.served:
            _send(telling, b"[]")
    except (BrokenPipeError, EOFError):
        status = 0  # whoever asked has gone
    finally:
        os._exit(status)


class _Loop:
    """In place of pytest's loop over the tests: one child for each that is asked for."""

    def __init__(
        self, removal: Callable[[str], Removal | None], falls_count: bool, asking: int, telling: int
    ) -> None:
        self.served = False
        self._removal, self._falls_count = removal, falls_count
        self._asking, self._telling = asking, telling

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.served = True
        gc.collect()
        gc.freeze()
        _send(
            self._telling,
            msgspec.json.encode([] if session.testsfailed else [i.nodeid for i in session.items]),
        )
        while line := _received(self._asking, 86_400.0):
            asked = msgspec.json.decode(line, type=Asked)
            _send(self._telling, self._child(session, asked))
        return True

    def _child(self, session: pytest.Session, asked: Asked) -> bytes:
        reading, writing = os.pipe()
        home = tempfile.mkdtemp(prefix="u-")
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._try(session, asked, home, writing)
        os.close(writing)
        begun_s = time.monotonic()
        line = _received(reading, asked.until_s)
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        shutil.rmtree(home, ignore_errors=True)
        silent = Found("void", "the tests ended without a word, or not in time", time.monotonic() - begun_s)
        return line.strip() or msgspec.json.encode(silent)

    def _try(self, session: pytest.Session, asked: Asked, home: str, writing: int) -> NoReturn:
        begun_s = time.monotonic()
        try:
            os.setsid()
            os.environ["TMPDIR"] = tempfile.tempdir = home
            remove = self._removal(asked.name)
            if remove is not None:
                remove()
            forget()
            found = _run(session, asked, self._falls_count, begun_s)
        except BaseException as error:  # noqa: BLE001 - told to the parent, and this child ends here in any case
            words = f"{type(error).__name__}: {error}"[:600]
            answer: Literal["noticed", "void"] = "noticed" if self._falls_count else "void"
            found = Found(answer, words, time.monotonic() - begun_s)
        try:
            _send(writing, msgspec.json.encode(found))
        finally:
            os._exit(0)


def _run(session: pytest.Session, asked: Asked, falls_count: bool, begun_s: float) -> Found:
    listener = Listener(falls_count, FALLS_MAX)
    session.config.pluginmanager.register(listener)
    by: tuple[int, ...] = ()
    items = [session.items[number] for number in asked.tests]
    ran = 0
    for number, item, after in zip(asked.tests, items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        ran += 1
        if listener.over:
            by = (number,)
            break
        if time.process_time() > asked.cpu_s and after is not None:
            words = f"unnoticed by the first {ran} of {len(items)} tests, in {asked.cpu_s:g} s"
            return Found("void", words, time.monotonic() - begun_s, by, ran)
    found = listener.found(0, time.monotonic() - begun_s)
    return Found(found.answer, found.text, found.took_s, by, ran)
