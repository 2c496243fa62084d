"""What of the stimulation reaches the head: events, their course in time, artefacts in the EEG."""

from __future__ import annotations

import json
import math
from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sim.patient_parameters import PatientParameters

Floats = NDArray[np.float64]

_KEPT_NS = 3_000_000_000  # how long an event is remembered after its time: longer than any block of samples
_EVENTS_MAX = 4096  # 1 kHz of events over that time; more is not a stimulator
_AMPLITUDE_MA_PP_MAX = 1_000.0  # sanity only: the world does not enforce limits
_PULSE_PCT_MSO_MAX = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldEvent:
    """At `t_ns` (host's monotonic clock) the current becomes this, or one pulse goes out.

    tacs: `amplitude_ma_pp`, `frequency_hz`, and `phase_rad`, the phase of the current at `t_ns`;
    rtms: `pulse_pct_mso`.
    """

    t_ns: int
    modality: Literal["tacs", "rtms"]
    amplitude_ma_pp: float = 0.0
    frequency_hz: float = 0.0
    phase_rad: float = 0.0
    pulse_pct_mso: float = 0.0

    def __post_init__(self) -> None:
        if self.modality not in ("tacs", "rtms"):
            raise ValueError(f"field event: modality {self.modality!r}, expected tacs or rtms")
        if not (
            0.0 <= self.amplitude_ma_pp <= _AMPLITUDE_MA_PP_MAX
            and 0.0 <= self.frequency_hz <= 10_000.0
            and 0.0 <= self.pulse_pct_mso <= _PULSE_PCT_MSO_MAX
            and math.isfinite(self.phase_rad)
        ):
            raise ValueError(f"field event: a number out of range in {self!r}")


def parse(datagram: bytes) -> FieldEvent:
    """A datagram of a device as an event; ValueError says what is wrong with it."""
    try:
        found = json.loads(datagram)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"field datagram: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("field datagram: expected an object")
    t_ns = found.get("t_ns")
    if isinstance(t_ns, bool) or not isinstance(t_ns, int) or not 0 <= t_ns < 2**63:
        raise ValueError(f"field datagram: t_ns {t_ns!r}, expected whole nanoseconds")
    if found.get("modality") == "rtms":
        return FieldEvent(t_ns=t_ns, modality="rtms", pulse_pct_mso=_number(found, "pulse_pct_mso"))
    if found.get("modality") == "tacs":
        return FieldEvent(
            t_ns=t_ns,
            modality="tacs",
            amplitude_ma_pp=_number(found, "amplitude_ma_pp"),
            frequency_hz=_number(found, "frequency_hz"),
            phase_rad=_number(found, "phase_rad"),
        )
    raise ValueError(f"field datagram: modality {found.get('modality')!r}, expected tacs or rtms")


def _number(found: dict[str, object], key: str) -> float:
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"field datagram: {key} {value!r}, expected a number")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"field datagram: {key} is too large") from error


@dataclass(frozen=True, slots=True)
class Current:
    """The current at given times: amplitude (mA p-p), frequency (Hz) and angle (rad) of each."""

    amplitude_ma_pp: Floats
    frequency_hz: Floats
    angle_rad: Floats


