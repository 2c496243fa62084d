"""`nociloop measure`, `check`, `streams`, `doctor` as they are typed: every kind of recording, and output for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import mne
import numpy as np
import pytest

from tests.controller.material import recordings
from tests.system.session_rig import EAGER_TACS, ROOT, Rig, command, rig

DURATION_S = 6.0
NAMES = ("Fz", "F3", "F4", "Cz", "C3", "C4")
SESSION = ROOT / "docs" / "examples" / "session-tacs.toml"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The same twenty seconds in three formats."""
    folder = tmp_path_factory.mktemp("recordings")
    generator = np.random.default_rng(1)
    at_s = np.arange(0, 20, 1 / 250)
    data = generator.normal(0, 8e-6, (len(NAMES), len(at_s))) + 15e-6 * np.sin(2 * np.pi * 6 * at_s)
    raw = mne.io.RawArray(data, mne.create_info(list(NAMES), 250.0, "eeg"), verbose="ERROR")
    fif, edf, vhdr = folder / "rest_raw.fif", folder / "rest.edf", folder / "rest.vhdr"
    raw.save(fif, verbose="ERROR")
    write_edf(edf, data)
    write_brainvision(vhdr, data)
    return {"fif": fif, "edf": edf, "vhdr": vhdr}


def write_edf(path: Path, data: np.ndarray) -> None:
    """By hand, so that what is read is not what wrote it: one record a second, 0.05 µV a step."""
    n, sfreq = len(NAMES), 250
    seconds = data.shape[1] // sfreq
    fields = (
        ([*NAMES], 16), (["AgCl"] * n, 80), (["uV"] * n, 8), (["-1638.4"] * n, 8), (["1638.35"] * n, 8),
        (["-32768"] * n, 8), (["32767"] * n, 8), ([""] * n, 80), ([str(sfreq)] * n, 8), ([""] * n, 32),
    )  # fmt: skip
    head = f"{'0':<8}{'X':<80}{'X':<80}{'01.01.26'}{'00.00.00'}{256 * (n + 1):<8}{'':<44}{seconds:<8}{'1':<8}{n:<4}"
    text = head + "".join(f"{value:<{width}}" for values, width in fields for value in values)
    steps = np.rint(data * 1e6 / 0.05).astype("<i2")
    records = steps.reshape(n, seconds, sfreq).transpose(1, 0, 2)
    path.write_bytes(text.encode("ascii") + records.tobytes())


def write_brainvision(path: Path, data: np.ndarray) -> None:
    channels = "\n".join(f"Ch{index}={name},,0.05,µV" for index, name in enumerate(NAMES, 1))
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.stem}.eeg\nMarkerFile={path.stem}.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        f"NumberOfChannels={len(NAMES)}\nSamplingInterval=4000\n\n[Binary Infos]\nBinaryFormat=INT_16\n\n"
        f"[Channel Infos]\n{channels}\n",
        encoding="utf-8",
    )
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.stem}.eeg\n\n[Marker Infos]\nMk1=New Segment,,1,1,0,20260101000000000000\n",
        encoding="utf-8",
    )
    path.with_suffix(".eeg").write_bytes(np.rint(data.T * 1e6 / 0.05).astype("<i2").tobytes())


def measured(path: Path, session: Path = SESSION) -> list[dict[str, str]]:
    done = command("measure", str(path), "--session", str(session), "--out", "-")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"{len(rows(done.stdout))} rows\n"
    return rows(done.stdout)


