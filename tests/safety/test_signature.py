"""The signature file of a limits file: only the key's holder makes one, only for these bytes, only in one way of writing."""

from __future__ import annotations

import hashlib
import json

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from safety.acts import public_key_hex, signed_bytes
from safety.limit_values import Signed
from safety.messages import Act
from safety.rig_tables import WEAK_PUBLIC_KEYS
from safety.signature import (
    BYTES_MAX,
    Signature,
    SignatureError,
    decoded,
    digest_of,
    encoded,
    fingerprint,
    fits,
    holds,
    said_of,
    sign,
)
from tests.safety.strategies import document, to_toml

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PUBLIC = public_key_hex(KEY)
CONTENT = to_toml(document("tacs"))
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SIGNATURE = sign(KEY, CONTENT)
FILE = encoded(SIGNATURE)
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the base point, RFC 8032


def signed_by(**bent: object) -> Signed:
    good = Signed(
        by="bob", fingerprint=fingerprint(PUBLIC), public_key=PUBLIC, signature=SIGNATURE.signature,
        simulated_only=False, store="/trust",
    )  # fmt: skip
    return msgspec.structs.replace(good, **bent)


def test_what_the_holder_signs_fits_these_bytes_alone():
    assert digest_of(CONTENT) == DIGEST
    assert fits(DIGEST, SIGNATURE.signature, PUBLIC)
    assert (
        decoded(FILE)
        == SIGNATURE
        == Signature(
            schema=1,
            key=hashlib.sha256(bytes.fromhex(PUBLIC)).hexdigest()[:32],
            signature=SIGNATURE.signature,
        )
    )
    assert not fits(DIGEST, SIGNATURE.signature, public_key_hex(OTHER))
    assert not fits(DIGEST, sign(OTHER, CONTENT).signature, PUBLIC)


