"""Stalls of the machine: whenever it gave no processor for `LATE_MS`, or its disk took `SYNC_MS` for one block.

`python -m tests.stalls` measures both all the time, and writes a line a stall: its end in ns, ms, what stalled.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

LATE_MS = 30.0
SYNC_MS = 150.0
EVERY_S = 0.005
SYNC_EVERY_S = 0.25


class Watcher:
    """The process that measures, and the lines it has written."""

    def __init__(self) -> None:
        self._lines = tempfile.TemporaryFile("w+")  # noqa: SIM115, the watcher writes until the run ends
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.stalls"], stdin=subprocess.DEVNULL, stdout=self._lines
        )

    def seen(self, from_ns: int, to_ns: int) -> list[str]:
        """The stalls of this time, in words."""
        with open(f"/proc/self/fd/{self._lines.fileno()}", encoding="utf-8") as lines:
            stalls = [line.split(maxsplit=2) for line in lines]
        return [
            f"{what.strip()} {ms} ms"
            for end_ns, ms, what in stalls
            if int(end_ns) >= from_ns and int(end_ns) - float(ms) * 1e6 <= to_ns
        ]

    def end(self) -> None:
        self._process.kill()
        self._process.wait(5.0)
        self._lines.close()


def stalls() -> Iterator[tuple[int, float, str]]:
    """The stalls of the machine as they end, until whoever started this has gone."""
    parent = os.getppid()
    with tempfile.TemporaryFile(prefix="nociloop-stalls-") as block:
        synced_ns = time.monotonic_ns()
        while os.getppid() == parent:
            before_ns = time.monotonic_ns()
            time.sleep(EVERY_S)
            after_ns = time.monotonic_ns()
            late_ms = (after_ns - before_ns) / 1e6 - EVERY_S * 1e3
            if late_ms > LATE_MS:
                yield after_ns, late_ms, "no processor"
            if after_ns - synced_ns > SYNC_EVERY_S * 1e9:
                os.pwrite(block.fileno(), b"." * 4096, 0)
                os.fsync(block.fileno())
                synced_ns = time.monotonic_ns()
                if synced_ns - after_ns > SYNC_MS * 1e6:
                    yield synced_ns, (synced_ns - after_ns) / 1e6, "disk"


if __name__ == "__main__":
    for end_ns, ms, what in stalls():
        print(end_ns, f"{ms:.0f}", what, flush=True)
