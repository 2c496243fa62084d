"""The latch of a rig that outlives its process: armed, tripped, reset or clear, kept down to the disk.

`armed` is written before a device is armed and taken back at an orderly end, so that a crash is noticed: whoever finds
it at a start finds a session that had none. What cannot be read is a latch, too.
"""

from __future__ import annotations

import datetime
import errno
import fcntl
import os
from pathlib import Path
from typing import Literal

import msgspec

from drivers.stimulation import Value
from safety import trips
from safety.regular_file import read_regular, sync_directory
from safety.site import RIGS, SiteError, state_directory
from safety.state import Effect, Latch, MarkArmed, Unlatch

BYTES_MAX = 4096
TEXT_MAX = 300
Mark = Literal["armed", "tripped", "reset", "clear"]


class Latched(Value, frozen=True):
    """What is known of a rig's last session. `session_id` is that which armed, tripped, or was reset; `real`: its
    endpoint was no simulated one."""

    schema: int
    rig: str
    mark: Mark
    session_id: str
    at_wall_ns: int
    code: str
    text: str
    real: bool = False


def clear(rig: str) -> Latched:
    """A rig of which nothing is known yet."""
    return Latched(schema=1, rig=rig, mark="clear", session_id="", at_wall_ns=0, code="", text="")


_decoder = msgspec.json.Decoder(Latched)


class LatchFile:
    """The file of one rig, open from the start on: what is kept later needs no descriptor and no new name.

    It is written in place, and a write that a power cut tears is safe: what cannot be understood is a latch, and nothing
    is armed before `armed` is whole.
    """

    def __init__(self, folder: Path, rig: str) -> None:
        """Open it, or make it; raises SiteError."""
        self.path = folder / f"{rig}.json"
        self._rig = rig
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            try:
                self._fd = os.open(self.path, flags | os.O_CREAT | os.O_EXCL, 0o640)
                self.put(clear(rig))
                sync_directory(folder)
            except FileExistsError:
                self._fd = os.open(self.path, flags)
            self._content = os.pread(self._fd, BYTES_MAX + 1, 0)
        except OSError as error:
            raise SiteError(
                f"{self.path}: {error.strerror}, expected the rig's last state; mend it"
            ) from error

    def read(self) -> Latched:
        """What the last session left; what cannot be understood is tripped."""
        return read_latch(self._rig, self._content)

    def hold(self) -> None:
        """For this session alone, whatever directory its sockets lie in: the orderly end of one would take back what the
        other is. What was left until now is what it reads. Raises SiteError."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._content = os.pread(self._fd, BYTES_MAX + 1, 0)
        except BlockingIOError:
            raise SiteError(
                f"rig {self._rig}: found it in use by another session, expected it free; end that one (`nociloop stop` "
                "sends it to zero)"
            ) from None
        except OSError as error:
            raise SiteError(
                f"{self.path}: found {error.strerror}, expected the rig's last state; mend it"
            ) from error

    def put(self, latched: Latched) -> None:
        """Keep it, down to the disk; raises OSError."""
        content = (msgspec.json.encode(latched) + b"\n").ljust(BYTES_MAX)
        try:
            written = os.pwrite(self._fd, content, 0)
            os.ftruncate(self._fd, BYTES_MAX)
            os.fsync(self._fd)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        if written != BYTES_MAX:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self._content = content

    def close(self) -> None:
        os.close(self._fd)


def read_latch(rig: str, content: bytes) -> Latched:
    """What stands in a rig's file; what cannot be understood is tripped."""
    if len(content) > BYTES_MAX:
        return _unreadable(rig, f"it is longer than {BYTES_MAX} bytes")
    try:
        found = _decoder.decode(content)
    except (ValueError, RecursionError):
        return _unreadable(rig, "it is no state of a rig")
    if found.schema != 1 or found.rig != rig:
        return _unreadable(rig, f"it is of rig {ascii(found.rig)[1:41]}, schema {found.schema}")
    return found


def _unreadable(rig: str, why: str) -> Latched:
    """Tripped; and by a real device, for nobody can say that it was none."""
    text = f"{trips.UNFINISHED.text}: {rig}.json cannot be understood, {why}"
    tripped = msgspec.structs.replace(clear(rig), mark="tripped", code=trips.UNFINISHED.code, real=True)
    return msgspec.structs.replace(tripped, text=text)


def kept(rig: str) -> Latched | None:
    """A rig's file as it stands, None where this user's state has none; one that cannot be read is tripped."""
    try:
        path = state_directory() / RIGS / f"{rig}.json"
        return read_latch(rig, read_regular(path, BYTES_MAX, follow=False))
    except FileNotFoundError:
        return None
    except (OSError, SiteError) as error:
        return _unreadable(rig, getattr(error, "strerror", None) or str(error))


def last_session(rig: str) -> str:
    """What `said` says of a rig's file as it stands; empty where there is none."""
    found = kept(rig)
    return "" if found is None else said(found)


def trip_of(latched: Latched) -> tuple[str, str]:
    """Code and text with which the next start is tripped; both empty where it is not."""
    if latched.mark in ("reset", "clear"):
        return "", ""
    when = (
        f"session {latched.session_id}, {said_at(latched.at_wall_ns)}"
        if latched.session_id
        else "unknown when"
    )
    if latched.mark == "armed":
        return trips.UNFINISHED.code, f"{trips.UNFINISHED.text} ({when})"
    return latched.code, f"{latched.text} ({when})"


def after(before: Latched, session_id: str, effects: tuple[Effect, ...], wall_ns: int) -> Latched | None:
    """What is to be kept of the rig after a step with these effects; None where nothing changes."""
    now = msgspec.structs.replace(before, session_id=session_id, at_wall_ns=wall_ns, code="", text="")
    for effect in effects:
        match effect:
            case MarkArmed():
                return msgspec.structs.replace(now, mark="armed")
            case Latch(code=code, text=text):
                return msgspec.structs.replace(now, mark="tripped", code=code, text=text[:TEXT_MAX])
            case Unlatch(reset=True):
                # The session that was reset, whichever resets it: nothing of its id starts before another was armed.
                return msgspec.structs.replace(now, mark="reset", session_id=before.session_id or session_id)
            case Unlatch():
                return msgspec.structs.replace(now, mark="clear")
            case _:
                continue
    return None


def said_at(wall_ns: int) -> str:
    """An instant for people, in UTC; a number that is no instant as it stands."""
    try:
        at = datetime.datetime.fromtimestamp(wall_ns // 1_000_000_000, tz=datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return f"{wall_ns} ns"
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def said(latched: Latched) -> str:
    """One line: what tripped the rig last, when, and the command that resets; empty where it is not tripped."""
    code, text = trip_of(latched)
    if not code:
        return ""
    return (
        f"rig {latched.rig} is TRIPPED: {code} {text}; "
        f"a named person resets: nociloop reset --limits LIMITS.toml --person NAME --reason WHY"
    )
