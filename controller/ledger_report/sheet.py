"""The first sheet: whose ledger this is, the answers in brief, and the place to sign. In print it is page 1."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

from controller.finished.page import card, paragraph, section, table, text
from controller.finished.values import AMPLITUDE_UNIT
from controller.ledger_report.doses import doses_of
from controller.ledger_report.facts import acts_of, refused_by
from controller.ledger_report.reading import Material
from controller.ledger_report.timing import clocks_of, gaps_of, stops_of
from controller.ledger_report.words import SCOPES, budget_words, drifted, shortened
from safety.verdict_words import answer_of

NAMED_MAX = 4  # own choice: what stands on one line; the section has all

NOT_PROVEN: Final = (
    "That the whole file was not rewritten by somebody who holds it, or that the end of a file that is not closed was "
    "not cut off: only a head hash that was kept elsewhere shows that. Compare the one on this page with your copy.",
    "That the EEG, the device or the relay told the truth. What was delivered is the device's word; read-back is its own "
    "word, too. A device that lies consistently is found by an instrument at its output, not by a log.",
    "That nothing came out which the interlock did not ask for, while the device was not connected to it, or from another "
    "device in the room.",
    "That the clock of the machine was right. Wall time is recorded as the machine had it.",
    "That a person is who the name says: the signature shows that the pass-phrase of that name was known. Nor that the "
    "pseudonym of the participant stood for the person in the chair, or that today's facts were measured as written.",
    "That the limits are right for this person, or that what lies within them is harmless: the sources themselves say that "
    "their numbers are no such thing.",
    "That the program did what its source says: the software digest covers the deciding files, not Python, the operating "
    "system or the machine.",
)
BOXES: Final = ("no objection", "objections, as below", "not to be judged from this page")
LINES: Final = (
    ("Objections, and what was done", "tall"),
    ("Safety officer: name, date, signature", ""),
    ("Responsible for the study: name, date, signature", ""),
)


def first_sheet(material: Material) -> str:
    """Everything of page 1."""
    return (
        '<div class="sheet">'
        + _head(material)
        + f'<div class="cards">{"".join(cards(material))}</div>'
        + _brief(material)
        + section(
            "What this ledger cannot prove",
            "<ul>" + "".join(f"<li>{text(each)}</li>" for each in NOT_PROVEN) + "</ul>",
        )
        + _to_sign(material.verdict.head)
        + "</div>"
    )


def _to_sign(head: str) -> str:
    """Lines to be filled in by hand, and what they are signed for."""
    boxes = " &#160; ".join(f"☐ {text(each)}" for each in BOXES)
    rows = "".join(
        f'<tr><th scope="row">{text(name)}</th><td class="{kind}"></td></tr>' for name, kind in LINES
    )
    return (
        '<section class="sign"><h2>Read and judged</h2><table class="lines"><tbody>'
        f'<tr><th scope="row">Finding</th><td>{boxes}</td></tr>{rows}'
        f'<tr><th scope="row">For the ledger with this head</th><td><code>{text(head)}</code></td></tr>'
        "</tbody></table></section>"
    )


def _head(material: Material) -> str:
    genesis = material.genesis
    limits = genesis.rules.limits
    caps = material.ledger.capabilities
    device = "none was opened" if caps is None else f"{caps.model}, serial {caps.serial}"
    who = f"Session {genesis.rules.session_id} · participant {limits.participant} · site {limits.site} · rig {limits.rig}"
    begun = genesis.utc[:19].replace("T", " ")
    when = f"Begun {begun} UTC, {material.span_s:,.1f} s long · {limits.modality} · device: {device}"
    which = (
        f"Limits “{limits.title}”, serial {limits.serial}, valid {limits.valid_from} to {limits.valid_until}, "
        f"{signer(material)}"
    )
    return (
        f"<header><h1>Ledger report for the safety officer</h1>{paragraph(who, 'facts')}{paragraph(when, 'facts')}"
        f"{paragraph(which, 'facts')}</header>"
    )


def signer(material: Material) -> str:
    """Who signed the limits, as the ledger's first line holds it."""
    signed = material.genesis.rules.signed
    if signed is None:
        return "UNSIGNED"
    only = ", a key for simulated endpoints only" if signed.simulated_only else ""
    return f"signed by {signed.by}, key {signed.fingerprint}{only}"


def cards(material: Material) -> Iterator[str]:
    """The ledger at a glance."""
    verdict, ledger = material.verdict, material.ledger
    good = verdict.ok and not verdict.strays
    yield card(
        "Verification", answer_of(verdict).partition(":")[0].partition(";")[0], _why(material),
        "good" if good and verdict.closed else "poor" if verdict.ok or verdict.other_code else "bad",
    )  # fmt: skip
    trips = material.trips
    yield card("Trips", str(len(trips)), _codes(trips) or "none", "bad" if trips else "good")
    refused = sum(ask.verdict == "refusal" for ask in ledger.asks)
    yield card("Refusals", str(refused), f"of {_count(len(ledger.asks), 'request')}")
    stops = stops_of(material.genesis, material.entries, ledger.slices)
    slowest = max((each.zero_ms for each in stops if math.isfinite(each.zero_ms)), default=math.nan)
    unconfirmed = sum(math.isnan(each.zero_ms) for each in stops)
    yield card(
        "Slowest way to zero", "–" if math.isnan(slowest) else f"{slowest:.0f} ms",
        f"stops: {len(stops)}" + (f", {unconfirmed} without a confirmed zero" if unconfirmed else ""),
        "bad" if unconfirmed else "",
    )  # fmt: skip


