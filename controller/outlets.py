"""Taps to LSL: an outlet of Readings and one of markers, so that the lab's own recorder sees what was done."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

import msgspec
import pylsl

from controller.eeg import Cycle
from controller.tables import waveform_kind
from controller.taps import Event, Item, Offered
from drivers.stimulation import amplitude
from safety.messages import DeliveryReport, Permit, PhaseChanged, Refusal, Trip

WANTS: frozenset[type] = frozenset({Cycle, DeliveryReport, PhaseChanged, Trip, Event})

LINGER_S = (
    0.2  # own choice: liblsl sends from a thread of its own, and an outlet that closes drops what waits
)

Field = str | int | float | bool | list[str]
Marker = tuple[int, dict[str, Field]]  # its time, ns of the host's clock; one JSON object


class Outlets:
    """A tap's consumer. `biomarkers` maps each name to its unit, in the order of the channels.

    The source ids hold across restarts, so that a recorder finds the streams again. liblsl never blocks on a
    slow inlet; pylsl.local_clock() is the host's monotonic clock in seconds.
    """

    def __init__(
        self, name: str, biomarkers: Mapping[str, str], *, readings: bool = True, markers: bool = True
    ) -> None:
        self._names = tuple(biomarkers)
        self._readings: pylsl.StreamOutlet | None = None
        self._markers: pylsl.StreamOutlet | None = None
        if readings:
            info = _info(f"{name}-readings", "Biomarkers", len(self._names) + 1, "double64")
            info.set_channel_labels([*self._names, "clean_fraction"])
            info.set_channel_units([*biomarkers.values(), "1"])
            self._readings = pylsl.StreamOutlet(info)
        if markers:
            self._markers = pylsl.StreamOutlet(_info(f"{name}-markers", "Markers", 1, "string"))

    def consume(self, items: list[Offered]) -> None:
        for at_ns, item in items:
            if self._readings is not None and isinstance(item, Cycle) and item.readings:
                first = next(iter(item.readings.values()))
                self._readings.push_sample(self._sample(item), first.time_ns / 1e9)
            if self._markers is not None:
                for t_ns, fields in markers_of(at_ns, item):
                    self._markers.push_sample([msgspec.json.encode(fields).decode()], t_ns / 1e9)

    def close(self) -> None:
        """liblsl closes an outlet when its last reference goes: after the last markers, which tell the end, are out."""
        time.sleep(LINGER_S)
        self._readings = None
        self._markers = None

    def _sample(self, cycle: Cycle) -> list[float]:
        first = next(iter(cycle.readings.values()))
        found = (cycle.readings.get(name) for name in self._names)
        values = [float("nan") if reading is None else reading.value for reading in found]
        return [*values, first.quality.clean_fraction]


def markers_of(at_ns: int, item: Item) -> list[Marker]:
    """What one item says in markers, each with its own time; `at_ns` where it has none."""
    match item:
        case Cycle():
            return _of_cycle(at_ns, item)
        case DeliveryReport():
            given = item.delivery
            fields: dict[str, Field] = {
                "id": item.id,
                "token": given.token,
                "start_ns": given.start_ns,
                "end_ns": given.end_ns,
                "amplitude": given.amplitude,
                "n_pulses": given.n_pulses,
                "ended": given.ended,
                "confirmed": given.confirmed,
            }
            return [_marker("delivery", given.start_ns or at_ns, fields)]
        case PhaseChanged():
            return [_marker("phase", at_ns, {"phase": item.phase, "code": item.code, "text": item.text})]
        case Trip():
            return [_marker("trip", at_ns, {"code": item.code, "text": item.text, "remedy": item.remedy})]
        case Event():
            return [_marker("event", item.t_ns, {"event": item.kind, "code": item.code, "text": item.text})]
        case _:
            return []


def _of_cycle(at_ns: int, cycle: Cycle) -> list[Marker]:
    request, verdict = cycle.request, cycle.verdict
    if request is None:
        return []
    asked: dict[str, Field] = {
        "id": request.id,
        "index": cycle.index,
        "modality": request.train.modality,
        "waveform": waveform_kind(cycle),
        "amplitude": amplitude(request.train),
        "onset_at_ns": request.onset_at_ns,
        "sample_ns": cycle.sample_ns,
    }
    answered: dict[str, Field] = {"id": request.id}
    match verdict:
        case Permit():
            answered |= {
                "verdict": "permit",
                "token": verdict.token,
                "lease_until_ns": verdict.lease_until_ns,
            }
        case Refusal():
            answered |= {"verdict": "refusal", "codes": [reason.code for reason in verdict.reasons]}
        case Trip():
            answered |= {"verdict": "trip", "codes": [verdict.code]}
        case None:
            answered |= {"verdict": "none"}
    return [
        _marker("request", cycle.asked_ns or at_ns, asked),
        _marker("verdict", cycle.answered_ns or at_ns, answered),
    ]


def _marker(kind: str, t_ns: int, fields: dict[str, Field]) -> Marker:
    return t_ns, {"kind": kind, "t_ns": t_ns, **fields}


def _info(name: str, kind: str, n_channels: int, channel_format: str) -> pylsl.StreamInfo:
    source_id = f"{name}@{socket.gethostname()}"
    return pylsl.StreamInfo(name, kind, n_channels, pylsl.IRREGULAR_RATE, channel_format, source_id)
