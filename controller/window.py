"""Ring -> Epoch; an Epoch offers samples, spectrum and Quality, each computed once, incrementally."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from controller.eeg import Block, Quality, Samples
from controller.montage import Montage
from controller.quality import Assessment, Blanking, QualityConfig, Seconds
from controller.spectra import SEGMENT_S, Spectra, Spectrum

__all__ = ["BlockRefused", "Epoch", "StaleEpochError", "Window"]

WINDOW_S_MAX = 600.0  # own choice: ten minutes bound the memory
BLANKINGS_MAX = 256  # own choice; beyond it the oldest two are joined, which blanks more, never less


class StaleEpochError(RuntimeError):
    """An Epoch was asked for something new after its Window had moved on: a defect of the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRefused:
    """A Block that may not be mixed in: it overlaps what is there, or contradicts itself. Nothing changed."""

    code: Literal["overlap", "shape", "missing"]
    text: str
    first: int
    expected_first: int


class Epoch:
    """A window that ends with sample `end` - 1 of the absolute grid. Ask it before the next push.

    Its spectrum and Quality look at the newest *whole* seconds, so they lag its end by less than a second.
    """

    __slots__ = ("_window", "end", "quality", "time_ns", "why")

    def __init__(self, window: Window, end: int, time_ns: int, quality: Quality, why: dict[str, str]) -> None:
        self._window = window
        self.end = end
        self.time_ns = time_ns
        self.quality = quality
        self.why: Mapping[str, str] = why  # bad channel -> what is wrong with it

    @property
    def sfreq_hz(self) -> float:
        return self._window.sfreq_hz

    @property
    def ch_names(self) -> tuple[str, ...]:
        return self._window.montage.ch_names

    @property
    def lag_s(self) -> float:
        """How much older than `time_ns` the newest sample of a spectrum is."""
        return (self.end % self._window.step) / self._window.sfreq_hz

    @property
    def settled(self) -> object:
        """The same object for as long as every spectrum and every channel's fitness are the same."""
        return self._window.settled_at(self.end)

    def spectrum(self, window_s: float) -> Spectrum:
        """Spectrum of the newest whole seconds; `window_s` from 2 to the Window's own, rounded up."""
        return self._window.spectrum_at(self.end, window_s)

    def samples(self, window_s: float) -> Samples:
        """The newest samples of the picked channels as recorded, lost and blanked ones as NaN; a copy."""
        return self._window.samples_at(self.end, window_s)


