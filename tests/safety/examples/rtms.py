"""A valid rTMS protocol, its device and its train."""

from __future__ import annotations

import datetime

from drivers.capabilities import Envelope
from drivers.stimulation import MagneticPulse, Modality, Output, PulseTrain, Train
from tests.safety.examples.example import TODAY, Example

COIL = (Output(name="coil", share=1.0),)


def pulses(
    amplitude_pct_mso: float = 45.0,
    rate_hz: float = 10.0,
    n_pulses: int = 40,
    outputs: tuple[Output, ...] = COIL,
    modality: Modality = "rtms",
) -> Train:
    pulse = MagneticPulse(amplitude_pct_mso=amplitude_pct_mso)
    wave = PulseTrain(pulse=pulse, rate_hz=rate_hz, n_pulses=n_pulses)
    return Train(modality=modality, outputs=outputs, waveform=wave)


RTMS = Example(
    absolute={
        "amplitude_pct_mso": (0.0, 100.0),
        "rate_hz": (0.1, 25.0),
        "n_pulses": (1, 50),
        "pct_rmt": (0.0, 130.0),
        "train_s": (0.0, 10.0),
        "interval_s": (5.0, 3600.0),
    },
    most={
        ("session", "on_time_s"): 5400.0,
        ("session", "n_pulses"): 3000.0,
        ("24h", "n_pulses"): 12_960.0,
        ("7d", "n_pulses"): 38_880.0,
        ("course", "n_pulses"): 90_000.0,
        ("24h", "n_sessions"): 10.0,
        ("course", "n_sessions"): 50.0,
    },
    least_gaps={"gap_s": 1800.0, "washout_s": 86_400.0},
    protocol={
        "amplitude_pct_mso": {"max": 80.0},
        "rate_hz": {"min": 1.0, "max": 20.0},
        "n_pulses": {"max": 45},
        "pct_rmt": {"max": 120.0},
        "train_s": {"max": 5.0},
        "interval_s": {"min": 6.0},
    },
    budgets={"on_time_s": 1200.0, "n_pulses": 1500},
    inputs={
        "motor_threshold_pct_mso": 50.0,
        "motor_threshold_measured_on": datetime.date.fromisoformat(TODAY),
    },
    contacts={"coil": {"coil": "figure-8"}},
    envelopes={
        "amplitude_pct_mso": Envelope(low=0.0, high=100.0, step=1.0),
        "rate_hz": Envelope(low=0.1, high=100.0, step=0.1),
        "n_pulses": Envelope(low=1, high=10_000, step=1),
    },
    outputs=("coil",),
    train=pulses,
)
