"""The simulated amplifier: its faults as pure functions, then the real process over real LSL."""

from __future__ import annotations

import json
import math
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pylsl
import pytest
import typer
from numpy.typing import NDArray
from pylsl.util import LostError
from typer.testing import CliRunner

from sim.amplifier import Amplifier, Options, main
from sim.amplifier_faults import RAIL_UV, Faults, Push, parse, rate_factor
from sim.leadfield import CH_NAMES
from sim.patient_verb import patient
from tests.bounded import line_of

pytestmark = pytest.mark.system

Floats = NDArray[np.float64]
Start = Callable[..., tuple["subprocess.Popen[str]", dict[str, str]]]
READY_S = 10.0


def through(*texts: str, block: int = 10, seconds: float = 3.0) -> list[Push]:
    """Counting samples (value = index on every channel) at 100 Hz through the faults."""
    faults = Faults([parse(text, CH_NAMES) for text in texts], 100.0)
    pushes = []
    for first in range(0, round(seconds * 100), block):
        index = np.arange(first, first + block, dtype=np.float64)
        pushes.append(faults.apply(np.tile(index, (32, 1)), index / 100.0, first))
    return pushes


def joined(pushes: list[Push]) -> tuple[Floats, Floats]:
    data = np.concatenate([push.data_uv for push in pushes], axis=1)
    return data, np.concatenate([push.stamps_s for push in pushes])


class TestFaults:
    def test_without_faults_nothing_changes(self) -> None:
        data, stamps = joined(through())
        assert np.array_equal(data[7], np.arange(300))
        assert np.array_equal(stamps, np.arange(300) / 100)

    @pytest.mark.parametrize("block", [1, 10, 60])
    def test_a_gap_takes_exactly_its_samples(self, block: int) -> None:
        data, stamps = joined(through("gap:1:0.5", block=block))
        assert np.array_equal(data[0], np.r_[0:100, 150:300])
        assert np.array_equal(stamps, data[0] / 100)

    def test_freeze_repeats_the_block_before_with_stamps_going_on(self) -> None:
        data, stamps = joined(through("freeze:1:0.5"))
        assert np.array_equal(data[0, 100:150], np.tile(np.arange(90, 100), 5))
        assert np.array_equal(data[0, 150:], np.arange(150, 300))
        assert np.array_equal(stamps, np.arange(300) / 100)

    @pytest.mark.parametrize(("name", "value"), [("nan", math.nan), ("rail", RAIL_UV), ("flat", 0.0)])
    def test_a_bad_channel_is_one_channel(self, name: str, value: float) -> None:
        data, _ = joined(through(f"{name}:1:C3"))
        c3 = CH_NAMES.index("C3")
        assert np.array_equal(data[c3, :100], np.arange(100))
        assert np.array_equal(data[c3, 100:], np.full(200, value), equal_nan=True)
        assert np.array_equal(np.delete(data, c3, axis=0)[0], np.arange(300))

    def test_stop_duplicate_and_stamps(self) -> None:
        alive = [push.alive for push in through("stop:1")]
        assert alive == [True] * 10 + [False] * 20
        copies = [push.copies for push in through("duplicate:2")]
        assert copies == [1] * 20 + [2] * 10
        _, stamps = joined(through("stamps:1:-15"))
        assert stamps == pytest.approx(np.r_[0:100, -1400:-1200] / 100)

    def test_faults_combine(self) -> None:
        pushes = through("gap:1:0.5", "nan:0:C3", "rate_off:0.02", "rate_off:-0.01")
        data, _ = joined(pushes)
        assert data.shape[1] == 250 and np.isnan(data[CH_NAMES.index("C3")]).all()
        assert (
            rate_factor([parse("rate_off:0.02", CH_NAMES), parse("rate_off:-0.01", CH_NAMES)]) == 1.02 * 0.99
        )

    @pytest.mark.parametrize(
        "text",
        ["", "melt:1", "gap", "gap:1", "gap:1:x", "gap:1:nan", "gap:1:-1", "gap:-1:1", "gap:1:1:1", "nan:1:C99",
         "stop:inf", "rate_off:0.9", "rate_off:1:1", "duplicate"],
    )  # fmt: skip
    def test_what_is_not_a_fault_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="--fault"):
            parse(text, CH_NAMES)


