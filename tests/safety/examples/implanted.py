"""What the valid protocols of implanted electrodes share: the train that bends, inputs, rows, envelopes."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping

from drivers.capabilities import Envelope
from drivers.stimulation import Hold, Modality, Output, Pulses, Train

ABSOLUTE: dict[str, tuple[float, float]] = {
    "gap_us": (0.0, 200.0),
    "pulses_per_burst": (1, 10),
    "ramp_up_ms": (1000, 10_000),
    "ramp_down_ms": (10, 500),
    "duration_ms": (10, 500),
    "impedance_kohm": (0.1, 10.0),
    "density_uc_cm2": (0.0, 30.0),
    "shannon_k": (-10.0, 1.84),
    "imbalance_pct": (0.0, 1.0),
    "dc_na": (0.0, 99.9),
}
LEAST_GAPS = {"gap_s": 300.0, "washout_s": 86_400.0}


def most(charge_c: float, day_s: float, week_s: float) -> dict[tuple[str, str], float]:
    """The most that a budget may be."""
    return {
        ("session", "on_time_s"): 25_200.0,
        ("session", "charge_c"): charge_c,
        ("24h", "on_time_s"): day_s,
        ("7d", "on_time_s"): week_s,
        ("24h", "n_sessions"): 8.0,
    }


INPUTS = {
    "leakage_na": 10.0,
    "leakage_measured_on": datetime.date(2026, 3, 1),
    "recharge_us": 20.0,
}
SHARED = {
    "impedance_kohm": {"min": 0.5, "max": 8.0},
    "density_uc_cm2": {"max": 25.0},
    "shannon_k": {"max": 1.5},
    "imbalance_pct": {"max": 0.5},
    "dc_na": {"max": 50.0},
    "ramp_up_ms": {"min": 1000, "max": 5000},
    "ramp_down_ms": {"min": 50, "max": 200},
    "duration_ms": {"max": 400},
    "gap_us": {"max": 100.0},
}
STEPS = {
    "gap_us": Envelope(low=0.0, high=1000.0, step=1.0),
    "pulses_per_burst": Envelope(low=1, high=10, step=1),
    "ramp_up_ms": Envelope(low=10, high=30_000, step=1),
    "ramp_down_ms": Envelope(low=10, high=30_000, step=1),
    "duration_ms": Envelope(low=50, high=500, step=1),
}


def held(
    modality: Modality, outputs: tuple[Output, ...], valid: Mapping[str, float], **bent: object
) -> Train:
    """Pulses of a modality's valid example with any of their quantities bent."""
    numbers = {
        "ramp_up_ms": 1000,
        "ramp_down_ms": 100,
        "duration_ms": 400,
        "pulses_per_burst": 1,
        **valid,
        **bent,
    }
    names = set(Pulses.__struct_fields__)
    carrier = Pulses(**{name: value for name, value in numbers.items() if name in names})
    return Train(
        modality=modality,
        outputs=outputs,
        waveform=Hold(
            carrier=carrier, **{name: value for name, value in numbers.items() if name not in names}
        ),
    )


def trains(
    modality: Modality, outputs: tuple[Output, ...], valid: Mapping[str, float]
) -> Callable[..., Train]:
    """The function that an Example needs."""

    def train(outputs: tuple[Output, ...] = outputs, modality: Modality = modality, **bent: object) -> Train:
        return held(modality, outputs, valid, **bent)

    return train
