"""The port of the emulated open device: bytes in, chunks of bytes out, with the faults of a line.

Pure. Between the model and a real transport; what waits is bounded by what one line can cause.
"""

from __future__ import annotations

import heapq

from sim.devices.open_device_faults import Fault, Faults
from sim.devices.open_device_line import SEQ_COUNT, LineBuffer, seal
from sim.devices.open_device_model import OpenDevice
from sim.devices.open_device_output import NS_PER_MS
from sim.record import Entry, Tx
from sim.record import Fault as FaultEntry

WAITING_MAX = 1_000  # chunks; beyond it the oldest would be told far too late to matter
_SPLIT_BYTES = 3
_SPLIT_GAP_NS = NS_PER_MS

# When a chunk is due, its number, the chunk, and the line to record with it.
_Chunk = tuple[int, int, bytes, str | None]


class Port:
    """One serial line of one device."""

    def __init__(self, device: OpenDevice, faults: Faults) -> None:
        self.device = device
        self.vanished = False
        self._faults = faults
        self._lines = LineBuffer()
        self._waiting: list[_Chunk] = []
        self._chunks = 0
        self._answers = 0
        self._heard_before = 0
        self._muted = False
        self._free_ns = 0
        self._entries: list[Entry] = []
        self._count()

    def new_client(self) -> None:
        """Someone else holds the other end: what was half said, either way, is gone."""
        self._lines.clear()
        self._waiting.clear()

    def feed(self, data: bytes, now_ns: int) -> None:
        """Bytes that arrived at `now_ns`."""
        if "hang" in self._faults:
            self.advance(now_ns)
            return
        for line in self._lines.feed(data):
            self.advance(now_ns)
            answer = self.device.handle(line, now_ns)
            if answer:
                self._answer(answer, now_ns)
            self._tell_events(now_ns)
            self._count()
            if self.vanished:
                return

    def advance(self, now_ns: int) -> None:
        """Let happen all that is due by `now_ns`."""
        self.device.advance(now_ns)
        self._tell_events(now_ns)

    def next_ns(self) -> int | None:
        """When something happens or has to be sent next."""
        dues = (self.device.next_ns(), self._waiting[0][0] if self._waiting else None)
        return min((due_ns for due_ns in dues if due_ns is not None), default=None)

    def take(self, now_ns: int) -> list[bytes]:
        """The chunks due by `now_ns`, each to be sent by itself."""
        chunks: list[bytes] = []
        while self._waiting and self._waiting[0][0] <= now_ns:
            _, _, chunk, line = heapq.heappop(self._waiting)
            chunks.append(chunk)
            if line is not None:
                self._entries.append(Tx(t_ns=now_ns, line=line))
        return chunks

    def entries(self) -> list[Entry]:
        """The entries of the record since the last call, in order."""
        entries = self.device.entries() + self._entries
        self._entries = []
        return entries

    def inject(self, fault: Fault, now_ns: int) -> None:
        """Make a fault active in mid-run."""
        self.device.inject(fault, now_ns)
        self._heard_before = self.device.heard
        self._count()
        self._entries.append(FaultEntry(t_ns=now_ns, name=fault.name))

    def clear_faults(self, now_ns: int) -> None:
        """End all faults; a port that is gone stays gone."""
        self.device.clear_faults(now_ns)
        self._count()
        self._entries.append(FaultEntry(t_ns=now_ns, name="clear"))

    def _count(self) -> None:
        """Let the faults that wait for N lines come in force."""
        heard = self.device.heard - self._heard_before
        silent, vanish = self._faults.get("silent_after"), self._faults.get("vanish_after")
        self._muted = silent is not None and heard >= silent.number
        self.vanished |= vanish is not None and heard >= vanish.number

    def _tell_events(self, now_ns: int) -> None:
        """Send the device's events."""
        silent = self._muted or "hang" in self._faults
        for event in self.device.events():
            if not silent:
                self._send(event, now_ns)

    def _answer(self, answer: bytes, now_ns: int) -> None:
        """Send an answer, or what the faults of the line make of it."""
        self._answers += 1
        if self._muted or self._strikes("drop_reply") is not None:
            return
        delay = self._strikes("delay_reply")
        at_ns = now_ns + (delay.number * NS_PER_MS if delay is not None else 0)
        seq = int(answer[1:].split(b" ", 1)[0])
        if self._strikes("unsolicited") is not None:
            self._send(seal(f"<{(seq + 7) % SEQ_COUNT} OK state=idle"), at_ns)
            self._send(seal("!0 NOISE n=1"), at_ns)
        if self._strikes("wrong_seq") is not None:
            text = answer.split(b" ", 1)[1].rsplit(b"*", 1)[0].decode("ascii")
            answer = seal(f"<{(seq + 1) % SEQ_COUNT} {text}")
        if self._strikes("corrupt_crc") is not None:
            answer = answer[:-2] + (b"1" if answer[-2:-1] != b"1" else b"2") + b"\n"
        if self._strikes("truncate") is not None:
            answer = answer[: len(answer) // 2]
        split = self._strikes("split") is not None
        for _ in range(2 if self._strikes("duplicate") is not None else 1):
            self._send(answer, at_ns, split=split)

    def _strikes(self, name: str) -> Fault | None:
        """The fault of that name, if it strikes the answer under way."""
        fault = self._faults.get(name)
        return fault if fault is not None and fault.strikes(self._answers, self.device.last_word) else None

    def _send(self, line: bytes, at_ns: int, *, split: bool = False) -> None:
        """Queue a line; nothing may come between the pieces of a split one."""
        if len(self._waiting) >= WAITING_MAX:
            return
        at_ns = max(at_ns, self._free_ns)
        text: str | None = line.decode("ascii").rstrip("\n")
        size = _SPLIT_BYTES if split else len(line)
        for begin in range(0, len(line), size):
            self._chunks += 1
            heapq.heappush(self._waiting, (at_ns, self._chunks, line[begin : begin + size], text))
            text = None
            at_ns += _SPLIT_GAP_NS if split else 0
        if split:
            self._free_ns = at_ns
