"""The safety officer's page, the answer first. Everything that somebody else wrote is escaped by `finished.page`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from controller.finished.ledger import said_of
from controller.finished.page import digests, paragraph, section, table
from controller.ledger_report.courses import dose, log_and_clocks, maxima, stops
from controller.ledger_report.facts import acts_of, refused_by
from controller.ledger_report.reading import Material
from controller.ledger_report.sheet import first_sheet, signer
from controller.ledger_report.words import few, shortened, units_of
from safety.signature import fingerprint
from safety.signature import said_of as signed_words
from safety.trips import BY_CODE
from safety.verdict_words import (
    SHOWN_MAX,
    acts_said,
    anchors_said,
    answer_of,
    execution_said,
    heads_said,
    limits_said,
    oracle_said,
)

OFF_STEP: Final = "ILK-104"
TIMES_MAX: Final = 5  # own choice: a trip needs a reset each time, so that more are told apart in the ledger


def verification(material: Material) -> str:
    """What verify says, question by question."""
    verdict = material.verdict
    answers = (
        ("All in all", answer_of(verdict)),
        (
            "Does every line hold the hash of the line before it?",
            f"{'yes' if verdict.chain else 'NO'}; {verdict.entries} lines",
        ),
        (
            "Did the interlock close it in order?",
            "yes, and sealed it" if verdict.closed else "no: it was killed, cut off, or still runs",
        ),
        (
            "Is the last line whole?",
            "no: torn, as a power cut leaves it; it is not counted" if verdict.torn else "yes",
        ),
        ("Does each decision follow again from what was recorded?", execution_said(verdict)),
        ("Is each permit within the limits, by a second implementation?", oracle_said(verdict)),
        ("Do the signatures of acts fit?", acts_said(verdict)),
        ("Is the limits file at hand the one of the session?", limits_said(verdict)),
        ("Were heads given that were kept elsewhere?", anchors_said(verdict)),
        ("Who put their name to it after the session?", "; ".join(heads_said(verdict))),
    )
    whom = "file, or the code at hand" if verdict.other_code else "file"
    against = [(whom, each) for each in verdict.problems] + [("interlock", each) for each in verdict.oracle]
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
            ", ".join([f"{at_s:.3f} ({material.utc(at_s)})" for at_s, each, _ in found if each == code][:TIMES_MAX])
            + (f" and {n - TIMES_MAX} more" if n > TIMES_MAX else ""),
            next(what for _, each, what in found if each == code), said_of(code)[1],
        )
        for code, n in count.most_common()
    ]  # fmt: skip
    return section(
        "Trips, by cause",
        table(
            ("code", "#count", "cause", "to zero by", "at, s (UTC)", "as recorded", "what to do"),
            rows,
            "A trip latches to safe; only a named person's reset leaves it. Times: seconds since the first entry, and the "
            "time of day by its wall clock.",
            "No trip.",
        ),
    )


def refusals(material: Material) -> str:
    """By limit, with the case that went furthest beyond."""
    rows = []
    units = units_of(material.genesis.rules.limits, {each.quantity: each.unit for each in material.limits})
    for each in refused_by(material.genesis, material.entries):
        numbered = each.quantity and (
            each.value or each.limit
        )  # a reason that names a row and no number has zeros
        numbers = (
            (
                shortened(each.value, each.limit),
                shortened(each.limit, each.value),
                "–" if each.code == OFF_STEP else shortened(each.margin),  # its limit is the step, not an end
                units.get(each.quantity, ""),
            )
            if numbered
            else ("–", "–", "–", "")
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
                "unit",
                "#first at, s",
                "worst case",
            ),
            few(rows),
            "A refusal changes nothing. A request that several limits refused counts under each.",
            "Nothing was refused.",
        ),
    )


def people(material: Material) -> str:
    """Who is named, who did what, and why."""
    genesis = material.genesis
    limits = genesis.rules.limits
    named = [(person.name, person.role, fingerprint_said(person.public_key)) for person in limits.people]
    acts = [
        (
            f"{each.at_s:.3f}", material.utc(each.at_s), each.act, each.person, str(each.account), each.reason,
            each.outcome + _meaning(each.outcome),
        )
        for each in acts_of(genesis, material.entries)
    ]  # fmt: skip
    return section(
        "People and acts",
        paragraph(f"Responsible for the limits: {limits.responsible}. The limits are {signer(material)}."),
        table(
            ("name", "role", "fingerprint of the key"),
            few(named),
            "Who may act, as the limits name them: an operator arms, an officer signs limits, too.",
            "Nobody is named.",
        ),
        table(
            ("#at, s", "UTC", "act", "person", "#account, uid", "reason given", "outcome"),
            few(acts),
            "Acts in order, each signed with the person's pass-phrase.",
            "Nobody acted.",
        ),
    )


def _meaning(outcome: str) -> str:
    """What the code of a refused act says."""
    said = said_of(outcome.removeprefix("refused, "))[0]
    return f": {said}" if said else ""


def fingerprint_said(public_key: str) -> str:
    """The fingerprint that `limits show` prints; what is no key as it stands."""
    try:
        return fingerprint(public_key)
    except ValueError:
        return public_key


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
    return section(
        "Digests",
        paragraph(
            "To be compared with the copies that you keep elsewhere: all characters, not only the first."
        ),
        digests(pairs),
    ) + section(
        "Numbers of the limits that nobody has compared with their source",
        table(
            ("layer", "#count", "numbers"),
            [
                (layer, str(len(names)), ", ".join(names))
                for layer, names in _by_layer(rules.limits.unverified)
            ],
            "Each is marked unverified in limits.toml or in the code. With any of them, a real device is never armed.",
            "None: every number of the limits was compared with its source by a person.",
        ),
    )


def _by_layer(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for name in names:
        layer, _, rest = name.partition(".")
        found.setdefault(layer, []).append(rest)
    return list(found.items())


def all_of(material: Material) -> Sequence[str]:
    """Every part of the page, in order."""
    return (
        first_sheet(material),
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
