"""The numbers of repetitive magnetic stimulation: quantities, budgets, spacing."""

from __future__ import annotations

from safety.modalities.magnetic import AMPLITUDE, TRAIN_TIME
from safety.modalities.quantities import Declared, DeclaredBudget

ROSSI = "Rossi et al. 2009, Clin Neurophysiol 120:2008, table 4; kept by Rossi et al. 2021"
SAINT = "Cole et al. 2020, AJP 10.1176/appi.ajp.2019.19070720"

RATE = Declared(
    name="rate_hz",
    unit="Hz",
    low=0.1,
    high=25.0,
    sides="both",
    integer=False,
    asked=True,
    down="same",
    source=f"{ROSSI}: no row above 25 Hz",
    edition="2009",
    status="verified",
)
N_PULSES = Declared(
    name="n_pulses",
    unit="pulses",
    low=1,
    high=50,
    sides="max",
    integer=True,
    asked=True,
    down="less",
    source="Rossi et al. 2009 table 5: the most pulses of one of several trains of at most 10 s",
    edition="2009, from memory",
    status="unverified",
)
INTENSITY = Declared(
    name="pct_rmt",
    unit="%rMT",
    low=0.0,
    high=130.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source=f"{ROSSI}: no row above 130 %",
    edition="2009",
    status="verified",
)
INTERVAL = Declared(
    name="interval_s",
    unit="s",
    low=5.0,
    high=3600.0,
    sides="min",
    integer=False,
    asked=False,
    down="same",
    source="Chen et al. 1997, PubMed 9448642: 5 s safe, 1 s unsafe above 100 % rMT",
    edition="1997",
    status="verified",
)
ASKED = (AMPLITUDE, RATE, N_PULSES)
QUANTITIES = (*ASKED, INTENSITY, TRAIN_TIME, INTERVAL)

BUDGETS = (
    DeclaredBudget(
        name="on_time_s",
        scope="session",
        unit="s",
        high=5400.0,
        integer=False,
        source="local rule of one laboratory, wiki.cimec.unitn.it: 90 min of stimulation a session",
        edition="web page",
        status="verified",
    ),
    DeclaredBudget(
        name="n_pulses",
        scope="session",
        unit="pulses",
        high=3000.0,
        integer=True,
        source="cleared depression session, brainultimate.com protocols: 75 trains of 40",
        edition="web page",
        status="verified",
    ),
    DeclaredBudget(
        name="n_pulses",
        scope="24h",
        unit="pulses",
        high=12_960.0,
        integer=True,
        source="Anderson et al. 2006: 12,960 pulses a day in healthy men; 18,000 were given, of theta bursts alone",
        edition="2006, from memory",
        status="unverified",
    ),
    DeclaredBudget(
        name="n_pulses",
        scope="7d",
        unit="pulses",
        high=38_880.0,
        integer=True,
        source="Anderson et al. 2006: 12,960 pulses a day, 38,880 in a week, healthy men",
        edition="2006, from memory",
        status="unverified",
    ),
    DeclaredBudget(
        name="n_pulses",
        scope="course",
        unit="pulses",
        high=90_000.0,
        integer=True,
        source="cleared depression course, brainultimate.com protocols: 3,000 pulses, 5 days a week, 6 weeks",
        edition="web page",
        status="verified",
    ),
    DeclaredBudget(
        name="n_sessions",
        scope="24h",
        unit="sessions",
        high=10.0,
        integer=True,
        source=f"{SAINT}: 10 a day",
        edition="2020",
        status="verified",
    ),
    DeclaredBudget(
        name="n_sessions",
        scope="course",
        unit="sessions",
        high=50.0,
        integer=True,
        source=f"{SAINT}: 10 a day for 5 days",
        edition="2020",
        status="verified",
    ),
)
