"""The plots of a report as inline SVG: biomarkers, stimulation, dose, latency, phases. matplotlib is loaded here, late.

Figures are made without pyplot, so that nothing global stays behind. Colours are Okabe and Ito's, which the colour-blind
can tell apart; no meaning rests on colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.finished.latency import STAGES, stage_times_ms
from controller.finished.run import Run
from controller.finished.screen import plain
from controller.finished.svg import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Floats,
    few_of,
    new_figure,
    svg_of,
    thin,
)
from controller.finished.tables import kind_of
from controller.finished.values import OTHERS, PULSED, Ask, BiomarkerLine, DoseLine, Slice, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PHASES: Final = {"SAFE": ("#d9d9d9", ""), "READY": (SKY, ""), "ARMED": (ORANGE, ""), "TRIPPED": (RED, "////")}
SHADES: Final = (SKY, ORANGE, PURPLE, GREEN, "#9a9a9a")  # of reasons; each has a letter, too
LATENCY_MS_MIN: Final = 0.01  # what is less stands at the left edge of a logarithmic axis
# Slices follow one another without a gap on the device's clock; turned to the host's, rounding may leave one.
BRIDGED_NS: Final = 20_000_000
MARKS_MAX: Final = 1000
VERDICTS: Final = (
    ("permit", "permitted", "o", 2.6, INK),
    ("refusal", "refused", "x", 6.0, RED),
    ("trip", "tripped", "v", 7.0, RED),
    ("none", "asked, no verdict", "D", 4.5, INK),
)


def biomarkers_svg(run: Run, summary: Summary, label: str) -> str:
    """Each biomarker over time, its thresholds, and why it was missing where it was; empty without readings."""
    lines = summary.biomarkers
    readings = run.tables.readings
    if not readings or not lines:
        return ""
    figure = new_figure(1.0 + 1.75 * len(lines))
    axes = figure.subplots(len(lines), 1, sharex=True, squeeze=False)[:, 0]
    scale, unit = _time_unit(summary.duration_s)
    time = np.array([(row.t_ns - run.start_ns) / 1e9 * scale for row in readings])
    shades = _shades(lines)
    used: set[str] = set()
    for column, (axis, line) in enumerate(zip(axes, lines, strict=True)):
        values = np.array([row.values[column] for row in readings])
        reasons = [kind_of(row.reasons[column]) for row in readings]
        for start, end, reason in _missing(time, values, reasons):
            name = reason if reason in shades else OTHERS
            used.add(name)
            _shade(axis, start, end, *shades[name], letter=end - start > summary.duration_s * scale / 60)
        _line(axis, *_broken(time, values))
        for name, level in line.thresholds.items():
            axis.axhline(level, color=RED, linewidth=1, linestyle=(0, (5, 3)))
            _beside(axis, level, f"{plain(name)} {level:g}", RED)
        axis.set_ylabel({"": "unit not known", "1": "dimensionless"}.get(line.unit, plain(line.unit)))
        axis.set_title(plain(line.name))
        axis.margins(y=0.12)
        axis.set_xlim(0, summary.duration_s * scale or None)
    axes[-1].set_xlabel(f"time of the session, {unit}")
    if used:
        _reason_legend(figure, {name: shade for name, shade in shades.items() if name in used})
    return svg_of(figure, label)


def stimulation_svg(run: Run, summary: Summary, label: str) -> str:
    """Amplitude asked, permitted, refused and delivered over time, under the effective limit; empty without any."""
    if not run.asks and not run.slices:
        return ""
    figure = new_figure(3.3)
    axis = figure.subplots()
    scale, unit = _time_unit(summary.duration_s)
    start_ns = run.start_ns

    def at(t_ns: int) -> float:
        return (t_ns - start_ns) / 1e9 * scale

    if summary.modality in PULSED:
        _trains(axis, run.slices, start_ns, scale, (run.end_ns - start_ns) / 1e9 * scale)
    else:
        _level(axis, run.slices, start_ns, scale)
    for verdict, name, marker, size, colour in VERDICTS:
        found = _fewer([ask for ask in run.asks if ask.verdict == verdict and math.isfinite(ask.amplitude)])
        if found:
            x, y = [at(ask.t_ns) for ask in found], [ask.amplitude for ask in found]
            face = "none" if verdict == "none" else colour
            axis.plot(x, y, linestyle="none", marker=marker, markersize=size, color=colour,
                      markerfacecolor=face, label=name, zorder=3)  # fmt: skip
    limit = summary.amplitude_limit
    if limit is not None and math.isfinite(limit.high):
        axis.axhline(limit.high, color=RED, linewidth=1.2, linestyle=(0, (5, 3)))
        _beside(axis, limit.high, f"limit {limit.high:g} ({plain(limit.set_by)})", RED)
    for trip in summary.trips:
        axis.axvline(trip.at_s * scale, color=RED, linewidth=1.6)
        _upright(axis, trip.at_s * scale, f"trip {plain(trip.code)}")
    axis.set_ylabel(f"amplitude, {summary.unit}")
    axis.set_xlabel(f"time of the session, {unit}")
    axis.margins(y=0.15)
    axis.set_ylim(bottom=0)
    axis.set_xlim(0, summary.duration_s * scale or None)
    _legend_above(axis)
    return svg_of(figure, label)


def dose_svg(run: Run, summary: Summary, label: str) -> str:
    """Each budget: confirmed, permitted and reserved over time; empty where the ledger does not tell."""
    course = run.ledger.dose
    if not course or not summary.dose:
        return ""
    figure = new_figure(2.6 if len(summary.dose) < 3 else 5.0)
    columns = min(2, len(summary.dose))
    axes = figure.subplots(-(-len(summary.dose) // columns), columns, squeeze=False).ravel()
    scale, unit = _time_unit(summary.duration_s)
    time = np.array([0.0, *((at.t_ns - run.start_ns) / 1e9 * scale for at in course)])
    for axis, line in zip(axes, summary.dose, strict=False):
        series = (
            (
                "reserved (counts as spent)",
                [at.reserved[line.name] for at in course],
                RED,
                (0, (2, 1.5)),
                1.2,
            ),
            ("permitted", [at.permitted[line.name] for at in course], INK, (0, (5, 2)), 1.2),
            ("confirmed", [at.confirmed[line.name] for at in course], BLUE, "solid", 1.8),
        )
        for name, values, colour, dash, width in series:
            x, y = thin(time, np.array([0.0, *values]))
            axis.plot(x, y, color=colour, linestyle=dash, linewidth=width, drawstyle="steps-post", label=name)
        _budget(axis, line)
        axis.set_xlabel(f"time of the session, {unit}")
        axis.set_xlim(0, summary.duration_s * scale or None)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=3)
    return svg_of(figure, label)


def latency_svg(run: Run, summary: Summary, label: str) -> str:
    """The share of requests that a stage had done within a time, a line a stage; empty without times."""
    from matplotlib.ticker import LogLocator

    commands = () if run.device is None else run.device.commands
    times_ms = {stage: times for stage, times in stage_times_ms(run.tables.stamps, commands).items() if times}
    if not times_ms:
        return ""
    figure = new_figure(3.6)
    axis = figure.subplots()
    colours = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, INK)
    dashes = ("solid", (0, (5, 2)), (0, (1.2, 1.2)))
    for stage, times in times_ms.items():
        index = list(STAGES).index(stage)
        ordered = np.sort(np.maximum(np.array(times), LATENCY_MS_MIN))
        share = np.arange(1, len(ordered) + 1) / len(ordered) * 100
        x, y = few_of(np.concatenate(([ordered[0]], ordered)), np.concatenate(([0.0], share)))
        whole = stage == "sample → FIRE"
        axis.plot(
            x,
            y,
            drawstyle="steps-post",
            label=stage,
            color=colours[index % len(colours)],
            linestyle=dashes[index // len(colours)] if not whole else "solid",
            linewidth=2.4 if whole else 1.4,
        )
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_xlabel("time, ms (logarithmic)")
    axis.set_ylabel("requests done within, %")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    return svg_of(figure, label)


def phases_svg(run: Run, summary: Summary, label: str) -> str:
    """The phases of the interlock as one bar of words; empty without any."""
    spans = [span for span in summary.phases if span.end_s >= span.start_s]
    total_s = summary.duration_s
    if not spans or total_s <= 0:
        return ""
    figure = new_figure(1.35)
    axis = figure.subplots()
    scale, unit = _time_unit(total_s)
    named: set[str] = set()
    for span in spans:
        colour, hatch = PHASES.get(span.phase, ("#ffffff", ""))
        width = span.end_s - span.start_s
        axis.broken_barh(
            [(span.start_s * scale, max(width, total_s / 500) * scale)],
            (0, 1),
            facecolors=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.8,
            label=plain(span.phase) if span.phase not in named else None,
        )
        named.add(span.phase)
        if width > 0.09 * total_s:
            box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
            middle = (span.start_s + width / 2) * scale
            axis.text(middle, 0.5, plain(span.phase), ha="center", va="center", fontweight="bold", bbox=box)
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.grid(visible=False)
    axis.margins(x=0)
    axis.set_xlabel(f"time of the session, {unit}")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(named), borderaxespad=0.2)
    return svg_of(figure, label)


def _time_unit(duration_s: float) -> tuple[float, str]:
    return (1 / 60, "min") if duration_s > 900 else (1.0, "s")


def _line(axis: Axes, x: Floats, y: Floats) -> None:
    """A line with its gaps; a value that stands alone between gaps is a dot."""
    x, y = thin(x, y)
    axis.plot(x, y, color=BLUE, linewidth=1.2)
    good = np.isfinite(y)
    before, after = np.concatenate(([False], good[:-1])), np.concatenate((good[1:], [False]))
    alone = good & ~before & ~after
    axis.plot(x[alone], y[alone], linestyle="none", marker=".", markersize=3, color=BLUE)


def _broken(time: Floats, values: Floats) -> tuple[Floats, Floats]:
    """With a gap where hops are missing: what was not measured is not drawn."""
    if len(time) < 3:
        return time, values
    steps = np.diff(time)
    holes = np.flatnonzero(steps > 2.5 * np.median(steps)) + 1
    return np.insert(time, holes, time[holes - 1]), np.insert(values, holes, np.nan)


def _missing(time: Floats, values: Floats, reasons: Sequence[str]) -> Iterator[tuple[float, float, str]]:
    """Spans without a value, by reason. Each reaches from its first to just before the next reading."""
    hop = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
    start = None
    for index in range(len(time) + 1):
        absent = index < len(time) and not math.isfinite(values[index])
        goes_on = absent and start is not None and reasons[index] == reasons[start]
        if start is not None and not goes_on:
            yield float(time[start]), float(time[index - 1]) + hop, reasons[start]
            start = None
        if absent and start is None:
            start = index


def _shade(axis: Axes, start: float, end: float, colour: str, mark: str, *, letter: bool) -> None:
    """A span without a value; its letter where there is room for one."""
    axis.axvspan(start, end, facecolor=colour, alpha=0.35, linewidth=0)
    if letter:
        middle = (start + end) / 2
        axis.text(
            middle, 0.96, mark, transform=axis.get_xaxis_transform(), ha="center", va="top", fontsize=8.5
        )


def _shades(lines: Sequence[BiomarkerLine]) -> dict[str, tuple[str, str]]:
    """A colour and a letter for each of the reasons that took most, and for the rest."""
    weight: dict[str, float] = {}
    for line in lines:
        for reason, share in line.nan_reasons.items():
            weight[reason] = weight.get(reason, 0.0) + share
    weight.pop(OTHERS, None)
    first = sorted(weight, key=lambda reason: (-weight[reason], reason))[: len(SHADES) - 1]
    return {
        **{reason: (SHADES[index], ascii_uppercase[index]) for index, reason in enumerate(first)},
        OTHERS: (SHADES[-1], ascii_uppercase[len(first)]),
    }


def _reason_legend(figure: Figure, shades: Mapping[str, tuple[str, str]]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour, alpha=0.4, label=f"{mark}: no value, {plain(name)[:60]}")
        for name, (colour, mark) in shades.items()
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=2)


def _level(axis: Axes, slices: Sequence[Slice], start_ns: int, scale: float) -> None:
    """A hold's delivered amplitude as an area: the greatest of each slice, zero where no slice is."""
    x, y = [0.0], [0.0]
    end_ns = 0
    for given in sorted(slices, key=lambda given: given.start_ns):
        if not math.isfinite(given.amplitude):
            continue
        if given.start_ns > end_ns + BRIDGED_NS:
            x += [(end_ns - start_ns) / 1e9 * scale] if end_ns else []
            y += [0.0] if end_ns else []
        x.append((given.start_ns - start_ns) / 1e9 * scale)
        y.append(given.amplitude)
        end_ns = max(end_ns, given.end_ns)
    if not end_ns:
        return
    x.append((end_ns - start_ns) / 1e9 * scale)
    y.append(0.0)
    across, level = thin(np.array(x), np.array(y))
    axis.fill_between(across, level, step="post", color=BLUE, alpha=0.3, linewidth=0, label="delivered")
    axis.plot(across, level, drawstyle="steps-post", color=BLUE, linewidth=1.0)


