"""The tables of a run folder, read back as far as they go: a torn tail or a bad row is told, never raised."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from controller import tables
from controller.finished.values import Ask, Slice

Record = TypeVar("Record")
_NUMBER = re.compile(r"(?<![A-Za-z0-9.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![A-Za-z0-9])")
_DROPS = re.compile(r"; (\d+) since the start$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingRow:
    """One row of readings.csv; `values` and `reasons` in the order of the biomarkers."""

    index: int
    t_ns: int
    ok: bool
    values: tuple[float, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    """The stages of one request in ns; 0 where one did not happen."""

    verdict: str
    sample_ns: int
    received_ns: int
    computed_ns: int
    asked_ns: int
    ilk_read_ns: int
    ilk_sent_ns: int
    answered_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    t_ns: int
    kind: str
    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTables:
    """All four, and one line for each thing that is wrong with them."""

    biomarkers: tuple[str, ...]
    readings: tuple[ReadingRow, ...]
    modality: str
    asks: tuple[Ask, ...]
    stamps: tuple[Stamps, ...]
    slices: tuple[Slice, ...]
    events: tuple[EventRow, ...]
    notes: tuple[str, ...]


def read_tables(run_dir: Path) -> RunTables:
    """Whatever can be read; what cannot is in `notes`."""
    notes: list[str] = []
    header, readings = _rows(run_dir / "readings.csv", tables.READINGS, _reading, notes, more=True)
    _, requests = _rows(run_dir / "requests.csv", tables.REQUESTS, _request, notes)
    _, slices = _rows(run_dir / "deliveries.csv", tables.DELIVERIES, _slice, notes)
    _, events = _rows(run_dir / "events.csv", tables.EVENTS, _event, notes)
    return RunTables(
        biomarkers=tuple(header[len(tables.READINGS) :: 2]),
        readings=tuple(readings),
        modality=requests[-1][0] if requests else "",
        asks=tuple(ask for _, ask, _ in requests),
        stamps=tuple(stamps for *_, stamps in requests),
        slices=tuple(slices),
        events=tuple(events),
        notes=tuple(notes),
    )


def kind_of(reason: str) -> str:
    """The first of several reasons, without its numbers: the same at 0.25 and at 0.31 is one; E4 stays a name."""
    return _NUMBER.sub("…", reason.partition(";")[0]).strip() or "no reason given"


def drops_of(events: Sequence[EventRow]) -> dict[str, int]:
    """Items that each tap dropped: its last word on it."""
    found: dict[str, int] = {}
    for event in events:
        total = _DROPS.search(event.text) if event.kind == "drops" else None
        if total is not None:
            found[event.code] = int(total[1])
    return found


def skipped_hops(readings: Sequence[ReadingRow]) -> int:
    """Hops that have no row: holes in the loop's own count, or in time, whichever shows more."""
    if len(readings) < 3:
        return 0
    steps_ns = [b.t_ns - a.t_ns for a, b in itertools.pairwise(readings) if b.t_ns > a.t_ns]
    hop_ns = sorted(steps_ns)[len(steps_ns) // 2] if steps_ns else 0
    by_time = sum(round(step / hop_ns) - 1 for step in steps_ns if step > 1.5 * hop_ns) if hop_ns else 0
    by_index = sum(max(0, b.index - a.index - 1) for a, b in itertools.pairwise(readings))
    return max(by_time, by_index)


def _rows(
    path: Path,
    header: Sequence[str],
    parse: Callable[[list[str]], Record],
    notes: list[str],
    *,
    more: bool = False,
) -> tuple[list[str], list[Record]]:
    """The header and the rows that parse; a last line without its end was cut off and is left out."""
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        notes.append(f"{path.name}: {error.strerror}; that part of the summary is empty")
        return [], []
    whole = text[: text.rfind("\n") + 1]
    if len(whole) < len(text):
        notes.append(f"{path.name}: the last line is torn and is left out")
    # A NUL is what a power cut leaves of an unwritten block; csv would refuse the whole file for it.
    lines = csv.reader(io.StringIO(whole.replace("\0", "\ufffd"), newline=""))
    found: list[Record] = []
    first: list[str] = []
    n_bad = 0
    try:
        first = next(lines, [])
        fits = first[: len(header)] == list(header) if more else first == list(header)
        if not fits or (more and (len(first) - len(header)) % 2):
            notes.append(f"{path.name}: not the columns expected ({', '.join(header[:3])}, ...); not read")
            return [], []
        for row in lines:
            try:
                if len(row) != len(first):
                    raise ValueError("columns")
                found.append(parse(row))
            except (ValueError, OverflowError):
                n_bad += 1
    except csv.Error as error:
        notes.append(f"{path.name}: {error}; read up to there")
    if n_bad:
        notes.append(f"{path.name}: {n_bad} row(s) cannot be read and are left out")
    return first, found


def _reading(row: list[str]) -> ReadingRow:
    cells = row[len(tables.READINGS) :]
    return ReadingRow(
        index=int(row[0]),
        t_ns=int(row[2]),
        ok=row[5] == "1",
        values=tuple(float(cell) for cell in cells[0::2]),
        reasons=tuple(cells[1::2]),
    )


def _request(row: list[str]) -> tuple[str, Ask, Stamps]:
    cell = dict(zip(tables.REQUESTS, row, strict=True))
    stamps = Stamps(
        verdict=cell["verdict"],
        sample_ns=int(cell["sample_ns"]),
        received_ns=int(cell["received_ns"]),
        computed_ns=int(cell["computed_ns"]),
        asked_ns=int(cell["asked_ns"]),
        ilk_read_ns=int(cell["ilk_read_ns"]),
        ilk_sent_ns=int(cell["ilk_sent_ns"]),
        answered_ns=int(cell["answered_ns"]),
    )
    codes = tuple(code for code in cell["codes"].split(";") if code)
    ask = Ask(
        id=int(cell["id"]),
        t_ns=stamps.asked_ns,
        amplitude=float(cell["amplitude"]),
        verdict=cell["verdict"],
        codes=codes,
        texts=(cell["text"],)
        * len(codes),  # the table joins them; what belongs to which code stands in the ledger
    )
    return cell["modality"], ask, stamps


def _slice(row: list[str]) -> Slice:
    return Slice(
        token=int(row[1]),
        start_ns=int(row[2]),
        end_ns=int(row[3]),
        amplitude=float(row[4]),
        n_pulses=int(row[5]),
        ended=row[6] == "1",
        confirmed=row[7] == "1",
    )


def _event(row: list[str]) -> EventRow:
    return EventRow(t_ns=int(row[0]), kind=row[1], code=row[2], text=row[3])
