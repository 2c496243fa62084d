"""Mutants outside of functions, in the tables and constants of the decision core: as those inside, each module made anew.

Nothing of the four packages may be loaded in this process: each child imports the mutant, and all that rests on it.
"""

from __future__ import annotations

from tests.campaign.mutating import trying
from tests.campaign.proof import Case, Outcome, Proof


def cases() -> list[Case]:
    """One a deciding file."""
    return trying.cases(inside=False)


def run(case: str, seed: int) -> Outcome:
    """One mutant of a file, in a child that imports code and tests anew."""
    return trying.run(case, seed, inside=False)


PROOF = Proof(
    name="mutation-constants", title=__doc__.partition("\n")[0], cases=cases, run=run,
    seeds=lambda case: tuple(trying.by_seed(case, False)), timeout_s=1000.0,
)  # fmt: skip
