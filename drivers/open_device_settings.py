"""Trains as the keys of SET, and back; exactly, or not at all. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.capabilities import Envelope, Quantity
from drivers.open_device_codec import Line, LineError, Span, integer, text
from drivers.stimulation import (
    BurstTrain,
    Hold,
    MagneticPulse,
    Modality,
    Output,
    PulseTrain,
    Sine,
    Train,
    is_whole,
    quantities,
)
from drivers.stimulator import DeviceRefused, ReadBackMismatch

# A value this near to a whole device unit *is* that unit: it is the noise of binary floats (0.1 + 0.2), a
# millionth of a millionth of what a limit could mean. All else off the device's step is refused. Own choice.
UNITS_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of SET: the quantity that it carries, and how many of its units make one of ours."""

    name: str
    quantity: Quantity
    per_unit: float
    whole: bool = False

    def units(self, value: float) -> float:
        """Our value in units of the protocol, not yet whole."""
        return math.degrees(value) * self.per_unit if self.quantity == "phase_rad" else value * self.per_unit

    def value(self, units: int) -> float:
        """Units of the protocol as our value."""
        if self.quantity == "phase_rad":
            return math.radians(units / self.per_unit)
        return units / self.per_unit


_BURSTS = (
    Key(name="p", quantity="amplitude_pct_mso", per_unit=10.0),
    Key(name="k", quantity="pulses_per_burst", per_unit=1.0, whole=True),
    Key(name="q", quantity="rate_in_burst_hz", per_unit=1000.0),
    Key(name="r", quantity="bursts_hz", per_unit=1000.0),
    Key(name="n", quantity="n_bursts", per_unit=1.0, whole=True),
)
KEYS: Mapping[Modality, tuple[Key, ...]] = {
    "tacs": (
        Key(name="a", quantity="amplitude_ma_pp", per_unit=1000.0),
        Key(name="f", quantity="frequency_hz", per_unit=1000.0),
        Key(name="ph", quantity="phase_rad", per_unit=1000.0),
        Key(name="up", quantity="ramp_up_ms", per_unit=1.0, whole=True),
        Key(name="dn", quantity="ramp_down_ms", per_unit=1.0, whole=True),
        Key(name="dur", quantity="duration_ms", per_unit=1.0, whole=True),
    ),
    "rtms": (
        Key(name="p", quantity="amplitude_pct_mso", per_unit=10.0),
        Key(name="r", quantity="rate_hz", per_unit=1000.0),
        Key(name="n", quantity="n_pulses", per_unit=1.0, whole=True),
    ),
    "tbs": _BURSTS,
    "ctbs": _BURSTS,
}
COIL: frozenset[Modality] = frozenset({"rtms", "tbs", "ctbs"})  # their amplitude is in tenths of a percent
_SHARE_PER_UNIT = 1000.0


def envelopes(modality: Modality, spans: Mapping[str, Span]) -> dict[str, Envelope]:
    """The ranges of CAPS under the names and in the units that Capabilities use."""
    return {
        key.quantity: Envelope(
            low=key.value(spans[key.name].low),
            high=key.value(spans[key.name].high),
            step=key.value(spans[key.name].step),
        )
        for key in KEYS[modality]
    }


def to_fields(
    train: Train, spans: Mapping[Modality, Mapping[str, Span]], outputs: tuple[str, ...]
) -> dict[str, str | int]:
    """The fields of SET; DeviceRefused, with nothing sent, where the device could not hold exactly this."""
    modality = train.modality
    if modality not in spans:
        raise DeviceRefused(f"modality {modality} is not one of the device's ({', '.join(spans) or 'none'})")
    if not is_whole(train):
        raise DeviceRefused(f"modality {modality} does not take a {type(train.waveform).__name__}")
    values = quantities(train)
    fields: dict[str, str | int] = {"mod": modality}
    for key in KEYS[modality]:
        fields[key.name] = _whole_units(key, values[key.quantity], spans[modality][key.name])
    fields["out"] = _outputs(train.outputs, outputs)
    return fields


