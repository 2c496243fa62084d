"""`nociloop bench latency`: live LSL, every process running, one sample a push; what the documents quote."""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from controller.finished.values import Spread
from sim.process_watch import ProcessWatch, Seen

app = typer.Typer(
    help="Every figure that the documents quote.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

FLOOR_S = 8.0
# A renewal at every hop: the policy asks at once, rises to the limit, and renews each lease at its 40 %.
CHANGES = {
    "hop_ms = 100": "hop_ms = 40",
    "hi = 0.29": "hi = 0.0001",
    "lo = 0.25": "lo = 0.00001",
    "lease_ms = 500": "lease_ms = 200",
    "rate_per_s = 0.1": "rate_per_s = 0.5",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """One run of the benchmark. `above_floor_ms`: the whole loop less the bare pull loop, quantile by quantile."""

    seconds: float
    machine: str
    exit_status: int
    floor: Spread
    stages: tuple[Spread, ...]
    above_floor_ms: dict[str, dict[str, float]]
    overruns: int
    processes: tuple[dict[str, object], ...]


@app.command("latency")
def latency_verb(
    seconds: Annotated[float, typer.Option(min=10.0, max=3600.0, help="of closed loop")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Newest sample's LSL time to the command in the simulated device, stage by stage, above a bare pull loop."""
    found = measure_latency(seconds)
    if as_json:
        sys.stdout.write(json.dumps(asdict(found), indent=1) + "\n")
    else:
        _show(found)
    raise typer.Exit(0 if found.exit_status == 0 else 1)


@app.command("interlock")
def interlock_verb(
    seconds: Annotated[
        float, typer.Option(min=2.0, max=600.0, help="of 200 requests a second, ledger on")
    ] = 20.0,
    trials: Annotated[int, typer.Option(min=1, max=1000, help="of each cause of a stop under each load")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """The interlock alone: verdicts a second, bytes of an entry, read to answered, and time to zero under load."""
    from controller.running import NotStarted
    from sim.bench_interlock import RATE_HZ, measure_interlock

    try:
        found = measure_interlock(seconds, trials)
    except NotStarted as error:
        sys.stderr.write("".join(f"nociloop: {line}\n" for line in str(error).splitlines()))
        raise typer.Exit(error.exit_status) from error
    if as_json:
        sys.stdout.write(json.dumps(asdict(found), indent=1) + "\n")
        return
    core = found.core
    sys.stdout.write(
        f"{core.verdicts_per_s:,.0f} verdicts a second on one core, entries made ({core.verdicts} judged again)\n"
    )
    for each in (core.entry_bytes, *found.stages, *found.zero):
        unit = "bytes" if each is core.entry_bytes else "ms"
        figures = "   ".join(
            f"{n} {v:8.2f}" for n, v in (("p50", each.p50_ms), ("p99", each.p99_ms), ("max", each.max_ms))
        )
        sys.stdout.write(f"{each.stage:27} n {each.n:5}   {figures} {unit}\n")
    refused = ", ".join(f"{code} {n} times" for code, n in found.refused.items()) or "none"
    sys.stdout.write(f"requests refused while {RATE_HZ:g} a second were asked: {refused}\n")


def measure_latency(seconds: float) -> Latency:
    """Run floor and session on the same simulated amplifier, one sample a push at 500 Hz, 32 channels."""
    from controller.finished.summary import summarise
    from controller.running import run_session
    from sim.demo import demo_files, private, world

    with tempfile.TemporaryDirectory(prefix="nociloop-bench-") as name:
        folder = Path(name)
        with private(folder), world(folder, 1, block_samples=1) as made:
            floor = bare_pull(made.source_id, FLOOR_S)
            watch = ProcessWatch()
            watch.start()
            files = demo_files(made, "tacs", seconds, 1, CHANGES)
            ended = run_session(*files, folder / "runs", quiet=True)
            processes = watch.stop()
        summary = summarise(ended.run_dir, folder / "device.jsonl", exit_status=ended.status)
        told = json.loads((ended.run_dir / "controller.json").read_text(encoding="utf-8"))
    return Latency(
        seconds=seconds,
        machine=f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}",
        exit_status=ended.status,
        floor=floor,
        stages=summary.latency,
        above_floor_ms={
            s.stage: _above(s, floor) for s in summary.latency if s.stage.startswith("sample → ")
        },
        overruns=int(told["hops_skipped"]),
        processes=tuple(_process(seen) for seen in processes),
    )


def bare_pull(source_id: str, seconds: float) -> Spread:
    """The floor: pull_sample in a loop and nothing else, in this process, on the same stream."""
    import pylsl

    from controller.finished.latency import spreads

    found = pylsl.resolve_byprop("source_id", source_id, 1, 10.0)
    inlet = pylsl.StreamInlet(found[0], max_buflen=5, recover=False)
    inlet.open_stream(timeout=5.0)
    offset_s = inlet.time_correction(5.0)
    ages_ms: list[float] = []
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        _, stamp_s = inlet.pull_sample(timeout=1.0)
        if stamp_s:
            ages_ms.append((pylsl.local_clock() - stamp_s - offset_s) * 1e3)
    inlet.close_stream()
    return spreads({"bare pull": ages_ms[len(ages_ms) // 10 :]})[0]


def _above(stage: Spread, floor: Spread) -> dict[str, float]:
    return {
        "p50": stage.p50_ms - floor.p50_ms,
        "p95": stage.p95_ms - floor.p95_ms,
        "p99": stage.p99_ms - floor.p99_ms,
        "max": stage.max_ms - floor.max_ms,
    }


def _process(seen: Seen) -> dict[str, object]:
    return {
        "name": seen.name,
        "cpu_pct": round(100.0 * seen.cpu, 1),
        "rss_mb_first": round(seen.rss_first_kb / 1024, 1),
        "rss_mb_last": round(seen.rss_last_kb / 1024, 1),
    }


def _show(found: Latency) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(
        title=f"latency, ms ({found.machine}; {found.seconds:g} s, 32 channels at 500 Hz, one sample a push)"
    )
    table.add_column("stage")
    for name in ("n", "p50", "p95", "p99", "max"):
        table.add_column(name, justify="right")
    for s in (found.floor, *found.stages):
        table.add_row(s.stage, str(s.n), *(f"{x:.2f}" for x in (s.p50_ms, s.p95_ms, s.p99_ms, s.max_ms)))
    for stage, above in found.above_floor_ms.items():
        table.add_row(
            f"{stage}, above the floor", "", *(f"{above[name]:.2f}" for name in ("p50", "p95", "p99", "max"))
        )
    console.print(table)
    console.print(f"hops skipped (overruns): {found.overruns}")
    for each in found.processes:
        console.print(
            f"{each['name']!s:32} {each['cpu_pct']:>6} % of a core   {each['rss_mb_first']} -> {each['rss_mb_last']} MB"
        )
    if found.exit_status != 0:
        console.print(f"the session ended with status {found.exit_status}: these figures are of a part of it")
