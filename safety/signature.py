"""limits.toml.sig: an officer's Ed25519 signature over the exact bytes of a limits file. Pure.

What is signed is the SHA-256 of the file under a domain of its own, so that whoever holds the digest and the public key
(the first line of a ledger does) can verify it without the file.
"""

from __future__ import annotations

import hashlib
import re

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from drivers.stimulation import Value
from safety.acts import public_key_hex
from safety.limit_values import Signed
from safety.rig_tables import PUBLIC_KEY, is_weak

SUFFIX = ".sig"
BYTES_MAX = 512
FINGERPRINT_DIGITS = (
    32  # 128 bits: nobody finds a second key to a given fingerprint, and a person can compare it
)
_DOMAIN = (
    b"nociloop limits 1\n"  # a signature made for anything else can never be read as one of a limits file
)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[0-9a-f]{32}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


class SignatureError(Exception):
    """Bytes that are no signature file; what was found, in a few words."""


class Signature(Value, frozen=True):
    """The content of a signature file: which key, by its fingerprint, and the signature, in hex."""

    schema: int
    key: str
    signature: str


_decoder = msgspec.json.Decoder(Signature)


def fingerprint(public_key: str) -> str:
    """What people compare: the first 128 bits of the SHA-256 of a public key, in hex."""
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:FINGERPRINT_DIGITS]


def digest_of(content: bytes) -> str:
    """The SHA-256 of a limits file, in hex, as `Limits.digest` has it."""
    return hashlib.sha256(content).hexdigest()


def sign(key: Ed25519PrivateKey, content: bytes) -> Signature:
    """The signature of the holder of `key` under a limits file."""
    signed = key.sign(_signed_bytes(digest_of(content)))
    return Signature(schema=1, key=fingerprint(public_key_hex(key)), signature=signed.hex())


def encoded(signature: Signature) -> bytes:
    """The one way in which a signature is written."""
    return msgspec.json.encode(signature) + b"\n"


def decoded(content: bytes) -> Signature:
    """The signature in a file; raises SignatureError for anything that `encoded` would not have written."""
    if len(content) > BYTES_MAX:
        raise SignatureError(f"more than {BYTES_MAX} bytes")
    try:
        found = _decoder.decode(content)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        raise SignatureError("what is no signature") from None
    if found.schema != 1:
        raise SignatureError(f"schema {found.schema}")
    if not (_KEY.fullmatch(found.key) and _SIGNATURE.fullmatch(found.signature)):
        raise SignatureError("a key or signature that is not in hex, lower case, whole")
    if encoded(found) != content:
        raise SignatureError("a signature that was written by something else")
    return found


def fits(digest: str, signature: str, public_key: str) -> bool:
    """Whether the holder of `public_key` signed a file of this digest. Never raises; doubt is False."""
    try:
        good = (
            _DIGEST.fullmatch(digest) and _SIGNATURE.fullmatch(signature) and PUBLIC_KEY.fullmatch(public_key)
        )
        if not good or is_weak(public_key):
            return False
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), _signed_bytes(digest))
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def holds(signed: Signed, digest: str) -> bool:
    """Whether what a ledger says of the signature is so, by its own numbers."""
    return fits(digest, signed.signature, signed.public_key) and signed.fingerprint == fingerprint(
        signed.public_key
    )


def said_of(signed: Signed | None) -> str:
    """Who signed, for people."""
    if signed is None:
        return "unsigned: simulated endpoints only"
    only = ": demo keys, simulated endpoints only" if signed.simulated_only else ""
    return f"signed by {signed.by}, key {signed.fingerprint}{only}"


def _signed_bytes(digest: str) -> bytes:
    return _DOMAIN + digest.encode("ascii")
