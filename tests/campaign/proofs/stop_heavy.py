"""STOP under heavy load, two writers without a bound: the same times to zero; that something else trips is allowed."""

from __future__ import annotations

from tests.campaign.proof import Proof
from tests.campaign.proofs.stop import cases, run

PROOF = Proof(name="stop-heavy", title=__doc__.partition("\n")[0], cases=cases, run=run, load="heavy")
