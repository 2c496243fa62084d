"""Summary: counts that the script fixes, and every way in which a run folder may be broken."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from controller.finished.device import Command, DeviceRecordError, read_device_record, truth_between
from controller.finished.latency import quantile, spreads, stage_times_ms
from controller.finished.run import read_run
from controller.finished.screen import verdict_on
from controller.finished.summary import print_summary, summarise, summarise_run, write_summary
from controller.finished.tables import ReadingRow, Stamps, kind_of, skipped_hops
from controller.finished.values import Summary
from tests.controller.finished.virtual_run import (
    MS,
    T0_NS,
    Script,
    VirtualRun,
    block,
    rising,
    trains_of_pulses,
)
from tests.safety.strategies import hold

FILES = (
    *("ledger.jsonl", "readings.csv", "requests.csv", "deliveries.csv", "events.csv"),
    *("session.toml", "limits.toml", "controller.json", "device.jsonl", "eeg.xdf"),
)


def made(folder: Path, script: Script) -> Path:
    folder.mkdir(parents=True)
    virtual = VirtualRun(folder, script)
    virtual.offer(block())
    return virtual.run()


@pytest.fixture(scope="module")
def tacs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds that end in order; two requests are above a limit, 20 of 80 readings are missing."""
    asks = rising(8_000)
    asks[3_100] = hold(2.5, ramp_up_ms=200)
    asks[5_100] = hold(1.3, ramp_up_ms=100, frequency_hz=80.0)
    script = Script(asks=asks, duration_ms=8_000, nan_ms=(2_000, 4_000))
    return made(tmp_path_factory.mktemp("runs") / "tacs", script)


@pytest.fixture(scope="module")
def rtms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    script = Script(modality="rtms", asks=trains_of_pulses(), duration_ms=13_000)
    return made(tmp_path_factory.mktemp("runs") / "rtms", script)


