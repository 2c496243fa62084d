"""The heartbeat: sent as the loop works through blocks, and while it waits for one; a loop that hangs falls silent.

Beats and progress are told apart: without a block the beats go on and the progress stands, so that the interlock sees
an amplifier that is silent as what it is, and a loop that is stuck by its progress.
"""

from __future__ import annotations

import asyncio
import time

from controller.eeg import Block
from safety.client import InterlockClient, InterlockLost
from safety.messages import Heartbeat

BEAT_NS = 20_000_000  # a fifth of the shortest heartbeat limit in use (100 ms): four may be late
REST_S = 0.03  # after the beat of a block that came in time, so that beats carry the newest evidence


class Pulse:
    """Counts the blocks that were worked through; beats at most every 20 ms, and every 30 ms where none comes.

    What beats without a block is a timer of the loop's own thread: where that thread hangs, it hangs too.
    """

    def __init__(self, interlock: InterlockClient) -> None:
        self._interlock = interlock
        self._seq = 0
        self._progress = 0
        self._due_ns = 0
        self._newest: Block | None = None
        self._timer: asyncio.TimerHandle | None = None

    def beat(self, block: Block) -> None:
        """A block was worked through. Raises InterlockLost."""
        self._progress += 1
        self._newest = block
        now_ns = time.monotonic_ns()
        if now_ns >= self._due_ns:
            self._send(block, now_ns)

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send(self, block: Block, now_ns: int) -> None:
        self.stop()
        self._due_ns = now_ns + BEAT_NS
        self._seq += 1
        self._interlock.beat(Heartbeat(seq=self._seq, progress=self._progress, evidence=block.evidence))
        self._timer = asyncio.get_running_loop().call_later(REST_S, self._rest)

    def _rest(self) -> None:
        """Nothing was sent for a while: say that the loop lives, and how far it has come."""
        if self._newest is None:
            return
        try:
            self._send(self._newest, time.monotonic_ns())
        except InterlockLost:
            self.stop()  # the loop finds the same out at its next word
