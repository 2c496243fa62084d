"""What can be done to a ledger file, and the judge of whether it was found: for tests, and for campaigns of hours.

Every function here is pure: bytes in, bytes and words out. A damage is found when `judge` says a word that it allows;
with the head of the whole file as an anchor, no word but `tampered` and `unreadable` is allowed for any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from safety.entries import Software
from safety.verify import LedgerUnreadable, judged
from tests.safety.ledgers import SOFTWARE

Word = Literal["ok", "open", "torn", "tampered", "unreadable"]

FOUND: frozenset[Word] = frozenset({"tampered", "unreadable"})
# A cut is what a power failure or a kill leaves: it is told, and only an anchor shows how much is missing.
TOLD: frozenset[Word] = frozenset({"tampered", "unreadable", "torn", "open"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What was done, the bytes that came of it, and what may be said of them."""

    name: str
    content: bytes
    allowed: frozenset[Word] = FOUND


def judge(content: bytes, software: Software = SOFTWARE, anchors: tuple[str, ...] = ()) -> Word:
    """What verification says of a content, in a word."""
    try:
        verdict = judged(Path("ledger.jsonl"), content, software, anchors)
    except LedgerUnreadable:
        return "unreadable"
    if verdict.problems or not verdict.chain or verdict.execution != "same":
        return "tampered"
    return "torn" if verdict.torn else "ok" if verdict.closed else "open"


def head_of(content: bytes) -> str:
    """The anchor of a whole file: the hash of its last line."""
    return hashlib.sha256(content.splitlines()[-1]).hexdigest()


def missed(
    content: bytes, found: Iterator[Damage], software: Software = SOFTWARE, *, anchored: bool = False
) -> Iterator[str]:
    """Each damage that was not found, a line each, as it goes: whoever runs for hours stops when time is up."""
    anchors = (head_of(content),) if anchored else ()
    for damage in found:
        word = judge(damage.content, software, anchors)
        if word not in (FOUND if anchored else damage.allowed):
            yield f"{damage.name}: {word}"


def damages(content: bytes, other: bytes, *, stride: int = 1) -> Iterator[Damage]:
    """Every kind of damage to a ledger; `other` is a second one to splice with. `stride` 1: every bit, every byte."""
    return chain(
        flips(content, range(0, len(content), stride)),
        truncations(content, range(0, len(content), stride)),
        deletions(content),
        swaps(content),
        doublings(content),
        insertions(content, range(0, len(content) + 1, stride)),
        splices(content, other),
    )


def flips(content: bytes, at: range) -> Iterator[Damage]:
    """Each single bit of the bytes `at`."""
    for index in at:
        for bit in range(8):
            flipped = bytearray(content)
            flipped[index] ^= 1 << bit
            # Without its newline the last line is what a power cut leaves.
            last = index == len(content) - 1
            yield Damage(
                name=f"bit {bit} of byte {index} flipped",
                content=bytes(flipped),
                allowed=TOLD if last else FOUND,
            )


def truncations(content: bytes, at: range) -> Iterator[Damage]:
    """The file cut before each byte of `at`, and at the end of each line."""
    ends = {index + 1 for index, byte in enumerate(content) if byte == 0x0A} - {len(content)}
    for index in sorted({*at, *ends, *(end - 1 for end in ends)}):
        yield Damage(name=f"cut to {index} bytes", content=content[:index], allowed=TOLD)


def deletions(content: bytes) -> Iterator[Damage]:
    """Each line but the last left out: without the last it is cut, and open."""
    lines = content.splitlines(keepends=True)
    for n in range(len(lines)):
        last = n == len(lines) - 1
        yield Damage(
            name=f"line {n + 1} deleted",
            content=b"".join(lines[:n] + lines[n + 1 :]),
            allowed=TOLD if last else FOUND,
        )


def swaps(content: bytes) -> Iterator[Damage]:
    """Each line with its neighbour, and the first with the last."""
    lines = content.splitlines(keepends=True)
    for n, m in [*((n, n + 1) for n in range(len(lines) - 1)), (0, len(lines) - 1)]:
        swapped = list(lines)
        swapped[n], swapped[m] = swapped[m], swapped[n]
        yield Damage(name=f"lines {n + 1} and {m + 1} swapped", content=b"".join(swapped))


def doublings(content: bytes) -> Iterator[Damage]:
    """Each line twice, in its place and at the end."""
    lines = content.splitlines(keepends=True)
    for n, line in enumerate(lines):
        doubled = b"".join(lines[: n + 1] + lines[n:])
        yield Damage(name=f"line {n + 1} doubled", content=doubled)
        yield Damage(name=f"line {n + 1} again at the end", content=content + line)


def insertions(content: bytes, at: range) -> Iterator[Damage]:
    """A byte that JSON does not mind, or a line's end, put before each byte of `at`."""
    for index in at:
        for byte in (b" ", b"\n"):
            yield Damage(
                name=f"{byte!r} before byte {index}", content=content[:index] + byte + content[index:]
            )


def splices(content: bytes, other: bytes) -> Iterator[Damage]:
    """The beginning of one ledger and the end of the other, at every line of both, wherever they part."""
    ours, theirs = content.splitlines(keepends=True), other.splitlines(keepends=True)
    for mine, its, name in ((ours, theirs, "first"), (theirs, ours, "second")):
        for n in range(1, len(mine) + 1):
            for m in islice(range(len(its)), n - 1, n + 2):
                spliced = b"".join(mine[:n] + its[m:])
                if spliced not in (content, other):
                    yield Damage(name=f"{n} lines of the {name}, then from line {m + 1}", content=spliced)
