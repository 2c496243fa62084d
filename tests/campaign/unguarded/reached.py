"""Which functions each safety test goes through, and how long it takes: measured once, with nothing removed.

It is the control, too: a removal means nothing where the tests do not all pass without one. Each test file is a piece of
its own, kept for as long as the file, and all that it imports, stays as it is.
"""

from __future__ import annotations

import ast
import fcntl
import functools
import math
import os
import re
from collections import Counter
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
NEAR = 3.0  # in the weight of a word: a test file that imports what is taken out
FEW = 6  # functions: more are taken out for a code that they all may say


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


def ordered(tests: Sequence[str], known: Known, touched: set[str], name: str) -> list[int]:
    """All tests by number, those first that most likely notice: they go through what is taken out, speak of it in rare
    words, and are quick. Of a test that was not measured its text must say all this."""
    modules = {place.partition(":")[0] for place in touched}
    words = {word for text in (name, *(touched if len(touched) < FEW else ())) for word in _words(text)}
    weights = _weights(tuple(tests))
    near = {
        file: NEAR * (not modules.isdisjoint(imports(file))) for file in {file_of(test) for test in tests}
    }
    through = set().union(*(known.through.get(place, ()) for place in touched))

    def place(number: int) -> tuple[bool, bool, float, float]:
        test, took_s = tests[number], known.took_s.get(number)
        file = file_of(test)
        return (
            bool(touched) and took_s is not None and number not in through,
            Path(file).stem in LAST if took_s is None else took_s > SLOW_S,
            -near[file] - sum(weights[word] for word in sorted(words & _told(test))),
            UNKNOWN_S if took_s is None else took_s,
        )

    return sorted(range(len(tests)), key=place)


def _words(text: str) -> Iterator[str]:
    """Its names and codes, and the parts of its names."""
    for word in re.findall(r"ILK-\d+|\w+", text):
        yield word
        yield from (part for part in word.split("_") if part)


@functools.cache
def _weights(tests: tuple[str, ...]) -> dict[str, float]:
    """How much a word tells of the tests that have it: the rarer, the more."""
    counts = Counter(word for test in tests for word in _told(test))
    return {word: math.log(len(tests) / count) for word, count in counts.items()}


@functools.cache
def _told(test: str) -> frozenset[str]:
    """All words of a test: of its name, its case, and its source."""
    source = _sources(file_of(test)).get(re.sub(r"\[.*", "", test.rpartition("::")[2]), frozenset())
    return source | frozenset(_words(test.partition("::")[2])) | frozenset(_words(Path(file_of(test)).stem))


@functools.cache
def _sources(file: str) -> dict[str, frozenset[str]]:
    """The words of each test function of a file."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return {
        node.name: frozenset(_words(ast.get_source_segment(text, node) or ""))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
    }
