"""A valid tRNS protocol, its device and its train."""

from __future__ import annotations

from drivers.capabilities import Envelope
from drivers.stimulation import Hold, Modality, Noise, Output, Train
from tests.safety.examples.example import Example
from tests.safety.examples.tes import ABSOLUTE, LEAST_GAPS, MOST

PAIR = (Output(name="C3", share=1.0), Output(name="Fp2", share=-1.0))


def noise(
    amplitude_ma_pp: float = 1.0,
    low_hz: float = 100.0,
    high_hz: float = 640.0,
    ramp_up_ms: int = 1000,
    ramp_down_ms: int = 100,
    duration_ms: int = 400,
    outputs: tuple[Output, ...] = PAIR,
    modality: Modality = "trns",
) -> Train:
    carrier = Noise(amplitude_ma_pp=amplitude_ma_pp, low_hz=low_hz, high_hz=high_hz)
    wave = Hold(carrier=carrier, ramp_up_ms=ramp_up_ms, ramp_down_ms=ramp_down_ms, duration_ms=duration_ms)
    return Train(modality=modality, outputs=outputs, waveform=wave)


TRNS = Example(
    absolute={
        **ABSOLUTE,
        "amplitude_ma_pp": (0.0, 4.0),
        "low_hz": (0.1, 640.0),
        "high_hz": (0.1, 640.0),
        "slew_ma_per_s": (0.0, 2.0),
    },
    most=MOST,
    least_gaps=LEAST_GAPS,
    protocol={
        "amplitude_ma_pp": {"max": 2.0},
        "low_hz": {"min": 0.1, "max": 200.0},
        "high_hz": {"min": 150.0, "max": 640.0},
        "ramp_up_ms": {"min": 50, "max": 5000},
        "ramp_down_ms": {"min": 50, "max": 200},
        "duration_ms": {"max": 400},
        "slew_ma_per_s": {"max": 1.0},
        "impedance_kohm": {"min": 0.1, "max": 15.0},
        "density_ma_cm2": {"max": 0.06},
    },
    budgets={"on_time_s": 1200.0, "charge_c": 1.2},
    inputs={},
    contacts={"C3": {"area_cm2": 25.0}, "Fp2": {"area_cm2": 35.0}},
    envelopes={
        "amplitude_ma_pp": Envelope(low=0.0, high=4.0, step=0.01),
        "low_hz": Envelope(low=0.1, high=640.0, step=0.1),
        "high_hz": Envelope(low=0.1, high=640.0, step=0.1),
        "ramp_up_ms": Envelope(low=10, high=30_000, step=1),
        "ramp_down_ms": Envelope(low=10, high=30_000, step=1),
        "duration_ms": Envelope(low=50, high=500, step=1),
    },
    outputs=("C3", "Fp2", "F4"),
    train=noise,
)