def from_answer(line: Line, asked: Train, sent: Mapping[str, str | int]) -> tuple[int, Train]:
    """Token and Train as the device says that it stored them; ReadBackMismatch where that is no Train at all.

    A number that the device stored as it was sent reads back as the very float that was asked for, so that
    the interlock may compare without tolerance.
    """
    try:
        token = integer(line, "token")
        if text(line, "mod") != asked.modality:
            raise LineError(f"mod={text(line, 'mod')} where {asked.modality} was sent")
        values = quantities(asked)
        stored: dict[str, float] = {
            key.quantity: _stored(key, integer(line, key.name), sent[key.name], values[key.quantity])
            for key in KEYS[asked.modality]
        }
        out = text(line, "out")
        outputs = asked.outputs if out == sent["out"] else _read_outputs(out)
    except LineError as error:
        raise ReadBackMismatch(f"SET was answered with what cannot be a train: {error}") from None
    return token, Train(modality=asked.modality, outputs=outputs, waveform=_waveform(asked, stored))


def _whole_units(key: Key, value: float, span: Span) -> int:
    units = key.units(value)
    if not math.isfinite(units):
        raise DeviceRefused(f"{key.quantity} is {value}, expected a finite number")
    whole = round(units)
    if abs(units - whole) > UNITS_TOLERANCE or (whole - span.low) % span.step:
        step = key.value(span.step)
        raise DeviceRefused(f"{key.quantity} {value!r} is not on the device's step of {step:g}")
    if not span.low <= whole <= span.high:
        low, high = key.value(span.low), key.value(span.high)
        raise DeviceRefused(f"{key.quantity} {value!r} is outside what the device can, {low:g} to {high:g}")
    return whole


def _outputs(asked: tuple[Output, ...], known: tuple[str, ...]) -> str:
    names = [output.name for output in asked]
    if not names or len(set(names)) != len(names):
        raise DeviceRefused(f"outputs {names} must be at least one, each named once")
    parts = []
    for output in asked:
        if output.name not in known:
            raise DeviceRefused(f"output {output.name!r} is not one of the device's ({', '.join(known)})")
        units = output.share * _SHARE_PER_UNIT
        if not math.isfinite(units) or abs(units - round(units)) > UNITS_TOLERANCE:
            raise DeviceRefused(f"share {output.share!r} of output {output.name} is not in whole thousandths")
        parts.append(f"{output.name}:{round(units)}")
    return ",".join(parts)


def _read_outputs(out: str) -> tuple[Output, ...]:
    outputs = []
    for part in out.split(","):
        name, colon, share = part.partition(":")
        digits = share.removeprefix("-")
        if not name or not colon or not digits.isdecimal() or len(digits) > 9:
            raise LineError(f"out={out} is not a list of name:share")
        outputs.append(Output(name=name, share=int(share) / _SHARE_PER_UNIT))
    return tuple(outputs)


def _stored(key: Key, stored: int, sent: str | int, asked: float) -> float:
    if stored == sent:
        return asked
    return stored if key.whole else key.value(stored)


def _waveform(asked: Train, stored: Mapping[str, float]) -> Hold | PulseTrain | BurstTrain:
    """The waveform of the stored numbers; only a whole train of KEYS is ever sent, so that a hold is one of a sine."""
    if isinstance(asked.waveform, Hold):
        return Hold(
            carrier=Sine(
                amplitude_ma_pp=stored["amplitude_ma_pp"],
                frequency_hz=stored["frequency_hz"],
                phase_rad=stored["phase_rad"],
            ),
            ramp_up_ms=int(stored["ramp_up_ms"]),
            ramp_down_ms=int(stored["ramp_down_ms"]),
            duration_ms=int(stored["duration_ms"]),
        )
    pulse = MagneticPulse(amplitude_pct_mso=stored["amplitude_pct_mso"])
    if isinstance(asked.waveform, BurstTrain):
        return BurstTrain(
            pulse=pulse,
            pulses_per_burst=int(stored["pulses_per_burst"]),
            rate_in_burst_hz=stored["rate_in_burst_hz"],
            bursts_hz=stored["bursts_hz"],
            n_bursts=int(stored["n_bursts"]),
        )
    return PulseTrain(
        pulse=pulse,
        rate_hz=stored["rate_hz"],
        n_pulses=int(stored["n_pulses"]),
    )
