"""A valid SCS protocol, its device and its train: cylinders of an epidural lead at a low rate."""

from __future__ import annotations

from drivers.capabilities import Envelope
from drivers.stimulation import Output
from tests.safety.examples.example import Example
from tests.safety.examples.implanted import ABSOLUTE, INPUTS, LEAST_GAPS, SHARED, STEPS, most, trains

ONE = (Output(name="E1", share=-1.0), Output(name="case", share=1.0))
scs = trains(
    "scs",
    ONE,
    {
        "amplitude_ma": 1.5,
        "width_us": 200.0,
        "gap_us": 20.0,
        "second_width_us": 200.0,
        "rate_hz": 40.0,
        "rate_in_burst_hz": 40.0,
    },
)

SCS = Example(
    absolute={
        **ABSOLUTE,
        "amplitude_ma": (0.0, 8.5),
        "width_us": (10.0, 1000.0),
        "second_width_us": (10.0, 8000.0),
        "rate_hz": (30.0, 10000.0),
        "rate_in_burst_hz": (30.0, 10000.0),
        "slew_ma_per_s": (0.0, 2.0),
        "contact_ma": (0.0, 8.5),
        "total_ma": (0.0, 8.5),
        "charge_uc": (0.0, 2.9),
    },
    most=most(38.0, 86_400.0, 604_800.0),
    least_gaps=LEAST_GAPS,
    protocol={
        **SHARED,
        "amplitude_ma": {"max": 8.0},
        "width_us": {"min": 30.0, "max": 1000.0},
        "second_width_us": {"min": 30.0, "max": 1000.0},
        "rate_hz": {"min": 30.0, "max": 10000.0},
        "pulses_per_burst": {"max": 5},
        "rate_in_burst_hz": {"min": 30.0, "max": 10000.0},
        "slew_ma_per_s": {"max": 1.5},
        "contact_ma": {"max": 8.0},
        "total_ma": {"max": 8.0},
        "charge_uc": {"max": 2.0},
    },
    budgets={"on_time_s": 1200.0, "charge_c": 2.0},
    inputs=INPUTS,
    contacts={
        "E1": {"area_cm2": 0.12},
        "E2": {"area_cm2": 0.12},
        "E3": {"area_cm2": 0.12},
        "case": {"area_cm2": 20.0},
    },
    envelopes={
        **STEPS,
        "amplitude_ma": Envelope(low=0.0, high=25.5, step=0.1),
        "width_us": Envelope(low=10.0, high=1000.0, step=1.0),
        "second_width_us": Envelope(low=10.0, high=8000.0, step=1.0),
        "rate_hz": Envelope(low=2.0, high=10000.0, step=0.1),
        "rate_in_burst_hz": Envelope(low=2.0, high=10000.0, step=0.1),
    },
    outputs=("E1", "E2", "E3", "case"),
    train=scs,
)
