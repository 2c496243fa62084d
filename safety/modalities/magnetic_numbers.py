"""The numbers that trains of pulses and of bursts of a coil share: how far apart sessions lie."""

from __future__ import annotations

from safety.modalities.quantities import DeclaredSpacing
from safety.modalities.washout import WASHOUT

SPACING = (
    DeclaredSpacing(
        name="gap_s",
        low=1800.0,
        source="three blocks back to back lowered excitability, 30 min apart raised it: fnins.2020.00576",
        edition="2020",
        status="verified",
    ),
    WASHOUT,
)
