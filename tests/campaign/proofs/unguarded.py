"""Tests of tests: the safety tests notice when the interlock permits everything, and when any single guard is removed.

A case is a guard. *Held*: a test failed by its own words. *Failed*: no test noticed. The control comes first: with nothing
removed all tests must pass, else nothing that they notice means anything, and every answer is void.
"""

from __future__ import annotations

import functools
import os
import tomllib
from pathlib import Path

from tests.campaign.proof import Case, Outcome, Proof, Result, Void
from tests.campaign.standing import digest
from tests.campaign.unguarded.guards import Guard, guards
from tests.campaign.unguarded.reached import Fails, Known, file_of, measured, ordered, test_files
from tests.campaign.unguarded.removing import touched
from tests.campaign.unguarded.serving import Found, Held

SUITE = "NOCILOOP_CAMPAIGN_IN_SUITE"
CONTROL = "control: nothing removed"
SHORT = ("stub: everything is permitted", "trip ILK-001: STOP was pressed", "tacs amplitude_ma_pp: no layer")
ALLOWED = Path(__file__).parents[1] / "unguarded" / "allowed.toml"
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
    """The control, and each guard once."""
    control = Case(name=CONTROL, short=0, long=1, unit="guards")
    return [control] + [
        Case(name=name, short=int(name in SHORT), long=1, unit="guards", measure="took_s")
        for name in _by_name()
    ]


@functools.cache
def code(_: str) -> str:
    """Of what takes guards out."""
    return digest(REMOVING)


@functools.cache
def _of_test(file: str) -> str:
    return digest([file])


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
def _control() -> Known | str:
    """Every test with nothing removed, or why that is nothing to go by."""
    try:
        return measured(_held())
    except Fails as error:
        return str(error)


def run(case: str, seed: int) -> Outcome:
    """Remove one guard, and see who notices."""
    del seed
    if os.environ.get(SUITE) == "1":  # the suite itself is the control
        return _outcome(case, _tried_by_near(case))
    known = _control()
    if isinstance(known, str):
        if case == CONTROL:
            return Outcome("failed", f"with nothing removed: {known}", {"stands": _of_all()})
        raise Void(f"the control failed: {known}")
    if case == CONTROL:
        took_s = round(sum(known.took_s.values()))
        return Outcome("held", "", {"tests": len(known.took_s), "tests_s": took_s, "stands": _of_all()})
    guard, held = _by_name()[case], _held()
    order = ordered(held.tests, known, touched(guard.remove), case, guard.near)
    return _outcome(case, held.tried(case, order))


def _tried_by_near(case: str) -> Found:
    """Without a control nothing is known of the tests but their files."""
    guard, held = _by_name()[case], _held()

    def rank(number: int) -> tuple[int, int]:
        stem = Path(file_of(held.tests[number])).stem
        return min(
            (at for at, word in enumerate(guard.near) if word in stem), default=len(guard.near)
        ), number

    return held.tried(case, sorted(range(len(held.tests)), key=rank))


def _outcome(case: str, found: Found) -> Outcome:
    """In words; a test that noticed must notice again, alone: else it was the machine that it noticed."""
    took = {"took_s": round(found.took_s, 1), "tests": len(found.ran)}
    of_all = {**took, "stands": _of_all()}
    if found.answer == "void":
        return Outcome("void", found.text, of_all)
    if found.answer == "unnoticed" and case in allowed():
        return Outcome("held", f"allowed: {allowed()[case]}", of_all)
    if found.answer == "unnoticed":
        return Outcome("failed", "no test noticed", of_all)
    again = _held().tried(case, found.by)
    if again.answer != "noticed":
        return Outcome("void", f"noticed once, and not again: {found.text}", of_all)
    by = file_of(_held().tests[found.by[0]])
    return Outcome("held", found.text, {**took, "by": by, "stands": _of_test(by)})


PROOF = Proof(
    name="unguarded", title=__doc__.partition("\n")[0], cases=cases, run=run, code=code, stands=stands,
    seeds=lambda _: (0,), timeout_s=7200.0,
)  # fmt: skip
