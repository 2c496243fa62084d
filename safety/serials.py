"""The last serial of the limits of a participant on a rig, kept on the disk: an older file is never taken again.

Only signed files are counted: an unsigned one, which runs simulated endpoints alone, could claim any serial. For the same
reason files under a key that is good for simulated endpoints only are counted apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from drivers.stimulation import Value
from safety.limit_values import Limits
from safety.regular_file import put_durably, read_regular
from safety.site import SiteError, state_directory, state_folder

BYTES_MAX = 1024
Kind = Literal["seen", "signed"]


class SerialError(Exception):
    """A serial that is not taken, or a record of it that cannot be read or kept: one line."""


class Last(Value, frozen=True):
    """The last file that was seen or signed: its serial and digest, and the key under it."""

    schema: int
    participant: str
    rig: str
    serial: int
    digest: str
    key: str


_decoder = msgspec.json.Decoder(Last)


def record_path(kind: Kind, limits: Limits, *, simulated_only: bool) -> Path:
    """Where the last serial of a participant on a rig stands; neither name has a dot. Raises SerialError."""
    try:
        return state_directory() / _folder(kind, simulated_only) / _name(limits)
    except SiteError as error:
        raise SerialError(f"serials: {error}") from error


def _folder(kind: Kind, simulated_only: bool) -> str:
    return f"serials/{kind}{'-simulated' if simulated_only else ''}"


def _name(limits: Limits) -> str:
    return f"{limits.participant}.{limits.rig}.json"


def last_of(path: Path) -> Last | None:
    """The record, None where there is none yet; raises SerialError."""
    try:
        content = read_regular(path, BYTES_MAX, follow=False)
        found = _decoder.decode(content)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SerialError(
            f"{path}: found {error.strerror}, expected the last serial; mend it, or set NOCILOOP_STATE_DIR"
        ) from error
    except (ValueError, RecursionError):
        raise SerialError(
            f"{path}: found something else, expected the last serial; the officer finds out why, then removes it"
        ) from None
    if found.schema != 1 or path.name != f"{found.participant}.{found.rig}.json":
        raise SerialError(
            f"{path}: found the record of {ascii(found.participant)[:80]}, expected that of its own name; "
            "the officer finds out why, then removes it"
        )
    return found


def problem(limits: Limits, file: Path, last: Last | None, verb: str) -> str:
    """Why a file's serial is not taken after the `last` one, a line; empty when it is."""
    if last is None or limits.serial > last.serial:
        return ""
    about = f"participant {limits.participant} on rig {limits.rig}"
    if limits.serial < last.serial:
        return (
            f"{file}: found serial {limits.serial}, expected {last.serial} or higher: that one was {verb} for {about}; "
            "use the newest file"
        )
    if limits.digest == last.digest:
        return ""
    return (
        f"{file}: found serial {limits.serial} with other content than was {verb} for {about}, expected "
        f"{last.serial + 1} or higher; raise the serial with each change, and sign again"
    )


def note(kind: Kind, limits: Limits, key: str, *, simulated_only: bool) -> None:
    """Keep a file's serial as the last one, down to the disk; raises SerialError."""
    last = Last(
        schema=1,
        participant=limits.participant,
        rig=limits.rig,
        serial=limits.serial,
        digest=limits.digest,
        key=key,
    )
    try:
        path = state_folder(_folder(kind, simulated_only)) / _name(limits)
        put_durably(path, msgspec.json.encode(last) + b"\n", 0o640)
    except SiteError as error:
        raise SerialError(f"serials: {error}") from error
    except OSError as error:
        raise SerialError(
            f"{error.filename}: the serial cannot be kept ({error.strerror}); set NOCILOOP_STATE_DIR to a directory of yours"
        ) from error


def take(limits: Limits, file: Path, key: str, *, simulated_only: bool) -> None:
    """Hold a signed file against the last one seen, and keep it as such; raises SerialError. The caller holds the lock of
    the rig."""
    found = problem(limits, file, last_of(record_path("seen", limits, simulated_only=simulated_only)), "seen")
    if found:
        raise SerialError(found)
    note("seen", limits, key, simulated_only=simulated_only)
