"""Peripheral nerve stimulation by implanted contacts: below 30 Hz, and on for less than half of the time.

Gunter 2019 (PMC6339286) finds chronic stimulation safe below 30 Hz and 50 % on-time, and does not say over which time.
The half is held over a day and a week, in which the budgets count, and over each cycle of on and off: holds without a pause
last half an hour at most, and nothing follows them before it has been off for longer than it was on. A gap between sessions
that is no shorter keeps that across two of them.
"""

from __future__ import annotations

from math import ceil

from safety.modalities.bounds import exact
from safety.modalities.implanted import Implanted
from safety.modalities.implanted_numbers import (
    OWN,
    SPACING,
    amplitude,
    budgets,
    charge,
    contact_current,
    rates,
    slew,
    total_current,
    widths,
)
from safety.modalities.quantities import DeclaredBudget, DeclaredSpacing, Exposure
from safety.modalities.rules import DeclaredContacts

_GUNTER = "Gunter et al. 2019, PMC6339286: safe below 30 Hz and below 50 % on-time"
RUN_S = 1800.0
_RUN = DeclaredBudget(
    name="on_time_s",
    scope="train",
    unit="s",
    high=RUN_S,
    integer=False,
    source=f"{OWN}half an hour without a pause, after which as long a rest makes half of the time; {_GUNTER}",
    edition="1",
    status="unverified",
)
_GAP = DeclaredSpacing(
    name="gap_s",
    low=RUN_S,
    source=f"{OWN}as long as the longest time without a pause, so that another session makes no rest shorter",
    edition="1",
    status="unverified",
)


def rest_after_ns(run: Exposure) -> int:
    """As long as what was held without a pause."""
    return ceil(exact(run.on_time_s) * 1_000_000_000)


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
    budgets=(
        _RUN,
        *budgets(
            2.2,
            "7 h at 29.9 Hz of the 2.9 uC that a contact may have are 2.2 C",
            43_199.0,
            302_399.0,
            f"{_GUNTER}; read by us as a second below half of a day and of a week",
            "unverified",
        ),
    ),
    spacing=(_GAP, *(each for each in SPACING if each.name != _GAP.name)),
    rest_after_ns=rest_after_ns,
    # From 1 mm2, below which Shannon's relation does not hold, to a large cuff; mm2 taken for cm2 fall outside. The case:
    # own choice.
    contacts=DeclaredContacts(
        fewest=2, most=16, area_low_cm2=0.01, area_high_cm2=0.5, case_low_cm2=5.0, case_high_cm2=100.0
    ),
).rules()
