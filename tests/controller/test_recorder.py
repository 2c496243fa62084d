"""Recorder: the run folder holds exactly what was offered; a full disk or a kill costs a tail, never more."""

from __future__ import annotations

import csv
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import pyxdf

from controller.eeg import Block, Cycle, Evidence, Quality, Reading, StreamSpec
from controller.manifest import ManifestError
from controller.recorder import (
    Recorder,
    RecordError,
    check_manifest,
    recorded_blocks,
    recorded_spec,
    write_manifest,
)
from controller.taps import Event, Item, Tap
from drivers.stimulation import Delivery, Hold, MagneticPulse, Output, PulseTrain, Sine, Train
from safety.messages import Allowed, DeliveryReport, Permit, PhaseChanged, Reason, Refusal, Request, Trip

SPEC = StreamSpec(
    name="EEG", type="EEG", source_id="amp", uid="u1", sfreq_hz=250.0, ch_names=("C3", "C4"), hostname="h"
)
ALLOWED = Allowed(
    rows=(), used={}, budget={}, not_before_ns=0, busy_until_ns=0, amplitude_now=0.0, amplitude_max=0.0
)
EVIDENCE = Evidence(
    stream_uid="u1", n_samples=12, newest_ns=5, uncertainty_ns=7, crc=0xFFFFFFFF, clean_fraction=1 / 3
)
QUALITY = Quality(ok=False, reasons=("railing", "line noise"), bads=("C3",), clean_fraction=0.5, clean_s=1.25)
T0_NS = 86_400_123_456_789


def block(first: int, n_samples: int, *, n_missing: int = 0, t0_ns: int = T0_NS, seed: int = 0) -> Block:
    data = np.random.default_rng(seed).standard_normal((2, n_samples)) * 40
    stamps = t0_ns + (np.arange(first, first + n_samples, dtype=np.int64) * 4_000_001)
    newest_ns = int(stamps[-1]) if n_samples else 0
    return Block(
        data_uv=data,
        stamps_ns=stamps,
        received_ns=newest_ns + 3_000_000,
        first=first,
        n_missing=n_missing,
        evidence=Evidence(
            stream_uid="u1",
            n_samples=first + n_samples,
            newest_ns=newest_ns,
            uncertainty_ns=12_345,
            crc=0xDEADBEEF ^ first,
            clean_fraction=0.1 + 0.2,
        ),
    )


def reading(name: str, value: float, reason: str = "") -> Reading:
    return Reading(
        biomarker=name,
        value=value,
        unit="dB",
        time_ns=T0_NS,
        window_s=2.0,
        latency_s=1.0,
        quality=QUALITY,
        reason=reason,
    )


def hold(amplitude_ma_pp: float = 0.1) -> Train:
    return Train(
        modality="tacs",
        outputs=(Output(name="C3", share=1.0),),
        waveform=Hold(
            carrier=Sine(amplitude_ma_pp=amplitude_ma_pp, frequency_hz=10.0),
            ramp_up_ms=100,
            ramp_down_ms=100,
            duration_ms=500,
        ),
    )


def cycle(index: int, verdict: Permit | Refusal | Trip | None, train: Train | None = None) -> Cycle:
    request = Request(id=index, train=train or hold(), onset_at_ns=0, response=1.0, evidence=EVIDENCE)
    return Cycle(
        index=index,
        sample_ns=T0_NS,
        received_ns=T0_NS + 1,
        computed_ns=T0_NS + 2,
        asked_ns=T0_NS + 3,
        answered_ns=T0_NS + 6,
        readings={"erd": reading("erd", 0.1 + 0.2), "paf": reading("paf", float("nan"), "flat, no peak")},
        request=request,
        verdict=verdict,
    )


