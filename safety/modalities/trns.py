"""Transcranial random noise: limits of a held noise of a band.

An amplitude is **peak to peak**, the most that ever comes out, so that no rare peak lies above it; the peak is half of
it. Charge is counted as peak x time: far toward more, for noise spends little time at its peak.
"""

from __future__ import annotations

from drivers.stimulation import Train, quantities
from safety.limit_values import Limits
from safety.messages import Reason
from safety.modalities.bounds import exact, is_number, shown
from safety.modalities.quantities import Declared
from safety.modalities.reasons import BAND, reason
from safety.modalities.skin import HeldCurrent
from safety.modalities.tes_numbers import DURATION, RAMP_DOWN, RAMP_UP, SLEW_PP, peak_of_pp

_BAND = "tRNS as it is used: 0.1 to 640 Hz"

AMPLITUDE = Declared(
    name="amplitude_ma_pp",
    unit="mA peak-to-peak",
    low=0.0,
    high=4.0,
    sides="max",
    integer=False,
    asked=True,
    down="less",
    source="Antal et al. 2026, PMC7618810: well established up to 4 mA; held here peak to peak, the stricter reading",
    edition="2017-2025 update",
    status="verified",
)
LOW = Declared(
    name="low_hz",
    unit="Hz",
    low=0.1,
    high=640.0,
    sides="both",
    integer=False,
    asked=True,
    down="same",
    source=_BAND,
    edition="from memory",
    status="unverified",
)
HIGH = Declared(
    name="high_hz",
    unit="Hz",
    low=0.1,
    high=640.0,
    sides="both",
    integer=False,
    asked=True,
    down="same",
    source=_BAND,
    edition="from memory",
    status="unverified",
)


def check_band(train: Train, limits: Limits) -> list[Reason]:
    """The band's ends in their order: a band without width is no noise."""
    asked = quantities(train)
    low, high = asked[LOW.name], asked[HIGH.name]
    if not (is_number(low, integer=False) and is_number(high, integer=False)):
        return []  # refused already, as not a number
    if exact(low) < exact(high):
        return []
    detail = f"high_hz {shown(high)} Hz, expected more than the low_hz of {shown(low)} Hz"
    return [reason(BAND, detail, quantity=HIGH.name, value=float(high), limit=float(low), set_by="absolute")]


CURRENT = HeldCurrent(
    amplitude=AMPLITUDE,
    asked=(AMPLITUDE, LOW, HIGH, RAMP_UP, RAMP_DOWN, DURATION),
    slew=SLEW_PP,
    charging=peak_of_pp,
    dense=peak_of_pp,
    also=check_band,
)
RULES = CURRENT.rules()
