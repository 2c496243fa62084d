"""Transcranial direct current: limits of a held current of one sign.

An amplitude is **from zero to peak** (Antal 2017): all of it flows. Limits are joint: 4 mA, 40 min and 7.2 C hold at
once, and 4 mA for 40 min, 9.6 C, are ended by the charge after 30 min. What a session may put through a square
centimetre follows from its charge budget, the contact's share and its area, so it is held before the first mA flows.
"""

from __future__ import annotations

from fractions import Fraction

from drivers.stimulation import Train
from safety.limit_values import Limits
from safety.messages import Reason
from safety.modalities.bounds import check_exact, exact, shown
from safety.modalities.quantities import Declared
from safety.modalities.reasons import DENSITY
from safety.modalities.skin import HeldCurrent, per_area
from safety.modalities.tes_numbers import DURATION, RAMP_DOWN, RAMP_UP

AMPLITUDE = Declared(
    name="amplitude_ma",
    unit="mA",
    low=0.0,
    high=4.0,
    sides="max",
    integer=False,
    asked=True,
    down="less",
    source="Bikson et al. 2016, PMC5007190, and Antal et al. 2026, PMC7618810: no serious adverse effect up to 4 mA",
    edition="2016; 2017-2025 update",
    status="verified",
)
SLEW_RATE = Declared(
    name="slew_ma_per_s",
    unit="mA/s",
    low=0.0,
    high=0.4,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source="usual ramp of 10 to 30 s at a session's ends: 4 mA in the shortest of them",
    edition="from memory",
    status="unverified",
)
CHARGE_DENSITY = Declared(
    name="charge_density_c_cm2",
    unit="C/cm2 a session",
    low=0.0,
    high=0.524,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source="own choice: a tenth of the 5.24 C/cm2 that injured rat cortex (Liebetanz et al. 2009)",
    edition="2009, from memory",
    status="unverified",
)


def check_charge_density(train: Train, limits: Limits) -> list[Reason]:
    """The session's whole charge through the contact with the greatest share of it a cm2."""
    shares, _ = per_area(train, limits)
    if not shares:
        return []  # refused already, as outputs or without an area
    greatest, name = max(shares)
    charge = exact(limits.budget("charge_c", "session"))
    where = f" under {shown(name)} when the session's charge is spent"
    return check_exact(CHARGE_DENSITY, charge * greatest, limits, code=DENSITY, where=where)


def peak(train: Train) -> Fraction:
    """All of it flows."""
    return Fraction(1)


CURRENT = HeldCurrent(
    amplitude=AMPLITUDE,
    asked=(AMPLITUDE, RAMP_UP, RAMP_DOWN, DURATION),
    slew=SLEW_RATE,
    charging=peak,
    dense=peak,
    also=check_charge_density,
    derived=(CHARGE_DENSITY,),
)
RULES = CURRENT.rules()
