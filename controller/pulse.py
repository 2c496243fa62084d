"""The heartbeat: sent by the loop itself, never by a task beside it, so that a loop that hangs falls silent."""

from __future__ import annotations

import time

from controller.eeg import Block
from safety.client import InterlockClient
from safety.messages import Heartbeat

BEAT_NS = 20_000_000  # a fifth of the shortest heartbeat limit in use (100 ms): four may be late


class Pulse:
    """Counts the blocks that were worked through, and says so at most every 20 ms."""

    def __init__(self, interlock: InterlockClient) -> None:
        self._interlock = interlock
        self._seq = 0
        self._progress = 0
        self._due_ns = 0

    def beat(self, block: Block) -> None:
        """A block was worked through. Raises InterlockLost."""
        self._progress += 1
        now_ns = time.monotonic_ns()
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + BEAT_NS
        self._seq += 1
        self._interlock.beat(Heartbeat(seq=self._seq, progress=self._progress, evidence=block.evidence))
