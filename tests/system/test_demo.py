"""`nociloop demo`, whole: what the device put out was permitted, what was recorded is what happened, the patient felt it."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pylsl
import pytest

from safety.ledger_verbs import verdict_on
from sim import record
from sim.leadfield import montage
from sim.patient import Patient, preset
from tests.bounded import Side
from tests.system.session_rig import (
    COMMAND,
    EAGER_RTMS,
    EAGER_TACS,
    SESSION_S,
    Rig,
    Session,
    permits,
    rig,
    run_folder_is_whole,
    until,
)

pytestmark = pytest.mark.system

DURATION_S = 10.0
LIMIT = {"tacs": 1.5, "rtms": 45.0}  # 90 % of a motor threshold of 50 % MSO
INTERVAL_S = 5.0  # protocol_limits.interval_s of the demonstration
STREAMS = ("readings", "markers")
# The command's own demonstration, with thresholds that any EEG passes.
DEMO = """\
import json, sys
from pathlib import Path
from controller.verbs import finish
from sim.demo import run_demo
modality, duration_s, out, changes = sys.argv[1:]
ended = run_demo(modality, float(duration_s), 1, Path(out), json.loads(changes))
sys.exit(finish(ended, ended.run_dir / "device.jsonl"))
"""


class Listener:
    """A raw LSL inlet of one of the session's outlets, as a lab's recorder has it."""

    def __init__(self, name: str) -> None:
        found = pylsl.resolve_byprop("name", name, 1, 10.0)
        assert found, name
        self._inlet = pylsl.StreamInlet(found[0], recover=False)
        self._inlet.open_stream(timeout=5.0)
        self.info = self._inlet.info(timeout=5.0)
        self.samples: list[tuple[list[float | str], float]] = []

    def take(self) -> bool:
        """Take what is there; False when the outlet is gone."""
        try:
            samples, stamps_s = self._inlet.pull_chunk(timeout=0.05)
        except pylsl.util.LostError:
            return False
        self.samples += zip(samples or (), stamps_s or (), strict=True)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """A demonstration that has ended, and what was heard of it from outside."""

    rig: Rig
    session: Session
    status: int
    left: dict[int, str]
    heard: Mapping[str, Listener]

    def truth(self) -> record.Record:
        return record.load(self.session.run_dir / "device.jsonl")

    def patient(self) -> list[dict[str, float]]:
        lines = (self.session.run_dir / "patient.jsonl").read_text(encoding="utf-8").splitlines()
        return [row for row in map(json.loads, lines) if row["e"] == "truth"]


def demonstrated(folder: Path, modality: str, changes: Mapping[str, str]) -> Demo:
    with rig(folder, modality) as made:
        code = ["-c", DEMO, modality, str(DURATION_S), str(made.runs), json.dumps(changes)]
        session = made.start(*code, program=(sys.executable,))
        session.until(lambda: any(made.runs.glob("*/readings.csv")), "a run folder", 20.0)
        text = (session.run_dir / "session.toml").read_text(encoding="utf-8")
        found = re.search(r'name = "(nociloop-demo-\d+)"', text)
        assert found is not None
        heard = {stream: Listener(f"{found[1]}-{stream}") for stream in STREAMS}
        there = dict(heard)
        end_s = time.monotonic() + SESSION_S
        while session.popen.poll() is None and there and time.monotonic() < end_s:
            there = {stream: listener for stream, listener in there.items() if listener.take()}
        status = session.wait()
        return Demo(
            rig=made, session=session, status=status, left=made.processes(), heard=heard
        )  # every part of it, the world too, must be gone by then


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Demo]]]:
    """One of each modality, side by side."""
    with Side(2) as pool:
        yield {
            modality: pool.submit(demonstrated, tmp_path_factory.mktemp(modality), modality, changes)
            for modality, changes in (("tacs", EAGER_TACS), ("rtms", EAGER_RTMS))
        }


@pytest.fixture(params=["tacs", "rtms"])
def demo(request: pytest.FixtureRequest, demos: dict[str, Future[Demo]]) -> Demo:
    return demos[request.param].result()


def test_it_ends_well_with_a_whole_run_folder_and_nobody_left(demo: Demo) -> None:
    assert demo.status == 0, demo.session.said
    assert not demo.left
    assert "Traceback" not in demo.session.said and "warning" not in demo.session.said.lower()
    run_folder_is_whole(demo.session.run_dir)
    assert not list(demo.rig.sockets.glob("rigs/*/*.sock"))


def test_the_device_put_out_only_what_was_permitted(demo: Demo) -> None:
    """The device's own record against the ledger's permits, one by one."""
    truth, allowed = demo.truth(), list(permits(demo.session.run_dir).values())
    given = record.deliveries(truth)
    assert len(given) > (20 if demo.rig.modality == "tacs" else 1)
    heard = [each.line for each in truth.entries if isinstance(each, record.Rx)]
    told = [line for line in heard if " SET mod=" in line or " RENEW " in line]
    assert len(told) == len(allowed)
    by_token: list[float] = []  # the device counts its tokens from 1, one for each SET
    for line, permitted in zip(told, allowed, strict=True):
        found = re.search(r" SET mod=.* (?:a|p)=(\d+) ", line)
        if found is not None:
            assert int(found[1]) / (1000 if demo.rig.modality == "tacs" else 10) == pytest.approx(permitted)
            by_token.append(permitted)
        else:
            assert f" RENEW token={len(by_token)}*" in line  # what runs goes on as it is
            assert permitted == by_token[-1]
    assert max(allowed) <= LIMIT[demo.rig.modality]
    for each in truth.breaks:
        assert each.token in range(1, len(by_token) + 1)
        assert each.a_ma_pp <= max(by_token[: each.token]) + 1e-9
        assert (each.to_ma_pp or 0.0) <= by_token[each.token - 1] + 1e-9
    for pulse in truth.pulses:
        assert pulse.p_pct <= by_token[pulse.token - 1]
    assert record.zero_since(truth, truth.entries[0].t_ns) is not None


def test_trains_of_pulses_are_whole_and_keep_their_interval(demos: dict[str, Future[Demo]]) -> None:
    trains = record.deliveries(demos["rtms"].result().truth())
    assert len(trains) == 2
    assert [train.n_pulses for train in trains] == [10, 10]
    for before, after in itertools.pairwise(trains):
        assert (after.start_ns - before.end_ns) / 1e9 >= INTERVAL_S
    for train in trains:
        assert (train.end_ns - train.start_ns) / 1e9 == pytest.approx(0.9, abs=0.001)


def test_the_tables_agree_with_the_ledger_and_the_device(demo: Demo) -> None:
    requests = demo.session.table("requests.csv")
    by_id = {int(row["id"]): row for row in requests}
    permitted = permits(demo.session.run_dir)
    assert {key for key, row in by_id.items() if row["verdict"] == "permit"} == set(permitted)
    for key, amplitude in permitted.items():
        assert float(by_id[key]["amplitude"]) == amplitude
        stages = (
            "sample_ns",
            "received_ns",
            "computed_ns",
            "asked_ns",
            "ilk_read_ns",
            "ilk_sent_ns",
            "answered_ns",
        )
        times = [int(by_id[key][stage]) for stage in stages]
        assert times == sorted(times), by_id[key]
    given = {each.token: each for each in record.deliveries(demo.truth())}
    told: dict[int, list[dict[str, str]]] = {}
    for row in demo.session.table("deliveries.csv"):
        assert int(row["id"]) in permitted and row["confirmed"] == "1"
        told.setdefault(int(row["token"]), []).append(row)
    assert set(told) == set(given)
    for token, rows in told.items():
        assert sum(int(row["n_pulses"]) for row in rows) == given[token].n_pulses
        assert max(float(row["amplitude"]) for row in rows) >= given[token].amplitude - 0.001
        assert abs(int(rows[0]["start_ns"]) - given[token].start_ns) < 5_000_000


def test_the_patient_is_better_off_than_without_it(demo: Demo) -> None:
    """The same patient, never stimulated, has more pain at the same sample: the loop is closed through the head."""
    end = demo.patient()[-1]
    alone = Patient(preset("demo"), seed=1, sfreq_hz=500.0, ch_names=montage(32), start_ns=0)
    n_samples = int(end["pushed"] + end["lost"])
    while alone.n_samples < n_samples:
        alone.step(min(500, n_samples - alone.n_samples), ())
    assert end["B_ma_s"] > 1.0 and end["E"] > 0.1 and end["bad_datagrams"] == 0
    assert end["p"] < 0.9 * alone.truth.pain


def test_what_the_outlets_said_is_what_the_tables_hold(demo: Demo) -> None:
    readings = demo.session.table("readings.csv")
    stamps = {round(float(row["time_s"]), 6): row for row in readings}
    listener = demo.heard["readings"]
    assert listener.info.get_channel_labels() == ["theta", "alpha", "clean_fraction"]
    assert listener.info.get_channel_units() == ["1", "log10(µV²)", "1"]
    assert len(listener.samples) >= 0.8 * len(readings) > 50
    for values, stamp_s in listener.samples:
        row = stamps[round(stamp_s, 6)]
        assert [row["theta"], row["alpha"]] == [repr(value) for value in values[:2]]
    markers = [json.loads(str(values[0])) for values, _ in demo.heard["markers"].samples]
    verdicts = {marker["id"]: marker["verdict"] for marker in markers if marker["kind"] == "verdict"}
    table = {int(row["id"]): row["verdict"] for row in demo.session.table("requests.csv")}
    assert len(verdicts) >= 0.8 * len(table) and verdicts.items() <= table.items()
    assert {"request", "delivery", "phase"} <= {marker["kind"] for marker in markers}


def test_the_report_needs_nothing_from_anywhere(demo: Demo) -> None:
    html = (demo.session.run_dir / "report.html").read_text(encoding="utf-8")
    fetched = re.findall(
        r"""(?:src|href|action)\s*=\s*["'](?!#|data:)([^"']*)|url\((?!#|["']?data:)([^)]*)""", html
    )
    assert not [found for found in fetched if any(found)]
    assert "<script" not in html and "@import" not in html and "<link" not in html
    assert {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"} >= set(
        re.findall(r"https?://[^\"'<> )]*", html)
    )


def test_the_summary_says_what_happened(demo: Demo) -> None:
    summary = demo.session.summary()
    given = record.deliveries(demo.truth())
    asked, truth = summary["asked"], summary["device_truth"]
    assert isinstance(asked, dict) and isinstance(truth, dict)
    assert asked["asked"] == len(demo.session.table("requests.csv"))
    assert asked["permitted"] == len(permits(demo.session.run_dir))
    assert truth["pulses"] == sum(each.n_pulses for each in given)
    assert truth["amplitude_max"] == pytest.approx(max(each.amplitude for each in given))
    assert (summary["exit_status"], summary["simulated"], summary["shadow"]) == (0, True, False)
    assert summary["notes"] == []
    digests = summary["digests"]
    assert isinstance(digests, dict)
    signed = str(digests["limits_signed"])
    assert signed.startswith("signed by demo-officer, key ")
    assert signed.endswith(": demo keys, simulated endpoints only")
    assert signed in (demo.session.run_dir / "report.html").read_text(encoding="utf-8")
    said = verdict_on(demo.session.run_dir)
    assert (said.limits, said.signature, said.signed) == ("the same", "the same", signed)


def test_ctrl_c_on_a_terminal_ends_the_whole_demonstration(tmp_path: Path) -> None:
    """The command as a person runs it: a terminal, the live line, and the key."""
    with rig(tmp_path) as made:
        ours, theirs = os.openpty()
        command = ["setsid", "--ctty", "--wait", COMMAND, "demo", "--duration", "60", "--out", str(made.runs)]
        popen = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=made.env, start_new_session=True
        )
        made.parts["command-terminal"] = popen
        os.close(theirs)
        shown = b""
        deadline_s = time.monotonic() + 30.0
        pressed = False
        while time.monotonic() < deadline_s:
            try:
                shown += os.read(ours, 4096)
            except OSError:
                break  # the other end is closed: it has ended
            if b"mA pp" in shown and not pressed:
                pressed = True
                os.write(ours, b"\x03")
        os.close(ours)
        assert popen.wait(10.0) == 130, shown.decode(errors="replace")
        text = shown.decode(errors="replace")
        assert "STOP confirmed" in text and "SIMULATED" in text and "Traceback" not in text
        until(lambda: not made.processes(), "nobody is left")
        (run_dir,) = made.runs.iterdir()
        run_folder_is_whole(run_dir)
