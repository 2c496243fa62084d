"""Recordings: real ones, synthetic ones with a known truth, and everything that is none."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.eeg import Samples, StreamSpec
from controller.recorder import Recorder
from controller.replay import Chunk, RecordingError, RecordingSource, open_recording
from controller.taps import Offered
from controller.xdf import XdfStream, XdfWriter
from tests.controller.material import block, noise, recordings

FS = 100.0


def whole(source: RecordingSource, chunk_s: float = 3.0) -> tuple[Samples, np.ndarray, list[int]]:
    chunks = list(source.blocks(chunk_s))
    assert all(chunk.data_uv.shape[1] == len(chunk.stamps_s) > 0 for chunk in chunks)
    data = np.concatenate([chunk.data_uv for chunk in chunks], axis=1)
    return data, np.concatenate([c.stamps_s for c in chunks]), [c.n_missing for c in chunks]


def write_xdf(
    path: Path,
    data: Samples,
    stamps_s: np.ndarray,
    *,
    unit: str = "microvolts",
    type_: str = "EEG",
    sfreq_hz: float = FS,
    n_streams: int = 1,
    labels: tuple[str, ...] | None = None,
    format_: Literal["float32", "double64"] = "double64",
) -> Path:
    writer = XdfWriter(path)
    for number in range(1, n_streams + 1):
        writer.add_stream(
            XdfStream(
                stream_id=number,
                name=f"amp{number}",
                type=type_,
                format=format_,
                sfreq_hz=sfreq_hz,
                labels=labels or tuple(f"E{i + 1}" for i in range(len(data))),
                unit=unit,
                source_id=f"id{number}",
            )
        )
        kind = np.float64 if format_ == "double64" else np.float32
        for at in range(0, len(stamps_s), 10):
            writer.tick(float(stamps_s[at]))
            writer.samples(number, stamps_s[at : at + 10], data[:, at : at + 10].T.astype(kind))
    writer.close(float(stamps_s[-1]) if len(stamps_s) else 1.0)
    return path


def test_edf_of_a_clinic():
    source = open_recording(recordings() / "eegmat_Subject00_1.edf")
    assert source.spec.sfreq_hz == 500.0
    assert source.spec.ch_names[:2] == ("EEG Fp1", "EEG Fp2")
    assert source.duration_s == 182.0
    data, stamps_s, missing = whole(source, 60.0)
    assert data.shape == (21, 91_000)
    assert missing == [0] * 4
    assert 5 < np.median(data[:19].std(axis=1)) < 30  # µV, not V
    assert (stamps_s[0], stamps_s[-1]) == (0.0, 181.998)


def test_edf_of_64_channels_and_brainvision():
    data, _, _ = whole(open_recording(recordings() / "eegmmidb_S001R01.edf"))
    assert data.shape == (64, 9760)
    assert 20 < np.median(data.std(axis=1)) < 100
    source = open_recording(next((recordings() / "ecog_lfp_brainvision").rglob("*.vhdr")))
    assert whole(source)[0].shape == (10, 19_001)
    assert source.spec.ch_names[3] == "ECOG_RIGHT_0"


@pytest.mark.parametrize("chunk_s", [0.001, 0.5, 1e6])
def test_the_size_of_chunks_changes_nothing(chunk_s: float, tmp_path: Path):
    truth = noise(2, 777)
    source = open_recording(write_xdf(tmp_path / "a.xdf", truth, 50 + np.arange(777) / FS))
    data, stamps_s, _ = whole(source, chunk_s)
    np.testing.assert_array_equal(data, truth)
    np.testing.assert_allclose(stamps_s, 50 + np.arange(777) / FS, atol=1e-6)


def test_fif_with_a_pause(tmp_path: Path):
    mne = pytest.importorskip("mne")
    truth = noise(3, 1000)
    raw = mne.io.RawArray(
        np.vstack((truth * 1e-6, np.arange(1000)[None])),
        mne.create_info(["C3", "C4", "Cz", "STI"], FS, ["eeg", "eeg", "eeg", "stim"]),
        verbose="ERROR",
    )
    raw.set_annotations(mne.Annotations([4.0], [1.5], ["BAD_ACQ_SKIP"]))
    raw.save(tmp_path / "a_raw.fif", verbose="ERROR")
    source = open_recording(tmp_path / "a_raw.fif")
    assert source.spec.ch_names == ("C3", "C4", "Cz")
    chunks = list(source.blocks())
    assert [(c.data_uv.shape[1], c.n_missing) for c in chunks] == [(400, 0), (450, 150)]
    np.testing.assert_allclose(chunks[1].data_uv, truth[:, 550:], rtol=1e-5, atol=1e-5)
    assert chunks[1].stamps_s[0] == 5.5


def test_xdf_gaps_are_counted(tmp_path: Path):
    at = np.r_[0:300, 350:700, 1000:1100]
    source = open_recording(write_xdf(tmp_path / "a.xdf", noise(1, 750), 10 + at / FS))
    data, _, missing = whole(source, 1.0)
    assert data.shape == (1, 750)
    assert [n for n in missing if n] == [50, 300]
    assert source.duration_s == pytest.approx(11.0)


def test_jitter_of_a_sender_is_no_gap(tmp_path: Path):
    """Blocks of ten stamped up to 80 ms late, as senders do."""
    rng = np.random.default_rng(3)
    late = np.repeat(rng.uniform(0, 0.08, 100), 10)
    _, stamps_s, missing = whole(
        open_recording(write_xdf(tmp_path / "a.xdf", noise(1, 1000), 10 + np.arange(1000) / FS + late))
    )
    assert not any(missing)
    assert np.diff(stamps_s).min() > 0


@pytest.mark.parametrize(("unit", "factor"), [("microvolts", 1), ("uV", 1), ("mV", 1e3), ("V", 1e6), ("", 1)])
def test_xdf_units(tmp_path: Path, unit: str, factor: float):
    truth = noise(2, 300)
    source = open_recording(
        write_xdf(tmp_path / "a.xdf", truth / factor, 5 + np.arange(300) / FS, unit=unit, format_="float32")
    )
    np.testing.assert_allclose(whole(source)[0], truth, rtol=1e-6)


def test_a_compressed_xdf(tmp_path: Path):
    truth = noise(2, 300)
    plain = write_xdf(tmp_path / "a.xdf", truth, 5 + np.arange(300) / FS)
    (tmp_path / "b.xdfz").write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(whole(open_recording(tmp_path / "b.xdfz"))[0], truth)
    (tmp_path / "c.xdfz").write_bytes(plain.read_bytes())
    with pytest.raises(RecordingError, match="cannot be read as a recording"):
        open_recording(tmp_path / "c.xdfz")


def test_one_of_several_streams_by_name(tmp_path: Path):
    path = write_xdf(tmp_path / "a.xdf", noise(1, 300), 5 + np.arange(300) / FS, n_streams=2)
    with pytest.raises(RecordingError, match=r'2 streams of EEG.*"amp1" \(EEG\), "amp2" \(EEG\)'):
        open_recording(path)
    assert open_recording(path, "amp2").spec.source_id == "id2"
    assert open_recording(path, "id1").spec.name == "amp1"
    with pytest.raises(RecordingError, match='0 streams are called "amp3"'):
        open_recording(path, "amp3")


def slow(path: Path) -> Path:
    return write_xdf(path, noise(1, 500), 5 + np.arange(500) / 93.0)


def backwards(path: Path) -> Path:
    at = np.r_[np.arange(300) / FS, np.arange(300) / FS - 20.0]
    return write_xdf(path, noise(1, 600), 50 + at)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda p: write_xdf(p, noise(1, 0), np.empty(0)), "no samples"),
        (
            lambda p: write_xdf(p, noise(1, 99), 5 + np.arange(99) / FS, type_="Audio"),
            'no stream of type "EEG"',
        ),
        (lambda p: write_xdf(p, noise(1, 99), 5 + np.arange(99) / FS, sfreq_hz=0.0), "sampling rate of 0 Hz"),
        (lambda p: write_xdf(p, noise(1, 99), 5 + np.arange(99) / FS, unit="furlongs"), 'unit "furlongs"'),
        (lambda p: write_xdf(p, noise(1, 99), np.r_[5.0, np.nan, 5.02 + np.arange(97) / FS]), "no numbers"),
        (slow, "runs at 93 Hz and declares 100 Hz"),
        (backwards, "time goes back by"),
    ],
)
def test_an_unusable_xdf_is_one_line(make: Callable[[Path], Path], text: str, tmp_path: Path):
    with pytest.raises(RecordingError, match=text) as caught:
        open_recording(make(tmp_path / "a.xdf"))
    assert str(caught.value).startswith(str(tmp_path / "a.xdf"))
    assert "\n" not in str(caught.value)


def test_the_example_files_of_xdf():
    folder = recordings() / "xdf"
    with pytest.raises(RecordingError, match='no stream of type "EEG"; found "Empty data stream'):
        open_recording(folder / "empty_streams.xdf")
    # Its sender slept between samples, and lost 7 % of its rate: no frequency of it would be right.
    with pytest.raises(RecordingError, match=r"runs at 92\.\d+ Hz and declares 100 Hz"):
        open_recording(folder / "clock_resets.xdf")
    source = open_recording(folder / "minimal.xdf")
    assert source.spec.sfreq_hz == 10.0
    assert whole(source)[0].shape == (3, 9)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.csv", b"1,2", 'found ".csv", expected a run folder or one of .xdf'),
        ("a", b"", 'found "", expected'),
        ("a.xdf", b"", "cannot be read as a recording"),
        ("a.xdf", b"XDF:", "found none"),
        ("a.xdf", b"not at all", "cannot be read as a recording"),
        ("a.edf", b"", "cannot be read as a recording"),
        ("a.edf", b"0" * 300, "cannot be read as a recording"),
        ("a_raw.fif", b"", "cannot be read as a recording"),
        ("a_raw.fif", b"\x00" * 4000, "cannot be read as a recording"),
        ("a.vhdr", b"", "cannot be read as a recording"),
        ("a.vhdr", b"Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n", "cannot be read"),
    ],
)
def test_what_is_no_recording_is_one_line(name: str, content: bytes, text: str, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordingError, match=text) as caught:
        open_recording(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_no_file_and_a_folder_that_is_no_run(tmp_path: Path):
    with pytest.raises(RecordingError, match="there is no such file"):
        open_recording(tmp_path / "a.edf")
    with pytest.raises(RecordingError, match=r"a folder without eeg\.xdf"):
        open_recording(tmp_path)


def test_a_brainvision_header_without_its_data(tmp_path: Path):
    header = next((recordings() / "ecog_lfp_brainvision").rglob("*.vhdr"))
    (tmp_path / header.name).write_bytes(header.read_bytes())
    with pytest.raises(RecordingError, match="cannot be read as a recording"):
        open_recording(tmp_path / header.name)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 6000), flip=st.integers(0, 6000), value=st.integers(0, 255))
def test_a_torn_or_damaged_xdf_is_read_or_refused(tmp_path: Path, cut: int, flip: int, value: int):
    path = write_xdf(tmp_path / "a.xdf", noise(2, 150), 5 + np.arange(150) / FS)
    content = bytearray(path.read_bytes())
    content[flip % len(content)] = value
    (tmp_path / "b.xdf").write_bytes(content[: max(len(content) - cut, 0)])
    path.unlink()
    try:
        source = open_recording(tmp_path / "b.xdf")
        for chunk in source.blocks():
            assert isinstance(chunk, Chunk)
    except RecordingError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("n_bytes", [200, 5000, 100_000, 1_275_000])
def test_a_torn_edf_is_read_or_refused(tmp_path: Path, n_bytes: int):
    content = (recordings() / "eegmmidb_S001R01.edf").read_bytes()[:n_bytes]
    (tmp_path / "a.edf").write_bytes(content)
    try:
        data, _, _ = whole(open_recording(tmp_path / "a.edf"))
        assert data.shape[0] == 64
    except RecordingError as error:
        assert "\n" not in str(error)


SPEC = StreamSpec(
    name="amp",
    type="EEG",
    source_id="id",
    uid="u",
    sfreq_hz=FS,
    ch_names=("C3", "C4"),
    hostname="here",
)


def run_folder(path: Path, firsts: list[tuple[int, int]]) -> Samples:
    """A run whose blocks are these (first, n); the samples of all of them."""
    path.mkdir()
    recorder = Recorder(path, spec=SPEC, biomarkers=(), raw=True)
    data = noise(2, 5000)
    items: list[Offered] = [(0, block(data[:, first : first + n], first, FS)) for first, n in firsts]
    recorder.consume(items)
    recorder.close()
    return np.concatenate([data[:, first : first + n] for first, n in firsts], axis=1)


def test_a_run_folder_keeps_the_index_and_the_losses(tmp_path: Path):
    firsts = [(130, 7), (137, 13), (160, 400), (560, 1), (1000, 100)]
    truth = run_folder(tmp_path / "run", firsts)
    for path in (tmp_path / "run", tmp_path / "run" / "eeg.xdf"):
        source = open_recording(path)
        assert source.first == 130
        assert source.spec.ch_names == ("C3", "C4")
        data, stamps_s, missing = whole(source)
        np.testing.assert_array_equal(data, truth)
        assert [n for n in missing if n] == [10, 439]
        assert stamps_s[0] == pytest.approx(5.0 + 1.3)


def test_a_run_that_was_killed_is_read_up_to_there(tmp_path: Path):
    truth = run_folder(tmp_path / "run", [(at, 20) for at in range(0, 1000, 20)])
    path = tmp_path / "run" / "eeg.xdf"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    data, _, _ = whole(open_recording(tmp_path / "run"))
    assert 200 < data.shape[1] < 800
    np.testing.assert_array_equal(data, truth[:, : data.shape[1]])


def test_a_run_without_a_block_is_one_line(tmp_path: Path):
    run_folder(tmp_path / "run", [(0, 10)])
    path = tmp_path / "run" / "eeg.xdf"
    content = path.read_bytes()
    samples = next(
        at
        for at in range(4, len(content))
        if content[at] == 4 and struct.unpack_from("<H", content, at + 5)[0] == 3
    )
    path.write_bytes(content[:samples])
    with pytest.raises(RecordingError, match=r"no (whole block|samples|stream)"):
        open_recording(tmp_path / "run")
