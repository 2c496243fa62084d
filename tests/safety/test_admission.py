"""A limits file before a session: unsigned is said, signed is judged, and what does not fit is a line with its remedy."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safety import trust
from safety.acts import public_key_hex
from safety.admission import Refused, admit, read_limits, real_refusals, signature_path
from safety.limit_values import Signed
from safety.signature import BYTES_MAX, digest_of, encoded, fingerprint, sign
from tests.safety.strategies import TODAY, document, limits_of, to_toml

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
CONTENT = to_toml(document("tacs"))
SALT = "0" * 32


def trusted(key: Ed25519PrivateKey, name: str, *, simulated_only: bool = False) -> trust.TrustedKey:
    return trust.TrustedKey(
        name=name, public_key=public_key_hex(key), salt=SALT, simulated_only=simulated_only
    )


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trust.Store:
    monkeypatch.setenv("NOCILOOP_TRUST_DIR", str(tmp_path / "trust"))
    made = trust.store(tmp_path / "none")
    trust.add(made, trusted(KEY, "bob"))
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "limits.toml"
    path.write_bytes(CONTENT)
    return path


def put_signature(file: Path, key: Ed25519PrivateKey = KEY, content: bytes = CONTENT) -> Path:
    path = signature_path(file)
    path.write_bytes(encoded(sign(key, content)))
    return path


def refusal(file: Path) -> str:
    """The one line for which it is refused; nothing is said to be signed then."""
    admitted = admit(file, TODAY, site=file.parent / "none")
    (line,) = admitted.refusals
    assert admitted.signed is None
    assert line.isprintable() and "found" in line and "expected" in line and "; " in line
    return line


def test_signed_by_a_trusted_key(store: trust.Store, file: Path):
    beside = put_signature(file)
    assert beside == file.parent / "limits.toml.sig"
    admitted = admit(file, TODAY, "P001", site=file.parent / "none")
    assert admitted.refusals == () and admitted.limits == limits_of("tacs") and admitted.content == CONTENT
    assert admitted.signed == Signed(
        by="bob", fingerprint=fingerprint(public_key_hex(KEY)), public_key=public_key_hex(KEY),
        signature=sign(KEY, CONTENT).signature, simulated_only=False, store=str(store.path),
    )  # fmt: skip
    assert admitted.signature == beside.read_bytes()
    assert admitted.signature_digest == digest_of(beside.read_bytes())


def test_the_mark_of_a_key_goes_with_what_it_signs(store: trust.Store, file: Path):
    trust.add(store, trusted(OTHER, "demo", simulated_only=True))
    put_signature(file, OTHER)
    signed = admit(file, TODAY, site=file.parent / "none").signed
    assert signed is not None and signed.by == "demo" and signed.simulated_only
    put_signature(file)
    signed = admit(file, TODAY, site=file.parent).signed  # the site has a store, and this one is another
    assert signed is not None and signed.by == "bob" and signed.simulated_only


def test_unsigned_is_no_error_and_asks_for_no_store(monkeypatch: pytest.MonkeyPatch, file: Path):
    monkeypatch.setenv("NOCILOOP_TRUST_DIR", str(file.parent / "nowhere"))
    admitted = admit(file, TODAY)
    assert (admitted.signed, admitted.signature, admitted.signature_digest) == (None, None, "")
    assert admitted.refusals == ()


def test_a_signature_of_other_content_is_refused(store: trust.Store, file: Path):
    beside = put_signature(file, content=CONTENT + b"\n")
    assert refusal(file).startswith(f"{beside}: found a signature of bob that does not fit, expected")


def test_a_key_that_is_not_trusted_is_refused(store: trust.Store, file: Path):
    beside = put_signature(file, OTHER)
    line = refusal(file)
    assert line.startswith(
        f"{beside}: found the key {fingerprint(public_key_hex(OTHER))}, expected one of the"
    )
    assert f"(bob {fingerprint(public_key_hex(KEY))})" in line
    (store.path / "bob.pub").unlink()
    assert "(none there)" in refusal(file)


def test_the_fingerprint_of_another_does_not_help(store: trust.Store, file: Path):
    """A signature by anybody, under the name of the trusted key."""
    forged = msgspec.structs.replace(sign(OTHER, CONTENT), key=fingerprint(public_key_hex(KEY)))
    signature_path(file).write_bytes(encoded(forged))
    assert "that does not fit" in refusal(file)


@pytest.mark.parametrize("content", [b"", b"{}", b"x" * (BYTES_MAX + 1), b"x" * 3_000_000])
def test_bytes_that_are_no_signature_are_refused(store: trust.Store, file: Path, content: bytes):
    signature_path(file).write_bytes(content)
    assert refusal(file).startswith(f"{signature_path(file)}: found ")


def test_what_cannot_be_read_is_not_taken_for_missing(store: trust.Store, file: Path):
    beside = signature_path(file)
    beside.symlink_to(file.parent / "nowhere")
    assert refusal(file).startswith(f"{beside}: found a link, expected")
    beside.unlink()
    beside.mkdir()
    assert refusal(file).startswith(f"{beside}: found Is a directory, expected")
    beside.rmdir()
    os.mkfifo(beside)
    assert refusal(file).startswith(f"{beside}: found not a regular file, expected")


def test_a_store_that_cannot_be_trusted_refuses_what_is_signed(store: trust.Store, file: Path):
    beside = put_signature(file)
    store.path.chmod(0o777)
    assert refusal(file).startswith(f"{beside}: cannot be judged: {store.path}: found it writable by others")
    (store.path / "bob.pub").unlink()
    store.path.rmdir()
    assert "No such file or directory" in refusal(file)


@pytest.mark.parametrize(
    ("today", "good"),
    [
        ("2025-12-31", False),
        ("2026-01-01", True),
        ("2026-12-31", True),
        ("2027-01-01", False),
        ("today", False),
    ],
)
def test_it_is_valid_from_its_first_day_to_its_last(file: Path, today: str, good: bool):
    refusals = admit(file, today).refusals
    assert (refusals == ()) is good
    assert good or refusals[0].startswith(f"{file}: found it valid from 2026-01-01 to 2026-12-31, expected")


@pytest.mark.parametrize(("today", "good"), [("2026-04-30", False), ("2026-05-01", True)])
def test_no_number_was_checked_tomorrow(file: Path, today: str, good: bool):
    doc = document("tacs")
    doc["spacing"]["gap_s"] |= {
        "status": "verified", "checked_by": "bob", "checked_on": datetime.date(2026, 5, 1)
    }  # fmt: skip
    file.write_bytes(to_toml(doc))
    refusals = admit(file, today).refusals
    said = f"{file}: found a number checked on 2026-05-01, expected a day up to today, {today}; correct checked_on"
    assert refusals == (() if good else (said,))


def test_another_participant_is_refused(file: Path):
    (line,) = admit(file, TODAY, "P002").refusals
    assert line.startswith(f"{file}: found the limits of participant P001, expected those of P002; ")


def test_every_reason_is_told_at_once(store: trust.Store, file: Path):
    put_signature(file, OTHER)
    assert len(admit(file, "2027-01-01", "P002", site=file.parent / "none").refusals) == 3


def test_a_file_that_is_not_whole(file: Path):
    file.write_bytes(CONTENT.replace(b"schema = 1", b"schema = 2") if b"schema = 1" in CONTENT else b"")
    for read in (read_limits, lambda path: admit(path, TODAY)):
        with pytest.raises(Refused) as error:
            read(file)
        assert str(error.value).startswith(f"{file}: ")
    file.write_bytes(b"# " + b"x" * 3_000_000)
    with pytest.raises(Refused, match="found more than 65536 bytes, expected fewer"):
        read_limits(file)
    file.unlink()
    with pytest.raises(Refused, match="No such file"):
        read_limits(file)
    os.mkfifo(file)
    with pytest.raises(Refused, match="not a regular file"):
        read_limits(file)


def test_what_a_real_device_would_be_refused_for(store: trust.Store, file: Path):
    put_signature(file)
    admitted = admit(file, TODAY, site=file.parent / "none")
    unverified = real_refusals(admitted.limits, admitted.signed)
    assert len(unverified) == 1 and unverified[0].startswith(f"{len(admitted.limits.unverified)} numbers are")
    verified = msgspec.structs.replace(admitted.limits, unverified=())
    assert real_refusals(verified, admitted.signed) == ()
    assert real_refusals(verified, None)[0].startswith("the file is unsigned")
    assert admitted.signed is not None
    demo = msgspec.structs.replace(admitted.signed, simulated_only=True)
    assert real_refusals(verified, demo)[0].startswith("the key of bob is good for simulated endpoints only")
    assert len(real_refusals(admitted.limits, None)) == 2
