"""Mutants inside the functions of the decision core: a test notices each, or it stands in a dated list of at most three.

A case is a file, a seed one of its mutants; a result holds until the function changes that the mutant is in. A survivor is
tried again with each campaign, for its test may have come meanwhile.
"""

from __future__ import annotations

from tests.campaign.mutating import trying
from tests.campaign.proof import Case, Outcome, Proof


def cases() -> list[Case]:
    """One a deciding file."""
    return trying.cases(inside=True)


def run(case: str, seed: int) -> Outcome:
    """One mutant of a file, in a child in which tests and code are loaded already."""
    return trying.run(case, seed, inside=True)


PROOF = Proof(
    name="mutation", title=__doc__.partition("\n")[0], cases=cases, run=run,
    seeds=lambda case: tuple(trying.by_seed(case, True)), timeout_s=1000.0,
)  # fmt: skip
