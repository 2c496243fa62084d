"""A valid TENS protocol, its device and its train."""

from __future__ import annotations

from drivers.capabilities import Envelope
from drivers.stimulation import Hold, Modality, Output, Pulses, Train
from tests.safety.examples.example import Example

PAIR = (Output(name="A1", share=1.0), Output(name="A2", share=-1.0))


def surface(
    amplitude_ma: float = 20.0,
    width_us: float = 200.0,
    gap_us: float = 0.0,
    second_width_us: float = 200.0,
    rate_hz: float = 100.0,
    pulses_per_burst: int = 1,
    rate_in_burst_hz: float = 100.0,
    ramp_up_ms: int = 5000,
    ramp_down_ms: int = 100,
    duration_ms: int = 400,
    outputs: tuple[Output, ...] = PAIR,
    modality: Modality = "tens",
) -> Train:
    carrier = Pulses(
        amplitude_ma=amplitude_ma,
        width_us=width_us,
        gap_us=gap_us,
        second_width_us=second_width_us,
        rate_hz=rate_hz,
        pulses_per_burst=pulses_per_burst,
        rate_in_burst_hz=rate_in_burst_hz,
    )
    wave = Hold(carrier=carrier, ramp_up_ms=ramp_up_ms, ramp_down_ms=ramp_down_ms, duration_ms=duration_ms)
    return Train(modality=modality, outputs=outputs, waveform=wave)


TENS = Example(
    absolute={
        "amplitude_ma": (0.0, 50.0),
        "width_us": (20.0, 1000.0),
        "gap_us": (0.0, 1000.0),
        "second_width_us": (20.0, 10_000.0),
        "rate_hz": (0.5, 400.0),
        "pulses_per_burst": (1, 10),
        "rate_in_burst_hz": (0.5, 400.0),
        "ramp_up_ms": (10, 30_000),
        "ramp_down_ms": (10, 500),
        "duration_ms": (10, 500),
        "slew_ma_per_s": (0.0, 20.0),
        "impedance_kohm": (0.0, 20.0),
        "density_rms_ma_cm2": (0.0, 4.0),
        "energy_mj": (0.0, 300.0),
    },
    most={
        ("session", "on_time_s"): 3600.0,
        ("24h", "on_time_s"): 14_400.0,
        ("24h", "n_sessions"): 4.0,
        ("in_a_row", "n_days"): 3.0,
    },
    least_gaps={"gap_s": 1800.0, "washout_s": 86_400.0},
    protocol={
        "amplitude_ma": {"max": 40.0},
        "width_us": {"min": 50.0, "max": 400.0},
        "gap_us": {"min": 0.0, "max": 100.0},
        "second_width_us": {"min": 50.0, "max": 2000.0},
        "rate_hz": {"min": 2.0, "max": 200.0},
        "pulses_per_burst": {"max": 7},
        "rate_in_burst_hz": {"min": 2.0, "max": 200.0},
        "ramp_up_ms": {"min": 500, "max": 30_000},
        "ramp_down_ms": {"min": 50, "max": 200},
        "duration_ms": {"max": 400},
        "slew_ma_per_s": {"max": 10.0},
        "impedance_kohm": {"min": 0.1, "max": 10.0},
        "density_rms_ma_cm2": {"max": 2.0},
        "energy_mj": {"max": 1.0},
    },
    budgets={"on_time_s": 1800.0},
    inputs={"open_circuit_v": 150.0},
    contacts={
        "A1": {"area_cm2": 16.0, "place": "limb"},
        "A2": {"area_cm2": 25.0, "place": "back"},
    },
    envelopes={
        "amplitude_ma": Envelope(low=0.0, high=60.0, step=0.5),
        "width_us": Envelope(low=10.0, high=1000.0, step=10.0),
        "gap_us": Envelope(low=0.0, high=1000.0, step=10.0),
        "second_width_us": Envelope(low=10.0, high=10_000.0, step=10.0),
        "rate_hz": Envelope(low=0.5, high=1000.0, step=0.5),
        "pulses_per_burst": Envelope(low=1, high=20, step=1),
        "rate_in_burst_hz": Envelope(low=0.5, high=1000.0, step=0.5),
        "ramp_up_ms": Envelope(low=10, high=30_000, step=1),
        "ramp_down_ms": Envelope(low=10, high=30_000, step=1),
        "duration_ms": Envelope(low=50, high=500, step=1),
    },
    outputs=("A1", "A2", "A3"),
    train=surface,
)
