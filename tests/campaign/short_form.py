"""The short form of a proof, run as the campaign runs the long one."""

from __future__ import annotations

from pathlib import Path

from tests.campaign import results
from tests.campaign.proof import PROOFS, proof
from tests.campaign.running import bar_of, counted, run

_SHORT = [name for name in PROOFS if any(case.short for case in proof(name).cases())]
PURE = tuple(name for name in _SHORT if proof(name).load == "none")
UNDER_LOAD = tuple(name for name in _SHORT if proof(name).load != "none")


def holds(name: str, folder: Path) -> None:
    """Each case of a proof is tried as often as its short bar asks, and none fails."""
    said: list[str] = []
    jobs = 1 if name == "unguarded" else 2  # of which each collects all safety tests
    assert run([name], "short", folder, jobs=jobs, budget_s=300.0, say=said.append), said
    known = results.load(folder, name)
    for case in proof(name).cases():
        found = counted(proof(name), case, known)
        tried = sum(each.n for each in found if each.outcome != "void")
        assert tried >= bar_of(proof(name), case, "short"), (case.name, found, said)
