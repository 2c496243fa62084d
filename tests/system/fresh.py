"""A participant for the next session of a test's rig: made anew, never stimulated before."""

from __future__ import annotations

import shutil
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safety.acts import public_key_hex
from safety.admission import Refused, read_limits
from safety.limit_values import Person
from safety.participants import new_participant

OFFICERS_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(7, 39)))
OFFICER = Person(name="maker", role="officer", public_key=public_key_hex(OFFICERS_KEY), salt="0" * 32)


def fresh_participant(state: Path, limits: Path) -> None:
    """Forget the participant of a limits file and make them anew, so that sessions of one test need no gap between
    them; of a file that is not whole there is none."""
    shutil.rmtree(state / "participants", ignore_errors=True)
    shutil.rmtree(state / "heads", ignore_errors=True)
    (state / "site.jsonl").unlink(missing_ok=True)
    try:
        found = read_limits(limits)
    except Refused:
        return
    new_participant(state, found, OFFICER, OFFICERS_KEY, "test")
