"""Dorsal root ganglion stimulation: slim leads, whose device can give more than the tissue at them may have."""

from __future__ import annotations

from safety.modalities.implanted import Implanted
from safety.modalities.implanted_numbers import (
    OWN,
    amplitude,
    budgets,
    charge,
    contact_current,
    rates,
    slew,
    total_current,
    widths,
)
from safety.modalities.rules import DeclaredContacts

_DEVICE = "Spinal Modulation, clinical manual MN0700: 0-6.0 mA, 40-720 us, 4-100 Hz; the device's range, not the tissue's"

RULES = Implanted(
    amplitude=amplitude(6.0, _DEVICE, "MN0700", "verified"),
    pulses=(
        *widths(40.0, 720.0, _DEVICE, "MN0700", "verified"),
        *rates(4.0, 100.0, 100.0, _DEVICE, "MN0700", "verified"),
    ),
    contact_ma=contact_current(6.0, _DEVICE, "MN0700", "verified"),
    total_ma=total_current(6.0, _DEVICE, "MN0700", "verified"),
    charge_uc=charge(1.6, "what Shannon's relation leaves a contact of 0.0392 cm2, rounded down"),
    slew=slew(1.0),
    budgets=budgets(
        3.0,
        "7 h at 100 Hz of the 1.18 uC that 30 uC/cm2 leave a contact are 3.0 C",
        86_400.0,
        604_800.0,
        OWN + "a day and a week whole: it is given day and night",
        "unverified",
    ),
    # From 1 mm2, below which Shannon's relation does not hold, to a cylinder of the epidural space; mm2 taken for cm2
    # fall outside. The case: own choice.
    contacts=DeclaredContacts(
        fewest=2, most=16, area_low_cm2=0.01, area_high_cm2=0.2, case_low_cm2=5.0, case_high_cm2=100.0
    ),
).rules()
