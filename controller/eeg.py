"""Block, Montage, Epoch, Quality, Reading, Evidence: the values.

Inside, EEG is in µV (float64, channels x samples) and time is integer ns of the host's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from safety.messages import Allowed, Evidence, Permit, Refusal, Request, Trip

__all__ = ["Allowed", "Block", "Cycle", "Evidence", "Quality", "Reading", "StreamSpec"]

Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSpec:
    """What a Source promises for the whole session; a change of any of it ends the session."""

    name: str
    type: str
    source_id: str
    uid: str
    sfreq_hz: float
    ch_names: tuple[str, ...]
    hostname: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Samples as they arrived together.

    `first` is the index of the first sample since the stream was opened, *counting lost ones*; `n_missing` samples
    are known to be lost before it. `stamps_ns` are the samples' times on the host's clock, `received_ns` is when
    the block was in our hands.
    """

    data_uv: Samples
    stamps_ns: NDArray[np.int64]
    received_ns: int
    first: int
    n_missing: int
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Fitness of an Epoch to act on. `reasons` is empty when `ok`; `bads` are the channels left out."""

    ok: bool
    reasons: tuple[str, ...]
    bads: tuple[str, ...]
    clean_fraction: float
    clean_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The value of one biomarker over a span, and its Quality; NaN always comes with its `reason`.

    `time_ns` is the newest sample's time; `latency_s` is the delay that the window implies (half of it for a
    spectral average).
    """

    biomarker: str
    value: float
    unit: str
    time_ns: int
    window_s: float
    latency_s: float
    quality: Quality
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """One turn of the loop, as the taps see it. Stage times in ns of the host's clock; 0 where it did not happen."""

    index: int
    sample_ns: int
    received_ns: int
    computed_ns: int
    asked_ns: int
    answered_ns: int
    readings: Mapping[str, Reading]
    request: Request | None = None
    verdict: Permit | Refusal | Trip | None = None
    extra: Mapping[str, float] = field(default_factory=dict)
