"""A simulated device's own record, as plain values: what came out, and when its commands arrived.

A record may span several sessions; whoever asks names the span. A torn tail is what a killed device leaves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from controller.finished.values import DeviceTruth

RECORD_BYTES_MAX: Final = 512_000_000  # own choice: some days of output; more is no record of a session


class DeviceRecordError(Exception):
    """The record cannot be read: one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """From `t_ns` on the output is at `a_ma_pp` and moves in a line to the next; `rests`: it stays at zero."""

    t_ns: int
    a_ma_pp: float
    rests: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    t_ns: int
    token: int
    p_pct: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A valid command that the device received: `word` is SET, FIRE or RENEW."""

    t_ns: int
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecord:
    """In the order of the file. `n_unread`: lines that are none of a record's."""

    levels: tuple[Level, ...]
    pulses: tuple[Pulse, ...]
    commands: tuple[Command, ...]
    n_unread: int


class _Line(msgspec.Struct, frozen=True):
    """Any line of a record; a kind that is not wanted here leaves its own fields aside."""

    t_ns: int
    e: str
    line: str = ""
    token: int = 0
    a_ma_pp: float = 0.0
    to_ma_pp: float | None = None
    p_pct: float = 0.0


_decoder = msgspec.json.Decoder(_Line)


def read_device_record(path: Path) -> DeviceRecord:
    """Read a record; raises DeviceRecordError where it is none."""
    try:
        if path.stat().st_size > RECORD_BYTES_MAX:
            raise DeviceRecordError(f"{path}: larger than {RECORD_BYTES_MAX} bytes; give a device's record")
        data = path.read_bytes()
    except OSError as error:
        raise DeviceRecordError(
            f"{path}: {error.strerror}; give the record of the simulated device"
        ) from None
    levels: list[Level] = []
    pulses: list[Pulse] = []
    commands: list[Command] = []
    n_lines = n_unread = 0
    for raw in data[: data.rfind(b"\n") + 1].splitlines():
        n_lines += 1
        try:
            line = _decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            n_unread += 1
            continue
        match line.e:
            case "break":
                heading = line.a_ma_pp if line.to_ma_pp is None else line.to_ma_pp
                rests = line.a_ma_pp == 0 and heading == 0
                levels.append(Level(t_ns=line.t_ns, a_ma_pp=line.a_ma_pp, rests=rests))
            case "pulse":
                pulses.append(Pulse(t_ns=line.t_ns, token=line.token, p_pct=line.p_pct))
            case "rx" if (word := _word(line.line)) in {"SET", "FIRE", "RENEW"}:
                commands.append(Command(t_ns=line.t_ns, word=word))
    if n_lines and n_unread == n_lines:
        raise DeviceRecordError(f"{path}: not one line is of a device's record; give device.jsonl")
    return DeviceRecord(
        levels=tuple(levels), pulses=tuple(pulses), commands=tuple(commands), n_unread=n_unread
    )


def truth_between(record: DeviceRecord, start_ns: int, end_ns: int) -> DeviceTruth:
    """What came out from `start_ns` to `end_ns`; a hold that the record never ends goes on to `end_ns`."""
    spans = list(_spans(record, start_ns, end_ns))
    pulses = [pulse for pulse in record.pulses if start_ns <= pulse.t_ns <= end_ns and pulse.p_pct != 0]
    trains: dict[int, tuple[int, int]] = {}
    for pulse in pulses:
        first, _ = trains.get(pulse.token, (pulse.t_ns, 0))
        trains[pulse.token] = (first, pulse.t_ns)
    on_ns = sum(end - start for start, end, _ in spans) + sum(last - first for first, last in trains.values())
    return DeviceTruth(
        pulses=len(pulses),
        on_time_s=on_ns / 1e9,
        amplitude_max=max((*(a for *_, a in spans), *(pulse.p_pct for pulse in pulses)), default=0.0),
    )


def _spans(record: DeviceRecord, start_ns: int, end_ns: int) -> Iterator[tuple[int, int, float]]:
    """Where a hold's output was not zero, and its greatest amplitude there."""
    for index, here in enumerate(record.levels):
        there = record.levels[index + 1] if index + 1 < len(record.levels) else None
        low_ns, high_ns = max(here.t_ns, start_ns), min(end_ns if there is None else there.t_ns, end_ns)
        highest = max(here.a_ma_pp, 0.0 if there is None or here.rests else there.a_ma_pp)
        if low_ns < high_ns and highest > 0 and math.isfinite(highest):
            yield low_ns, high_ns, highest


def _word(line: str) -> str:
    """The word of a command line, `>12 SET mod=...*CRC`."""
    mark, _, rest = line.partition(" ")
    return rest.split(" ", 1)[0].split("*", 1)[0] if mark.startswith(">") else ""
