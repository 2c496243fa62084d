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
