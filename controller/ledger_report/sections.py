"""The safety officer's page, the answer first. Everything that somebody else wrote is escaped by `finished.page`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from controller.finished.ledger import said_of
from controller.finished.page import card, digests, paragraph, section, table, text
from controller.finished.screen import number
from controller.ledger_report.courses import dose, log_and_clocks, maxima, stops
from controller.ledger_report.facts import acts_of, refused_by
from controller.ledger_report.reading import Material
from controller.ledger_report.timing import stops_of
from safety.signature import said_of as signed_words
from safety.trips import BY_CODE
from safety.verdict_words import SHOWN_MAX, answer_of, oracle_said

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


def head(material: Material) -> str:
    """Whose ledger this is, and when it was."""
    genesis = material.genesis
    limits = genesis.rules.limits
    who = f"session {genesis.rules.session_id} · participant {limits.participant} · site {limits.site} · rig {limits.rig}"
    when = (
        f"begun {genesis.utc[:19].replace('T', ' ')} UTC · {limits.modality} · limits “{limits.title}”, serial "
        f"{limits.serial}, valid {limits.valid_from} to {limits.valid_until}, {signer(material)}"
    )
    return (
        f"<header><h1>Ledger report for the safety officer</h1>{paragraph(who, 'facts')}{paragraph(when, 'facts')}"
        f"</header>"
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
    yield card(
        "Trips",
        str(len(trips)),
        ", ".join(code for _, code, _ in trips) or "none",
        "bad" if trips else "good",
    )
    refused = sum(ask.verdict == "refusal" for ask in ledger.asks)
    yield card("Refusals", str(refused), f"of {len(ledger.asks)} requests")
    stops = stops_of(material.genesis, material.entries, ledger.slices)
    slowest = max((each.zero_ms for each in stops if math.isfinite(each.zero_ms)), default=math.nan)
    unconfirmed = sum(math.isnan(each.zero_ms) for each in stops)
    yield card(
        "Slowest way to zero", "–" if math.isnan(slowest) else f"{slowest:.0f} ms",
        f"stops: {len(stops)}" + (f", {unconfirmed} without a confirmed zero" if unconfirmed else ""),
        "bad" if unconfirmed else "",
    )  # fmt: skip


def _why(material: Material) -> str:
    verdict = material.verdict
    if verdict.strays:
        return "the device strayed from its permits, and the interlock tripped on it"
    if verdict.ok:
        return "closed in order" if verdict.closed else "not closed: lines may be missing at its end"
    found = (*verdict.problems, *verdict.oracle)
    return found[0] if found else verdict.execution


def verification(material: Material) -> str:
    """What verify says, line by line."""
    verdict = material.verdict
    answers = (
        ("answer", answer_of(verdict)),
        ("chain of hashes", f"{'whole' if verdict.chain else 'BROKEN'}, {verdict.entries} entries"),
        (
            "end",
            "closed in order, sealed" if verdict.closed else "not closed: killed, cut off, or still running",
        ),
        ("last line", "torn, as a power cut leaves it" if verdict.torn else "whole"),
        ("decided again", verdict.execution),
        ("second implementation of the limits", oracle_said(verdict)),
        ("acts of named persons", f"{verdict.acts} accepted, each signature checked"),
        ("limits file at hand", verdict.limits),
        ("heads given from elsewhere", str(verdict.anchors) if verdict.anchors else "none"),
    )
    against = [("file", each) for each in verdict.problems] + [("interlock", each) for each in verdict.oracle]
    against += [("device", each) for each in verdict.strays]
    more = len(against) - SHOWN_MAX
    shown = against[:SHOWN_MAX] + (
        [("", f"and {more} more: nociloop ledger verify shows them")] if more > 0 else []
    )
    return section(
        "Is this ledger what the interlock wrote?",
        table(("asked", "found"), answers, "", ""),
        table(
            ("speaks against", "what"),
            shown,
            "What was found. Against the file: it was altered or cut. Against the interlock: a decision or permit that "
            "should not be. Against the device: it did other than permitted, and the interlock tripped on it.",
            "Nothing speaks against the file, the interlock or the device.",
        ),
    )


def trips(material: Material) -> str:
    """By cause, with what to do."""
    found = material.trips
    count = Counter(code for _, code, _ in found)
    rows = [
        (
            code, str(n), said_of(code)[0], BY_CODE[code].how if code in BY_CODE else "–",
            ", ".join(f"{at_s:.3f}" for at_s, each, _ in found if each == code),
            next(what for _, each, what in found if each == code), said_of(code)[1],
        )
        for code, n in count.most_common()
    ]  # fmt: skip
    return section(
        "Trips, by cause",
        table(
            ("code", "#count", "cause", "to zero by", "at, s", "as recorded", "what to do"),
            rows,
            "A trip latches to safe; only a named person's reset leaves it.",
            "No trip.",
        ),
    )


def refusals(material: Material) -> str:
    """By limit, with the case that went furthest beyond."""
    rows = []
    for each in refused_by(material.genesis, material.entries):
        numbers = (
            (number(each.value, 6), number(each.limit, 6), number(each.margin, 6))
            if each.quantity
            and (each.value or each.limit)  # a reason that names a row and no number has zeros
            else ("–",) * 3
        )
        where = f"{each.quantity}, set by {each.set_by}" if each.quantity else "–"
        rows.append((each.code, str(each.count), where, *numbers, f"{each.first_s:.3f}", each.text))
    return section(
        "Refusals, by limit",
        table(
            (
                "code",
                "#count",
                "limit",
                "#worst value",
                "#limit is",
                "#beyond by",
                "#first at, s",
                "worst case",
            ),
            rows,
            "A refusal changes nothing. A request that several limits refused counts under each.",
            "Nothing was refused.",
        ),
    )


def people(material: Material) -> str:
    """Who is named, who did what, and why."""
    genesis = material.genesis
    limits = genesis.rules.limits
    named = [(person.name, person.role, person.public_key) for person in limits.people]
    acts = [
        (f"{each.at_s:.3f}", each.act, each.person, str(each.account), each.reason, each.outcome)
        for each in acts_of(genesis, material.entries)
    ]
    return section(
        "People and acts",
        paragraph(f"Responsible for the limits: {limits.responsible}. The limits are {signer(material)}."),
        table(
            ("name", "role", "public key"), named, "Who may act, as the limits name them.", "Nobody is named."
        ),
        table(
            ("#at, s", "act", "person", "#account", "reason", "outcome"),
            acts,
            "Acts in order.",
            "Nobody acted.",
        ),
    )


def proof(material: Material) -> str:
    """Digests, to be compared; and what all this cannot prove."""
    genesis, verdict = material.genesis, material.verdict
    caps = material.ledger.capabilities
    pairs = [("head of the ledger: keep it elsewhere", verdict.head)]
    rules, ran = genesis.rules, genesis.software
    pairs += [
        (f"limits, serial {rules.limits.serial}, {signed_words(rules.signed)}", rules.limits.digest),
        ("limits, signature", rules.signed.signature if rules.signed is not None else "unsigned"),
        ("session", rules.session_digest),
        (
            f"software that decided: nociloop {ran.nociloop}, Python {ran.python}, msgspec {ran.msgspec}",
            ran.digest,
        ),
        ("software that verified", verdict.ours),
        ("boot of the machine", genesis.boot_id),
    ]
    if caps is not None:
        pairs.append(
            (
                "device",
                f"{caps.model}, serial {caps.serial}, firmware {caps.firmware}, driver {caps.driver} ({caps.grade})",
            )
        )
    unverified = rules.limits.unverified
    return section(
        "Digests",
        digests(pairs),
        paragraph(
            "Numbers that nobody has compared with their source: " + ", ".join(unverified) + "."
            if unverified
            else "Every number of the limits was compared with its source by a person."
        ),
    ) + section(
        "What this ledger cannot prove",
        "<ul>" + "".join(f"<li>{text(each)}</li>" for each in NOT_PROVEN) + "</ul>",
    )


def all_of(material: Material) -> Sequence[str]:
    """Every part of the page, in order."""
    return (
        head(material),
        f'<div class="cards">{"".join(cards(material))}</div>',
        verification(material),
        trips(material),
        refusals(material),
        stops(material),
        maxima(material),
        dose(material),
        log_and_clocks(material),
        people(material),
        proof(material),
    )
