"""A controller played by a test: it says hello, beats each 20 ms and asks. In a thread, or in a process of its own.

`python -m tests.system.played_controller SOCKET MODALITY` is the process: it keeps the output on from ARMED on, says
`running` when the first request was permitted, and ends with its standard input.
"""

from __future__ import annotations

import secrets
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from drivers.link import FrameBuffer, frame
from drivers.stimulation import Hold, MagneticPulse, Modality, Output, PulseTrain, Sine, Train
from safety.messages import (
    PROTOCOL,
    End,
    Evidence,
    FromInterlock,
    Heartbeat,
    Hello,
    Permit,
    PhaseChanged,
    Refusal,
    Request,
    Trip,
)

SESSION_ID, SESSION_DIGEST = "s1", "abc"
SFREQ_HZ = 500
BEAT_S = 0.02
RENEW_S = 0.15  # of a lease of 500 ms
ANSWER_S = 3.0
RAMP_MS = 100

_decoder: msgspec.json.Decoder[FromInterlock] = msgspec.json.Decoder(FromInterlock)
Said = TypeVar("Said", bound=msgspec.Struct)
Verdict = Permit | Refusal | Trip


def hold(amplitude_ma_pp: float) -> Train:
    """A lease of 500 ms; up to 0.1 mA may be asked from zero at once, by the slew limit of the example."""
    return Train(
        modality="tacs",
        outputs=(Output(name="F3", share=1.0), Output(name="Oz", share=-1.0)),
        waveform=Hold(
            carrier=Sine(amplitude_ma_pp=amplitude_ma_pp, frequency_hz=10.0),
            ramp_up_ms=RAMP_MS, ramp_down_ms=RAMP_MS, duration_ms=500,
        ),
    )  # fmt: skip


def pulses(n_pulses: int = 40, rate_hz: float = 10.0, amplitude_pct_mso: float = 40.0) -> Train:
    """A train of magnetic pulses, within the example's limits."""
    pulse = MagneticPulse(amplitude_pct_mso=amplitude_pct_mso)
    return Train(
        modality="rtms",
        outputs=(Output(name="coil", share=1.0),),
        waveform=PulseTrain(pulse=pulse, rate_hz=rate_hz, n_pulses=n_pulses),
    )


def output_of(modality: Modality) -> Train:
    """What a session of this modality puts out in these tests."""
    return hold(0.1) if modality == "tacs" else pulses()


def hello_of(modality: Modality) -> Hello:
    return Hello(
        protocol=PROTOCOL, session_id=SESSION_ID, session_digest=SESSION_DIGEST, software="played", modality=modality,
        sfreq_hz=float(SFREQ_HZ), stream_uid="u",
    )  # fmt: skip


