"""The sections that follow time: greatest output, dose, ways to zero, the log and its clocks; with their charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from controller.finished.page import figure, paragraph, section, table
from controller.finished.values import AMPLITUDE_UNIT, Slice
from controller.ledger_report.charts import Curve, Level, Mark, chart
from controller.ledger_report.doses import DoseLine, doses_of
from controller.ledger_report.facts import Greatest
from controller.ledger_report.reading import Material
from controller.ledger_report.timing import clocks_of, gaps_of, stops_of
from controller.ledger_report.words import SCOPES, budget_words, drifted, few, shortened
from safety.history import date_of
from safety.limit_values import Budget

NEVER_OPENED: Final = "Nothing was ever stopped: the device was never opened."
NEVER_STOPPED: Final = (
    "No stop is in this ledger: its interlock was killed, or its end was cut off. What the device host and the relay did "
    "then, the device alone can tell."
)
HANDED_OVER_NS = (
    20_000_000  # what a device's clock, turned to the host's, leaves between two slices of one output
)
DRIFT_DRAWN_MS = 1.0  # own choice: less is the jitter of reading two clocks one after the other


def maxima(material: Material) -> str:
    """What was fired and delivered, against the effective limits; and the amplitude over time."""
    ledger = material.ledger
    found = material.greatest
    limit = next((each.limit for each in found if each.limit.quantity.startswith("amplitude_")), None)
    svg = chart(
        "Delivered amplitude over time, with trips and the effective limit",
        "seconds since the first entry",
        f"amplitude, {limit.unit}" if limit else "amplitude",
        [Curve(name="delivered, greatest of each slice", points=_levels(material, ledger.slices))],
        span=(0.0, material.span_s),
        levels=[
            Level(value=limit.high, text=f"limit {shortened(limit.high)} {limit.unit}, set by {limit.set_by}")
        ]
        if limit
        else [],
        marks=[Mark(at=at_s, text=code) for at_s, code, _ in material.trips],
    )
    return section(
        "Greatest output, against the limits",
        table(
            ("quantity, unit", "#limit", "#permitted", "#left", "#delivered, greatest", "within", "limit set by"),
            [_reached(each) for each in found],
            "Permitted: over all trains that were permitted, with what the limits compute of them. Left: of the nearer end "
            "of the limit, by the permit that came nearest. Delivered: by the device's own word, amplitudes alone.",
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
    low, high = shortened(each.fired_low, limit.low), shortened(each.fired_high, limit.high)
    return (
        f"{limit.quantity}, {limit.unit}", f"{shortened(limit.low)} to {shortened(limit.high)}",
        low if each.fired_low == each.fired_high else f"{low} to {high}",
        "–" if math.isnan(each.left) else f"{100 * each.left:.0f} %", shortened(each.delivered, limit.high),
        "NO" if each.above else "yes", f"{limit.set_by}: {limit.source} ({limit.status})",
    )  # fmt: skip


def dose(material: Material) -> str:
    """Every budget, earlier sessions counted in; those of the session over time."""
    lines = doses_of(material)
    drawn = [
        _course(material, each.budget)
        for each in lines
        if each.budget.scope == "session" and not math.isnan(each.reserved)
    ]
    return section(
        "Dose, against the budgets",
        table(
            (
                "budget",
                "over",
                "unit",
                "#earlier sessions",
                "#confirmed",
                "#permitted",
                "#reserved",
                "#counts in all",
                "#budget",
                "#spent",
                "within",
                "source of the budget",
            ),
            [_spent(each) for each in lines],
            f"{_which_course(material)}Earlier sessions: of this participant, within that time, as the store told them at "
            "the start. Of this session: "
            "confirmed by the device; permitted; and reserved, which counts as spent while it runs, and for good after a "
            "crash. In all: earlier and reserved. A dash: no sum (each pulse and train begins anew), or not known because "
            "the decisions could not be reproduced.",
            "No budget is known.",
        ),
        *drawn,
    )


def _which_course(material: Material) -> str:
    """A sentence on the course that the budgets of the whole course are of; nothing before its first session."""
    rules = material.genesis.rules
    for course in rules.history.courses:
        if course.modality == rules.limits.modality:
            by = f", begun by {course.begun_by}" if course.begun_by else ""
            since = date_of(rules.history, course.since_wall_ns) if course.since_wall_ns else ""
            return f"This is course {course.number}{by}{since and f' on {since}'}. "
    return ""


def _spent(each: DoseLine) -> tuple[str, ...]:
    budget = each.budget
    known = math.isfinite(each.total)
    share = f"{each.share:.0%}" if known and budget.high > 0 else "–"
    return (
        budget_words(budget.name), SCOPES[budget.scope], budget.unit,
        *(shortened(value) for value in (each.earlier, each.confirmed, each.permitted, each.reserved)),
        shortened(each.total, budget.high), shortened(budget.high), share,
        "–" if not known else "NO" if each.beyond else "yes", f"{budget.source} ({budget.status})",
    )  # fmt: skip


def _course(material: Material, budget: Budget) -> str:
    course, name, words = material.ledger.dose, budget.name, budget_words(budget.name)
    at = [material.at_s(each.t_ns) for each in course]
    curves = [
        Curve(name=said, points=[(0.0, 0.0), *zip(at, sums, strict=True)])
        for said, sums in (
            ("reserved, counts as spent", [each.reserved[name] for each in course]),
            ("permitted", [each.permitted[name] for each in course]),
            ("confirmed by the device", [each.confirmed[name] for each in course]),
        )
    ]
    top = max((each.reserved[name] for each in course), default=0.0)
    high = shortened(budget.high)
    # A budget far above what was used would flatten the curves: it is named instead of drawn.
    levels = [Level(value=budget.high, text=f"budget {high} {budget.unit}")] if budget.high <= 4 * top else []
    svg = chart(
        f"{words} of this session over time, against its budget", "seconds since the first entry",
        f"{words}, {budget.unit}", curves, span=(0.0, material.span_s), levels=levels,
    )  # fmt: skip
    beyond = "" if levels else f" Its budget of {high} {budget.unit} lies above the picture."
    return figure(
        svg,
        f"{words.capitalize()} of this session, {budget.unit}.{beyond}",
        f"{words}: its course is not known.",
    )


def stops(material: Material) -> str:
    """Each way to zero, by the ledger's own clock."""
    unit = AMPLITUDE_UNIT.get(material.genesis.rules.limits.modality, "")
    rows = [
        (
            each.code or "–", f"{each.at_s:.3f}", material.utc(each.at_s), each.why, shortened(each.output),
            _ms(each.ended_ms), _ms(each.zero_ms), _ms(each.relay_ms),
        )
        for each in stops_of(material.genesis, material.entries, material.ledger.slices)
    ]  # fmt: skip
    return section(
        "Time to zero of each stop",
        table(
            ("code", "#at, s", "UTC", "what led to it", f"#output before, {unit}", "#last output ended, ms",
             "#zero confirmed, ms", "#relay seen open, ms"),
            few(rows),
            "Milliseconds from the decision, on the interlock's monotonic clock. Last output ended: the end of the last "
            "slice with output that the device told. Zero confirmed: the device said idle at zero, asked after the stop was "
            "taken. A dash in place of a code: no trip of its own, as an end that was asked for, or a second STOP; in place "
            "of a time: the ledger does not tell.",
            NEVER_STOPPED if material.ledger.capabilities is not None else NEVER_OPENED,
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
    nothing = f"The wall clock was never further than {max(far, 0.1):.1f} ms off: no picture."
    return section(
        "The log and its clocks",
        table(
            ("#from, s", "#for, s", "#ticks taken", "#ticks due"),
            few(gaps),
            "Gaps: spans in which the interlock's ticks of 10 ms are missing, so that it stood still, or lines do.",
            "No gap: the interlock's ticks of 10 ms are all accounted for.",
        ),
        table(
            ("#at, s", "clock", "#step, s"),
            few(steps),
            "Steps of a clock between two entries, against the monotonic one. A step of boot time is a suspend.",
            "No clock stepped.",
        ),
        paragraph(
            f"Over {clocks.span_s:,.1f} s the wall clock drifted {drifted(clocks.wall_drift_s)} against the monotonic one, "
            f"which nobody sets; boot time, which counts sleep of the machine, {drifted(clocks.boot_drift_s)}."
        ),
        figure(
            svg if far > DRIFT_DRAWN_MS else "",
            "Drift of the wall clock; a step is a correction of the time, or a clock that somebody set.",
            nothing,
        ),
    )


def _ms(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"
