"""Hash-chained log: append, anchor. The thread here owns the file, and the participant's store; the deciding thread only
puts bytes in a queue.

A line is canonical JSON; `prev` is the SHA-256 of the line before it, without its newline. An fsync that failed is never
tried again: the trouble is reported, and the ledger takes nothing more. An entry that reserves is durable when its record
in the store is, too.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from safety.admission import LIMITS_BYTES_MAX, signature_path
from safety.apart import let_sockets_go
from safety.entries import GENESIS_HASH, Close, Entry, Genesis
from safety.events import LedgerTrouble
from safety.latch import Latched, LatchFile
from safety.regular_file import is_named, read_regular, sync_directory
from safety.signature import BYTES_MAX as SIGNATURE_BYTES_MAX
from safety.site_list import SITE_LIST, StoreError
from safety.store import Store
from safety.store_mark import HEADS
from safety.store_records import Record, body_of

QUEUE_MAX = 4096
WATCH_EVERY_S = 1.0
DISK_FREE_MIN = 50_000_000  # bytes; a session of hours writes a few megabytes
_PREV, _SEAL = b'{"prev":""', b'"seal":""}'

Line = Genesis | Entry | Close
_Item = tuple[int, bytes, Latched | None, tuple[bytes, ...]]


class LedgerFull(Exception):
    """More entries are waiting for the disk than the queue holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The limits file that must not change while the session runs, and its SHA-256; `signature` is that of the
    signature file beside it, empty where there is none, and none may then appear."""

    path: Path
    digest: str
    signature: str = ""


class Ledger:
    """The writer. `append` never blocks; `news_fd` becomes readable when there is something for `news`."""

    def __init__(
        self, path: Path, watched: Watched, latch: LatchFile | None = None, store: Store | None = None
    ) -> None:
        """Create the file; an existing one is never opened, OSError says so. Without a store records go nowhere: only
        where nothing is delivered."""
        self._path = path
        self._store = store
        self._watched = watched
        self._latch = latch
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o640)
        sync_directory(path.parent)
        self._size = 0
        self._full = False
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._news: deque[int | LedgerTrouble] = deque(maxlen=QUEUE_MAX)
        self.news_fd, self._wake_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._encoder = msgspec.json.Encoder()
        self._durable = 0
        self._appended = 0
        self._failed = False
        self._said: set[str] = set()
        self.head = GENESIS_HASH
        self._starts_apart = False
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self, *, apart: bool = False) -> None:
        """Start the ledger's thread. `apart`: it shares no socket with the other threads, so that a SIGKILL closes each at
        once, though the disk keeps this thread waiting."""
        self._starts_apart = apart
        self._thread.start()
        self._begun.wait()

    def append(self, line: Line, latched: Latched | None = None, records: tuple[Record, ...] = ()) -> None:
        """Queue a line whose `prev` is empty, and what is to be kept of rig and participant before it counts as durable.

        Raises LedgerFull when the disk is too far behind, and from then on: a ledger with a gap would prove less than one
        that ends."""
        self._full = self._full or self._appended - self._durable >= QUEUE_MAX
        if self._full:
            raise LedgerFull(f"{QUEUE_MAX} entries wait for the disk")
        self._appended += 1
        self._queue.put((line.seq, self._encoder.encode(line), latched, tuple(map(body_of, records))))

    def keep(self, latched: Latched) -> None:
        """Keep something of the rig although the ledger takes no line more."""
        self._queue.put((-1, b"", latched, ()))

    def news(self) -> list[int | LedgerTrouble]:
        """What happened since the last call: an int n says that all entries below n are durable."""
        try:
            os.read(self.news_fd, 4096)
        except BlockingIOError:
            pass  # a wake-up that an earlier call has already drained
        found = []
        while self._news:
            found.append(self._news.popleft())
        return found

    def close(self, timeout_s: float) -> bool:
        """Write what is queued and end the thread; whether all of it reached the disk."""
        self._queue.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and not self._failed

    def _say(self, item: int | LedgerTrouble) -> None:
        if isinstance(item, LedgerTrouble):
            if item.kind in self._said:
                return
            self._said.add(item.kind)
            # A file's name may hold bytes that are no text; the deciding thread sends and records what it is told.
            told = item.text.encode("utf-8", "backslashreplace").decode("utf-8")
            item = msgspec.structs.replace(item, text=told)
        self._news.append(item)
        try:
            os.write(self._wake_fd, b"!")
        except BlockingIOError:
            pass  # the pipe is full of wake-ups already

    def _run(self) -> None:
        if self._starts_apart:
            let_sockets_go()
        self._begun.set()
        next_watch_s = 0.0
        while True:
            wait_s = next_watch_s - time.monotonic()
            if wait_s <= 0.0:
                self._look()
                next_watch_s = time.monotonic() + WATCH_EVERY_S
                continue
            try:
                first = self._queue.get(timeout=wait_s)
            except queue.Empty:
                continue
            if not self._write(first) or first is None:
                return

    def _write(self, first: _Item | None) -> bool:
        """Write everything queued with one sync; False when the thread must end."""
        batch, last = bytearray(), -1
        kept: Latched | None = None
        stored: list[bytes] = []
        item, more = first, True
        while item is not None and more:
            seq, body, latched, records = item
            stored += records
            kept = latched or kept
            last = max(last, seq)
            batch += self._chained(body)
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                more = False
        if (batch or kept) and not self._put(bytes(batch), kept, stored):
            return False
        if last >= 0:
            self._durable = last + 1
            self._say(last + 1)
        if stored and not self._mark():
            return False
        if item is None:
            self._end()
            return False
        return True

    def _chained(self, body: bytes) -> bytes:
        """A line with the hash of the line before it; nothing for nothing."""
        if not body:
            return b""
        line = b'{"prev":"' + self.head.encode() + b'"' + body[len(_PREV) :]
        if line.endswith(_SEAL):
            line = sealed(line)
        self.head = hashlib.sha256(line).hexdigest()
        return line + b"\n"

    def _put(self, data: bytes, latched: Latched | None, stored: list[bytes]) -> bool:
        """Write and sync, then keep what is to be kept of rig and participant; the first failure is the last."""
        store = self._store.lines if self._store is not None and stored else None
        path = self._path
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            self._size += len(data)
            if (
                store is not None
            ):  # both are written before either is synced: one commit of the disk's for both
                path = store.path
                store.write(stored)
                store.sync()
            path = self._path
            os.fdatasync(self._fd)
            if latched is not None and self._latch is not None:
                self._latch.put(latched)
        except (OSError, StoreError) as error:
            self._failed = True
            text = (
                f"{error.filename or path.name}: {error.strerror}"
                if isinstance(error, OSError)
                else str(error)
            )
            self._say(LedgerTrouble(kind="failed", text=text))
            return False
        return True

    def _mark(self) -> bool:
        """Keep how far the store has reached, after whoever waits for it was told; the first failure is the last."""
        try:
            if self._store is not None:
                self._store.reached()
        except OSError as error:
            self._failed = True
            self._say(LedgerTrouble(kind="failed", text=f"{error.filename or HEADS}: {error.strerror}"))
            return False
        return True

    def _end(self) -> None:
        """Nothing more will come: name the heads of ledger and store in the site's list."""
        os.close(self._fd)
        if self._store is not None:
            try:
                self._store.close(self.head)
            except (OSError, StoreError) as error:
                self._failed = True
                self._say(LedgerTrouble(kind="failed", text=f"{SITE_LIST}: {error}"))

    def _look(self) -> None:
        """Ledger and store: still the files that are written. Disk space. Limits file and its signature: unchanged."""
        for path, named in self._written():
            if not named:
                text = f"{path.name}: no longer the file that is written, or changed by somebody else"
                self._say(LedgerTrouble(kind="failed", text=text))
        try:
            space = os.statvfs(self._path.parent)
            free = space.f_bavail * space.f_frsize
            if free < DISK_FREE_MIN:
                self._say(LedgerTrouble(kind="disk_low", text=f"{free // 1_000_000} MB free, expected 50"))
        except OSError as error:
            self._say(LedgerTrouble(kind="failed", text=f"{self._path.name}: {error.strerror}"))
        try:
            digest = hashlib.sha256(read_regular(self._watched.path, LIMITS_BYTES_MAX)).hexdigest()
            signature = self._signature()
        except OSError as error:
            self._say(LedgerTrouble(kind="limits_changed", text=f"{error.filename}: {error.strerror}"))
            return
        if digest != self._watched.digest:
            self._say(
                LedgerTrouble(kind="limits_changed", text=f"{self._watched.path.name}: digest {digest[:12]}")
            )
        if signature != self._watched.signature:
            found = f"digest {signature[:12]}" if signature else "gone"
            beside = signature_path(self._watched.path).name
            self._say(LedgerTrouble(kind="limits_changed", text=f"{beside}: {found}"))

    def _written(self) -> Iterator[tuple[Path, bool]]:
        """Each file that is written, and whether its name still leads to it, and to no more than was written."""
        whole = os.fstat(self._fd).st_size == self._size
        yield self._path, whole and is_named(self._path, self._fd)
        if self._store is not None:
            yield self._store.lines.path, self._store.lines.is_named()

    def _signature(self) -> str:
        """The SHA-256 of the signature file, empty where there is none; raises OSError."""
        try:
            beside = signature_path(self._watched.path)
            return hashlib.sha256(read_regular(beside, SIGNATURE_BYTES_MAX, follow=False)).hexdigest()
        except FileNotFoundError:
            return ""


def sealed(line: bytes) -> bytes:
    """The last line with its own hash in it."""
    return line.removesuffix(_SEAL) + b'"seal":"' + hashlib.sha256(line).hexdigest().encode() + b'"}'
