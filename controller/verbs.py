"""run, check, measure: the lab's verbs. Heavy imports wait until a verb runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from controller.running import Ended, Files
    from safety.participants import Standing

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
        Path | None, typer.Option(help="file with the person's pass-phrase, mode 0600; else it is asked for")
    ] = None,
    reason: Annotated[str, typer.Option(help="why it is armed; it goes into the ledger")] = "session",
    participant: Annotated[
        str, typer.Option(help="who is to be stimulated; limits of anybody else are refused")
    ] = "",
    attach: Annotated[
        bool,
        typer.Option(help="by the interlock that runs already under an account of its own (docs/deploy)"),
    ] = False,
) -> None:
    """Run a closed-loop session on an LSL stream. Ctrl-C ramps down and closes the files; a second one cuts at once."""
    from controller.running import (
        NotStarted,
        Signer,
        read_files,
        refuse_unless_admitted,
        run_session,
    )
    from controller.supervisor import REFUSED
    from safety.admission import Refused
    from safety.latch import last_session
    from safety.verbs import unlock

    try:
        files = read_files(session, limits, participant)
        refuse_unless_admitted(files)
        named = _operator(files, person)
        signer = Signer(
            person=named,
            key=unlock(files.limits.people[_index(files, named)], passphrase_file),
            reason=reason,
        )
        ended = run_session(files, signer, out, shadow=shadow, attach=attach)
    except (NotStarted, Refused) as error:
        _say(str(error))
        raise typer.Exit(getattr(error, "exit_status", 2)) from error
    if attach:
        _say("the ledger stays with the interlock, in the run folder that it was started with")
    status = finish(ended, None)
    left = last_session(files.limits.rig)
    if left and status != REFUSED:  # what kept it from starting has been said
        _say(left.replace("LIMITS.toml", str(limits)))
    raise typer.Exit(status)


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
    participant: Annotated[str, typer.Option(help="who is to be stimulated")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Name every error of both files at once; then show each effective limit, and which row set it."""
    from controller.running import NotStarted, read_files
    from safety.admission import serial_refusal
    from safety.effective import objections, rows_of_file

    try:
        files = read_files(session, limits, participant)
    except NotStarted as error:
        if as_json:
            sys.stdout.write(json.dumps({"ok": False, "errors": str(error).splitlines()}) + "\n")
        else:
            _say(str(error))
        raise typer.Exit(error.exit_status) from error
    rows = rows_of_file(files.limits)
    against = objections(files.limits, files.session.train)
    serial = serial_refusal(files.admitted)
    stands, trouble = _standing(files)
    refusals = (*files.admitted.refusals, *(each for each in (serial, trouble) if each))
    if as_json:
        import msgspec

        told = {
            "ok": not against and not refusals,
            "rows": rows,
            "objections": against,
            "refusals": refusals,
            "signed": files.admitted.signed,
            "participant": stands,
            "unverified": files.limits.unverified,
            "session_digest": files.session.digest,
        }
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    else:
        _show_check(files, against, refusals)
        if stands is not None:
            from safety.participants import said_of

            sys.stdout.write("\n".join(said_of(stands, files.limits)) + "\n")
        elif not trouble:
            sys.stdout.write(
                "participant: what is left is kept by the interlock's own account: docs/deploy/README.md\n"
            )
    raise typer.Exit(1 if against or refusals else 0)


def _standing(files: Files) -> tuple[Standing | None, str]:
    """How the participant stands against the budgets that outlive a session, and why none may start."""
    from safety.admission import Refused
    from safety.participants import kept_by_another, site_directory, standing

    if kept_by_another():
        return None, ""
    try:
        found = standing(site_directory(), files.limits)
    except Refused as refused:
        return None, str(refused)
    return found, found.trouble


def _show_check(files: Files, against: tuple[str, ...], refusals: tuple[str, ...]) -> None:
    """Two lines a limit, the source in the second, so that neither is torn on a narrow terminal."""
    from shutil import get_terminal_size
    from textwrap import fill

    from safety.effective import rows_of_file
    from safety.limits_shown import WIDTH_MAX, WIDTH_MIN, device_words, effective, signed_words, table_of
    from safety.needs import would_refuse
    from safety.trips import PERMISSIVES

    limits, session = files.limits, files.session
    width = min(max(get_terminal_size().columns, WIDTH_MIN), WIDTH_MAX)

    def say(text: str, indent: int = 9) -> None:
        sys.stdout.write(fill(text, width, subsequent_indent=" " * indent, break_on_hyphens=False) + "\n")

    say(f"Effective limits: {limits.title} (serial {limits.serial}, {limits.modality})")
    sys.stdout.write(table_of(effective(limits), width) + "\n")
    say(f"session  {session.general.title or files.session_path}  digest {session.digest[:16]}")
    valid = f"valid {limits.valid_from} to {limits.valid_until}"
    say(f"limits   {files.limits_path}  digest {limits.digest[:16]}, {valid}")
    say(f"device   {device_words(limits.device)}; it may narrow the limits further when it is opened")
    say("needs    of a device that lacks something, where nothing of this file stands in for it:")
    for need, lacking in would_refuse(limits, rows_of_file(limits)):
        say(f"  {need.code} {PERMISSIVES[need.code][0]}: " + (f"needs {lacking}" if lacking else "it may"), 4)
    say(f"signed   {signed_words(files.admitted)}")
    if limits.unverified:
        say(f"note     unverified rows run simulated endpoints only: {', '.join(limits.unverified)}")
    for line in refusals:
        say(f"REFUSED  no session starts: {line}")
    for line in against:
        say(f"REFUSED  the session's train would be refused: {line}")


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
    sys.stderr.write(f"\r{rows} rows{' ' * 40}\n" if sys.stderr.isatty() else f"{rows} rows\n")


def _progress(done_s: float, total_s: float) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done_s:.0f} of {total_s:.0f} s")


def _say(text: str) -> None:
    from safety.entry_words import plain

    sys.stderr.write("".join(f"nociloop: {plain(line)}\n" for line in text.splitlines()))
