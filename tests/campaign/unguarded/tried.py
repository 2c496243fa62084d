"""What the safety tests make of a change, told apart: by whom it was noticed; unnoticed; or void.

Noticed is what a test says by an assertion; a time-out, or a fall of the code itself over what was removed, is void where
falls do not count: it would be no verdict of a test.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Literal

import hypothesis
import msgspec
import pytest

from tests.campaign.proof import ROOT

TESTS = ROOT / "tests" / "safety"
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


def remember_nothing() -> None:
    """No example of hypothesis is kept, and none is made smaller. To be called before any test is imported."""
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


def forget() -> None:
    """What code and tests have remembered of the guarded code, they ask again."""
    for name, module in tuple(sys.modules.items()):
        if name.partition(".")[0] in ("safety", "drivers", "tests"):
            for held in tuple(vars(module).values()):
                if isinstance(held, functools._lru_cache_wrapper):
                    held.cache_clear()
