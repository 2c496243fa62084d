"""A valid PNS protocol, its device and its train: cylinders beside a nerve."""

from __future__ import annotations

from drivers.capabilities import Envelope
from drivers.stimulation import Output
from tests.safety.examples.example import Example
from tests.safety.examples.implanted import ABSOLUTE, INPUTS, LEAST_GAPS, SHARED, STEPS, most, trains

ONE = (Output(name="N1", share=-1.0), Output(name="N2", share=1.0))
pns = trains(
    "pns",
    ONE,
    {
        "amplitude_ma": 1.0,
        "width_us": 150.0,
        "gap_us": 20.0,
        "second_width_us": 150.0,
        "rate_hz": 12.0,
        "rate_in_burst_hz": 12.0,
    },
)

PNS = Example(
    absolute={
        **ABSOLUTE,
        "amplitude_ma": (0.0, 10.0),
        "width_us": (10.0, 500.0),
        "second_width_us": (10.0, 4000.0),
        "rate_hz": (2.0, 29.9),
        "rate_in_burst_hz": (2.0, 29.9),
        "slew_ma_per_s": (0.0, 2.0),
        "contact_ma": (0.0, 10.0),
        "total_ma": (0.0, 10.0),
        "charge_uc": (0.0, 2.9),
    },
    most={**most(2.2, 43_199.0, 302_399.0), ("train", "on_time_s"): 1800.0},
    least_gaps={**LEAST_GAPS, "gap_s": 1800.0},
    protocol={
        **SHARED,
        "amplitude_ma": {"max": 4.0},
        "width_us": {"min": 50.0, "max": 300.0},
        "second_width_us": {"min": 50.0, "max": 600.0},
        "rate_hz": {"min": 2.0, "max": 25.0},
        "pulses_per_burst": {"max": 5},
        "rate_in_burst_hz": {"min": 2.0, "max": 25.0},
        "slew_ma_per_s": {"max": 1.0},
        "contact_ma": {"max": 4.0},
        "total_ma": {"max": 4.0},
        "charge_uc": {"max": 1.2},
    },
    budgets={"on_time_s": 1200.0, "charge_c": 0.1},
    inputs=INPUTS,
    contacts={"N1": {"area_cm2": 0.12}, "N2": {"area_cm2": 0.12}, "case": {"area_cm2": 20.0}},
    envelopes={
        **STEPS,
        "amplitude_ma": Envelope(low=0.0, high=20.0, step=0.1),
        "width_us": Envelope(low=10.0, high=500.0, step=1.0),
        "second_width_us": Envelope(low=10.0, high=4000.0, step=1.0),
        "rate_hz": Envelope(low=1.0, high=200.0, step=0.1),
        "rate_in_burst_hz": Envelope(low=1.0, high=200.0, step=0.1),
    },
    outputs=("N1", "N2", "N3", "case"),
    train=pns,
)
