"""Sources: a recording (run folder, XDF, FIF/EDF/BrainVision through mne) -> its samples in chunks."""

from __future__ import annotations

import gzip
import logging
import struct
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast
from zlib import error as ZlibError

import numpy as np
from numpy.typing import NDArray

from controller.eeg import Samples, StreamSpec
from controller.recorder import RecordError, recorded_blocks, recorded_spec
from controller.xdf import XdfError

__all__ = ["Chunk", "RecordingError", "RecordingSource", "open_recording"]

CHUNK_S = 10.0
GAP_S = 0.25  # own choice: longer than senders' jitter, shorter than a window of any biomarker
RATE_TOLERANCE = 0.02  # own choice: a frequency axis that is further off than this measures another band
RATE_CHECK_S = 2.0
MNE_KINDS = frozenset({"eeg", "seeg", "ecog", "dbs", "eog", "ecg", "emg", "bio"})  # mne gives them in V
NEURAL_KINDS = frozenset({"eeg", "seeg", "ecog", "dbs"})
UV_PER = dict.fromkeys(("", "microvolts", "microvolt", "uv", "µv", "μv"), 1.0)
UV_PER.update(dict.fromkeys(("millivolts", "millivolt", "mv"), 1e3))
UV_PER.update(dict.fromkeys(("volts", "volt", "v"), 1e6))
UV_PER.update(dict.fromkeys(("nanovolts", "nanovolt", "nv"), 1e-3))
# What the readers of mne and pyxdf raise on a file that is damaged, or is something else.
UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, AssertionError, EOFError),
    *(ArithmeticError, MemoryError, StopIteration, SyntaxError, struct.error, ET.ParseError, ZlibError),
)


class RecordingError(ValueError):
    """A recording that cannot be used: one line with the file, what was found and what was expected."""


class Chunk(NamedTuple):
    """Samples in a row: channels x samples in µV, their times, and how many are lost before them."""

    data_uv: Samples
    stamps_s: NDArray[np.float64]
    n_missing: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordingSource:
    """A recording. `duration_s` is near enough for a progress bar; `first` is the index of its first sample.

    Times are seconds from the start for FIF, EDF and BrainVision, and the LSL clock's for XDF and run folders.
    """

    spec: StreamSpec
    duration_s: float
    first: int
    _read: Callable[[int], Iterator[Chunk]]

    def blocks(self, chunk_s: float = CHUNK_S) -> Iterator[Chunk]:
        """The samples in order, in chunks of at most about `chunk_s`; RecordingError where they end badly."""
        return self._read(max(1, round(chunk_s * self.spec.sfreq_hz)))


def open_recording(path: Path, stream: str | None = None) -> RecordingSource:
    """Open a recording by its kind. `stream`: name or source_id, where an XDF file holds several of EEG."""
    if path.is_dir():
        if not (path / "eeg.xdf").is_file():
            raise RecordingError(
                f"{path}: a folder without eeg.xdf; expected a run folder or a recording's file"
            )
        path /= "eeg.xdf"
    if not path.is_file():
        raise RecordingError(f"{path}: there is no such file")
    name = path.name.casefold()
    if name.endswith((".xdf", ".xdfz", ".xdf.gz")):
        return _own(path) or _xdf(path, stream)
    reader = next((reader for end, reader in MNE_READERS.items() if name.endswith(end)), None)
    if reader is None:
        expected = ", ".join((".xdf", *MNE_READERS))
        raise RecordingError(f'{path}: found "{path.suffix}", expected a run folder or one of {expected}')
    return _mne(path, reader)


MNE_READERS = {
    ".fif": "read_raw_fif",
    ".fif.gz": "read_raw_fif",
    ".edf": "read_raw_edf",
    ".bdf": "read_raw_bdf",
    ".vhdr": "read_raw_brainvision",
}


