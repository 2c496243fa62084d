"""Peripheral nerve stimulation by implanted contacts: below 30 Hz, and on for less than half of the time.

Gunter 2019 (PMC6339286) finds chronic stimulation safe below 30 Hz and 50 % on-time. The half is held over a day and
over a week, in which the budgets count; of a shorter cycle of on and off nothing is known here.
"""

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

_GUNTER = "Gunter et al. 2019, PMC6339286: safe below 30 Hz and below 50 % on-time"

RULES = Implanted(
    amplitude=amplitude(
        10.0, OWN + "above the usual setting beside a nerve; charge and density narrow it", "1", "unverified"
    ),
    pulses=(
        *widths(10.0, 500.0, OWN + "the usual range; charge and density narrow it", "1", "unverified"),
        *rates(2.0, 29.9, 29.9, f"{_GUNTER}; the last tenth below 30", "2019", "verified"),
    ),
    contact_ma=contact_current(10.0, OWN + "as the amplitude", "1", "unverified"),
    total_ma=total_current(10.0, OWN + "as the amplitude", "1", "unverified"),
    charge_uc=charge(2.9, "what Shannon's relation leaves a contact of 0.1225 cm2, rounded down"),
    slew=slew(2.0),
    budgets=budgets(
        2.2,
        "7 h at 29.9 Hz of the 2.9 uC that a contact may have are 2.2 C",
        43_199.0,
        302_399.0,
        f"{_GUNTER}; read by us as a second below half of a day and of a week",
        "unverified",
    ),
    # From 1 mm2, below which Shannon's relation does not hold, to a large cuff; mm2 taken for cm2 fall outside. The case:
    # own choice.
    contacts=DeclaredContacts(
        fewest=2, most=16, area_low_cm2=0.01, area_high_cm2=0.5, case_low_cm2=5.0, case_high_cm2=100.0
    ),
).rules()
