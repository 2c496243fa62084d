"""Room: what Allowed leaves for a train, so that a law does not ask for refusals; rounding toward less."""

from __future__ import annotations

import math

from drivers.stimulation import (
    Hold,
    Train,
    amplitude,
    amplitude_quantity,
    duration_ns,
    n_pulses,
    quantities,
    with_amplitude,
)
from safety.messages import Allowed, Row

__all__ = ["Room", "round_down", "with_amplitude"]

# Two leases must fit into a time budget: one to hold, and one to come down by (own choice).
LEASES_LEFT = 2.0


def round_down(value: float, step: float, high: float) -> float:
    """The greatest multiple of `step` that is neither above `value` nor above `high`; 0 where there is none."""
    if not (math.isfinite(value) and math.isfinite(high) and step > 0):
        return 0.0
    bound = min(value, high)
    if bound <= 0:
        return 0.0
    # One part in 10^9 is what a float loses on the way (0.3 / 0.1 is 2.9999...), not a step.
    n = math.floor(bound / step + 1e-9)
    rounded = round(n * step, 9)
    return rounded if rounded <= high else round(max(n - 1, 0) * step, 9)


class Room:
    """How far a train may go within what the interlock said it would permit.

    The rows are remembered, as a message without rows means that they have not changed. What is not said
    is not allowed.
    """

    def __init__(self, train: Train) -> None:
        self._train = train
        self._name = amplitude_quantity(train)
        self._fixed = {name: value for name, value in quantities(train).items() if name != self._name}
        self._rows: dict[str, Row] = {}

    def ceiling(self, allowed: Allowed) -> float:
        """The highest amplitude worth asking for now; 0: nothing is."""
        if allowed.rows:
            self._rows = {row.quantity: row for row in allowed.rows}
        own = self._rows.get(self._name)
        if own is None or not self._within(allowed):
            return 0.0
        bounds = (amplitude(self._train), own.high, self._reach(allowed))
        if not all(map(math.isfinite, bounds)):  # min() would pass over a NaN
            return 0.0
        high = min(bounds)
        return high if high > 0 and high >= own.low else 0.0

    def low(self) -> float:
        """The least amplitude above zero that may be asked for."""
        row = self._rows.get(self._name)
        return 0.0 if row is None else row.low

    def _within(self, allowed: Allowed) -> bool:
        """Whether every other quantity, and each budget, has room for this train."""
        for name, value in self._fixed.items():
            row = self._rows.get(name)
            if row is not None and not row.low <= value <= row.high:
                return False
        return all(
            allowed.budget[name] - allowed.used.get(name, math.inf) >= self._cost(name) > 0
            for name in allowed.budget
        )

    def _reach(self, allowed: Allowed) -> float:
        """What the slew limit lets a hold rise to in its own ramp, from what is put out now."""
        wave = self._train.waveform
        if not allowed.may_rise:
            return allowed.amplitude_now if isinstance(wave, Hold) else 0.0
        slew = self._rows.get("slew_ma_per_s")
        if not isinstance(wave, Hold) or slew is None:
            return allowed.amplitude_max
        reach_ma = allowed.amplitude_now + slew.high * wave.ramp_up_ms / 1000.0
        # Where nothing runs, `amplitude_max` is for the longest ramp that may be: this train's own is what counts.
        return max(allowed.amplitude_max, reach_ma) if allowed.amplitude_now > 0 else reach_ma

    def _cost(self, budget: str) -> float:
        """At most what one more request spends of a budget; of an unknown one, anything at all."""
        wave = self._train.waveform
        span_s = duration_ns(self._train) / 1e9
        if isinstance(wave, Hold):
            span_s = LEASES_LEFT * (span_s + wave.ramp_down_ms / 1000.0)
        match budget:
            case "on_time_s":
                return span_s
            case "n_pulses":
                return float(n_pulses(self._train)) or 1e-9
            case "charge_c":
                charging_ma = wave.carrier.charging_ma if isinstance(wave, Hold) else 0.0
                return max(charging_ma / 1000.0 * span_s, 1e-9)
            case _:
                return 1e-9