def record(run_dir: Path, items: list[Item], raw: bool = True) -> Recorder:
    recorder = Recorder(run_dir, SPEC, ("erd", "paf"), raw=raw)
    recorder.consume([(T0_NS + index, item) for index, item in enumerate(items)])
    return recorder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def same(left: Block, right: Block) -> bool:
    return (
        left.data_uv.tobytes() == right.data_uv.tobytes()
        and left.data_uv.shape == right.data_uv.shape
        and left.stamps_ns.tolist() == right.stamps_ns.tolist()
        and (left.received_ns, left.first, left.n_missing)
        == (right.received_ns, right.first, right.n_missing)
        and left.evidence == right.evidence
    )


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """A disk that is full: the kernel refuses to let any file grow beyond `n_bytes`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_blocks_come_back_bit_for_bit_with_their_boundaries(tmp_path: Path):
    blocks = [
        block(0, 8),
        block(8, 1),
        block(14, 25, n_missing=5, seed=3),
        block(39, 0),
        block(39, 2, seed=4),
    ]
    recorder = record(tmp_path, list(blocks))
    recorder.close()
    found = list(recorded_blocks(tmp_path / "eeg.xdf"))
    assert len(found) == len(blocks)
    assert all(same(*pair) for pair in zip(blocks, found, strict=True))
    assert recorded_spec(tmp_path / "eeg.xdf") == SPEC


def test_stamps_stay_exact_after_years_of_uptime(tmp_path: Path):
    blocks = [block(0, 50, t0_ns=2**55 + 12_345), block(50, 50, t0_ns=T0_NS)]
    record(tmp_path, list(blocks)).close()
    assert all(same(*pair) for pair in zip(blocks, recorded_blocks(tmp_path / "eeg.xdf"), strict=True))


def test_pyxdf_sees_the_samples_and_the_boundaries(tmp_path: Path):
    blocks = [block(index * 5, 5, seed=index) for index in range(40)]
    record(tmp_path, list(blocks)).close()
    streams, _ = pyxdf.load_xdf(str(tmp_path / "eeg.xdf"), dejitter_timestamps=False)
    found = {stream["info"]["name"][0]: stream for stream in streams}
    eeg = found["EEG"]
    assert np.array_equal(eeg["time_series"], np.concatenate([item.data_uv.T for item in blocks]))
    assert np.array_equal(eeg["time_stamps"], np.concatenate([item.stamps_ns for item in blocks]) / 1e9)
    channel = eeg["info"]["desc"][0]["channels"][0]["channel"][0]
    assert (channel["label"], channel["unit"], channel["type"]) == (["C3"], ["microvolts"], ["EEG"])
    table = found["nociloop-blocks"]["time_series"]
    assert table.dtype == np.int64
    assert table[:, :5].tolist() == [
        [item.first, 5, 0, item.received_ns, item.evidence.crc] for item in blocks
    ]


def test_each_table_has_the_agreed_columns_and_exact_values(tmp_path: Path):
    permit = Permit(id=1, token=9, lease_until_ns=0, read_ns=T0_NS + 4, sent_ns=T0_NS + 5, allowed=ALLOWED)
    refusal = Refusal(
        id=2,
        reasons=(Reason(code="R1", text='too "high"'), Reason(code="R2", text="a,b\nc")),
        allowed=ALLOWED,
    )
    pulses = Train(
        modality="rtms",
        outputs=(Output(name="coil", share=1.0),),
        waveform=PulseTrain(pulse=MagneticPulse(amplitude_pct_mso=40.0), rate_hz=10.0, n_pulses=20),
    )
    delivery = Delivery(token=9, start_ns=1, end_ns=2, amplitude=0.1, n_pulses=0, ended=True, confirmed=False)
    items: list[Item] = [
        cycle(1, permit),
        cycle(2, refusal, pulses),
        cycle(3, Trip(code="ILK-1", text="stop", remedy="reset")),
        cycle(4, None),
        DeliveryReport(id=1, delivery=delivery, allowed=ALLOWED),
        PhaseChanged(phase="ARMED", code="ACT", text="armed by A"),
        Trip(code="ILK-1", text="stop", remedy="reset"),
        Event(t_ns=77, kind="stream", code="lost", text="EEG"),
    ]
    record(tmp_path, items).close()
    readings = rows(tmp_path / "readings.csv")
    assert ",".join(readings[0]) == (
        "index,time_s,t_mono_ns,clean_fraction,clean_s,ok,quality_reasons,erd,erd_reason,paf,paf_reason"
    )
    assert list(readings[0].values()) == [
        *("1", "86400.123456789", str(T0_NS), "0.5", "1.25", "0", "railing;line noise"),
        *("0.30000000000000004", "", "nan", "flat, no peak"),
    ]
    requests = rows(tmp_path / "requests.csv")
    assert ",".join(requests[0]) == (
        "id,index,modality,kind,amplitude,verdict,codes,text,token,sample_ns,received_ns,computed_ns,"
        "asked_ns,ilk_read_ns,ilk_sent_ns,answered_ns"
    )
    times = [str(T0_NS + offset) for offset in (0, 1, 2, 3, 4, 5, 6)]
    assert list(requests[0].values()) == [*("1", "1", "tacs", "hold", "0.1", "permit", "", "", "9", *times)]
    assert [row["verdict"] for row in requests] == ["permit", "refusal", "trip", "none"]
    assert [row["kind"] for row in requests] == ["hold", "pulse_train", "hold", "hold"]
    assert (requests[1]["amplitude"], requests[1]["codes"]) == ("40.0", "R1;R2")
    assert requests[1]["text"] == 'too "high"; a,b\nc'
    assert requests[3]["ilk_read_ns"] == "0"
    (delivered,) = rows(tmp_path / "deliveries.csv")
    assert list(delivered.items()) == [
        *(("id", "1"), ("token", "9"), ("start_ns", "1"), ("end_ns", "2"), ("amplitude", "0.1")),
        *(("n_pulses", "0"), ("ended", "1"), ("confirmed", "0")),
    ]
    assert [list(row.values()) for row in rows(tmp_path / "events.csv")] == [
        [str(T0_NS + 5), "phase", "ACT", "ARMED: armed by A"],
        [str(T0_NS + 6), "trip", "ILK-1", "stop reset"],
        ["77", "stream", "lost", "EEG"],
    ]


def test_all_is_in_the_files_before_consume_returns(tmp_path: Path):
    recorder = record(tmp_path, [block(0, 8), cycle(1, None), Event(t_ns=1, kind="k", code="c", text="t")])
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in tmp_path.glob("*.*"):
        shutil.copy(path, copy)
    assert len(list(recorded_blocks(copy / "eeg.xdf"))) == 1
    assert all(len(rows(copy / f"{name}.csv")) == 1 for name in ("readings", "requests", "events"))
    recorder.close()


def test_without_raw_no_eeg_is_kept(tmp_path: Path):
    record(tmp_path, [block(0, 8), cycle(1, None)], raw=False).close()
    assert not (tmp_path / "eeg.xdf").exists()
    assert len(rows(tmp_path / "readings.csv")) == 1


def test_nothing_is_overwritten_and_a_bad_folder_is_one_line(tmp_path: Path):
    record(tmp_path, []).close()
    before = (tmp_path / "eeg.xdf").read_bytes()
    with pytest.raises(RecordError, match=r"readings\.csv: exists already"):
        Recorder(tmp_path, SPEC, ())
    assert (tmp_path / "eeg.xdf").read_bytes() == before
    with pytest.raises(RecordError, match="cannot be written: No such file"):
        Recorder(tmp_path / "absent", SPEC, ())
    with pytest.raises(RecordError, match="cannot be written: Not a directory"):
        Recorder(tmp_path / "events.csv", SPEC, ())


def test_a_full_disk_stops_the_recorder_and_nothing_else(tmp_path: Path):
    tap = Tap("recorder", 4096)
    tap.start(Recorder(tmp_path, SPEC, ("erd", "paf")))
    blocks = [block(index * 50, 50, seed=index) for index in range(60)]
    with file_size_limit(40_000):
        for item in blocks:
            tap.offer(item)
            time.sleep(0.001)
        deadline_s = time.monotonic() + 5
        while not tap.failed:
            assert time.monotonic() < deadline_s
            time.sleep(0.005)
        for _ in range(100):
            tap.offer(blocks[0])
    assert not tap.close(5)
    assert "RecordError" in tap.failed and "eeg.xdf: File too large" in tap.failed
    assert "\n" not in tap.failed
    kept = list(recorded_blocks(tmp_path / "eeg.xdf"))
    assert all(same(*pair) for pair in zip(blocks, kept, strict=False))
    streams, _ = pyxdf.load_xdf(str(tmp_path / "eeg.xdf"), dejitter_timestamps=False)
    assert len(streams[0]["time_stamps"]) == 50 * len(kept)


CHILD = """
import sys
from pathlib import Path
from controller.recorder import Recorder
from controller.taps import Tap
from tests.controller.test_recorder import SPEC, block, cycle
tap = Tap("recorder", 100000)
tap.start(Recorder(Path(sys.argv[1]), SPEC, ("erd", "paf")))
first = 0
while True:
    tap.offer(block(first, 5, seed=first))
    tap.offer(cycle(first, None))
    first += 5
    if first == 1000:
        print("going", flush=True)
