"""The simulated watchdog relay: a process of its own that cuts the device's output when it is not petted.

    interlock --P/X--> --listen [relay] --contact--> 1/0 enable input of the device
              <--C/O-- feedback of the contact

It opens by itself after `--silence-ms` + `--ramp-ms` without a pet: the ramp gives a stop its time to end softly.
"""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path
from typing import Literal, get_args

from sim.clock import MonotonicClock
from sim.record import Closed, Entry, Fault, Opened
from sim.recorder import Recorder, RecordLost
from sim.shell import Shell, UseError, accept, complain, connect_unix, listen_unix, receive, say_ready

NS_PER_MS = 1_000_000
RETRY_NS = 20 * NS_PER_MS  # own choice: how soon a device that was started later is found
MS_MAX = 60_000
LATE_NS = 300 * NS_PER_MS  # own choice: later than anything waits for it
SLOW_NS = 90 * NS_PER_MS  # own choice: late, and still in time
RelayFault = Literal[
    "stuck_closed", "stuck_open", "deaf", "late", "slow", "lies_once", "inverted", "twice", "sleepless"
]
_FAULTS: dict[str, RelayFault] = {fault: fault for fault in get_args(RelayFault)}
PET, OPEN = b"P"[0], b"X"[0]


class Relay:
    """The contact and its timer. Pure: time is handed in, and an opening has the time at which it was due."""

    def __init__(self, *, silence_ns: int, ramp_ns: int, fault: RelayFault | None = None) -> None:
        self.closed = fault == "stuck_closed"
        self.fault = fault
        self._silence_ns = silence_ns
        self._ramp_ns = ramp_ns
        self._due: tuple[int, str] | None = None
        self._late: list[tuple[int, bytes]] = []
        self._lies = fault == "lies_once"
        self._entries: list[Entry] = []

    @property
    def feedback(self) -> bytes:
        """The feedback contact, fixed to the real one: it tells where that is, not where it was sent."""
        return b"C" if self.closed != (self.fault == "inverted") else b"O"

    def entries(self) -> list[Entry]:
        """What happened since the last call."""
        entries, self._entries = self._entries, []
        return entries

    def next_ns(self) -> int | None:
        """When it opens by itself, or a late answer is due."""
        dues = [at_ns for at_ns, _ in self._late[:1]]
        if self._due is not None:
            dues.append(self._due[0])
        return min(dues, default=None)

    def answers(self, now_ns: int) -> bytes:
        """The late answers that are due by `now_ns`."""
        due = b"".join(answer for at_ns, answer in self._late if at_ns <= now_ns)
        self._late = [(at_ns, answer) for at_ns, answer in self._late if at_ns > now_ns]
        return due

    def advance(self, now_ns: int) -> bool:
        """Open if that is due by `now_ns`; true if the contact moved."""
        if self._due is None or self._due[0] > now_ns:
            return False
        at_ns, cause = self._due
        return self._open(at_ns, cause)

    def hear(self, byte: int, now_ns: int) -> bytes:
        """One byte of the interlock; the answer, empty if the relay is deaf, or late with it."""
        if self.fault == "deaf":
            return b""
        if byte == PET:
            due_ns = now_ns + self._silence_ns + self._ramp_ns
            self._due = None if self.fault == "sleepless" else (due_ns, "silence")
            if not self.closed and self.fault != "stuck_open":
                self.closed = True
                self._entries.append(Closed(t_ns=now_ns, cause="pet"))
        else:
            self._open(now_ns, "command" if byte == OPEN else "unknown byte")
        return self._answer(now_ns)

    def _answer(self, now_ns: int) -> bytes:
        """The feedback as this relay tells it."""
        told = self.feedback
        if self._lies:
            self._lies = False
            return b"O" if told == b"C" else b"C"
        if self.fault == "twice":
            return told * 2
        if self.fault in ("late", "slow"):
            self._late.append((now_ns + (LATE_NS if self.fault == "late" else SLOW_NS), told))
            return b""
        return told

    def hang_up(self, now_ns: int) -> None:
        """The interlock is gone: nothing more will come, only the ramp keeps its time."""
        due_ns = now_ns + self._ramp_ns
        if self.closed and (self._due is None or due_ns < self._due[0]):
            self._due = (due_ns, "end of file")

    def set_fault(self, fault: RelayFault | None, now_ns: int) -> None:
        """A fault begins or, with None, ends; a contact freed from being stuck is open."""
        was = self.fault
        self.fault = fault
        self._lies = fault == "lies_once"
        self._entries.append(Fault(t_ns=now_ns, name=fault or "clear"))
        if fault == "stuck_closed" and not self.closed:
            self.closed = True
            self._entries.append(Closed(t_ns=now_ns, cause="fault"))
        elif fault == "stuck_open" or (was == "stuck_closed" and fault is None and self._due is None):
            self._open(now_ns, "fault")

    def _open(self, at_ns: int, cause: str) -> bool:
        """Open, unless the contact is welded; true if it moved."""
        self._due = None
        if not self.closed or self.fault == "stuck_closed":
            return False
        self.closed = False
        self._entries.append(Opened(t_ns=at_ns, cause=cause))
        return True


