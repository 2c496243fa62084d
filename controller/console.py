"""Progress while a session runs: one live line on a terminal, a plain line every 5 s elsewhere; words before colour.

Time is taken from the items alone: what is shown is what was known when the newest of them was offered.
"""

from __future__ import annotations

import math
import os
from typing import Final, TextIO

from controller.eeg import Block, Cycle
from controller.finished.values import AMPLITUDE_UNIT, PULSED
from controller.taps import Event, Offered
from safety.messages import DeliveryReport, Permit, PhaseChanged, Refusal, Trip

LIVE_NS: Final = 500_000_000
PLAIN_NS: Final = 5_000_000_000
ZERO_NS: Final = (
    250_000_000  # slices come every 100 ms: later than this after an end there is no output (own choice)
)
COLUMNS: Final = 100  # where the terminal does not say
LINE_CHARS_MAX: Final = 400  # a line of its own, in whatever words a device or a plug-in chose
SAID_MAX: Final = 64  # kinds of things that are told once; more than this is noise
COLOURS: Final = {"ARMED": "1;33", "TRIPPED": "1;37;41", "READY": "32"}
ALWAYS: Final = frozenset({"silence", "end"})


class Console:
    """A tap's consumer. It never blocks the loop; where the output is gone, its tap says so."""

    def __init__(self, out: TextIO, duration_s: float, modality: str) -> None:
        self._out = out
        self._duration_s = duration_s
        self._modality = modality
        self._unit = AMPLITUDE_UNIT.get(modality, "")
        self._live = out.isatty() and os.environ.get("TERM", "") != "dumb"
        self._colour = self._live and not os.environ.get("NO_COLOR")
        self._drawn = False
        self._begun_ns = self._now_ns = self._drawn_ns = 0
        self._next_ns = 0
        self._phase = "SAFE"
        self._trip = ""
        self._readings: dict[str, tuple[float, str]] = {}
        self._sample_ns = 0
        self._asked = self._permitted = self._refused = 0
        self._level = 0.0
        self._ended_ns = 0
        self._pulses = 0
        self._said: set[tuple[str, str]] = set()

    def consume(self, items: list[Offered]) -> None:
        """Take a batch; draw at most once."""
        for at_ns, item in items:
            self._now_ns = max(self._now_ns, at_ns)
            if not self._begun_ns:
                self._begun_ns = at_ns
                self._next_ns = at_ns + (LIVE_NS if self._live else PLAIN_NS)
            match item:
                case Block():
                    self._sample_ns = int(item.stamps_ns[-1]) if len(item.stamps_ns) else self._sample_ns
                case Cycle():
                    self._cycle(item)
                case DeliveryReport():
                    self._delivery(item, at_ns)
                case PhaseChanged():
                    self._phase = item.phase
                    why = (item.code, item.text) if item.code != self._trip else ()
                    self._tell("  ".join((item.phase, " ".join(part for part in why if part))))
                case Trip():
                    self._trip = item.code
                    self._tell(f"TRIP {item.code}  {item.text}; {item.remedy}")
                case Event():
                    self._event(item)
        if items and self._now_ns >= self._next_ns:
            self._draw()
            self._next_ns = self._now_ns + (LIVE_NS if self._live else PLAIN_NS)

    def close(self) -> None:
        """The last state, left standing."""
        if self._begun_ns and (self._live or self._now_ns != self._drawn_ns):
            self._draw()
        if self._drawn:
            self._write("\n")
        self._drawn = False

    def _cycle(self, cycle: Cycle) -> None:
        self._sample_ns = max(self._sample_ns, cycle.sample_ns)
        for name, reading in cycle.readings.items():
            self._readings[name] = (reading.value, reading.reason)
        if cycle.request is None:
            return
        self._asked += 1
        match cycle.verdict:
            case Permit():
                self._permitted += 1
            case Refusal():
                self._refused += 1
                for reason in cycle.verdict.reasons:
                    self._tell_once("refused", reason.code, f"refused {reason.code}  {reason.text}")
            case _:
                pass  # a trip comes as a message of its own

    def _delivery(self, report: DeliveryReport, at_ns: int) -> None:
        given = report.delivery
        self._level = given.amplitude
        self._ended_ns = at_ns if given.ended else 0
        self._pulses += max(0, given.n_pulses)

    def _event(self, event: Event) -> None:
        line = f"{event.kind} {event.code}  {event.text}"
        if event.kind in ALWAYS:
            self._tell(line)
        else:
            self._tell_once(event.kind, event.code, line)

    def _tell_once(self, kind: str, code: str, line: str) -> None:
        if (kind, code) not in self._said and len(self._said) < SAID_MAX:
            self._said.add((kind, code))
            self._tell(f"{line} (told once)")

    def _tell(self, line: str) -> None:
        """A line of its own, above the live one."""
        text = _plain(f"{_clock(self._elapsed_s())}  {line}")[:LINE_CHARS_MAX]
        self._write(("\r\x1b[K" if self._drawn else "") + text + "\n")
        if self._drawn:
            self._drawn = False
            self._draw()

    def _draw(self) -> None:
        text = self._line()
        self._drawn_ns = self._now_ns
        if not self._live:
            self._write(text[:LINE_CHARS_MAX] + "\n")
            return
        text = text[: max(20, self._columns() - 1)]
        if self._colour and self._phase in COLOURS:
            text = text.replace(self._phase, f"\x1b[{COLOURS[self._phase]}m{self._phase}\x1b[0m", 1)
        self._write(f"\r{text}\x1b[K")
        self._drawn = True

    def _line(self) -> str:
        """What matters most comes first: a narrow terminal cuts the end."""
        age_ms = (self._now_ns - self._sample_ns) / 1e6
        parts = [
            f"{_clock(self._elapsed_s())}/{_clock(self._duration_s)}",
            self._phase,
            self._output(),
            f"data {age_ms:.0f} ms old" if self._sample_ns else "no data yet",
            f"asked {self._asked} permitted {self._permitted} refused {self._refused}",
            *(_reading(name, value, reason) for name, (value, reason) in self._readings.items()),
        ]
        return _plain("  ".join(parts))

    def _output(self) -> str:
        """The newest slice. After a stop the device's last slices are not passed on: then it is the last word, not now."""
        over = self._ended_ns and self._now_ns - self._ended_ns > ZERO_NS
        text = f"{0.0 if over else self._level:.2f} {self._unit}"
        if self._level and not over and self._phase != "ARMED":
            text = f"last reported {text}"
        return f"{text}, {self._pulses} pulses" if self._modality in PULSED else text

    def _elapsed_s(self) -> float:
        return (self._now_ns - self._begun_ns) / 1e9

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._out.fileno()).columns or COLUMNS
        except (OSError, ValueError):
            return COLUMNS

    def _write(self, text: str) -> None:
        encoding = self._out.encoding or "utf-8"
        self._out.write(text.encode(encoding, "replace").decode(encoding))
        self._out.flush()


def _reading(name: str, value: float, reason: str) -> str:
    return f"{name} {value:.3g}" if math.isfinite(value) else f"{name} – ({reason or 'no reason given'})"


def _clock(span_s: float) -> str:
    whole = max(0, int(span_s))
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _plain(text: str) -> str:
    """On one line and without control characters, whoever wrote it."""
    return "".join(c if c.isprintable() else " " for c in text).rstrip()
