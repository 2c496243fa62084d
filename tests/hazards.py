"""docs/hazards.md from tests/hazards.toml: hazard -> limit or code -> file -> tests -> result. `python -m tests.hazards`."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import msgspec

from drivers.stimulation import Modality
from safety.limit_values import ResponseLimits, Watch
from safety.modalities import REASONS, budgets_of, formulas_of, quantities_of, spacing_of
from safety.trips import BY_CODE, PERMISSIVES, REFUSALS

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "tests" / "hazards.toml"
TABLE = ROOT / "docs" / "hazards.md"
NOT_RUN = "not run"
MARKS = {"passed": " ✓", "failed": " **✗**", NOT_RUN: ""}
_TEST = re.compile(r"`([^`]+::[^`]+)`( ✓| \*\*✗\*\*|)")
RUN_S_MAX = 3600


class Hazard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row."""

    id: str
    hazard: str
    guard: str
    files: tuple[str, ...]
    tests: tuple[str, ...]
    limits: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()


def read(source: str) -> tuple[Hazard, ...]:
    """The rows of a text in TOML; an unknown or missing key raises."""
    return msgspec.convert(tomllib.loads(source), dict[str, tuple[Hazard, ...]])["hazard"]


def rows() -> tuple[Hazard, ...]:
    return read(SOURCE.read_text(encoding="utf-8"))


# What there is to be named


@functools.cache
def limits_there_are() -> Mapping[str, str]:
    """Every number that bounds something, by its name here, with what it is."""
    found: dict[str, str] = {}
    for modality in get_args(Modality):
        for declared in quantities_of(modality):
            found[f"{modality}.{declared.name}"] = declared.unit
        for formula in formulas_of(modality):
            found[f"{modality}.formula.{formula.name}"] = formula.source
        for budget in budgets_of(modality):
            found[f"{modality}.budget.{budget.scope}.{budget.name}"] = budget.unit
        for spacing in spacing_of(modality):
            found[f"{modality}.spacing.{spacing.name}"] = spacing.source
    found |= {f"watch.{field.name}": "" for field in msgspec.structs.fields(Watch)}
    return found | {f"response.{field.name}": "" for field in msgspec.structs.fields(ResponseLimits)}


def codes_there_are() -> frozenset[str]:
    """Every code that the interlock gives."""
    return frozenset(BY_CODE) | frozenset(REFUSALS) | frozenset(PERMISSIVES) | frozenset(REASONS)


def named_by(limit: str, there: Mapping[str, str]) -> frozenset[str]:
    """The limits that a row's name stands for; `*.` is every modality that has it."""
    if not limit.startswith("*."):
        return frozenset({limit} & there.keys())
    return frozenset(f"{m}.{limit[2:]}" for m in get_args(Modality)) & there.keys()


@functools.cache
def tests_of(file: Path) -> frozenset[str]:
    """The test functions of a file, without importing it."""
    if not file.is_file():
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def orphans(hazards: tuple[Hazard, ...]) -> Iterator[str]:
    """What is named and not there, and what is there and not named; a line each."""
    there, codes = limits_there_are(), codes_there_are()
    ids = [row.id for row in hazards]
    yield from (f"{each}: the id of two rows" for each in sorted({i for i in ids if ids.count(i) > 1}))
    for row in hazards:
        if not re.fullmatch(r"H\d\d", row.id):
            yield f"{row.id}: expected H and two digits"
        if not row.tests or not row.files:
            yield f"{row.id}: no test, or no file"
        yield from (
            f"{row.id}: no limit is called {each}" for each in row.limits if not named_by(each, there)
        )
        yield from (f"{row.id}: no code is called {each}" for each in row.codes if each not in codes)
        yield from (f"{row.id}: no file {each}" for each in row.files if not (ROOT / each).is_file())
        for node in row.tests:
            file, _, name = node.partition("::")
            if name not in tests_of(ROOT / file):
                yield f"{row.id}: no test {node}"
    named = {name for row in hazards for each in row.limits for name in named_by(each, there)}
    yield from (f"{each}: a limit that no hazard names" for each in sorted(there.keys() - named))
    coded = {each for row in hazards for each in row.codes}
    yield from (f"{each}: a code that no hazard names" for each in sorted(codes - coded))


