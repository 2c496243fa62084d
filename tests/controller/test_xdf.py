"""XDF: what is written is what is read, by pyxdf and by the own reader; a torn tail loads."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyxdf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.xdf import BOUNDARY_UUID, Format, XdfError, XdfReader, XdfStream, XdfWriter, read_blocks

T0_S = 1234.5


def stream(number: int = 1, kind: Format = "double64", n_channels: int = 2) -> XdfStream:
    return XdfStream(
        stream_id=number,
        name=f"s<{number}>&\x01",
        type="EEG",
        format=kind,
        sfreq_hz=250.0,
        labels=tuple(f"C{index}" for index in range(n_channels)),
        unit="microvolts",
        channel_type="EEG",
        source_id="amp-1",
        uid="u-1",
        hostname="host",
    )


def write(path: Path, blocks: list[np.ndarray], kind: Format = "double64", close: bool = True) -> np.ndarray:
    writer = XdfWriter(path)
    writer.add_stream(stream(kind=kind))
    at = 0
    stamps = T0_S + np.arange(sum(len(block) for block in blocks)) / 250.0
    for block in blocks:
        here = stamps[at : at + len(block)]
        at += len(block)
        writer.samples(1, here, block)
        writer.tick(T0_S + at / 250.0)
        writer.flush()
    writer.close(T0_S + at / 250.0) if close else writer.abandon()
    return stamps


def load(path: Path):
    streams, _ = pyxdf.load_xdf(str(path), dejitter_timestamps=False, verbose=False)
    (found,) = streams
    return found


@pytest.mark.parametrize("kind", ["float32", "double64", "int64"])
def test_pyxdf_reads_what_was_written(tmp_path: Path, kind: Format):
    rng = np.random.default_rng(1)
    dtype = {"float32": np.float32, "double64": np.float64, "int64": np.int64}[kind]
    blocks = [(rng.standard_normal((n, 2)) * 1e5).astype(dtype) for n in (1, 7, 250, 1, 3000)]
    stamps = write(tmp_path / "a.xdf", blocks, kind)
    found = load(tmp_path / "a.xdf")
    assert np.array_equal(found["time_series"], np.concatenate(blocks))
    assert np.array_equal(found["time_stamps"], stamps)
    info = found["info"]
    assert info["name"] == ["s<1>&\ufffd"] and info["source_id"] == ["amp-1"]
    channel = info["desc"][0]["channels"][0]["channel"][1]
    assert (channel["label"], channel["unit"], channel["type"]) == (["C1"], ["microvolts"], ["EEG"])
    footer = found["footer"]["info"]
    assert footer["sample_count"] == ["3259"]
    assert float(footer["last_timestamp"][0]) == stamps[-1]
    assert len(found["clock_times"]) >= 2 and set(found["clock_values"]) == {0.0}


def test_boundaries_come_every_ten_seconds(tmp_path: Path):
    write(tmp_path / "a.xdf", [np.zeros((250, 2))] * 35)
    assert (tmp_path / "a.xdf").read_bytes().count(BOUNDARY_UUID) == 3


def test_the_own_reader_keeps_the_chunks(tmp_path: Path):
    blocks = [np.full((n, 2), float(n)) for n in (3, 1, 40)]
    stamps = write(tmp_path / "a.xdf", blocks)
    reader = XdfReader(tmp_path / "a.xdf")
    chunks = list(reader.chunks())
    assert [len(chunk.data) for chunk in chunks] == [3, 1, 40]
    assert np.array_equal(np.concatenate([chunk.stamps_s for chunk in chunks]), stamps)
    assert chunks[0].stream == replace(stream(), name="s<1>&\ufffd")
    assert reader.counts == {1: 44} and not reader.torn


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 5e-324, -0.0, 1.7e308])
def test_odd_values_keep_their_bits(tmp_path: Path, value: float):
    write(tmp_path / "a.xdf", [np.full((1, 2), value)])
    (chunk,) = read_blocks(tmp_path / "a.xdf")
    assert chunk.data.tobytes() == np.full((1, 2), value).tobytes()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, 4000))
def test_a_file_cut_anywhere_yields_its_whole_chunks(tmp_path: Path, cut: int):
    path = tmp_path / "a.xdf"
    path.unlink(missing_ok=True)
    write(path, [np.full((5, 2), float(index)) for index in range(40)], close=False)
    whole = path.read_bytes()
    header = whole.index(b"</info>", whole.index(b"channel_format")) + 7
    kept = max(header, len(whole) - cut)
    path.write_bytes(whole[:kept])
    reader = XdfReader(path)
    chunks = list(reader.chunks())
    assert [float(chunk.data[0, 0]) for chunk in chunks] == [float(index) for index in range(len(chunks))]
    assert all(len(chunk.data) == 5 for chunk in chunks)
    assert len(chunks) >= 40 - (len(whole) - kept) // 90 - 1  # a chunk is 141 bytes


def test_pyxdf_loads_a_file_with_a_torn_last_chunk_and_no_footer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "a.xdf"
    stamps = write(path, [np.ones((10, 2))] * 20, close=False)
    path.write_bytes(path.read_bytes()[:-70])
    with caplog.at_level(logging.CRITICAL):
        found = load(path)
    assert np.array_equal(found["time_stamps"], stamps[:190])


def test_wrong_shape_type_stream_and_twice_the_same_header_are_refused(tmp_path: Path):
    writer = XdfWriter(tmp_path / "a.xdf")
    writer.add_stream(stream())
    with pytest.raises(XdfError, match="has its header already"):
        writer.add_stream(stream())
    stamps = np.array([T0_S])
    with pytest.raises(XdfError, match="expected"):
        writer.samples(1, stamps, np.zeros((1, 3)))
    with pytest.raises(XdfError, match="expected"):
        writer.samples(1, stamps, np.zeros((2, 2)))
    with pytest.raises(XdfError, match="float32"):
        writer.samples(1, stamps, np.zeros((1, 2), dtype=np.float32))
    writer.samples(1, np.empty(0), np.empty((0, 2)))
    writer.close(T0_S)
    writer.close(T0_S)
    assert list(read_blocks(tmp_path / "a.xdf")) == []


def test_foreign_and_broken_files_are_named(tmp_path: Path):
    path = tmp_path / "a.xdf"
    path.write_bytes(b"EDF+")
    with pytest.raises(XdfError, match="not an XDF file"):
        list(read_blocks(path))
    path.write_bytes(b"XDF:" + b"\x01\x05\x01\x00abcdefgh")
    with pytest.raises(XdfError, match="pyxdf"):
        list(read_blocks(path))
    path.write_bytes(b"XDF:\x04\x0b\x00\x00\x00\x03\x00" + b"\x09\x00\x00\x00\x04\x00\x00\x00\x00")
    with pytest.raises(XdfError, match="no header"):
        list(read_blocks(path))
    path.write_bytes(b"XDF:\x04\x03\x00\x00\x00\x03\x00" + b"\x09")
    with pytest.raises(XdfError):
        list(read_blocks(path))


def test_an_existing_file_is_never_overwritten(tmp_path: Path):
    (tmp_path / "a.xdf").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        XdfWriter(tmp_path / "a.xdf")
    assert (tmp_path / "a.xdf").read_bytes() == b"precious"
