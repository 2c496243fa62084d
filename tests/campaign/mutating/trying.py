"""One mutant, tried; which files have mutants, and which survivors are allowed. Nothing of the four packages is imported."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from functools import partial
from pathlib import Path

from tests.campaign import results
from tests.campaign.mutating import fresh, loaded, putting
from tests.campaign.mutating.importing import at_import
from tests.campaign.mutating.mutants import Mutant, mutants
from tests.campaign.proof import ROOT, Case, Outcome

_KILLER = re.compile(r":\d+ (?P<function>\S+\(\)): `.*: (?P<test>tests/[^ ]+\.py::.*?): \w+: ")
SURVIVORS = Path(__file__).with_name("survivors.toml")
SURVIVORS_MAX = 3
BESIDE = ("verify", "wire")  # what judges a ledger and what reads a frame, beside what decides


@functools.cache
def files() -> tuple[str, ...]:
    """The deciding files, as safety/software.py names them, and those beside them; read, not imported."""
    tree = ast.parse((ROOT / "safety" / "software.py").read_text(encoding="utf-8"))
    value = next(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DECIDING"
    )
    words = [node.value for node in ast.walk(value) if isinstance(node, ast.Constant)]
    names = [word for word in words if isinstance(word, str)]
    found = {
        (ROOT / "safety" / f"{name}.py").resolve().relative_to(ROOT).as_posix() for name in (*names, *BESIDE)
    }
    return tuple(sorted(found))


@functools.cache
def mutants_of(file: str, inside: bool) -> tuple[Mutant, ...]:
    """The mutants of a file: inside its functions, or outside of them; what runs while modules load is outside."""
    found = mutants((ROOT / file).read_text(encoding="utf-8"))
    early = at_import(files())

    def is_inside(mutant: Mutant) -> bool:
        return mutant.function.endswith("()") and (file, mutant.function) not in early

    return tuple(mutant for mutant in found if is_inside(mutant) == inside)


@functools.cache
def by_seed(file: str, inside: bool) -> dict[int, Mutant]:
    """The same, by the seed of each."""
    return {mutant.seed: mutant for mutant in mutants_of(file, inside)}


@functools.cache
def allowed() -> dict[str, str]:
    """The survivors that may be, with their reasons; more than three are none."""
    found: dict[str, str] = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))["allowed"]
    if len(found) > SURVIVORS_MAX:
        raise ValueError(f"{SURVIVORS}: {len(found)} survivors, expected at most {SURVIVORS_MAX}")
    return found


def cases(inside: bool) -> list[Case]:
    """One a file that has such mutants."""
    return [
        Case(
            name=file,
            short=int(file.endswith("bounds.py")),
            long=10**6,
            unit="mutants",
            measure="took_s",
        )
        for file in files()
        if mutants_of(file, inside)
    ]


@functools.cache
def _loaded() -> loaded.Loaded:
    found = loaded.Loaded(files())
    for each in results.load(ROOT / ".campaign", "mutation"):
        if killer := _KILLER.search(each.text):
            found.remember(each.case, killer["function"], killer["test"])
    if failing := found.learn(()):
        print(f"not asked, for they fail with nothing changed: {', '.join(failing)}", flush=True)
    return found


@functools.cache
def _fresh() -> fresh.Fresh:
    return fresh.Fresh()


def run(file: str, seed: int, inside: bool) -> Outcome:
    """Put one mutant in, and see who notices."""
    mutant = by_seed(file, inside)[seed]
    if inside:
        put = partial(putting.into_function, file, mutant)
        found = _loaded().tried(put, file, mutant.function, mutant.line)
    else:
        found = _fresh().tried(partial(putting.into_module, file, mutant), file)
    measured = {"took_s": round(found.took_s, 2), "tests": found.tests}
    name = f"{file}:{mutant.line} {mutant.name}"
    if found.answer == "unnoticed" and found.text:
        return Outcome("void", f"not noticed yet: {name} {found.text}", measured)
    if found.answer == "unnoticed":
        why = allowed().get(f"{file} {mutant.name}")
        return (
            Outcome("held", f"{name}: allowed: {why}", measured)
            if why
            else Outcome("failed", f"survived: {name}", measured)
        )
    if found.answer == "void":
        return Outcome("void", f"{name}: {found.text}"[:300], measured)
    return Outcome("held", f"{name}: {found.text}"[:300], measured)