# The table


def table(hazards: tuple[Hazard, ...], results: Mapping[str, str]) -> str:
    """The page. `results`: what came of a test, by its node; a row's result is the worst of its tests."""
    lines = [
        "# Hazards, guards, tests",
        "",
        "Made by `python -m tests.hazards` from `tests/hazards.toml`; do not edit. Every limit of every modality, every",
        "trip, refusal and permissive is named by a row, and every row names tests that exist:",
        "`tests/architecture/test_hazards.py` fails otherwise. ✓ and ✗ are what `python -m tests.hazards --run` last found.",
        "",
        "| | hazard | guard | limits | codes | files | tests | result |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in hazards:
        cells = (
            row.id, row.hazard, row.guard, _several(row.limits), _several(row.codes), _several(row.files),
            "<br>".join(f"`{_short(node)}`{MARKS[results.get(node, NOT_RUN)]}" for node in row.tests),
            result_of(row, results),
        )  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", "## Codes", "", "What each means and asks for stands in [`codes.md`](codes.md).", ""]
    lines += ["| code | hazards |", "|---|---|"]
    for code in sorted(codes_there_are()):
        lines.append(f"| {code} | {', '.join(row.id for row in hazards if code in row.codes)} |")
    return "\n".join(lines) + "\n"


def result_of(row: Hazard, results: Mapping[str, str]) -> str:
    """One word for a row: the worst of its tests, with their number."""
    found = [results.get(node, NOT_RUN) for node in row.tests]
    for worst in ("failed", NOT_RUN):
        if worst in found:
            return f"{found.count(worst)} of {len(found)} {worst}"
    return f"{len(found)} passed"


def results_of(page: str) -> dict[str, str]:
    """The results that a page holds, by the mark behind each test."""
    words = {mark: word for word, mark in MARKS.items()}
    return {f"tests/{node}": words[mark] for node, mark in _TEST.findall(page) if mark}


def run(nodes: frozenset[str], junit: Path) -> dict[str, str]:
    """Run tests; what came of each node. One that has no case at all did not run."""
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"--junitxml={junit}", *sorted(nodes)],
        cwd=ROOT, timeout=RUN_S_MAX, check=False,
    )  # fmt: skip
    found: dict[str, str] = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        path = case.get("classname", "").replace(".", "/") + ".py"
        node = f"{path}::{case.get('name', '').partition('[')[0]}"
        bad = case.find("failure") is not None or case.find("error") is not None
        missing = case.find("skipped") is not None
        word = "failed" if bad else NOT_RUN if missing else "passed"
        found[node] = word if found.get(node, "passed") == "passed" else found[node]
    return found


def _several(names: tuple[str, ...]) -> str:
    return "<br>".join(f"`{name}`" for name in names) or "–"


def _short(node: str) -> str:
    return node.removeprefix("tests/")


def main(argv: list[str]) -> int:
    """Write the table; 1 when something is an orphan, or a test that was run did not pass."""
    if argv[:1] not in ([], ["--run"]) or len(argv) > 2:
        sys.stderr.write(
            f"python -m tests.hazards: found {' '.join(argv)}, expected nothing or --run [BEGINNING]\n"
        )
        return 2
    hazards = rows()
    found = list(orphans(hazards))
    sys.stderr.write("".join(f"{line}\n" for line in found))
    nodes = frozenset(node for row in hazards for node in row.tests)
    page = TABLE.read_text(encoding="utf-8") if TABLE.exists() else ""
    results = {node: word for node, word in results_of(page).items() if node in nodes}
    ran: dict[str, str] = {}
    if argv:
        wanted = frozenset(node for node in nodes if node.startswith(argv[1] if len(argv) > 1 else ""))
        if not wanted:
            sys.stderr.write(f"python -m tests.hazards: no test of a hazard begins with {argv[1]}\n")
            return 2
        with tempfile.TemporaryDirectory() as folder:
            ran = run(wanted, Path(folder) / "junit.xml")
    TABLE.write_text(table(hazards, results | ran), encoding="utf-8")
    return 1 if found or any(word != "passed" for word in ran.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
