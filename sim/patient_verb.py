"""The `patient` verb: the simulated patient alone, over LSL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def patient(
    seed: Annotated[int, typer.Option(help="The same seed gives the same patient.")] = 1,
    preset: Annotated[str, typer.Option(help="demo, healthy, chronic or nonresponder.")] = "demo",
    name: Annotated[str, typer.Option(help="The stream's name.")] = "nociloop-patient",
    source_id: Annotated[str, typer.Option(help="The stream's source_id.")] = "nociloop-patient",
    sfreq: Annotated[float, typer.Option(help="Sampling rate in Hz.")] = 500.0,
    channels: Annotated[int, typer.Option(help="1 to 32 channels.")] = 32,
    block_samples: Annotated[int, typer.Option(help="Samples sent together.")] = 10,
    field: Annotated[
        Path | None, typer.Option(help="Socket on which devices tell what they put out.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="JSONL file that receives the true state.")] = None,
    die_with_stdin: Annotated[
        bool, typer.Option("--die-with-stdin", help="End at the end of stdin.")
    ] = False,
    fault: Annotated[list[str] | None, typer.Option(help="For instance gap:10:0.5; may be repeated.")] = None,
    impostor: Annotated[
        float | None, typer.Option(help="After so many s a second outlet of this name.")
    ] = None,
) -> None:
    """Stream a simulated patient over LSL until interrupted."""
    # Loaded here: numpy and liblsl take longer than the rest of the command together.
    from controller.lsl_log import quiet

    quiet()
    from sim.amplifier import Options, run_reported

    options = Options(
        seed=seed,
        preset=preset,
        name=name,
        source_id=source_id,
        sfreq_hz=sfreq,
        channels=channels,
        block_samples=block_samples,
        field=field,
        truth=truth,
        die_with_stdin=die_with_stdin,
        faults=tuple(fault or ()),
        impostor_at_s=impostor,
    )
    raise typer.Exit(run_reported(options))
