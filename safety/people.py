"""Making a person's entry for limits.toml: a salt is drawn here, so that what decides need not know of chance."""

from __future__ import annotations

import secrets

from safety.acts import PassphraseError, derive_key, public_key_hex
from safety.limit_values import Person, Role
from safety.rig_tables import NAME

SALT_BYTES = 16


def judge_name(name: str) -> None:
    """Raises PassphraseError unless it can be a person's: asked before anybody types a pass-phrase."""
    if not NAME.fullmatch(name):
        raise PassphraseError(f"the name is {ascii(name)[:80]}, expected A-Z a-z 0-9 _ -, at most 64")


def new_person(name: str, role: Role, passphrase: str) -> Person:
    """A new person with a fresh salt; raises PassphraseError. The pass-phrase is not kept."""
    judge_name(name)
    salt = secrets.token_bytes(SALT_BYTES).hex()
    public_key = public_key_hex(derive_key(passphrase, salt))
    return Person(name=name, role=role, public_key=public_key, salt=salt)


def table_of(person: Person) -> str:
    """A person's table as it stands in limits.toml."""
    return (
        f'[people.{person.name}]\nrole = "{person.role}"\npublic_key = "{person.public_key}"\n'
        f'salt = "{person.salt}"\n'
    )


def make_person(name: str, role: Role, passphrase: str) -> str:
    """A new person's table for limits.toml, with a fresh salt. The pass-phrase is not in it."""
    return table_of(new_person(name, role, passphrase))
