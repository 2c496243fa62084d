"""Transcranial alternating current: limits of a held sine.

An amplitude is **peak to peak** (Antal 2017); the peak is half of it. Charge is counted as peak x time, which is pi/2
times the charge of the rectified sine: toward more.
"""

from __future__ import annotations

from fractions import Fraction
from math import pi

from drivers.stimulation import Train
from safety.modalities.quantities import Declared
from safety.modalities.skin import HeldCurrent
from safety.modalities.tes_numbers import DURATION, RAMP_DOWN, RAMP_UP

AMPLITUDE = Declared(
    name="amplitude_ma_pp",
    unit="mA peak-to-peak",
    low=0.0,
    high=4.0,
    sides="max",
    integer=False,
    asked=True,
    down="less",
    source="Antal et al. 2026, PMC7618810: well established up to 4 mA; tACS is quoted peak to peak",
    edition="2017-2025 update",
    status="verified",
)
FREQUENCY = Declared(
    name="frequency_hz",
    unit="Hz",
    low=0.1,
    high=100.0,
    sides="both",
    integer=False,
    asked=True,
    down="same",
    source="own choice: the EEG range that a loop can follow, well inside the 0.1-640 Hz of tRNS",
    edition="1",
    status="unverified",
)
PHASE = Declared(
    name="phase_rad",
    unit="rad",
    low=-2 * pi,
    high=2 * pi,
    sides="both",
    integer=False,
    asked=True,
    down="same",
    source="own choice: one turn either way; a phase sets no dose",
    edition="1",
    status="verified",
)
SLEW_RATE = Declared(
    name="slew_ma_per_s",
    unit="mA/s peak-to-peak",
    low=0.0,
    high=2.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source="own choice: five times the 4 mA in 10 s of the usual ramp",
    edition="1",
    status="unverified",
)


def peak(train: Train) -> Fraction:
    """Half of what is quoted peak to peak."""
    return Fraction(1, 2)


CURRENT = HeldCurrent(
    amplitude=AMPLITUDE,
    asked=(AMPLITUDE, FREQUENCY, PHASE, RAMP_UP, RAMP_DOWN, DURATION),
    slew=SLEW_RATE,
    charging=peak,
    dense=peak,
)
RULES = CURRENT.rules()
