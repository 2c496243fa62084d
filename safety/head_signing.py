"""Signing a ledger's head after the session: who may, and the line put beside the ledger."""

from __future__ import annotations

import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safety import trust
from safety.acts import reason_problem
from safety.admission import Refused
from safety.head_signature import BYTES_MAX, SUFFIX, encoded, sign
from safety.limit_values import Person
from safety.officers import trusted_officer
from safety.regular_file import put_durably, read_regular
from safety.verify import Verdict


def judge_signing(persons: tuple[Person, ...], name: str, reason: str) -> Person:
    """Which of these signs, before anybody types a pass-phrase; raises Refused with a line for who or what cannot be."""
    problem = reason_problem(reason)
    if problem:
        raise Refused(problem)
    who = next((each for each in persons if each.name == name), None)
    if who is None:
        known = ", ".join(each.name for each in persons)
        raise Refused(
            f"--person: found {ascii(name)[:80]}, expected somebody whom the ledger's limits name ({known})"
        )
    return who if who.salt else _of_trust_store(who)


def _of_trust_store(officer: Person) -> Person:
    """The officer who signed the limits, with the salt that stands in the trust store alone; raises Refused."""
    try:
        found = trusted_officer(officer.name)
    except trust.TrustError as error:
        raise Refused(str(error)) from error
    if found is None or found.public_key != officer.public_key:
        raise Refused(
            f"--person: the key of {officer.name}, who signed the limits, is not in the trust store of this machine; sign "
            "where it is"
        )
    return found


def sign_head(verdict: Verdict, person: Person, key: Ed25519PrivateKey, reason: str) -> str:
    """Put a person's signature beside a ledger, after those that are there, and say so; raises Refused."""
    signed = sign(
        key,
        head=verdict.head,
        entries=verdict.entries,
        person=person.name,
        reason=reason,
        wall_ns=time.time_ns(),
    )
    beside = beside_of(verdict.path)
    try:
        content = kept_heads(verdict.path) + encoded(signed)
    except OSError as error:
        raise Refused(
            f"{beside}: cannot be read ({error.strerror}); expected signed heads, or none"
        ) from error
    if len(content) > BYTES_MAX:
        raise Refused(f"{beside}: found no room in {BYTES_MAX} bytes; keep it, and begin another")
    try:
        put_durably(beside, content, 0o644)
    except OSError as error:
        raise Refused(
            f"{beside}: cannot be written ({error.strerror}); expected a folder that you may write"
        ) from error
    return f"{beside}: head {verdict.head} signed by {person.name}"


def beside_of(ledger: Path) -> Path:
    """Where the signed heads of a ledger stand: beside it."""
    return ledger.with_name(ledger.name + SUFFIX)


def kept_heads(ledger: Path) -> bytes:
    """What persons signed of a ledger: nothing where nobody has; raises OSError."""
    try:
        return read_regular(beside_of(ledger), BYTES_MAX, follow=False)
    except FileNotFoundError:
        return b""
