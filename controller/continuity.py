"""Continuity: lost samples, found by the sender's time stamps."""

from __future__ import annotations

import math

GAP_SAMPLES = 3  # a stamp further ahead than this means lost samples (shared experience with LSL senders)
JUMP_S = 1.0  # stamps that leap further than the time that passed, or back by this, are a broken clock


class ClockError(ValueError):
    """The sender's time stamps make no sense."""


class Continuity:
    """Finds lost samples by the senders' stamps. Pure.

    Samples of one stamp came as a group, so a stamp is compared with the number of samples since the last
    *different* one. A clock that leaps, beyond the time that really passed, is an error and not a loss.
    """

    def __init__(self, sfreq_hz: float, tolerance_samples: float = GAP_SAMPLES) -> None:
        self._sfreq_hz = sfreq_hz
        self._tolerance = max(float(GAP_SAMPLES), tolerance_samples)
        self._last_s = math.nan
        self._since = 0
        self._received_s = math.nan

    def losses(self, stamps_s: list[float], received_s: float) -> list[tuple[int, int]]:
        """(index, samples lost before it) of each gap; ClockError when the clock makes no sense."""
        found: list[tuple[int, int]] = []
        passed_s = 0.0 if math.isnan(self._received_s) else received_s - self._received_s
        self._received_s = received_s
        for index, stamp_s in enumerate(stamps_s):
            if not math.isfinite(stamp_s):
                raise ClockError(f"found a time stamp of {stamp_s}")
            step_s = stamp_s - self._last_s
            self._since += 1
            if step_s <= 0:
                if step_s < -JUMP_S:
                    raise ClockError(f"the stream's clock went back by {-step_s:.3f} s")
                continue
            if step_s > 0:  # not so for the first stamp of all, where it is NaN
                if step_s - max(passed_s, self._since / self._sfreq_hz) > JUMP_S:
                    raise ClockError(f"the stream's clock leapt ahead by {step_s:.3f} s")
                n_missing = round(step_s * self._sfreq_hz) - self._since
                if n_missing > self._tolerance:
                    found.append((index, n_missing))
            self._last_s = stamp_s
            self._since = 0
        return found
