"""A participant's store on disk: opened and locked for one session, held against the site's list. Shell.

`participants/NAME.jsonl` in the state directory. Missing, older than the site knows it, forked, torn inside, or another's:
refused. A torn tail was never durable, so nothing rested on it: it is cut off before the next line is written.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safety.chained import LINE_BYTES_MAX, BrokenChain, Chain, read_chain
from safety.earlier import history_of, stranger_of
from safety.history import History, Stamp
from safety.limit_values import Limits
from safety.regular_file import sync_directory
from safety.site_list import (
    SITE_LIST,
    Anchor,
    AnchorKind,
    Lines,
    StoreError,
    anchor,
    bounded,
    newest,
    site_list,
)
from safety.store_mark import Mark, mark_path, put_mark, read_mark
from safety.store_records import CourseBegun, DateConfirmed, Record, body_of, records_of

BYTES_MAX = 134_217_728  # own choice: a course of reservations every few seconds takes some 20 MB
PARTICIPANTS = "participants"
TAMPERED = "expected a whole store: it was tampered with, or its disk fails; bring back a whole copy"


def store_path(directory: Path, participant: str) -> Path:
    return directory / PARTICIPANTS / f"{participant}.jsonl"


@dataclass(slots=True, kw_only=True)
class Store:
    """The store of one participant, open for one session: nobody else may open it meanwhile."""

    directory: Path
    participant: str
    session_id: str
    lines: Lines

    def opened(self) -> str:
        """Name the store's head as it was found; the head that the site's list then has. Raises OSError, StoreError."""
        put_mark(self.directory, self._mark(), durable=True)
        return anchor(self.directory, _left("opened", self.participant, self.lines, self.session_id))

    def reached(self) -> None:
        """Keep how far the store has reached, once that is durable in the store itself. Raises OSError."""
        put_mark(self.directory, self._mark())

    def _mark(self) -> Mark:
        return Mark(participant=self.participant, store_seq=self.lines.seq, store_head=self.lines.head)

    def close(self, ledger_head: str) -> None:
        """Name the heads of store and ledger in the site's list, and let go of the store. Raises OSError, StoreError."""
        anchor(self.directory, _left("closed", self.participant, self.lines, self.session_id, ledger_head))
        self.lines.close()


def open_store(
    directory: Path,
    limits: Limits,
    session_id: str,
    now: Stamp,
    utc_offset_s: int,
    officers: frozenset[str] = frozenset(),
    makers: frozenset[str] = frozenset(),
) -> tuple[Store, History]:
    """Open, lock and judge the store of a session's participant; `officers` may begin a course, `makers` and the
    persons of the limits have made it. Raises StoreError."""
    lines, records, chain = claim_store(directory, limits.participant)
    store = Store(directory=directory, participant=limits.participant, session_id=session_id, lines=lines)
    try:
        stranger = stranger_of(records, limits, makers)
        if stranger:
            raise StoreError(f"{lines.path}: {stranger}")
        return store, history_of(records, chain, limits, now, utc_offset_s, store.opened(), officers)
    except (BrokenChain, StoreError, OSError) as error:
        lines.close()
        if not isinstance(error, BrokenChain):
            raise
        raise StoreError(f"{lines.path}: found {error}, {TAMPERED}") from error


def claim_store(directory: Path, participant: str) -> tuple[Lines, tuple[Record, ...], Chain]:
    """Lock a store, hold it against the site's list, cut off a torn tail."""
    path = store_path(directory, participant)
    fd = _open(directory, participant, os.O_RDWR | os.O_APPEND)
    try:
        _lock(participant, fd)
        records, chain = _judged(directory, participant, fd)
        if chain.torn:
            os.ftruncate(fd, chain.length)
            os.fsync(fd)
    except OSError as error:
        os.close(fd)
        raise StoreError(f"{path}: found {error.strerror}, expected a store; check the disk") from error
    except StoreError:
        os.close(fd)
        raise
    return Lines(path, fd, chain), records, chain