class Controller:
    """One connection to `controller.sock`; a thread beats, renews what is kept, and hears."""

    def __init__(self, path: Path, modality: Modality) -> None:
        self.heard: list[FromInterlock] = []  # everything, in order
        self.gone = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_S)
        self._socket.connect(str(path))
        self._begun_ns = time.monotonic_ns()
        self._news = threading.Condition()
        self._sending = threading.Lock()
        self._taken = 0
        self._id = self._beats = 0
        self._kept: Train | None = None
        self._hung = self._ended = False
        self._send(hello_of(modality))
        self._thread = threading.Thread(target=self._run, name="played controller", daemon=True)
        self._thread.start()

    def evidence(self) -> Evidence:
        """Fresh and clean."""
        now_ns = time.monotonic_ns()
        return Evidence(
            stream_uid="u", n_samples=(now_ns - self._begun_ns) * SFREQ_HZ // 1_000_000_000, newest_ns=now_ns - 3_000_000,
            uncertainty_ns=10_000, crc=secrets.randbits(32), clean_fraction=1.0,
        )  # fmt: skip

    def ask(self, train: Train, onset_at_ns: int = 0) -> Verdict:
        """Ask, and wait for the verdict of this request."""
        request_id = self.send_request(train, onset_at_ns)
        verdict = self.wait(
            lambda said: (
                isinstance(said, Trip) or (isinstance(said, Permit | Refusal) and said.id == request_id)
            )
        )
        assert isinstance(verdict, Permit | Refusal | Trip)
        return verdict

    def send_request(self, train: Train, onset_at_ns: int = 0) -> int:
        """Ask, and go on; the id of the request."""
        self._id += 1
        request = Request(
            id=self._id, train=train, onset_at_ns=onset_at_ns, response=0.5, evidence=self.evidence()
        )
        self._send(request)
        return self._id

    def keep(self, train: Train) -> None:
        """Ask for it from now on: a hold again before its lease ends, a train once."""
        self._kept = train

    def let_go(self) -> None:
        """Ask for nothing more."""
        self._kept = None

    def hang(self) -> None:
        """Beat no more, hear no more; the connection stays."""
        self._hung = True

    def send(self, message: msgspec.Struct) -> None:
        self._send(message)

    def send_raw(self, data: bytes) -> None:
        """Any bytes, between two messages."""
        with self._sending:
            self._socket.sendall(data)

    def send_raw_unheard(self, data: bytes) -> None:
        """Any bytes, to an interlock that may close in the middle of them."""
        try:
            self.send_raw(data)
        except OSError:
            pass

    def end(self) -> None:
        self._send(End(reason="done"))

    def phase(self, phase: str) -> None:
        """Wait until the interlock has said so."""
        self.wait(lambda said: isinstance(said, PhaseChanged) and said.phase == phase)

    def wait(self, wanted: Callable[[FromInterlock], bool], timeout_s: float = ANSWER_S) -> FromInterlock:
        """The next message that is wanted; what came before it is passed over."""
        end_s = time.monotonic() + timeout_s
        with self._news:
            while True:
                while self._taken < len(self.heard):
                    self._taken += 1
                    if wanted(self.heard[self._taken - 1]):
                        return self.heard[self._taken - 1]
                left_s = end_s - time.monotonic()
                assert left_s > 0 and not self.gone.is_set(), f"not heard; last: {self.heard[-3:]}"
                self._news.wait(left_s)

    def all_of(self, kind: type[Said]) -> list[Said]:
        """Every message of a kind heard so far."""
        with self._news:
            return [said for said in self.heard if isinstance(said, kind)]

    def close(self) -> None:
        """Close the connection; the thread ends."""
        self._ended = True
        self._thread.join(ANSWER_S)
        self._socket.close()

    def _send(self, message: msgspec.Struct) -> None:
        try:
            with self._sending:
                self._socket.sendall(frame(message))
        except OSError:
            self._lost()

    def _lost(self) -> None:
        with self._news:
            self.gone.set()
            self._news.notify_all()

    def _run(self) -> None:
        frames = FrameBuffer()
        due_s = renew_s = time.monotonic()
        while not self._ended and not self.gone.is_set():
            wait_s = max(0.0, min(due_s - time.monotonic(), BEAT_S))
            readable, _, _ = select.select([] if self._hung else [self._socket], [], [], wait_s)
            if readable and not self._hear(frames):
                return
            now_s = time.monotonic()
            if now_s < due_s or self._hung:
                due_s = now_s + BEAT_S if self._hung else due_s
                continue
            due_s = now_s + BEAT_S
            self._beats += 1
            self._send(Heartbeat(seq=self._beats, progress=self._beats, evidence=self.evidence()))
            if self._kept is not None and now_s >= renew_s:
                renew_s = now_s + RENEW_S
                self.send_request(self._kept)
                if isinstance(self._kept.waveform, PulseTrain):
                    self._kept = None

    def _hear(self, frames: FrameBuffer) -> bool:
        try:
            data = self._socket.recv(65_536)
        except OSError:
            data = b""
        if not data:
            self._lost()
            return False
        bodies = frames.feed(data)
        with self._news:
            self.heard += [_decoder.decode(body) for body in bodies]
            self._news.notify_all()
        return True


def main(path: str, modality: Modality) -> None:
    """The process."""
    controller = Controller(Path(path), modality)
    controller.wait(lambda said: isinstance(said, PhaseChanged) and said.phase == "ARMED", 30.0)
    controller.keep(output_of(modality))
    controller.wait(lambda said: isinstance(said, Permit))
    sys.stdout.write("running\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], "tacs" if sys.argv[2] == "tacs" else "rtms")
