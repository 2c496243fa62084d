"""Faults of the emulated open device by name, each with what it does to the device or to its line."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Name -> (argument before the selection, what it does). A selection N or WORD after it picks every N-th
# answer, or the answers to one command alone.
DEVICE_FAULTS = {
    "busy": (None, "FIRE is answered ERR code=busy"),
    "late": (None, "FIRE is answered ERR code=late"),
    "fault_electrode": ("MS", "an electrode comes off MS (default 0) after the next onset of a hold"),
    "clamp_silently": (None, "SET stores half the amplitude"),
    "clamp_up": (None, "SET stores a tenth more amplitude"),
    "stuck_on": (None, "STOP is ignored"),
    "runaway": (None, "STOP, the lease and the link watchdog are ignored; only the enable input ends a hold"),
    "lie_delivery": (None, "OUT tells half of what went out"),
    "skew": ("PPM", "the device's clock tells time PPM fast"),
}
LINE_FAULTS = {
    "drop_reply": (None, "the answer is not sent"),
    "delay_reply": ("MS", "the answer comes MS late"),
    "corrupt_crc": (None, "the answer's check is wrong"),
    "truncate": (None, "the answer breaks off in its middle"),
    "duplicate": (None, "the answer comes twice"),
    "unsolicited": (None, "an answer nobody asked for and an unknown event come first"),
    "split": (None, "the answer comes in pieces of three bytes, 1 ms apart"),
    "wrong_seq": (None, "the answer carries another seq"),
    "silent_after": ("N", "after N lines it acts, but says nothing"),
    "vanish_after": ("N", "after N lines the port is gone"),
    "hang": (None, "it takes bytes and does nothing with them"),
}
_ARGUMENT_NEEDED = frozenset({"skew", "delay_reply", "silent_after", "vanish_after"})
_SELECTABLE = frozenset(
    {
        "drop_reply",
        "delay_reply",
        "corrupt_crc",
        "truncate",
        "duplicate",
        "unsolicited",
        "split",
        "wrong_seq",
    }
)
_NUMBER = re.compile(r"-?[0-9]{1,9}")
_WORD = re.compile(r"[A-Z]+")
SKEW_PPM_MAX = 10_000  # own choice: far worse than any crystal


class FaultError(Exception):
    """A fault's text that is wrong; one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: its number where it takes one, and which answers it strikes."""

    name: str
    number: int = 0
    every: int = 1
    word: str | None = None

    def strikes(self, nth: int, word: str) -> bool:
        """Whether the `nth` answer (counted from 1), one to `word`, is struck."""
        return nth % self.every == 0 and self.word in (None, word)


def parse_fault(text: str) -> Fault:
    """`NAME[:ARG][:N or WORD]` as a Fault."""
    name, *rest = text.split(":")
    kinds = DEVICE_FAULTS | LINE_FAULTS
    if name not in kinds:
        raise FaultError(f"fault {text!r}: no such fault, expected one of {', '.join(sorted(kinds))}")
    number, every, word = 0, 1, None
    argument = kinds[name][0]
    if argument is not None and rest:
        value = rest.pop(0)
        if not _NUMBER.fullmatch(value) or (name != "skew" and int(value) < 0):
            raise FaultError(f"fault {text!r}: {argument} is {value!r}, expected a whole number")
        number = int(value)
    elif name in _ARGUMENT_NEEDED:
        raise FaultError(f"fault {text!r}: {argument} is missing, expected {name}:{argument}")
    if name == "skew" and abs(number) > SKEW_PPM_MAX:
        raise FaultError(f"fault {text!r}: {number} ppm, expected at most {SKEW_PPM_MAX} either way")
    if rest and name in _SELECTABLE:
        value = rest.pop(0)
        if _WORD.fullmatch(value):
            word = value
        elif _NUMBER.fullmatch(value) and int(value) > 0:
            every = int(value)
        else:
            raise FaultError(f"fault {text!r}: {value!r}, expected N (each N-th answer) or a command's WORD")
    if rest:
        raise FaultError(f"fault {text!r}: {':'.join(rest)!r} is too much, expected nothing after it")
    return Fault(name=name, number=number, every=every, word=word)


class Faults:
    """The faults now active, by name."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self._active = {fault.name: fault for fault in faults}

    def __contains__(self, name: str) -> bool:
        return name in self._active

    def get(self, name: str) -> Fault | None:
        """The fault of that name, if it is active."""
        return self._active.get(name)

    def inject(self, fault: Fault) -> None:
        """Make a fault active from now on."""
        self._active[fault.name] = fault

    def clear(self) -> None:
        """End all faults; what they have done stays done."""
        self._active.clear()
