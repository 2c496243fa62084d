"""`nociloop ledger`: safety's verify and show, and the page for the safety officer beside them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from safety.ledger_verbs import ANSWER_NO, USAGE, LedgerPath, ledger, ledger_file, refuse, verdict_on

__all__ = ["ledger"]

SUFFIX = "-ledger-report.html"


@ledger.command("report", short_help="One page that a safety officer can sign.")
def ledger_report(
    path: LedgerPath,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="where to; by default beside the run folder or file"),
    ] = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option(help="a head hash that was kept elsewhere; may be given more than once"),
    ] = None,
) -> None:
    """Verify a ledger and write one page about it: trips, refusals, output, dose, stops, clocks, people, digests.

    Printed, its first sheet has the answers and lines to sign. It needs no network and runs no script.

    Exit status: 0 written and verified, 1 written and something speaks against the ledger, 2 not written.
    """
    from controller.finished.summary import put_file
    from controller.ledger_report.page import render
    from controller.ledger_report.reading import material_of
    from safety.verdict_words import answer_of
    from safety.verify import LedgerUnreadable

    file = ledger_file(path)
    resolved = path.resolve()
    target = out or resolved.with_name(resolved.name.removesuffix(".jsonl") + SUFFIX)
    if not target.parent.is_dir() or target.is_dir():
        refuse(f"--out {target}: no place for a file; give one in a folder that exists", USAGE)
    try:
        verdict = verdict_on(path, tuple(anchor or ()))
        html = render(material_of(file, verdict))
        put_file(target, html.encode("utf-8", "replace"))
    except LedgerUnreadable as error:
        refuse(str(error), USAGE)
    except OSError as error:
        refuse(f"{target}: cannot be written: {error.strerror}; give another place with --out", USAGE)
    sys.stdout.write(f"{answer_of(verdict)}\nReport  {target}\n")
    raise typer.Exit(0 if verdict.ok else ANSWER_NO)
