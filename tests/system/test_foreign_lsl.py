"""`nociloop run` on streams that are not ours, and on streams that fail, double, vanish or lie."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import mne
import numpy as np
import pytest

from controller.recorder import recorded_blocks, recorded_spec
from sim import record
from tests.bounded import Side
from tests.controller.material import recordings
from tests.system.interlock_rig import until
from tests.system.session_rig import (
    EAGER_TACS,
    PERSON,
    Rig,
    Session,
    changed,
    ledger_is_sound,
    permits,
    rig,
    run_folder_is_whole,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

AT_ONCE = 3
MNE_LSL = "1.14.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "nociloop-tests"
HERE = Path(__file__).parent
FRONTAL = 'channels = ["Fz", "FC1", "FC2", "F3", "F4", "Cz"]'
AGE_S = 0.25  # watch.data_age_ms of the demonstration's limits
SILENCE_S = 0.1  # source.silence_ms
FROZEN_S = 1.0  # the interlock's own: a second without anything new
RAMP_S = 0.1
SLACK_S = 0.3  # these run side by side; the bounds themselves are measured by the benchmarks

WHOLE_NS = 2_200_000_000  # Quality goes by whole seconds: flat is known after up to two


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A session that has ended, and what was noted while it ran."""

    rig: Rig
    session: Session
    status: int
    notes: dict[str, object] = field(default_factory=dict)

    def lines(self) -> list[str]:
        return [line for line in self.session.said.splitlines() if line.strip()]

    def zero_after_s(self, at_ns: int) -> float:
        zero_ns = record.zero_since(self.rig.truth(), at_ns)
        assert zero_ns is not None, "the record never shows zero"
        return (zero_ns - at_ns) / 1e9


def source(rig: Rig, lines: str, channels: str = FRONTAL) -> dict[str, str]:
    """Changes of session.toml: another source, and what fits it."""
    return EAGER_TACS | {f'source_id = "{rig.name}"\nsfreq_hz = 500.0': lines, FRONTAL: channels}


def foreign(rig: Rig, name: str = "amplifier", *options: str) -> dict[str, object]:
    return rig.helper(
        name, [sys.executable, str(HERE / "foreign_amplifier.py"), "--name", rig.name, *options]
    )


def raw(made: Rig) -> Seen:
    """Eight labelled channels at 250 Hz, no source_id; found by name and type; with a device behind."""
    ready = foreign(made)
    made.world(patient=False)
    changes = source(
        made, f'name = "{made.name}"\ntype = "EEG"\nsfreq_hz = 250.0', 'channels = ["Fz", "F3", "F4", "Cz"]'
    )
    made.files(changes | {"duration_s = 30.0": "duration_s = 5.0"})
    session = made.run()
    return Seen(rig=made, session=session, status=session.wait(), notes=ready)


