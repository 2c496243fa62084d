"""Rhythms, 1/f background, muscle, blinks, mains: each a process that gives one tick of samples at a time.

All are first-order recursions run over a tick as one matrix product. A tick has a fixed number of samples, so
the order of operations, hence each bit, does not depend on how a caller groups its samples.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sim.patient_parameters import PatientParameters

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


class Poles:
    """A bank of AR(1) recursions x[t] = a x[t-1] + b u[t], over ticks of `n_tick` samples."""

    def __init__(self, decay: Floats, gain: Floats, width: int, n_tick: int) -> None:
        steps = np.arange(n_tick)
        lag = steps[:, None] - steps[None, :]
        powers = decay[:, None, None] ** np.maximum(lag, 0)
        self._from_noise = np.where(lag >= 0, powers, 0.0) * gain[:, None, None]
        self._from_state = (decay[:, None] ** (steps + 1))[:, :, None]
        self._state = np.zeros((decay.size, 1, width))

    def start(self, state: Floats) -> None:
        """Begin in the given state (poles, width), so that there is no settling at the first samples."""
        self._state = state[:, None, :].copy()

    def run(self, noise: Floats) -> Floats:
        """(poles, n_tick, width) of input to as many of output."""
        out: Floats = self._from_noise @ noise + self._from_state * self._state
        self._state = out[:, -1:, :].copy()
        return out


def _decay(corner_hz: Floats, sfreq_hz: float) -> Floats:
    return np.asarray(np.exp(-2.0 * math.pi * corner_hz / sfreq_hz), dtype=np.float64)


class Oscillators:
    """State-space oscillators x[t] = a R(w) x[t-1] + u[t], real part of unit variance.

    The rotation is taken out: x = z exp(i phase), z an AR(1), phase the sum of w. As u is circular this is
    the same process, and w may change from tick to tick without a jump.
    """

    def __init__(self, bandwidth_hz: Floats, sfreq_hz: float, n_tick: int, rng: np.random.Generator) -> None:
        # A Lorentzian of width B at half power decays by exp(-pi B t).
        decay = _decay(bandwidth_hz / 2.0, sfreq_hz)
        self._poles = Poles(decay, np.sqrt(1.0 - decay**2), 2, n_tick)
        self._poles.start(rng.standard_normal((decay.size, 2)))
        self._phase = rng.uniform(0.0, 2.0 * math.pi, decay.size)
        self._steps = np.arange(1, n_tick + 1)
        self._sfreq_hz = sfreq_hz
        self._rng = rng

    def tick(self, frequency_hz: Floats) -> Complexes:
        """(rhythms, n_tick) of the next samples at these frequencies."""
        noise = self._rng.standard_normal((self._phase.size, self._steps.size, 2))
        pair = self._poles.run(noise)
        step = 2.0 * math.pi * frequency_hz / self._sfreq_hz
        phase = self._phase[:, None] + step[:, None] * self._steps
        self._phase = phase[:, -1] % (2.0 * math.pi)
        return np.asarray((pair[:, :, 0] + 1j * pair[:, :, 1]) * np.exp(1j * phase), dtype=np.complex128)


class Background:
    """1/f^exponent noise: a sum of AR(1) processes whose corners lie evenly on a log axis."""

    _RATIO = 2.5  # between corners: the ripple of the slope stays within a few per cent
    _LOWEST_HZ = 0.1

    def __init__(
        self,
        exponent: float,
        rms_uv: float,
        width: int,
        sfreq_hz: float,
        n_tick: int,
        rng: np.random.Generator,
    ) -> None:
        n_poles = 1 + math.floor(math.log(0.45 * sfreq_hz / self._LOWEST_HZ, self._RATIO))
        corners = np.asarray(self._LOWEST_HZ * self._RATIO ** np.arange(n_poles), dtype=np.float64)
        decay = _decay(corners, sfreq_hz)
        variance = np.asarray(corners ** (1.0 - exponent), dtype=np.float64)
        # Corners above the band are flat within it: one white process with what they have below half the rate.
        above = corners[-1] * self._RATIO ** np.arange(1, 12)
        white = float((above**-exponent).sum()) * sfreq_hz / math.pi
        decay, variance = np.append(decay, 0.0), np.append(variance, white)
        variance *= rms_uv**2 / _band_variance(decay, variance, sfreq_hz, 1.0, 45.0)
        self._poles = Poles(decay, np.sqrt((1.0 - decay**2) * variance), width, n_tick)
        self._poles.start(rng.standard_normal((decay.size, width)) * np.sqrt(variance)[:, None])
        self._shape = (decay.size, n_tick, width)
        self._rng = rng

    def tick(self) -> Floats:
        """(width, n_tick)."""
        total: Floats = self._poles.run(self._rng.standard_normal(self._shape)).sum(axis=0)
        return total.T


def _band_variance(decay: Floats, variance: Floats, sfreq_hz: float, low_hz: float, high_hz: float) -> float:
    """Variance that a sum of AR(1) processes has between two frequencies."""
    frequency = np.linspace(low_hz, high_hz, 4401)
    cosine = np.cos(2.0 * math.pi * frequency / sfreq_hz)
    density = (variance * (1.0 - decay**2))[:, None] / (
        1.0 + decay[:, None] ** 2 - 2.0 * decay[:, None] * cosine
    )
    return float(density.sum(axis=0).mean() * (high_hz - low_hz) * 2.0 / sfreq_hz)


class Muscle:
    """White noise above a corner, with bursts: left and right temporal, left and right frontal."""

    def __init__(
        self, p: PatientParameters, width: int, sfreq_hz: float, n_tick: int, rng: np.random.Generator
    ) -> None:
        decay = _decay(np.array([p.emg_corner_hz]), sfreq_hz)
        self._low = Poles(decay, 1.0 - decay, width, n_tick)
        # The difference of white noise and its own low-pass has this variance.
        self._scale = p.emg_uv / math.sqrt(2.0 * float(decay[0]) ** 2 / (1.0 + float(decay[0])))
        tick_s = n_tick / sfreq_hz
        self._chance = min(1.0, p.emg_bursts_per_min / 60.0 * tick_s)
        self._burst_ticks = max(1, round(p.emg_burst_s / tick_s))
        self._extra = p.emg_burst_gain - 1.0
        self._left = np.zeros(width, dtype=np.int64)
        self._gain: Floats = np.ones(width)
        self._ramp = np.arange(1, n_tick + 1) / n_tick
        self._rng = rng

    def tick(self) -> Floats:
        """(width, n_tick)."""
        width, n_tick = self._gain.size, self._ramp.size
        white = self._rng.standard_normal((1, n_tick, width))
        start = self._rng.random(width) < self._chance
        self._left = np.where(start, self._burst_ticks, np.maximum(self._left - 1, 0))
        gain = np.asarray(1.0 + self._extra * (self._left > 0), dtype=np.float64)
        ramp = self._gain + self._ramp[:, None] * (gain - self._gain)
        self._gain = gain
        return np.asarray((self._scale * ramp * (white - self._low.run(white))[0]).T, dtype=np.float64)


class Blinks:
    """One raised cosine a blink, at random times, never two at once."""

    def __init__(self, p: PatientParameters, sfreq_hz: float, n_tick: int, rng: np.random.Generator) -> None:
        self._per_s = p.blinks_per_min / 60.0
        self._uv, self._duration_s = p.blink_uv, p.blink_s
        self._sfreq_hz, self._n_tick, self._rng = sfreq_hz, n_tick, rng
        self._time_s = 0.0
        self._size = 1.0
        self._next_s = self._wait_s()

    def _wait_s(self) -> float:
        return math.inf if self._per_s == 0.0 else float(self._rng.exponential(1.0 / self._per_s))

    def tick(self) -> Floats | None:
        """(n_tick,), or None where the eye is open throughout."""
        start_s = self._time_s
        self._time_s += self._n_tick / self._sfreq_hz
        if self._time_s <= self._next_s:
            return None
        at = (start_s + np.arange(self._n_tick) / self._sfreq_hz - self._next_s) / self._duration_s
        wave = 0.5 * (1.0 - np.cos(2.0 * math.pi * np.clip(at, 0.0, 1.0)))
        out: Floats = self._uv * self._size * wave
        if self._time_s > self._next_s + self._duration_s:
            self._next_s = self._time_s + self._wait_s()
            self._size = float(self._rng.uniform(0.7, 1.3))
        return out


class Mains:
    """A sinusoid with its own size and phase on each channel."""

    def __init__(self, p: PatientParameters, width: int, sfreq_hz: float, rng: np.random.Generator) -> None:
        phase = rng.uniform(0.0, 2.0 * math.pi, width)
        self._weight = p.line_uv * rng.uniform(0.5, 1.5, width) * np.exp(1j * phase)
        self._step = p.line_hz / sfreq_hz

    def tick(self, first: int, n_tick: int) -> Floats:
        """(width, n_tick) of the samples from `first` on."""
        turns = (self._step * np.arange(first, first + n_tick)) % 1.0
        return np.asarray((self._weight[:, None] * np.exp(2j * math.pi * turns)).real, dtype=np.float64)
