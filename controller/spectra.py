"""Spectra: Welch segments on the absolute 1 s grid, each transformed once and shared by all biomarkers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from controller.eeg import Samples
from controller.montage import Montage

__all__ = ["SEGMENT_S", "Spectra", "Spectrum"]

SEGMENT_S = 2  # two whole seconds, half overlapping: 0.5 Hz bins
F_MAX_HZ = 250.0  # own choice: above the highest band in use (70-150 Hz, intracranial); bounds the memory

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectrum:
    """Power spectral density of the picked channels, in µV²/Hz, referred to the montage without `bads`.

    Equal to `scipy.signal.welch` (Hann, 2 s, 50 %, constant detrend, density) over the counted segments.
    `n_segments` is how many of `n_possible` count, by channel; a channel with none is NaN.
    """

    freqs_hz: NDArray[np.float64]
    psd: Samples
    n_segments: NDArray[np.int64]
    n_possible: int
    _bands: dict[tuple[float, float], NDArray[np.float64]] = field(default_factory=dict)

    def power(self, low_hz: float, high_hz: float) -> NDArray[np.float64]:
        """Power of the band [low, high) by channel, in µV²."""
        key = (low_hz, high_hz)
        known = self._bands.get(key)
        if known is None:
            low, high = np.searchsorted(self.freqs_hz, (low_hz, high_hz))
            known = self.psd[:, low:high].sum(axis=1) * (self.freqs_hz[1] - self.freqs_hz[0])
            self._bands[key] = known
        return known


class Spectra:
    """The segments of one Window. Segment s is the seconds s and s + 1 of the absolute sample grid.

    Kept by segment: the transform of the channels as recorded, which channels count, and their power once
    referred. Only a change of `bads` makes a segment be referred again; none is transformed twice.
    """

    def __init__(self, montage: Montage, sfreq_hz: float, n_seconds: int) -> None:
        n_channels = len(montage.ch_names)
        self._montage = montage
        self._step = round(sfreq_hz)
        length = SEGMENT_S * self._step
        # The periodic Hann window, as scipy.signal.get_window gives it.
        self._taper = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)
        freqs_hz: NDArray[np.float64] = np.arange(length // 2 + 1, dtype=np.float64) * (sfreq_hz / length)
        self.freqs_hz: NDArray[np.float64] = freqs_hz[
            : int(np.searchsorted(freqs_hz, F_MAX_HZ, side="right"))
        ]
        n_freqs = len(self.freqs_hz)
        self._scale = np.full(n_freqs, 2.0 / (sfreq_hz * float(np.square(self._taper).sum())))
        self._scale[0] /= 2.0  # constant and Nyquist have no negative twin
        if n_freqs == length // 2 + 1:
            self._scale[-1] /= 2.0
        self._slots = n_seconds + 1
        self._scratch = np.empty((n_channels, length))
        self._ids = np.full(self._slots, -1, dtype=np.int64)
        self._raw = np.zeros((self._slots, n_channels, n_freqs), dtype=np.complex128)
        self._raw_ok = np.zeros((self._slots, n_channels), dtype=np.bool_)
        self._psd = np.zeros((self._slots, n_channels, n_freqs))
        self._psd_ok = np.zeros((self._slots, n_channels), dtype=np.bool_)
        self._referred: list[bytes] = [b""] * self._slots

    def forget(self, second: int) -> None:
        """A second turned out not to count: its segments are computed again when next asked for."""
        for segment in (second - 1, second):
            if segment >= 0 and self._ids[segment % self._slots] == segment:
                self._ids[segment % self._slots] = -1

    def transform(self, segment: int, clean: Flags, read: Callable[[int], Samples]) -> int:
        """The slot of a segment. `clean`: channels that count in both seconds; `read` gives one second."""
        slot = segment % self._slots
        if self._ids[slot] == segment:
            return slot
        self._ids[slot] = segment
        self._referred[slot] = b""
        self._raw_ok[slot] = clean
        if not clean.any():
            self._raw[slot] = 0.0
            return slot
        x, step = self._scratch, self._step
        x[:, :step] = read(segment)
        x[:, step:] = read(segment + 1)
        if not clean.all():
            x[~clean] = 0.0  # neither NaN nor a railed 1e300 may reach the arithmetic
        x -= x.mean(axis=1, keepdims=True)
        x *= self._taper
        self._raw[slot] = np.fft.rfft(x)[:, : len(self.freqs_hz)]
        return slot

    def line_share(self, slot: int, line_hz: float) -> NDArray[np.float64]:
        """Share of line power (± 1 Hz) in all from 1 Hz up, by channel as recorded; 0 where it is unknown."""
        raw = self._raw[slot]
        power = raw.real**2 + raw.imag**2
        low, line_low, line_high = np.searchsorted(self.freqs_hz, (1.0, line_hz - 1.0, line_hz + 1.0))
        total = power[:, low:].sum(axis=1)
        line = power[:, line_low : line_high + 1].sum(axis=1)
        share = np.zeros(len(total))
        np.divide(line, total, out=share, where=total > 0)
        return share

    def spectrum(self, slots: list[int], good: Flags) -> Spectrum:
        """Mean over transformed segments, referred to the montage with the `good` channels only."""
        mark = good.tobytes()
        for slot in slots:
            if self._referred[slot] != mark:
                self._refer(slot, good)
                self._referred[slot] = mark
        total = np.zeros_like(self._psd[0])
        for slot in slots:
            total += self._psd[slot]
        counts = self._psd_ok[slots].sum(axis=0)
        psd = np.full_like(total, np.nan)
        np.divide(total, counts[:, None], out=psd, where=counts[:, None] > 0)
        return Spectrum(freqs_hz=self.freqs_hz, psd=psd, n_segments=counts, n_possible=len(slots))

    def _refer(self, slot: int, good: Flags) -> None:
        raw = self._raw[slot]
        weights, usable = self._montage.weights(self._raw_ok[slot] & good)
        x = raw if weights is None else raw - weights @ raw
        psd = self._psd[slot]
        np.square(x.real, out=psd)
        psd += np.square(x.imag)
        psd *= self._scale
        psd[~usable] = 0.0
        self._psd_ok[slot] = usable
