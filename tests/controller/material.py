"""Blocks, streams with known answers, and where real recordings are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from controller.eeg import Block, Quality, Reading, Samples
from controller.window import BlockRefused, Epoch, Window
from safety.messages import Evidence

T0_NS = 5_000_000_000
EVIDENCE = Evidence(stream_uid="u", n_samples=0, newest_ns=0, uncertainty_ns=0, crc=0, clean_fraction=1.0)


def recordings() -> Path:
    """The folder of real recordings; the test is skipped where there is none."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("NOCILOOP_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}")
    return folder


def stamps(first: int, n: int, sfreq_hz: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return T0_NS + np.rint(np.arange(first, first + n) * (1e9 / sfreq_hz)).astype(np.int64)


def block(data_uv: Samples, first: int, sfreq_hz: float, n_missing: int = 0) -> Block:
    return Block(
        data_uv=data_uv,
        stamps_ns=stamps(first, data_uv.shape[1], sfreq_hz),
        received_ns=0,
        first=first,
        n_missing=n_missing,
        evidence=EVIDENCE,
    )


def feed(window: Window, data_uv: Samples, sizes: Sequence[int] = (), first: int = 0) -> Iterator[Epoch]:
    """Push `data_uv` in blocks of these sizes, over and over (default: a hop each); the Epochs."""
    at, turn = 0, 0
    while at < data_uv.shape[1]:
        size = sizes[turn % len(sizes)] if sizes else window.hop
        got = window.push(block(data_uv[:, at : at + size], first + at, window.sfreq_hz))
        assert not isinstance(got, BlockRefused), got
        if got is not None:
            yield got
        at, turn = at + size, turn + 1


def last(window: Window, data_uv: Samples, first: int = 0) -> Epoch:
    newest: Epoch | None = None
    for epoch in feed(window, data_uv, first=first):
        newest = epoch
    assert newest is not None
    return newest


def noise(n_channels: int, n: int, seed: int = 0, scale_uv: float = 10.0) -> Samples:
    return np.random.default_rng(seed).standard_normal((n_channels, n)) * scale_uv


def sine(frequency_hz: float, amplitude_uv: float, n: int, sfreq_hz: float) -> Samples:
    return amplitude_uv * np.sin(2 * np.pi * frequency_hz * np.arange(n) / sfreq_hz)[None]


GOOD = Quality(ok=True, reasons=(), bads=(), clean_fraction=1.0, clean_s=4.0)


def reading(value: float, name: str = "b") -> Reading:
    return Reading(
        biomarker=name,
        value=value,
        unit="1",
        time_ns=0,
        window_s=4.0,
        latency_s=2.0,
        quality=GOOD,
        reason="" if np.isfinite(value) else "for the test",
    )