def _trains(axis: Axes, slices: Sequence[Slice], start_ns: int, scale: float, span: float) -> None:
    """Each train as a bar from its first to its last slice, at its greatest amplitude."""
    trains: dict[int, tuple[int, int, float]] = {}
    for given in slices:
        if given.n_pulses and math.isfinite(given.amplitude):
            first, last, high = trains.get(given.token, (given.start_ns, given.end_ns, 0.0))
            trains[given.token] = (
                min(first, given.start_ns),
                max(last, given.end_ns),
                max(high, given.amplitude),
            )
    if not trains:
        return
    left = [(first - start_ns) / 1e9 * scale for first, _, _ in trains.values()]
    width = [max((last - first) / 1e9 * scale, span / 400) for first, last, _ in trains.values()]
    axis.bar(left, [high for *_, high in trains.values()], width=width, align="edge", color=BLUE, alpha=0.45,
             edgecolor=BLUE, linewidth=0.8, label="delivered train")  # fmt: skip


def _budget(axis: Axes, line: DoseLine) -> None:
    """The budget as a line; where the session stayed far below it, in words instead of a squashed plot."""
    titles = {"on_time_s": "time of output", "charge_c": "charge", "n_pulses": "pulses"}
    axis.set_title(titles.get(line.name, plain(line.name)))
    axis.set_ylabel(plain(line.unit))
    top = max(line.reserved if math.isfinite(line.reserved) else 0.0, 1e-12)
    words = f"budget {line.budget:g} {plain(line.unit)}"
    if top > 0.4 * line.budget:
        axis.axhline(line.budget, color=RED, linewidth=1.2, linestyle=(0, (5, 3)))
        axis.text(
            0.01,
            line.budget,
            words,
            transform=axis.get_yaxis_transform(),
            color=RED,
            va="bottom",
            fontsize=8.5,
        )
        axis.set_ylim(0, max(top, line.budget) * 1.18)
        return
    axis.set_ylim(0, top * 1.3 if top > 1e-12 else 1.0)
    axis.text(
        0.02, 0.97, f"{words}: off this scale", transform=axis.transAxes, color=RED, va="top", fontsize=8.5
    )


def _beside(axis: Axes, level: float, text: str, colour: str) -> None:
    """A label on a horizontal line, at its right end and above it."""
    axis.annotate(
        text, (1.0, level), xycoords=axis.get_yaxis_transform(), xytext=(0, 2), textcoords="offset points",
        ha="right", va="bottom", color=colour, fontsize=8.5,
        bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
    )  # fmt: skip


def _upright(axis: Axes, at: float, text: str) -> None:
    """A label along a vertical line, to its left."""
    axis.text(
        at, 0.03, f"{text} ", transform=axis.get_xaxis_transform(), rotation=90, ha="right", va="bottom", color=RED,
        fontsize=8.5, bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
    )  # fmt: skip


def _legend_above(axis: Axes) -> None:
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=5, borderaxespad=0.2, markerscale=1.3)


def _fewer(asks: Sequence[Ask]) -> Sequence[Ask]:
    """At most MARKS_MAX of them, evenly; the tables count all."""
    return asks[:: -(-len(asks) // MARKS_MAX)] if asks else asks
