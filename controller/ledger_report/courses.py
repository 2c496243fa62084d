"""The sections that follow time: greatest output, dose, ways to zero, the log and its clocks; with their charts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from controller.finished.page import figure, paragraph, section, table
from controller.finished.screen import number
from controller.finished.values import Slice
from controller.ledger_report.charts import Curve, Level, Mark, chart
from controller.ledger_report.facts import Greatest, greatest
from controller.ledger_report.reading import Material
from controller.ledger_report.timing import clocks_of, gaps_of, stops_of

HANDED_OVER_NS = (
    20_000_000  # what a device's clock, turned to the host's, leaves between two slices of one output
)
DRIFT_DRAWN_MS = 1.0  # own choice: less is the jitter of reading two clocks one after the other


def maxima(material: Material) -> str:
    """What was fired and delivered, against the effective limits; and the amplitude over time."""
    ledger = material.ledger
    found = tuple(greatest(material.entries, ledger.slices, material.limits))
    limit = next((each.limit for each in found if each.limit.quantity.startswith("amplitude_")), None)
    svg = chart(
        "Delivered amplitude over time, with trips and the effective limit",
        "seconds since the first entry",
        f"amplitude, {limit.unit}" if limit else "amplitude",
        [Curve(name="delivered, greatest of each slice", points=_levels(material, ledger.slices))],
        span=(0.0, material.span_s),
        levels=[Level(value=limit.high, text=f"limit {limit.high:g}, set by {limit.set_by}")]
        if limit
        else [],
        marks=[Mark(at=at_s, text=code) for at_s, code, _ in material.trips],
    )
    return section(
        "Greatest output, against the limits",
        table(
            ("quantity", "#limit", "set by", "#permitted", "#delivered, greatest", "within"),
            [_reached(each) for each in found],
            "Permitted: over all trains that were permitted. Delivered: by the device's own word, amplitudes alone.",
            "Nothing was permitted and nothing delivered.",
        ),
        figure(svg, "By the device's own reports. Dashed: the effective limit.", "The device reported no output."),
    )  # fmt: skip


def _levels(material: Material, slices: Sequence[Slice]) -> list[tuple[float, float]]:
    """The level over time; it falls to zero where no slice takes over from the one before."""
    ordered = sorted(slices, key=lambda given: given.start_ns)
    points: list[tuple[float, float]] = []
    for n, given in enumerate(ordered):
        start_s, end_s = material.at_s(given.start_ns), material.at_s(given.end_ns)
        goes_on = n + 1 < len(ordered) and ordered[n + 1].start_ns <= given.end_ns + HANDED_OVER_NS
        went_on = n > 0 and given.start_ns <= ordered[n - 1].end_ns + HANDED_OVER_NS
        points += [] if went_on else [(start_s, 0.0)]
        points += [(start_s, given.amplitude), *([] if goes_on else [(end_s, 0.0)])]
    return points


def _reached(each: Greatest) -> tuple[str, ...]:
    limit = each.limit
    fired = (
        number(each.fired_low, 6)
        if each.fired_low == each.fired_high
        else f"{number(each.fired_low, 6)} to {number(each.fired_high, 6)}"
    )
    return (
        f"{limit.quantity}, {limit.unit}", f"{number(limit.low, 6)} to {number(limit.high, 6)}",
        f"{limit.set_by}: {limit.source} ({limit.status})", fired, number(each.delivered, 6),
        "NO" if each.above else "yes",
    )  # fmt: skip


def dose(material: Material) -> str:
    """Every budget; those of the session over time."""
    budgets, course = material.genesis.rules.limits.budgets, material.ledger.dose
    last = course[-1] if course else None
    rows, drawn = [], []
    for budget in budgets:
        used = last is not None and budget.scope == "session" and budget.name in last.reserved
        if used and last is not None:
            sums = (last.confirmed[budget.name], last.permitted[budget.name], last.reserved[budget.name])
            share = f"{sums[2] / budget.high:.0%}" if budget.high > 0 else "–"
            drawn.append(_course(material, budget.name, budget.high, budget.unit))
        else:
            sums, share = (math.nan,) * 3, "–"
        rows.append(
            (budget.scope, budget.name, *(number(each, 6) for each in sums), number(budget.high, 6), budget.unit,
             share, f"{budget.source} ({budget.status})")
        )  # fmt: skip
    return section(
        "Dose, against the budgets",
        table(
            (
                "over",
                "budget",
                "#confirmed",
                "#permitted",
                "#reserved",
                "#budget",
                "unit",
                "#spent",
                "source, status",
            ),
            rows,
            "Confirmed by the device; permitted; and reserved ahead, which counts as spent. A dash: not in this ledger, or "
            "not known because the decisions could not be reproduced.",
            "No budget is known.",
        ),
        *drawn,
    )


def _course(material: Material, name: str, budget: float, unit: str) -> str:
    course = material.ledger.dose
    at = [material.at_s(each.t_ns) for each in course]
    curves = [
        Curve(name=words, points=[(0.0, 0.0), *zip(at, sums, strict=True)])
        for words, sums in (
            ("reserved, counts as spent", [each.reserved[name] for each in course]),
            ("permitted", [each.permitted[name] for each in course]),
            ("confirmed by the device", [each.confirmed[name] for each in course]),
        )
    ]
    top = max((each.reserved[name] for each in course), default=0.0)
    # A budget far above what was used would flatten the curves: it is named instead of drawn.
    levels = [Level(value=budget, text=f"budget {budget:g}")] if budget <= 4 * top else []
    svg = chart(
        f"{name} over time against its budget", "seconds since the first entry", f"{name}, {unit}", curves,
        span=(0.0, material.span_s), levels=levels,
    )  # fmt: skip
    beyond = "" if levels else f" The budget, {budget:g}, lies above the picture."
    return figure(svg, f"{name}, {unit}.{beyond}", f"{name}: its course is not known.")


def stops(material: Material) -> str:
    """Each way to zero, by the ledger's own clock."""
    rows = [
        (
            each.code or "–", f"{each.at_s:.3f}", each.why, number(each.output), _ms(each.ended_ms), _ms(each.zero_ms),
            _ms(each.relay_ms),
        )
        for each in stops_of(material.genesis, material.entries, material.ledger.slices)
    ]  # fmt: skip
    return section(
        "Time to zero of each stop",
        table(
            ("code", "#at, s", "what led to it", "#output before", "#last output ended, ms", "#zero confirmed, ms",
             "#relay seen open, ms"),
            rows,
            "From the decision, on the interlock's monotonic clock. Last output ended: the end of the last slice with "
            "output that the device told. Zero confirmed: the device said idle at zero, asked after the stop was taken. "
            "A dash: the ledger does not tell.",
            "Nothing was ever stopped: the device was never opened.",
        ),
    )  # fmt: skip


