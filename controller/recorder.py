"""Taps to the run folder: raw blocks with their boundaries, readings, requests, deliveries, events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from controller import tables
from controller.append_file import AppendFile
from controller.eeg import Block, Cycle, Evidence, StreamSpec
from controller.manifest import check_manifest, write_manifest
from controller.taps import Event, Offered
from controller.xdf import XdfReader, XdfStream, XdfWriter
from safety.messages import DeliveryReport, PhaseChanged, Trip

__all__ = ["RecordError", "Recorder", "check_manifest", "recorded_blocks", "recorded_spec", "write_manifest"]

EEG_ID, BLOCKS_ID, STAMPS_ID = 1, 2, 3
BLOCKS_NAME, STAMPS_NAME = "nociloop-blocks", "nociloop-stamps"
BLOCK_LABELS = (
    *("first", "n_samples", "n_missing", "received_ns", "crc"),
    *("evidence_n_samples", "newest_ns", "uncertainty_ns", "clean_fraction_bits"),
)


class RecordError(Exception):
    """The record cannot be opened, written or read; one line."""


class Recorder:
    """A tap's consumer. Every `consume` ends with all of it in the kernel's hands."""

    def __init__(
        self, run_dir: Path, spec: StreamSpec, biomarkers: Sequence[str], *, raw: bool = True
    ) -> None:
        self._biomarkers = tuple(biomarkers)
        self._now_ns = 0
        self._broken = False
        self._opened: list[AppendFile] = []
        self._xdf: XdfWriter | None = None
        try:
            self._readings = self._table(run_dir / "readings.csv", tables.readings_header(biomarkers))
            self._requests = self._table(run_dir / "requests.csv", tables.REQUESTS)
            self._deliveries = self._table(run_dir / "deliveries.csv", tables.DELIVERIES)
            self._events = self._table(run_dir / "events.csv", tables.EVENTS)
            if raw:
                self._xdf = XdfWriter(run_dir / "eeg.xdf")
                for stream in _streams(spec):
                    self._xdf.add_stream(stream)
                self._xdf.flush()
        except FileExistsError as error:
            self._abandon()
            raise RecordError(
                f"{error.filename}: exists already; a run folder is never overwritten"
            ) from None
        except OSError as error:
            self._abandon()
            raise RecordError(f"{error.filename}: cannot be written: {error.strerror}") from None

    def consume(self, items: list[Offered]) -> None:
        if not items:
            return  # nothing waits inside
        readings: list[Sequence[tables.Cell]] = []
        requests: list[Sequence[tables.Cell]] = []
        deliveries: list[Sequence[tables.Cell]] = []
        events: list[Sequence[tables.Cell]] = []
        for at_ns, item in items:
            match item:
                case Block():
                    self._block(item)
                case Cycle():
                    if (row := tables.readings_row(item, self._biomarkers)) is not None:
                        readings.append(row)
                    if (row := tables.request_row(item)) is not None:
                        requests.append(row)
                case DeliveryReport():
                    deliveries.append(tables.delivery_row(item))
                case Event() | PhaseChanged() | Trip():
                    events.append(tables.event_row(at_ns, item))
        self._now_ns = items[-1][0]
        # The few and telling first: where the disk fills up, they are kept before the bulk.
        self._write(
            (
                *((self._events, events), (self._requests, requests)),
                *((self._deliveries, deliveries), (self._readings, readings)),
            )
        )

    def close(self) -> None:
        """Footers, sync, close: each file, whatever the others do; then the first error."""
        errors: list[OSError] = []
        for file in self._opened:
            try:
                file.close()
            except OSError as error:
                errors.append(error)
        if self._xdf is not None:
            try:
                self._xdf.abandon() if self._broken else self._xdf.close(self._now_ns / 1e9)
            except OSError as error:
                errors.append(error)
        if errors:
            raise RecordError(_line(errors[0]))

    def _write(self, batches: Sequence[tuple[AppendFile, list[Sequence[tables.Cell]]]]) -> None:
        try:
            for file, rows in batches:
                if rows:
                    file.write(tables.lines(rows))
            if self._xdf is not None:
                self._xdf.tick(self._now_ns / 1e9)
                self._xdf.flush()
        except OSError as error:
            self._broken = True  # what the file holds is whole; a footer would count samples that it lacks
            raise RecordError(_line(error)) from None

    def _block(self, block: Block) -> None:
        if self._xdf is None:
            return
        stamps_s = block.stamps_ns / 1e9
        self._xdf.samples(EEG_ID, stamps_s, np.ascontiguousarray(block.data_uv.T, dtype=np.float64))
        if not np.array_equal(_as_ns(stamps_s), block.stamps_ns):
            # Seconds in a float64 lose ns after 104 days of uptime (2^53 ns): the exact ones beside.
            exact = np.ascontiguousarray(block.stamps_ns, dtype=np.int64).reshape(-1, 1)
            self._xdf.samples(STAMPS_ID, stamps_s, exact)
        # Written last: a block counts once its row is there, and a torn tail takes the whole block.
        self._xdf.samples(BLOCKS_ID, np.array([block.received_ns / 1e9]), _block_row(block))

    def _table(self, path: Path, header: Sequence[str]) -> AppendFile:
        file = AppendFile(path)
        self._opened.append(file)
        file.write(tables.lines([header]))
        return file

    def _abandon(self) -> None:
        for file in self._opened:
            file.close()
        if self._xdf is not None:
            self._xdf.abandon()


def recorded_spec(path: Path) -> StreamSpec:
    """What the recorded EEG stream promised."""
    reader = XdfReader(path)
    for _ in reader.chunks():
        break
    stream = reader.streams.get(EEG_ID)
    if stream is None or reader.streams.get(BLOCKS_ID, stream).name != BLOCKS_NAME:
        raise RecordError(f"{path}: has no stream {BLOCKS_NAME!r}; expected the eeg.xdf of a run folder")
    return StreamSpec(
        name=stream.name,
        type=stream.type,
        source_id=stream.source_id,
        uid=stream.uid,
        sfreq_hz=stream.sfreq_hz,
        ch_names=stream.labels,
        hostname=stream.hostname,
    )


def recorded_blocks(path: Path) -> Iterator[Block]:
    """Every Block as it was offered, bit for bit; a block that a kill cut short is left out."""
    spec = recorded_spec(path)
    no_data: NDArray[np.float64] = np.empty((0, len(spec.ch_names)))
    no_stamps: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    data, stamps_ns = no_data, no_stamps
    for chunk in XdfReader(path).chunks():
        if chunk.stream.stream_id == EEG_ID:
            data, stamps_ns = chunk.data.astype(np.float64), _as_ns(chunk.stamps_s)
        elif chunk.stream.stream_id == STAMPS_ID:
            stamps_ns = chunk.data[:, 0].astype(np.int64)
        elif chunk.stream.stream_id == BLOCKS_ID:
            if len(data) != int(chunk.data[0, 1]):
                raise RecordError(f"{path}: a block has {len(data)} samples, its row says {chunk.data[0, 1]}")
            yield _block_of(spec, data, stamps_ns, [int(cell) for cell in chunk.data[0]])
            data, stamps_ns = no_data, no_stamps


def _streams(spec: StreamSpec) -> tuple[XdfStream, ...]:
    eeg = XdfStream(
        stream_id=EEG_ID,
        name=spec.name,
        type=spec.type,
        format="double64",  # what the loop computed on; a float32 of the amplifier is held in it exactly
        sfreq_hz=spec.sfreq_hz,
        labels=spec.ch_names,
        unit="microvolts",
        channel_type="EEG",
        source_id=spec.source_id,
        uid=spec.uid,
        hostname=spec.hostname,
    )
    beside = ((BLOCKS_ID, BLOCKS_NAME, BLOCK_LABELS), (STAMPS_ID, STAMPS_NAME, ("stamp_ns",)))
    others = (
        XdfStream(stream_id=number, name=name, type="Record", format="int64", sfreq_hz=0.0, labels=labels)
        for number, name, labels in beside
    )
    return (eeg, *others)


def _block_row(block: Block) -> NDArray[np.int64]:
    evidence = block.evidence
    bits = int(np.array(evidence.clean_fraction, dtype=np.float64).view(np.int64))
    row = (
        *(block.first, len(block.stamps_ns), block.n_missing, block.received_ns, evidence.crc),
        *(evidence.n_samples, evidence.newest_ns, evidence.uncertainty_ns, bits),
    )
    return np.array([row], dtype=np.int64)


def _block_of(
    spec: StreamSpec, data: NDArray[np.float64], stamps_ns: NDArray[np.int64], row: list[int]
) -> Block:
    first, _, n_missing, received_ns, crc, n_samples, newest_ns, uncertainty_ns, bits = row
    return Block(
        data_uv=np.ascontiguousarray(data.T),
        stamps_ns=stamps_ns,
        received_ns=received_ns,
        first=first,
        n_missing=n_missing,
        evidence=Evidence(
            stream_uid=spec.uid,
            n_samples=n_samples,
            newest_ns=newest_ns,
            uncertainty_ns=uncertainty_ns,
            crc=crc,
            clean_fraction=float(np.array(bits, dtype=np.int64).view(np.float64)),
        ),
    )


def _as_ns(stamps_s: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(stamps_s * 1e9).astype(np.int64)


def _line(error: OSError) -> str:
    return f"{error.filename or 'run folder'}: {error.strerror or error}"
