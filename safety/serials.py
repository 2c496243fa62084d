"""The last serial of the limits of a participant on a rig, kept on the disk: an older file is never taken again.

Only signed files are counted: an unsigned one, which runs simulated endpoints alone, could claim any serial. For the same
reason files under a key that is good for simulated endpoints only are counted apart.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Literal

import msgspec

from drivers.stimulation import Value
from safety import site as site_state
from safety.limit_values import Limits
from safety.regular_file import put_durably, read_regular, sync_directory
from safety.site import SITE_STATE

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


def state_directory(site: Path = SITE_STATE) -> Path:
    """NOCILOOP_STATE_DIR, else the site's where this user may write it, else the user's; raises SerialError."""
    try:
        return site_state.state_directory(site)
    except site_state.SiteError as error:
        raise SerialError(f"serials: {error}") from None


def record_path(directory: Path, kind: Kind, limits: Limits, *, simulated_only: bool) -> Path:
    """Where the last serial of a participant on a rig stands; neither name has a dot."""
    folder = f"{kind}-simulated" if simulated_only else kind
    return directory / "serials" / folder / f"{limits.participant}.{limits.rig}.json"


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


def note(path: Path, limits: Limits, key: str) -> None:
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
        _own_directory(path.parent)
        put_durably(path, msgspec.json.encode(last) + b"\n", 0o640)
    except OSError as error:
        raise SerialError(
            f"{path}: the serial cannot be kept ({error.strerror}), expected a directory of yours; "
            "set NOCILOOP_STATE_DIR to one"
        ) from error


def take(limits: Limits, file: Path, key: str, *, simulated_only: bool, site: Path = SITE_STATE) -> None:
    """Hold a signed file against the last one seen, and keep it as such; raises SerialError. The caller holds the lock of
    the rig."""
    path = record_path(state_directory(site), "seen", limits, simulated_only=simulated_only)
    found = problem(limits, file, last_of(path), "seen")
    if found:
        raise SerialError(found)
    note(path, limits, key)


def _own_directory(path: Path) -> None:
    """Make it, or find it: a directory that not everybody may write; raises OSError or SerialError."""
    path.mkdir(mode=0o750, parents=True, exist_ok=True)
    for above in (path.parent, path.parent.parent):
        sync_directory(above)  # a power cut must not take the new directory, and with it the serial
    if path.stat().st_mode & stat.S_IWOTH:
        raise SerialError(f"{path}: found it writable by anybody, expected a few alone; chmod o-w it")
