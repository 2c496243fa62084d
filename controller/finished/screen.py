"""A Summary on the terminal: a screen that a lab understands in ten seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from controller.finished.values import PULSED, DoseLine, LedgerLine, Summary

GOOD: Final = "green"
POOR: Final = "yellow"
BAD: Final = "bold red"
STATEMENT: Final = "Research software; not a medical device, not approved for therapy."
REFUSALS_MAX: Final = 6  # lines; the report has all


def print_summary(summary: Summary, console: Console, report: Path | None = None) -> None:
    """Print it; the console decides on colour, and has none where it is no terminal."""
    parts: list[RenderableType] = [Text(), *_head(summary), Text(), _counts(summary)]
    if summary.dose or summary.amplitude_limit is not None:
        parts += [Text(), _dose(summary)]
    if summary.latency:
        parts += [Text(), _latency(summary)]
    parts += [Text(), _foot(summary)]
    console.print(Group(*parts), soft_wrap=False)
    # Not folded: a path in pieces cannot be copied.
    console.print(Text(f"Report  {report or Path(summary.run_dir) / 'report.html'}"), soft_wrap=True)
    console.print(Text(STATEMENT))


def plain(text: str) -> str:
    """Text that somebody else wrote, on one line and without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def number(value: float, digits: int = 3) -> str:
    """A number as a person writes it; a dash for none."""
    return (
        "–" if not math.isfinite(value) else f"{value:,.{digits}g}" if abs(value) < 1000 else f"{value:,.0f}"
    )


def verdict_on(ledger: LedgerLine) -> tuple[str, str]:
    """One word for a ledger, and what it rests on."""
    ending = "closed in order" if ledger.closed else "not closed: the interlock did not end in order"
    torn = ", last line torn" if ledger.torn else ""
    if not ledger.found:
        return "UNREADABLE", "; ".join(ledger.problems)
    if ledger.ok:
        strayed = "; THE DEVICE STRAYED, and the interlock tripped on it" if ledger.strays else ""
        whole = f"{ledger.entries} entries, chain whole, every decision reproduced, {ending}{torn}{strayed}"
        return "VERIFIED", whole
    if ledger.execution == "differs under other code":
        return (
            "OTHER CODE",
            f"{ledger.entries} entries, chain whole; written by another version, {ending}{torn}",
        )
    against = (*ledger.problems, *ledger.objections)
    return "NOT VERIFIED", "; ".join(against) or f"{ledger.entries} entries, {ledger.execution}{torn}"


def _head(summary: Summary) -> list[Text]:
    title = Text.assemble(
        ("nociloop", "bold"), " · session ", plain(summary.session_id), f" · {plain(summary.title)}" if summary.title else ""
    )  # fmt: skip
    style = "bold black on yellow" if summary.simulated else "bold white on red"
    banner = Text(f" {summary.banner} ", style=style)
    if summary.device:
        banner.append(f"  {plain(summary.device)}", style="default on default not bold")
    by = f" by {plain(summary.armed_by)}" if summary.armed_by else ""
    facts = Text(
        f"{summary.modality or 'modality unknown'} · {summary.duration_s:.1f} s, "
        f"armed {summary.armed_s:.1f} s{by} · exit status "
    )
    facts.append(summary.exit_text, style="" if summary.exit_status in (0, 130) else BAD)
    return [title, banner, facts]


def _counts(summary: Summary) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    asked, given = summary.asked, summary.delivered
    unanswered = f"{asked.unanswered} without a verdict" if asked.unanswered else ""
    grid.add_row("Asked", str(asked.asked), unanswered)
    grid.add_row("Permitted", str(asked.permitted), "")
    refusals = [
        f"{refused.code} ×{refused.count}  {plain(refused.text)}"
        for refused in summary.refusals[:REFUSALS_MAX]
    ]
    more = len(summary.refusals) - REFUSALS_MAX
    refusals += [f"and {more} more codes"] if more > 0 else []
    grid.add_row("Refused", str(asked.refused), Text("\n".join(refusals)))
    trips = [
        f"{trip.code} at {trip.at_s:.1f} s  {plain(trip.text)} → {plain(trip.remedy)}"
        for trip in summary.trips
    ]
    style = BAD if trips else ""
    grid.add_row(Text("Tripped", style), Text(str(len(trips)), style), Text("\n".join(trips), style))
    pulses = f"{given.n_pulses} pulses in " if summary.modality in PULSED else ""
    assumed = f", {given.n_assumed} slices assumed" if given.n_assumed else ""
    renewed = f"{given.n_renewals} renewals, " if given.n_renewals else ""
    most = f"at most {number(given.amplitude_max)} {summary.unit}"
    told = f"{renewed}{pulses}{number(given.on_time_s)} s of output, {most}{assumed}"
    truth = summary.device_truth
    if truth is not None:
        pulses = f"{truth.pulses} pulses in " if summary.modality in PULSED else ""
        told += (
            f"\ndevice's own record: {pulses}{number(truth.on_time_s)} s, "
            f"at most {number(truth.amplitude_max)} {summary.unit}"
        )
    grid.add_row("Delivered", str(given.n_trains), Text(told if given.n_trains else "no output"))
    return grid


def _dose(summary: Summary) -> Table:
    table = _table("Dose and limit", ("used", "permitted", "%"))
    limit, top = summary.amplitude_limit, summary.delivered.amplitude_max
    if limit is not None:
        label = f"greatest amplitude, {plain(limit.unit)}"
        table.add_row(label, number(top), number(limit.high), _percent(top, limit.high))
    for line in summary.dose:
        table.add_row(f"{dose_label(line)}, {plain(line.unit)}", number(line.reserved), number(line.budget),
                      _percent(line.reserved, line.budget))  # fmt: skip
    return table


def dose_label(line: DoseLine) -> str:
    """A budget in words."""
    names = {"on_time_s": "time of output", "charge_c": "charge", "n_pulses": "pulses"}
    return f"{names.get(line.name, line.name)}, reserved"


def _latency(summary: Summary) -> Table:
    table = _table("Latency, ms", ("n", "p50", "p95", "p99", "max"))
    for line in summary.latency:
        cells = (line.p50_ms, line.p95_ms, line.p99_ms, line.max_ms)
        table.add_row(line.stage, str(line.n), *(f"{cell:.2f}" for cell in cells))
    return table


def _foot(summary: Summary) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    word, text = verdict_on(summary.ledger)
    style = {"VERIFIED": GOOD, "OTHER CODE": POOR}.get(word, BAD)
    grid.add_row("Ledger", Text.assemble((word, style), f" {plain(text)}"))
    if summary.ledger.head:
        grid.add_row("", Text(f"head {summary.ledger.head}"))
    if summary.digests.limits:
        ran = summary.digests
        style = POOR if "simulated endpoints only" in ran.limits_signed else ""
        grid.add_row("Limits", Text(f"serial {ran.limits_serial}, {plain(ran.limits_signed)}", style=style))
    lost = [f"{summary.skipped_hops} hops skipped"] if summary.skipped_hops else []
    lost += [f"tap {plain(tap)} dropped {n}" for tap, n in summary.drops.items()]
    if lost:
        grid.add_row("Lost", Text("; ".join(lost), style=POOR))
    for note in summary.notes:
        grid.add_row("Note", Text(plain(note), style=POOR))
    return grid


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(title, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _percent(used: float, budget: float) -> Text:
    if not (math.isfinite(used) and budget > 0):
        return Text("–")
    share = used / budget
    return Text(f"{share:.0%}", style=BAD if share > 1 else POOR if share > 0.8 else "")
