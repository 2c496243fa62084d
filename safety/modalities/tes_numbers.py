"""The numbers that all currents through the scalp share: ramps, lease, contacts, budgets, spacing."""

from __future__ import annotations

from fractions import Fraction

from drivers.stimulation import Train
from safety.modalities.quantities import Declared, DeclaredBudget, DeclaredSpacing
from safety.modalities.rules import DeclaredContacts
from safety.modalities.washout import WASHOUT

RAMP_UP = Declared(
    name="ramp_up_ms",
    unit="ms",
    low=10,
    high=30_000,
    sides="both",
    integer=True,
    asked=True,
    down="same",
    source="own choice: no step of current; the rise itself is bounded by slew_ma_per_s",
    edition="1",
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
    source="own choice: a stop must reach zero soon; an abrupt one gives phosphenes",
    edition="1",
    status="unverified",
)
DURATION = Declared(
    name="duration_ms",
    unit="ms",
    low=10,
    high=500,
    sides="max",
    integer=True,
    asked=True,
    down="less",
    source="own choice: the longest lease of a hold, after which output ends by itself",
    edition="1",
    status="verified",
)
CONTACT_IMPEDANCE = Declared(
    name="impedance_kohm",
    unit="kohm",
    low=0.0,
    high=20.0,
    sides="both",
    integer=False,
    asked=False,
    down="same",
    source="open-contact gate used in practice; its fall in the first minute: Hahn 2013",
    edition="from memory",
    status="unverified",
)
CURRENT_DENSITY = Declared(
    name="density_ma_cm2",
    unit="mA/cm2 peak",
    low=0.0,
    high=0.63,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source="Bikson et al. 2016, PMC5007190: 6.3 A/m2 injures animal brain; held here at the skin",
    edition="2016",
    status="verified",
)

# Areas: own choice: from a small HD electrode to a large sponge; mm2 or m2 taken for cm2 fall outside.
CONTACTS = DeclaredContacts(fewest=2, most=64, area_low_cm2=0.5, area_high_cm2=100.0)

BUDGETS = (
    DeclaredBudget(
        name="on_time_s",
        scope="session",
        unit="s",
        high=2400.0,
        integer=False,
        source="Bikson et al. 2016, PMC5007190: no serious adverse effect up to 40 min",
        edition="2016",
        status="verified",
    ),
    DeclaredBudget(
        name="charge_c",
        scope="session",
        unit="C",
        high=7.2,
        integer=False,
        source="Bikson et al. 2016, PMC5007190: up to 7.2 C; binds before 40 min at 4 mA, which are 9.6 C",
        edition="2016",
        status="verified",
    ),
    DeclaredBudget(
        name="on_time_s",
        scope="24h",
        unit="s",
        high=3600.0,
        integer=False,
        source="Antal et al. 2026, PMC7618810: well established up to 60 min a day",
        edition="2017-2025 update",
        status="verified",
    ),
    DeclaredBudget(
        name="on_time_s",
        scope="7d",
        unit="s",
        high=25_200.0,
        integer=False,
        source="own choice: seven times the 60 min a day of Antal et al. 2026",
        edition="1",
        status="unverified",
    ),
    DeclaredBudget(
        name="on_time_s",
        scope="course",
        unit="s",
        high=108_000.0,
        integer=False,
        source="own choice: thirty times the 60 min a day of Antal et al. 2026",
        edition="1",
        status="unverified",
    ),
    DeclaredBudget(
        name="n_sessions",
        scope="24h",
        unit="sessions",
        high=4.0,
        integer=True,
        source="own choice: 60 min a day in no more than four parts",
        edition="1",
        status="unverified",
    ),
)
SPACING = (
    DeclaredSpacing(
        name="gap_s",
        low=1500.0,
        source="tDCS repeated after 25 min did better than after 5 min: Clin Neurophysiol 2014, daneshyari 3043179",
        edition="2014, of tDCS",
        status="unverified",
    ),
    WASHOUT,
)

# Of an amplitude that is quoted peak to peak.
SLEW_PP = Declared(
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


PEAK_OF_PP = Fraction(1, 2)


def peak_of_pp(train: Train) -> Fraction:
    """Half of what is quoted peak to peak."""
    return PEAK_OF_PP
