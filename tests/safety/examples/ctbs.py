"""A valid protocol of continuous theta bursts, its device and its train: a segment of 2 s."""

from __future__ import annotations

import datetime
import functools

from tests.safety.examples.example import TODAY, Example
from tests.safety.examples.tbs import TBS, bursts

segment = functools.partial(bursts, modality="ctbs")

CTBS = Example(
    absolute={
        "amplitude_pct_mso": (0.0, 100.0),
        "pulses_per_burst": (1, 3),
        "rate_in_burst_hz": (30.0, 50.0),
        "bursts_hz": (1.0, 5.0),
        "n_bursts": (1, 10),
        "pct_amt": (0.0, 80.0),
        "pct_rmt": (0.0, 70.0),
        "segment_s": (0.0, 2.0),
        "train_s": (0.0, 40.0),
        "interval_s": (1800.0, 7200.0),
    },
    most={
        ("session", "n_pulses"): 600.0,
        ("session", "on_time_s"): 40.0,
        ("24h", "n_pulses"): 1800.0,
        ("7d", "n_pulses"): 9000.0,
        ("course", "n_pulses"): 30_000.0,
        ("24h", "n_sessions"): 3.0,
        ("course", "n_sessions"): 50.0,
    },
    least_gaps={"gap_s": 3600.0, "washout_s": 86_400.0},
    protocol={
        "amplitude_pct_mso": {"max": 60.0},
        "pulses_per_burst": {"max": 3},
        "rate_in_burst_hz": {"min": 40.0, "max": 50.0},
        "bursts_hz": {"min": 4.0, "max": 5.0},
        "n_bursts": {"max": 10},
        "pct_amt": {"max": 80.0},
        "pct_rmt": {"max": 70.0},
        "segment_s": {"max": 2.0},
        "train_s": {"max": 40.0},
        "interval_s": {"min": 1800.0},
    },
    budgets={"on_time_s": 40.0, "n_pulses": 600},
    inputs={
        "active_threshold_pct_mso": 40.0,
        "active_threshold_measured_on": datetime.date.fromisoformat(TODAY),
        "motor_threshold_pct_mso": 50.0,
        "motor_threshold_measured_on": datetime.date.fromisoformat(TODAY),
    },
    contacts={"coil": {"coil": "figure-8"}},
    envelopes=TBS.envelopes,
    outputs=("coil",),
    train=segment,
)
