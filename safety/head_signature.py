"""ledger.jsonl.sig: heads of a ledger that named persons signed after the session, a line each. Pure.

Whoever holds a ledger can write all of it anew; not the signature of somebody whose key they lack. A signed head that the
ledger does not have, at the line that was its last, shows that the file was cut or rewritten since.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from drivers.stimulation import Value
from safety.acts import is_signed_by, public_key_hex, reason_problem
from safety.limit_values import Person
from safety.state import Rules

SUFFIX = ".sig"
LINE_BYTES_MAX = 4096  # own choice: several times what a name, a reason and the hex digits take
BYTES_MAX = 65_536  # own choice: some hundred signatures
_DOMAIN = b"nociloop head 1\n"  # a signature made for anything else can never be read as one of a head
_HEAD = re.compile(r"[0-9a-f]{64}")


class SignedHead(Value, frozen=True):
    """Who signed which head: the hash of line `entries`, which was the last. `wall_ns` is the signer's own clock."""

    schema: int
    head: str
    entries: int
    person: str
    public_key: str
    reason: str
    wall_ns: int
    signature: str


_decoder = msgspec.json.Decoder(SignedHead)


def signers(rules: Rules) -> tuple[Person, ...]:
    """Who may sign a ledger with these rules: the persons of its limits, and the officer who signed those."""
    if rules.signed is None:
        return rules.limits.people
    officer = Person(name=rules.signed.by, role="officer", public_key=rules.signed.public_key, salt="")
    return (*rules.limits.people, officer)


def sign(
    key: Ed25519PrivateKey, *, head: str, entries: int, person: str, reason: str, wall_ns: int
) -> SignedHead:
    """The signature of a person under a head."""
    unsigned = SignedHead(
        schema=1,
        head=head,
        entries=entries,
        person=person,
        public_key=public_key_hex(key),
        reason=reason,
        wall_ns=wall_ns,
        signature="",
    )
    return msgspec.structs.replace(unsigned, signature=key.sign(_signed_bytes(unsigned)).hex())


def encoded(signed: SignedHead) -> bytes:
    """The one way in which a signed head is written."""
    return msgspec.json.encode(signed) + b"\n"


def judge_heads(
    rules: Rules, head_at: Callable[[int], str], content: bytes
) -> tuple[tuple[SignedHead, ...], list[str]]:
    """The heads that a file of signatures holds and the ledger has, and each problem. `head_at`: the hash of the ledger's
    line of a number from 1, "" where there is none."""
    if len(content) > BYTES_MAX:
        return (), [f"{SUFFIX}: more than {BYTES_MAX} bytes, expected a line a signature"]
    good: list[SignedHead] = []
    problems: list[str] = []
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        signed = _decoded(line)
        problem = "cannot be read as a signed head" if signed is None else _problem(rules, head_at, signed)
        if problem:
            problems.append(f"{SUFFIX} line {number}: {problem}")
        elif signed is not None:
            good.append(signed)
    return tuple(good), problems


def _decoded(line: bytes) -> SignedHead | None:
    """What a line holds; None for anything that `encoded` would not have written."""
    if len(line) > LINE_BYTES_MAX:
        return None
    try:
        found = _decoder.decode(line)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    in_range = 1 <= found.entries < 2**53 and 0 <= found.wall_ns < 2**63
    plain = (
        in_range and found.schema == 1 and _HEAD.fullmatch(found.head) and not reason_problem(found.reason)
    )
    return found if plain and encoded(found) == line else None


def _problem(rules: Rules, head_at: Callable[[int], str], signed: SignedHead) -> str:
    """What speaks against a signed head, or against the ledger; "" where both fit."""
    named = any((each.name, each.public_key) == (signed.person, signed.public_key) for each in signers(rules))
    if not named:
        return f"signed by {signed.person[:64]!a} with a key that the ledger's limits do not name"
    if not is_signed_by(signed.public_key, signed.signature, _signed_bytes(signed)):
        return f"the signature of {signed.person[:64]!a} does not fit"
    if head_at(signed.entries) != signed.head:
        return (
            f"{signed.person} signed head {signed.head[:16]}… as that of {signed.entries} lines, and the ledger has another "
            "there: it was cut or rewritten"
        )
    return ""


def _signed_bytes(signed: SignedHead) -> bytes:
    fields = (
        signed.schema,
        signed.head,
        signed.entries,
        signed.person,
        signed.public_key,
        signed.reason,
        signed.wall_ns,
    )
    return _DOMAIN + msgspec.json.encode(fields)
