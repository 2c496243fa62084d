"""Hash-chained JSON lines: each holds the hash of the line before it and its own; none can be changed, cut or put in.

A line is `{"prev":"<sum of the line before>","is":<body>,"sum":"<SHA-256 of all before it>"}`. Only a torn *tail*, a last
line without its newline, is what a power cut leaves. Pure.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

FIRST = "0" * 64
LINE_BYTES_MAX = 65_536


class BrokenChain(Exception):
    """Lines that do not follow one another: what was found where, on one line."""


class LongLine(Exception):
    """A body that makes a longer line than is ever read: written, it would spoil all of its file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What a file of lines holds: the bodies, the hash of each line, the bytes of the whole lines, and what is torn."""

    bodies: tuple[bytes, ...]
    hashes: tuple[str, ...]
    length: int
    torn: bool

    @property
    def head(self) -> str:
        return self.hashes[-1] if self.hashes else FIRST


def next_line(head: str, body: bytes) -> tuple[bytes, str]:
    """The line that follows `head`, with its newline, and the head that it makes; raises LongLine for one that nobody
    would read again."""
    held = _start(head) + body
    found = hashlib.sha256(held).hexdigest()
    line = held + _end(found)
    if len(line) > LINE_BYTES_MAX:
        raise LongLine(f"a line of {len(line)} bytes, expected at most {LINE_BYTES_MAX}")
    return line + b"\n", found


def read_chain(content: bytes) -> Chain:
    """The lines of a file; raises BrokenChain where anything but the tail does not fit."""
    lines = content.split(b"\n")
    tail = lines.pop()
    head, bodies, hashes = FIRST, [], []
    for number, line in enumerate(lines, start=1):
        start = _start(head)
        held = line[: -len(_end(FIRST))]
        found = hashlib.sha256(held).hexdigest()
        if not (line.startswith(start) and line == held + _end(found) and len(line) <= LINE_BYTES_MAX):
            raise BrokenChain(f"line {number} that does not follow the line before it")
        bodies.append(held[len(start) :])
        hashes.append(found)
        head = found
    return Chain(
        bodies=tuple(bodies), hashes=tuple(hashes), length=len(content) - len(tail), torn=tail != b""
    )


def _start(head: str) -> bytes:
    return b'{"prev":"' + head.encode("ascii") + b'","is":'


def _end(found: str) -> bytes:
    return b',"sum":"' + found.encode("ascii") + b'"}'
