"""Tests of tests: the safety tests notice when the interlock permits everything, and when any single guard is removed.

A case is a guard. *Held*: a test failed by its own words. *Failed*: no test noticed. The control comes first: with nothing
removed all tests must pass, else nothing that they notice means anything, and every answer is void.
"""

from __future__ import annotations

import fcntl
import functools
import os
import tomllib
from pathlib import Path

from tests.campaign.proof import ROOT, Case, Outcome, Proof, Void
from tests.campaign.unguarded.guards import Guard, guards
from tests.campaign.unguarded.tried import CHILD_S, Found, prepare, tree_at_first, tried

SUITE = "NOCILOOP_CAMPAIGN_IN_SUITE"
CONTROL = "control: nothing removed"
SHORT = ("stub: everything is permitted", "trip ILK-001: STOP was pressed", "tacs amplitude_ma_pp: no layer")
ALLOWED = Path(__file__).parents[1] / "unguarded" / "allowed.toml"


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


def code(_: str) -> str:
    """Of all that is tried here, the tests with it: a guard is noticed by them or not."""
    return tree_at_first()


@functools.cache
def _prepared() -> None:
    prepare()


@functools.cache
def _control() -> Found:
    """Once for this code, whichever process tries it first; where the suite runs, the suite itself is the control."""
    if os.environ.get(SUITE) == "1":
        return Found("unnoticed", "", 0, 0.0)
    folder = ROOT / ".campaign"
    folder.mkdir(exist_ok=True)
    passed = folder / f"unguarded-control-{code('')}"
    with (folder / "unguarded.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # bounded: whoever holds it waits for one run of the tests at most
        if passed.exists():
            return Found("unnoticed", "", 0, 0.0)
        found = tried(None)
        if found.answer == "unnoticed":
            passed.touch()
        return found


def run(case: str, seed: int) -> Outcome:
    """Remove one guard, and see who notices."""
    del seed
    _prepared()
    control = _control()
    if case == CONTROL:
        if control.answer != "unnoticed":
            return Outcome("failed", f"with nothing removed: {control.text}")
        return Outcome("held", "", {"tests": control.tests})
    if control.answer != "unnoticed":
        raise Void(f"the control failed: {control.text}")
    guard = _by_name()[case]
    found = tried(guard.remove, guard.near)
    measured = {"took_s": round(found.took_s, 1), "tests": found.tests}
    if found.answer == "void":
        return Outcome("void", found.text, measured)
    if found.answer == "unnoticed" and case in allowed():
        return Outcome("held", f"allowed: {allowed()[case]}", measured)
    if found.answer == "unnoticed":
        return Outcome("failed", "no test noticed", measured)
    return Outcome("held", found.text, measured)


PROOF = Proof(
    name="unguarded", title=__doc__.partition("\n")[0], cases=cases, run=run, code=code, seeds=lambda _: (0,),
    timeout_s=2 * CHILD_S + 100.0,
)  # fmt: skip
