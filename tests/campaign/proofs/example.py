"""No proof: what the campaign's own tests try. It holds, fails, hangs and crashes as its cases say."""

from __future__ import annotations

import os
import time

from tests.campaign.proof import Case, Outcome, Proof, Void


def cases() -> list[Case]:
    """One for each thing that a trial can do."""
    return [
        Case(name=name, short=2, long=6, measure="ms", bound=3.0)
        for name in ("holds", "fails", "raises", "void", "hangs", "crashes")
    ]


def run(case: str, seed: int) -> Outcome:
    """Do as the case says."""
    match case:
        case "fails":
            return Outcome("failed", "it does not hold")
        case "raises":
            raise ValueError("what nobody expected")
        case "void":
            if seed < 3:
                raise Void("nothing is shown by this one")
        case "hangs":
            time.sleep(60.0)
        case "crashes":
            os.abort()
    return Outcome("held", "", {"ms": float(seed)})


PROOF = Proof(name="example", title=__doc__.partition("\n")[0], cases=cases, run=run, timeout_s=3.0)
