"""Lines of the open device protocol: bytes to typed lines and back. Pure."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from drivers.stimulator import DeviceState

LINE_BYTES_MAX = 256
SEQ_MAX = 65_535
Mark = Literal[">", "<", "!"]

_LINE = re.compile(
    rb"([<>!])([0-9]{1,5}) ([A-Z]+)((?: [a-z_]+=[A-Za-z0-9_.,:+-]+)*)\*([0-9A-F]{4})", re.ASCII
)
_PAIR = re.compile(r"([a-z_]+)=([^ ]+)", re.ASCII)
# Eighteen digits stay inside 64 bits, and hold µs since start for 30,000 years.
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_STATES = frozenset(get_args(DeviceState)) - {"closed", "unknown"}


class LineError(Exception):
    """A line, or a value in one, that is not as the protocol says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line whose form and check were right."""

    mark: Mark
    seq: int
    word: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The answer to HELLO."""

    model: str
    serial: str
    firmware: str
    modalities: tuple[str, ...]
    outputs: tuple[str, ...]
    link_ms: int
    onset_us: int
    stop_us: int
    renews: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """`low:high:step` of one key of CAPS, in the protocol's own whole units."""

    low: int
    high: int
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """The answer to STAT. `a` is in µA, or in tenths of % MSO while a train runs."""

    state: DeviceState
    a: int
    enabled: bool
    z_ohm: int
    fault: str
    t_us: int
    bad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The answer to FIRE: `t_us` is the planned onset."""

    token: int
    in_us: int
    t_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Out:
    """Event OUT: one slice of what went out."""

    token: int
    from_us: int
    to_us: int
    a: int
    n: int
    end: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Disarmed:
    """Events LINK, ENABLE and FAULT: the device went to zero by itself."""

    why: str


Event = Out | Disarmed


def encode(*, mark: Mark, seq: int, word: str, fields: Mapping[str, str | int]) -> bytes:
    """One line with its check and newline; LineError where it would not be a line of the protocol."""
    body = f"{mark}{seq} {word}" + "".join(f" {key}={value}" for key, value in fields.items())
    raw = body.encode("ascii", errors="replace")
    raw = b"%s*%04X" % (raw, binascii.crc_hqx(raw, 0))
    if len(raw) + 1 > LINE_BYTES_MAX:
        raise LineError(f"line of {len(raw) + 1} bytes, at most {LINE_BYTES_MAX} allowed")
    if not 0 <= seq <= SEQ_MAX or _LINE.fullmatch(raw) is None:
        raise LineError(f"{body!r} cannot be written as a line of the protocol")
    return raw + b"\n"


def decode(raw: bytes) -> Line:
    """One line without its newline."""
    if len(raw) + 1 > LINE_BYTES_MAX:
        raise LineError(f"line of {len(raw) + 1} bytes, at most {LINE_BYTES_MAX} allowed")
    match = _LINE.fullmatch(raw)
    if match is None:
        raise LineError("does not parse")
    mark, seq, word, pairs, check = match.groups()
    if binascii.crc_hqx(raw[:-5], 0) != int(check, 16):
        raise LineError("wrong check")
    if int(seq) > SEQ_MAX:
        raise LineError(f"seq {int(seq)}, at most {SEQ_MAX} allowed")
    fields = dict(_PAIR.findall(pairs.decode("ascii")))
    if len(fields) != pairs.count(b"="):
        raise LineError("a key stands twice")
    return Line(mark=cast(Mark, mark.decode("ascii")), seq=int(seq), word=word.decode("ascii"), fields=fields)


class LineBuffer:
    """Cuts a byte stream into lines; drops and counts what is no line, and finds the next newline."""

    def __init__(self) -> None:
        self.bad = 0
        self._data = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[Line]:
        """Add bytes and return the good lines that are now complete."""
        self._data += data
        lines: list[Line] = []
        while (end := self._data.find(b"\n")) >= 0:
            raw = bytes(self._data[:end])
            del self._data[: end + 1]
            if self._skipping:
                self._skipping = False
                continue
            try:
                lines.append(decode(raw))
            except LineError:
                self.bad += 1
        if len(self._data) >= LINE_BYTES_MAX:
            # No newline will make a line of this any more: forget it, and count it once.
            self._data.clear()
            self.bad += not self._skipping
            self._skipping = True
        return lines


def text(line: Line, key: str) -> str:
    """The value of a key, or LineError."""
    try:
        return line.fields[key]
    except KeyError:
        raise LineError(f"{line.word} lacks {key}=") from None


def integer(line: Line, key: str) -> int:
    """The whole number of a key, or LineError."""
    value = text(line, key)
    if _INTEGER.fullmatch(value) is None:
        raise LineError(f"{line.word} {key}={value} is not a whole number")
    return int(value)


def identity(line: Line) -> Identity:
    """Read the answer to HELLO."""
    version = integer(line, "v")
    if version != 1:
        raise LineError(f"speaks version {version} of the protocol, expected 1")
    times = {key: integer(line, key) for key in ("link_ms", "onset_us", "stop_us")}
    if min(times.values()) < 0 or times["link_ms"] == 0:
        raise LineError(f"HELLO gives impossible times {times}")
    return Identity(
        model=text(line, "model"),
        serial=text(line, "serial"),
        firmware=text(line, "fw"),
        modalities=tuple(text(line, "mod").split(",")),
        outputs=tuple(name for name in text(line, "out").split(",") if name),
        link_ms=times["link_ms"],
        onset_us=times["onset_us"],
        stop_us=times["stop_us"],
        renews=line.fields.get("renews") == "1",
    )


def span(line: Line, key: str) -> Span:
    """Read one `low:high:step` of the answer to CAPS."""
    parts = text(line, key).split(":")
    if len(parts) != 3 or any(_INTEGER.fullmatch(part) is None for part in parts):
        raise LineError(f"CAPS {key}={text(line, key)} is not low:high:step")
    low, high, step = map(int, parts)
    if low > high or step < 1:
        raise LineError(f"CAPS {key}={low}:{high}:{step} is no range")
    return Span(low=low, high=high, step=step)


def state(line: Line) -> DeviceState:
    """Read the `state=` of an answer."""
    word = text(line, "state")
    if word not in _STATES:
        raise LineError(f"{line.word} state={word}, expected one of {', '.join(sorted(_STATES))}")
    return cast(DeviceState, word)


def stat(line: Line) -> Stat:
    """Read the answer to STAT."""
    return Stat(
        state=state(line),
        a=integer(line, "a"),
        enabled=integer(line, "en") == 1,
        z_ohm=integer(line, "z_ohm"),
        fault=text(line, "fault"),
        t_us=integer(line, "t_us"),
        bad=integer(line, "bad"),
    )


def started(line: Line) -> Started:
    """Read the answer to FIRE."""
    return Started(token=integer(line, "token"), in_us=integer(line, "in_us"), t_us=integer(line, "t_us"))


def renewed(line: Line) -> Started:
    """Read the answer to RENEW."""
    return Started(token=integer(line, "token"), in_us=0, t_us=integer(line, "t_us"))


def event(line: Line) -> Event | None:
    """Read an event; None for one that this version does not know."""
    match line.word:
        case "OUT":
            out = Out(
                token=integer(line, "token"),
                from_us=integer(line, "from_us"),
                to_us=integer(line, "to_us"),
                a=integer(line, "a"),
                n=integer(line, "n"),
                end=integer(line, "end") == 1,
            )
            if out.from_us > out.to_us or out.n < 0 or out.a < 0:
                raise LineError(f"OUT cannot be: {out}")
            return out
        case "LINK":
            return Disarmed(why="the link watchdog of the device struck")
        case "ENABLE":
            return Disarmed(why="the enable input of the device opened")
        case "FAULT":
            return Disarmed(why=f"the device stopped by itself, fault {text(line, 'code')}")
        case _:
            return None
