"""A run -> report.html: one file, no script, nothing fetched; summary first, then plots, tables and what proves it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Final, NoReturn

import msgspec
import typer

from controller.finished.page import notes, page, paragraph
from controller.finished.run import Run, read_run
from controller.finished.screen import plain, print_summary
from controller.finished.sections import STATEMENT, cards, head, plots, proof, tables
from controller.finished.summary import SUMMARY, put_file, summarise_run, write_summary
from controller.finished.svg import style
from controller.finished.values import Summary
from controller.manifest import MANIFEST, check_manifest

REPORT: Final = "report.html"
# Any of them makes a folder a run's, however little of it is left.
KNOWN: Final = (
    MANIFEST, "ledger.jsonl", "session.toml", "limits.toml", "eeg.xdf", "readings.csv", "requests.csv",
    "deliveries.csv", "events.csv", "controller.json",
)  # fmt: skip


def write_report(run_dir: Path, summary: Summary, *, run: Run | None = None, out: Path | None = None) -> Path:
    """Write the report of a run, by default into its folder; the path of it. `run` spares reading it again."""
    html = render(read_run(run_dir, judged=summary.ledger) if run is None else run, summary)
    path = out or run_dir / REPORT
    put_file(path, html.encode("utf-8", "replace"))
    return path


def render(run: Run, summary: Summary) -> str:
    """The page of a run."""
    title = plain(summary.title) or f"Session {summary.session_id}"
    with style():
        drawn = list(plots(run, summary))
    body = [
        head(summary, title),
        notes(summary.notes),
        f'<div class="cards">{"".join(cards(summary))}</div>',
        *drawn,
        *tables(summary),
        proof(summary),
        f"<footer>{paragraph(f'Session {summary.session_id}. {STATEMENT}')}</footer>",
    ]
    return page(title, summary.banner, simulated=summary.simulated is True, body=body)


def report_verb(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="the folder of a run")],
    device_record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="the simulated device's own record; RUN_DIR/device.jsonl by default"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="where to; by default into the folder while it is open"),
    ] = None,
) -> None:
    """Sum up a run and write its report. A folder that is closed (MANIFEST) stays as it is: the report goes beside it."""
    from rich.console import Console

    if not run_dir.is_dir():
        _refuse(f"{run_dir}: no such folder; give the run folder that `nociloop run` named")
    if not any((run_dir / name).exists() for name in KNOWN):
        _refuse(f"{run_dir}: found nothing of a run in it; give the run folder that `nociloop run` named")
    closed = (run_dir / MANIFEST).exists()
    resolved = run_dir.resolve()
    target = out or (resolved.with_name(f"{resolved.name}-{REPORT}") if closed else run_dir / REPORT)
    if not target.parent.is_dir() or target.is_dir():
        _refuse(f"--out {target}: no place for a file; give one in a folder that exists")
    run = read_run(run_dir, device_record)
    summary = summarise_run(run, exit_status=_kept_status(run_dir))
    if closed:
        differences = check_manifest(run_dir)
        summary = dataclasses.replace(summary, notes=(*summary.notes, *differences))
    try:
        if not closed:
            write_summary(run_dir, summary)
        write_report(run_dir, summary, run=run, out=target)
    except OSError as error:
        _refuse(f"{error.filename}: cannot be written: {error.strerror}; give another place with --out")
    print_summary(summary, Console(), report=target)


def _refuse(line: str) -> NoReturn:
    sys.stderr.write(f"nociloop report: {line}\n")
    raise typer.Exit(2)


class _Kept(msgspec.Struct, frozen=True):
    """What an earlier summary.json knew and the other files do not."""

    exit_status: int | None = None


def _kept_status(run_dir: Path) -> int | None:
    try:
        return msgspec.json.decode((run_dir / SUMMARY).read_bytes(), type=_Kept).exit_status
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None  # the interlock's own status is taken