"""


def test_a_killed_recorder_leaves_a_folder_that_reads(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert child.stdout is not None and child.stdout.readline() == b"going\n"
        while (tmp_path / "eeg.xdf").stat().st_size < 200_000:
            time.sleep(0.005)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10.0)
        if child.stdout is not None:
            child.stdout.close()
    kept = list(recorded_blocks(tmp_path / "eeg.xdf"))
    assert len(kept) > 100
    assert all(same(block(index * 5, 5, seed=index * 5), item) for index, item in enumerate(kept))
    with caplog.at_level(logging.CRITICAL):
        streams, _ = pyxdf.load_xdf(str(tmp_path / "eeg.xdf"), dejitter_timestamps=False)
    assert len(streams[0]["time_stamps"]) >= 5 * len(kept)
    whole = (tmp_path / "readings.csv").read_text().rpartition("\n")[0].split("\n")
    assert [int(line.split(",")[0]) for line in whole[1:]] == [5 * index for index in range(len(whole) - 1)]


def test_a_foreign_xdf_is_named(tmp_path: Path):
    (tmp_path / "a.xdf").write_bytes(b"XDF:")
    with pytest.raises(RecordError, match="nociloop-blocks"):
        list(recorded_blocks(tmp_path / "a.xdf"))


def test_the_manifest_holds_and_every_change_is_named(tmp_path: Path):
    record(tmp_path, [block(0, 8)]).close()
    (tmp_path / "empty").touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a b").write_text("x")
    write_manifest(tmp_path)
    text = (tmp_path / "MANIFEST").read_text().splitlines()
    names = [line.split("  ", 2)[2] for line in text]
    assert names == sorted(names) and "sub/a b" in names and "MANIFEST" not in names
    assert "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  0  empty" in text
    assert check_manifest(tmp_path) == ()
    write_manifest(tmp_path)
    assert check_manifest(tmp_path) == ()
    data = bytearray((tmp_path / "eeg.xdf").read_bytes())
    data[-1] ^= 1
    (tmp_path / "eeg.xdf").write_bytes(data)
    (tmp_path / "events.csv").write_text("")
    (tmp_path / "empty").unlink()
    (tmp_path / "empty").symlink_to(tmp_path / "sub" / "a b")
    (tmp_path / "new").touch()
    problems = [line.removeprefix(f"{tmp_path}/") for line in check_manifest(tmp_path)]
    assert problems == [
        "eeg.xdf: content differs from MANIFEST",
        "empty: missing",
        "events.csv: 0 bytes, MANIFEST says 25",
        "new: not in MANIFEST",
    ]


def test_a_bad_manifest_is_told(tmp_path: Path):
    assert "No such file" in check_manifest(tmp_path)[0]
    for content in (b"garbage\n", b"\xff\n"):
        (tmp_path / "MANIFEST").write_bytes(content)
        assert len(check_manifest(tmp_path)) == 1
    (tmp_path / "line\nbreak").touch()
    with pytest.raises(ManifestError, match="line break"):
        write_manifest(tmp_path)
