"""A valid protocol of transcranial ultrasound, its device and its sonication."""

from __future__ import annotations

import datetime

from drivers.capabilities import Envelope
from drivers.stimulation import Modality, Output, Sonication, Train
from tests.safety.examples.example import TODAY, Example

TRANSDUCER = (Output(name="transducer", share=1.0),)


def sonication(
    amplitude_mpa_water: float = 0.74,
    frequency_khz: float = 250.0,
    pulse_us: int = 20_000,
    pulse_interval_us: int = 200_000,
    train_ms: int = 1000,
    train_interval_ms: int = 2000,
    sonication_ms: int = 4000,
    outputs: tuple[Output, ...] = TRANSDUCER,
    modality: Modality = "tus",
) -> Train:
    """Two trains of five pulses: 0.37 MPa and MI 0.74 in the brain, 4.625 W/cm2, a tenth of it over a train."""
    wave = Sonication(
        amplitude_mpa_water=amplitude_mpa_water,
        frequency_khz=frequency_khz,
        pulse_us=pulse_us,
        pulse_interval_us=pulse_interval_us,
        train_ms=train_ms,
        train_interval_ms=train_interval_ms,
        sonication_ms=sonication_ms,
    )
    return Train(modality=modality, outputs=outputs, waveform=wave)


TUS = Example(
    absolute={
        "amplitude_mpa_water": (0.0, 5.0),
        "frequency_khz": (200.0, 1000.0),
        "pulse_us": (1, 1_000_000),
        "pulse_interval_us": (1, 1_000_000),
        "train_ms": (1, 10_000),
        "train_interval_ms": (1, 10_000),
        "sonication_ms": (1, 10_000),
        "mi": (0.0, 1.9),
        "isppa_w_cm2": (0.0, 190.0),
        "ispta_mw_cm2": (0.0, 20_000.0),
        "rise_c": (0.0, 5.0),
        "ti": (0.0, 6.0),
        "interval_s": (0.0, 3600.0),
    },
    most={
        (scope, name): high
        for scope in ("session", "24h")
        for name, high in (
            ("on_time_s", 4800.0),
            ("cem43_brain_min", 2.0),
            ("cem43_bone_min", 16.0),
            ("cem43_skin_min", 21.0),
        )
    },
    least_gaps={"gap_s": 1800.0, "washout_s": 86_400.0},
    protocol={
        "amplitude_mpa_water": {"max": 2.0},
        "frequency_khz": {"min": 250.0, "max": 500.0},
        "pulse_us": {"min": 1000, "max": 100_000},
        "pulse_interval_us": {"min": 10_000, "max": 500_000},
        "train_ms": {"min": 10, "max": 2000},
        "train_interval_ms": {"min": 10, "max": 5000},
        "sonication_ms": {"max": 8000},
        "mi": {"max": 1.2},
        "isppa_w_cm2": {"max": 30.0},
        "ispta_mw_cm2": {"max": 3000.0},
        "rise_c": {"max": 2.0},
        "ti": {"max": 2.0},
        "interval_s": {"min": 2.0},
    },
    budgets={"on_time_s": 600.0, "cem43_brain_min": 0.5, "cem43_bone_min": 4.0, "cem43_skin_min": 5.0},
    inputs={
        "thermal": "dose",
        "diagnostic": "none",
        "no_exclusion_on": datetime.date.fromisoformat(TODAY),
        "planned_on": datetime.date(2026, 5, 4),
        "transmission": 0.5,
        "rise_brain_c_cm2_per_w": 0.4,
        "rise_bone_c_cm2_per_w": 0.8,
        "rise_skin_c_cm2_per_w": 0.2,
        "cooling_s": 20.0,
    },
    contacts={"transducer": {"area_cm2": 30.0}},
    envelopes={
        "amplitude_mpa_water": Envelope(low=0.0, high=3.0, step=0.001),
        "frequency_khz": Envelope(low=250.0, high=500.0, step=0.5),
        "pulse_us": Envelope(low=1, high=500_000, step=1),
        "pulse_interval_us": Envelope(low=1, high=1_000_000, step=1),
        "train_ms": Envelope(low=1, high=10_000, step=1),
        "train_interval_ms": Envelope(low=1, high=10_000, step=1),
        "sonication_ms": Envelope(low=1, high=10_000, step=1),
    },
    outputs=("transducer",),
    train=sonication,
)
