"""All states of the interlock that an alphabet of events reaches, over a fine abstraction, each step held against what must
be true: no output but in ARMED, no way from TRIPPED but a reset, STOP always taken, no lease outlived.
"""

from __future__ import annotations

import functools
from typing import cast

from drivers.stimulation import MODALITIES, Modality
from tests.campaign.proof import Case, Outcome, Proof
from tests.campaign.standing import digest
from tests.safety.exploring import explore

STATES_MAX = {"coarse": 20_000, "fine": 300_000}


def cases() -> list[Case]:
    """Every modality over the coarse abstraction, a hold and a pulse train over the fine one."""
    names = [
        *(f"{modality} coarse" for modality in MODALITIES),
        *(f"{modality} fine" for modality in ("tacs", "rtms")),
    ]
    return [Case(name=name, short=0, long=1, unit="explorations", measure="states") for name in names]


@functools.cache
def code(_: str) -> str:
    """Of the interlock, the alphabet and what is held against each step."""
    return digest(["tests/safety/exploring.py"])


def run(case: str, seed: int) -> Outcome:
    """One exploration, to its end."""
    del seed
    modality, grain = case.split()
    found = explore(cast(Modality, modality), fine=grain == "fine", states_max=STATES_MAX[grain])
    measured = {
        "states": found.states,
        "steps": found.steps,
        "trips": len(found.trips),
        "armed": found.phases["ARMED"],
    }
    if not found.complete:
        return Outcome("failed", f"not exhausted within {STATES_MAX[grain]} states", measured)
    if not found.phases["ARMED"] or "running" not in found.seen:
        return Outcome("void", "it never came to output", measured)
    return Outcome("held", "", measured)


PROOF = Proof(
    name="exploration", title=" ".join(__doc__.split("\n\n")[0].split()), cases=cases, run=run, code=code,
    seeds=lambda _: (0,), timeout_s=7200.0,
)  # fmt: skip
