"""Head positions of the 32 channels, and how sources spread onto them.

A dipole in an unbounded conductor, seen from a unit sphere: far from a head model, but it has what biomarkers
and montages need: a peak, a fall-off with depth and distance, a sign that turns across a tangential dipole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Degrees: inclination from Cz, then azimuth from the right ear, counter-clockwise seen from above.
# Source: BioSemi headcap coordinates, 64 + 2 layout of the 10-10 system.
_ANGLES_DEG = MappingProxyType(
    {
        "Fp1": (-92, -72), "Fp2": (92, 72), "AFz": (69, 90),
        "F7": (-92, -36), "F3": (-60, -51), "Fz": (46, 90), "F4": (60, 51), "F8": (92, 36),
        "FC5": (-72, -21), "FC1": (-32, -45), "FCz": (23, 90), "FC2": (32, 45), "FC6": (72, 21),
        "T7": (-92, 0), "C3": (-46, 0), "Cz": (0, 0), "C4": (46, 0), "T8": (92, 0),
        "CP5": (-72, 21), "CP3": (-50, 28), "CP1": (-32, 45),
        "CP2": (32, -45), "CP4": (50, -28), "CP6": (72, -21),
        "P7": (-92, 36), "P3": (-60, 51), "Pz": (46, -90), "P4": (60, -51), "P8": (92, -36),
        "O1": (-92, 72), "Oz": (92, -90), "O2": (92, -72),
    }
)  # fmt: skip

CH_NAMES: tuple[str, ...] = tuple(_ANGLES_DEG)

# What a smaller montage keeps, most wanted first: sensorimotor, frontal, occipital, temporal (muscle).
_PRIORITY = (
    "C3", "C4", "Cz", "Fz", "Pz", "Oz", "F3", "F4", "T7", "T8", "P3", "P4", "FCz", "AFz", "O1", "O2",
    "Fp1", "Fp2", "F7", "F8", "P7", "P8", "CP3", "CP4",
    "FC5", "FC6", "CP5", "CP6", "FC1", "FC2", "CP1", "CP2",
)  # fmt: skip


def montage(n_channels: int) -> tuple[str, ...]:
    """The names of the `n_channels` most wanted channels, from front to back."""
    if not 1 <= n_channels <= len(CH_NAMES):
        raise ValueError(f"channels: found {n_channels}, expected 1 to {len(CH_NAMES)}")
    wanted = set(_PRIORITY[:n_channels])
    return tuple(name for name in CH_NAMES if name in wanted)


def positions(names: Sequence[str] = CH_NAMES) -> Floats:
    """Unit vectors (n, 3): x to the right ear, y to the nose, z up."""
    rows = []
    for name in names:
        if name not in _ANGLES_DEG:
            raise ValueError(f"channel: found {name!r}, expected one of {', '.join(CH_NAMES)}")
        inclination, azimuth = (math.radians(angle) for angle in _ANGLES_DEG[name])
        rows.append(
            (
                math.sin(inclination) * math.cos(azimuth),
                math.sin(inclination) * math.sin(azimuth),
                math.cos(inclination),
            )
        )
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def under(weights: dict[str, float]) -> Floats:
    """The direction under a weighted set of channels: where a source is said to lie."""
    mean = np.array(list(weights.values())) @ positions(tuple(weights))
    return np.asarray(mean / np.linalg.norm(mean), dtype=np.float64)


def dipole(direction: Floats, *, depth: float, moment: Floats | None = None) -> Floats:
    """What a dipole gives at all 32 positions, scaled so that the greatest absolute value is 1.

    `depth` is the distance from the centre in head radii, below 1; `moment` is radial unless given.
    """
    if not 0.0 <= depth < 1.0:
        raise ValueError(f"depth: found {depth}, expected 0 up to, not including, 1 head radius")
    ray = positions() - depth * direction
    along = ray @ (direction if moment is None else moment)
    pattern = along / np.linalg.norm(ray, axis=1) ** 3
    return np.asarray(pattern / np.abs(pattern).max(), dtype=np.float64)


def blur(*, depth: float) -> Floats:
    """(32, 32): a radial dipole under each channel onto all; rows have unit norm, channels unit variance."""
    mixing = np.stack([dipole(unit, depth=depth) for unit in positions()], axis=1)
    return np.asarray(mixing / np.linalg.norm(mixing, axis=1, keepdims=True), dtype=np.float64)
