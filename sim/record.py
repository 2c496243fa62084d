"""A simulated device's own record: the truth of what came out, written as JSON lines and read back.

Between two `Break`s the output is linear; a `Break` says where the output is and where it is heading, so that
a record cut off by a kill still cannot pass a beginning rise for zero.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec


class _Entry(msgspec.Struct, frozen=True, kw_only=True, tag_field="e"):
    """Base of the entries; `t_ns` is the host's CLOCK_MONOTONIC."""

    t_ns: int


class Start(_Entry, frozen=True, tag="start"):
    """Power-on: the zero of the device's own clock, which runs `skew_ppm` fast."""

    serial: str
    skew_ppm: int = 0


class Rx(_Entry, frozen=True, tag="rx"):
    line: str


class Tx(_Entry, frozen=True, tag="tx"):
    line: str


class State(_Entry, frozen=True, tag="state"):
    state: str
    why: str


class Break(_Entry, frozen=True, tag="break"):
    """The output is at `a_ma_pp` and from here moves to `to_ma_pp` (the same: it rests)."""

    token: int
    a_ma_pp: float
    to_ma_pp: float | None = None


class Pulse(_Entry, frozen=True, tag="pulse"):
    token: int
    p_pct: float


class Contact(_Entry, frozen=True, tag="contact"):
    closed: bool


class LinkLost(_Entry, frozen=True, tag="link_lost"):
    """The device's link watchdog struck."""


class Bad(_Entry, frozen=True, tag="bad"):
    why: str


class Fault(_Entry, frozen=True, tag="fault"):
    """A fault was injected (`name`), or all were cleared (`clear`)."""

    name: str


class Opened(_Entry, frozen=True, tag="opened"):
    """The watchdog relay's contact opened."""

    cause: str


class Closed(_Entry, frozen=True, tag="closed"):
    """The watchdog relay's contact closed."""

    cause: str


Entry = Start | Rx | Tx | State | Break | Pulse | Contact | LinkLost | Bad | Fault | Opened | Closed

_decoder = msgspec.json.Decoder(Entry)
_OUT = re.compile(r"^!\d+ OUT token=(\d+) from_us=(\d+) to_us=(\d+) a=(\d+) n=(\d+) end=([01])\*[0-9A-F]{4}$")