@pytest.fixture(scope="module")
def tripped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The controller falls silent at 3 s, and nobody resets."""
    script = Script(asks=rising(3_000), duration_ms=4_000, silent_from_ms=3_000)
    return made(tmp_path_factory.mktemp("runs") / "tripped", script)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    script = Script(asks=rising(2_500, 0.3), duration_ms=2_500)
    return made(tmp_path_factory.mktemp("runs") / "short", script)


@pytest.fixture
def broken(short: Path, tmp_path: Path) -> Path:
    """A copy to be broken."""
    return Path(shutil.copytree(short, tmp_path / "broken"))


def screen(summary: Summary, width: int = 120) -> str:
    out = io.StringIO()
    print_summary(summary, Console(file=out, width=width))
    return out.getvalue()


def test_a_run_comes_down_to_what_was_done(tacs: Path):
    summary = summarise(tacs)
    n_asks = len(rising(8_000)) + 2
    assert (summary.asked.asked, summary.asked.permitted, summary.asked.refused) == (n_asks, n_asks - 2, 2)
    assert {refused.code: refused.count for refused in summary.refusals} == {"ILK-101": 2, "ILK-111": 1}
    above = next(refused for refused in summary.refusals if refused.code == "ILK-101")
    assert "amplitude_ma_pp 2.5" in above.first
    assert above.remedy
    assert summary.trips == ()
    assert summary.source == "ledger"
    assert (summary.session_id, summary.modality, summary.participant) == ("virtual-1", "tacs", "P001")
    assert summary.title == "Demonstration: theta-driven tACS"
    assert (summary.simulated, summary.shadow, summary.armed_by) == (True, False, "ann")
    assert summary.banner == "SIMULATED DEVICE"
    assert summary.exit_status == 0
    assert summary.delivered.n_trains + summary.delivered.n_renewals == n_asks - 2
    assert summary.delivered.n_renewals > 10
    assert summary.delivered.amplitude_max == 1.2
    assert summary.delivered.n_assumed == 0
    assert summary.delivered.on_time_s == pytest.approx(6.9, abs=0.3)
    assert summary.device_truth is not None
    assert summary.device_truth.on_time_s == pytest.approx(summary.delivered.on_time_s, abs=0.05)
    assert summary.notes == ()


def test_limits_dose_phases_and_ledger(tacs: Path):
    summary = summarise(tacs)
    assert summary.amplitude_limit is not None
    assert (summary.amplitude_limit.high, summary.amplitude_limit.set_by) == (2.0, "protocol")
    assert {line.quantity for line in summary.limits} >= {"amplitude_ma_pp", "frequency_hz", "density_ma_cm2"}
    on_time = next(line for line in summary.dose if line.name == "on_time_s")
    assert on_time.budget == 1200.0
    assert 0 < on_time.confirmed <= on_time.permitted <= on_time.reserved
    assert on_time.confirmed == pytest.approx(summary.delivered.on_time_s, abs=0.01)
    assert [span.phase for span in summary.phases if span.end_s > span.start_s][-3:] == [
        "READY",
        "ARMED",
        "SAFE",
    ]
    assert summary.armed_s == pytest.approx(7.7, abs=0.05)
    assert summary.ledger.ok
    assert summary.ledger.closed
    assert len(summary.ledger.head) == 64
    assert verdict_on(summary.ledger)[0] == "VERIFIED"
    assert summary.digests.session == "5e" * 32
    assert len(summary.digests.software) == len(summary.digests.limits) == 64


def test_latency_and_biomarkers(tacs: Path):
    summary = summarise(tacs)
    found = {line.stage: line for line in summary.latency}
    assert found["asked → read"].p50_ms == 0.5
    assert found["sample → received"].max_ms == 3.0
    assert found["asked → read"].n == summary.asked.permitted
    assert found["asked → answered"].n == summary.asked.asked
    assert found["sample → FIRE"].n == summary.asked.permitted
    prepared = summary.asked.permitted - summary.delivered.n_renewals
    assert found["read → SET"].n == found["sample → FIRE, after SET"].n == prepared
    assert found["sample → FIRE"].p99_ms == pytest.approx(8.5, abs=1.0)
    theta, alpha = summary.biomarkers
    assert (theta.name, theta.unit, alpha.unit) == ("theta", "1", "log10(µV²)")
    assert (theta.thresholds, alpha.thresholds) == ({"hi": 0.29, "lo": 0.25}, {})
    assert theta.nan_share == pytest.approx(20 / theta.n)
    assert list(theta.nan_reasons) == ["quality: clean … < …"]
    assert 0.17 <= theta.p05 <= theta.median <= theta.p95 <= 0.33


def test_pulses_and_their_refusals(rtms: Path):
    summary = summarise(rtms)
    assert (summary.asked.permitted, summary.asked.refused) == (1, 2)
    assert {"ILK-303"} <= {refused.code for refused in summary.refusals}
    assert (summary.delivered.n_pulses, summary.delivered.n_trains) == (20, 1)
    assert (summary.delivered.amplitude_max, summary.unit) == (45.0, "% MSO")
    assert summary.device_truth is not None
    assert (summary.device_truth.pulses, summary.device_truth.amplitude_max) == (20, 45.0)
    assert next(line.confirmed for line in summary.dose if line.name == "n_pulses") == 20.0
    assert "20 pulses" in screen(summary)


def test_a_trip_is_told_with_its_remedy(tripped: Path):
    summary = summarise(tripped)
    (trip,) = summary.trips
    assert trip.code == "ILK-201"
    assert trip.at_s == pytest.approx(3.1, abs=0.05)
    assert "CPU load" in trip.remedy
    assert summary.phases[-1].phase == "TRIPPED"
    assert summary.exit_status is None
    assert not summary.ledger.closed
    text = screen(summary)
    assert "ILK-201" in text
    assert "CPU load" in text
    assert "did not end in order" in text
    assert summarise(tripped, exit_status=4).exit_text == "4 (ended by a trip)"


def test_a_trip_without_a_controller_to_tell_keeps_its_code(tmp_path: Path):
    folder = tmp_path / "gone"
    folder.mkdir()
    virtual = VirtualRun(folder, Script(asks=rising(2_000), duration_ms=3_000))
    virtual.lose_controller_at(2_000)
    assert [trip.code for trip in summarise(virtual.run()).trips] == ["ILK-202"]


@pytest.mark.parametrize("name", FILES)
def test_each_file_may_be_missing(broken: Path, name: str):
    (broken / name).unlink()
    summary = summarise(broken)
    if name not in ("device.jsonl", "limits.toml", "eeg.xdf"):  # what may be absent by choice is no fault
        assert any(name in note for note in (*summary.notes, *summary.ledger.problems))
    assert summary.asked.asked > 0
    assert json.loads(write_summary(broken, summary).read_text())["schema"] == 1
    assert screen(summary)


@pytest.mark.parametrize("name", FILES)
def test_each_file_may_hold_anything(broken: Path, name: str):
    (broken / name).write_bytes(b"\x00\xff" * 300 + b"\n{}\n")
    assert screen(summarise(broken))


@pytest.mark.parametrize("content", [b"", b"{}\n[1]\n", b"a,b\n1,2\n"])
def test_all_files_may_hold_anything(broken: Path, content: bytes):
    for name in FILES:
        (broken / name).write_bytes(content)
    summary = summarise(broken)
    assert screen(summary)
    assert not summary.ledger.ok
    assert write_summary(broken, summary).exists()


@pytest.mark.parametrize("share", [0.3, 0.97])
def test_all_files_may_be_cut_off(broken: Path, share: float):
    for name in FILES:
        os.truncate(broken / name, int((broken / name).stat().st_size * share))
    summary = summarise(broken)
    assert screen(summary)
    assert sum("torn" in note for note in summary.notes) >= 3


def test_an_empty_folder_says_what_is_missing(tmp_path: Path):
    summary = summarise(tmp_path)
    assert summary.simulated is None
    assert "treat as real" in summary.banner
    assert summary.asked.asked == summary.delivered.n_slices == 0
    assert len(summary.notes) >= 5
    assert verdict_on(summary.ledger)[0] == "UNREADABLE"
    assert "UNREADABLE" in screen(summary)


def test_no_such_folder_is_no_traceback(tmp_path: Path):
    assert summarise(tmp_path / "nowhere", tmp_path / "no.jsonl").notes


def test_a_torn_ledger_is_read_up_to_there(broken: Path):
    path = broken / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    summary = summarise(broken)
    assert summary.ledger.torn
    assert not summary.ledger.closed
    assert summary.asked.asked > 0


def test_a_changed_ledger_is_not_verified_and_gives_no_dose(broken: Path):
    path = broken / "ledger.jsonl"
    before = path.read_bytes()
    assert b'["sine",0.3,' in before
    path.write_bytes(before.replace(b'["sine",0.3,', b'["sine",0.2,', 1))
    summary = summarise(broken)
    assert not summary.ledger.ok
    word, why = verdict_on(summary.ledger)
    assert word == "NOT VERIFIED"
    assert "line" in why
    assert all(math.isnan(line.reserved) for line in summary.dose)
    assert "NOT VERIFIED" in screen(summary)


def test_without_a_ledger_the_tables_are_counted(broken: Path):
    whole = summarise(broken)
    (broken / "ledger.jsonl").unlink()
    summary = summarise(broken)
    assert summary.source == "tables"
    assert summary.asked == whole.asked
    assert summary.delivered == whole.delivered
    assert [span.phase for span in summary.phases][-1] == "SAFE"
    assert {refused.code for refused in summary.refusals} == {refused.code for refused in whole.refusals}
    assert summary.simulated is None


def test_tables_that_lack_rows_are_at_odds_with_the_ledger(broken: Path):
    path = broken / "requests.csv"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rows[:-3]))
    summary = summarise(broken)
    assert any("differ" in note for note in summary.notes)
    assert summary.asked == summarise(broken).asked


def test_bad_rows_are_left_out_and_counted(broken: Path):
    path = broken / "deliveries.csv"
    with path.open("a") as file:
        file.write("1,2,three,4,5,6,1,1\n")
        file.write("1,2\n")
        file.write("1,99,1,2,nan,0,1,1\n")
        file.write("1,99,1,2,0.5,0,1")
    (broken / "ledger.jsonl").unlink()
    summary = summarise(broken)
    assert any("2 row(s)" in note for note in summary.notes)
    assert any("torn" in note for note in summary.notes)
    assert math.isfinite(summary.delivered.amplitude_max)


def test_a_device_that_tells_more_than_it_reported(broken: Path):
    with (broken / "device.jsonl").open("a") as file:
        for at_ms in (1_500, 1_600):
            file.write(
                json.dumps({"t_ns": T0_NS + at_ms * MS, "e": "pulse", "token": 99, "p_pct": 55.0}) + "\n"
            )
        file.write('{"t_ns":1,"e":"pul')
    notes = " ".join(summarise(broken).notes)
    assert "2 pulses, 0 were reported" in notes
    assert "recorded 55" in notes


def test_what_taps_dropped_and_hops_that_were_skipped(broken: Path):
    told = {"taps": [{"name": "recorder", "dropped": 7, "failed": "recorder: OSError"}], "hops_skipped": 3}
    (broken / "controller.json").write_text(json.dumps(told))
    with (broken / "events.csv").open("a") as file:
        file.write('5,drops,console,"9 items dropped, the oldest first; 12 since the start"\n')
    summary = summarise(broken)
    assert summary.drops == {"recorder": 7, "console": 12}
    assert summary.skipped_hops == 3
    assert any("recorder failed" in note for note in summary.notes)
    assert "3 hops skipped" in screen(summary)


def test_summary_json_is_strict_private_and_whole(tacs: Path, tmp_path: Path):
    summary = replace(summarise(tacs), title="a\nb \ud800", duration_s=math.nan)
    path = write_summary(tmp_path, replace(summary, title="a\nb"))
    content = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert content["schema"] == 1
    assert content["duration_s"] is None
    assert "run_dir" not in content
    assert content["asked"]["refused"] == 2
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["summary.json"]


def test_the_screen_is_plain_where_there_is_no_terminal(tacs: Path):
    text = screen(summarise(tacs))
    assert "\x1b" not in text
    for word in (
        "SIMULATED DEVICE",
        "Asked",
        "Permitted",
        "Refused",
        "ILK-101",
        "p99",
        "VERIFIED",
        "60%",
        "report.html",
    ):
        assert word in text
    assert "not a medical device" in text


@pytest.mark.parametrize("width", [20, 80])
def test_any_width_will_do(tacs: Path, width: int):
    lines = screen(summarise(tacs), width).splitlines()
    assert max(len(line) for line in lines if not line.startswith("Report")) <= width
    assert any(
        line == f"Report  {tacs / 'report.html'}" for line in lines
    )  # a path in pieces cannot be copied


def test_text_of_others_is_no_markup_and_no_escape(tacs: Path):
    summary = replace(
        summarise(tacs), title="[bold red]x[/nope] \x1b[2J", device="[link=http://x]y", notes=("[/]\x07",)
    )
    text = screen(summary)
    assert "[bold red]x[/nope]" in text
    assert "[link=http://x]y" in text
    assert "\x1b" not in text


def test_a_real_device_is_called_one(tacs: Path):
    summary = replace(summarise(tacs), simulated=False)
    assert "REAL DEVICE" in screen(summary)
    assert "SIMULATED" not in screen(summary).replace("SIM-1", "")


def stamps(read_ns: int, verdict: str = "permit") -> Stamps:
    return Stamps(
        verdict=verdict, sample_ns=read_ns - 4 * MS, received_ns=read_ns - 3 * MS, computed_ns=read_ns - 2 * MS,
        asked_ns=read_ns - MS, ilk_read_ns=read_ns, ilk_sent_ns=read_ns + MS, answered_ns=read_ns + 2 * MS,
    )  # fmt: skip


def at(at_ms: int, word: str) -> Command:
    return Command(t_ns=at_ms * MS, word=word)


def test_a_lost_fire_is_not_taken_from_the_next_request():
    rows = [stamps(100 * MS), stamps(200 * MS)]
    times = stage_times_ms(rows, [at(102, "SET"), at(203, "SET"), at(207, "FIRE")])
    assert times["read → SET"] == [2.0, 3.0]
    assert times["SET → FIRE"] == [4.0]


def test_commands_of_an_earlier_session_are_passed_over():
    times = stage_times_ms([stamps(100 * MS)], [at(5, "SET"), at(6, "FIRE"), at(103, "SET"), at(104, "FIRE")])
    assert times["sample → FIRE"] == [8.0]


def test_what_was_refused_has_no_arrival():
    times = stage_times_ms(
        [replace(stamps(100 * MS, "refusal"), ilk_read_ns=0)], [at(103, "SET"), at(104, "FIRE")]
    )
    assert times["read → SET"] == []
    assert times["asked → answered"] == [3.0]
    assert times["asked → read"] == []


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60).map(sorted),
    st.sampled_from([0.05, 0.5, 0.95, 0.99, 1.0]),
)
def test_a_quantile_was_seen_and_is_not_exceeded_by_its_share(ordered: list[float], share: float):
    found = quantile(ordered, share)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-9
    assert sum(value < found for value in ordered) < share * len(ordered) + 1e-9


def test_spreads_leave_out_stages_without_times():
    assert [line.stage for line in spreads({"asked → read": [1.0], "read → sent": []})] == ["asked → read"]
    assert math.isnan(quantile([], 0.5))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("quality: clean 0.25 < 0.60; 3 s missing", "quality: clean … < …"),
        ("F3 and FC1 flat", "F3 and FC1 flat"),
        ("-1.5e-3 dB", "… dB"),
        ("", "no reason given"),
        (";;", "no reason given"),
    ],
)
def test_reasons_are_told_apart_by_their_words(reason: str, kind: str):
    assert kind_of(reason) == kind


def readings(times_ms: list[int]) -> list[ReadingRow]:
    return [ReadingRow(index=0, t_ns=t * MS, ok=True, values=(), reasons=()) for t in times_ms]


@pytest.mark.parametrize(
    ("times_ms", "skipped"),
    [([], 0), ([0], 0), ([0, 100, 200], 0), ([0, 100, 400, 500], 2), ([0, 100, 230, 300], 0), ([0, 0, 0], 0)],
)
def test_skipped_hops_by_time(times_ms: list[int], skipped: int):
    assert skipped_hops(readings(times_ms)) == skipped


def test_skipped_hops_by_the_loops_own_count():
    rows = [replace(row, index=index) for row, index in zip(readings([0, 100, 200]), [1, 2, 5], strict=True)]
    assert skipped_hops(rows) == 2


def record(tmp_path: Path, *lines: dict[str, object]) -> Path:
    path = tmp_path / "device.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_hold_that_never_ends_counts_to_the_end(tmp_path: Path):
    path = record(
        tmp_path,
        {"t_ns": 10**9, "e": "break", "token": 1, "a_ma_pp": 0.0, "to_ma_pp": 2.0},
        {"t_ns": 2 * 10**9, "e": "break", "token": 1, "a_ma_pp": 2.0},
    )
    truth = truth_between(read_device_record(path), 0, 5 * 10**9)
    assert (truth.on_time_s, truth.amplitude_max) == (4.0, 2.0)


def test_only_the_named_span_counts(tmp_path: Path):
    pulses = [{"t_ns": t, "e": "pulse", "token": t // 100, "p_pct": 50.0} for t in (100, 150, 900)]
    record_ = read_device_record(
        record(tmp_path, *pulses, {"t_ns": 160, "e": "pulse", "token": 1, "p_pct": 0.0})
    )
    truth = truth_between(record_, 0, 500)
    assert truth.pulses == 2
    assert truth.on_time_s == pytest.approx(50e-9)


@pytest.mark.parametrize("content", ["no record\n", "{}\n", '{"t_ns":"x","e":"rx"}\n[]\n'])
def test_what_is_no_record_is_refused_in_one_line(tmp_path: Path, content: str):
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    with pytest.raises(DeviceRecordError) as caught:
        read_device_record(path)
    assert "\n" not in str(caught.value)


def test_reading_the_run_once_is_enough(tacs: Path):
    run = read_run(tacs)
    assert summarise_run(run) == summarise(tacs)
