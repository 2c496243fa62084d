"""`nociloop drivers`: which stimulators this installation can drive, what each lacks, and what follows from it.

It stands here because only what is above both may know the drivers and what safety/ asks of them.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from drivers.listing import Listed

app = typer.Typer(
    name="drivers",
    help="The stimulators that this installation can drive.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

COLUMNS = ("name", "distribution", "version", "grade", "lacks", "note")


@app.callback()
def _root() -> None:
    """Keep `list` a verb of its own although it is the only one."""


@app.command("list")
def list_drivers(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, for a program.")] = False,
) -> None:
    """Name, distribution, version and grade of each driver; what its devices lack, and what they then need."""
    from drivers.listing import listing

    found = listing()
    if as_json:
        rows = [{name: getattr(each, name) for name in COLUMNS} | {"needs": _needs(each)} for each in found]
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    table = [dict(zip(COLUMNS, COLUMNS, strict=True)), *map(_row, found)]
    widths = {name: max(len(row[name]) for row in table) for name in COLUMNS}
    for row, each in zip(table, (None, *found), strict=True):
        sys.stdout.write("  ".join(row[name].ljust(widths[name]) for name in COLUMNS).rstrip() + "\n")
        for code, text, then in _needs(each) if each is not None else ():
            sys.stdout.write(f"    {code}  {text}: {then}\n")


def _row(each: Listed) -> dict[str, str]:
    lacks = "not said" if each.lacks is None else ", ".join(each.lacks) or "nothing"
    return {
        "name": each.name,
        "distribution": each.distribution,
        "version": each.version,
        "grade": each.grade,
        "lacks": lacks,
        "note": each.note,
    }


def _needs(each: Listed) -> list[tuple[str, str, str]]:
    """Code, what is lacking, and what follows; of a driver that says nothing, nothing: its device tells when opened."""
    from safety.needs import IN_WORDS, needs_of
    from safety.trips import PERMISSIVES

    found = []
    for need in needs_of(each.lacks or ()):
        refused = "nothing" in need.by
        then = "refused, " if refused else "allowed with "
        found.append(
            (need.code, PERMISSIVES[need.code][0], then + " and ".join(IN_WORDS[by] for by in need.by))
        )
    return found
