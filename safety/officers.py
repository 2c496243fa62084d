"""Whose acts upon a participant's store count: the officers of the limits, and those of the trust store. Shell."""

from __future__ import annotations

import os

from safety import trust
from safety.limit_values import Limits, Person


def trusted_officer(name: str) -> Person | None:
    """The officer of that name in the trust store, None where there is none; raises TrustError."""
    key = next((each for each in _trusted() if each.name == name), None)
    if key is None:
        return None
    return Person(name=key.name, role="officer", public_key=key.public_key, salt=key.salt)


def officer_keys(limits: Limits, *, simulated: bool = False) -> frozenset[str]:
    """The public keys whose acts begin a course, and make a participant. A trust store that cannot be used trusts nobody. A
    key that is good for simulated endpoints only begins nothing; where the endpoint is `simulated`, it makes a
    participant."""
    named = {each.public_key for each in limits.people if each.role == "officer"}
    try:
        trusted = {each.public_key for each in _trusted() if simulated or not each.simulated_only}
    except trust.TrustError:
        trusted = set()
    return frozenset(named | trusted)


def _trusted() -> tuple[trust.TrustedKey, ...]:
    where = trust.store()
    return trust.keys_of(where) if os.path.lexists(where.path) else ()
