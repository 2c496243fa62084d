"""Novelty: a checksum that moves on only while samples come that were not there before."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

RUN = 4  # own choice: so many samples in a row, so that a coarse stream of one channel does not look repeated
RUNS_MAX = 64  # own choice: of a block, the newest; bounds the work at high rates
REMEMBERED_MAX = 4096  # own choice: bounds the memory at high rates


class Novelty:
    """CRC-32 over every run of samples that the last second did not have.

    A stuck buffer gives the same samples again, in blocks that the network cuts anew each time: a checksum of a block
    would differ from one cut to the next. This one stands still.
    """

    def __init__(self, sfreq_hz: float) -> None:
        self._remembered = min(REMEMBERED_MAX, max(RUN, round(sfreq_hz)))
        self._known: dict[int, None] = {}  # runs, the one seen last at the end
        self._before = b""
        self._crc = 0

    def crc(self, samples: NDArray[np.generic]) -> int:
        """Take in samples x channels; the checksum after them."""
        width, known = samples.shape[1] * samples.itemsize, self._known
        newest = samples[-RUNS_MAX - RUN :].tobytes()
        data = self._before[-RUN * width :] + newest
        first = max(RUN * width, len(data) - (min(len(samples), RUNS_MAX) - 1) * width)
        for end in range(first, len(data) + 1, width):
            run = zlib.crc32(data[end - RUN * width : end])
            if run in known:
                del known[run]
            else:
                self._crc = zlib.crc32(run.to_bytes(4, "little"), self._crc)
                if len(known) == self._remembered:
                    del known[next(iter(known))]
            known[run] = None
        self._before = data[-RUN * width :]
        return self._crc
