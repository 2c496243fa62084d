"""Which tests are tried first against a removal; and the control, which is all of them with nothing removed.

What a test goes through is known where the mutants' tests were watched (`mutating.reached`); else its text must tell.
"""

from __future__ import annotations

import ast
import fcntl
import functools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.campaign.mutating.reached import Known
from tests.campaign.proof import ROOT
from tests.campaign.standing import digest, imports
from tests.campaign.unguarded.serving import Held
from tests.campaign.unguarded.tried import LAST

FOLDER = ROOT / ".campaign" / "unguarded"
PIECE_S = 3000.0  # of one file, beside others
SLOW_S = 3.0
UNKNOWN_S, SHORT_S = 0.1, 0.02
NEAR = 3.0  # in the weight of a word: a test file that imports what is taken out
FEW = 6  # functions: more are taken out for a code that they all may say


class Fails(Exception):
    """A test fails with nothing removed: which, and how."""


def test_files() -> list[str]:
    """Every test file of the safety core, from the root."""
    return sorted(
        path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "safety").rglob("test_*.py")
    )


def file_of(test: str) -> str:
    """The file of a test, from the root."""
    return test.partition("::")[0]


def control(held: Held, folder: Path = FOLDER) -> int:
    """Try every test with nothing removed; how many they are. A file that passed is not tried again while it, and all
    that it imports, stays as it is; whoever comes meanwhile takes other files. Raises Fails."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces: dict[str, list[int]] = {}
    for number, test in enumerate(held.tests):
        pieces.setdefault(file_of(test), []).append(number)
    passed = set[str]()
    for wait in (False, True):  # first what nobody else is at
        for file, numbers in pieces.items():
            if file not in passed and _passes(held, folder, file, numbers, wait):
                passed.add(file)
    return len(held.tests)


def _passes(held: Held, folder: Path, file: str, numbers: Sequence[int], wait: bool) -> bool:
    path = folder / f"{Path(file).stem}-{digest([file])}.passed"
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        if not path.exists():
            tried = held.tried("", numbers, until_s=PIECE_S, cpu_s=PIECE_S)
            if tried.answer != "unnoticed":
                raise Fails(tried.text)
            path.touch()
        return True


def ordered(tests: Sequence[str], known: Known, touched: set[str], name: str) -> list[int]:
    """All tests by number, those first that most likely notice: they go through what is taken out, speak of it in rare
    words, and are quick. Of a test that was not measured its text must say all this."""
    modules = {place.partition(":")[0] for place in touched}
    words = {word for text in (name, *(touched if len(touched) < FEW else ())) for word in _words(text)}
    weights = _weights(tuple(tests))
    near = {
        file: NEAR * (not modules.isdisjoint(imports(file))) for file in {file_of(test) for test in tests}
    }
    through = set[str]().union(*(known.of_function(*_outermost(place)) for place in touched))

    def place(number: int) -> tuple[bool, bool, float, float]:
        test, took_s = tests[number], known.cpu_s.get(tests[number])
        file = file_of(test)
        told = near[file] + sum(weights[word] for word in sorted(words & _told(test)))
        cost_s = UNKNOWN_S if took_s is None else max(took_s, SHORT_S)
        return (
            bool(through) and took_s is not None and test not in through,
            Path(file).stem in LAST if took_s is None else took_s > SLOW_S,
            math.log(cost_s / SHORT_S) - told,
            cost_s,
        )

    return sorted(range(len(tests)), key=place)


def _outermost(place: str) -> tuple[str, str]:
    """The file, and the name of the function that a mutant of it would have."""
    file, _, name = place.partition(":")
    return file, f"{name.partition('.<locals>')[0]}()"


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
