"""Run the safety tests in a forked child with one guard removed, until the first test that notices.

Tests and code are imported once, in the parent. Noticed is what a test says by an assertion; a time-out, or a fall of the
code itself over what was removed, is told apart: it is void, for it would be no verdict of a test.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import io
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Literal

import hypothesis
import msgspec
import pytest

from tests.campaign.proof import ROOT, Void

TESTS = ROOT / "tests" / "safety"
CHILD_S = 900.0
FIRST_FILES = 4  # collected and run before the others are: most often they notice
FALLS_MAX = 25  # tests that fall over the removal before it is given up
LAST = (
    "test_stateful",
    "test_oracle_sessions",
    "test_interlock_steps",
    "test_acts",
    "test_damages",
    "test_modalities_bent",
)  # slow, and seldom the first
COMMON = [
    *("-p", "no:cacheprovider", "-p", "no:randomly", "-q", "--no-header", "--tb=short", "--timeout=60"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # all is imported before the children begin
]
CODE = tuple(str(ROOT / name) for name in ("safety", "drivers", "controller", "sim"))


class Found(msgspec.Struct, frozen=True):
    """What the tests made of a removal: noticed by this test; unnoticed; or void, and why."""

    answer: Literal["noticed", "unnoticed", "void"]
    text: str
    tests: int
    took_s: float


class Listener:
    """Hears each test's verdict, and stops the run at the first that notices."""

    def __init__(self, falls_count: bool, falls_max: int = FALLS_MAX) -> None:
        self.noticed = ""
        self.fallen: list[str] = []
        self.tests = 0
        self._falls_count = falls_count
        self._falls_max = falls_max
        self._session: pytest.Session | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more need be tried."""
        return bool(self.noticed) or len(self.fallen) >= (1 if self._falls_count else self._falls_max)

    def found(self, status: int, took_s: float) -> Found:
        """What came of it."""
        if self.noticed or (self._falls_count and self.fallen):
            return Found("noticed", (self.noticed or self.fallen[0])[:600], self.tests, took_s)
        if self.fallen or status != 0:
            words = f"{len(self.fallen)} fell: {' | '.join(self.fallen[:2])} ({status})"
            return Found("noticed" if self._falls_count else "void", words[:600], self.tests, took_s)
        return Found("unnoticed", "", self.tests, took_s)

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "call":
            self.tests += 1
        if report.failed and call.excinfo is not None:
            words = f"{item.nodeid}: {call.excinfo.typename}: {str(call.excinfo.value)[:200]}"
            if _is_fall(call.excinfo):
                self.fallen.append(words)
            else:
                self.noticed = words
            if self._session is not None and self.over:
                self._session.shouldstop = "noticed"
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.fallen.append(f"{report.nodeid}: cannot be collected")


def _is_fall(excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    """A time-out, or an exception that rose in the code under test itself; what a test asserts or expects is a verdict."""
    if isinstance(excinfo.value, AssertionError | pytest.fail.Exception):
        return "Timeout" in str(excinfo.value)[:40]
    path = str(excinfo.traceback[-1].path)
    return isinstance(excinfo.value, TimeoutError | RecursionError | MemoryError) or path.startswith(CODE)


def prepare() -> None:
    """Import tests and code once: each child then begins where this one ended."""
    remember_nothing()
    with contextlib.redirect_stdout(io.StringIO()):
        status = pytest.main([*COMMON, "--collect-only", str(TESTS)])
    if status != 0:
        raise RuntimeError(f"the safety tests cannot be collected: {status}")
    gc.collect()
    gc.freeze()


def tree() -> str:
    """The digest of all that is tried here: the code that these tests load, and the tests."""
    digest = hashlib.sha256()
    for path in sorted(
        [*(ROOT / "safety").rglob("*.py"), *(ROOT / "drivers").glob("*.py"), *TESTS.rglob("*.py")]
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def tree_at_first() -> str:
    """As it was when this process began to load it."""
    return tree()


def remember_nothing() -> None:
    """No example of hypothesis is kept, and none is made smaller. To be called before any test is imported."""
    tree_at_first()
    hypothesis.settings.register_profile(
        "unguarded", database=None, derandomize=True, deadline=None,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )  # fmt: skip
    hypothesis.settings.load_profile("unguarded")


def ordered(near: Sequence[str]) -> list[str]:
    """All test files of the safety core, those nearest to the guard first, the slow ones last."""
    files = sorted(TESTS.rglob("test_*.py"))

    def rank(path: Path) -> tuple[int, int, str]:
        hits = [at for at, word in enumerate(near) if word in path.stem]
        return path.stem in LAST, min(hits, default=len(near)), path.stem

    return [str(path) for path in sorted(files, key=rank)]


def tried(
    remove: Callable[[], None] | None,
    near: Sequence[str] = (),
    *,
    falls_count: bool = False,
    first: int = FIRST_FILES,
) -> Found:
    """Fork, remove, run; what the child found, bounded in time. `falls_count`: a fall of the code is noticed, too;
    `first`: so many of the nearest files are collected and run before the others are."""
    if tree() != tree_at_first():
        raise Void("the code or its tests have changed since they were loaded: start again")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(remove, ordered(near), writing, falls_count, first)
    os.close(writing)
    begun_s, data = time.monotonic(), b""
    try:
        while (left_s := begun_s + CHILD_S - time.monotonic()) > 0:
            if select.select([reading], [], [], left_s)[0]:
                more = os.read(reading, 65_536)
                if not more:
                    break
                data += more
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if not data:
        return Found("void", "the tests ended without a word, or not in time", 0, time.monotonic() - begun_s)
    return msgspec.json.decode(data, type=Found)


def _child(
    remove: Callable[[], None] | None, files: list[str], writing: int, falls_count: bool, first: int
) -> None:
    begun_s = time.monotonic()
    os.setsid()
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        if remove is not None:
            remove()
        forget()
        listener = Listener(falls_count)
        status = 0
        for some in (files[:first], files[first:]):
            if some and not listener.over:
                status = max(status, int(pytest.main([*COMMON, *some], plugins=[listener])))
        os.write(writing, msgspec.json.encode(listener.found(status, time.monotonic() - begun_s)))
    except BaseException as error:  # noqa: BLE001 - told to the parent, and this child ends here in any case
        words = f"{type(error).__name__}: {error}"[:600]
        answer: Literal["noticed", "void"] = "noticed" if falls_count else "void"
        os.write(writing, msgspec.json.encode(Found(answer, words, 0, time.monotonic() - begun_s)))
    finally:
        os._exit(0)


def forget() -> None:
    """What code and tests have remembered of the guarded code, they ask again."""
    for name, module in tuple(sys.modules.items()):
        if name.partition(".")[0] in ("safety", "drivers", "tests"):
            for held in tuple(vars(module).values()):
                if isinstance(held, functools._lru_cache_wrapper):
                    held.cache_clear()
