"""A limits file before a session: read with its signature, judged against trust store and date.

A missing signature is no error: the limits are then unsigned, and run simulated endpoints only. A wrong one always is.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from safety import serials, trust
from safety import signature as signatures
from safety.limit_values import Limits, Signed
from safety.limits import LimitsErrors, load
from safety.regular_file import read_regular
from safety.strict_table import FILE

LIMITS_BYTES_MAX = 1_048_576


class Refused(Exception):
    """It does not start; the lines say why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A limits file that is whole. `signature` is the content of its signature file, None where there is none;
    `refusals` are the lines for which no session starts with it."""

    path: Path
    content: bytes
    limits: Limits
    signature: bytes | None
    signed: Signed | None
    refusals: tuple[str, ...]

    @property
    def signature_digest(self) -> str:
        """The SHA-256 of the signature file, empty where there is none: neither may change during a session."""
        return "" if self.signature is None else signatures.digest_of(self.signature)


def signature_path(path: Path) -> Path:
    """Where the signature of a limits file stands: beside it."""
    return (
        path.parent / f"{path.name}{signatures.SUFFIX}"
    )  # with_name raises where there is no name, as of "."


def read_limits(path: Path) -> Limits:
    """Read and judge a limits file alone; raises Refused with every error in a line of its own."""
    return read_whole(path)[1]


def read_whole(path: Path) -> tuple[bytes, Limits]:
    """As `read_limits`, with the bytes."""
    content = _content(path)
    return content, _load(path, content)


def admit(path: Path, today: str, participant: str = "", site: Path = trust.SITE_STORE) -> Admitted:
    """Read a limits file and its signature, and judge both; raises Refused only where the file itself is not whole.

    `participant`: who is to be stimulated, where somebody said so.
    """
    content, limits = read_whole(path)
    refusals: list[str] = []
    if not limits.valid_on(today):
        refusals.append(
            f"{path}: found it valid from {limits.valid_from} to {limits.valid_until}, expected a file valid today, "
            f"{today}; ask {limits.responsible} for a new one"
        )
    if limits.last_checked_on > today:
        refusals.append(
            f"{path}: found a number checked on {limits.last_checked_on}, expected a day up to today, {today}; correct "
            "checked_on"
        )
    if participant and participant != limits.participant:
        refusals.append(
            f"{path}: found the limits of participant {limits.participant}, expected those of {participant}; "
            "give that participant's file"
        )
    signature, signed = None, None
    try:
        signature = _signature(path)
        signed = None if signature is None else judged(path, limits.digest, signature, site)
    except Refused as refused:
        refusals.append(str(refused))
    return Admitted(
        path=path,
        content=content,
        limits=limits,
        signature=signature,
        signed=signed,
        refusals=tuple(refusals),
    )


def judged(path: Path, digest: str, content: bytes, site: Path = trust.SITE_STORE) -> Signed:
    """Who signed a file of this digest; raises Refused with one line unless a trusted key did."""
    beside = signature_path(path)
    again = f"sign it again: nociloop limits sign {path.name} --key NAME"
    try:
        found = signatures.decoded(content)
    except signatures.SignatureError as error:
        raise Refused(f"{beside}: found {error}, expected a signature; {again}") from error
    try:
        where = trust.store(site)
        keys = trust.keys_of(where)
    except trust.TrustError as error:
        raise Refused(f"{beside}: cannot be judged: {error}") from error
    key = next((each for each in keys if each.fingerprint == found.key), None)
    if key is None:
        known = ", ".join(f"{each.name} {each.fingerprint}" for each in keys) or "none there"
        raise Refused(
            f"{beside}: found the key {found.key}, expected one of the trust store {where.path} ({known}); "
            "have an officer of the store sign, or let the new officer's .pub file be put there"
        )
    if not signatures.fits(digest, found.signature, key.public_key):
        raise Refused(
            f"{beside}: found a signature of {key.name} that does not fit, expected one of this very content of "
            f"{path.name}; bring back the file that was signed, or {again}"
        )
    return Signed(
        by=key.name,
        fingerprint=key.fingerprint,
        public_key=key.public_key,
        signature=found.signature,
        simulated_only=key.simulated_only,
        store=str(where.path),
    )


def signature_refusal(path: Path) -> str:
    """What is wrong with the signature of a file, be the file itself whole or not, a line; empty where nothing is."""
    try:
        content = _signature(path)
        if content is not None:
            judged(path, signatures.digest_of(_content(path)), content)
    except Refused as refused:
        return str(refused)
    return ""


def serial_refusal(admitted: Admitted) -> str:
    """Why a session would not take a signed file's serial, a line; empty when it would. Nothing is kept."""
    limits, signed = admitted.limits, admitted.signed
    if signed is None:
        return ""
    try:
        path = serials.record_path("seen", limits, simulated_only=signed.simulated_only)
        return serials.problem(limits, admitted.path, serials.last_of(path), "seen")
    except serials.SerialError as error:
        return str(error)


def real_refusals(limits: Limits, signed: Signed | None) -> tuple[str, ...]:
    """What a real device would still be refused for (ILK-409), a line each."""
    found = []
    if signed is None:
        found.append("the file is unsigned; an officer signs it: nociloop limits sign FILE --key NAME")
    elif signed.simulated_only:
        found.append(f"the key of {signed.by} is good for simulated endpoints only; sign with another")
    if not limits.all_verified:
        found.append(
            f"{len(limits.unverified)} numbers are unverified; somebody compares them with their sources: "
            + ", ".join(limits.unverified)
        )
    return tuple(found)


def _content(path: Path) -> bytes:
    try:
        return read_regular(path, LIMITS_BYTES_MAX)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}; give the limits file of the responsible person") from error


def _load(path: Path, content: bytes) -> Limits:
    try:
        return load(content)
    except LimitsErrors as errors:
        raise Refused(
            "\n".join(problem.replace(FILE, str(path), 1) for problem in errors.problems)
        ) from errors


def _signature(path: Path) -> bytes | None:
    """The content of the signature file, None where there is none; raises Refused."""
    beside = signature_path(path)
    try:
        return read_regular(beside, signatures.BYTES_MAX, follow=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        link = "a link" if error.errno == errno.ELOOP else error.strerror
        raise Refused(
            f"{beside}: found {link}, expected a regular file that may be read, or none; put the signature itself there"
        ) from error
