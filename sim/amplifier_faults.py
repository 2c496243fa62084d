"""What a bad amplifier, cable or network does to the samples, injected at a stated time. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind = Literal["gap", "freeze", "nan", "rail", "flat", "stop", "duplicate", "rate_off", "stamps"]

RAIL_UV = 187_500.0  # seen on stuck channels of a real recording of a 24-bit amplifier

USAGE = (
    "gap:AT_S:DUR_S, freeze:AT_S:DUR_S, nan:AT_S:CH, rail:AT_S:CH, flat:AT_S:CH, stop:AT_S, duplicate:AT_S, "
    "rate_off:FRACTION, stamps:AT_S:SHIFT_S"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """From `at_s` after the first sample: for `value` s (gap, freeze), on `channel`, or by `value` (the last two)."""

    kind: Kind
    at_s: float = 0.0
    value: float = 0.0
    channel: int = 0


def parse(text: str, ch_names: Sequence[str]) -> Fault:
    """`NAME:ARG:...` as a Fault; ValueError says what is expected."""
    name, *arguments = text.split(":")
    kind = next((known for known in get_args(Kind) if known == name), None)
    if kind is None:
        raise ValueError(f"--fault {text}: unknown name {name!r}, expected one of {USAGE}")
    wanted = 1 if kind in ("stop", "duplicate", "rate_off") else 2
    if len(arguments) != wanted:
        raise ValueError(f"--fault {text}: found {len(arguments)} arguments, expected {USAGE}")
    if kind == "rate_off":
        fraction = _number(text, arguments[0])
        if not -0.5 <= fraction <= 0.5:
            raise ValueError(f"--fault {text}: fraction {fraction}, expected -0.5 to 0.5")
        return Fault(kind=kind, value=fraction)
    at_s = _number(text, arguments[0])
    if at_s < 0:
        raise ValueError(f"--fault {text}: time {at_s} s, expected 0 or more")
    if kind in ("stop", "duplicate"):
        return Fault(kind=kind, at_s=at_s)
    if kind in ("nan", "rail", "flat"):
        if arguments[1] not in ch_names:
            raise ValueError(
                f"--fault {text}: channel {arguments[1]!r}, expected one of {', '.join(ch_names)}"
            )
        return Fault(kind=kind, at_s=at_s, channel=list(ch_names).index(arguments[1]))
    value = _number(text, arguments[1])
    if value < 0 and kind != "stamps":
        raise ValueError(f"--fault {text}: duration {value} s, expected 0 or more")
    return Fault(kind=kind, at_s=at_s, value=value)


def _number(text: str, argument: str) -> float:
    try:
        value = float(argument)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"--fault {text}: found {argument!r}, expected a number")
    return value


def rate_factor(faults: Sequence[Fault]) -> float:
    """True rate over announced rate."""
    return math.prod(1.0 + fault.value for fault in faults if fault.kind == "rate_off")


@dataclass(frozen=True, slots=True)
class Push:
    """What goes out of one block: samples (channels, n), stamps (s), how often; `alive` is false from `stop` on."""

    data_uv: Floats
    stamps_s: Floats
    copies: int
    alive: bool


class Faults:
    """Applies the faults to one block after another."""

    def __init__(self, faults: Sequence[Fault], sfreq_hz: float) -> None:
        self._faults = tuple(faults)
        self._sfreq_hz = sfreq_hz
        self._last: Floats | None = None

    def add(self, fault: Fault) -> None:
        """One more, from now on."""
        self._faults += (fault,)

    def apply(self, data_uv: Floats, stamps_s: Floats, first: int) -> Push:
        """`first` counts samples since the start, by which the times of the faults go."""
        n = data_uv.shape[1]
        if not self._faults:
            return Push(data_uv, stamps_s, 1, True)
        at_s = np.arange(first, first + n) / self._sfreq_hz
        data, stamps = data_uv.copy(), stamps_s.copy()
        kept = np.ones(n, dtype=np.bool_)
        copies, alive, frozen = 1, True, False
        for fault in self._faults:
            since = at_s >= fault.at_s
            within = since & (at_s < fault.at_s + fault.value)
            match fault.kind:
                case "gap":
                    kept &= ~within
                case "freeze" if within.any() and self._last is not None:
                    # The block from before the freeze again, as a stuck buffer gives it.
                    data[:, within] = self._last[:, -n:][:, within]
                    frozen = True
                case "nan":
                    data[fault.channel, since] = math.nan
                case "rail":
                    data[fault.channel, since] = RAIL_UV
                case "flat":
                    data[fault.channel, since] = 0.0
                case "stamps":
                    stamps[since] += fault.value
                case "duplicate" if since[0]:
                    copies = 2
                case "stop":
                    alive = alive and not since[0]
                case _:
                    pass  # rate_off acts on the clock; the others are not yet due
        if not frozen:
            self._last = data.copy()
        return Push(data[:, kept], stamps[kept], copies, alive)
