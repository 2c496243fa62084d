"""A run folder as it was read: tables, ledger, session, the device's own record; what is wrong stands in notes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from controller.finished.device import DeviceRecord, DeviceRecordError, read_device_record
from controller.finished.ledger import RunLedger, read_ledger
from controller.finished.tables import RunTables, read_tables
from controller.finished.values import Ask, LedgerLine, Slice
from controller.recorder import RecordError, recorded_spec
from controller.session import SessionErrors, load_session

DEVICE_RECORD: Final = "device.jsonl"  # where a demonstration leaves it


class TapTold(msgspec.Struct, frozen=True):
    """What a tap said of itself at the end."""

    name: str
    dropped: int = 0
    failed: str = ""


class Told(msgspec.Struct, frozen=True):
    """controller.json: what only the controller's process knew."""

    taps: tuple[TapTold, ...] = ()
    hops_skipped: int = 0
    blocks_refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All that was read of a run folder. `start_ns` is the zero of its time axis."""

    run_dir: Path
    tables: RunTables
    ledger: RunLedger
    device: DeviceRecord | None
    session: Mapping[str, object]
    told: Told
    units: Mapping[str, str]
    source: str
    asks: tuple[Ask, ...]
    slices: tuple[Slice, ...]
    start_ns: int
    end_ns: int
    notes: tuple[str, ...]


def read_run(run_dir: Path, device_record: Path | None = None, *, judged: LedgerLine | None = None) -> Run:
    """Read whatever there is; what is missing, torn or at odds stands in `notes`.

    `judged`: what an earlier reading found of the ledger, for a reading that only draws: without units.
    """
    tables = read_tables(run_dir)
    ledger = read_ledger(run_dir / "ledger.jsonl", judged)
    notes = list(tables.notes)
    session = read_table(run_dir / "session.toml", notes)
    device = None
    beside = run_dir / DEVICE_RECORD
    device_record = beside if device_record is None and beside.is_file() else device_record
    if device_record is not None:
        try:
            device = read_device_record(device_record)
            if device.n_unread:
                notes.append(f"{device_record.name}: {device.n_unread} line(s) cannot be read")
        except DeviceRecordError as error:
            notes.append(str(error))
    told = _told(run_dir / "controller.json", notes)
    notes += [f"tap {tap.name} failed: {tap.failed}" for tap in told.taps if tap.failed]
    if told.blocks_refused:
        notes.append(f"{told.blocks_refused} block(s) of EEG were refused by the window")
    from_ledger = ledger.genesis is not None
    if from_ledger and (len(tables.asks), len(tables.slices)) != (len(ledger.asks), len(ledger.slices)):
        notes.append(
            f"tables and ledger differ: {len(tables.asks)} and {len(ledger.asks)} requests, "
            f"{len(tables.slices)} and {len(ledger.slices)} slices; the ledger's are counted"
        )
    start_ns, end_ns = _span(tables, ledger)
    return Run(
        run_dir=run_dir,
        tables=tables,
        ledger=ledger,
        device=device,
        session=session,
        told=told,
        units=_units(run_dir) if judged is None else {},
        source="ledger" if from_ledger else "tables",
        asks=ledger.asks if from_ledger else tables.asks,
        slices=ledger.slices if from_ledger else tables.slices,
        start_ns=start_ns,
        end_ns=end_ns,
        notes=tuple(notes),
    )


def read_table(path: Path, notes: list[str]) -> Mapping[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        notes.append(f"{path.name}: {error.strerror}; title and thresholds are not known")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        notes.append(f"{path.name}: {error}; title and thresholds are not known")
    return {}


def _told(path: Path, notes: list[str]) -> Told:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Told)
    except OSError as error:
        notes.append(f"{path.name}: {error.strerror}; the controller did not end in order")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        notes.append(f"{path.name}: {error}")
    return Told()


def _units(run_dir: Path) -> Mapping[str, str]:
    """The unit of each biomarker, from the session and the stream that was recorded; empty where they do not tell."""
    from controller.wiring import build_measures

    try:
        session, spec = load_session(run_dir / "session.toml"), recorded_spec(run_dir / "eeg.xdf")
        return {each.name: each.unit for each in build_measures(session, spec).biomarkers}
    except (SessionErrors, RecordError, OSError, ValueError):
        return {}


def _span(tables: RunTables, ledger: RunLedger) -> tuple[int, int]:
    """First and last ns of the run: the ledger's, else what the tables hold."""
    if ledger.genesis is not None:
        return ledger.genesis.now.mono_ns, max(ledger.end_ns, ledger.genesis.now.mono_ns)
    times = [row.t_ns for row in tables.readings] + [row.t_ns for row in tables.events]
    times += [ask.t_ns for ask in tables.asks] + [given.end_ns for given in tables.slices]
    times = [t_ns for t_ns in times if t_ns > 0]
    return (min(times), max(times)) if times else (0, 0)
