"""Mutants outside of functions: a child imports the mutant, and then tests, file by file, until the first that notices.

Nothing of the four packages is loaded in the parent. The order of the test files: those that noticed mutants of the same
file, then those whose names are nearest, the slow ones last.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.campaign.mutating import forked, reached
from tests.campaign.proof import ROOT, Void
from tests.campaign.unguarded.tried import TESTS, Found, Listener, ordered, remember_nothing

STEPS = (3, 8)  # so many test files are collected and run before more are
UNKNOWN_S = 3.0
MODALITIES = ("tacs", "tdcs", "trns", "tens", "dbs", "scs", "drg", "pns", "rtms", "tbs", "tus")
# What the packages and the tests import of others: once here, and in no child.
OTHERS = (
    "asyncio", "msgspec.json", "msgspec.toml", "msgspec.msgpack", "hypothesis.strategies", "hypothesis.stateful", "tomllib",
    "hypothesis.internal.conjecture.engine", "cryptography.hazmat.primitives.asymmetric.ed25519", "decimal", "fractions",
    "cryptography.hazmat.primitives.kdf.scrypt", "selectors", "socket", "statistics", "importlib.metadata", "numpy",
)  # fmt: skip


class Fresh:
    """A session that waits, with nothing of the packages loaded."""

    def __init__(self) -> None:
        remember_nothing()
        self._unchanged = forked.signature()
        self._session = forked.begun(TESTS)
        for name in OTHERS:
            importlib.import_module(name)
        if loaded := [name for name in sys.modules if name.partition(".")[0] in ("safety", "drivers")]:
            raise RuntimeError(f"loaded already: {', '.join(sorted(loaded))}")
        self._known = reached.load(sorted(TESTS.rglob("test_*.py")))
        self._lately = forked.Lately()
        self._confirmed = forked.Confirmed()
        self._failing: set[str] = set()
        gc.collect()
        gc.freeze()

    def tried(self, put: Callable[[], None], file: str) -> Found:
        """What the tests make of a change, in a child that imports it."""
        folder = str(Path(file).parent)
        lately = self._lately.of(file, folder)
        test_files = self._files(file, lately)
        while True:
            found = forked.in_child(
                lambda: self._judge(put, file, test_files, lately), self._unchanged, forked.patience_s()
            )
            name = found.text.partition(": ")[0]
            if found.answer != "noticed":
                return found
            if "::" not in name and self._confirmed.fails(test_files[0], lambda: self._collects(test_files)):
                raise Void(f"with nothing changed: {found.text}")
            if "::" not in name:
                return found
            if not self._confirmed.fails(name, lambda name=name: self._alone(name)):  # type: ignore[misc]
                self._lately.add(name, file, folder)
                return found
            self._failing.add(name)
            print(f"not asked, for it fails with nothing changed: {name}", flush=True)

    def _collects(self, test_files: Sequence[str]) -> Found:
        def collect() -> Found:
            forked.collect(self._session, *test_files)
            return Found("unnoticed", "", 0, 0.0)

        return forked.in_child(collect, self._unchanged, forked.patience_s())

    def _alone(self, name: str) -> Found:
        def judge() -> Found:
            listener = Listener(falls_count=True)
            self._session.config.pluginmanager.register(listener)
            items = forked.collect(self._session, str(ROOT / name.partition("::")[0]))
            alone = [item for item in items if item.nodeid == name]
            return forked.judged(alone, listener, self._cpu_s) or listener.found(0, 0.0)

        return forked.in_child(judge, self._unchanged, forked.patience_s())

    def _files(self, file: str, lately: dict[str, int]) -> list[str]:
        near = ("said_twice", *Path(file).stem.strip("_").split("_"), *Path(file).parts[1:-1])
        if "modalities" in near:
            near = ("rows", *near)  # it has every number of every modality
        first = dict.fromkeys(str(ROOT / name.partition("::")[0]) for name in lately)
        beside = [str(forked.BESIDE)] if file.startswith("drivers/") else []
        return list(dict.fromkeys([*first, *beside, *ordered(near), str(forked.BESIDE)]))

    def _judge(
        self, put: Callable[[], None], file: str, test_files: Sequence[str], lately: dict[str, int]
    ) -> Found:
        put()
        listener = Listener(falls_count=True)
        self._session.config.pluginmanager.register(listener)
        others = [each for each in MODALITIES if each != Path(file).stem.partition("_")[0]]
        others = others if len(others) < len(MODALITIES) else []
        edges = [0, *STEPS, len(test_files)]
        for begin, end in itertools.pairwise(edges):
            try:
                items = forked.collect(self._session, *test_files[begin:end])
            except Exception as error:  # noqa: BLE001 - code or tests that cannot be imported are overlooked by nobody
                return Found("noticed", f"cannot be imported: {type(error).__name__}: {error}", 0, 0.0)
            failing = self._known.failing | self._failing
            usable = [item for item in items if item.nodeid not in failing]

            def rank(name: str) -> tuple[int, bool, int, int]:
                foreign = any(f"[{other}" in name for other in others)
                length = reached.bucket(self._known.cpu_s.get(name, 0.0))
                return lately.get(name, len(lately)), foreign, length, self._known.breadth[name].bit_length()

            usable.sort(key=lambda item: rank(item.nodeid))
            if found := forked.judged(usable, listener, self._cpu_s):
                return found
        return listener.found(0, 0.0)

    def _cpu_s(self, name: str) -> float:
        return self._known.cpu_s.get(name, UNKNOWN_S)
