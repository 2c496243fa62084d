"""The signature of the limits, looked at after the session: what a ledger's first line says of it, and the file at hand."""

from __future__ import annotations

from typing import Literal

from safety.signature import SignatureError, decoded, holds
from safety.state import Rules

SignatureFile = Literal["the same", "another", "not at hand", "unsigned"]


def judge_signature(rules: Rules, content: bytes | None) -> tuple[SignatureFile, list[str]]:
    """Whether the signature file at hand, if there is one, is the one that the ledger holds; and each problem.

    The signature that the ledger holds is verified by its own numbers: whether its key was to be trusted, only the
    trust store of the day could say.
    """
    signed = rules.signed
    if signed is None:
        if content is None:
            return "unsigned", []
        return "another", ["limits.toml.sig: the ledger holds no signature, the limits ran unsigned"]
    problems = []
    if not holds(signed, rules.limits.digest):
        problems.append("line 1: the signature of the limits does not fit key, fingerprint and digest")
    if content is None:
        return "not at hand", problems
    try:
        found = decoded(content)
        same = (found.key, found.signature) == (signed.fingerprint, signed.signature)
    except SignatureError:
        same = False
    if not same:
        problems.append("limits.toml.sig: not the signature that the ledger holds")
    return "the same" if same else "another", problems
