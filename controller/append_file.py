"""A file that only grows: created new, written at once, whole records only, synced when it is closed."""

from __future__ import annotations

import os
from pathlib import Path


class AppendFile:
    """Each write reaches the kernel before it returns: a killed process loses nothing that was written.

    No sync before `close`: syncing a large file in mid-session would hold up the ledger's, on the same disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o640)
        self._size = 0

    def write(self, record: bytes) -> None:
        """All of it or nothing: where the disk refuses the rest, the file is cut back to whole records."""
        rest = memoryview(record)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            self._cut_back()
            text = f"{error.strerror}; {self._size} bytes are kept"
            raise OSError(error.errno, text, str(self.path)) from None
        self._size += len(record)

    def close(self) -> None:
        """Sync and close; idempotent."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            pass  # a torn tail is borne by every reader; the write's own error is the one to tell
