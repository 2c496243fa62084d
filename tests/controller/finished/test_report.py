"""Report: one file that fetches nothing and runs nothing, whatever the run folder holds."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from controller.finished.plots import biomarkers_svg
from controller.finished.report import render, report_verb, write_report
from controller.finished.run import Run, read_run
from controller.finished.summary import summarise, summarise_run, write_summary
from controller.finished.svg import POINTS_MAX, style, thin
from controller.finished.tables import ReadingRow
from controller.manifest import check_manifest, write_manifest
from tests.controller.finished.virtual_run import MS, T0_NS, Script, VirtualRun, block, rising
from tests.safety.strategies import hold

SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds, one refusal, some readings missing, a trip at the end."""
    path = tmp_path_factory.mktemp("runs") / "run"
    path.mkdir()
    asks = rising(4_000)
    asks[2_100] = hold(2.5, ramp_up_ms=200)
    script = Script(asks=asks, duration_ms=5_000, nan_ms=(1_000, 2_000), silent_from_ms=4_000)
    virtual = VirtualRun(path, script)
    virtual.offer(block())
    return virtual.run()


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return read_run(folder)


@pytest.fixture(scope="module")
def html(run: Run) -> str:
    return render(run, summarise_run(run))


def test_nothing_runs_and_nothing_is_fetched(html: str):
    assert "<script" not in html.lower()
    assert not re.search(r"\son\w+\s*=", html)
    assert "Content-Security-Policy" in html
    assert "default-src 'none'" in html
    addresses = set(re.findall(r"https?://[^\"'\s<)]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names, not requests
    assert not re.search(r"@import|url\((?!#)|<link|<img|<iframe|<object", html)
    assert "<!DOCTYPE svg" not in html


def test_it_says_what_it_is_before_anything_else(html: str):
    assert html.index("SIMULATED DEVICE") < html.index("not a medical device") < html.index("<svg")
    assert '<html lang="en">' in html


def test_every_part_is_there(html: str, run: Run):
    summary = summarise_run(run)
    for word in (
        *("Phases of the interlock", "Biomarkers", "Stimulation", "Dose", "Latency", "Trips and refusals"),
        *(
            "ILK-101",
            "ILK-201",
            "ask for less",
            "CPU load",
            "amplitude_ma_pp",
            "protocol 4.2",
            "dimensionless",
        ),
        *(summary.ledger.head, summary.digests.software, summary.digests.session, summary.digests.limits),
    ):
        assert word in html, word
    assert len(SVG.findall(html)) == 5


def test_each_plot_is_well_formed_and_has_words(html: str):
    assert html.count("<figcaption>") == 5
    for svg in SVG.findall(html):
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert len(root.get("aria-label") or "") > 10
    plots = "".join(SVG.findall(html))
    for word in (
        "ARMED",
        "TRIPPED",
        "hi 0.29",
        "limit 2 (protocol)",
        "refused",
        "trip ILK-201",
        "budget 1200 s",
        "mA pp",
    ):
        assert word in plots, word


def test_no_id_stands_twice(html: str):
    twice = [name for name, n in Counter(re.findall(r'\sid="([^"]+)"', html)).items() if n > 1]
    assert twice == []


def test_the_same_run_gives_the_same_bytes(run: Run):
    summary = summarise_run(run)
    with style():
        first, again = (biomarkers_svg(run, summary, "x") for _ in range(2))
    assert first == again


def test_text_of_others_stays_text(run: Run):
    evil = "</title><script>alert(1)</script>\x00'\" onload=x [b] $\\frac{"
    summary = summarise_run(run)
    refusals = tuple(replace(refused, first=evil, text=evil) for refused in summary.refusals)
    markers = tuple(
        replace(line, name=evil, unit=evil, nan_reasons={evil: 1.0}, thresholds={evil: 0.3})
        for line in summary.biomarkers
    )
    limit = None if summary.amplitude_limit is None else replace(summary.amplitude_limit, set_by=evil)
    page = render(
        run,
        replace(
            summary, title=evil, device=evil, session_id=evil, notes=(evil,), refusals=refusals,
            biomarkers=markers, amplitude_limit=limit,
        ),
    )  # fmt: skip
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x00" not in page
    for svg in SVG.findall(page):
        ElementTree.fromstring(svg)


def test_an_empty_folder_has_a_report_that_says_so(tmp_path: Path):
    page = write_report(tmp_path, summarise(tmp_path)).read_text()
    assert "treat as real" in page
    assert 'class="banner real"' in page
    for words in ("No phase is on record", "No reading is on record", "Nothing was asked", "not known"):
        assert words in page
    assert "<svg" not in page


def test_a_folder_without_its_ledger_still_has_plots(folder: Path, tmp_path: Path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "ledger.jsonl").unlink()
    page = write_report(copy, summarise(copy)).read_text()
    assert "UNREADABLE" in page
    assert len(SVG.findall(page)) == 4  # all but the dose


def test_a_long_session_stays_small(run: Run):
    count = 8_000
    rows = tuple(
        ReadingRow(
            index=index, t_ns=T0_NS + index * 100 * MS, ok=True,
            values=(float(np.sin(index)) if index % 50 else float("nan"), 1.0), reasons=("r", ""),
        )
        for index in range(count)
    )  # fmt: skip
    long = replace(run, tables=replace(run.tables, readings=rows), end_ns=T0_NS + count * 100 * MS)
    assert len(render(long, summarise_run(long))) < 600_000


def test_thinning_keeps_peaks_and_gaps():
    x = np.arange(50_000.0)
    y = np.zeros(50_000)
    y[31_234] = 9.0
    y[40_000:45_000] = np.nan
    across, kept = thin(x, y)
    assert len(across) <= POINTS_MAX
    assert across[np.nanargmax(kept)] == 31_234
    assert np.isnan(kept).any()
    assert not np.isfinite(kept[(across > 40_100) & (across < 44_900)]).any()


def test_a_minute_is_done_in_time(tmp_path: Path):
    path = tmp_path / "run"
    path.mkdir()
    VirtualRun(path, Script(asks=rising(60_000), duration_ms=60_000)).run()
    begun_s = time.process_time()
    summary = summarise(path)
    write_report(path, summary)
    assert time.process_time() - begun_s < 3.0


app = typer.Typer()
app.command()(report_verb)


def verb(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_the_verb_writes_into_an_open_folder_and_keeps_the_exit_status(folder: Path, tmp_path: Path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    write_summary(copy, summarise(copy, exit_status=4))
    status, output = verb(str(copy))
    assert status == 0
    assert "ended by a trip" in output
    assert json.loads((copy / "summary.json").read_text())["exit_status"] == 4
    assert (copy / "report.html").stat().st_mode & 0o777 == 0o600


def test_the_verb_leaves_a_closed_folder_as_it_is(folder: Path, tmp_path: Path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "report.html").write_text("the first one")
    write_manifest(copy)
    assert check_manifest(copy) == ()
    with (copy / "readings.csv").open("a") as file:
        file.write("x")
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    status, output = verb(str(copy))
    assert status == 0
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    beside = tmp_path / "copy-report.html"
    assert "VERIFIED" in beside.read_text()
    assert "MANIFEST says" in beside.read_text()
    assert f"Report  {beside}\n" in output


@pytest.mark.parametrize("arguments", [("nowhere",), ("{folder}", "--out", "{folder}/no/such/place.html")])
def test_what_cannot_be_done_is_one_line_and_status_2(folder: Path, arguments: tuple[str, ...]):
    status, output = verb(*(argument.format(folder=folder) for argument in arguments))
    assert status == 2
    assert output.startswith("nociloop report: ")
    assert output.count("\n") == 1


def test_a_folder_that_is_no_run_s_is_left_alone(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    status, said = verb(str(tmp_path))
    assert status == 2
    assert "found nothing of a run in it; give the run folder" in said
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
