"""Verbs that behave well and badly, for the tests of the command line."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

app = typer.Typer(help="A group of verbs.")
bare = typer.Typer(
    help="A group that helps.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)


@bare.command("first")
def first() -> None:
    """Do nothing first."""


@bare.command("second")
def second() -> None:
    """Do nothing second."""


@app.command()
def inner(name: str) -> None:
    """Say a name."""
    sys.stdout.write(f"inner {name}\n")


@app.command()
def other() -> None:
    """Do nothing."""


class Operating(Exception):
    exit_status = 3


def hello(count: Annotated[int, typer.Option(help="how often")] = 1) -> None:
    """Say hello, so often.

    At length.
    """
    sys.stdout.write("hello\n" * count)


def fails(how: str) -> int:
    """Fail in a chosen way."""
    match how:
        case "operating":
            raise Operating("a.toml: key x: found 1, expected 2\na.toml: key y: missing")
        case "exit":
            raise typer.Exit(4)
        case "return":
            return 1
        case "interrupt":
            raise KeyboardInterrupt
        case "abort":
            raise typer.Abort
        case "pipe":
            raise BrokenPipeError
        case "system":
            sys.exit(2)
    raise ZeroDivisionError("a bug\nin two lines")
