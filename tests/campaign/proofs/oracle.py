"""Two hands, one verdict: whatever the first implementation of the limits permits, the second in exact rationals does.

Plain seeded random trains, most of them near a limit of random limits files. What the first hand refuses and the second
would let pass is counted (`stricter`): it is no fault, but much of it would mean that the second hand sees too little.
"""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import cast, get_args

import msgspec

from drivers.capabilities import Capabilities, Envelope
from drivers.stimulation import Modality
from safety.modalities import Facts, check, check_slew
from safety.oracle import objections
from safety.oracle_numbers import Circumstances, exact
from tests.campaign.proof import Case, Outcome, Proof
from tests.safety.random_trains import random_limits, random_train
from tests.safety.strategies import TODAY, caps_of

MODALITIES: tuple[Modality, ...] = get_args(Modality)
REQUESTS = 2_000  # of a trial
FILES = 8  # limits files of a trial


def cases() -> list[Case]:
    """One a modality; a million in all."""
    each = -(-1_000_000 // len(MODALITIES))
    return [
        Case(
            name=modality,
            short=REQUESTS * (modality in ("tacs", "tus")),
            long=each,
            unit="requests",
            measure="stricter_pct",
        )
        for modality in MODALITIES
    ]


def run(case: str, seed: int) -> Outcome:
    """Some thousand requests of one modality."""
    modality = cast(Modality, case)
    rng = random.Random(f"oracle/{case}/{seed}")
    permitted = objected = stricter = 0
    for index in range(REQUESTS):
        if index % (REQUESTS // FILES) == 0:
            limits, caps = random_limits(modality, rng), _device(modality, rng)
        train = random_train(limits, caps, rng)
        kohm = rng.choice([5.0, 5.0, 5.0, 5.0, 10.0, 15.0, 20.0, 20.000001, 0.0, math.nan, None])
        present = rng.choice([0.0, 0.0, round(rng.uniform(0.0, 2.0), 3)])
        refused = check(train, limits, caps, Facts(today=TODAY, impedance_kohm=kohm))
        refused = refused or check_slew(train, present, limits)
        found = objections(
            train,
            Circumstances(
                limits=limits, capabilities=caps, today=TODAY, simulated=True, impedance_kohm=kohm,
                least_ma_pp=exact(present) or Fraction(0),
            ),
        )  # fmt: skip
        permitted += not refused
        objected += bool(found)
        stricter += bool(refused) and not found
        if found and not refused:
            return Outcome(
                "failed", f"permitted, and the oracle objects {found}: {train} under {limits.rows}"
            )
    measured = {
        "n": REQUESTS,
        "permitted": permitted,
        "objected": objected,
        "stricter_pct": 100 * stricter / REQUESTS,
    }
    if permitted < REQUESTS // 100 or objected < REQUESTS // 20:
        return Outcome(
            "void", f"{permitted} permitted and {objected} objected of {REQUESTS}: too one-sided", measured
        )
    return Outcome("held", "", measured)


def _device(modality: Modality, rng: random.Random) -> Capabilities:
    """The usual device, at times without steps."""
    caps = caps_of(modality)
    if rng.random() < 0.3:
        free: dict[str, Envelope] = {
            name: msgspec.structs.replace(each, step=0.0) for name, each in caps.envelopes.items()
        }
        caps = msgspec.structs.replace(caps, envelopes=free)
    return caps


PROOF = Proof(name="oracle", title=__doc__.partition("\n")[0], cases=cases, run=run, timeout_s=120.0)
