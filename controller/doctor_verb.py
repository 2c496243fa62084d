"""`nociloop doctor`: the findings as a table, or for programs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from controller.doctor import Finding


def doctor_verb(
    out: Annotated[Path, typer.Option(help="the folder in which run folders will be made")] = Path("runs"),
    limits: Annotated[
        Path | None, typer.Option(help="whose limits.toml: tell what is left of each budget, too")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Show what this machine can and cannot do, with the fix for each; exit status 1 when something fails."""
    from controller.lsl_log import quiet

    quiet()
    from controller.doctor import examine

    findings = examine(out, limits)
    failed = any(finding.verdict == "fail" for finding in findings)
    if as_json:
        report = {"ok": not failed, "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
    else:
        _table(findings)
    raise typer.Exit(1 if failed else 0)


def _table(findings: tuple[Finding, ...]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"pass": "green", "warn": "yellow", "fail": "bold red"}
    table = Table(title="nociloop doctor", title_justify="left")
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("found", overflow="fold")
    table.add_column("fix", overflow="fold")
    for finding in findings:
        verdict = Text(finding.verdict.upper(), style=colours[finding.verdict])
        table.add_row(Text(finding.name), verdict, Text(finding.found), Text(finding.fix))
    Console().print(table)
