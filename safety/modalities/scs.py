"""Spinal cord stimulation: cylinders in the epidural space, in one of three regimes of rate, width and amplitude."""

from __future__ import annotations

from safety.modalities.implanted import Implanted, Regime
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
from safety.modalities.quantities import Formula
from safety.modalities.rules import DeclaredContacts

_REVIEW = "PMC8229652: 30-120 Hz, 3.5-8.5 mA, 100-500 us; 10 kHz, 1-5 mA, 30 us"

REGIMES = (
    Regime(
        name="low rate (30 to 120 Hz, 500 us, 8.5 mA)",
        amplitude_ma_max=8.5,
        width_us_max=500.0,
        rate_hz_min=30.0,
        rate_hz_max=120.0,
        in_burst_hz_max=120.0,
        per_burst_max=1,
    ),
    Regime(
        name="10 kHz (30 us, 5 mA)",
        amplitude_ma_max=5.0,
        width_us_max=30.0,
        rate_hz_min=10_000.0,
        rate_hz_max=10_000.0,
        in_burst_hz_max=10_000.0,
        per_burst_max=1,
    ),
    # 40 Hz and 500 Hz: bioelecmed s42234-019-0023-1. Five pulses of 1 ms: from memory. 2 mA: own choice.
    Regime(
        name="bursts (40 Hz of five pulses at 500 Hz, 1 ms, 2 mA)",
        amplitude_ma_max=2.0,
        width_us_max=1000.0,
        rate_hz_min=30.0,
        rate_hz_max=40.0,
        in_burst_hz_max=500.0,
        per_burst_max=5,
    ),
)

RULES = Implanted(
    amplitude=amplitude(8.5, _REVIEW, "as in PMC8229652", "verified"),
    pulses=(
        *widths(10.0, 1000.0, OWN + "up to the 1 ms of bursts; a regime narrows it", "1", "unverified"),
        *rates(30.0, 10_000.0, 10_000.0, f"{_REVIEW}; a regime narrows it", "as in PMC8229652", "verified"),
    ),
    contact_ma=contact_current(8.5, _REVIEW, "as in PMC8229652", "verified"),
    total_ma=total_current(8.5, _REVIEW, "as in PMC8229652", "verified"),
    charge_uc=charge(2.9, "what Shannon's relation leaves a contact of 0.1225 cm2, rounded down"),
    slew=slew(2.0),
    budgets=budgets(
        38.0,
        "7 h at 5 mA, 30 us and 10 kHz are 37.8 C",
        86_400.0,
        604_800.0,
        OWN + "a day and a week whole: it is given day and night",
        "unverified",
    ),
    # From 1 mm2, below which Shannon's relation does not hold, to a large plate; mm2 taken for cm2 fall outside. The
    # case: own choice.
    contacts=DeclaredContacts(
        fewest=2, most=64, area_low_cm2=0.01, area_high_cm2=0.5, case_low_cm2=5.0, case_high_cm2=100.0
    ),
    regimes=REGIMES,
    formulas=(
        Formula(
            name="scs_regimes",
            source=f"{_REVIEW}; bursts: bioelecmed s42234-019-0023-1 for the rates, the rest from memory",
            edition="as in PMC8229652; 2019",
            status="unverified",
        ),
    ),
).rules()
