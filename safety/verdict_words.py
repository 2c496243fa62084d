"""A verdict on a ledger in words, the answer first: for people who have never seen one."""

from __future__ import annotations

from datetime import UTC, datetime

from safety.entry_words import plain
from safety.head_signature import SignedHead
from safety.signature import fingerprint
from safety.verify import Verdict

SHOWN_MAX = 50  # own choice: problems or objections beyond these add nothing to a "no"
_EXECUTION = {
    "same": "same: every decision follows again from what was recorded",
    "differs under other code": "differs under other code: the code at hand is not the one that wrote it",
    "tampered": "TAMPERED: the code that wrote it decides otherwise on what is recorded",
    "not run": "not run: what cannot be read or does not chain is not decided again",
}


def answer_of(verdict: Verdict) -> str:
    """The answer in a few words; it begins with VERIFIED where nothing speaks against file and interlock."""
    if verdict.ok:
        return (
            "VERIFIED; THE DEVICE STRAYED, and the interlock tripped on it" if verdict.strays else "VERIFIED"
        )
    if verdict.other_code:
        return "NOT REPRODUCED BY THIS CODE: verify it with the version that wrote it"
    return "NOT VERIFIED"


def said_of(verdict: Verdict) -> str:
    """The verdict as `ledger verify` prints it: what a ledger says of itself may have been written to fool a terminal."""
    lines = [
        f"{answer_of(verdict)}: {verdict.path}",
        f"  chain         {_chain(verdict)}",
        f"  signatures    {acts_said(verdict)}",
        f"  limits file   {limits_said(verdict)}",
        f"  signed limits {_signed(verdict)}",
        f"  anchors       {anchors_said(verdict)}",
        *(f"  signed head   {said}" for said in heads_said(verdict)),
        f"  re-execution  {execution_said(verdict)}",
        f"  oracle        {oracle_said(verdict)}",
        f"  device        {_device(verdict)}",
        f"  head          {verdict.head}",
        f"  written by    {_software(verdict)}",
    ]
    if verdict.torn:
        lines.append(
            "  tail          torn: the last line is incomplete, as a power cut leaves it; it is not counted"
        )
    for name, found in (
        ("problem  ", verdict.problems),
        ("objection", verdict.oracle),
        ("stray    ", verdict.strays),
    ):
        lines += [f"  {name}     {text}" for text in found[:SHOWN_MAX]]
        if len(found) > SHOWN_MAX:
            lines.append(f"  {name}     and {len(found) - SHOWN_MAX} more")
    lines.append(
        "  A chain alone cannot show that the whole file was not rewritten: compare the head with one kept elsewhere."
    )
    return "\n".join(map(plain, lines)) + "\n"


def oracle_said(verdict: Verdict) -> str:
    """What the second implementation of the limits says, in a few words."""
    found = _count(len(verdict.oracle), "objection") if verdict.oracle else "agrees with all that were given"
    return f"{_count(verdict.permits, 'permit')} checked by a second implementation of the limits, {found}"


def execution_said(verdict: Verdict) -> str:
    """What came of deciding every entry again."""
    return _EXECUTION[verdict.execution]


def limits_said(verdict: Verdict) -> str:
    """Whether the limits file at hand is the session's."""
    return _LIMITS[verdict.limits]


_LIMITS = {
    "the same": "the one that the ledger holds, read again",
    "another": "ANOTHER than the ledger holds",
    "not at hand": "not at hand; the ledger holds the limits themselves, and the digest of their file",
}


_SIGNATURE = {
    "the same": "; the signature at hand is the same",
    "another": "; the signature at hand is ANOTHER",
    "not at hand": "; its file is not at hand, the ledger holds the signature itself",
    "unsigned": "",
}


def _signed(verdict: Verdict) -> str:
    return f"{verdict.signed or 'not known'}{_SIGNATURE[verdict.signature]}"


def _chain(verdict: Verdict) -> str:
    ended = (
        "closed in order and sealed"
        if verdict.closed
        else "not closed: the process was killed, or is still running; lines may be missing at the end"
    )
    return f"{'whole' if verdict.chain else 'BROKEN'}, {verdict.entries} entries, {ended}"


def acts_said(verdict: Verdict) -> str:
    """How many acts of persons were accepted, and whether their signatures fit."""
    unfit = sum(": an act " in problem for problem in verdict.problems)
    checked = "each signature checked" if not unfit else f"{unfit} OF WHICH DO NOT FIT"
    return f"{_count(verdict.acts, 'act')} of named persons accepted, {checked}"


def anchors_said(verdict: Verdict) -> str:
    """How many of the heads that were kept elsewhere the file has."""
    if not verdict.anchors:
        return "none given (--anchor): only a head kept elsewhere shows that no end was cut off"
    missed = sum(problem.startswith("anchor ") for problem in verdict.problems)
    return f"{verdict.anchors - missed} of {verdict.anchors} found in the file"


def heads_said(verdict: Verdict) -> tuple[str, ...]:
    """Who signed the ledger after the session, up to which line, when and why."""
    if not verdict.heads:
        return ("none of it is signed (nociloop ledger sign)",)
    return tuple(_head_said(each, verdict.entries) for each in verdict.heads)


def _head_said(signed: SignedHead, entries: int) -> str:
    whole = "the whole ledger" if signed.entries == entries else f"lines 1 to {signed.entries} of {entries}"
    day = datetime.fromtimestamp(signed.wall_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{whole}, by {signed.person} on {day}, key {fingerprint(signed.public_key)}: {signed.reason}"


def _device(verdict: Verdict) -> str:
    if not verdict.strays:
        return "nothing told of it that was not permitted" if not verdict.oracle else "see the objections"
    return f"STRAYED: {_count(len(verdict.strays), 'finding')}; the interlock was tripped at each of them"


def _software(verdict: Verdict) -> str:
    by = "this very code" if verdict.software == verdict.ours else f"other code; here {verdict.ours}"
    return f"{verdict.software or 'unknown code'} ({by})"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
