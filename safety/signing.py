"""Signing a limits file: the officer's key from the pass-phrase, the serial above the last, the signature put beside it."""

from __future__ import annotations

from pathlib import Path

from safety import serials, signature, trust
from safety.admission import Refused, read_whole, signature_path
from safety.clocks import today
from safety.limit_values import Limits
from safety.passphrase import unlock_key
from safety.regular_file import put_durably


def sign_file(path: Path, name: str, passphrase_file: Path | None, passphrase_fd: int | None) -> str:
    """Sign, and say what was done; raises Refused, TrustError, SerialError or PassphraseError with lines.

    Everything that speaks against it is looked at before the pass-phrase is asked for.
    """
    content, limits = read_whole(path)
    if limits.valid_until < today():
        raise Refused(
            f"{path}: found it valid until {limits.valid_until}, expected a file that can still be used; "
            "give it new dates and a higher serial"
        )
    where = trust.store()
    key = _key_of(where, name)
    _refuse_serial(limits, path, simulated_only=key.simulated_only)
    private = unlock_key(name, key.salt, key.public_key, passphrase_file, passphrase_fd)
    made = signature.sign(private, content)
    # Before the signature is there: a serial is never signed twice.
    serials.note("signed", limits, made.key, simulated_only=key.simulated_only)
    beside = signature_path(path)
    try:
        put_durably(beside, signature.encoded(made), 0o644)
    except OSError as error:
        raise Refused(
            f"{beside}: cannot be written ({error.strerror}); expected a folder that you may write"
        ) from error
    only = ", good for simulated endpoints only" if key.simulated_only else ""
    return f"{beside}: serial {limits.serial}, signed by {name}, key {made.key}{only}"


def _key_of(where: trust.Store, name: str) -> trust.TrustedKey:
    keys = trust.keys_of(where)
    for key in keys:
        if key.name == name:
            return key
    known = ", ".join(each.name for each in keys) or "none there"
    raise Refused(
        f"--key: found {ascii(name)[:80]}, expected an officer of the trust store {where.path} ({known}); "
        "nociloop limits keygen NAME --role officer --trust makes one"
    )


def _refuse_serial(limits: Limits, path: Path, *, simulated_only: bool) -> None:
    """Raises SerialError unless the serial is above what was signed and seen here."""
    kinds: tuple[serials.Kind, ...] = ("signed", "seen")
    for kind in kinds:
        last = serials.last_of(serials.record_path(kind, limits, simulated_only=simulated_only))
        problem = serials.problem(limits, path, last, kind)
        if problem:
            raise serials.SerialError(problem)
