"""Which tests reach which line of the core, and how long each takes: learned once a test file, kept beside the results.

What is known of a file that has changed since may be wrong. That makes no mutant noticed that is not: it costs time, or
leaves a survivor to be looked at.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import coverage
import msgspec
import pytest

from tests.campaign.proof import ROOT

FOLDER = ROOT / ".campaign" / "reached"
BUCKETS_S = (0.01, 0.1, 1.0, 10.0)  # tests of like length stay together by file: their fixtures are made once


class Reached(msgspec.Struct, frozen=True):
    """Of one test file: its tests, the processor time of each, which of them fail with nothing changed, and what each
    line and function was reached by (bit n for test n, in hexadecimal digits)."""

    tests: list[str]
    cpu_s: list[float]
    failing: list[str]
    lines: dict[str, str]
    functions: dict[str, str]
    code: dict[str, str]


class Known:
    """All that is known, as the questions are asked. `breadth`: how many functions of the core a test runs."""

    def __init__(self, pieces: Iterable[Reached]) -> None:
        self._pieces = tuple(pieces)
        self.cpu_s = {
            name: cpu_s for each in self._pieces for name, cpu_s in zip(each.tests, each.cpu_s, strict=True)
        }
        self.breadth: Counter[str] = Counter()
        for each in self._pieces:
            for bits in each.functions.values():
                self.breadth.update(_named(each, bits))
        self.failing = frozenset(name for each in self._pieces for name in each.failing)

    def of_line(self, file: str, line: int) -> set[str]:
        """The tests that ran a line of the file as it is now."""
        fresh = [each for each in self._pieces if each.code.get(file) == digest(file)]
        return {name for each in fresh for name in _named(each, each.lines.get(f"{file}:{line}", ""))}

    def of_function(self, file: str, function: str) -> set[str]:
        """The tests that ran any line of a function, as it was when they were watched."""
        key = f"{file}:{function}"
        return {name for each in self._pieces for name in _named(each, each.functions.get(key, ""))}


def _named(piece: Reached, bits: str) -> Iterator[str]:
    number, at = int(bits or "0", 16), 0
    while number:
        if number & 1:
            yield piece.tests[at]
        number, at = number >> 1, at + 1


def bucket(cpu_s: float) -> int:
    """Tests of about the same length have the same number; shorter ones a lower."""
    return sum(cpu_s >= edge_s for edge_s in BUCKETS_S)


@functools.cache
def digest(file: str) -> str:
    """Of a file of the core, as it is now."""
    return hashlib.sha256((ROOT / file).read_bytes()).hexdigest()[:16]


def place(test_file: Path) -> Path:
    """Where it stands what a test file reaches; another file's place once it has changed."""
    return FOLDER / f"{test_file.stem}-{hashlib.sha256(test_file.read_bytes()).hexdigest()[:12]}"


def load(test_files: Iterable[Path]) -> Known:
    """What is known of these files; of one that has changed since, what was known before."""
    found = [path for path in map(_newest, test_files) if path is not None]
    return Known(msgspec.msgpack.decode(path.read_bytes(), type=Reached) for path in found)


def _newest(test_file: Path) -> Path | None:
    own = place(test_file)
    if own.exists():
        return own
    before = [path for path in FOLDER.glob(f"{test_file.stem}-*") if len(path.name) == len(own.name)]
    return max(before, key=lambda path: path.stat().st_mtime, default=None)


def watched(items: list[pytest.Item], core: Iterable[str], runs: Callable[[pytest.Item], bool]) -> Reached:
    """Run the tests of one file, each under watch; `runs` says whether it passed. In a process that ends after it."""
    files = {str(ROOT / file): file for file in core}
    watch = coverage.Coverage(data_file=None, include=list(files), config_file=False)
    watch.start()
    cpu_s, failing = [], []
    for item in items:
        watch.switch_context(item.nodeid)
        begun_s = time.process_time()
        if not runs(item):
            failing.append(item.nodeid)
        cpu_s.append(round(time.process_time() - begun_s, 4))
    watch.stop()
    tests = [item.nodeid for item in items]
    lines, functions = _bits(watch.get_data(), files, {name: 1 << at for at, name in enumerate(tests)})
    return Reached(
        tests, cpu_s, failing, _hex(lines), _hex(functions), {file: digest(file) for file in files.values()}
    )


def _bits(
    data: coverage.CoverageData, files: Mapping[str, str], bit: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, int]]:
    lines: dict[str, int] = {}
    functions: dict[str, int] = {}
    for path in data.measured_files():
        file = files[path]
        where = functions_by_line(file)
        for line, contexts in data.contexts_by_lineno(path).items():
            bits = sum({bit[name] for name in contexts if name in bit})
            lines[f"{file}:{line}"] = bits
            if line in where:
                key = f"{file}:{where[line]}"
                functions[key] = functions.get(key, 0) | bits
    return lines, functions


def _hex(bits: Mapping[str, int]) -> dict[str, str]:
    return {key: f"{value:x}" for key, value in bits.items() if value}


@functools.cache
def functions_by_line(file: str) -> dict[int, str]:
    """The outermost function that each line is in, named as mutants are."""
    found: dict[int, str] = {}

    def walk(body: list[ast.stmt], before: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                walk(node.body, f"{before}{node.name}.")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                last = node.end_lineno or node.lineno
                found.update(dict.fromkeys(range(node.lineno, last + 1), f"{before}{node.name}()"))

    walk(ast.parse((ROOT / file).read_text(encoding="utf-8")).body, "")
    return found


def keep(test_file: Path, reached: Reached) -> None:
    """Write it down."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    target = place(test_file)
    partial = target.with_suffix(f".{os.getpid()}")
    partial.write_bytes(msgspec.msgpack.encode(reached))
    partial.replace(target)
