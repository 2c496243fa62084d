"""The emulated open device: docs/open-device-protocol.md over TCP or a pseudo-terminal, with faults by name.

Its record is the truth about what came out. The model is pure and lives beside this file; here are the process,
the transports and the field that the simulated patient feels.
"""

from __future__ import annotations

import argparse
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sim.clock import MonotonicClock
from sim.devices.open_device_faults import (
    DEVICE_FAULTS,
    LINE_FAULTS,
    Fault,
    FaultError,
    Faults,
    parse_fault,
)
from sim.devices.open_device_model import Identity, OpenDevice
from sim.devices.open_device_output import NS_PER_MS
from sim.devices.open_device_port import Port
from sim.endpoint import Endpoint, PtyEndpoint, TcpEndpoint
from sim.record import Break, Entry, Pulse
from sim.recorder import Recorder, RecordLost
from sim.shell import Shell, UseError, accept, complain, listen_unix, receive, say_ready

FIELD_EVERY_NS = 20 * NS_PER_MS
_NAME = re.compile(r"[A-Za-z0-9_.+-]{1,32}")
_OUTPUTS_MAX = 16  # keeps the longest line of the protocol within 256 bytes


class Field:
    """Datagrams to whoever feels the output; never blocks, and nobody listening is no error."""

    def __init__(self, path: Path | None) -> None:
        self._path = str(path) if path is not None else None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._due_ns: int | None = None
        self._frequency_hz = 0.0

    def next_ns(self) -> int | None:
        """When the next sample of a running hold is due."""
        return self._due_ns if self._path is not None else None

    def step(self, entries: Sequence[Entry], device: OpenDevice, now_ns: int) -> None:
        """Send each change and each pulse, and a sample every 20 ms while there is an amplitude."""
        if self._path is None:
            return
        moved = False
        for entry in entries:
            if isinstance(entry, Break):
                moved = True
                self._send_hold(entry.a_ma_pp, device, entry.t_ns)
            elif isinstance(entry, Pulse):
                self._send({"t_ns": entry.t_ns, "modality": "rtms", "pulse_pct_mso": entry.p_pct})
        due = self._due_ns is not None and self._due_ns <= now_ns
        if moved or due:
            amplitude_ua = device.output.amplitude_ua(now_ns)
            if due and not moved:
                self._send_hold(amplitude_ua / 1000, device, now_ns)
            self._due_ns = now_ns + FIELD_EVERY_NS if device.output.running_hold is not None else None

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()

    def _send_hold(self, amplitude_ma_pp: float, device: OpenDevice, t_ns: int) -> None:
        hold = device.output.running_hold
        if hold is not None:
            self._frequency_hz = hold.f / 1000
        self._send(
            {
                "t_ns": t_ns,
                "modality": "tacs",
                "amplitude_ma_pp": amplitude_ma_pp,
                "frequency_hz": self._frequency_hz,
                "phase_rad": device.output.phase_rad(t_ns),
            }
        )

    def _send(self, message: dict[str, str | int | float]) -> None:
        try:
            self._socket.sendto(msgspec.json.encode(message), self._path or "")
        except OSError:
            return


