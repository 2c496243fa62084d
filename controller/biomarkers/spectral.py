"""Spectral: what biomarkers made from a Welch spectrum share: channels, fitness, scale, smoothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from controller.config import Config
from controller.eeg import Reading
from controller.montage import Montage
from controller.spectra import SEGMENT_S, Spectrum
from controller.window import WINDOW_S_MAX, Epoch

__all__ = ["Channels", "Output", "RobustZ", "Span", "SpectralConfig", "check_band"]

CLEAN_SHARE_MIN: Final = 0.6  # of the segments a channel may have (own choice: less than that gives no value)
GOOD_CHANNELS_MIN: Final = 0.5  # of those asked for: fewer are another place of the head (own choice)

Channels = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False, min_length=1, max_length=512)
]


class RobustZ(Config):
    """A stored baseline: z = (x - median) / (1.4826 * mad)."""

    median: float
    mad: Annotated[float, Field(gt=0)]


class SpectralConfig(Config):
    """What every spectral biomarker may be told. `window_s` is rounded up to whole seconds."""

    window_s: Annotated[float, Field(ge=SEGMENT_S, le=WINDOW_S_MAX)] = 4.0
    channels: Channels = ("all",)
    half_life_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    z: RobustZ | None = None


# The raw value of a spectrum over some rows, or NaN and the reason.
Compute = Callable[[Spectrum, NDArray[np.intp]], tuple[float, str]]


def check_band(low_hz: float, high_hz: float, sfreq_hz: float) -> None:
    """A band must end below the Nyquist frequency of the stream."""
    if high_hz > sfreq_hz / 2.0:
        raise ValueError(
            f"sfreq_hz: found {sfreq_hz:g}, expected {2 * high_hz:g} or more for the band {low_hz:g} to {high_hz:g} Hz"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The channels and the span of one biomarker, and whether an Epoch is fit for it."""

    rows: NDArray[np.intp]
    ch_names: tuple[str, ...]
    window_s: float

    @classmethod
    def build(cls, config: SpectralConfig, montage: Montage) -> Span:
        """ValueError with one line when the montage has none of the channels."""
        rows = montage.resolve(config.channels)
        return cls(
            rows=np.array(rows, dtype=np.intp),
            ch_names=tuple(montage.ch_names[row] for row in rows),
            window_s=float(math.ceil(config.window_s - 1e-9)),
        )

    def fit(self, epoch: Epoch) -> tuple[Spectrum | None, NDArray[np.intp], str]:
        """The spectrum and the rows to use of it, or the reason why there is nothing to use."""
        none = self.rows[:0]
        bads = [name for name in self.ch_names if name in epoch.why]
        if len(bads) > (1.0 - GOOD_CHANNELS_MIN) * len(self.rows):
            shown = ", ".join(f"{name} {epoch.why[name]}" for name in bads[:4])
            return None, none, f"channels: {len(bads)} of {len(self.rows)} bad ({shown})"
        spectrum = epoch.spectrum(self.window_s)
        clean = spectrum.n_segments[self.rows] / spectrum.n_possible
        rows = self.rows[clean >= CLEAN_SHARE_MIN]
        if len(rows) < GOOD_CHANNELS_MIN * len(self.rows):
            return None, none, f"clean {float(np.median(clean)):.2f} < {CLEAN_SHARE_MIN:.2f}"
        return spectrum, rows, ""


class Output:
    """From a raw value to a Reading: robust z, exponential mean by half-life, NaN with its reason.

    The mean goes by the samples' time; it outlives a NaN, and the longer ago its last value, the less it
    weighs. The same Epoch measured twice gives the same Reading.
    """

    def __init__(self, name: str, unit: str, config: SpectralConfig, span: Span) -> None:
        self._name = name
        self.unit = "z" if config.z else unit
        self._z = config.z
        self._half_life_s = config.half_life_s
        self._span = span
        self._mean: float | None = None
        self._mean_ns = 0
        self._settled: object = None
        self._raw = (math.nan, "")

    def measure(self, epoch: Epoch, compute: Compute) -> Reading:
        """The Reading of what `compute` makes of the spectrum: once for each that there is, not for each Epoch."""
        if not epoch.quality.ok:
            return self.reading(epoch, math.nan, "quality: " + "; ".join(epoch.quality.reasons))
        if self._settled is None or epoch.settled is not self._settled:
            spectrum, rows, reason = self._span.fit(epoch)
            self._raw = (math.nan, reason) if spectrum is None else compute(spectrum, rows)
            self._settled = epoch.settled
        return self.reading(epoch, *self._raw)

    def reading(self, epoch: Epoch, value: float, reason: str) -> Reading:
        if not reason and not math.isfinite(value):
            reason = "value not finite"
        if not reason:
            value = self._smooth(self._scale(value), epoch.time_ns)
            if not math.isfinite(value):
                reason = "value not finite"
        return Reading(
            biomarker=self._name,
            value=math.nan if reason else value,
            unit=self.unit,
            time_ns=epoch.time_ns,
            window_s=self._span.window_s,
            latency_s=self._span.window_s / 2.0 + epoch.lag_s + self._delay_s(),
            quality=epoch.quality,
            reason=reason,
        )

    def _scale(self, value: float) -> float:
        return value if self._z is None else (value - self._z.median) / (1.4826 * self._z.mad)

    def _delay_s(self) -> float:
        """Mean age of an exponential mean's weight: half-life / ln 2."""
        return 0.0 if self._half_life_s is None else self._half_life_s / math.log(2.0)

    def _smooth(self, value: float, time_ns: int) -> float:
        if self._half_life_s is None:
            return value
        if self._mean is None:
            self._mean = value
        else:
            elapsed_s = max(0, time_ns - self._mean_ns) / 1e9
            keep = 0.5 ** (elapsed_s / self._half_life_s)
            self._mean = keep * self._mean + (1.0 - keep) * value
        self._mean_ns = max(time_ns, self._mean_ns)
        return self._mean
