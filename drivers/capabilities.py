"""Quantity, Envelope, Capabilities: what the hardware *can*. What it *may* is said in safety/."""

from __future__ import annotations

from typing import Literal

from drivers.stimulation import Modality, Value

Grade = Literal["simulated", "bench", "field"]
# What a device may lack: the booleans of Capabilities by their names, and an onset that is known to some ms.
Lack = Literal[
    "ends_by_itself", "stops_on_link_loss", "reads_back", "confirms", "measures_impedance", "exact_onset"
]
Quantity = Literal[
    "amplitude_ma_pp",
    "frequency_hz",
    "phase_rad",
    "low_hz",
    "high_hz",
    "amplitude_ma",
    "width_us",
    "gap_us",
    "second_width_us",
    "pulses_per_burst",
    "rate_in_burst_hz",
    "ramp_up_ms",
    "ramp_down_ms",
    "duration_ms",
    "amplitude_pct_mso",
    "rate_hz",
    "n_pulses",
    "bursts_hz",
    "n_bursts",
    "amplitude_mpa_water",
    "frequency_khz",
    "pulse_us",
    "pulse_interval_us",
    "train_ms",
    "train_interval_ms",
    "sonication_ms",
]


class Envelope(Value, frozen=True):
    """The range in which the device takes one quantity, and the step in which it does, counted from `low`; `step` 0 is
    continuous."""

    low: float
    high: float
    step: float


class Capabilities(Value, frozen=True):
    """What one identified device can do, as read from it (or from its manual) when it was opened.

    Times are in ns and *measured* where the device confirms them. The booleans are asked by safety/: a device
    that lacks one needs something else (a relay with feedback) or is not armed. `renews`: a running hold that is fired
    again goes on as it is, its lease begun anew; without it a renewal is prepared like any other hold.
    """

    driver: str
    model: str
    serial: str
    firmware: str
    modalities: tuple[Modality, ...]
    outputs: tuple[str, ...]
    envelopes: dict[str, Envelope]
    onset_latency_ns: int
    stop_latency_ns: int
    link_timeout_ms: int
    ends_by_itself: bool
    stops_on_link_loss: bool
    confirms: bool
    reads_back: bool
    measures_impedance: bool
    renews: bool
    grade: Grade