class TestArguments:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["--preset", "ideal"],
            ["--channels", "0"],
            ["--channels", "33"],
            ["--sfreq", "100"],
            ["--sfreq", "nan"],
            ["--block-samples", "0"],
            ["--block-samples", "501"],
            ["--fault", "melt:1"],
            ["--impostor", "-1"],
            ["--impostor", "nan"],
            ["--name", ""],
            ["--source-id", ""],
            ["--truth", "/nowhere/at/all"],
            ["--field", "/nowhere/at/all"],
            ["--field", "/tmp/" + "x" * 200],
        ],
    )
    def test_a_bad_setting_is_one_line_and_status_2(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["--seed", "1", *arguments]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1 and said.err.startswith("amplifier: ")

    def test_a_field_path_that_is_in_use_or_a_file_is_left_alone(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        plain, used = tmp_path / "plain", tmp_path / "used"
        plain.write_text("kept")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(str(used))
            for path in (plain, used):
                assert main(["--seed", "1", "--field", str(path)]) == 2
                assert str(path) in capsys.readouterr().err
            assert used.is_socket()
        assert plain.read_text() == "kept"

    def test_the_verb_takes_the_same_settings(self) -> None:
        app = typer.Typer()
        app.command()(patient)
        found = CliRunner().invoke(app, ["--preset", "ideal", "--fault", "gap:1:1"])
        assert found.exit_code == 2
        assert "'ideal'" in found.output


def test_what_is_over_a_second_late_is_lost_and_the_rest_goes_on() -> None:
    amplifier = Amplifier(Options(seed=1, name="late", source_id="late"))
    try:
        due_ns = [amplifier.due_ns()]
        for late_ns in (2_000_000_000, 0):
            amplifier.block(late_ns)
            due_ns.append(amplifier.due_ns())
        assert (amplifier.n_lost, amplifier.n_pushed) == (10, 10)
        assert np.diff(due_ns).tolist() == [20_000_000] * 2
    finally:
        amplifier.close()


def _line(pipe: IO[str] | None) -> str:
    return line_of(pipe).decode()


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts amplifiers and ends them; each has a source_id of its own."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, str]]:
        source_id = f"amplifier-{request.node.name}"
        command = [
            sys.executable,
            "-m",
            "sim.amplifier",
            "--seed",
            "1",
            "--source-id",
            source_id,
            "--name",
            source_id,
        ]
        process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        ready = json.loads(_line(process.stdout))
        assert set(ready) == {"source_id", "name", "uid"} and ready["source_id"] == source_id
        return process, ready

    yield begin
    for process in running:
        process.kill()
        process.wait(5)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def inlet_of(source_id: str) -> pylsl.StreamInlet:
    (found,) = pylsl.resolve_byprop("source_id", source_id, 1, READY_S)
    inlet = pylsl.StreamInlet(found, recover=False)
    inlet.open_stream(READY_S)
    return inlet


class TestProcess:
    def test_stream_truth_and_field(self, start: Start, tmp_path: Path) -> None:
        field, truth = tmp_path / "field.sock", tmp_path / "truth.jsonl"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left_behind:
            left_behind.bind(str(field))
        process, ready = start("--block-samples", "1", "--field", str(field), "--truth", str(truth))
        inlet = inlet_of(ready["source_id"])
        info = inlet.info(READY_S)
        assert info.uid() == ready["uid"]
        assert (info.type(), info.nominal_srate(), info.channel_format()) == ("EEG", 500.0, pylsl.cf_float32)
        assert tuple(info.get_channel_labels()) == CH_NAMES
        assert set(info.get_channel_units()) == {"microvolts"} and set(info.get_channel_types()) == {"EEG"}
        assert info.desc().child_value("manufacturer") == "nociloop simulated patient"

        device = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        device.connect(str(field))
        device.send(b"nonsense")
        data: list[list[float]] = []
        stamps: list[float] = []
        ages: list[float] = []
        begin_s = time.monotonic()
        fired_ns = 0
        while time.monotonic() < begin_s + 1.0:
            if not fired_ns and time.monotonic() > begin_s + 0.4:
                fired_ns = time.monotonic_ns() + 50_000_000
                device.send(json.dumps({"t_ns": fired_ns, "modality": "rtms", "pulse_pct_mso": 60}).encode())
            sample, stamp = inlet.pull_sample(0.1)
            if sample is not None:
                data.append(sample)
                stamps.append(stamp)
                ages.append(pylsl.local_clock() - stamp)
        device.close()
        inlet.close_stream()

        assert 400 <= len(stamps) <= 520  # the first come when the inlet has subscribed
        # What waited in the inlet before the first pull is older; nothing is ever younger than now.
        assert min(ages) >= 0
        assert np.median(ages) < 0.01
        assert np.diff(stamps) == pytest.approx(0.002, abs=1e-6)
        eeg = np.array(data).T
        saturated = np.abs(eeg).min(axis=0) == 5000
        at_ms = (np.array(stamps)[saturated] - fired_ns * 1e-9) * 1e3
        assert 2 <= saturated.sum() <= 3
        assert at_ms.min() >= 0 and at_ms.max() < 5

        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert not field.exists()
        first, *rows = [json.loads(line) for line in truth.read_text().splitlines()]
        assert (first["e"], first["seed"], first["uid"]) == ("start", 1, ready["uid"])
        assert len(rows) >= 8 and np.diff([row["t_ns"] for row in rows]) == pytest.approx(1e8, abs=1e3)
        assert rows[-1]["B_ma_s"] == pytest.approx(1.3 * 0.6)
        assert rows[-1]["bad_datagrams"] == 1 and rows[-1]["lost"] == 0
        assert {"p", "S", "H", "paf_hz", "theta_gain", "alpha_gain", "nrs"} < set(rows[-1])

    def test_end_of_stdin_a_wrong_rate_an_impostor_and_the_end_of_the_outlet(self, start: Start) -> None:
        process, ready = start(
            "--die-with-stdin",
            "--channels",
            "4",
            "--fault",
            "rate_off:0.1",
            "--impostor",
            "0.2",
            "--fault",
            "stop:1.2",
        )
        inlet = inlet_of(ready["source_id"])
        stamps: list[float] = []
        while len(stamps) < 200:
            _, chunk = inlet.pull_chunk(1.0, 50)
            stamps += chunk
        assert np.diff(stamps) == pytest.approx(1 / 550, abs=1e-6)
        streams = pylsl.resolve_byprop("name", ready["name"], 2, READY_S)
        assert {stream.source_id() for stream in streams} == {ready["source_id"]}
        assert len({stream.uid() for stream in streams}) == 2
        with pytest.raises(LostError):
            for _ in range(100):
                inlet.pull_chunk(0.1)
                inlet.pull_sample(0.1)
        assert process.poll() is None
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(2) == 0

    def test_the_process_loads_nothing_heavy(self) -> None:
        code = "import sim.amplifier, sys; print(sorted({'mne', 'scipy', 'matplotlib', 'typer'} & set(sys.modules)))"
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True
        )
        assert found.stdout.strip() == "[]"
