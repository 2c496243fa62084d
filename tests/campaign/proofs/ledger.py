"""No damage to a ledger goes unseen: each single bit flipped, a cut at each byte, lines deleted, swapped, doubled, bytes put
in, two ledgers spliced; with the head kept elsewhere, each is called tampered.
"""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tests.campaign.proof import Case, Outcome, Proof
from tests.campaign.standing import digest
from tests.safety import damages
from tests.safety.damages import Damage
from tests.safety.ledgers import session, write
from tests.safety.world import World, rules_of

BYTES = {"bit": 50, "cut": 400, "insertion": 100}  # of the file, a trial
LINES = ("deletion", "swap", "doubling", "splice")


@functools.cache
def samples() -> dict[str, bytes]:
    """Two ledgers: of a whole session, and of pulses that STOP ended."""
    world = World(rules_of("rtms")).armed()
    world.ask()
    world.run_ms(300)
    world.stop()
    world.run_ms(300)
    world.present(world.act("reset"))
    world.run_ms(50)
    found = {}
    for name, made in (("a session", session()), ("a stop", world)):
        with tempfile.TemporaryDirectory() as folder:
            found[name] = write(Path(folder), made).read_bytes()
    return found


def cases() -> list[Case]:
    """Sample x kind of damage."""
    return [
        Case(name=f"{kind} of {sample}", short=int(kind == "swap"), long=10**6, unit="spans")
        for sample in samples()
        for kind in (*BYTES, *LINES)
    ]


def seeds(case: str) -> range:
    """Spans of the file, to its end; what is done to lines is done in one."""
    kind, _, sample = case.partition(" of ")
    return range(-(-(len(samples()[sample]) + 1) // BYTES[kind])) if kind in BYTES else range(1)


@functools.cache
def code(case: str) -> str:
    """Of the sample, of the damages and of what judges them."""
    sample = samples()[case.partition(" of ")[2]]
    judges = digest(["tests/safety/damages.py"])
    return hashlib.sha256(judges.encode() + sample).hexdigest()[:16]


def run(case: str, seed: int) -> Outcome:
    """Every damage of a kind within one span, each judged without an anchor and with it."""
    kind, _, sample = case.partition(" of ")
    content = samples()[sample]
    other = next(found for name, found in samples().items() if name != sample)
    tried = 0
    for anchored in (False, True):
        found = list(_damages(kind, content, other, seed))
        tried += len(found)
        missed = list(islice(damages.missed(content, iter(found), anchored=anchored), 5))
        if missed:
            return Outcome(
                "failed", f"{'anchored' if anchored else 'alone'}: {'; '.join(missed)}", {"damages": tried}
            )
    return Outcome("held", "", {"damages": tried})


def _damages(kind: str, content: bytes, other: bytes, seed: int) -> Iterator[Damage]:
    if kind in BYTES:
        end = len(content) + (kind == "insertion")
        span = range(seed * BYTES[kind], min(end, (seed + 1) * BYTES[kind]))
        make = {"bit": damages.flips, "cut": damages.truncations, "insertion": damages.insertions}[kind]
        return make(content, span)
    if kind == "splice":
        return damages.splices(content, other)
    return {"deletion": damages.deletions, "swap": damages.swaps, "doubling": damages.doublings}[kind](
        content
    )


PROOF = Proof(
    name="ledger", title=" ".join(__doc__.split("\n\n")[0].split()), cases=cases, run=run, code=code, seeds=seeds,
    timeout_s=1800.0,
)  # fmt: skip
