"""Measure: a recording -> readings as CSV, through the same Window, Quality and biomarkers as the loop.

Columns: `time_s`, then NAME and NAME_reason of each biomarker in the session's order, then `clean_fraction`.
`time_s` is the newest sample's: seconds from the start for FIF, EDF and BrainVision, the LSL clock's for XDF
files and run folders. A value that could not be measured is `nan`, and its reason is not empty.
"""

from __future__ import annotations

import csv
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TextIO

import numpy as np

from controller import biomarkers
from controller.biomarkers import Biomarker
from controller.eeg import Block
from controller.montage import Montage, MontageConfig
from controller.quality import QualityConfig
from controller.replay import RecordingError, RecordingSource, open_recording
from controller.window import BlockRefused, Epoch, Window
from safety.messages import Evidence

__all__ = ["MeasureError", "Progress", "epochs", "measure_recording"]

Progress = Callable[[float, float], None]  # seconds of the recording done, and in all


class MeasureError(ValueError):
    """The result cannot be written: one line with the file and why."""


class WindowPart(Protocol):
    @property
    def longest_s(self) -> float: ...
    @property
    def hop_ms(self) -> int: ...


class BiomarkerPart(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...

    def table(self) -> Mapping[str, object]: ...


class SessionPart(Protocol):
    """What of a Session is needed to measure."""

    @property
    def window(self) -> WindowPart: ...
    @property
    def biomarkers(self) -> Sequence[BiomarkerPart]: ...
    @property
    def montage(self) -> MontageConfig: ...
    @property
    def quality(self) -> QualityConfig: ...


def measure_recording(recording: Path, session: SessionPart, out: Path, progress: Progress) -> int:
    """Measure a whole recording into `out` (`-`: standard output); how many rows there are.

    The file appears when it is whole. RecordingError, MeasureError and ValueError (what does not fit the
    recording) are one line each.
    """
    source = open_recording(recording)
    spec = source.spec
    try:
        montage = Montage.build(session.montage, spec.ch_names)
        measures = [
            biomarkers.build(
                part.name, part.kind, part.table(), montage, spec.sfreq_hz, f"biomarkers.{part.name}"
            )
            for part in session.biomarkers
        ]
        if not measures:
            raise ValueError("biomarkers: found none, expected at least one to measure")
        window = Window(
            len(spec.ch_names),
            spec.sfreq_hz,
            max(session.window.longest_s, *(measure.window_s for measure in measures)),
            session.window.hop_ms / 1000.0,
            montage=montage,
            quality=session.quality,
        )
    except ValueError as error:
        raise ValueError("\n".join(f"{recording}: {line}" for line in str(error).splitlines())) from error
    rows = 0
    with _writing(out) as file:
        table = csv.writer(file, lineterminator="\n")
        names = [column for measure in measures for column in (measure.name, f"{measure.name}_reason")]
        table.writerow(("time_s", *names, "clean_fraction"))
        for epoch in epochs(source, window, progress):
            table.writerow(_row(epoch, measures))
            rows += 1
        if not rows:
            raise RecordingError(
                f"{recording}: too short, {source.duration_s:.1f} s for a window of {window.n_seconds} s"
            )
    return rows


def epochs(source: RecordingSource, window: Window, progress: Progress | None = None) -> Iterator[Epoch]:
    """Every Epoch of a recording, one a hop. Use each before the next is taken."""
    evidence = Evidence(
        stream_uid=source.spec.uid, n_samples=0, newest_ns=0, uncertainty_ns=0, crc=0, clean_fraction=1.0
    )
    at = source.first
    for chunk in source.blocks():
        at += chunk.n_missing
        stamps_ns = np.rint(chunk.stamps_s * 1e9).astype(np.int64)
        n, done, missing = len(stamps_ns), 0, chunk.n_missing
        while done < n:
            take = min(n - done, window.hop - at % window.hop)  # up to the next hop: none is skipped
            span = slice(done, done + take)
            block = Block(
                data_uv=chunk.data_uv[:, span],
                stamps_ns=stamps_ns[span],
                received_ns=0,
                first=at,
                n_missing=missing,
                evidence=evidence,
            )
            epoch = window.push(block)
            if isinstance(epoch, BlockRefused):
                raise RecordingError(f"{source.spec.name}: {epoch.text}")
            if epoch is not None:
                yield epoch
            at, done, missing = at + take, done + take, 0
        if progress is not None:
            done_s = (at - source.first) / source.spec.sfreq_hz
            progress(min(done_s, source.duration_s), source.duration_s)
    if progress is not None:
        progress(source.duration_s, source.duration_s)


def _row(epoch: Epoch, measures: Sequence[Biomarker]) -> list[str]:
    cells = [f"{epoch.time_ns / 1e9:.6f}"]
    for measure in measures:
        reading = measure.measure(epoch)
        cells += ["nan" if math.isnan(reading.value) else repr(reading.value), reading.reason]
    return [*cells, f"{epoch.quality.clean_fraction:.4f}"]


@contextmanager
def _writing(out: Path) -> Iterator[TextIO]:
    """Standard output, or a file beside `out` that takes its place when all is written."""
    if str(out) == "-":
        try:
            yield sys.stdout
            sys.stdout.flush()
        except BrokenPipeError:
            raise  # whoever read has seen enough, as `| head`: no mistake
        except OSError as error:
            raise MeasureError(f"standard output: {error.strerror or error}") from error
        return
    if out.is_dir():
        raise MeasureError(f"{out}: is a folder, expected the name of a CSV file")
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        part.replace(out)
    except OSError as error:
        raise MeasureError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        try:
            part.unlink()
        except OSError:
            pass  # it took the place of `out`, or was never made