class Emulator:
    """The process: one device, its port, its contact, its record."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._shell = Shell(clock=MonotonicClock(), stdin=options.die_with_stdin, on_line=self._typed)
        try:
            self._recorder = Recorder(options.record)
        except OSError as error:
            raise UseError(f"--record {options.record}: cannot be written ({error.strerror})") from error
        faults = Faults(tuple(options.fault))
        identity = Identity(serial=options.serial, outputs=options.outputs)
        self._clock = self._shell.clock
        self._contact: socket.socket | None = None
        self._contact_path: Path | None = options.contact
        self._server = listen_unix(options.contact) if options.contact is not None else None
        self._device = OpenDevice(
            identity=identity,
            started_ns=self._clock.now_ns(),
            enabled=options.no_relay,
            faults=faults,
        )
        self._port = Port(self._device, faults)
        self._endpoint: Endpoint = (
            TcpEndpoint(self._shell, options.tcp, on_data=self._receive, on_client=self._port.new_client)
            if options.tcp is not None
            else PtyEndpoint(self._shell, options.link, on_data=self._receive)
        )
        self._field = Field(options.field)
        if self._server is not None:
            self._shell.watch(self._server, self._accept_contact)

    def run(self) -> None:
        """Serve until told to end; the output is cut first."""
        say_ready({"endpoint": self._endpoint.name})
        self._flush()
        self._shell.run(self._next_ns, self._step)
        self._device.power_off(self._clock.now_ns())
        self._flush()
        self._endpoint.close()
        self._field.close()
        self._recorder.close()
        if self._contact_path is not None:
            self._contact_path.unlink(missing_ok=True)
        self._shell.close()

    def _next_ns(self) -> int | None:
        dues = (self._port.next_ns(), self._field.next_ns())
        return min((due_ns for due_ns in dues if due_ns is not None), default=None)

    def _step(self) -> None:
        self._port.advance(self._clock.now_ns())
        self._flush()

    def _receive(self, data: bytes, now_ns: int) -> None:
        """Bytes of the host, at the time they were read."""
        self._port.feed(data, now_ns)
        self._flush()

    def _flush(self) -> None:
        """Send first, then tell the field, then record: a slow record delays no answer."""
        now_ns = self._clock.now_ns()
        for chunk in self._port.take(now_ns):
            self._endpoint.send(chunk)
        if self._port.vanished:
            self._endpoint.close()
        entries = self._port.entries()
        self._field.step(entries, self._device, now_ns)
        self._recorder.put(entries)

    def _accept_contact(self) -> None:
        if self._server is None:
            return
        self._read_contact()  # a relay that is gone makes room for the next
        client = accept(self._server, full=self._contact is not None)
        if client is not None:
            self._contact = client
            self._shell.watch(client, self._read_contact)

    def _read_contact(self) -> None:
        """The relay's contact: the last byte says where it is now; anything but a clear 1 is open."""
        if self._contact is None:
            return
        data = receive(self._contact)
        now_ns = self._clock.now_ns()
        if data is None:
            return
        for byte in data or b"0":
            self._device.set_enable(byte == ord("1"), now_ns)
        if not data:
            self._shell.unwatch(self._contact)
            self._contact.close()
            self._contact = None
        self._port.advance(now_ns)
        self._flush()

    def _typed(self, line: str) -> None:
        """A line on standard input: `fault NAME[:ARG]`, or `clear`."""
        now_ns = self._clock.now_ns()
        word, _, rest = line.partition(" ")
        if word == "clear":
            self._port.clear_faults(now_ns)
        elif word == "fault":
            try:
                self._port.inject(parse_fault(rest), now_ns)
            except FaultError as error:
                complain(str(error))
        elif line:
            complain(f"{line!r}: expected `fault NAME[:ARG]` or `clear`")


def main(argv: list[str] | None = None) -> int:
    """Run the emulator; returns the exit status."""
    try:
        emulator = Emulator(_options(argv))
    except UseError as error:
        return complain(f"open_device: {error}")
    try:
        emulator.run()
    except RecordLost as error:
        complain(f"open_device: {error}")
        return 70
    return 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    kinds = DEVICE_FAULTS | LINE_FAULTS
    told = "\n".join(
        f"  {name + (':' + argument if argument else ''):24}{what}"
        for name, (argument, what) in sorted(kinds.items())
    )
    parser = argparse.ArgumentParser(
        prog="open_device",
        description="Emulates a device of the open device protocol.",
        epilog=f"faults (those of an answer take :N or :WORD after it to pick answers):\n{told}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--tcp", metavar="HOST:PORT", help="listen here; port 0 takes a free one")
    where.add_argument("--pty", action="store_true", help="be a pseudo-terminal")
    parser.add_argument("--link", type=Path, metavar="PATH", help="symbolic link to the pseudo-terminal")
    parser.add_argument("--record", type=Path, required=True, metavar="FILE", help="the truth, JSON lines")
    parser.add_argument("--field", type=Path, metavar="PATH", help="datagram socket of the patient")
    enable = parser.add_mutually_exclusive_group(required=True)
    enable.add_argument("--contact", type=Path, metavar="PATH", help="be the relay's load: enable input")
    enable.add_argument("--no-relay", action="store_true", help="enable input fixed closed")
    parser.add_argument("--fault", type=_fault, action="append", default=[], metavar="NAME[:ARG]")
    parser.add_argument("--serial", type=_name, default=Identity().serial, metavar="S")
    parser.add_argument("--outputs", type=_outputs, default=Identity().outputs, metavar="A,B,coil")
    parser.add_argument(
        "--die-with-stdin",
        action="store_true",
        help="end when standard input ends; its lines are `fault NAME[:ARG]` or `clear`",
    )
    return parser.parse_args(argv)


def _fault(text: str) -> Fault:
    try:
        return parse_fault(text)
    except FaultError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}, expected letters, digits or _.+- (1 to 32)")
    return text


def _outputs(text: str) -> tuple[str, ...]:
    names = tuple(_name(part) for part in text.split(","))
    if len(set(names)) != len(names) or len(names) > _OUTPUTS_MAX or len(text) > 80:
        raise argparse.ArgumentTypeError(f"{text!r}, expected up to {_OUTPUTS_MAX} names, each once")
    return names


if __name__ == "__main__":
    sys.exit(main())