class Window:
    """The newest samples in a ring, and what is already known about them. Call it from one task only.

    `window_s` is the longest span of any biomarker, rounded up to whole seconds and to one segment.
    """

    def __init__(
        self,
        n_channels: int,
        sfreq_hz: float,
        window_s: float,
        hop_s: float,
        *,
        montage: Montage | None = None,
        quality: QualityConfig | None = None,
    ) -> None:
        _check(n_channels, sfreq_hz, window_s, hop_s)
        self.montage = montage or Montage.plain(n_channels)
        if max(self.montage.picks) >= n_channels:
            raise ValueError(f"montage: picks row {max(self.montage.picks)} of {n_channels} channels")
        self.sfreq_hz = sfreq_hz
        self.step = round(sfreq_hz)
        self.hop = max(1, round(hop_s * sfreq_hz))
        self.n_seconds = max(SEGMENT_S, math.ceil(window_s - 1e-9))
        self.hops_skipped = 0
        self.blocks_refused = 0
        config = quality or QualityConfig()
        # A line at or above the Nyquist frequency cannot be seen.
        seen = config.line_hz is not None and config.line_hz + 1.0 < sfreq_hz / 2.0
        self._line_hz = config.line_hz if seen else None
        # The span of an Epoch may lag the newest sample by one hop, and itself by one second.
        self._ring_seconds = self.n_seconds + 2 + math.ceil(self.hop / self.step)
        self._capacity = self._ring_seconds * self.step
        every = self.montage.picks == tuple(range(n_channels))
        self._picks = None if every else np.array(self.montage.picks, dtype=np.intp)
        self._n_channels = n_channels
        self._data = np.full((len(self.montage.picks), self._capacity), np.nan)
        self._stamps_ns = np.zeros(self._capacity, dtype=np.int64)
        self._present = np.zeros(self._capacity, dtype=np.bool_)
        self._seconds = Seconds(self.montage.ch_names, config, self._ring_seconds)
        self._spectra = Spectra(self.montage, sfreq_hz, self._ring_seconds)
        self._period_ns = 1e9 / sfreq_hz
        self._blankings: deque[Blanking] = deque()
        self._hold_until_ns: int | None = None
        self._start = -1
        self._next = -1
        self._epoch_end = -1
        self._version = 0
        self._assessed: tuple[int, int, Assessment] | None = None
        self._spectrum: dict[tuple[int, int, int], Spectrum] = {}

    def push(self, block: Block) -> Epoch | BlockRefused | None:
        """Take a Block in. An Epoch when a hop of the absolute grid was reached and the window is full."""
        refused = self._refuse(block)
        if refused is not None:
            self.blocks_refused += 1
            return refused
        if self._next < 0:
            self._start = self._next = block.first
            self._epoch_end = block.first // self.hop * self.hop
        elif block.first > self._next:
            self._lose(block.first - self._next, int(block.stamps_ns[0]))
        data = block.data_uv if self._picks is None else block.data_uv[self._picks]
        self._write(data, block.stamps_ns)
        end = self._next // self.hop * self.hop
        if end <= self._epoch_end:
            return None
        skipped = (end - self._epoch_end) // self.hop - 1
        self._epoch_end = end
        second = end // self.step
        if self._start > (second - self.n_seconds) * self.step:
            if self._start <= (second - SEGMENT_S) * self.step:
                # Now, or the first Epoch would have all of it to do, and numpy's first use besides.
                self._transform(second - SEGMENT_S)
                self._assess(second)
            return None
        self.hops_skipped += skipped
        return self._epoch(end, second)

    def blank(self, from_ns: int, to_ns: int, hold_until_ns: int | None = None) -> None:
        """Samples stamped in [from_ns, to_ns) do not count, whether they are here or yet to come.

        Until `hold_until_ns` no Epoch is fit to act on.
        """
        if hold_until_ns is not None:
            self._hold_until_ns = max(hold_until_ns, self._hold_until_ns or hold_until_ns)
        if to_ns <= from_ns:
            return
        self._blankings.append(Blanking(from_ns=from_ns, to_ns=to_ns, hold_until_ns=to_ns))
        if len(self._blankings) > BLANKINGS_MAX:
            one, two = self._blankings.popleft(), self._blankings.popleft()
            both = Blanking(
                from_ns=min(one.from_ns, two.from_ns), to_ns=max(one.to_ns, two.to_ns), hold_until_ns=0
            )
            self._blankings.appendleft(both)
        hit = np.flatnonzero(self._present & (self._stamps_ns >= from_ns) & (self._stamps_ns < to_ns))
        if not len(hit):
            return
        self._present[hit] = False
        # The ring position tells the sample: the one of the last `capacity` that lies there.
        index = self._next - 1 - (self._next - 1 - hit) % self._capacity
        for second in np.unique(index // self.step):
            if self._seconds.spoil(int(second)):
                self._spectra.forget(int(second))
                self._version += 1

    def settled_at(self, end: int) -> object:
        """For Epoch.settled."""
        self._fresh(end)
        return self._assess(end // self.step)

    def spectrum_at(self, end: int, window_s: float) -> Spectrum:
        """For Epoch.spectrum."""
        if not SEGMENT_S - 1 < window_s <= self.n_seconds:
            raise ValueError(f"window_s: found {window_s:g}, expected {SEGMENT_S} to {self.n_seconds} s")
        n_seconds = math.ceil(window_s - 1e-9)
        second = end // self.step
        key = (second, self._version, n_seconds)
        known = self._spectrum.get(key)
        if known is None:
            self._fresh(end)
            good = self._assess(second).good
            slots = [self._transform(segment) for segment in range(second - n_seconds, second - 1)]
            known = self._spectra.spectrum(slots, good)
            if any(at[:2] != key[:2] for at in self._spectrum):
                self._spectrum.clear()
            self._spectrum[key] = known
        return known

    def samples_at(self, end: int, window_s: float) -> Samples:
        """For Epoch.samples."""
        if not 0.0 < window_s <= self.n_seconds:
            raise ValueError(f"window_s: found {window_s:g}, expected up to {self.n_seconds} s")
        n = min(max(1, round(window_s * self.sfreq_hz)), self.n_seconds * self.step)
        self._fresh(end)
        at = np.arange(end - n, end) % self._capacity
        samples = self._data[:, at]
        samples[:, ~self._present[at]] = np.nan
        return samples

    def _refuse(self, block: Block) -> BlockRefused | None:
        shape = block.data_uv.shape
        if len(shape) != 2 or shape[0] != self._n_channels or not shape[1]:
            expected = f"({self._n_channels}, 1 or more)"
            return self._refusal("shape", f"block of shape {shape}, expected {expected}", block)
        if len(block.stamps_ns) != shape[1]:
            text = f"{shape[1]} samples with {len(block.stamps_ns)} time stamps, expected one each"
            return self._refusal("shape", text, block)
        if block.first < 0 or block.n_missing < 0:
            return self._refusal("missing", "negative first or n_missing, expected 0 or more", block)
        if self._next >= 0:
            if block.first < self._next:
                text = (
                    f"block from sample {block.first} twice or out of order, expected {self._next} or later"
                )
                return self._refusal("overlap", text, block)
            if block.n_missing > block.first - self._next:
                text = (
                    f"{block.n_missing} samples said to be missing, but only {block.first - self._next} "
                    "are not there"
                )
                return self._refusal("missing", text, block)
        return None

    def _refusal(self, code: Literal["overlap", "shape", "missing"], text: str, block: Block) -> BlockRefused:
        return BlockRefused(code=code, text=text, first=block.first, expected_first=max(self._next, 0))

    def _write(self, data: Samples, stamps_ns: NDArray[np.int64]) -> None:
        done, n = 0, data.shape[1]
        if n > self._capacity:  # what would be overwritten at once need not be looked at
            done = n - self._capacity
            done += -(self._next + done) % self.step
            self._next += done
        while done < n:
            at = self._next % self._capacity
            take = min(n - done, self.step - self._next % self.step)
            self._data[:, at : at + take] = data[:, done : done + take]
            self._stamps_ns[at : at + take] = stamps_ns[done : done + take]
            self._present[at : at + take] = True
            if self._blankings:
                self._blank_new(at, at + take)
            done += take
            self._advance(take)

    def _lose(self, n: int, next_stamp_ns: int) -> None:
        """Make `n` samples before the next one explicit, stamped backwards from it."""
        if n > self._capacity:  # nothing that is here will be looked at again
            self._present[:] = False
            self._data[:] = np.nan
            skip = n - self._capacity
            skip += -(self._next + skip) % self.step
            self._next += skip
            n -= skip
        while n > 0:
            at = self._next % self._capacity
            take = min(n, self.step - self._next % self.step)
            ago = np.arange(n, n - take, -1) * self._period_ns
            self._data[:, at : at + take] = np.nan
            self._stamps_ns[at : at + take] = next_stamp_ns - ago.astype(np.int64)
            self._present[at : at + take] = False
            n -= take
            self._advance(take)

    def _advance(self, n: int) -> None:
        self._next += n
        if self._next % self.step == 0:
            second = self._next // self.step - 1
            at = second % self._ring_seconds * self.step
            whole = bool(self._present[at : at + self.step].all()) and second * self.step >= self._start
            self._seconds.close(second, self._data[:, at : at + self.step], whole)

    def _blank_new(self, start: int, stop: int) -> None:
        stamps_ns = self._stamps_ns[start:stop]
        oldest_ns = int(stamps_ns.min())
        for _ in range(len(self._blankings)):
            blanking = self._blankings.popleft()
            if blanking.to_ns > oldest_ns:  # else it is over
                hit = (stamps_ns >= blanking.from_ns) & (stamps_ns < blanking.to_ns)
                self._present[start:stop][hit] = False
                self._blankings.append(blanking)

    def _epoch(self, end: int, second: int) -> Epoch:
        time_ns = int(self._stamps_ns[(end - 1) % self._capacity])
        assessment = self._assess(second)
        quality = assessment.quality
        if self._hold_until_ns is not None and time_ns < self._hold_until_ns:
            quality = replace(quality, ok=False, reasons=("held after stimulation", *quality.reasons))
        return Epoch(self, end, time_ns, quality, assessment.why)

    def _assess(self, second: int) -> Assessment:
        known = self._assessed
        if known is not None and known[0] == second and known[1] == self._version:
            return known[2]
        line_share = None
        if self._line_hz is not None:
            line_share = self._spectra.line_share(self._transform(second - SEGMENT_S), self._line_hz)
        assessment = self._seconds.assess(second - self.n_seconds, second, line_share)
        self._assessed = (second, self._version, assessment)
        return assessment

    def _transform(self, segment: int) -> int:
        clean = self._seconds.clean(segment) & self._seconds.clean(segment + 1)
        return self._spectra.transform(segment, clean, self._second)

    def _second(self, second: int) -> Samples:
        at = second % self._ring_seconds * self.step
        return self._data[:, at : at + self.step]

    def _fresh(self, end: int) -> None:
        if end != self._epoch_end:
            raise StaleEpochError(f"epoch ending at sample {end} was asked at {self._epoch_end}")


def _check(n_channels: int, sfreq_hz: float, window_s: float, hop_s: float) -> None:
    if n_channels < 1:
        raise ValueError(f"n_channels: found {n_channels}, expected 1 or more")
    if not 16.0 <= sfreq_hz <= 100_000.0:
        raise ValueError(f"sfreq_hz: found {sfreq_hz:g}, expected 16 to 100000")
    if not 0.0 < window_s <= WINDOW_S_MAX:
        raise ValueError(f"window_s: found {window_s:g}, expected above 0 and at most {WINDOW_S_MAX:g}")
    if not 0.0 < hop_s <= max(window_s, SEGMENT_S):
        raise ValueError(f"hop_s: found {hop_s:g}, expected above 0 and at most window_s {window_s:g}")
