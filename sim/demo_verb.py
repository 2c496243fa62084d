"""`nociloop demo`: the whole thing on simulated parts, with a summary and a report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def demo(
    modality: Annotated[
        Literal["tacs", "rtms"], typer.Option(help="what the simulated device delivers")
    ] = "tacs",
    duration: Annotated[float, typer.Option(min=5.0, max=3600.0, help="seconds")] = 60.0,
    seed: Annotated[int, typer.Option(min=0, help="of the simulated patient")] = 1,
    out: Annotated[Path, typer.Option(help="where the run folder is made")] = Path("runs"),
) -> None:
    """Closed loop on a simulated patient and a simulated device, every part in its own process; ends with a report."""
    from controller.running import NotStarted
    from controller.verbs import finish
    from sim.demo import run_demo

    sys.stdout.write(
        f"nociloop demo: {modality}, {duration:g} s, seed {seed}. Patient, device and relay are SIMULATED. Ctrl-C stops.\n"
    )
    sys.stdout.flush()
    try:
        ended = run_demo(modality, duration, seed, out)
    except NotStarted as error:
        sys.stderr.write("".join(f"nociloop: {line}\n" for line in str(error).splitlines()))
        raise typer.Exit(error.exit_status) from error
    raise typer.Exit(finish(ended, ended.run_dir / "device.jsonl"))
