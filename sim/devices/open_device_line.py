"""Lines of the open device protocol as the device sees them: cutting, checking, parsing, making."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass

LINE_BYTES_MAX = 256
SEQ_COUNT = 65_536

_COMMAND = re.compile(rb"(>([0-9]{1,5}) ([A-Z]+)((?: [a-z_]+=[A-Za-z0-9_.,:+-]+)*))\*([0-9A-F]{4})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One valid line of the host; `text` is the line without its newline."""

    seq: int
    word: str
    keys: dict[str, str]
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A line that is dropped without an answer."""

    why: str


def seal(body: str) -> bytes:
    """A line from its text between mark and `*`, with check and newline."""
    data = body.encode("ascii")
    return data + b"*%04X\n" % binascii.crc_hqx(data, 0)


def parse(line: bytes) -> Command | Bad:
    """A line without its newline as a command, or why it is none."""
    if len(line) >= LINE_BYTES_MAX:
        return Bad(why="too long")
    found = _COMMAND.fullmatch(line)
    if found is None:
        return Bad(why="does not parse")
    body, seq, word, pairs, check = found.groups()
    if int(check, 16) != binascii.crc_hqx(body, 0):
        return Bad(why="check")
    if int(seq) >= SEQ_COUNT:
        return Bad(why="seq")
    keys: dict[str, str] = {}
    for pair in pairs.decode("ascii").split():
        key, _, value = pair.partition("=")
        if key in keys:
            return Bad(why="key twice")
        keys[key] = value
    return Command(seq=int(seq), word=word.decode("ascii"), keys=keys, text=line)


class LineBuffer:
    """Cuts a byte stream into lines; never holds more than one line's worth, whatever comes."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._skipping = False

    def clear(self) -> None:
        """Forget a line begun by a client that is gone."""
        self._data.clear()
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes | Bad]:
        """The lines now complete, newlines taken off; `Bad` stands for each that was too long."""
        lines: list[bytes | Bad] = []
        for piece in _split(data):
            whole = piece.endswith(b"\n")
            if not self._skipping:
                self._data += piece
                self._skipping = len(self._data) > LINE_BYTES_MAX
                if self._skipping:
                    self._data.clear()
                    lines.append(Bad(why="too long"))
            if whole:
                if not self._skipping:
                    lines.append(bytes(self._data[:-1]))
                self.clear()
        return lines


def _split(data: bytes) -> list[bytes]:
    """Split at newlines alone."""
    pieces = [piece + b"\n" for piece in data.split(b"\n")]
    pieces[-1] = pieces[-1][:-1]
    return [piece for piece in pieces if piece]