@given(at=st.integers(min_value=0, max_value=8 * len(CONTENT) - 1))
def test_no_bit_of_the_limits_may_change(at: int):
    bent = bytearray(CONTENT)
    bent[at // 8] ^= 1 << at % 8
    assert not fits(digest_of(bytes(bent)), SIGNATURE.signature, PUBLIC)


def test_no_bit_of_the_signature_file_may_change():
    for at in range(8 * len(FILE)):
        bent = bytearray(FILE)
        bent[at // 8] ^= 1 << at % 8
        try:
            found = decoded(bytes(bent))
        except SignatureError:
            continue
        assert found.key != SIGNATURE.key or not fits(DIGEST, found.signature, PUBLIC), at


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        FILE[:-1],
        FILE[:-2],
        FILE[: len(FILE) // 2],
        FILE + b"\n",
        FILE + FILE,
        b" " + FILE,
        b"\xef\xbb\xbf" + FILE,
        FILE.decode().encode("utf-16"),
        FILE.replace(b"\n", b"\r\n"),
        json.dumps(json.loads(FILE)).encode() + b"\n",
        FILE.replace(b'"schema":1', b'"schema":2'),
        FILE.replace(b'"schema":1', b'"schema":true'),
        FILE.replace(b'"schema":1', b'"schema":1,"by":"ann"'),
        FILE.replace(b'{"schema":1', b'{"schema":2,"schema":1'),
        FILE.upper(),
        FILE.replace(SIGNATURE.signature.encode(), SIGNATURE.signature.upper().encode()),
        FILE.replace(SIGNATURE.signature.encode(), SIGNATURE.signature[:-2].encode()),
        FILE.replace(SIGNATURE.key.encode(), SIGNATURE.key[:-1].encode()),
        FILE.replace(SIGNATURE.key.encode(), SIGNATURE.key.encode() + b"0"),
        b"null\n",
        b"[" * 400,
        b"{" + b" " * BYTES_MAX + FILE[1:],
        FILE + b" " * (BYTES_MAX - len(FILE)),
        b"\x00" * BYTES_MAX,
    ],
)
def test_a_signature_is_written_in_one_way(content: bytes):
    with pytest.raises(SignatureError) as error:
        decoded(content)
    assert str(error.value).isprintable() and len(str(error.value)) < 100


@given(st.binary(max_size=BYTES_MAX + 8) | st.binary(max_size=40).map(lambda more: FILE[:-20] + more))
def test_no_bytes_raise_anything_else(content: bytes):
    try:
        assert encoded(decoded(content)) == content
    except SignatureError:
        pass


def test_the_size_is_bounded_before_anything_is_read():
    with pytest.raises(SignatureError, match="more than 512 bytes"):
        decoded(FILE + b" " * (BYTES_MAX + 1 - len(FILE)))
    with pytest.raises(SignatureError, match="something else"):
        decoded(FILE + b" " * (BYTES_MAX - len(FILE)))


@pytest.mark.parametrize("sign_bit", [0, 0x80])
@pytest.mark.parametrize("weak", sorted(WEAK_PUBLIC_KEYS))
def test_nobody_signs_with_a_key_of_small_order(weak: str, sign_bit: int):
    key = f"{weak[:62]}{int(weak[62:], 16) | sign_bit:02x}"
    for r in (weak, "01" + 31 * "00"):
        assert not fits(DIGEST, r + 64 * "0", key)


def test_a_second_signature_cannot_be_made_of_the_first():
    """S and S + L are the same number to a careless verifier."""
    r, s = SIGNATURE.signature[:64], int.from_bytes(bytes.fromhex(SIGNATURE.signature[64:]), "little")
    assert not fits(DIGEST, r + (s + ORDER).to_bytes(32, "little").hex(), PUBLIC)
    assert fits(DIGEST, r + s.to_bytes(32, "little").hex(), PUBLIC)


def test_each_number_is_in_hex_whole_and_in_lower_case():
    """What a careless reader would take for the same, and what its holder did sign."""
    good = SIGNATURE.signature
    assert not fits(DIGEST, good.upper(), PUBLIC)
    assert not fits(DIGEST, good, PUBLIC.upper())
    assert not fits(DIGEST, f"{good[:2]} {good[2:]}", PUBLIC)
    for digest in ("", DIGEST[:-1], DIGEST.upper(), "any text"):
        assert not fits(digest, KEY.sign(b"nociloop limits 1\n" + digest.encode()).hex(), PUBLIC)
    assert fits(DIGEST, KEY.sign(b"nociloop limits 1\n" + DIGEST.encode()).hex(), PUBLIC)


def test_a_signed_act_is_no_signature_of_limits():
    act = Act(
        act="arm", person="bob", session_id="s", nonce="n", reason=DIGEST, expires_wall_ns=1, signature=""
    )
    assert not fits(DIGEST, KEY.sign(signed_bytes(act)).hex(), PUBLIC)
    assert not fits(DIGEST, KEY.sign(bytes.fromhex(DIGEST)).hex(), PUBLIC)
    assert not fits(DIGEST, KEY.sign(DIGEST.encode()).hex(), PUBLIC)


@given(st.text(), st.text(), st.text())
def test_nothing_makes_the_verification_raise(digest: str, signature: str, key: str):
    assert fits(digest, signature, key) is False
    assert fits(DIGEST, signature, PUBLIC) is False
    assert fits(DIGEST, SIGNATURE.signature, key) is False
    assert fits(digest, SIGNATURE.signature, PUBLIC) is False
    assert fits(DIGEST, sign(OTHER, CONTENT).signature, PUBLIC) is False


def test_what_a_ledger_says_of_a_signature_holds_by_its_own_numbers():
    assert holds(signed_by(), DIGEST)
    for bent in (
        {"fingerprint": fingerprint(public_key_hex(OTHER))},
        {"public_key": public_key_hex(OTHER)},
        {"public_key": public_key_hex(OTHER), "fingerprint": fingerprint(public_key_hex(OTHER))},
        {"signature": sign(OTHER, CONTENT).signature},
        {"signature": ""},
    ):
        assert not holds(signed_by(**bent), DIGEST), bent
    assert not holds(signed_by(), digest_of(CONTENT + b"\n"))
    assert not holds(signed_by(public_key="zz"), DIGEST)


def test_who_signed_in_words():
    key = fingerprint(PUBLIC)
    assert said_of(None) == "unsigned: simulated endpoints only"
    assert said_of(signed_by()) == f"signed by bob, key {key}"
    assert (
        said_of(signed_by(simulated_only=True))
        == f"signed by bob, key {key}: demo keys, simulated endpoints only"
    )