def log_and_clocks(material: Material) -> str:
    """Gaps in the log, and what the clocks did."""
    gaps = [
        (f"{gap.at_s:.3f}", f"{gap.span_s:.3f}", str(gap.ticks), str(gap.expected))
        for gap in gaps_of(material.genesis, material.entries)
    ]
    clocks = clocks_of(material.genesis, material.entries)
    steps = [(f"{step.at_s:.3f}", step.clock, f"{step.step_s:+.3f}") for step in clocks.steps]
    drift = [(material.at_s(mono_ns), drift_ms) for mono_ns, drift_ms in clocks.wall_drift_ms]
    far = max((abs(drift_ms) for _, drift_ms in drift), default=0.0)
    svg = chart(
        "Wall clock against the monotonic clock, over time",
        "seconds since the first entry",
        "wall − monotonic, ms",
        [Curve(name="wall clock", points=drift, steps=False)],
        span=(0.0, material.span_s),
    )
    nothing = f"The wall clock was never further than {far:.2f} ms off: no picture."
    return section(
        "The log and its clocks",
        table(
            ("#from, s", "#for, s", "#ticks taken", "#ticks due"),
            gaps,
            "Gaps: spans in which the interlock's ticks of 10 ms are missing, so that it stood still, or lines do.",
            "No gap: the interlock's ticks of 10 ms are all accounted for.",
        ),
        table(
            ("#at, s", "clock", "#step, s"),
            steps,
            "Steps of a clock between two entries, against the monotonic one. A step of boot time is a suspend.",
            "No clock stepped.",
        ),
        paragraph(
            f"Over {number(clocks.span_s, 6)} s the wall clock drifted {clocks.wall_drift_s:+.4f} s against the monotonic "
            f"one, boot time {clocks.boot_drift_s:+.4f} s."
        ),
        figure(
            svg if far > DRIFT_DRAWN_MS else "",
            "Drift of the wall clock; a step is a correction of the time, or a clock that somebody set.",
            nothing,
        ),
    )


def _ms(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"
