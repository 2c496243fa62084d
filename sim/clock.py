"""The clock of the simulated world: the host's CLOCK_MONOTONIC, or one that a test turns by hand."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Whole nanoseconds that never go back."""

    def now_ns(self) -> int: ...


class MonotonicClock:
    """CLOCK_MONOTONIC of the host: the one clock that all processes of a rig share."""

    def now_ns(self) -> int:
        """The present time."""
        return time.monotonic_ns()


class ManualClock:
    """A clock that stands until it is turned; time cannot go backwards."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """The time it was last turned to."""
        return self._now_ns

    def advance(self, by_ns: int) -> int:
        """Turn the clock on and return the new time."""
        if by_ns < 0:
            raise ValueError(f"advance by {by_ns} ns, expected 0 or more: time cannot go backwards")
        self._now_ns += by_ns
        return self._now_ns
