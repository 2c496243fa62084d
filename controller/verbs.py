"""run, check, measure: the lab's verbs. Heavy imports wait until a verb runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from controller.running import Ended, Files
    from safety.messages import Row

SessionPath = Annotated[Path, typer.Argument(metavar="SESSION.toml", help="the experimenter's file")]
LimitsPath = Annotated[Path, typer.Option(metavar="LIMITS.toml", help="the responsible person's file")]


def run(
    session: SessionPath,
    limits: LimitsPath,
    out: Annotated[Path, typer.Option(help="where the run folder is made")] = Path("runs"),
    shadow: Annotated[
        bool, typer.Option(help="real EEG, verdicts made and recorded, the null device: nothing is put out")
    ] = False,
    person: Annotated[
        str, typer.Option(help="who arms; needed where the limits name several operators")
    ] = "",
    passphrase_file: Annotated[
        Path | None, typer.Option(help="file with the person's pass-phrase; else it is asked for")
    ] = None,
    reason: Annotated[str, typer.Option(help="why it is armed; it goes into the ledger")] = "session",
) -> None:
    """Run a closed-loop session on an LSL stream. Ctrl-C ramps down and closes the files; a second one cuts at once."""
    from controller.running import NotStarted, Signer, read_files, run_session
    from safety.start import Refused
    from safety.verbs import unlock

    try:
        files = read_files(session, limits)
        named = _operator(files, person)
        signer = Signer(
            person=named,
            key=unlock(files.limits.people[_index(files, named)], passphrase_file),
            reason=reason,
        )
        ended = run_session(files, signer, out, shadow=shadow)
    except (NotStarted, Refused) as error:
        _say(str(error))
        raise typer.Exit(getattr(error, "exit_status", 2)) from error
    raise typer.Exit(finish(ended, None))


def _operator(files: Files, person: str) -> str:
    from controller.running import NotStarted

    names = [each.name for each in files.limits.people if each.role == "operator"]
    if person in [each.name for each in files.limits.people]:
        return person
    if not person and len(names) == 1:
        return names[0]
    found = person or "nobody"
    raise NotStarted(
        (f"--person: found {found}, expected one of {', '.join(names)} as named in {files.limits_path}",)
    )


def _index(files: Files, name: str) -> int:
    return [each.name for each in files.limits.people].index(name)


def finish(ended: Ended, device_record: Path | None) -> int:
    """Summarise a run that has ended, write its report and manifest, say it; the exit status."""
    from rich.console import Console

    from controller.finished.report import write_report
    from controller.finished.run import read_run
    from controller.finished.screen import print_summary
    from controller.finished.summary import summarise_run, write_summary
    from controller.manifest import write_manifest

    if ended.status in (2, 3):
        return ended.status  # it never began; why not has been said
    run = read_run(ended.run_dir, device_record)
    summary = summarise_run(run, exit_status=ended.status)
    write_summary(ended.run_dir, summary)
    report = write_report(ended.run_dir, summary, run=run)
    write_manifest(ended.run_dir)
    print_summary(summary, Console(), report)
    return ended.status


def check(
    session: SessionPath,
    limits: LimitsPath,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Name every error of both files at once; then show each effective limit, and which row set it."""
    from controller.running import NotStarted, read_files
    from safety.effective import objections, rows_of_file

    try:
        files = read_files(session, limits)
    except NotStarted as error:
        if as_json:
            sys.stdout.write(json.dumps({"ok": False, "errors": str(error).splitlines()}) + "\n")
        else:
            _say(str(error))
        raise typer.Exit(error.exit_status) from error
    rows = rows_of_file(files.limits)
    against = objections(files.limits, files.session.train)
    if as_json:
        import msgspec

        told = {"ok": not against, "rows": rows, "objections": against, "unverified": files.limits.unverified}
        sys.stdout.write(msgspec.json.encode(told | {"session_digest": files.session.digest}).decode() + "\n")
    else:
        _show_check(files, rows, against)
    raise typer.Exit(1 if against else 0)


def _show_check(files: Files, rows: tuple[Row, ...], against: tuple[str, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    limits = files.limits
    console = Console()
    table = Table(title=f"Effective limits: {limits.title} (serial {limits.serial}, {limits.modality})")
    for name in ("quantity", "low", "high", "unit", "set by", "status", "source"):
        table.add_column(name, justify="right" if name in ("low", "high") else "left", overflow="fold")
    for row in rows:
        table.add_row(
            row.quantity, f"{row.low:g}", f"{row.high:g}", row.unit, row.set_by, row.status, row.source
        )
    for budget in limits.budgets:
        table.add_row(
            budget.name,
            "0",
            f"{budget.high:g}",
            budget.unit,
            f"budget, {budget.scope}",
            budget.status,
            budget.source,
        )
    console.print(table)
    console.print(
        f"session  {files.session.general.title or files.session_path}  digest {files.session.digest[:16]}"
    )
    console.print(
        f"limits   {files.limits_path}  digest {limits.digest[:16]}, valid {limits.valid_from} to {limits.valid_until}"
    )
    device = limits.device
    console.print(
        f"device   {device.driver} of {device.distribution} at {device.endpoint}, identity {device.identity}"
    )
    if limits.unverified:
        console.print(f"unverified rows run simulated endpoints only: {', '.join(limits.unverified)}")
    for line in against:
        console.print(f"the session's train would be refused: {line}")
    console.print(
        "the device may narrow these further when it is opened"
        if not against
        else "1 or more refusals: see above"
    )


def measure(
    recording: Annotated[Path, typer.Argument(help="FIF, EDF, BrainVision, XDF or a run folder")],
    session: Annotated[
        Path, typer.Option(metavar="SESSION.toml", help="which biomarkers, on which channels")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.csv", help="- for standard output")],
) -> None:
    """Biomarkers of a recording, as fast as it can: a row per Epoch, NaN with its reason where Quality forbids a value."""
    from controller.measure import measure_recording
    from controller.replay import RecordingError
    from controller.session import SessionErrors, load_session

    try:
        rows = measure_recording(recording, load_session(session), out, _progress)
    except (SessionErrors, RecordingError, ValueError) as error:
        _say(str(error))
        raise typer.Exit(getattr(error, "exit_status", 2)) from error
    sys.stderr.write(f"\r{rows} rows{' ' * 40}\n")


def _progress(done_s: float, total_s: float) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done_s:.0f} of {total_s:.0f} s")


def _say(text: str) -> None:
    sys.stderr.write("".join(f"nociloop: {line}\n" for line in text.splitlines()))
