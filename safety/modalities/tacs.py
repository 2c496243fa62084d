"""Transcranial alternating current: limits of a held sine.

An amplitude is **peak to peak** (Antal 2017); the peak is half of it. Charge is counted as peak x time, which is pi/2
times the charge of the rectified sine: toward more.
"""

from __future__ import annotations

from math import pi

from safety.modalities.quantities import Declared
from safety.modalities.skin import HeldCurrent
from safety.modalities.tes_numbers import DURATION, RAMP_DOWN, RAMP_UP, SLEW_PP, peak_of_pp

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
CURRENT = HeldCurrent(
    amplitude=AMPLITUDE,
    asked=(AMPLITUDE, FREQUENCY, PHASE, RAMP_UP, RAMP_DOWN, DURATION),
    slew=SLEW_PP,
    charging=peak_of_pp,
    dense=peak_of_pp,
)
RULES = CURRENT.rules()
