"""The verbs of the driver engineer: `nociloop drivers ...`."""

from __future__ import annotations

import json
from typing import Annotated, get_args

import typer

from drivers.capabilities import Grade
from drivers.registry import Registered, registered
from drivers.stimulator import ConfigError

app = typer.Typer(
    name="drivers",
    help="The stimulators that this installation can drive.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def _root() -> None:
    """Keep `list` a verb of its own although it is the only one."""


@app.command("list")
def list_drivers(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, for a program.")] = False,
) -> None:
    """Name, distribution, version and grade of each driver."""
    drivers = registered()
    names = [driver.name for driver in drivers]
    rows = [_row(driver, twice=names.count(driver.name) > 1) for driver in drivers]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    columns = ("name", "distribution", "version", "grade", "note")
    widths = {column: max(len(column), *(len(row[column]) for row in rows), 0) for column in columns}
    for row in [dict(zip(columns, columns, strict=True)), *rows]:
        typer.echo("  ".join(row[column].ljust(widths[column]) for column in columns).rstrip())


def _row(driver: Registered, *, twice: bool) -> dict[str, str]:
    note = "refused: the name is registered twice" if twice else ""
    try:
        grade = getattr(driver.load(), "GRADE", "")
    except ConfigError as error:
        grade, note = "", str(error)
    return {
        "name": driver.name,
        "distribution": driver.distribution,
        "version": driver.version,
        "grade": grade if grade in get_args(Grade) else "unknown",
        "note": note,
    }
