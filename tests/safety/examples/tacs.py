"""A valid tACS protocol, its device and its train."""

from __future__ import annotations

import math

from drivers.capabilities import Envelope
from drivers.stimulation import Hold, Modality, Output, Sine, Train
from tests.safety.examples.example import Example
from tests.safety.examples.tes import ABSOLUTE, LEAST_GAPS, MOST

PAIR = (Output(name="F3", share=1.0), Output(name="Oz", share=-1.0))


def hold(
    amplitude_ma_pp: float = 1.0,
    frequency_hz: float = 10.0,
    phase_rad: float = 0.0,
    ramp_up_ms: int = 1000,
    ramp_down_ms: int = 100,
    duration_ms: int = 400,
    outputs: tuple[Output, ...] = PAIR,
    modality: Modality = "tacs",
) -> Train:
    carrier = Sine(amplitude_ma_pp=amplitude_ma_pp, frequency_hz=frequency_hz, phase_rad=phase_rad)
    wave = Hold(carrier=carrier, ramp_up_ms=ramp_up_ms, ramp_down_ms=ramp_down_ms, duration_ms=duration_ms)
    return Train(modality=modality, outputs=outputs, waveform=wave)


TACS = Example(
    absolute={
        **ABSOLUTE,
        "amplitude_ma_pp": (0.0, 4.0),
        "frequency_hz": (0.1, 100.0),
        "phase_rad": (-2 * math.pi, 2 * math.pi),
        "slew_ma_per_s": (0.0, 2.0),
    },
    most=MOST,
    least_gaps=LEAST_GAPS,
    protocol={
        "amplitude_ma_pp": {"max": 2.0},
        "frequency_hz": {"min": 4.0, "max": 40.0},
        "phase_rad": {"min": -6.28, "max": 6.28},
        "ramp_up_ms": {"min": 50, "max": 5000},
        "ramp_down_ms": {"min": 50, "max": 200},
        "duration_ms": {"max": 400},
        "slew_ma_per_s": {"max": 1.0},
        "impedance_kohm": {"min": 0.1, "max": 15.0},
        "density_ma_cm2": {"max": 0.06},
    },
    budgets={"on_time_s": 1200.0, "charge_c": 1.2},
    inputs={},
    contacts={"F3": {"area_cm2": 25.0}, "Oz": {"area_cm2": 35.0}},
    envelopes={
        "amplitude_ma_pp": Envelope(low=0.0, high=4.0, step=0.01),
        "frequency_hz": Envelope(low=0.1, high=100.0, step=0.01),
        "phase_rad": Envelope(low=-6.283, high=6.283, step=0.0),
        "ramp_up_ms": Envelope(low=10, high=30_000, step=1),
        "ramp_down_ms": Envelope(low=10, high=30_000, step=1),
        "duration_ms": Envelope(low=50, high=500, step=1),
    },
    outputs=("F3", "Oz", "F4"),
    train=hold,
)
