"""Which functions each safety test goes through, and how long it takes: measured once, with nothing removed.

It is the control, too: a removal means nothing where the tests do not all pass without one. Each test file is a piece of
its own, kept for as long as the file, and all that it imports, stays as it is.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tests.campaign.proof import ROOT
from tests.campaign.standing import digest, imports
from tests.campaign.unguarded.serving import Held, Ran
from tests.campaign.unguarded.tried import LAST

FOLDER = ROOT / ".campaign" / "unguarded"
PIECE_S = 3000.0  # traced, and beside others
SLOW_S = 3.0
UNKNOWN_S = 0.1


class Fails(Exception):
    """A test fails with nothing removed: which, and how."""


class Known(msgspec.Struct, frozen=True):
    """Each test's time in s, by its number, and the numbers of the tests that go through a function, `file:name`."""

    took_s: dict[int, float]
    through: dict[str, set[int]]


class _Piece(msgspec.Struct, frozen=True):
    names: tuple[str, ...]
    tests: dict[str, Ran]


def test_files() -> list[str]:
    """Every test file of the safety core, from the root."""
    return sorted(
        path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "safety").rglob("test_*.py")
    )


def file_of(test: str) -> str:
    """The file of a test, from the root."""
    return test.partition("::")[0]


def measured(held: Held, folder: Path = FOLDER) -> Known:
    """Of every test. Whoever comes meanwhile takes other pieces; raises Fails."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces: dict[str, list[int]] = {}
    for number, test in enumerate(held.tests):
        pieces.setdefault(file_of(test), []).append(number)
    known = Known({}, {})
    for wait in (False, True):  # first what nobody else is at
        for file, numbers in pieces.items():
            piece = None if numbers[0] in known.took_s else _piece(held, folder, file, numbers, wait)
            if piece is not None:
                _add(known, piece, held.tests, numbers)
    return known


def _add(known: Known, piece: _Piece, tests: Sequence[str], numbers: Sequence[int]) -> None:
    through = [known.through.setdefault(name, set()) for name in piece.names]
    for number in numbers:
        ran = piece.tests[tests[number]]
        known.took_s[number] = ran.took_s
        for at in ran.reached:
            through[at].add(number)


def _piece(held: Held, folder: Path, file: str, numbers: Sequence[int], wait: bool) -> _Piece | None:
    path, names = _path(folder, file), [held.tests[number] for number in numbers]
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return None
        kept = _kept(path, names)
        if kept is not None:
            return kept
        tried = held.tried("", numbers, traced=True, until_s=PIECE_S)
        if tried.answer != "unnoticed":
            raise Fails(tried.text)
        piece = _Piece(tried.names, {held.tests[number]: ran for number, ran in tried.ran.items()})
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_bytes(msgspec.json.encode(piece))
        partial.replace(path)
        return piece


def _path(folder: Path, file: str) -> Path:
    return folder / f"{Path(file).stem}-{digest([file])}.json"


def _kept(path: Path, names: Sequence[str]) -> _Piece | None:
    """A piece that was measured, if it has all of its tests."""
    if not path.exists():
        return None
    kept = msgspec.json.decode(path.read_bytes(), type=_Piece)
    return kept if all(name in kept.tests for name in names) else None


def known_of(tests: Sequence[str], folder: Path = FOLDER) -> Known:
    """What has been measured of these tests so far."""
    known = Known({}, {})
    pieces: dict[str, list[int]] = {}
    for number, test in enumerate(tests):
        pieces.setdefault(file_of(test), []).append(number)
    for file, numbers in pieces.items():
        piece = _kept(_path(folder, file), [tests[number] for number in numbers])
        if piece is not None:
            _add(known, piece, tests, numbers)
    return known


def ordered(
    tests: Sequence[str], known: Known, touched: set[str], name: str, near: Sequence[str]
) -> list[int]:
    """All tests by number, those first that most likely notice: they go through what is taken out, are named like it,
    stand in a file that is near it, and are quick. Of a test that was not measured its file must say all this."""
    words = list(_words(name))
    modules = {place.partition(":")[0] for place in touched}
    ranks = {file: _rank(file, modules, near) for file in {file_of(test) for test in tests}}
    through = set().union(*(known.through.get(place, ()) for place in touched))

    def place(number: int) -> tuple[bool, bool, int, int, float]:
        test, took_s = tests[number], known.took_s.get(number)
        file = file_of(test)
        return (
            bool(touched) and took_s is not None and number not in through,
            Path(file).stem in LAST if took_s is None else took_s > SLOW_S,
            -sum(word in test for word in words),
            ranks[file],
            UNKNOWN_S if took_s is None else took_s,
        )

    return sorted(range(len(tests)), key=place)


def _words(name: str) -> Iterator[str]:
    """Names and codes, not the words between them."""
    yield from (word for word in re.split(r"[^\w-]+", name) if "_" in word or "-" in word or len(word) > 6)


def _rank(file: str, modules: set[str], near: Sequence[str]) -> int:
    """How far a test file is from what is taken out: by its name, then by what it imports."""
    named = min((at for at, word in enumerate(near) if word in Path(file).stem), default=len(near))
    return 2 * named + (not modules or modules.isdisjoint(imports(file)))
