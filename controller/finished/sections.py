"""The sections of a report's page, from the summary at a glance to what proves it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from controller.finished import plots as drawn
from controller.finished.page import card, digests, figure, paragraph, section, table, text
from controller.finished.run import Run
from controller.finished.screen import number, verdict_on
from controller.finished.values import PULSED, Spread, Summary

STATEMENT: Final = (
    "nociloop is research software. It is not a medical device and is not approved for therapy. "
    "A biomarker shown here is a research variable, not a measure of pain."
)
LIMITS_OF_PROOF: Final = (
    "The ledger shows that every decision follows from what the interlock was told, under the limits given here. "
    "It does not show that the EEG or the device told the truth, nor that the machine's clock was right; and a "
    "ledger is only as good as its head hash, kept somewhere else: compare it with the copy you noted."
)


def head(summary: Summary, title: str) -> str:
    """Title, who and when, how it ended, and what nociloop is not."""
    armed = f"armed {summary.armed_s:.1f} s" + (f" by {summary.armed_by}" if summary.armed_by else "")
    facts = (
        f"{summary.modality or 'modality unknown'} · {summary.duration_s:.1f} s, {armed} · "
        f"exit status {summary.exit_text}"
    )
    who = " · ".join(
        part
        for part in (
            f"session {summary.session_id}",
            f"participant {summary.participant}" if summary.participant else "",
            f"begun {summary.started_utc[:19].replace('T', ' ')} UTC" if summary.started_utc else "",
            summary.device,
        )
        if part
    )
    return (
        f"<header><h1>{text(title)}</h1>{paragraph(who, 'facts')}{paragraph(facts, 'facts')}"
        f"{paragraph(STATEMENT, 'statement')}</header>"
    )


def cards(summary: Summary) -> Iterator[str]:
    """The run at a glance."""
    asked, given = summary.asked, summary.delivered
    unanswered = f"{asked.unanswered} without a verdict" if asked.unanswered else "requests of the policy"
    yield card("Asked", str(asked.asked), unanswered)
    yield card("Permitted", str(asked.permitted), "by the interlock")
    first = summary.refusals[0] if summary.refusals else None
    yield card("Refused", str(asked.refused), f"most: {first.code} {first.text}" if first else "none")
    trips = ", ".join(trip.code for trip in summary.trips)
    yield card("Tripped", str(len(summary.trips)), trips or "none", "bad" if trips else "good")
    yield card("Delivered", *_delivered(summary))
    limit = summary.amplitude_limit
    over = limit is not None and given.amplitude_max > limit.high
    share = f"{given.amplitude_max / limit.high:.0%} of " if limit is not None and limit.high > 0 else ""
    yield card(
        "Greatest amplitude",
        f"{number(given.amplitude_max)} {summary.unit}",
        f"{share}the limit {number(limit.high)}, set by {limit.set_by}"
        if limit is not None
        else "limit not known",
        "bad" if over else "",
    )
    whole = next((line for line in summary.latency if line.stage == "sample → FIRE"), None)
    whole = whole or next((line for line in summary.latency if line.stage == "asked → answered"), None)
    if whole is not None:
        more = f"p99 of {whole.stage} (n = {whole.n}); max {whole.max_ms:.1f} ms"
        yield card("Latency", f"{whole.p99_ms:.1f} ms", more)
    word, why = verdict_on(summary.ledger)
    kind = {"VERIFIED": "good" if summary.ledger.closed else "poor", "OTHER CODE": "poor"}.get(word, "bad")
    yield card("Ledger", word, why, kind)


def _delivered(summary: Summary) -> tuple[str, str]:
    given, truth = summary.delivered, summary.device_truth
    if summary.modality in PULSED:
        value, more = f"{given.n_pulses} pulses", f"in {given.n_trains} trains"
        own = "" if truth is None else f"; the device's own record: {truth.pulses}"
    else:
        value, more = (
            f"{number(given.on_time_s)} s",
            f"in {given.n_trains} holds, {given.n_renewals} renewals",
        )
        own = "" if truth is None else f"; the device's own record: {number(truth.on_time_s)} s"
    assumed = f"; {given.n_assumed} slices assumed" if given.n_assumed else ""
    return value, more + own + assumed


def plots(run: Run, summary: Summary) -> Iterator[str]:
    """A section for each plot, and the latency table under its own."""
    yield section(
        "Phases of the interlock",
        figure(
            drawn.phases_svg(run, summary, f"Phases: {', '.join(span.phase for span in summary.phases)}"),
            "SAFE: no output possible. READY: may be armed. ARMED: a named person has armed. TRIPPED: latched to safe.",
            "No phase is on record.",
        ),
    )
    values = "; ".join(
        f"{line.name} median {number(line.median)}, missing {line.nan_share:.0%}"
        for line in summary.biomarkers
    )
    yield section(
        "Biomarkers",
        figure(
            drawn.biomarkers_svg(run, summary, f"Biomarkers over time. {values}"),
            "Shaded, with a letter: no value, by reason. Dashed: the policy's thresholds. "
            "A gap in the line: a hop that was skipped.",
            "No reading is on record.",
        ),
    )
    given, unit = summary.delivered, summary.unit
    told = f"{summary.asked.permitted} permitted, {summary.asked.refused} refused, at most {number(given.amplitude_max)}"
    yield section(
        "Stimulation",
        figure(
            drawn.stimulation_svg(run, summary, f"Amplitude over time: {told} {unit} delivered"),
            f"Delivered: the greatest amplitude of each slice that the device reported, in {unit}. "
            "Dashed: the effective limit. Crosses: requests that were refused, at the amplitude that was asked.",
            "Nothing was asked and nothing was delivered.",
        ),
    )
    spent = "; ".join(
        f"{line.name} {number(line.reserved)} of {number(line.budget)} {line.unit}" for line in summary.dose
    )
    yield section(
        "Dose",
        figure(
            drawn.dose_svg(run, summary, f"Dose over time against the budgets of the session: {spent}"),
            "Confirmed by the device; permitted; and reserved ahead, which counts as spent until the session's end.",
            "The course of the dose is not known: it is taken from a verified ledger alone.",
        ),
    )
    yield section(
        "Latency",
        figure(
            drawn.latency_svg(run, summary, "Share of requests done within a time, a line for each stage"),
            "Share of requests that a stage had done within a time; the right end of a line is its worst case.",
            "No request was stamped.",
        ),
        _latency(summary),
    )


def _latency(summary: Summary) -> str:
    rows = [_spread(line) for line in summary.latency]
    lost = f"Hops skipped: {summary.skipped_hops}. Dropped by taps: " + (
        ", ".join(f"{tap} {n}" for tap, n in summary.drops.items()) or "none"
    )
    columns = ("stage", "#n", "#p50", "#p95", "#p99", "#max", "what it is")
    return table(columns, rows, f"Latency in ms. {lost}.", f"{lost}.")


def _spread(line: Spread) -> tuple[str, ...]:
    cells = (line.p50_ms, line.p95_ms, line.p99_ms, line.max_ms)
    return (line.stage, str(line.n), *(f"{cell:.2f}" for cell in cells), line.text)


def tables(summary: Summary) -> Iterator[str]:
    """Refusals, trips, limits, budgets, biomarkers."""
    yield _refused(summary)
    yield _in_force(summary)
    yield _in_numbers(summary)


def _refused(summary: Summary) -> str:
    """What was refused, and what latched to safe; each with its remedy."""
    trips = [(trip.code, f"{trip.at_s:.2f}", trip.text, trip.remedy) for trip in summary.trips]
    refusals = [(r.code, str(r.count), r.text, r.remedy, r.first) for r in summary.refusals]
    return section(
        "Trips and refusals",
        table(
            ("code", "#at, s", "what happened", "what to do"), trips, "Trips: latched to safe.", "No trip."
        ),
        table(
            ("code", "#count", "meaning", "what to do", "first case"),
            refusals,
            "Refusals by code. A request that several limits refused counts under each.",
            "No refusal.",
        ),
    )


def _in_force(summary: Summary) -> str:
    """The effective limits and the budgets."""
    limits = [
        (
            line.quantity,
            number(line.low, 6),
            number(line.high, 6),
            line.unit,
            line.set_by,
            line.status,
            line.source,
        )
        for line in summary.limits
    ]
    dose = [
        (
            line.name, number(line.confirmed, 6), number(line.permitted, 6), number(line.reserved, 6),
            number(line.budget, 6), line.unit, "–" if math.isnan(line.share) else f"{line.share:.0%}",
        )
        for line in summary.dose
    ]  # fmt: skip
    return section(
        "Limits and budgets in force",
        table(
            ("quantity", "#low", "#high", "unit", "set by", "status", "source"),
            limits,
            "The effective limit of each quantity: the least of all layers and the device.",
            "The limits are not known: the ledger's first line cannot be read.",
        ),
        table(
            ("budget", "#confirmed", "#permitted", "#reserved", "#budget", "unit", "#spent"),
            dose,
            "Budgets of the session. What is reserved counts as spent.",
            "No budget is known.",
        ),
    )


def _in_numbers(summary: Summary) -> str:
    """The biomarkers' distributions, and why values were missing."""
    markers = [
        (
            line.name, line.unit, str(line.n), number(line.median), number(line.p05), number(line.p95),
            "–" if math.isnan(line.nan_share) else f"{line.nan_share:.1%}",
            "; ".join(f"{reason} {share:.1%}" for reason, share in line.nan_reasons.items()) or "–",
        )
        for line in summary.biomarkers
    ]  # fmt: skip
    return section(
        "Biomarkers in numbers",
        table(
            (
                "biomarker",
                "unit",
                "#n",
                "#median",
                "#5 %",
                "#95 %",
                "#missing",
                "why, as a share of all readings",
            ),
            markers,
            "Over the whole session.",
            "No reading is on record.",
        ),
    )


def proof(summary: Summary) -> str:
    """Digests and the ledger's verdict, and what they do not show."""
    word, why = verdict_on(summary.ledger)
    ran = summary.digests
    serial = f", serial {ran.limits_serial}, {ran.limits_signed}" if ran.limits else ""
    return section(
        "What proves it",
        paragraph(f"Ledger {word}: {why}."),
        *(paragraph(problem) for problem in summary.ledger.problems),
        paragraph(f"Requests and deliveries are counted from the {summary.source}. {LIMITS_OF_PROOF}"),
        digests(
            (
                ("ledger, head hash", summary.ledger.head),
                (
                    f"software that decided, nociloop {ran.nociloop or '?'} on Python {ran.python or '?'}",
                    ran.software,
                ),
                ("session", ran.session),
                (f"limits{serial}", ran.limits),
            )
        ),
    )
