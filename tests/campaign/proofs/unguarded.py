"""Tests of tests: the safety tests notice when the interlock permits everything, and when any single guard is removed.

A case is a guard. *Held*: a test failed by its own words, which passes with nothing removed. *Failed*: no test noticed.
The control is a case of its own: with nothing removed all tests pass. A guard that is not noticed within some seconds is
put off, void for now; tried again, it is tried to the end, unless it stands in allowed.toml.
"""

from __future__ import annotations

import functools
import hashlib
import tomllib
from pathlib import Path

from tests.campaign.mutating import reached
from tests.campaign.proof import ROOT, Case, Outcome, Proof, Result
from tests.campaign.standing import digest
from tests.campaign.unguarded.choosing import FOLDER, Fails, control, file_of, ordered, test_files
from tests.campaign.unguarded.guards import Guard, guards
from tests.campaign.unguarded.removing import touched
from tests.campaign.unguarded.serving import CHILD_S, Found, Held

CONTROL = "control: nothing removed"
SHORT = ("stub: everything is permitted", "trip ILK-001: STOP was pressed", "tacs amplitude_ma_pp: no layer")
ALLOWED = Path(__file__).parents[1] / "unguarded" / "allowed.toml"
FIRST_CPU_S = 20.0
REMOVING = tuple(f"tests/campaign/unguarded/{name}.py" for name in ("guards", "removing"))


@functools.cache
def _by_name() -> dict[str, Guard]:
    return {guard.name: guard for guard in guards()}


@functools.cache
def allowed() -> dict[str, str]:
    """Guards that nothing can notice, with the reason and its date."""
    found: dict[str, str] = tomllib.loads(ALLOWED.read_text(encoding="utf-8"))["allowed"]
    return found


def cases() -> list[Case]:
    """Each guard once, and the control."""
    control = Case(name=CONTROL, short=0, long=1, unit="guards")
    return [
        Case(name=name, short=int(name in SHORT), long=1, unit="guards", measure="took_s")
        for name in _by_name()
    ] + [control]


@functools.cache
def code(_: str) -> str:
    """Of what takes guards out."""
    return digest(REMOVING)


@functools.cache
def _of_test(file: str) -> str:
    return digest([file]) if (ROOT / file).is_file() else "gone"


@functools.cache
def _of_all() -> str:
    return digest(test_files())


def stands(result: Result) -> bool:
    """That a test noticed holds for as long as this test, and all that it imports, is as it was; any other answer, for
    as long as all tests are."""
    if "by" in result.measured:
        return result.measured["stands"] == _of_test(str(result.measured["by"]))
    if result.text.startswith("allowed: ") and result.case not in allowed():
        return False
    return result.measured.get("stands", "") == _of_all()


@functools.cache
def _held() -> Held:
    """The tests, loaded in a process of their own, after it is known what they are."""
    _of_all()
    for file in test_files():
        _of_test(file)
    _by_name()
    return Held(lambda name: _by_name()[name].remove if name else None)


@functools.cache
def _known() -> reached.Known:
    return reached.load(ROOT / file for file in test_files())


def run(case: str, seed: int) -> Outcome:
    """Remove one guard, and see who notices."""
    del seed
    held = _held()
    if case == CONTROL:
        return _control(held)
    guard = _by_name()[case]
    order = ordered(held.tests, _known(), touched(guard.remove), " ".join((case, *guard.near)))
    late = FOLDER / "late" / hashlib.sha256(f"{case} {_of_all()}".encode()).hexdigest()[:16]
    found = held.tried(case, order, cpu_s=CHILD_S if late.exists() else FIRST_CPU_S)
    if found.answer == "void" and not found.by and case not in allowed():
        late.parent.mkdir(parents=True, exist_ok=True)
        late.touch()
    return _outcome(held, case, found)


@functools.cache
def _passes(tests: tuple[int, ...]) -> bool:
    return _held().tried("", tests).answer == "unnoticed"


def _control(held: Held) -> Outcome:
    """All tests, with nothing removed."""
    try:
        tests = control(held)
    except Fails as error:
        return Outcome("failed", f"with nothing removed: {error}", {"stands": _of_all()})
    return Outcome("held", "", {"tests": tests, "stands": _of_all()})


def _outcome(held: Held, case: str, found: Found) -> Outcome:
    """In words. The test that noticed must pass with nothing removed, and notice again alone: else it was no guard that
    it noticed."""
    took = {"took_s": round(found.took_s, 1), "tests": found.ran}
    of_all = {**took, "stands": _of_all()}
    if not found.by and case in allowed():
        return Outcome("held", f"allowed: {allowed()[case]}", of_all)
    if found.answer == "void":
        return Outcome("void", found.text, of_all)
    if found.answer == "unnoticed":
        return Outcome("failed", "no test noticed", of_all)
    if not _passes(found.by):
        return Outcome("void", f"noticed with nothing removed: {found.text}", of_all)
    if held.tried(case, found.by).answer != "noticed":
        return Outcome("void", f"noticed once, and not again: {found.text}", of_all)
    by = file_of(held.tests[found.by[0]])
    return Outcome("held", found.text, {**took, "by": by, "stands": _of_test(by)})


PROOF = Proof(
    name="unguarded", title=__doc__.partition("\n")[0], cases=cases, run=run, code=code, stands=stands,
    seeds=lambda _: (0,), timeout_s=7200.0,
)  # fmt: skip
