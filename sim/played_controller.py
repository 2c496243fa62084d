"""A controller that plays its part for the benchmarks: it beats each 20 ms, asks at a rate, and times the answers.

`python -m sim.played_controller SOCKET --rate R --amplitude-ma A`: from ARMED on it asks for one hold, again and again. It
says `running` at the first permit, and when its standard input ends, what it has seen, in one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from drivers.link import FrameBuffer, frame
from drivers.stimulation import Hold, Output, Sine, Train
from safety.messages import (
    PROTOCOL,
    Evidence,
    FromInterlock,
    Heartbeat,
    Hello,
    Permit,
    PhaseChanged,
    Refusal,
    Request,
)

SESSION_ID, SESSION_DIGEST = "bench", "0" * 64
STREAM_UID = "00000000-0000-4000-8000-000000000000"  # as long as those of LSL
SFREQ_HZ = 500
BEAT_NS = 20_000_000
LEASE_MS = 500

_decoder: msgspec.json.Decoder[FromInterlock] = msgspec.json.Decoder(FromInterlock)


@dataclass(slots=True)
class Seen:
    """Times in ms since the interlock read each permitted request: the command sent on, the reply written (both in the
    interlock's own process, by its own stamps), the answer here."""

    sent_ms: list[float] = field(default_factory=list)
    written_ms: list[float] = field(default_factory=list)
    answered_ms: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)


class Played:
    """One connection; `run` serves it until standard input or the connection ends."""

    def __init__(self, path: Path, rate_hz: float, amplitude_ma: float) -> None:
        self.seen = Seen()
        self._every_ns = round(1e9 / rate_hz)
        self._train = Train(
            modality="tacs",
            outputs=(Output(name="F3", share=1.0), Output(name="Oz", share=-1.0)),
            waveform=Hold(
                carrier=Sine(amplitude_ma_pp=amplitude_ma, frequency_hz=10.0),
                ramp_up_ms=LEASE_MS, ramp_down_ms=100, duration_ms=LEASE_MS,
            ),
        )  # fmt: skip
        self._frames = FrameBuffer()
        self._id = self._beats = 0
        self._asking = False
        self._read_ns = 0  # of the Permit before
        self._begun_ns = time.monotonic_ns()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(path))
        self._send(
            Hello(
                protocol=PROTOCOL, session_id=SESSION_ID, session_digest=SESSION_DIGEST, software="played",
                modality="tacs", sfreq_hz=float(SFREQ_HZ), stream_uid=STREAM_UID,
            )
        )  # fmt: skip

    def run(self) -> Seen:
        beat_ns = ask_ns = time.monotonic_ns()
        while True:
            now_ns = time.monotonic_ns()
            due_ns = min(beat_ns, ask_ns) if self._asking else beat_ns
            readable, _, _ = select.select([self._socket, sys.stdin], [], [], max(0, due_ns - now_ns) / 1e9)
            if self._socket in readable and not self._hear():
                return self.seen
            if sys.stdin in readable and not os.read(sys.stdin.fileno(), 64):
                return self.seen
            now_ns = time.monotonic_ns()
            if now_ns >= beat_ns:
                self._beats += 1
                self._send(Heartbeat(seq=self._beats, progress=self._beats, evidence=self._evidence()))
                beat_ns = now_ns + BEAT_NS
            if self._asking and now_ns >= ask_ns:
                self._id += 1
                self._send(
                    Request(
                        id=self._id, train=self._train, onset_at_ns=0, response=0.5, evidence=self._evidence()
                    )
                )
                ask_ns = max(ask_ns + self._every_ns, now_ns)

    def _hear(self) -> bool:
        try:
            data = self._socket.recv(65_536)
        except ConnectionError:
            data = b""
        heard_ns = time.monotonic_ns()
        for body in self._frames.feed(data):
            message = _decoder.decode(body)
            match message:
                case Permit():
                    if not self.seen.answered_ms:
                        sys.stdout.write("running\n")
                        sys.stdout.flush()
                    if self._read_ns and message.written_ns:
                        self.seen.written_ms.append((message.written_ns - self._read_ns) / 1e6)
                    self._read_ns = message.read_ns
                    self.seen.sent_ms.append((message.sent_ns - message.read_ns) / 1e6)
                    self.seen.answered_ms.append((heard_ns - message.read_ns) / 1e6)
                case Refusal():
                    self.seen.refused += [reason.code for reason in message.reasons]
                case PhaseChanged():
                    self.seen.phases.append(message.phase)
                    self._asking = message.phase == "ARMED"
                case _:
                    pass
        return bool(data)

    def _send(self, message: msgspec.Struct) -> None:
        try:
            self._socket.sendall(frame(message))
        except ConnectionError:
            pass  # the end is heard where it is read

    def _evidence(self) -> Evidence:
        """Fresh and clean."""
        now_ns = time.monotonic_ns()
        return Evidence(
            stream_uid=STREAM_UID, n_samples=(now_ns - self._begun_ns) * SFREQ_HZ // 1_000_000_000,
            newest_ns=now_ns - 3_000_000, uncertainty_ns=10_000, crc=now_ns % 2**32, clean_fraction=1.0,
        )  # fmt: skip


def main() -> int:
    """Play until standard input ends; the exit status."""
    parser = argparse.ArgumentParser(prog="sim.played_controller", description=__doc__)
    parser.add_argument("socket", type=Path)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--amplitude-ma", type=float, default=0.2)
    given = parser.parse_args()
    seen = Played(given.socket, given.rate, given.amplitude_ma).run()
    told = {name: getattr(seen, name) for name in Seen.__dataclass_fields__}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