def test_one_recording_gives_one_answer_in_every_format(files: Mapping[str, Path]) -> None:
    found = {kind: measured(path) for kind, path in files.items()}
    assert len(found["fif"]) == 161  # from the fourth second on, ten a second
    for kind in ("edf", "vhdr"):
        assert len(found[kind]) == len(found["fif"])
        for a, b in zip(found["fif"], found[kind], strict=True):
            assert float(a["theta"]) == pytest.approx(float(b["theta"]), abs=2e-3)
            assert a["theta_reason"] == b["theta_reason"] == ""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A short session in the shadow, whose folder is measured again."""
    with rig(tmp_path_factory.mktemp("lived")) as made:
        made.patient()
        made.files({**EAGER_TACS, "duration_s = 30.0": f"duration_s = {DURATION_S}"})
        session = made.run("--shadow")
        assert session.wait() == 0, session.said
        yield made


@pytest.mark.parametrize("what", ["", "eeg.xdf"])
def test_a_run_measured_again_is_what_the_loop_measured(lived: Rig, what: str) -> None:
    """The folder, and the recording in it alone: the same readings at the same times, to the last digit."""
    (run_dir,) = lived.runs.iterdir()
    again = {row["time_s"]: row for row in measured(run_dir / what, run_dir / "session.toml")}
    with (run_dir / "readings.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) > 30
    for row in table:
        found = again[f"{float(row['time_s']):.6f}"]
        for name in ("theta", "alpha"):
            assert (found[name], found[f"{name}_reason"]) == (row[name], row[f"{name}_reason"])


def test_a_file_appears_whole_or_not_at_all(files: Mapping[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "rest.csv"
    assert command("measure", str(files["fif"]), "--session", str(SESSION), "--out", str(out)).returncode == 0
    assert len(rows(out.read_text(encoding="utf-8"))) == 161
    assert [path.name for path in tmp_path.iterdir()] == ["rest.csv"]


@pytest.mark.parametrize(
    ("recording", "out", "words"),
    [
        ("nowhere.fif", "x.csv", "no such file"),
        ("{fif}", "nowhere/x.csv", "cannot be written"),
        ("{fif}", ".", "is a folder"),
        ("{session}", "x.csv", 'found ".toml", expected'),
        ("{cut}", "x.csv", "cut.edf"),
        ("{xdf}", "x.csv", 'no stream of type "EEG"'),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    files: Mapping[str, Path], tmp_path: Path, recording: str, out: str, words: str
) -> None:
    cut = tmp_path / "cut.edf"
    cut.write_bytes(files["edf"].read_bytes()[:100])
    xdf = recordings() / "xdf" / "empty_streams.xdf"
    path = recording.format(fif=files["fif"], session=SESSION, cut=cut, xdf=xdf)
    done = command("measure", path, "--session", str(SESSION), "--out", out, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("nociloop: ") and words in line
    assert [path.name for path in tmp_path.iterdir()] == ["cut.edf"]


def test_check_shows_every_limit_and_who_set_it(lived: Rig) -> None:
    shown = lived.call("check", "session.toml", "--limits", "limits.toml")
    told = lived.call("check", "session.toml", "--limits", "limits.toml", "--json")
    assert (shown.returncode, told.returncode, shown.stderr, told.stderr) == (0, 0, "", "")
    said = json.loads(told.stdout)
    assert said["ok"] is True and said["objections"] == []
    (amplitude,) = [row for row in said["rows"] if row["quantity"] == "amplitude_ma_pp"]
    assert (amplitude["high"], amplitude["set_by"], amplitude["status"]) == (1.5, "participant", "unverified")
    for row in said["rows"]:
        assert row["quantity"] in shown.stdout and row["set_by"] in shown.stdout
    assert "1200" in shown.stdout and said["session_digest"][:16] in shown.stdout


def test_check_names_what_the_train_asks_for_beyond_the_limits(tmp_path: Path) -> None:
    with rig(tmp_path) as made:
        made.files(
            {"amplitude_ma_pp = 1.5": "amplitude_ma_pp = 1.6", "frequency_hz = 10.0": "frequency_hz = 41.0"}
        )
        shown = made.call("check", "session.toml", "--limits", "limits.toml")
    assert shown.returncode == 1
    refused = [line for line in shown.stdout.splitlines() if line.startswith("REFUSED")]
    assert (
        len(refused) >= 2 and any("41" in line for line in refused) and any("1.6" in line for line in refused)
    )


@pytest.mark.parametrize("modality", ["tacs", "rtms"])
def test_the_examples_fit_each_other(modality: str) -> None:
    """Dates apart: the example's facts are of their own day."""
    folder = ROOT / "docs" / "examples"
    names = (str(folder / f"session-{modality}.toml"), "--limits", str(folder / f"limits-{modality}.toml"))
    told = json.loads(command("check", *names, "--json").stdout)
    assert told.get("errors", []) == []
    assert all("a dated fact does not hold today" in line for line in told["objections"])


def test_streams_and_doctor_tell_programs_and_people(tmp_path: Path) -> None:
    with rig(tmp_path) as made:
        made.patient()
        told = made.call("streams", "--json")
        shown = made.call("streams")
        doctor = made.call("doctor", "--json", "--out", str(tmp_path))
    (stream,) = [row for row in json.loads(told.stdout) if row["source_id"] == made.name]
    assert (stream["type"], stream["n_channels"], stream["sfreq_hz"]) == ("EEG", 32, 500.0)
    assert set(stream["units"]) == {"microvolts"} and len(set(stream["labels"])) == 32
    assert f'source_id = "{made.name}"' in shown.stdout and "[source]" in shown.stdout
    report = json.loads(doctor.stdout)
    assert doctor.returncode == (0 if report["ok"] else 1) and doctor.stderr == ""
    assert {"name", "verdict", "found", "fix"} <= report["findings"][0].keys()
    assert {"liblsl", "LSL loopback", "disk space"} <= {finding["name"] for finding in report["findings"]}
