"""The rows of readings.csv, requests.csv, deliveries.csv and events.csv; pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from controller.eeg import Cycle
from controller.taps import Event
from drivers.stimulation import amplitude
from safety.messages import DeliveryReport, Permit, PhaseChanged, Refusal, Trip

Cell = str | int | float | bool

READINGS = ("index", "time_s", "t_mono_ns", "clean_fraction", "clean_s", "ok", "quality_reasons")
REQUESTS = (
    *("id", "index", "modality", "kind", "amplitude", "verdict", "codes", "text", "token"),
    *("sample_ns", "received_ns", "computed_ns", "asked_ns"),
    *("ilk_read_ns", "ilk_sent_ns", "answered_ns"),
)
DELIVERIES = ("id", "token", "start_ns", "end_ns", "amplitude", "n_pulses", "ended", "confirmed")
EVENTS = ("t_mono_ns", "kind", "code", "text")


def lines(rows: Iterable[Sequence[Cell]]) -> bytes:
    """Rows as CSV. A float is written so that it reads back equal; a truth value is 1 or 0."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8", "replace")


def seconds(at_ns: int) -> str:
    """Integer ns as decimal seconds, exactly: a float has no ns left after 104 days of uptime."""
    sign, at_ns = ("-", -at_ns) if at_ns < 0 else ("", at_ns)
    return f"{sign}{at_ns // 1_000_000_000}.{at_ns % 1_000_000_000:09d}"


def readings_header(biomarkers: Sequence[str]) -> tuple[str, ...]:
    columns = [column for name in biomarkers for column in (name, f"{name}_reason")]
    return (*READINGS, *columns)


def readings_row(cycle: Cycle, biomarkers: Sequence[str]) -> tuple[Cell, ...] | None:
    """One row; None for a Cycle without a Reading. The Epoch's Quality is common to its Readings."""
    first = next(iter(cycle.readings.values()), None)
    if first is None:
        return None
    quality = first.quality
    cells: list[Cell] = [
        *(cycle.index, seconds(first.time_ns), cycle.sample_ns),
        *(quality.clean_fraction, quality.clean_s, quality.ok, ";".join(quality.reasons)),
    ]
    for name in biomarkers:
        reading = cycle.readings.get(name)
        cells += (reading.value, reading.reason) if reading else (float("nan"), "not measured")
    return tuple(cells)


def request_row(cycle: Cycle) -> tuple[Cell, ...] | None:
    """One row; None for a Cycle that asked for nothing. 0 stands where a stage did not happen."""
    request, verdict = cycle.request, cycle.verdict
    if request is None:
        return None
    kind, codes, text, token, read_ns, sent_ns = "none", "", "", 0, 0, 0
    match verdict:
        case Permit():
            kind, token, read_ns, sent_ns = "permit", verdict.token, verdict.read_ns, verdict.sent_ns
        case Refusal():
            kind = "refusal"
            codes = ";".join(reason.code for reason in verdict.reasons)
            text = "; ".join(reason.text for reason in verdict.reasons)
        case Trip():
            kind, codes, text = "trip", verdict.code, verdict.text
        case None:
            pass
    return (
        *(request.id, cycle.index, request.train.modality),
        *(waveform_kind(cycle), amplitude(request.train), kind, codes, text, token),
        *(cycle.sample_ns, cycle.received_ns, cycle.computed_ns, cycle.asked_ns),
        *(read_ns, sent_ns, cycle.answered_ns),
    )


def waveform_kind(cycle: Cycle) -> str:
    """The waveform's name on the wire: pulse_train, hold."""
    return "" if cycle.request is None else str(type(cycle.request.train.waveform).__struct_config__.tag)


def delivery_row(report: DeliveryReport) -> tuple[Cell, ...]:
    given = report.delivery
    return (
        *(report.id, given.token, given.start_ns, given.end_ns),
        *(given.amplitude, given.n_pulses, given.ended, given.confirmed),
    )


def event_row(at_ns: int, item: Event | PhaseChanged | Trip) -> tuple[Cell, ...]:
    """A phase's text begins with the new phase; `at_ns`: when a message without a time of its own came."""
    match item:
        case Event():
            return (item.t_ns, item.kind, item.code, item.text)
        case PhaseChanged():
            return (at_ns, "phase", item.code, f"{item.phase}: {item.text}" if item.text else item.phase)
        case Trip():
            return (at_ns, "trip", item.code, " ".join(part for part in (item.text, item.remedy) if part))


def _cell(cell: Cell) -> str | int:
    if isinstance(cell, bool):
        return int(cell)
    return repr(float(cell)) if isinstance(cell, float) else cell
