"""measure: the loop's own numbers over a recording, a table that is whole or not there, one line on what is wrong."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from controller import biomarkers
from controller.eeg import Samples, StreamSpec
from controller.measure import MeasureError, measure_recording
from controller.montage import Montage, MontageConfig
from controller.quality import QualityConfig
from controller.recorder import Recorder
from controller.replay import RecordingError
from controller.taps import Offered
from controller.window import BlockRefused, Epoch, Window
from tests.controller.material import block, noise, recordings, sine

FS = 250.0
NAMES = ("F3", "Fz", "F4", "C3", "Cz", "C4", "ECG")


@dataclass(frozen=True)
class WindowTable:
    longest_s: float = 4.0
    hop_ms: int = 100


@dataclass(frozen=True)
class BiomarkerTable:
    name: str
    kind: str
    config: Mapping[str, object] = field(default_factory=dict)

    def table(self) -> Mapping[str, object]:
        return self.config


@dataclass(frozen=True)
class SessionTable:
    window: WindowTable = WindowTable()
    biomarkers: Sequence[BiomarkerTable] = (
        BiomarkerTable("theta", "relative_theta"),
        BiomarkerTable("alpha", "sensorimotor_alpha", {"half_life_s": 2.0}),
    )
    montage: MontageConfig = field(default_factory=MontageConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)


def quiet(done_s: float, total_s: float) -> None: ...


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def run_folder(path: Path, data: Samples, cuts: list[tuple[int, int]]) -> Path:
    path.mkdir()
    spec = StreamSpec(
        name="amp", type="EEG", source_id="id", uid="u", sfreq_hz=FS, ch_names=NAMES, hostname="h"
    )
    recorder = Recorder(path, spec=spec, biomarkers=(), raw=True)
    items: list[Offered] = [(0, block(data[:, start:stop], start, FS)) for start, stop in cuts]
    recorder.consume(items)
    recorder.close()
    return path


def eeg(seconds: float, seed: int = 0) -> Samples:
    n = round(seconds * FS)
    return noise(len(NAMES), n, seed) + sine(6.0, 8.0, n, FS) * np.arange(1, len(NAMES) + 1)[:, None]


@pytest.mark.parametrize("size", [1, 7, 25])
def test_a_run_measured_afterwards_gives_what_the_loop_gave(size: int, tmp_path: Path):
    """Bit for bit, with a loss, a dead electrode, and a start in the middle of the grid."""
    data = eeg(14.0)
    data[1, 2200:2600] = 0.0
    cuts = [(at, at + size) for at in range(130, 3300, size)]
    cuts = [(start, stop) for start, stop in cuts if not 1500 <= start < 1520]
    run = run_folder(tmp_path / "run", data, cuts)
    session = SessionTable()
    montage = Montage.build(session.montage, NAMES)
    window = Window(len(NAMES), FS, 4.0, 0.1, montage=montage, quality=session.quality)
    loop = [biomarkers.build(b.name, b.kind, b.table(), montage, FS) for b in session.biomarkers]
    expected = []
    for start, stop in cuts:
        epoch = window.push(block(data[:, start:stop], start, FS))
        assert not isinstance(epoch, BlockRefused)
        if isinstance(epoch, Epoch):
            readings = [biomarker.measure(epoch) for biomarker in loop]
            expected.append(
                [f"{epoch.time_ns / 1e9:.6f}"]
                + [cell for r in readings for cell in (repr(r.value), r.reason)]
                + [f"{epoch.quality.clean_fraction:.4f}"]
            )
    out = tmp_path / "out.csv"
    n = measure_recording(run, session, out, quiet)
    rows = table(out)
    assert list(rows[0]) == ["time_s", "theta", "theta_reason", "alpha", "alpha_reason", "clean_fraction"]
    assert [list(row.values()) for row in rows] == expected
    assert n == len(rows) > 70
    assert any(row["theta_reason"] for row in rows)


def test_eegmat(tmp_path: Path):
    out = tmp_path / "out.csv"
    n = measure_recording(recordings() / "eegmat_Subject00_1.edf", SessionTable(), out, quiet)
    rows = table(out)
    assert n == len(rows) == 1781
    assert float(rows[0]["time_s"]) == 3.998
    assert float(rows[-1]["time_s"]) == 181.998
    values = np.array([float(row["theta"]) for row in rows])
    assert np.isfinite(values).all()
    assert 0.05 < np.median(values) < 0.25
    # Its last second is padded with a constant in some channels, and is not taken for EEG.
    assert float(rows[-1]["clean_fraction"]) < 1.0 == float(rows[900]["clean_fraction"])


def test_32_channels_are_measured_far_faster_than_they_were_recorded(tmp_path: Path):
    mne = pytest.importorskip("mne")
    names = [f"C{i}" for i in range(1, 33)]
    raw = mne.io.RawArray(noise(32, 60_000) * 1e-6, mne.create_info(names, 500.0, "eeg"), verbose="ERROR")
    raw.save(tmp_path / "a_raw.fif", verbose="ERROR")
    done: list[tuple[float, float]] = []
    t0 = time.perf_counter()
    session = SessionTable(biomarkers=(BiomarkerTable("theta", "relative_theta"),))
    measure_recording(tmp_path / "a_raw.fif", session, tmp_path / "o.csv", lambda *at: done.append(at))
    assert time.perf_counter() - t0 < 12.0  # ten times real time, with room for a busy machine
    assert done == sorted(done)
    assert done[-1] == (120.0, 120.0)


def test_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = run_folder(tmp_path / "run", eeg(5.0), [(0, 1250)])
    n = measure_recording(run, SessionTable(), Path("-"), quiet)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == n + 1
    assert lines[0].startswith("time_s,theta,")


def test_nan_always_has_its_reason(tmp_path: Path):
    data = eeg(8.0)
    data[:, 1000:1500] = np.nan
    run = run_folder(tmp_path / "run", data, [(0, 2000)])
    measure_recording(run, SessionTable(), tmp_path / "o.csv", quiet)
    rows = table(tmp_path / "o.csv")
    assert {math.isnan(float(row["theta"])) for row in rows} == {True, False}
    assert all(math.isnan(float(row["theta"])) == bool(row["theta_reason"]) for row in rows)


@pytest.mark.parametrize(
    ("session", "text"),
    [
        (SessionTable(biomarkers=()), "biomarkers: found none"),
        (SessionTable(biomarkers=(BiomarkerTable("x", "relative_thet"),)), 'did you mean "relative_theta"'),
        (
            SessionTable(biomarkers=(BiomarkerTable("x", "relative_theta", {"window": 1}),)),
            r"key biomarkers\.x\.window: unknown",
        ),
        (
            SessionTable(biomarkers=(BiomarkerTable("x", "relative_theta", {"channels": ["O1"]}),)),
            r'biomarkers\.x: channels: found "O1"',
        ),
        (SessionTable(montage=MontageConfig(channels=("Oz",))), r'montage\.channels: found "Oz"'),
        (
            SessionTable(biomarkers=(BiomarkerTable("x", "relative_theta", {"window_s": 60.0}),)),
            r"too short, 5\.. s for a window of 60 s",
        ),
    ],
)
def test_what_does_not_fit_the_recording_is_one_line_and_leaves_no_file(
    session: SessionTable, text: str, tmp_path: Path
):
    run = run_folder(tmp_path / "run", eeg(5.0), [(0, 1250)])
    with pytest.raises(ValueError, match=text) as caught:
        measure_recording(run, session, tmp_path / "o.csv", quiet)
    assert str(caught.value).startswith(str(run))
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_older_result_stays_until_the_new_one_is_whole(tmp_path: Path):
    run = run_folder(tmp_path / "run", eeg(30.0), [(0, 3000), (3000, 7500)])
    out = tmp_path / "o.csv"
    out.write_text("old")

    def interrupt(done_s: float, total_s: float) -> None:
        assert out.read_text() == "old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_recording(run, SessionTable(), out, interrupt)
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.csv", "run"]
    measure_recording(run, SessionTable(), out, quiet)
    assert len(table(out)) > 200


def test_where_it_cannot_be_written_is_one_line(tmp_path: Path):
    run = run_folder(tmp_path / "run", eeg(5.0), [(0, 1250)])
    for out, text in (
        (tmp_path, "is a folder, expected the name of a CSV file"),
        (tmp_path / "none" / "o.csv", "cannot be written: No such file"),
        (tmp_path / "run" / "eeg.xdf" / "o.csv", "cannot be written: Not a directory"),
    ):
        with pytest.raises(MeasureError, match=text):
            measure_recording(run, SessionTable(), out, quiet)


def test_a_missing_recording_is_one_line(tmp_path: Path):
    with pytest.raises(RecordingError, match="there is no such file"):
        measure_recording(tmp_path / "a.edf", SessionTable(), tmp_path / "o.csv", quiet)
