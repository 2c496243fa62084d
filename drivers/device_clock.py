"""A device's own clock, mapped to the host's. Pure."""

from __future__ import annotations

# Two crystals of ±100 ppm could part by 200; five times that leaves room for a resonator, and costs 50 µs of
# certainty at a poll every 50 ms. Own choice.
DRIFT_PPM = 1000


class DeviceClock:
    """Keeps the interval in which the offset host − device lies: a round trip narrows it, time widens it.

    The device read its clock somewhere between our sending and our receiving, which bounds the offset; the
    middle of the interval is the estimate, so the best round trips count most.
    """

    def __init__(self) -> None:
        self.known = False
        self.transit_ns = 0
        self._low_ns = 0
        self._high_ns = 0
        self._at_ns = 0
        self._newest_us = 0

    def sample(self, *, t_us: int, sent_ns: int, received_ns: int) -> bool:
        """Take one reading of the device's clock; False when it ran backwards, as after a restart."""
        low_ns, high_ns = sent_ns - t_us * 1000, received_ns - t_us * 1000
        forward = not self.known or t_us >= self._newest_us
        if self.known:
            widening_ns = (received_ns - self._at_ns) * DRIFT_PPM // 1_000_000
            kept = (
                max(low_ns, self._low_ns - widening_ns),
                min(high_ns, self._high_ns + widening_ns),
            )
            if kept[0] <= kept[1] and forward:
                low_ns, high_ns = kept
        trip_ns = (received_ns - sent_ns) // 2
        self.transit_ns = min(self.transit_ns, trip_ns) if self.known else trip_ns
        self._low_ns, self._high_ns, self._at_ns = low_ns, high_ns, received_ns
        self._newest_us = t_us
        self.known = True
        return forward

    def host_ns(self, t_us: int) -> int:
        """A time of the device on the host's monotonic clock."""
        return t_us * 1000 + (self._low_ns + self._high_ns) // 2
