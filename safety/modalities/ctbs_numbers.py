"""The numbers of continuous theta burst stimulation: quantities, budgets, spacing.

What it shares with the intermittent protocol, the burst itself, is declared there. It lowers excitability where that one
raises it, so its budgets and spacing are its own, and a day's wash-out lies between the two.
"""

from __future__ import annotations

from safety.modalities.magnetic import AMPLITUDE
from safety.modalities.quantities import Declared, DeclaredBudget, DeclaredSpacing, Formula
from safety.modalities.tbs_numbers import BURSTS, PULSES_PER_BURST, RATE_IN_BURST
from safety.modalities.washout import WASHOUT

_HUANG = "Huang et al. 2005, Neuron 45:201"
_GAMBOA = "Gamboa et al. 2010, PMC2892066: twice as long turned the effect round"

N_BURSTS = Declared(
    name="n_bursts",
    unit="bursts",
    low=1,
    high=10,
    sides="max",
    integer=True,
    asked=True,
    down="less",
    source="own choice: a segment of 2 s, asked for anew until the train is over",
    edition="1",
    status="unverified",
)
PCT_ACTIVE = Declared(
    name="pct_amt",
    unit="%AMT",
    low=0.0,
    high=80.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source=f"{_HUANG}: 80 % of the active motor threshold",
    edition="2005, from memory",
    status="unverified",
)
PCT_RESTING = Declared(
    name="pct_rmt",
    unit="%rMT",
    low=0.0,
    high=70.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source="Gentner et al. 2008, Cereb Cortex 18:2046: 70 % of the resting threshold; a seizure is known at 100 %",
    edition="2008, from memory",
    status="unverified",
)
SEGMENT_TIME = Declared(
    name="segment_s",
    unit="s",
    low=0.0,
    high=2.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source="own choice: the most that a device puts out where nobody can stop it; the longest lease is 10 s",
    edition="1",
    status="unverified",
)
TRAIN_TIME = Declared(
    name="train_s",
    unit="s",
    low=0.0,
    high=40.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source=f"{_HUANG}: 40 s without a pause, of all segments together; {_GAMBOA}",
    edition="2005, from memory; 2010, abstract",
    status="unverified",
)
INTERVAL = Declared(
    name="interval_s",
    unit="s",
    low=1800.0,
    high=7200.0,
    sides="min",
    integer=False,
    asked=False,
    down="same",
    source="own choice: within a session as between blocks of intermittent bursts, half an hour (fnins.2020.00576)",
    edition="1",
    status="unverified",
)
ASKED = (AMPLITUDE, PULSES_PER_BURST, RATE_IN_BURST, BURSTS, N_BURSTS)
QUANTITIES = (*ASKED, PCT_ACTIVE, PCT_RESTING, SEGMENT_TIME, TRAIN_TIME, INTERVAL)

JOINT = Formula(
    name="joins_within_a_period",
    source="own choice: a segment begins no sooner than its rate says and at most one period of bursts later; all joints"
    " together stretch a train by a twentieth at most",
    edition="1",
    status="unverified",
)
FORMULAS = (JOINT,)

BUDGETS = (
    DeclaredBudget(
        name="n_pulses",
        scope="session",
        unit="pulses",
        high=600.0,
        integer=True,
        source=f"{_HUANG}: one train of 600 pulses; {_GAMBOA}",
        edition="2005, from memory; 2010, abstract",
        status="unverified",
    ),
    DeclaredBudget(
        name="on_time_s",
        scope="session",
        unit="s",
        high=40.0,
        integer=False,
        source=f"{_HUANG}: one train of 40 s",
        edition="2005, from memory",
        status="unverified",
    ),
    DeclaredBudget(
        name="n_pulses",
        scope="24h",
        unit="pulses",
        high=1800.0,
        integer=True,
        source="own choice: three trains of 600",
        edition="1",
        status="unverified",
    ),
    DeclaredBudget(
        name="n_pulses",
        scope="7d",
        unit="pulses",
        high=9000.0,
        integer=True,
        source="own choice: five days of three trains of 600",
        edition="1",
        status="unverified",
    ),
    DeclaredBudget(
        name="n_pulses",
        scope="course",
        unit="pulses",
        high=30_000.0,
        integer=True,
        source="own choice: fifty trains of 600, as many as of intermittent bursts",
        edition="1",
        status="unverified",
    ),
    DeclaredBudget(
        name="n_sessions",
        scope="24h",
        unit="sessions",
        high=3.0,
        integer=True,
        source="own choice: three trains, an hour apart",
        edition="1",
        status="unverified",
    ),
    DeclaredBudget(
        name="n_sessions",
        scope="course",
        unit="sessions",
        high=50.0,
        integer=True,
        source="own choice: as many as of intermittent bursts",
        edition="1",
        status="unverified",
    ),
)

SPACING = (
    DeclaredSpacing(
        name="gap_s",
        low=3600.0,
        source=f"{_HUANG}: 600 pulses act for an hour after their end; that none is given into it: own choice",
        edition="2005, from memory",
        status="unverified",
    ),
    WASHOUT,
)
