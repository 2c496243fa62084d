"""A valid theta burst protocol, its device and its train: 2 s of the intermittent block."""

from __future__ import annotations

import datetime

from drivers.capabilities import Envelope
from drivers.stimulation import BurstTrain, MagneticPulse, Modality, Output, Train
from tests.safety.examples.example import TODAY, Example

COIL = (Output(name="coil", share=1.0),)


def bursts(
    amplitude_pct_mso: float = 32.0,
    pulses_per_burst: int = 3,
    rate_in_burst_hz: float = 50.0,
    bursts_hz: float = 5.0,
    n_bursts: int = 10,
    outputs: tuple[Output, ...] = COIL,
    modality: Modality = "tbs",
) -> Train:
    wave = BurstTrain(
        pulse=MagneticPulse(amplitude_pct_mso=amplitude_pct_mso),
        pulses_per_burst=pulses_per_burst,
        rate_in_burst_hz=rate_in_burst_hz,
        bursts_hz=bursts_hz,
        n_bursts=n_bursts,
    )
    return Train(modality=modality, outputs=outputs, waveform=wave)


TBS = Example(
    absolute={
        "amplitude_pct_mso": (0.0, 100.0),
        "pulses_per_burst": (1, 3),
        "rate_in_burst_hz": (30.0, 50.0),
        "bursts_hz": (1.0, 5.0),
        "n_bursts": (1, 10),
        "pct_amt": (0.0, 80.0),
        "train_s": (0.0, 2.0),
        "interval_s": (8.0, 3600.0),
    },
    most={
        ("session", "n_pulses"): 600.0,
        ("session", "on_time_s"): 40.0,
        ("24h", "n_pulses"): 6000.0,
        ("7d", "n_pulses"): 30_000.0,
        ("course", "n_pulses"): 30_000.0,
        ("24h", "n_sessions"): 10.0,
        ("course", "n_sessions"): 50.0,
    },
    least_gaps={"gap_s": 1800.0, "washout_s": 86_400.0},
    protocol={
        "amplitude_pct_mso": {"max": 60.0},
        "pulses_per_burst": {"max": 3},
        "rate_in_burst_hz": {"min": 40.0, "max": 50.0},
        "bursts_hz": {"min": 4.0, "max": 5.0},
        "n_bursts": {"max": 10},
        "pct_amt": {"max": 80.0},
        "train_s": {"max": 2.0},
        "interval_s": {"min": 8.0},
    },
    budgets={"on_time_s": 40.0, "n_pulses": 600},
    inputs={
        "active_threshold_pct_mso": 40.0,
        "active_threshold_measured_on": datetime.date.fromisoformat(TODAY),
    },
    contacts={"coil": {"coil": "figure-8"}},
    envelopes={
        "amplitude_pct_mso": Envelope(low=0.0, high=100.0, step=1.0),
        "pulses_per_burst": Envelope(low=1, high=5, step=1),
        "rate_in_burst_hz": Envelope(low=10.0, high=100.0, step=1.0),
        "bursts_hz": Envelope(low=0.1, high=20.0, step=0.1),
        "n_bursts": Envelope(low=1, high=1000, step=1),
    },
    outputs=("coil",),
    train=bursts,
)