def _codes(trips: list[tuple[float, str, str]]) -> str:
    count = Counter(code for _, code, _ in trips).most_common()
    more = len(count) - NAMED_MAX
    return ", ".join(
        [code if n == 1 else f"{code} ×{n}" for code, n in count[:NAMED_MAX]]
        + ([f"{more} more"] if more > 0 else [])
    )


def _why(material: Material) -> str:
    verdict = material.verdict
    if verdict.strays:
        return "the device strayed from its permits, and the interlock tripped on it"
    if verdict.ok:
        return "closed in order" if verdict.closed else "not closed: lines may be missing at its end"
    found = (*verdict.problems, *verdict.oracle)
    return found[0] if found else verdict.execution


def _brief(material: Material) -> str:
    """One line a question, each answered in full by its section."""
    return section(
        "In brief",
        table(
            ("question", "answer"),
            [
                ("What tripped?", _tripped(material)),
                ("Was output at zero at the end?", _at_zero(material)),
                ("What was refused, and by which limit?", _refused(material)),
                ("Did output stay within its limits?", _within(material)),
                ("Did the dose stay within its budgets?", _dosed(material)),
                ("Was the log without gap, were the clocks right?", _timed(material)),
                ("Who acted?", _acted(material)),
                ("Were all numbers compared with their sources?", _compared(material)),
            ],
            "",
            "",
        ),
    )


def _tripped(material: Material) -> str:
    named = [f"{code} {what} at {at_s:.1f} s" for at_s, code, what in material.trips]
    return _some(named) or "nothing"


def _at_zero(material: Material) -> str:
    """By the last stop: zero is what the device said after it, or its relay's open contact."""
    if material.ledger.capabilities is None:
        return "nothing could come out: the device was never opened"
    stops = stops_of(material.genesis, material.entries, material.ledger.slices)
    if not stops or material.ledger.phases[-1].phase == "ARMED":
        return f"NOT KNOWN: the ledger ends {material.ledger.phases[-1].phase}, without a stop"
    last = stops[-1]
    if math.isfinite(last.zero_ms):
        return f"yes; the device said so {last.zero_ms:.0f} ms after the last stop"
    if math.isfinite(last.relay_ms):
        return f"NOT CONFIRMED by the device; the relay was open {last.relay_ms:.0f} ms after the last stop"
    return "NOT CONFIRMED, neither by the device nor by the relay"


def _refused(material: Material) -> str:
    count: dict[str, int] = {}
    for each in refused_by(material.genesis, material.entries):  # several layers may refuse the same request
        named = f"{each.code} {each.quantity or each.text}"
        count[named] = max(count.get(named, 0), each.count)
    return _some([f"{named} ×{n}" for named, n in count.items()]) or "nothing"


def _within(material: Material) -> str:
    found = material.greatest
    above = [each.limit.quantity for each in found if each.above]
    if above:
        return f"NO: {_some(above)}"
    if not found:
        return "nothing was permitted"
    unit = AMPLITUDE_UNIT.get(material.genesis.rules.limits.modality, "")
    amplitude = next((each for each in found if each.limit.quantity.startswith("amplitude_")), None)
    if amplitude is None or math.isnan(amplitude.delivered):
        return "yes; the device told of no output"
    return (
        f"yes; greatest amplitude {shortened(amplitude.delivered, amplitude.limit.high)} {unit}, "
        f"limit {shortened(amplitude.limit.high)} {unit}"
    )


def _dosed(material: Material) -> str:
    lines = doses_of(material)
    beyond = [
        f"{budget_words(each.budget.name)}, {SCOPES[each.budget.scope]}" for each in lines if each.beyond
    ]
    if beyond:
        return f"NO: {_some(beyond)}"
    known = [each for each in lines if math.isfinite(each.share)]
    if not known:
        return "not known: the decisions could not be reproduced"
    nearest = max(known, key=lambda each: each.share)
    return (
        f"yes; nearest is {budget_words(nearest.budget.name)}, {SCOPES[nearest.budget.scope]}: "
        f"{shortened(nearest.total, nearest.budget.high)} of {shortened(nearest.budget.high)} {nearest.budget.unit} "
        f"({nearest.share:.0%})"
    )


def _timed(material: Material) -> str:
    gaps = gaps_of(material.genesis, material.entries)
    clocks = clocks_of(material.genesis, material.entries)
    steps = _count(len(clocks.steps), "step")
    return f"{_count(len(gaps), 'gap')}, {steps} of a clock, wall clock off by {drifted(clocks.wall_drift_s)} at the end"


def _acted(material: Material) -> str:
    acts = Counter(
        f"{each.person}: {each.act}, {each.outcome}" for each in acts_of(material.genesis, material.entries)
    )
    return _some([said if n == 1 else f"{said} ×{n}" for said, n in acts.items()]) or "nobody"


def _compared(material: Material) -> str:
    n = len(material.genesis.rules.limits.unverified)
    return "yes" if not n else f"NO: {_count(n, 'number')} not, so that simulated endpoints alone may run"


def _some(named: list[str]) -> str:
    more = len(named) - NAMED_MAX
    return "; ".join(named[:NAMED_MAX] + ([f"and {more} more"] if more > 0 else []))


def _count(n: int, noun: str) -> str:
    return f"{n or 'no'} {noun}{'' if n == 1 else 's'}"