def played(made: Rig, file: str, sfreq_hz: int) -> Seen:
    """A recording of a person, played by mne-lsl; in the shadow, and for contacts that no device of ours has."""
    env = {key: value for key, value in made.env.items() if key != "PYTHONPATH"}
    command = [str(player_python()), str(HERE / "recording_player.py"), str(recordings() / file), made.name]
    made.helper("player", [*command, str(sfreq_hz // 80)], env=env)
    changes = source(
        made,
        f'source_id = "{made.name}-player"\ntype = "eeg"\nsfreq_hz = {sfreq_hz}.0',
        'channels = ["Fz", "F3", "F4", "Cz"]',
    )
    changes |= {"duration_s = 30.0": "duration_s = 5.0", "F3 = 1.0": "FC5 = 1.0"}
    made.files(changes, {"[contacts.F3]": "[contacts.FC5]"})
    session = made.run("--shadow")
    return Seen(rig=made, session=session, status=session.wait())


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@functools.cache
def player_python() -> Path:
    """Python of an environment with mne-lsl, made once for this machine (40 s)."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / f"mne-lsl-{MNE_LSL}-py{sys.version_info.major}{sys.version_info.minor}"
    with (CACHE / "lock").open("w") as lock:
        until(lambda: _locked(lock), "the lock of whoever makes it now", 350.0)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            python = str(folder / "bin" / "python")
            for command in (
                [sys.executable, "-m", "venv", str(folder)],
                [python, "-m", "pip", "install", "-q", f"mne-lsl=={MNE_LSL}"],
                [python, "-c", "import mne_lsl.player"],
            ):
                done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
                if done.returncode != 0:
                    why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                    pytest.skip(f"mne-lsl {MNE_LSL} cannot be installed: {why}")
            (folder / "complete").touch()
    return folder / "bin" / "python"


def refused(made: Rig, lines: str, channels: str = FRONTAL) -> Seen:
    """A session that must not start; in the shadow, where neither device nor relay is needed."""
    made.files(source(made, lines, channels))
    session = made.run("--shadow")
    return Seen(rig=made, session=session, status=session.wait())


def two_of_one_name(made: Rig) -> Seen:
    foreign(made, "first")
    foreign(made, "second")
    return refused(made, f'name = "{made.name}"\nsfreq_hz = 250.0')


def another_rate(made: Rig) -> Seen:
    foreign(made)
    return refused(made, f'name = "{made.name}"\nsfreq_hz = 500.0')


def a_channel_too_few(made: Rig) -> Seen:
    foreign(made)
    lines = f'name = "{made.name}"\nsfreq_hz = 250.0\nchannels = ["Fz", "FCz", "C3", "C4"]'
    return refused(made, lines, 'channels = ["Fz"]')


def a_biomarker_s_channel_too_few(made: Rig) -> Seen:
    foreign(made)
    return refused(made, f'name = "{made.name}"\nsfreq_hz = 250.0')


def nobody_there(made: Rig) -> Seen:
    return refused(made, f'name = "{made.name}"\nsfreq_hz = 250.0\nresolve_s = 0.6')


def no_unit(made: Rig) -> Seen:
    foreign(made, "amplifier", "--unit", "")
    return refused(made, f'name = "{made.name}"\nsfreq_hz = 250.0')


def vanished(made: Rig) -> Seen:
    """The sender dies while another of its name and source_id is there and goes on."""
    made.world()
    made.files(EAGER_TACS)
    session = made.run()
    session.until(lambda: made.output() > 0.1, "output")
    impostor = made.patient("--seed", "2", part="impostor")
    hit_ns = time.monotonic_ns()
    made.parts["patient"].send_signal(signal.SIGKILL)
    status = session.wait()
    return Seen(
        rig=made, session=session, status=status, notes={"hit_ns": hit_ns, "impostor": impostor["uid"]}
    )


def vanished_under_pause(made: Rig) -> Seen:
    """To pause is for silence; a sender that is gone does not come back as itself."""
    made.patient()
    made.files(EAGER_TACS | {'lost = "end"': 'lost = "pause"'})
    session = made.run("--shadow")
    session.until(lambda: session.phase() == "ARMED", "armed")
    made.fault("stop:0")
    return Seen(rig=made, session=session, status=session.wait())


def broken(made: Rig, *faults: str) -> Session:
    """A session whose amplifier breaks once it stimulates."""
    session = made.run()
    session.until(lambda: made.output() > 0.1, "output")
    made.fault(*faults)
    return session


def silent(made: Rig) -> Seen:
    """A second and a half without a sample, and a session that ends when its EEG does."""
    made.world()
    made.files(EAGER_TACS)
    session = broken(made, "gap:0:1.5")
    return Seen(rig=made, session=session, status=session.wait())


def paused(made: Rig) -> Seen:
    """The same silence, and a session that pauses until a named person arms again."""
    made.world()
    _, limits = made.files(
        EAGER_TACS | {'lost = "end"': 'lost = "pause"', "duration_s = 30.0": "duration_s = 10.0"}
    )
    session = broken(made, "gap:0:1")
    session.until(lambda: len(session.events("silence")) == 2, "EEG is back")
    between = made.output()
    arm = (
        "arm", "--limits", str(limits), "--person", PERSON, "--reason", "cap is back on",
        "--passphrase-file", str(made.passphrase),
    )  # fmt: skip
    tries = [made.call(*arm)]
    while tries[-1].returncode != 0 and len(tries) < 5:
        time.sleep(0.1)  # as a person tries again
        tries.append(made.call(*arm))
    status = session.wait()
    return Seen(rig=made, session=session, status=status, notes={"tries": tries, "between": between})


def frozen(made: Rig) -> Seen:
    """The amplifier sends the same block again and again, with new stamps."""
    made.world()
    made.files(EAGER_TACS)
    session = broken(made, "freeze:0:20")
    return Seen(rig=made, session=session, status=session.wait())


def spoilt(made: Rig) -> Seen:
    """Most of the biomarker's channels break, each in its own way; meanwhile an impostor opens."""
    made.world("--impostor", "15")
    slow = {"rate_per_s = 0.5": "rate_per_s = 0.2\nhold_s = 0.5", "duration_s = 30.0": "duration_s = 10.0"}
    made.files(EAGER_TACS)
    text = (made.folder / "session.toml").read_text(encoding="utf-8")
    (made.folder / "session.toml").write_text(changed(text, slow), encoding="utf-8")
    session = broken(made, "nan:0:Fz", "rail:0:FC1", "flat:0:FC2", "nan:0:F3")
    return Seen(rig=made, session=session, status=session.wait())


EEGMAT = "eegmat_Subject00_1.edf"
SCENES: dict[str, Callable[[Rig], Seen]] = {
    "paused": paused,
    "spoilt": spoilt,
    "silent": silent,
    "frozen": frozen,
    "eegmat": lambda made: played(made, EEGMAT, 500),
    "eegmmidb": lambda made: played(made, "eegmmidb_S001R01.edf", 160),
    "raw": raw,
    "vanished": vanished,
    "vanished_under_pause": vanished_under_pause,
    "two_of_one_name": two_of_one_name,
    "another_rate": another_rate,
    "a_channel_too_few": a_channel_too_few,
    "a_biomarker_s_channel_too_few": a_biomarker_s_channel_too_few,
    "nobody_there": nobody_there,
    "no_unit": no_unit,
}


def staged(folder: Path, scene: Callable[[Rig], Seen]) -> Seen:
    with rig(folder) as made:
        return scene(made)


Stage = Callable[[str], Seen]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Every scene, a few side by side; a test takes the one that it asks for."""
    with Side(AT_ONCE) as pool:
        found: dict[str, Future[Seen]] = {
            name: pool.submit(staged, tmp_path_factory.mktemp(name), scene) for name, scene in SCENES.items()
        }
        yield lambda name: found[name].result()


def test_any_amplifier_of_the_lab_will_do(stage: Stage) -> None:
    seen = stage("raw")
    assert seen.status == 0, seen.session.said
    run_folder_is_whole(seen.session.run_dir)
    spec = recorded_spec(seen.session.run_dir / "eeg.xdf")
    assert (spec.uid, spec.source_id, spec.sfreq_hz, len(spec.ch_names)) == (seen.notes["uid"], "", 250.0, 8)
    assert permits(seen.session.run_dir) and seen.rig.truth().breaks
    values = [float(row["theta"]) for row in seen.session.table("readings.csv")]
    assert np.isfinite(values).all() and len(values) >= 20


@pytest.mark.parametrize(("scene", "file"), [("eegmat", EEGMAT), ("eegmmidb", "eegmmidb_S001R01.edf")])
def test_the_eeg_of_a_person_runs_in_the_shadow(stage: Stage, scene: str, file: str) -> None:
    seen = stage(scene)
    assert seen.status == 0, seen.session.said
    run_folder_is_whole(seen.session.run_dir)
    summary = seen.session.summary()
    assert summary["shadow"] is True
    verdicts = {row["verdict"] for row in seen.session.table("requests.csv")}
    assert verdicts == {"permit"} and permits(seen.session.run_dir)
    values = [float(row["theta"]) for row in seen.session.table("readings.csv")]
    assert np.isfinite(values).all() and 0.0 < min(values) < max(values) < 1.0
    # What was recorded is a stretch of the file, sample for sample.
    blocks = list(recorded_blocks(seen.session.run_dir / "eeg.xdf"))
    got = np.concatenate([block.data_uv for block in blocks], axis=1)[:, :300]
    known = mne.io.read_raw_edf(recordings() / file, verbose="ERROR")
    names = recorded_spec(seen.session.run_dir / "eeg.xdf").ch_names
    want = known.get_data(picks=list(names)) * 1e6
    starts = np.flatnonzero(np.isclose(want[0, :-300], got[0, 0], atol=1e-3))
    assert any(np.allclose(want[:, at : at + 300], got, atol=1e-3) for at in starts)


@pytest.mark.parametrize(
    ("scene", "status", "words"),
    [
        ("two_of_one_name", 3, ("found 2 streams | expected one | source_id",)),
        ("another_rate", 3, ("announces 250 Hz | expected 500 Hz | source.sfreq_hz",)),
        ("a_channel_too_few", 3, ("no channel 'FCz' | source.channels",)),
        ("a_biomarker_s_channel_too_few", 2, ("biomarkers.theta: channels: | FC1",)),
        ("nobody_there", 3, ("found no stream | nociloop streams",)),
        ("no_unit", 3, ("says no unit | source.unit",)),
    ],
)
def test_a_stream_that_does_not_fit_is_refused_in_a_line(
    stage: Stage, scene: str, status: int, words: tuple[str, ...]
) -> None:
    seen = stage(scene)
    assert seen.status == status, seen.session.said
    for line, word in zip(seen.lines(), words, strict=True):
        assert line.startswith("nociloop: ") and all(part in line for part in word.split(" | ")), line


def test_a_sender_that_is_gone_ends_it_and_its_double_is_never_read(stage: Stage) -> None:
    seen = stage("vanished")
    hit_ns = seen.notes["hit_ns"]
    assert isinstance(hit_ns, int)
    assert seen.status == 4, seen.session.said
    assert seen.zero_after_s(hit_ns) < AGE_S + 0.05 + RAMP_S + SLACK_S
    assert "the sender is gone" in seen.session.said
    run_folder_is_whole(seen.session.run_dir)
    spec = recorded_spec(seen.session.run_dir / "eeg.xdf")
    newest_ns = max(block.evidence.newest_ns for block in recorded_blocks(seen.session.run_dir / "eeg.xdf"))
    assert spec.uid != seen.notes["impostor"]
    assert newest_ns < hit_ns + 100_000_000  # nothing after the blow


def test_a_sender_that_is_gone_ends_a_session_that_would_pause(stage: Stage) -> None:
    seen = stage("vanished_under_pause")
    assert seen.status == 4, seen.session.said
    assert "the sender is gone" in seen.session.said
    ledger_is_sound(seen.session.run_dir)


def test_silence_trips_where_the_session_ends_with_its_eeg(stage: Stage) -> None:
    seen = stage("silent")
    assert seen.status == 4, seen.session.said
    assert [row["code"] for row in seen.session.events("trip")] == ["ILK-203"]
    assert seen.zero_after_s(seen.rig.fault_ns()) < AGE_S + 0.05 + RAMP_S + SLACK_S
    run_folder_is_whole(seen.session.run_dir)


def test_silence_pauses_where_that_is_asked_and_only_a_person_goes_on(stage: Stage) -> None:
    seen = stage("paused")
    assert seen.status == 0, seen.session.said
    assert not seen.session.events("trip")
    assert [row["code"] for row in seen.session.events("silence")] == ["pause", "over"]
    phases = [row["text"].partition(":")[0] for row in seen.session.events("phase")]
    assert phases == ["READY", "ARMED", "READY", "ARMED", "SAFE"]
    gap_ns = seen.rig.fault_ns()
    breaks = seen.rig.truth().breaks
    first_zero_ns = next(each.t_ns for each in breaks if each.t_ns > gap_ns and each.a_ma_pp == 0.0)
    assert (first_zero_ns - gap_ns) / 1e9 < SILENCE_S + RAMP_S + SLACK_S
    assert seen.notes["between"] == 0.0
    tries = seen.notes["tries"]
    assert isinstance(tries, list)
    assert tries[-1].returncode == 0 and tries[-1].stdout.startswith("ARMED"), tries
    assert all(each.returncode == 3 and "ILK-306" in each.stdout for each in tries[:-1]), tries
    assert any(each.a_ma_pp > 0.1 for each in breaks if each.t_ns > first_zero_ns)
    run_folder_is_whole(seen.session.run_dir)


def test_a_frozen_amplifier_trips(stage: Stage) -> None:
    seen = stage("frozen")
    assert seen.status == 4, seen.session.said
    assert [row["code"] for row in seen.session.events("trip")] == ["ILK-205"]
    assert seen.zero_after_s(seen.rig.fault_ns()) < FROZEN_S + 0.05 + RAMP_S + SLACK_S
    run_folder_is_whole(seen.session.run_dir)


def test_bad_channels_come_as_quality_and_never_as_numbers(stage: Stage) -> None:
    seen = stage("spoilt")
    assert seen.status == 0, seen.session.said
    bad_ns = seen.rig.fault_ns()
    rows = seen.session.table("readings.csv")
    before = [row for row in rows if int(row["t_mono_ns"]) < bad_ns]
    after = [row for row in rows if int(row["t_mono_ns"]) > bad_ns + WHOLE_NS]
    assert len(before) >= 3 and len(after) > 10
    assert all(np.isfinite(float(row["theta"])) and row["theta_reason"] == "" for row in before)
    # Until the bad seconds are whole they are left out: no number is far from those before.
    between = [float(row["theta"]) for row in rows if 0 < int(row["t_mono_ns"]) - bad_ns <= WHOLE_NS]
    assert all(abs(value - float(before[-1]["theta"])) < 0.1 for value in between if np.isfinite(value))
    for row in after:
        assert row["theta"] == "nan" and row["theta_reason"].startswith("channels:"), row
        # The four that were spoiled; by chance one or two more may be judged noisy for a while.
        assert 26 / 32 <= float(row["clean_fraction"]) <= 28 / 32
    held = [row for row in seen.session.table("requests.csv") if int(row["asked_ns"]) > bad_ns + WHOLE_NS]
    levels = [float(row["amplitude"]) for row in held]
    assert levels == sorted(levels, reverse=True)  # without a reading: hold, then down; never up
    assert max(each.a_ma_pp for each in seen.rig.truth().breaks) > 0.1


def test_an_impostor_is_never_read(stage: Stage) -> None:
    """Two outlets of one name and source_id while it runs: only the samples of one are counted."""
    seen = stage("spoilt")
    path = seen.session.run_dir / "eeg.xdf"
    truth = (seen.rig.folder / "patient.jsonl").read_text(encoding="utf-8").splitlines()
    assert recorded_spec(path).uid == json.loads(truth[0])["uid"]
    blocks = list(recorded_blocks(path))
    span_s = (blocks[-1].evidence.newest_ns - blocks[0].evidence.newest_ns) / 1e9
    n_samples = sum(block.data_uv.shape[1] for block in blocks[1:])
    assert n_samples == pytest.approx(500.0 * span_s, abs=2)
