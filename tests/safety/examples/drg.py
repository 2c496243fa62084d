"""A valid DRG protocol, its device and its train: a slim lead, whose contacts are each other's way back."""

from __future__ import annotations

from drivers.capabilities import Envelope
from drivers.stimulation import Output
from tests.safety.examples.example import Example
from tests.safety.examples.implanted import ABSOLUTE, INPUTS, LEAST_GAPS, SHARED, STEPS, most, trains

ONE = (Output(name="D1", share=-1.0), Output(name="D2", share=1.0))
drg = trains(
    "drg",
    ONE,
    {
        "amplitude_ma": 0.5,
        "width_us": 300.0,
        "gap_us": 20.0,
        "second_width_us": 300.0,
        "rate_hz": 20.0,
        "rate_in_burst_hz": 20.0,
    },
)

DRG = Example(
    absolute={
        **ABSOLUTE,
        "amplitude_ma": (0.0, 6.0),
        "width_us": (40.0, 720.0),
        "second_width_us": (40.0, 5760.0),
        "rate_hz": (4.0, 100.0),
        "rate_in_burst_hz": (4.0, 100.0),
        "slew_ma_per_s": (0.0, 1.0),
        "contact_ma": (0.0, 6.0),
        "total_ma": (0.0, 6.0),
        "charge_uc": (0.0, 1.6),
    },
    most=most(3.0, 86_400.0, 604_800.0),
    least_gaps=LEAST_GAPS,
    protocol={
        **SHARED,
        "amplitude_ma": {"max": 1.5},
        "width_us": {"min": 100.0, "max": 400.0},
        "second_width_us": {"min": 100.0, "max": 800.0},
        "rate_hz": {"min": 4.0, "max": 50.0},
        "pulses_per_burst": {"max": 5},
        "rate_in_burst_hz": {"min": 4.0, "max": 50.0},
        "slew_ma_per_s": {"max": 0.5},
        "contact_ma": {"max": 1.5},
        "total_ma": {"max": 1.5},
        "charge_uc": {"max": 0.5},
    },
    budgets={"on_time_s": 1200.0, "charge_c": 0.1},
    inputs=INPUTS,
    contacts={"D1": {"area_cm2": 0.04}, "D2": {"area_cm2": 0.04}, "case": {"area_cm2": 20.0}},
    envelopes={
        **STEPS,
        "amplitude_ma": Envelope(low=0.0, high=6.0, step=0.025),
        "width_us": Envelope(low=40.0, high=720.0, step=1.0),
        "second_width_us": Envelope(low=40.0, high=5760.0, step=1.0),
        "rate_hz": Envelope(low=4.0, high=100.0, step=0.1),
        "rate_in_burst_hz": Envelope(low=4.0, high=100.0, step=0.1),
    },
    outputs=("D1", "D2", "D3", "case"),
    train=drg,
)
