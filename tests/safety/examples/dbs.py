"""A valid DBS protocol, its device and its train: contacts as those of a 3389 lead, with the case as the way back."""

from __future__ import annotations

from drivers.capabilities import Envelope
from drivers.stimulation import Output
from tests.safety.examples.example import Example
from tests.safety.examples.implanted import ABSOLUTE, INPUTS, LEAST_GAPS, SHARED, STEPS, most, trains

ONE = (Output(name="C1", share=-1.0), Output(name="case", share=1.0))
dbs = trains(
    "dbs",
    ONE,
    {
        "amplitude_ma": 1.0,
        "width_us": 60.0,
        "gap_us": 10.0,
        "second_width_us": 60.0,
        "rate_hz": 130.0,
        "rate_in_burst_hz": 130.0,
    },
)

DBS = Example(
    absolute={
        **ABSOLUTE,
        "amplitude_ma": (0.0, 20.0),
        "width_us": (10.0, 450.0),
        "second_width_us": (10.0, 3600.0),
        "rate_hz": (2.0, 255.0),
        "rate_in_burst_hz": (2.0, 255.0),
        "slew_ma_per_s": (0.0, 2.0),
        "contact_ma": (0.0, 12.7),
        "total_ma": (0.0, 20.0),
        "charge_uc": (0.0, 2.0),
    },
    most=most(2.5, 86_400.0, 604_800.0),
    least_gaps=LEAST_GAPS,
    protocol={
        **SHARED,
        "amplitude_ma": {"max": 3.0},
        "width_us": {"min": 30.0, "max": 120.0},
        "second_width_us": {"min": 30.0, "max": 480.0},
        "rate_hz": {"min": 2.0, "max": 185.0},
        "pulses_per_burst": {"max": 5},
        "rate_in_burst_hz": {"min": 2.0, "max": 185.0},
        "slew_ma_per_s": {"max": 1.0},
        "contact_ma": {"max": 3.0},
        "total_ma": {"max": 4.0},
        "charge_uc": {"max": 0.5},
    },
    budgets={"on_time_s": 1200.0, "charge_c": 0.1},
    inputs=INPUTS,
    contacts={"C1": {"area_cm2": 0.06}, "C2": {"area_cm2": 0.06}, "case": {"area_cm2": 20.0}},
    envelopes={
        **STEPS,
        "amplitude_ma": Envelope(low=0.0, high=12.75, step=0.05),
        "width_us": Envelope(low=10.0, high=450.0, step=1.0),
        "second_width_us": Envelope(low=10.0, high=3600.0, step=1.0),
        "rate_hz": Envelope(low=2.0, high=255.0, step=0.1),
        "rate_in_burst_hz": Envelope(low=2.0, high=255.0, step=0.1),
    },
    outputs=("C1", "C2", "C3", "case"),
    train=dbs,
)
