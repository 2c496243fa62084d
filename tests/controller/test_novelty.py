"""A stuck amplifier is seen however its blocks are cut; an amplifier at work never looks stuck."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.novelty import REMEMBERED_MAX, RUN, Novelty

SFREQ_HZ = 500.0


def cut(data: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """Blocks of these sizes, over and over."""
    blocks, at, turn = [], 0, 0
    while at < len(data):
        blocks.append(data[at : at + sizes[turn % len(sizes)]])
        at, turn = at + len(blocks[-1]), turn + 1
    return blocks


@given(
    period=st.integers(1, 200),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    kind=st.sampled_from(["float32", "int16", "float64"]),
)
def test_a_stuck_buffer_leaves_it_standing_however_it_is_cut(
    period: int, sizes: list[int], kind: str
) -> None:
    generator = np.random.default_rng(period)
    stuck = (generator.standard_normal((period, 8)) * 100).astype(kind)
    novelty = Novelty(SFREQ_HZ)
    first = np.resize(stuck, (period + RUN, 8))
    for block in cut(first, sizes):
        before = novelty.crc(block)
    rest = np.resize(np.roll(stuck, -len(first), axis=0), (600, 8))
    assert {novelty.crc(block) for block in cut(rest, sizes)} == {before}


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), channels=st.integers(1, 4))
def test_every_block_of_eeg_moves_it_on(sizes: list[int], channels: int) -> None:
    """Even one channel in whole µV, with an amplitude of a few."""
    generator = np.random.default_rng(channels)
    eeg = np.rint(generator.standard_normal((2000, channels)) * 10).astype(np.int16)
    novelty = Novelty(SFREQ_HZ)
    seen = [novelty.crc(block) for block in cut(eeg, sizes)]
    changes = sum(a != b for a, b in itertools.pairwise(seen))
    assert changes >= 0.99 * (len(seen) - 1)


def test_what_comes_back_after_a_second_is_new_again() -> None:
    novelty = Novelty(100.0)
    pattern = np.arange(20, dtype=np.float32).reshape(10, 2)
    novelty.crc(pattern)
    for block in cut(np.random.default_rng(0).standard_normal((120, 2)).astype(np.float32), [10]):
        novelty.crc(block)
    before = novelty.crc(pattern[:0])
    assert novelty.crc(pattern) != before


@pytest.mark.parametrize("sfreq_hz", [20.0, 100_000.0])
def test_its_memory_is_bounded(sfreq_hz: float) -> None:
    novelty = Novelty(sfreq_hz)
    for _ in range(400):
        novelty.crc(np.random.default_rng().standard_normal((20, 2)))
    assert len(novelty._known) <= max(RUN, min(REMEMBERED_MAX, sfreq_hz))
