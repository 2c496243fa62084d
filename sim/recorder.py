"""Writes a device's record from a thread of its own, so that a slow disk never delays the device."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from pathlib import Path

from sim.record import Entry, encode

# Own choice: minutes of the densest record. A disk slower than that is an error, never a gap in the truth.
_WAITING_MAX = 200_000
_CLOSE_S = 5.0


class RecordLost(Exception):
    """The record cannot be kept complete: file, what broke."""


class Recorder:
    """Appends entries to a file in their order; each batch is handed to the kernel at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._waiting: queue.Queue[Entry | None] = queue.Queue(_WAITING_MAX)
        self._failed: OSError | None = None
        self._thread = threading.Thread(target=self._write, name="record", daemon=True)
        self._thread.start()

    def put(self, entries: Iterable[Entry]) -> None:
        """Queue entries; an incomplete record is no record, so what hinders it is raised."""
        if self._failed is not None:
            raise RecordLost(f"{self._path}: the record broke off ({self._failed.strerror})")
        try:
            for entry in entries:
                self._waiting.put_nowait(entry)
        except queue.Full as error:
            raise RecordLost(f"{self._path}: {_WAITING_MAX} entries wait, the disk is too slow") from error

    def close(self) -> None:
        """Write what waits and close the file."""
        try:
            self._waiting.put(None, timeout=_CLOSE_S)
        except queue.Full:
            pass  # the thread is stuck in the disk; told below
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            raise RecordLost(f"{self._path}: the disk took nothing for {_CLOSE_S:.0f} s")
        self._file.close()
        if self._failed is not None:
            raise RecordLost(f"{self._path}: the record broke off ({self._failed.strerror})")

    def _write(self) -> None:
        """The thread: take what waits, write it in one call."""
        ended = False
        while not ended:
            batch = [self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            ended = None in batch
            data = memoryview(b"".join(encode(entry) for entry in batch if entry is not None))
            try:
                while data:
                    data = data[self._file.write(data) :]
            except OSError as error:
                self._failed = error
                return
