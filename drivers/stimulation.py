"""Waveforms and their nesting: Pulse, Burst, Train, Ramp, Hold; outputs; Delivery.

The unit ends a field's name. Amplitudes keep the convention of their field: tACS is quoted peak to peak,
rTMS in % of maximum stimulator output; there is no bare "amplitude". Every waveform ends by itself.
"""

from __future__ import annotations

from typing import Literal, assert_never, get_args

import msgspec

Modality = Literal[
    "tacs",
    "rtms",
]
MODALITIES: tuple[Modality, ...] = get_args(Modality)


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the values that cross a process boundary: immutable, strict about types and keys."""


class MagneticPulse(Value, frozen=True, tag="magnetic_pulse"):
    """One pulse of a TMS coil; amplitude in % of maximum stimulator output (MSO)."""

    amplitude_pct_mso: float


class Sine(Value, frozen=True, tag="sine"):
    """A sinusoidal current; the amplitude is **peak to peak**, as tACS is quoted (Antal 2017)."""

    amplitude_ma_pp: float
    frequency_hz: float
    phase_rad: float = 0.0


class PulseTrain(Value, frozen=True, tag="pulse_train"):
    """Pulses at one rate. It ends after `n_pulses` and cannot be renewed."""

    pulse: MagneticPulse
    rate_hz: float
    n_pulses: int


class Hold(Value, frozen=True, tag="hold"):
    """A current held at one amplitude for `duration_ms`, the lease; renewed by a further Hold before that.

    `ramp_up_ms` and `ramp_down_ms` are the times in which the device moves between any two amplitudes.
    """

    carrier: Sine
    ramp_up_ms: int
    ramp_down_ms: int
    duration_ms: int


Waveform = PulseTrain | Hold


class Output(Value, frozen=True):
    """A stimulator's contact or coil and its signed share of the amplitude; tES shares sum to zero."""

    name: str
    share: float


class Train(Value, frozen=True):
    """What one request asks a device to put out: a modality, its outputs, one waveform."""

    modality: Modality
    outputs: tuple[Output, ...]
    waveform: Waveform


class Delivery(Value, frozen=True):
    """What a device says really went out for one token, in the device's order.

    A long delivery is reported in slices: each has its own span, `ended` marks the last. `amplitude` is the
    greatest of the slice in the train's own unit. `confirmed` is false where the host had to assume it.
    """

    token: int
    start_ns: int
    end_ns: int
    amplitude: float
    n_pulses: int
    ended: bool
    confirmed: bool


def is_whole(train: Train) -> bool:
    """Whether the waveform is of the kind that the modality puts out."""
    wave = train.waveform
    match train.modality:
        case "tacs":
            return isinstance(wave, Hold)
        case "rtms":
            return isinstance(wave, PulseTrain)
        case _:
            assert_never(train.modality)


def quantities(train: Train) -> dict[str, float]:
    """The numbers of a train under the names that envelopes and limits use."""
    wave = train.waveform
    match wave:
        case PulseTrain():
            return {
                "amplitude_pct_mso": wave.pulse.amplitude_pct_mso,
                "rate_hz": wave.rate_hz,
                "n_pulses": wave.n_pulses,
            }
        case Hold():
            return {
                "amplitude_ma_pp": wave.carrier.amplitude_ma_pp,
                "frequency_hz": wave.carrier.frequency_hz,
                "phase_rad": wave.carrier.phase_rad,
                "ramp_up_ms": wave.ramp_up_ms,
                "ramp_down_ms": wave.ramp_down_ms,
                "duration_ms": wave.duration_ms,
            }
        case _:
            assert_never(wave)


def amplitude(train: Train) -> float:
    """The amplitude of a train in its own unit (mA peak to peak, % MSO)."""
    wave = train.waveform
    match wave:
        case PulseTrain():
            return wave.pulse.amplitude_pct_mso
        case Hold():
            return wave.carrier.amplitude_ma_pp
        case _:
            assert_never(wave)


def duration_ns(train: Train) -> int:
    """How long a train lasts when it is left alone: pulses / rate, as Rossi 2009 counts it; or the lease."""
    wave = train.waveform
    match wave:
        case PulseTrain():
            return round(wave.n_pulses / wave.rate_hz * 1e9)
        case Hold():
            return wave.duration_ms * 1_000_000
        case _:
            assert_never(wave)
