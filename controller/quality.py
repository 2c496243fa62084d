"""Contact, flat, railing, line noise, artefact, stimulation blanking -> Quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from controller.config import Config
from controller.eeg import Quality, Samples

__all__ = ["Assessment", "Blanking", "CleanChannels", "QualityConfig", "Seconds", "blanking"]

Flags = NDArray[np.bool_]

# Of the window, for samples that are not finite, at the rail or flat (the table of artefacts' 5 %).
BAD_SHARE_MAX = 0.05
FLAT_UV = 0.5  # std below which an electrode is open or shorted (own choice; EEG at rest is 5 µV and more)
NOISY_Z_MAX = 5.0  # robust deviations of log std, as in PREP (Bigdely-Shamlo 2015)
NOISY_MAD_MIN = 0.2  # alike channels must not condemn one that is 1.2 times as strong (own choice)
NOISY_CHANNELS_MIN = 6  # fewer give no robust spread (own choice)
LINE_SHARE_MAX = 0.9  # an open electrode is an antenna: next to nothing but mains (own choice)

# A TMS pulse: samples -2..+15 ms do not count, and the loop holds for a second (own choice).
TMS_BEFORE_NS = 2_000_000
TMS_AFTER_NS = 15_000_000
HOLD_NS = 1_000_000_000


class QualityConfig(Config):
    """What counts as clean; every default says where it comes from."""

    # ±4.5 V / 24, the full scale of an ADS1299 at its usual gain (Texas Instruments data sheet SBAS499).
    rail_uv: Annotated[float, Field(gt=0)] = 187_500.0
    line_hz: Annotated[float, Field(ge=40, le=70)] | None = 50.0
    # Below this share of clean channel-seconds nothing may be measured (own choice, as biomarkers' < 60 %).
    clean_fraction_min: Annotated[float, Field(ge=0, le=1)] = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Blanking:
    """Samples in [from_ns, to_ns) do not count; nothing is fit to act on before `hold_until_ns`."""

    from_ns: int
    to_ns: int
    hold_until_ns: int


def blanking(start_ns: int, end_ns: int) -> Blanking:
    """What a train of TMS pulses spoils, from the first pulse to the last."""
    return Blanking(
        from_ns=start_ns - TMS_BEFORE_NS, to_ns=end_ns + TMS_AFTER_NS, hold_until_ns=end_ns + HOLD_NS
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """Quality of a span, the channels that may serve, and why each of the others may not."""

    quality: Quality
    good: Flags
    why: dict[str, str]


class Seconds:
    """What each whole second of the absolute sample grid was like, by channel; one pass over its samples."""

    def __init__(self, ch_names: Sequence[str], config: QualityConfig, n_seconds: int) -> None:
        self._ch_names = tuple(ch_names)
        self._config = config
        n_channels = len(self._ch_names)
        self._slots = n_seconds
        self._ids = np.full(n_seconds, -1, dtype=np.int64)
        self._counts = np.zeros(n_seconds, dtype=np.bool_)
        self._nonfinite = np.zeros((n_seconds, n_channels))
        self._railed = np.zeros((n_seconds, n_channels))
        self._flat = np.zeros((n_seconds, n_channels), dtype=np.bool_)
        self._clean = np.zeros((n_seconds, n_channels), dtype=np.bool_)
        self._log_std = np.zeros((n_seconds, n_channels))
        self._nothing = np.zeros(n_channels, dtype=np.bool_)

    def close(self, second: int, x: Samples, counts: bool) -> None:
        """Take note of a whole second. `counts` false: samples of it are missing or blanked."""
        slot = second % self._slots
        self._ids[slot] = second
        self._counts[slot] = counts
        if not counts:
            return
        rail_uv = self._config.rail_uv
        peak = np.abs(x).max(axis=1)  # NaN where a sample is NaN
        whole = peak < rail_uv
        if whole.all():
            self._nonfinite[slot] = 0.0
            self._railed[slot] = 0.0
            std = x.std(axis=1)
        else:
            finite = np.isfinite(x)
            with np.errstate(invalid="ignore"):
                railed = np.abs(x) >= rail_uv
            self._nonfinite[slot] = 1.0 - finite.mean(axis=1)
            self._railed[slot] = (railed & finite).mean(axis=1)
            std = np.ones(len(whole))
            for row, usable in enumerate(finite & ~railed):
                if usable.any():
                    std[row] = x[row, usable].std()
        self._flat[slot] = std < FLAT_UV
        self._clean[slot] = whole & ~self._flat[slot]
        self._log_std[slot] = np.log(np.maximum(std, 1e-3))

    def spoil(self, second: int) -> bool:
        """A second that had counted does not any more; whether that is news."""
        slot = second % self._slots
        news = bool(self._ids[slot] == second and self._counts[slot])
        if news:
            self._counts[slot] = False
        return news

    def clean(self, second: int) -> Flags:
        """Channels whose samples of a second may enter a spectrum."""
        slot = second % self._slots
        if self._ids[slot] != second or not self._counts[slot]:
            return self._nothing
        clean: Flags = self._clean[slot]
        return clean

    def assess(self, start: int, end: int, line_share: NDArray[np.float64] | None) -> Assessment:
        """Quality of the seconds [start, end)."""
        slots = np.arange(start, end) % self._slots
        counts = self._counts[slots] & (self._ids[slots] == np.arange(start, end))
        used = slots[counts]
        why = self._condemn(used, line_share)
        good = np.array([name not in why for name in self._ch_names], dtype=np.bool_)
        clean = self._clean[used] & good
        n_channels = len(self._ch_names)
        fraction = float(clean.sum()) / ((end - start) * n_channels)
        clean_s = float(clean.any(axis=1).sum())
        reasons: list[str] = []
        least = self._config.clean_fraction_min
        if not good.any() or not len(used) or fraction < least:
            reasons.append(f"clean {fraction:.2f} < {least:.2f}")
            if len(used) < end - start:
                reasons.append(f"{end - start - len(used)} s missing or blanked")
            if why:
                shown = [f"{name} {text}" for name, text in list(why.items())[:4]]
                more = [f"{len(why) - 4} more channels"] if len(why) > 4 else []
                reasons.append(", ".join((*shown, *more)))
        quality = Quality(
            ok=not reasons,
            reasons=tuple(reasons),
            bads=tuple(why),
            clean_fraction=fraction,
            clean_s=clean_s,
        )
        return Assessment(quality=quality, good=good, why=why)

    def _condemn(self, used: NDArray[np.int64], line_share: NDArray[np.float64] | None) -> dict[str, str]:
        """The bad channels, each with the first reason against it."""
        if not len(used):
            return {}
        flat = self._flat[used]
        # The newest second alone is enough: an electrode that just fell off must not wait for its 5 %.
        verdicts = [
            (self._nonfinite[used].mean(axis=0) > BAD_SHARE_MAX, "not finite"),
            (self._railed[used].mean(axis=0) > BAD_SHARE_MAX, "at the rail"),
            ((flat.mean(axis=0) > BAD_SHARE_MAX) | flat[-1], "flat"),
        ]
        bad = np.logical_or.reduce([flags for flags, _ in verdicts])
        verdicts.append((self._noisy(used, ~bad), "noisy"))
        if line_share is not None:
            verdicts.append((line_share > LINE_SHARE_MAX, "line noise"))
        why: dict[str, str] = {}
        for flags, text in verdicts:
            if flags.any():
                for row in np.flatnonzero(flags):
                    why.setdefault(self._ch_names[row], text)
        return why

    def _noisy(self, used: NDArray[np.int64], others: Flags) -> Flags:
        """Channels far stronger than their fellows over the window."""
        noisy = np.zeros(len(others), dtype=np.bool_)
        if np.count_nonzero(others) < NOISY_CHANNELS_MIN:
            return noisy
        log_std = self._log_std[used].mean(axis=0)[others]
        off = log_std - np.median(log_std)
        spread = max(1.4826 * float(np.median(np.abs(off))), NOISY_MAD_MIN)
        noisy[others] = off / spread > NOISY_Z_MAX
        return noisy


class CleanChannels:
    """Fraction of channels that look clean, block by block, for Evidence: some µs, before any window is full.

    A channel is clean that is finite, inside the rail, and has moved within `FLAT_AFTER_S`.
    """

    FLAT_AFTER_S = 0.5  # own choice: five alpha cycles without movement is no EEG
    MOVED_UV = 2.0 * FLAT_UV

    def __init__(
        self, n_channels: int, sfreq_hz: float, config: QualityConfig, picks: Sequence[int] | None = None
    ) -> None:
        chosen = tuple(range(n_channels)) if picks is None else tuple(picks)
        self._rows = None if chosen == tuple(range(n_channels)) else np.array(chosen, dtype=np.intp)
        self._n_channels = n_channels
        self._rail_uv = config.rail_uv
        self._patience = round(self.FLAT_AFTER_S * sfreq_hz)
        self._still_for = np.zeros(len(chosen), dtype=np.int64)
        self._level = np.full((len(chosen), 1), np.nan)

    def clean_fraction(self, data_uv: Samples) -> float:
        """0 to 1, of the channels of this block (channels x samples) in the light of those before it."""
        if data_uv.shape[0] != self._n_channels or not data_uv.shape[1]:
            return 0.0
        x = data_uv if self._rows is None else data_uv[self._rows]
        # NaN compares false on purpose: a channel has to prove that it is inside, and that it moved.
        inside = np.abs(x).max(axis=1) < self._rail_uv
        moved = ~(np.abs(x - self._level).max(axis=1) <= self.MOVED_UV) & inside
        self._still_for += x.shape[1]
        self._still_for[moved] = 0
        np.copyto(self._level[:, 0], x[:, -1], where=moved)
        return float(np.count_nonzero(inside & (self._still_for < self._patience))) / len(inside)
