"""The numbers of TENS: quantities, budgets, spacing, contacts."""

from __future__ import annotations

from safety.modalities.quantities import Declared, DeclaredBudget, DeclaredSpacing
from safety.modalities.rules import DeclaredContacts, DeclaredInput
from safety.modalities.tes_numbers import DURATION, RAMP_UP
from safety.modalities.washout import WASHOUT

_IEC = "IEC 60601-2-10, not for implanted electrodes, the brain or neurological research"

AMPLITUDE = Declared(
    name="amplitude_ma",
    unit="mA",
    low=0.0,
    high=50.0,
    sides="max",
    integer=False,
    asked=True,
    down="less",
    source=f"{_IEC}: 50 mA into 500 ohm up to 400 Hz; held here as a peak",
    edition="2012, from memory",
    status="unverified",
)
WIDTH = Declared(
    name="width_us",
    unit="us",
    low=20.0,
    high=1000.0,
    sides="both",
    integer=False,
    asked=True,
    down="less",
    source="own choice: the pulses of such devices, 50 to 400 us, with room",
    edition="1",
    status="unverified",
)
GAP = Declared(
    name="gap_us",
    unit="us",
    low=0.0,
    high=1000.0,
    sides="both",
    integer=False,
    asked=True,
    down="same",
    source="own choice: a pause between the phases is short or none",
    edition="1",
    status="unverified",
)
SECOND_WIDTH = Declared(
    name="second_width_us",
    unit="us",
    low=20.0,
    high=10_000.0,
    sides="both",
    integer=False,
    asked=True,
    down="same",
    source="own choice: from symmetric pulses to a low and long second phase",
    edition="1",
    status="unverified",
)
RATE = Declared(
    name="rate_hz",
    unit="Hz",
    low=0.5,
    high=400.0,
    sides="both",
    integer=False,
    asked=True,
    down="same",
    source=f"{_IEC}: the band of its 50 mA; faster pulses are not taken",
    edition="2012, from memory",
    status="unverified",
)
PER_BURST = Declared(
    name="pulses_per_burst",
    unit="pulses",
    low=1,
    high=10,
    sides="max",
    integer=True,
    asked=True,
    down="same",
    source="own choice: bursts of a few pulses at a few Hz are in use",
    edition="1",
    status="unverified",
)
IN_BURST = Declared(
    name="rate_in_burst_hz",
    unit="Hz",
    low=0.5,
    high=400.0,
    sides="both",
    integer=False,
    asked=True,
    down="same",
    source=f"{_IEC}: the band of its 50 mA; faster pulses are not taken",
    edition="2012, from memory",
    status="unverified",
)
RAMP_DOWN = Declared(
    name="ramp_down_ms",
    unit="ms",
    low=10,
    high=500,
    sides="both",
    integer=True,
    asked=True,
    down="same",
    source="own choice: a stop must reach zero soon",
    edition="1",
    status="unverified",
)
SLEW_RATE = Declared(
    name="slew_ma_per_s",
    unit="mA/s",
    low=0.0,
    high=20.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source="own choice: from nothing to the most in 2.5 s",
    edition="1",
    status="unverified",
)
DENSITY_RMS = Declared(
    name="density_rms_ma_cm2",
    unit="mA/cm2 r.m.s.",
    low=0.0,
    high=4.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source=f"own choice: twice the 2 mA/cm2 above which attention is asked for, {_IEC}",
    edition="1",
    status="unverified",
)
ENERGY = Declared(
    name="energy_mj",
    unit="mJ",
    low=0.0,
    high=300.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source=f"{_IEC}: clause 51.104, 300 mJ a pulse into 500 ohm (biopac.com)",
    edition="web page",
    status="verified",
)
PULSES = (WIDTH, GAP, SECOND_WIDTH, RATE, PER_BURST, IN_BURST)
ASKED = (AMPLITUDE, *PULSES, RAMP_UP, RAMP_DOWN, DURATION)

BUDGETS = (
    DeclaredBudget(
        name="on_time_s",
        scope="session",
        unit="s",
        high=3600.0,
        integer=False,
        source="own choice: an hour, as long as such sessions are",
        edition="1",
        status="unverified",
    ),
    DeclaredBudget(
        name="on_time_s",
        scope="24h",
        unit="s",
        high=14_400.0,
        integer=False,
        source="own choice: four sessions of an hour",
        edition="1",
        status="unverified",
    ),
    DeclaredBudget(
        name="n_sessions",
        scope="24h",
        unit="sessions",
        high=4.0,
        integer=True,
        source="own choice: as many sessions of an hour",
        edition="1",
        status="unverified",
    ),
    DeclaredBudget(
        name="n_days",
        scope="in_a_row",
        unit="days",
        high=3.0,
        integer=True,
        source="Liebano et al. 2011: the same dose daily, and its analgesia is gone by day 4 to 5",
        edition="2011",
        status="verified",
    ),
)
SPACING = (
    DeclaredSpacing(
        name="gap_s",
        low=1800.0,
        source="own choice: half of a session at most, for the skin",
        edition="1",
        status="unverified",
    ),
    WASHOUT,
)
# Own choice: from a small pad to a large one. Places: where the standard's scope and current practice meet.
CONTACTS = DeclaredContacts(
    fewest=2, most=8, area_low_cm2=1.0, area_high_cm2=200.0, places=("limb", "back", "abdomen")
)
# 500 V at most: IEC 60601-2-10, clause 51.104 (biopac.com); of the device, from its manual.
OPEN_CIRCUIT = DeclaredInput(name="open_circuit_v", unit="V", low=1.0, high=500.0)