def _lock(participant: str, fd: int) -> None:
    """Keep everybody else out while the descriptor is open, whatever rig they are at."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(
            f"participant {participant} has a session already; end it, or wait for its end "
            "(`nociloop stop` sends it to zero)"
        ) from None


def read_store(directory: Path, participant: str) -> tuple[tuple[Record, ...], Chain]:
    """The records of a store, without locking or changing it; raises StoreError."""
    fd = _open(directory, participant, os.O_RDONLY)
    try:
        return _judged(directory, participant, fd)
    except OSError as error:
        path = store_path(directory, participant)
        raise StoreError(f"{path}: found {error.strerror}, expected a store; check the disk") from error
    finally:
        os.close(fd)


def _open(directory: Path, participant: str, flags: int) -> int:
    """The store's file: ours, and nobody else's to write."""
    path = store_path(directory, participant)
    try:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise StoreError(_absent(directory, participant, path)) from None
    except OSError as error:
        raise StoreError(
            f"{path}: found {error.strerror}, expected the store of participant {participant}; mend it, or set "
            "NOCILOOP_STATE_DIR to the site's state directory"
        ) from error
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        os.close(fd)
        raise StoreError(
            f"{path}: found a file of user {found.st_uid} with mode {stat.S_IMODE(found.st_mode):o}, expected one of user "
            f"{os.getuid()} that nobody else may write; find out who wrote to it"
        )
    return fd


def _absent(directory: Path, participant: str, path: Path) -> str:
    if newest(site_list(directory)[1], participant) is None:
        return (
            f"{path}: found no store, expected that of participant {participant}; an officer makes one: "
            f"`nociloop participant new {participant} --limits LIMITS.toml --person NAME`"
        )
    return f"{path}: found no store, expected the one that the site knows of participant {participant}; bring it back"


def _judged(directory: Path, participant: str, fd: int) -> tuple[tuple[Record, ...], Chain]:
    """What a store holds: whole, and no older than the site knows it."""
    path = store_path(directory, participant)
    try:
        chain = read_chain(_content(path, fd))
        records = records_of(chain, participant)
    except BrokenChain as error:
        raise StoreError(f"{path}: found {error}, {TAMPERED}") from error
    known, mark = newest(site_list(directory)[1], participant), read_mark(directory, participant)
    if known is None:
        raise StoreError(
            f"{path}: found a store that {directory / SITE_LIST} does not know, expected one that was made here; bring back "
            "both as they were"
        )
    if len(chain.hashes) < known.store_seq:
        raise StoreError(
            f"{path}: found {len(chain.hashes)} lines, expected the {known.store_seq} that the site knows: an older copy; "
            "bring back the newest"
        )
    if chain.hashes[known.store_seq - 1] != known.store_head:
        raise StoreError(
            f"{path}: found another line {known.store_seq} than the site knows, expected that one: a forked copy; "
            "bring back the other"
        )
    if mark is not None and chain.hashes[mark.store_seq - 1 : mark.store_seq] != (mark.store_head,):
        raise StoreError(
            f"{path}: found {len(chain.hashes)} lines, expected line {mark.store_seq} as the last session wrote it: a copy "
            "that was cut back; bring back the newest"
        )
    return records, chain


def _content(path: Path, fd: int) -> bytes:
    with open(fd, "rb", closefd=False) as file:
        return bounded(path, file.read(BYTES_MAX + 1), BYTES_MAX)


def append_act(
    directory: Path,
    record: DateConfirmed | CourseBegun,
    participant: str,
    against: Callable[[tuple[Record, ...], Chain], str],
) -> None:
    """Append a named person's act while nobody else has the store open; `against` says what speaks against it in a line, ""
    where nothing does. Raises StoreError, BrokenChain, OSError."""
    lines, records, chain = claim_store(directory, participant)
    try:
        if record.stamp.wall_ns < records[-1].stamp.wall_ns:
            raise StoreError(
                f"{lines.path}: found a wall clock before the last record, expected one after it; set the clock first"
            )
        why = against(records, chain)
        if why:
            raise StoreError(why)
        lines.write([body_of(record)])
        lines.sync()
        kind: AnchorKind = "confirm-date" if isinstance(record, DateConfirmed) else "new-course"
        anchor(directory, _left(kind, participant, lines))
    finally:
        lines.close()


def _left(
    kind: AnchorKind, participant: str, lines: Lines, session_id: str = "", ledger_head: str = ""
) -> Anchor:
    """How a store is left at this moment."""
    return Anchor(
        kind=kind,
        participant=participant,
        store_seq=lines.seq,
        store_head=lines.head,
        session_id=session_id,
        ledger_head=ledger_head,
        wall_ns=time.time_ns(),
    )


def _never_came_to_be(content: bytes, participant: str) -> bool:
    """Whether it is what a crash left before the site's list knew: a first line, whole or torn. No session was on it."""
    if b"\n" not in content:
        return len(content) <= LINE_BYTES_MAX
    try:
        chain = read_chain(content)
        return len(records_of(chain, participant)) == 1 and not chain.torn
    except BrokenChain:
        return False


def create(directory: Path, record: Record, participant: str) -> None:
    """Make a store with its first line, and name it in the site's list; raises StoreError, OSError."""
    path = store_path(directory, participant)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for above in (directory, directory.parent):
        sync_directory(above)  # a power cut must not take the new folder, and with it what it holds
    if path.parent.stat().st_mode & 0o022:
        raise StoreError(
            f"{path.parent}: found that others may write it, expected the interlock's user alone; chmod go-w"
        )
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _lock(participant, fd)
        if newest(site_list(directory)[1], participant) is not None:
            raise StoreError(
                f"{path}: found participant {participant} here already, expected a new one; use it as it is"
            )
        if read_mark(directory, participant) is not None:
            raise StoreError(
                f"{mark_path(directory, participant)}: found that participant {participant} had sessions here, expected "
                "a new one; bring back store and site list"
            )
        if not _never_came_to_be(_content(path, fd), participant):
            raise StoreError(
                f"{path}: found a store that {directory / SITE_LIST} does not know, expected none before the first session; "
                "bring back the site's list as it was"
            )
        os.ftruncate(fd, 0)
        lines = Lines(path, fd, read_chain(b""))
        lines.write([body_of(record)])
        os.fsync(fd)
        sync_directory(path.parent)
        anchor(directory, _left("new", participant, lines))
    finally:
        os.close(fd)
