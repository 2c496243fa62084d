"""Signed acts: the holder of the key can, nobody else can, and nothing makes the verification raise."""

from __future__ import annotations

import functools
import tomllib

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from safety.acting import ActsLine, NoAnswer
from safety.acts import (
    PassphraseError,
    derive_key,
    public_key_hex,
    reason_problem,
    sign,
    signed_bytes,
    verify,
)
from safety.limits import load
from safety.messages import Act
from safety.people import make_person
from safety.rig_tables import WEAK_PUBLIC_KEYS
from tests.safety.strategies import document, to_toml

SALT = "00112233445566778899aabbccddeeff"
PHRASE = "correct horse battery staple"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = public_key_hex(KEY)


def signed(key: Ed25519PrivateKey = KEY) -> Act:
    return sign(
        key,
        act="arm",
        person="ann",
        session_id="s-1",
        nonce="n-1",
        reason="start of the session",
        expires_wall_ns=1_800_000_000_000_000_000,
    )


@functools.cache
def derived() -> Ed25519PrivateKey:
    return derive_key(PHRASE, SALT)


def test_the_holder_signs_and_anybody_verifies():
    act = signed()
    assert verify(act, PUBLIC)
    assert msgspec.json.decode(msgspec.json.encode(act), type=Act) == act
    assert (act.act, act.person, act.session_id, act.nonce) == ("arm", "ann", "s-1", "n-1")
    assert (act.reason, act.expires_wall_ns) == ("start of the session", 1_800_000_000_000_000_000)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("act", "reset"),
        ("person", "bob"),
        ("session_id", "s-2"),
        ("nonce", "n-2"),
        ("reason", "start of the session "),
        ("expires_wall_ns", 1_800_000_000_000_000_001),
    ],
)
def test_every_field_is_under_the_signature(field: str, value: object):
    changed: dict[str, object] = {field: value}
    assert not verify(msgspec.structs.replace(signed(), **changed), PUBLIC)


def test_neighbouring_fields_cannot_borrow_from_each_other():
    act = signed()
    shifted = msgspec.structs.replace(act, session_id="s-1n", nonce="-1")
    assert signed_bytes(shifted) != signed_bytes(msgspec.structs.replace(act, session_id="s-", nonce="1n-1"))
    assert signed_bytes(act).startswith(b"nociloop act 1\n")


def test_every_bit_of_the_signature_counts():
    act = signed()
    content = bytearray(bytes.fromhex(act.signature))
    for bit in range(len(content) * 8):
        content[bit // 8] ^= 1 << bit % 8
        assert not verify(msgspec.structs.replace(act, signature=content.hex()), PUBLIC)
        content[bit // 8] ^= 1 << bit % 8


def test_another_key_does_not_do():
    other = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
    assert not verify(signed(other), PUBLIC)
    assert not verify(signed(), public_key_hex(other))


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "0" * 128,
        "f" * 128,
        "g" * 128,
        "0" * 127,
        "0" * 130,
        "é" * 128,
        "\ud800" * 128,
        None,
        5,
        b"0" * 128,
    ],
)
def test_no_signature_makes_it_raise(signature: str):
    assert verify(msgspec.structs.replace(signed(), signature=signature), PUBLIC) is False


def test_one_signature_has_one_spelling():
    act = signed()
    assert not verify(msgspec.structs.replace(act, signature=act.signature.upper()), PUBLIC)
    assert not verify(msgspec.structs.replace(act, signature=act.signature + "\n"), PUBLIC)


@pytest.mark.parametrize(
    "key", ["", "0" * 64, PUBLIC.upper(), PUBLIC[:-1], PUBLIC + "\n", "zz" * 32, None, 5, "f" * 64]
)
def test_no_public_key_makes_it_raise(key: str):
    assert verify(signed(), key) is False


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("person", "\ud800"),
        ("person", None),
        ("reason", {1}),
        ("nonce", object()),
        ("expires_wall_ns", 2**70),
        ("expires_wall_ns", float("nan")),
    ],
)
def test_no_field_makes_it_raise(field: str, value: object):
    changed: dict[str, object] = {field: value}
    assert verify(msgspec.structs.replace(signed(), **changed), PUBLIC) is False


