"""A valid tDCS protocol, its device and its train."""

from __future__ import annotations

from drivers.capabilities import Envelope
from drivers.stimulation import Direct, Hold, Modality, Output, Train
from tests.safety.examples.example import Example
from tests.safety.examples.tes import ABSOLUTE, LEAST_GAPS, MOST

PAIR = (Output(name="C3", share=1.0), Output(name="Fp2", share=-1.0))


def direct(
    amplitude_ma: float = 1.0,
    ramp_up_ms: int = 10_000,
    ramp_down_ms: int = 100,
    duration_ms: int = 400,
    outputs: tuple[Output, ...] = PAIR,
    modality: Modality = "tdcs",
) -> Train:
    carrier = Direct(amplitude_ma=amplitude_ma)
    wave = Hold(carrier=carrier, ramp_up_ms=ramp_up_ms, ramp_down_ms=ramp_down_ms, duration_ms=duration_ms)
    return Train(modality=modality, outputs=outputs, waveform=wave)


TDCS = Example(
    absolute={
        **ABSOLUTE,
        "amplitude_ma": (0.0, 4.0),
        "slew_ma_per_s": (0.0, 0.4),
        "charge_density_c_cm2": (0.0, 0.524),
    },
    most=MOST,
    least_gaps=LEAST_GAPS,
    protocol={
        "amplitude_ma": {"max": 2.0},
        "ramp_up_ms": {"min": 5000, "max": 30_000},
        "ramp_down_ms": {"min": 50, "max": 200},
        "duration_ms": {"max": 400},
        "slew_ma_per_s": {"max": 0.2},
        "impedance_kohm": {"min": 0.1, "max": 15.0},
        "density_ma_cm2": {"max": 0.06},
        "charge_density_c_cm2": {"max": 0.1},
    },
    budgets={"on_time_s": 1200.0, "charge_c": 2.4},
    inputs={},
    contacts={"C3": {"area_cm2": 25.0}, "Fp2": {"area_cm2": 25.0}},
    envelopes={
        "amplitude_ma": Envelope(low=0.0, high=4.0, step=0.01),
        "ramp_up_ms": Envelope(low=10, high=30_000, step=1),
        "ramp_down_ms": Envelope(low=10, high=30_000, step=1),
        "duration_ms": Envelope(low=50, high=500, step=1),
    },
    outputs=("C3", "Fp2", "F4"),
    train=direct,
)
