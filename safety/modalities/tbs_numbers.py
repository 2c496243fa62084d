"""The numbers of theta burst stimulation: quantities, budgets, spacing."""

from __future__ import annotations

from safety.modalities.magnetic import AMPLITUDE
from safety.modalities.quantities import Declared, DeclaredBudget

_BLOCK = "Sci Rep 2018, s41598-018-26791-w, table 1"
_HUANG = "Huang et al. 2005, Neuron 45:201"

PULSES_PER_BURST = Declared(
    name="pulses_per_burst",
    unit="pulses",
    low=1,
    high=3,
    sides="max",
    integer=True,
    asked=True,
    down="same",
    source=f"{_HUANG}: bursts of three",
    edition="2005, from memory",
    status="unverified",
)
RATE_IN_BURST = Declared(
    name="rate_in_burst_hz",
    unit="Hz",
    low=30.0,
    high=50.0,
    sides="both",
    integer=False,
    asked=True,
    down="same",
    source=f"{_HUANG}: 50 Hz; 30 Hz is the slowest in use",
    edition="2005, from memory",
    status="unverified",
)
BURSTS = Declared(
    name="bursts_hz",
    unit="Hz",
    low=1.0,
    high=5.0,
    sides="both",
    integer=False,
    asked=True,
    down="same",
    source=f"{_HUANG}: a burst every 200 ms",
    edition="2005, from memory",
    status="unverified",
)
N_BURSTS = Declared(
    name="n_bursts",
    unit="bursts",
    low=1,
    high=10,
    sides="max",
    integer=True,
    asked=True,
    down="less",
    source=f"{_HUANG}: ten bursts in each 2 s of the intermittent protocol",
    edition="2005, from memory",
    status="unverified",
)
INTENSITY = Declared(
    name="pct_amt",
    unit="%AMT",
    low=0.0,
    high=80.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source=f"{_BLOCK}: 80 % of the active motor threshold",
    edition="2018",
    status="verified",
)
TRAIN_TIME = Declared(
    name="train_s",
    unit="s",
    low=0.0,
    high=2.0,
    sides="max",
    integer=False,
    asked=False,
    down="less",
    source=f"{_HUANG}: 2 s on; the continuous 40 s are a modality of their own, ctbs",
    edition="2005, from memory",
    status="unverified",
)
INTERVAL = Declared(
    name="interval_s",
    unit="s",
    low=8.0,
    high=3600.0,
    sides="min",
    integer=False,
    asked=False,
    down="same",
    source=f"{_HUANG}: 8 s off",
    edition="2005, from memory",
    status="unverified",
)
ASKED = (AMPLITUDE, PULSES_PER_BURST, RATE_IN_BURST, BURSTS, N_BURSTS)
QUANTITIES = (*ASKED, INTENSITY, TRAIN_TIME, INTERVAL)

BUDGETS = (
    DeclaredBudget(
        name="n_pulses",
        scope="session",
        unit="pulses",
        high=600.0,
        integer=True,
        source=f"{_BLOCK}: a block of 600 pulses",
        edition="2018",
        status="verified",
    ),
    DeclaredBudget(
        name="on_time_s",
        scope="session",
        unit="s",
        high=40.0,
        integer=False,
        source="600 pulses as twenty trains of 2 s",
        edition="calculated",
        status="verified",
    ),
    DeclaredBudget(
        name="n_pulses",
        scope="24h",
        unit="pulses",
        high=6000.0,
        integer=True,
        source="own choice: ten blocks of 600; Cole et al. 2020 gave ten of 1,800 a day",
        edition="2020",
        status="unverified",
    ),
    DeclaredBudget(
        name="n_pulses",
        scope="7d",
        unit="pulses",
        high=30_000.0,
        integer=True,
        source="own choice: five days of ten blocks of 600; Cole et al. 2020 gave five of ten of 1,800",
        edition="2020",
        status="unverified",
    ),
    DeclaredBudget(
        name="n_pulses",
        scope="course",
        unit="pulses",
        high=30_000.0,
        integer=True,
        source="own choice: fifty blocks of 600; Cole et al. 2020 gave fifty of 1,800",
        edition="2020",
        status="unverified",
    ),
    DeclaredBudget(
        name="n_sessions",
        scope="24h",
        unit="sessions",
        high=10.0,
        integer=True,
        source="Cole et al. 2020, AJP 10.1176/appi.ajp.2019.19070720: 10 a day",
        edition="2020",
        status="verified",
    ),
    DeclaredBudget(
        name="n_sessions",
        scope="course",
        unit="sessions",
        high=50.0,
        integer=True,
        source="Cole et al. 2020, AJP 10.1176/appi.ajp.2019.19070720: 10 a day for 5 days",
        edition="2020",
        status="verified",
    ),
)
