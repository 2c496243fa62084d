"""The verbs of the simulated world: `nociloop sim device NAME` and `nociloop sim patient`, each run alone."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

import typer

from sim.patient_verb import patient

GROUP = "nociloop.emulators"
_HANDED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app = typer.Typer(
    name="sim",
    help="The simulated world, part by part.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command(context_settings=_HANDED_ON)
def device(context: typer.Context) -> None:
    """Run an emulated device alone: NAME and the emulator's own options (NAME --help shows them)."""
    known = _emulators()
    name, *options = context.args or ["--help"]
    if name == "--help":
        typer.echo(f"usage: nociloop sim device NAME [OPTIONS]; NAME is one of: {', '.join(sorted(known))}")
        return
    if name not in known:
        typer.echo(f"sim device {name}: no such emulator, expected {', '.join(sorted(known))}", err=True)
        raise typer.Exit(2)
    main: Callable[[list[str]], int] = known[name].load()
    raise typer.Exit(main(options))


@app.command(context_settings=_HANDED_ON)
def relay(context: typer.Context) -> None:
    """Run the simulated watchdog relay alone (--help shows its options)."""
    from sim.relay import main  # loaded only when asked for

    raise typer.Exit(main(context.args))


app.command()(patient)


def _emulators() -> dict[str, EntryPoint]:
    """The emulators that packages register, in-tree ones by the same door."""
    return {point.name: point for point in entry_points(group=GROUP)}
