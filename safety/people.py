"""Making a person's entry for limits.toml: a salt is drawn here, so that what decides need not know of chance."""

from __future__ import annotations

import secrets

from safety.acts import PassphraseError, derive_key, public_key_hex
from safety.limit_values import Role
from safety.rig_tables import NAME

SALT_BYTES = 16


def make_person(name: str, role: Role, passphrase: str) -> str:
    """A new person's table for limits.toml, with a fresh salt. The pass-phrase is not in it."""
    if not NAME.fullmatch(name):
        raise PassphraseError(f"the name is {ascii(name)[:80]}, expected A-Z a-z 0-9 _ -, at most 64")
    salt = secrets.token_bytes(SALT_BYTES).hex()
    public_key = public_key_hex(derive_key(passphrase, salt))
    return f'[people.{name}]\nrole = "{role}"\npublic_key = "{public_key}"\nsalt = "{salt}"\n'