class RecordError(Exception):
    """A record that cannot be read: file, line, what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The entries of one device in order, and its breakpoints and pulses beside them."""

    entries: tuple[Entry, ...]
    breaks: tuple[Break, ...]
    pulses: tuple[Pulse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What came out for one token; `amplitude` is the greatest, in mA peak to peak or % MSO.

    For a train `end_ns` is its last pulse. `ended` is false where the record stops before the output did.
    """

    token: int
    start_ns: int
    end_ns: int
    amplitude: float
    n_pulses: int
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One OUT slice as the device told it, times turned to the host's clock; `a` as on the wire."""

    token: int
    start_ns: int
    end_ns: int
    a: int
    n_pulses: int
    ended: bool


def encode(entry: Entry) -> bytes:
    """One line, newline included, `t_ns` first."""
    fields: dict[str, object] = msgspec.to_builtins(entry)
    ordered = {"t_ns": fields.pop("t_ns"), **fields}
    return msgspec.json.encode(ordered) + b"\n"


def of(entries: Iterable[Entry]) -> Record:
    """A record from entries in their order."""
    kept = tuple(entries)
    return Record(
        entries=kept,
        breaks=tuple(e for e in kept if isinstance(e, Break)),
        pulses=tuple(e for e in kept if isinstance(e, Pulse)),
    )


def load(path: Path | str) -> Record:
    """Read a record; a torn last line (the device was killed) is left out, anything else is an error."""
    data = Path(path).read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    entries: list[Entry] = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            entries.append(_decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RecordError(
                f"{path}, line {number}: {error}, expected an entry of a device record"
            ) from error
    return of(entries)


def amplitude_at(record: Record, t_ns: int) -> float:
    """The hold's amplitude in mA peak to peak at `t_ns`; pulses are instants and not counted here.

    Where the record ends within a movement, the greater end of that movement: what came is not known.
    """
    index = bisect_right(record.breaks, t_ns, key=lambda entry: entry.t_ns) - 1
    if index < 0:
        return 0.0
    here = record.breaks[index]
    if index + 1 == len(record.breaks):
        return max(here.a_ma_pp, _heading(here)) if t_ns > here.t_ns else here.a_ma_pp
    there = record.breaks[index + 1]
    share = (t_ns - here.t_ns) / (there.t_ns - here.t_ns)
    return here.a_ma_pp + (there.a_ma_pp - here.a_ma_pp) * share


def zero_since(record: Record, t_ns: int, until_ns: int | None = None) -> int | None:
    """The first time from `t_ns` on from which no output comes any more; None if the record never shows it.

    Judged to the end of the record, or up to `until_ns` where a later session starts anew. A pulse is output
    at its instant; one of 0 % is none.
    """
    since_ns = t_ns
    for pulse in record.pulses:
        if pulse.p_pct != 0 and t_ns <= pulse.t_ns and (until_ns is None or pulse.t_ns < until_ns):
            since_ns = max(since_ns, pulse.t_ns)
    breaks = [e for e in record.breaks if until_ns is None or e.t_ns < until_ns]
    for index, here in enumerate(breaks):
        last = index + 1 == len(breaks)
        ends_at_ns = None if last else breaks[index + 1].t_ns
        to_ma_pp = _heading(here) if last else breaks[index + 1].a_ma_pp
        if here.a_ma_pp == 0 and to_ma_pp == 0:
            continue
        if ends_at_ns is None:
            return None
        since_ns = max(since_ns, ends_at_ns)
    return since_ns


def pulses(record: Record) -> tuple[Pulse, ...]:
    """The pulses in their order."""
    return record.pulses


def deliveries(record: Record) -> tuple[Delivered, ...]:
    """What really came out, one a token, in order of onset."""
    found: dict[int, Delivered] = {}
    for index, here in enumerate(record.breaks):
        after = record.breaks[index + 1] if index + 1 < len(record.breaks) else None
        before = found.get(here.token)
        rests = here.a_ma_pp == 0 and _heading(here) == 0
        # A hold ends where the next takes over, or at a zero that leads nowhere and is not its first.
        taken = after is not None and after.token != here.token
        highest = max(here.a_ma_pp, after.a_ma_pp if after is not None and not rests else 0.0)
        found[here.token] = Delivered(
            token=here.token,
            start_ns=here.t_ns if before is None else before.start_ns,
            end_ns=after.t_ns if taken and after is not None and not rests else here.t_ns,
            amplitude=max(highest, 0.0 if before is None else before.amplitude),
            n_pulses=0,
            ended=taken or (rests and before is not None),
        )
    for pulse in record.pulses:
        before = found.get(pulse.token)
        found[pulse.token] = Delivered(
            token=pulse.token,
            start_ns=pulse.t_ns if before is None else before.start_ns,
            end_ns=pulse.t_ns,
            amplitude=max(pulse.p_pct, 0.0 if before is None else before.amplitude),
            n_pulses=1 if before is None else before.n_pulses + 1,
            ended=True,
        )
    return tuple(sorted(found.values(), key=lambda d: d.start_ns))


def told(record: Record) -> tuple[Told, ...]:
    """The OUT slices that the device sent, to be held against `deliveries`."""
    start = next((e for e in record.entries if isinstance(e, Start)), None)
    if start is None:
        raise RecordError("record without a start entry, expected one: the device's times cannot be placed")
    slices: list[Told] = []
    for entry in record.entries:
        found = _OUT.match(entry.line) if isinstance(entry, Tx) else None
        if found is None:
            continue
        token, from_us, to_us, a, n_pulses, ended = (int(group) for group in found.groups())
        slices.append(
            Told(
                token=token,
                start_ns=_host_ns(start, from_us),
                end_ns=_host_ns(start, to_us),
                a=a,
                n_pulses=n_pulses,
                ended=bool(ended),
            )
        )
    return tuple(slices)


def _heading(entry: Break) -> float:
    """Where the output moves to from a breakpoint; one that does not say rests."""
    return entry.a_ma_pp if entry.to_ma_pp is None else entry.to_ma_pp


def _host_ns(start: Start, device_us: int) -> int:
    """A time on the device's clock as the host's."""
    return start.t_ns + device_us * 1_000 * 1_000_000 // (1_000_000 + start.skew_ppm)
