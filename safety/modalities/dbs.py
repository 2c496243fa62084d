"""Deep brain stimulation: pulses through contacts of about 0.06 cm2 in the brain."""

from __future__ import annotations

from safety.modalities.implanted import Implanted
from safety.modalities.implanted_numbers import (
    BOSTON,
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

RULES = Implanted(
    amplitude=amplitude(20.0, f"{BOSTON}: at most 20 mA over all contacts", "91053785", "verified"),
    pulses=(
        *widths(10.0, 450.0, f"{BOSTON}: 10 to 450 us", "91053785", "verified"),
        *rates(2.0, 255.0, 255.0, f"{BOSTON}: 2 to 255 Hz", "91053785", "verified"),
    ),
    contact_ma=contact_current(12.7, f"{BOSTON}: at most 12.7 mA per contact", "91053785", "verified"),
    total_ma=total_current(20.0, f"{BOSTON}: at most 20 mA over all contacts", "91053785", "verified"),
    charge_uc=charge(2.0, "what Shannon's relation leaves a contact of 0.06 cm2, rounded down"),
    slew=slew(2.0),
    budgets=budgets(
        2.5,
        "7 h at 5 mA, 90 us and 185 Hz are 2.1 C",
        86_400.0,
        604_800.0,
        OWN + "a day and a week whole: it is given day and night",
        "unverified",
    ),
    # From 1 mm2, below which Shannon's relation does not hold, to four contacts taken as one; mm2 taken for cm2 fall
    # outside. The case: own choice.
    contacts=DeclaredContacts(
        fewest=2, most=32, area_low_cm2=0.01, area_high_cm2=0.3, case_low_cm2=5.0, case_high_cm2=100.0
    ),
).rules()