def test_a_weak_key_verifies_nothing():
    # Under a point of small order R = that point's neutral element and S = 0 is a "signature" of many messages.
    forged = msgspec.structs.replace(signed(), signature="01" + "00" * 63)
    for weak in WEAK_PUBLIC_KEYS:
        for key in (weak, f"{weak[:62]}{int(weak[62:], 16) | 0x80:02x}"):
            for n in range(8):
                assert not verify(msgspec.structs.replace(forged, nonce=f"n-{n}"), key)


@given(
    fields=st.tuples(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20)),
    expires=st.integers(-(2**63), 2**63 - 1),
)
@settings(max_examples=80, deadline=None)
def test_any_text_can_be_signed_or_is_refused(fields: tuple[str, str, str, str], expires: int):
    act = sign(
        KEY,
        act="reset",
        person=fields[0],
        session_id=fields[1],
        nonce=fields[2],
        reason=fields[3],
        expires_wall_ns=expires,
    )
    assert verify(act, PUBLIC)
    assert not verify(msgspec.structs.replace(act, act="arm"), PUBLIC)


# Keys


def test_the_same_phrase_and_salt_give_the_same_key():
    # A vector of this format: it must never change, or nobody's pass-phrase fits limits.toml any more.
    assert public_key_hex(derived()) == "d851b408151712ba61a6bdf6288c7418e78656659a3e389e8b9ade55ec71f57b"
    assert derive_key(PHRASE, SALT[::-1]).private_bytes_raw() != derived().private_bytes_raw()
    assert derive_key(PHRASE + " ", SALT).private_bytes_raw() != derived().private_bytes_raw()


def test_a_phrase_typed_on_another_keyboard_is_the_same():
    composed = derive_key("caf\u00e9 au lait noir", SALT)
    decomposed = derive_key("cafe\u0301 au lait noir", SALT)
    assert public_key_hex(composed) == public_key_hex(decomposed)


@pytest.mark.parametrize(
    ("phrase", "salt"),
    [
        ("", SALT),
        ("x" * 11, SALT),
        (PHRASE, ""),
        (PHRASE, SALT.upper()),
        (PHRASE, SALT + "00"),
        ("\ud800" * 12, SALT),
    ],
)
def test_what_no_key_is_made_from_is_said_in_one_line(phrase: str, salt: str):
    with pytest.raises(PassphraseError) as caught:
        derive_key(phrase, salt)
    assert str(caught.value).isprintable()
    assert not phrase or phrase not in str(caught.value)


def test_twelve_characters_are_enough():
    assert derive_key("x" * 12, SALT)


def test_a_new_person_fits_the_limits_file_and_signs():
    text = make_person("eve", "operator", PHRASE)
    person = tomllib.loads(text)["people"]["eve"]
    assert PHRASE not in text
    doc = document("tacs")
    doc["people"] = {"eve": person}
    loaded = load(to_toml(doc)).person("eve")
    assert loaded is not None and loaded.role == "operator"
    act = msgspec.structs.replace(signed(derive_key(PHRASE, loaded.salt)))
    assert verify(act, loaded.public_key)


def test_two_persons_with_one_phrase_have_two_keys():
    one, two = (tomllib.loads(make_person("eve", "officer", PHRASE))["people"]["eve"] for _ in range(2))
    assert one["salt"] != two["salt"] and one["public_key"] != two["public_key"]


@pytest.mark.parametrize("name", ["", "two words", 'x"\n', "x" * 65])
def test_a_name_that_no_file_could_hold_is_refused(name: str):
    with pytest.raises(PassphraseError) as caught:
        make_person(name, "operator", PHRASE)
    assert str(caught.value).isprintable() and ascii(name) in str(caught.value)


def test_the_shortest_and_the_longest_reason_are_taken():
    for reason in ("x", "x" * 300):
        assert reason_problem(reason) == ""
    for reason in ("", "x" * 301):
        assert reason_problem(reason).startswith(f"--reason: found {len(reason)} characters")


def test_an_act_without_a_readable_reason_is_not_even_sent():
    """Before a line to anybody is needed: an empty one, one of many lines, half a character."""
    line = ActsLine.__new__(ActsLine)
    for reason in ("", "x" * 301, "a\nb", "\x1b[2J", "\udcff"):
        with pytest.raises(NoAnswer, match=r"^--reason: found \d+ characters .* expected 1 to 300"):
            line.act("arm", "ann", KEY, reason, 1.0)
