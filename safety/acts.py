"""A named person's signed acts: the key from a pass-phrase, the signature, its verification.

The command derives the key and signs; the interlock holds public keys only, and `verify` is all that it calls.
The pass-phrase is never stored: scrypt with the person's salt makes the same Ed25519 key from it each time.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from safety.messages import Act
from safety.rig_tables import PUBLIC_KEY, SALT, is_weak

PASSPHRASE_CHARS_MIN = 12  # own choice; a demo's throw-away phrase is made long by its maker
# RFC 7914 parameters at 32 MiB, about a tenth of a second: a public key and salt stand open in limits.toml, so that
# this alone slows down who tries pass-phrases against them.
SCRYPT_N = 2**15
SCRYPT_R = 8
SCRYPT_P = 1
_DOMAIN = b"nociloop act 1\n"  # a signature made for anything else can never be read as an act
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


REASON_CHARS_MAX = 300  # own choice: a line, and far below what a line of a store or a ledger may hold


def reason_problem(reason: str) -> str:
    """Why a reason is not signed, a line; empty when it is: what stands in ledger and store is read again, and printed."""
    if 0 < len(reason) <= REASON_CHARS_MAX and reason.isprintable():
        return ""
    return (
        f"--reason: found {len(reason)} characters {ascii(reason)[:40]}, expected 1 to {REASON_CHARS_MAX} that can be "
        "printed; say why in a line"
    )


class PassphraseError(Exception):
    """A pass-phrase or a person's entry that no key can be made from; one line that says what to do."""


def derive_key(passphrase: str, salt: str) -> Ed25519PrivateKey:
    """The person's private key; the same phrase and salt give the same key on any machine and keyboard."""
    phrase = unicodedata.normalize("NFKC", passphrase)
    if len(phrase) < PASSPHRASE_CHARS_MIN:
        raise PassphraseError(
            f"the pass-phrase has {len(phrase)} characters, expected {PASSPHRASE_CHARS_MIN} or more"
        )
    if not SALT.fullmatch(salt):
        raise PassphraseError("the salt is not 32 hex digits: copy it from the person's table in limits.toml")
    try:
        secret = phrase.encode("utf-8")
    except UnicodeEncodeError:
        raise PassphraseError("the pass-phrase holds half a character: type it again") from None
    kdf = Scrypt(salt=bytes.fromhex(salt), length=32, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P)
    return Ed25519PrivateKey.from_private_bytes(kdf.derive(secret))


def public_key_hex(key: Ed25519PrivateKey) -> str:
    """The public half as it stands in limits.toml."""
    return key.public_key().public_bytes_raw().hex()


def signed_bytes(act: Act) -> bytes:
    """What is signed: every field but the signature, unambiguous, under a domain of its own."""
    fields = (act.act, act.person, act.session_id, act.nonce, act.reason, act.expires_wall_ns)
    return _DOMAIN + msgspec.json.encode(fields)


def sign(
    key: Ed25519PrivateKey,
    *,
    act: Literal["arm", "reset"],
    person: str,
    session_id: str,
    nonce: str,
    reason: str,
    expires_wall_ns: int,
) -> Act:
    """The act of a person for one session, nonce and time."""
    unsigned = Act(
        act=act,
        person=person,
        session_id=session_id,
        nonce=nonce,
        reason=reason,
        expires_wall_ns=expires_wall_ns,
        signature="",
    )
    return msgspec.structs.replace(unsigned, signature=key.sign(signed_bytes(unsigned)).hex())


def verify(act: Act, public_key: str) -> bool:
    """Whether the holder of `public_key` signed exactly this act."""
    try:
        signed = signed_bytes(act)
    except (TypeError, ValueError, OverflowError):
        return False
    return is_signed_by(public_key, act.signature, signed)


def is_signed_by(public_key: str, signature: str, signed: bytes) -> bool:
    """Whether the holder of `public_key` signed exactly these bytes. Pure; never raises; doubt is False."""
    try:
        if not (PUBLIC_KEY.fullmatch(public_key) and _SIGNATURE.fullmatch(signature)) or is_weak(public_key):
            return False
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), signed)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
