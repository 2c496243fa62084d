"""Writes the patient's truth from a thread of its own, so that a slow disk never delays a sample."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Mapping
from pathlib import Path

_WAITING_MAX = 20_000  # own choice: half an hour of rows
_CLOSE_S = 5.0


class TruthFile:
    """Appends one JSON object a line; each row is handed to the kernel at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_WAITING_MAX)
        self._failed: OSError | None = None
        self._thread = threading.Thread(target=self._write, name="truth", daemon=True)
        self._thread.start()

    def put(self, row: Mapping[str, object]) -> None:
        """Queue a row; raises what broke the writing."""
        if self._failed is not None:
            raise self._failed
        try:
            self._waiting.put_nowait(json.dumps(row, separators=(",", ":")).encode() + b"\n")
        except queue.Full as error:
            raise OSError(f"{self._file.name}: the disk is {_WAITING_MAX} rows behind") from error

    def close(self) -> None:
        """Write what waits and close."""
        try:
            self._waiting.put(None, timeout=_CLOSE_S)
        except queue.Full:
            pass  # the disk hangs; the thread is a daemon and ends with the process
        self._thread.join(_CLOSE_S)
        if not self._thread.is_alive():
            self._file.close()

    def _write(self) -> None:
        while (row := self._waiting.get()) is not None:
            try:
                self._file.write(row)
            except OSError as error:
                self._failed = error
                return
