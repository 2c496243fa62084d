"""Code and tests, loaded and collected once; each mutant has a child of this process, and only the tests that reach it.

The order: tests that noticed other mutants of the same function or file, then those that run its very line, then those that
run its function; short ones first, then those named as file and function are, then those that run little else; a few of each
test file in turn, more of those named alike. A test of which nothing is known comes last.
"""

from __future__ import annotations

import gc
import math
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from tests.campaign.mutating import forked, reached
from tests.campaign.unguarded.tried import Found, Listener, forget, remember_nothing

UNKNOWN_S, UNKNOWN_BREADTH = 3.0, 6  # as most of those that are known
TURN = 4  # so many tests of a file, and then the next file's: those of one file are alike


class Loaded:
    """The tests, collected; what they reach; who noticed what."""

    def __init__(self, core: Sequence[str]) -> None:
        self._core = tuple(core)
        remember_nothing()
        self._unchanged = forked.signature()
        self._session = forked.begun(forked.TESTS, forked.BESIDE)
        self._items = {item.nodeid: item for item in forked.collect(self._session)}
        self._known = reached.Known(())
        self._lately = forked.Lately()
        self._confirmed = forked.Confirmed()
        self._failing: set[str] = set()
        gc.collect()
        gc.freeze()

    @property
    def test_files(self) -> list[Path]:
        """Each file that has tests."""
        return sorted({item.path for item in self._items.values()})

    def learn(self, only: Iterable[Path]) -> list[str]:
        """Watch what these test files reach, where that is not known; the tests that fail with nothing changed."""
        for path in only:
            if not reached.place(path).exists():
                forked.in_child(lambda path=path: self._watch(path), self._unchanged, 3600.0)  # type: ignore[misc]
        self._known = reached.load(self.test_files)
        return sorted(self._known.failing)

    def remember(self, file: str, function: str, test: str) -> None:
        """That a test noticed a change of a function before."""
        if test in self._items:
            self._lately.add(test, f"{file}:{function}", file)

    def _watch(self, path: Path) -> Found:
        items = [item for item in self._items.values() if item.path == path]
        listener = Listener(falls_count=True)
        self._session.config.pluginmanager.register(listener)

        def runs(item: pytest.Item) -> bool:
            """With all its fixtures anew: what they run, it reaches."""
            listener.noticed, listener.fallen = "", []
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
            for left in Path(tempfile.gettempdir()).iterdir():
                shutil.rmtree(left, ignore_errors=True)
            self._session.config._tmp_path_factory._basetemp = None  # type: ignore[attr-defined]  # it went with them
            return not listener.over

        reached.keep(path, reached.watched(items, self._core, runs))
        return listener.found(0, 0.0)

    def order(self, file: str, function: str, line: int) -> list[pytest.Item]:
        """The tests that may notice a change of a line, in the order in which they are tried."""
        near = self._known.of_line(file, line)
        reach = near | self._known.of_function(file, function) or set(
            self._items
        )  # a new function: any test may
        called = [
            word[:5] for word in function.strip("()_").lower().replace(".", "_").split("_") if len(word) > 3
        ]
        words = [word[:6] for word in Path(file).stem.strip("_").split("_")]
        unknown = self._items.keys() - self._known.cpu_s.keys()
        reach |= {name for name in unknown if math.isinf(forked.NEAR_S) or _has(name, *words, *called)}
        usable = (reach & self._items.keys()) - self._known.failing
        lately = self._lately.of(f"{file}:{function}", file)
        nth: Counter[str] = Counter()

        def rank(name: str) -> tuple[int, bool, bool, int, int, int, str]:
            length = reached.bucket(self._known.cpu_s.get(name, 0.0))
            first = lately.get(name, len(lately)) if name in near and length < 2 else len(lately)
            test_file = name.partition("::")[0]
            nth[test_file] += 1
            turn = nth[test_file] // (4 * TURN if _has(test_file, *words) else TURN)
            breadth = self._known.breadth[name].bit_length() if name in self._known.cpu_s else UNKNOWN_BREADTH
            alike = _has(test_file, *words) + _has(name, *called)
            return first, length >= 2, name not in near, -alike, breadth, turn, test_file

        def size(name: str) -> tuple[int, float, str]:
            return self._known.breadth[name].bit_length(), self._cpu_s(name), name

        ranks = {name: rank(name) for name in sorted(usable, key=size)}
        return [self._items[name] for name in sorted(ranks, key=lambda name: ranks[name])]

    def _cpu_s(self, name: str) -> float:
        return self._known.cpu_s.get(name, UNKNOWN_S)

    def tried(self, put: Callable[[], None], file: str, function: str, line: int) -> Found:
        """What the tests make of a change, in a child that has it."""
        while True:
            order = [item for item in self.order(file, function, line) if item.nodeid not in self._failing]
            found = forked.in_child(
                lambda order=order: self._judge(put, order),  # type: ignore[misc]
                self._unchanged, forked.patience_s(),
            )  # fmt: skip
            name = found.text.partition(": ")[0]
            if found.answer != "noticed" or name not in self._items:
                return found
            if not self._confirmed.fails(name, lambda name=name: self._alone(name)):  # type: ignore[misc]
                self._lately.add(name, f"{file}:{function}", file)
                return found
            self._failing.add(name)
            print(f"not asked, for it fails with nothing changed: {name}", flush=True)

    def _alone(self, name: str) -> Found:
        return forked.in_child(
            lambda: self._judge(lambda: None, [self._items[name]]), self._unchanged, forked.patience_s()
        )

    def _judge(self, put: Callable[[], None], order: Sequence[pytest.Item]) -> Found:
        try:
            put()
        except Exception as error:  # noqa: BLE001 - no verdict of a test
            return Found("void", f"cannot be put in: {type(error).__name__}: {error}", 0, 0.0)
        forget()
        listener = Listener(falls_count=True)
        self._session.config.pluginmanager.register(listener)
        found = forked.judged(order, listener, self._cpu_s)
        return found or listener.found(0, 0.0)


def _has(name: str, *words: str) -> bool:
    return any(word in name for word in words)


def main() -> None:
    """`python -m tests.campaign.mutating.loaded [NAME ...]`: learn what the tests of these files reach."""
    from tests.campaign.mutating.trying import files

    loaded = Loaded(files())
    words = sys.argv[1:]
    some = [path for path in loaded.test_files if not words or path.stem in words]
    for path in some:
        begun_s = time.monotonic()
        failing = loaded.learn([path])
        print(f"{path.stem}: {time.monotonic() - begun_s:.1f} s; failing so far: {failing}", flush=True)


if __name__ == "__main__":
    main()