class Field:
    """The recent events, in the order of their times however they arrive.

    A current stands until the next event, at most `hold_ns`: a device repeats its event every 20 ms, so a
    device that has died is one that gives nothing.
    """

    def __init__(self, hold_ns: int) -> None:
        self._hold_ns = hold_ns
        self._currents: list[tuple[int, int, FieldEvent]] = []
        self._pulses: list[tuple[int, int, FieldEvent]] = []
        self._fresh_pulses: list[tuple[int, int, FieldEvent]] = []
        self._serial = 0
        self.dropped = 0

    def add(self, events: Iterable[FieldEvent]) -> None:
        for event in events:
            self._serial += 1
            entry = (event.t_ns, self._serial, event)  # the serial keeps the order of events of one time
            targets = (self._currents,) if event.modality == "tacs" else (self._pulses, self._fresh_pulses)
            if len(targets[0]) >= _EVENTS_MAX:
                self.dropped += 1
                continue
            for target in targets:
                insort(target, entry)

    def forget(self, before_ns: int) -> None:
        """Drop what no later sample can depend on; the last current before `before_ns` still stands."""
        limit = before_ns - _KEPT_NS
        while len(self._currents) > 1 and self._currents[1][0] < limit:
            del self._currents[0]
        while self._pulses and self._pulses[0][0] < limit:
            del self._pulses[0]

    def take_pulses(self, before_ns: int) -> list[FieldEvent]:
        """The pulses before `before_ns` not taken yet: each is taken once, also one that came late."""
        count = 0
        while count < len(self._fresh_pulses) and self._fresh_pulses[count][0] < before_ns:
            count += 1
        taken = [entry[2] for entry in self._fresh_pulses[:count]]
        del self._fresh_pulses[:count]
        return taken

    def current(self, times_ns: NDArray[np.int64]) -> Current | None:
        """The current at `times_ns` (ascending), or None where there is none at all."""
        first_ns, last_ns = int(times_ns[0]), int(times_ns[-1])
        after = bisect_right(self._currents, last_ns, key=_time_of)
        before = max(bisect_right(self._currents, first_ns, key=_time_of) - 1, 0)
        standing = [event for _, _, event in self._currents[before:after]]
        if not any(event.amplitude_ma_pp and first_ns - event.t_ns <= self._hold_ns for event in standing):
            return None
        since_first_ns, since_last_ns = first_ns - standing[0].t_ns, last_ns - standing[0].t_ns
        if len(standing) == 1 and since_first_ns >= 0 and since_last_ns <= self._hold_ns:
            only = standing[0]  # the common case, on the path of every sample
            turned = 2.0 * math.pi * only.frequency_hz * ((times_ns - only.t_ns) * 1e-9)
            angle = np.asarray(only.phase_rad + turned, dtype=np.float64)
            return Current(
                np.full(angle.shape, only.amplitude_ma_pp), np.full(angle.shape, only.frequency_hz), angle
            )
        starts = np.array([event.t_ns for event in standing], dtype=np.int64)
        which = np.searchsorted(starts, times_ns, side="right") - 1
        known = np.maximum(which, 0)
        since_ns = times_ns - starts[known]
        on = (which >= 0) & (since_ns <= self._hold_ns)
        amplitude = np.array([event.amplitude_ma_pp for event in standing])[known]
        frequency = np.array([event.frequency_hz for event in standing])[known]
        phase = np.array([event.phase_rad for event in standing])[known]
        angle = np.asarray(phase + 2.0 * math.pi * frequency * (since_ns * 1e-9), dtype=np.float64)
        return Current(np.where(on, amplitude, 0.0), frequency, angle)

    def pulses_between(self, first_ns: int, last_ns: int) -> list[FieldEvent]:
        return [entry[2] for entry in self._pulses if first_ns <= entry[0] <= last_ns]


def _time_of(entry: tuple[int, int, FieldEvent]) -> int:
    return entry[0]


class Artefacts:
    """What the amplifier shows of it: a leak of the current; the rail, then a decay, after a pulse."""

    def __init__(self, p: PatientParameters, leak: Floats, coil: Floats) -> None:
        self._p, self._leak, self._coil = p, leak, coil
        self._rail_uv = np.where(coil >= 0.0, p.tms_rail_uv, -p.tms_rail_uv)
        self._saturated_ns = round(p.tms_saturation_ms * 1e6)
        self._gone_ns = self._saturated_ns + round(10.0 * p.tms_decay_ms * 1e6)

    def add(self, samples_uv: Floats, times_ns: NDArray[np.int64], field: Field) -> None:
        """Lay them over the samples, in place."""
        current = field.current(times_ns)
        if current is not None:
            wave = self._p.tacs_leak_uv_per_ma_pp * current.amplitude_ma_pp * np.cos(current.angle_rad)
            samples_uv += self._leak[:, None] * wave
        first, last = int(times_ns[0]), int(times_ns[-1])
        pulses = field.pulses_between(first - self._gone_ns, last)
        for pulse in pulses:
            since_ns = times_ns - pulse.t_ns
            decaying = (since_ns >= self._saturated_ns) & (since_ns < self._gone_ns)
            after_ms = np.maximum(since_ns - self._saturated_ns, 0) * 1e-6
            tail = np.where(decaying, np.exp(-after_ms / self._p.tms_decay_ms), 0.0)
            samples_uv += self._coil[:, None] * (self._p.tms_decay_uv * pulse.pulse_pct_mso / 100.0 * tail)
        for pulse in pulses:  # the rail last: nothing adds to a saturated channel
            since_ns = times_ns - pulse.t_ns
            saturated = (since_ns >= 0) & (since_ns < self._saturated_ns)
            samples_uv[:, saturated] = self._rail_uv[:, None]


def intensity(p: PatientParameters, current: Current) -> Floats:
    """tACS as mA p-p equivalents: falls away from the best frequency down to a floor."""
    off = (current.frequency_hz - p.tacs_best_hz) / p.tacs_width_hz
    tuning = p.tacs_floor + (1.0 - p.tacs_floor) * np.exp(-0.5 * off**2)
    return np.asarray(p.tacs_gain * tuning * current.amplitude_ma_pp, dtype=np.float64)


def pulse_dose(p: PatientParameters, pulses: Sequence[FieldEvent]) -> list[float]:
    """mA p-p equivalent · s of each pulse."""
    return [p.rtms_gain_ma_s * pulse.pulse_pct_mso / 100.0 for pulse in pulses]
