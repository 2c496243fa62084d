"""A bench for the emulated open device: lines in, answers out, virtual time in ms."""

from __future__ import annotations

import binascii

from sim.devices.open_device_faults import Faults, parse_fault
from sim.devices.open_device_model import Identity, OpenDevice
from sim.record import Entry, Record, of

MS = 1_000_000
T0 = 5_000_000_000_000
HOLD = "SET mod=tacs a=1000 f=10000 ph=0 up=100 dn=100 dur=500 out=F3:1000,Oz:-1000"
BURSTS = "SET mod=tbs p=300 k=3 q=50000 r=5000 n=10 out=coil:1000"
TRAIN = "SET mod=rtms p=600 r=10000 n=40 out=coil:1000"


def sealed(text: str) -> bytes:
    """A line with its check, without the newline; made from the page, not from the code under test."""
    return f"{text}*{binascii.crc_hqx(text.encode(), 0):04X}".encode()


def opened(line: bytes) -> str:
    """The text between mark and check of a line whose check must hold; seq taken off."""
    assert line.endswith(b"\n") and len(line) <= 256, line
    text, _, check = line[:-1].rpartition(b"*")
    assert b"%04X" % binascii.crc_hqx(text, 0) == check
    return text.decode().split(" ", 1)[1]


class Bench:
    """One device on virtual time."""

    def __init__(self, *faults: str, enabled: bool = True, step_ms: float | None = None) -> None:
        self.now_ns = T0
        self.step_ms = step_ms
        self.seq = 0
        self.told: list[str] = []
        self.kept: list[Entry] = []
        self.device = OpenDevice(
            identity=Identity(),
            started_ns=T0,
            enabled=enabled,
            faults=Faults(tuple(parse_fault(fault) for fault in faults)),
        )

    def say(self, text: str) -> str:
        """One command now; its answer."""
        self.seq += 1
        answer = self.device.handle(sealed(f">{self.seq} {text}"), self.now_ns)
        assert answer.startswith(f"<{self.seq} ".encode())
        self._gather()
        return opened(answer)

    def wait(self, ms: float, *, pet: bool = True) -> None:
        """Time passes, in steps of `step_ms`; with STAT every 50 ms to keep the link's watchdog content."""
        end_ns = self.now_ns + round(ms * MS)
        pet_ns = self.now_ns + 50 * MS
        while self.now_ns < end_ns:
            due_ns = [end_ns]
            if pet:
                due_ns.append(pet_ns)
            if self.step_ms is not None:
                due_ns.append(self.now_ns + round(self.step_ms * MS))
            self.now_ns = min(due_ns)
            if self.step_ms is not None:
                self.device.advance(self.now_ns)
            if pet and self.now_ns == pet_ns:
                self.say("STAT")
                pet_ns += 50 * MS
        self.device.advance(self.now_ns)
        self._gather()

    def contact(self, closed: bool) -> None:
        """The relay's contact moves now."""
        self.device.set_enable(closed, self.now_ns)
        self._gather()

    def start(self, setting: str = HOLD, in_us: int = 0) -> str:
        """SET and FIRE; the answer to FIRE."""
        token = self.say(setting).split()[1]
        return self.say(f"FIRE {token} in_us={in_us}")

    def stat(self, key: str) -> str:
        """One value of STAT now."""
        return dict(pair.split("=") for pair in self.say("STAT").split()[1:])[key]

    @property
    def record(self) -> Record:
        """The record so far."""
        return of(self.kept)

    def outs(self) -> list[dict[str, int]]:
        """The OUT events so far."""
        return [
            {key: int(value) for key, value in (pair.split("=") for pair in text.split()[1:])}
            for text in self.told
            if text.startswith("OUT ")
        ]

    def _gather(self) -> None:
        self.told += [opened(event) for event in self.device.events()]
        self.kept += self.device.entries()


def armed(*faults: str, step_ms: float | None = None) -> Bench:
    """A bench with its device armed."""
    bench = Bench(*faults, step_ms=step_ms)
    assert bench.say("ARM") == "OK state=armed"
    return bench