class RelayProcess:
    """The process: the relay between the interlock's socket and the device's contact."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._shell = Shell(clock=MonotonicClock(), stdin=options.die_with_stdin, on_line=self._typed)
        self._clock = self._shell.clock
        try:
            self._recorder = Recorder(options.record)
        except OSError as error:
            raise UseError(f"--record {options.record}: cannot be written ({error.strerror})") from error
        self._relay = Relay(
            silence_ns=options.silence_ms * NS_PER_MS,
            ramp_ns=options.ramp_ms * NS_PER_MS,
            fault=options.fault,
        )
        self._listen: Path = options.listen
        self._contact_path: Path = options.contact
        self._server = listen_unix(self._listen)
        self._client: socket.socket | None = None
        self._contact: socket.socket | None = None
        self._shown: bool | None = None
        self._retry_ns = self._clock.now_ns()
        self._shell.watch(self._server, self._accept)

    def run(self) -> None:
        """Serve until told to end; the contact opens with the process."""
        self._connect()
        self._show()
        say_ready({"listen": str(self._listen)})
        self._shell.run(self._next_ns, self._step)
        for end in (self._contact, self._client, self._server):
            if end is not None:
                end.close()
        self._recorder.close()
        self._listen.unlink(missing_ok=True)
        self._shell.close()

    def _next_ns(self) -> int | None:
        due_ns = self._relay.next_ns()
        if self._contact is not None:
            return due_ns
        return self._retry_ns if due_ns is None else min(due_ns, self._retry_ns)

    def _step(self) -> None:
        now_ns = self._clock.now_ns()
        self._elapse(now_ns)
        if self._contact is None and self._retry_ns <= now_ns:
            self._connect()
            self._show()

    def _elapse(self, now_ns: int) -> None:
        """Open by itself and say so unasked, if that is due."""
        if self._relay.advance(now_ns):
            self._show()
            self._answer(self._relay.feedback)
        self._answer(self._relay.answers(now_ns))
        self._recorder.put(self._relay.entries())

    def _read(self) -> None:
        """Bytes of the interlock: the contact moves first, then the answer, then the record."""
        if self._client is None:
            return
        data = receive(self._client)
        now_ns = self._clock.now_ns()
        if data is None:
            return
        self._elapse(now_ns)
        for byte in data:
            answer = self._relay.hear(byte, now_ns)
            self._show()
            self._answer(answer)
        if not data:
            self._shell.unwatch(self._client)
            self._client.close()
            self._client = None
            self._relay.hang_up(now_ns)
        self._elapse(now_ns)

    def _accept(self) -> None:
        self._read()  # an interlock that is gone makes room for the next
        client = accept(self._server, full=self._client is not None)
        if client is not None:
            self._client = client
            self._shell.watch(client, self._read)

    def _answer(self, told: bytes) -> None:
        """Feedback; an interlock that does not read is not waited for."""
        if self._client is None or not told:
            return
        try:
            self._client.send(told)
        except OSError:
            return  # its end is read in the loop

    def _connect(self) -> None:
        """Find the device's contact; until then it is open for the device anyway."""
        self._contact = connect_unix(self._contact_path)
        self._shown = None
        if self._contact is None:
            self._retry_ns = self._clock.now_ns() + RETRY_NS
        else:
            self._shell.watch(self._contact, self._read_contact)

    def _show(self) -> None:
        """The contact's place to the device, when it changed."""
        if self._contact is None or self._shown == self._relay.closed:
            return
        try:
            self._contact.send(b"1" if self._relay.closed else b"0")
            self._shown = self._relay.closed
        except OSError:
            self._lose_contact()

    def _read_contact(self) -> None:
        """The device says nothing here; it can only be gone."""
        if self._contact is not None and receive(self._contact) == b"":
            self._lose_contact()

    def _lose_contact(self) -> None:
        if self._contact is not None:
            self._shell.unwatch(self._contact)
            self._contact.close()
            self._contact = None
            self._retry_ns = self._clock.now_ns() + RETRY_NS

    def _typed(self, line: str) -> None:
        """A line on standard input: `fault NAME`, or `clear`."""
        word, _, rest = line.partition(" ")
        if word == "clear" or (word == "fault" and rest in _FAULTS):
            self._relay.set_fault(_FAULTS.get(rest) if word == "fault" else None, self._clock.now_ns())
            self._show()
            self._elapse(self._clock.now_ns())
        elif line:
            complain(f"{line!r}: expected `fault NAME` ({', '.join(_FAULTS)}) or `clear`")


def main(argv: list[str] | None = None) -> int:
    """Run the relay; returns the exit status."""
    try:
        process = RelayProcess(_options(argv))
        process.run()
    except UseError as error:
        return complain(f"relay: {error}")
    except RecordLost as error:
        complain(f"relay: {error}")
        return 70
    return 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="relay", description="Simulates the watchdog relay.", allow_abbrev=False
    )
    parser.add_argument("--listen", type=Path, required=True, metavar="PATH", help="the interlock's side")
    parser.add_argument("--contact", type=Path, required=True, metavar="PATH", help="the device's side")
    parser.add_argument("--silence-ms", type=_ms, default=100, metavar="MS")
    parser.add_argument("--ramp-ms", type=_ms, default=100, metavar="MS")
    parser.add_argument("--record", type=Path, required=True, metavar="FILE", help="JSON lines")
    parser.add_argument("--fault", choices=sorted(_FAULTS), default=None)
    parser.add_argument("--die-with-stdin", action="store_true", help="end when standard input ends")
    return parser.parse_args(argv)


def _ms(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= MS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r}, expected whole milliseconds, 1 to {MS_MAX}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