def _mne(path: Path, reader: str) -> RecordingSource:
    # Loaded here, as a second of import time is only due to those who read such a file.
    import mne

    with _plainly(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about head positions, file names and filters: nothing of it is used
        raw = getattr(mne.io, reader)(path, preload=False, verbose="ERROR")
        kinds = raw.get_channel_types()
        sfreq_hz, n_samples = float(raw.info["sfreq"]), int(raw.n_times)
        skips = [
            (round(float(note["onset"]) * sfreq_hz), round(float(note["duration"]) * sfreq_hz))
            for note in raw.annotations
            if str(note["description"]).upper() == "BAD_ACQ_SKIP"
        ]
        offset = int(raw.first_samp) if raw.annotations.orig_time is not None else 0
    rows = [row for row, kind in enumerate(kinds) if kind in MNE_KINDS]
    if not any(kind in NEURAL_KINDS for kind in kinds):
        raise RecordingError(
            f"{path}: no EEG channel among {len(kinds)}; found {_listed(sorted(set(kinds)))}"
        )
    _check(path, sfreq_hz, n_samples)
    spans = _without([(start - offset, start - offset + n) for start, n in skips], n_samples)

    def read(n_chunk: int) -> Iterator[Chunk]:
        done = 0
        for start, stop in spans:
            for at in range(start, stop, n_chunk):
                end = min(at + n_chunk, stop)
                with _plainly(path), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    data = np.asarray(raw.get_data(rows, at, end, verbose="ERROR"), dtype=np.float64)
                yield Chunk(data * 1e6, np.arange(at, end) / sfreq_hz, at - done)
                done = end

    spec = _spec(path, "EEG", sfreq_hz, [str(raw.ch_names[row]) for row in rows])
    return RecordingSource(spec=spec, duration_s=n_samples / sfreq_hz, first=0, _read=read)


def _own(path: Path) -> RecordingSource | None:
    """A run's own recording, whose block boundaries and losses are known; None for any other XDF file."""
    try:
        spec = recorded_spec(path)
        first = next((block.first for block in recorded_blocks(path)), None)
    except (RecordError, XdfError, OSError, ValueError, struct.error):
        return None
    if first is None:
        raise RecordingError(f"{path}: no whole block of samples; expected at least one")
    _check(path, spec.sfreq_hz, 1)
    n_bytes = 9 + 8 * len(spec.ch_names)

    def read(n_chunk: int) -> Iterator[Chunk]:
        held: list[tuple[Samples, NDArray[np.int64]]] = []
        n_held, expected, missing = 0, first, 0
        with _plainly(path):
            for block in recorded_blocks(path):
                lost = block.first - expected
                if lost < 0:
                    raise ValueError(f"a block from sample {block.first} where {expected} was due")
                if held and (lost or n_held >= n_chunk):
                    yield _joined(held, missing)
                    held, n_held, missing = [], 0, 0
                if not held:
                    missing = lost
                held.append((block.data_uv, block.stamps_ns))
                n_held += len(block.stamps_ns)
                expected = block.first + len(block.stamps_ns)
        if held:
            yield _joined(held, missing)

    duration_s = path.stat().st_size / n_bytes / spec.sfreq_hz
    return RecordingSource(spec=spec, duration_s=duration_s, first=first, _read=read)


def _joined(held: Sequence[tuple[Samples, NDArray[np.int64]]], n_missing: int) -> Chunk:
    stamps_ns = np.concatenate([stamps for _, stamps in held])
    return Chunk(np.concatenate([data for data, _ in held], axis=1), stamps_ns / 1e9, n_missing)


def _xdf(path: Path, wanted: str | None) -> RecordingSource:
    import pyxdf

    with _plainly(path), _quiet("pyxdf"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # arithmetic on a damaged file; what it gives is checked below
        with _opened(path) as file:
            chosen = _choose(path, pyxdf.resolve_streams(file), wanted)
        with _opened(path) as file:
            streams, _ = pyxdf.load_xdf(
                file,
                select_streams=[chosen["stream_id"]],
                dejitter_timestamps=True,
                jitter_break_threshold_seconds=GAP_S,
                jitter_break_threshold_samples=3,
            )
        info = streams[0]["info"]
        stamps_s = np.asarray(streams[0]["time_stamps"], dtype=np.float64)
        name, sfreq_hz = str(info["name"][0]), float(info["nominal_srate"][0])
        if str(info["channel_format"][0]) == "string":
            raise RecordingError(f'{path}: stream "{name}" holds text, expected numbers')
        labels, scale = _channels(path, info, int(info["channel_count"][0]))
        data = np.asarray(streams[0]["time_series"], dtype=np.float64).reshape(len(stamps_s), len(labels))
        source_id, hostname = _text(info, "source_id"), _text(info, "hostname")
    _check(path, sfreq_hz, len(stamps_s), f'stream "{name}": ')
    spans = _spans(path, name, stamps_s, sfreq_hz)

    def read(n_chunk: int) -> Iterator[Chunk]:
        for start, stop, n_missing in spans:
            for at in range(start, stop, n_chunk):
                end = min(at + n_chunk, stop)
                yield Chunk(data[at:end].T * scale, stamps_s[at:end], n_missing if at == start else 0)

    spec = _spec(path, "EEG", sfreq_hz, labels, name=name, source_id=source_id, hostname=hostname)
    duration_s = float(stamps_s[-1] - stamps_s[0]) + 1.0 / sfreq_hz
    return RecordingSource(spec=spec, duration_s=duration_s, first=0, _read=read)


def _choose(path: Path, infos: list[dict[str, object]], wanted: str | None) -> dict[str, object]:
    """The one EEG stream of a file, or the one that was named."""
    every = ", ".join(f'"{info["name"]}" ({info["type"]})' for info in infos) or "none"
    if wanted is not None:
        found = [info for info in infos if wanted in (info["name"], info["source_id"])]
        if len(found) != 1:
            raise RecordingError(f'{path}: {len(found)} streams are called "{wanted}"; it has {every}')
        return found[0]
    found = [info for info in infos if str(info["type"]).casefold() == "eeg"]
    if not found:
        raise RecordingError(f'{path}: no stream of type "EEG"; found {every}')
    if len(found) > 1:
        raise RecordingError(f"{path}: {len(found)} streams of EEG, expected one to be named; found {every}")
    return found[0]


def _channels(path: Path, info: dict[str, list[object]], n: int) -> tuple[list[str], NDArray[np.float64]]:
    """Labels of an XDF stream, and µV per unit; channels without a label are numbered."""
    desc = info["desc"][0] if info.get("desc") else None
    group = (desc.get("channels") or [None])[0] if isinstance(desc, dict) else None
    found = group.get("channel", []) if isinstance(group, dict) else []
    if len(found) != n:
        return [f"ch{row + 1}" for row in range(n)], np.ones((n, 1))
    labels = [_text(channel, "label") or f"ch{row + 1}" for row, channel in enumerate(found)]
    units = [_text(channel, "unit").strip().casefold() for channel in found]
    unknown = [unit for unit in units if unit not in UV_PER]
    if unknown:
        raise RecordingError(f'{path}: found the unit "{unknown[0]}", expected volts, mV, µV or nV')
    return labels, np.array([[UV_PER[unit]] for unit in units])


def _text(table: object, key: str) -> str:
    """The text of an element as pyxdf hands it over: a list of one, or of None."""
    values = table.get(key) if isinstance(table, dict) else None
    return str(values[0]) if isinstance(values, list) and values and values[0] is not None else ""


def _spans(
    path: Path, name: str, stamps_s: NDArray[np.float64], sfreq_hz: float
) -> list[tuple[int, int, int]]:
    """(start, stop, lost before it) of each stretch without a gap."""
    if not np.isfinite(stamps_s).all():
        raise RecordingError(f'{path}: stream "{name}" has time stamps that are no numbers')
    steps_s = np.diff(stamps_s)
    back = np.flatnonzero(steps_s <= 0)
    if len(back):
        at = int(back[0])
        raise RecordingError(
            f'{path}: stream "{name}": time goes back by {-steps_s[at]:.3f} s after sample {at}; expected it to rise'
        )
    breaks = np.flatnonzero(steps_s > max(GAP_S, 3.5 / sfreq_hz)) + 1
    bounds = [0, *map(int, breaks), len(stamps_s)]
    spans: list[tuple[int, int, int]] = []
    for start, stop in pairwise(bounds):
        lost = round(float(steps_s[start - 1]) * sfreq_hz) - 1 if start else 0
        spans.append((start, stop, lost))
    start, stop, _ = max(spans, key=lambda span: span[1] - span[0])
    length_s = float(stamps_s[stop - 1] - stamps_s[start])
    if length_s >= RATE_CHECK_S:
        rate_hz = (stop - start - 1) / length_s
        if abs(rate_hz / sfreq_hz - 1.0) > RATE_TOLERANCE:
            raise RecordingError(
                f'{path}: stream "{name}" runs at {rate_hz:.4g} Hz and declares {sfreq_hz:g} Hz; expected them '
                f"within {RATE_TOLERANCE:.0%}, or every frequency is wrong"
            )
    return spans


def _without(holes: list[tuple[int, int]], n_samples: int) -> list[tuple[int, int]]:
    """What is left of [0, n_samples) between holes."""
    spans: list[tuple[int, int]] = []
    at = 0
    for start, stop in sorted(holes):
        if start > at:
            spans.append((at, min(start, n_samples)))
        at = max(at, stop)
    if at < n_samples:
        spans.append((at, n_samples))
    return spans


def _check(path: Path, sfreq_hz: float, n_samples: int, what: str = "") -> None:
    if not (np.isfinite(sfreq_hz) and sfreq_hz > 0):
        raise RecordingError(f"{path}: {what}found a sampling rate of {sfreq_hz:g} Hz, expected a steady one")
    if n_samples < 1:
        raise RecordingError(f"{path}: {what}no samples, expected at least one")


def _spec(
    path: Path,
    kind: str,
    sfreq_hz: float,
    ch_names: Sequence[str],
    name: str = "",
    source_id: str = "",
    hostname: str = "",
) -> StreamSpec:
    return StreamSpec(
        name=name or path.stem,
        type=kind,
        source_id=source_id or path.name,
        uid="",
        sfreq_hz=sfreq_hz,
        ch_names=tuple(ch_names),
        hostname=hostname,
    )


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) or "none"


def _opened(path: Path) -> BinaryIO:
    """Opened here, as pyxdf leaves a file open that it cannot read."""
    if path.name.casefold().endswith((".xdfz", ".gz")):
        return cast("BinaryIO", gzip.open(path, "rb"))
    return path.open("rb")


@contextmanager
def _plainly(path: Path) -> Iterator[None]:
    """Whatever a reader raises, in one line that names the file."""
    try:
        yield
    except RecordingError:
        raise
    except UNREADABLE as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise RecordingError(f"{path}: cannot be read as a recording: {text[:200]}") from error


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """A reader's remarks on a damaged file would stand beside our one line."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
