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
from tests.campaign.standing import digest
from tests.campaign.unguarded.serving import Held, Ran

FOLDER = ROOT / ".campaign" / "unguarded"
PIECE_S = 3000.0  # traced, and beside others
SLOW_S = 3.0


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
    path = folder / f"{Path(file).stem}-{digest([file])}.json"
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return None
        if path.exists():
            kept = msgspec.json.decode(path.read_bytes(), type=_Piece)
            if all(held.tests[number] in kept.tests for number in numbers):
                return kept
        tried = held.tried("", numbers, traced=True, until_s=PIECE_S)
        if tried.answer != "unnoticed":
            raise Fails(tried.text)
        piece = _Piece(tried.names, {held.tests[number]: ran for number, ran in tried.ran.items()})
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_bytes(msgspec.json.encode(piece))
        partial.replace(path)
        return piece


def ordered(
    tests: Sequence[str], known: Known, touched: set[str], name: str, near: Sequence[str]
) -> list[int]:
    """All tests by number, those first that most likely notice: they go through what is taken out, are named like it,
    stand in a file that is near it, and are quick."""
    words = list(_words(name))
    ranks = {file: _rank(file, near) for file in {file_of(test) for test in tests}}

    through = set().union(*(known.through.get(name, ()) for name in touched))

    def place(number: int) -> tuple[bool, bool, int, int, float]:
        test, took_s = tests[number], known.took_s[number]
        hits = sum(word in test for word in words)
        return (
            bool(touched) and number not in through,
            took_s > SLOW_S,
            -hits,
            ranks[file_of(test)],
            took_s,
        )

    return sorted(range(len(tests)), key=place)


def _words(name: str) -> Iterator[str]:
    """Names and codes, not the words between them."""
    yield from (word for word in re.split(r"[^\w-]+", name) if "_" in word or "-" in word or len(word) > 6)


def _rank(file: str, near: Sequence[str]) -> int:
    return min((at for at, word in enumerate(near) if word in Path(file).stem), default=len(near))
