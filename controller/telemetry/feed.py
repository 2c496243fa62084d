"""The tap's end of telemetry: starts the process and feeds it; never waits for it."""

from __future__ import annotations

import os
import re
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import msgspec

from controller.eeg import Cycle
from controller.taps import Event, Item, Offered
from controller.telemetry.frames import (
    FRAME_BYTES_MAX,
    Bye,
    EventFrame,
    Frame,
    Notice,
    ReadingsFrame,
    Setup,
    StateFrame,
    decode_notice,
    encode,
)
from controller.telemetry_config import TelemetryConfig
from safety.messages import PhaseChanged, Trip

WANTS: frozenset[type] = frozenset({Cycle, PhaseChanged, Trip, Event})
TELLING_MAX = 256  # own choice: states and events; a session has fewer
READINGS_MAX = 64  # own choice: a few seconds beside what the socket holds
SOCKET_BYTES = 65_536  # own choice: small, so that a process that wakes up is not fed stale readings
FLUSH_S = 0.3
END_S = 2.5  # the process has 2 s to say goodbye to the broker
WITHHELD = "[withheld]"


class TelemetryLost(Exception):
    """The telemetry process is gone; one line."""


class TelemetryFeed:
    """A tap's consumer. A slow or stopped process costs the oldest frames, counted in `dropped`.

    `withheld`: words that must not leave the rig (participant, blinding keys), struck out of every text.
    """

    def __init__(
        self, link: socket.socket, process: subprocess.Popen[bytes] | None, withheld: Sequence[str] = ()
    ) -> None:
        link.setblocking(False)
        self.dropped = 0
        self.notice = Notice(connected=False, trouble="", dropped=0, n_stops=0, failed="")
        self._link = link
        self._process = process
        self._telling: deque[bytes] = deque()
        self._readings: deque[bytes] = deque()
        self._clean = _striker(withheld)

    @classmethod
    def spawn(cls, config: TelemetryConfig, stop_sock: Path, withheld: Sequence[str] = ()) -> Self:
        """Start the process, in a session of its own: a Ctrl-C in the terminal is not for it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "controller.telemetry", "--fd", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=_environment(),
            )
        feed = cls(ours, process, withheld)
        feed._send(_setup(config, stop_sock))
        return feed

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def consume(self, items: list[Offered]) -> None:
        for at_ns, item in items:
            for frame in frames_of(at_ns, item, self._clean):
                self._send(frame)
        self._flush()
        self._hear()

    def close(self) -> None:
        """Say that the session ended as meant, and see the process off."""
        try:
            self._send(Bye())
            deadline_s = time.monotonic() + FLUSH_S
            while (self._telling or self._readings) and (left_s := deadline_s - time.monotonic()) > 0:
                select.select([], [self._link], [], left_s)
                self._flush()
            self._hear()
        finally:
            self._link.close()
            if self._process is not None:
                _see_off(self._process)

    def _send(self, frame: Frame) -> None:
        data = encode(frame)
        if len(data) > FRAME_BYTES_MAX:
            self.dropped += 1
            return
        reading = isinstance(frame, ReadingsFrame)
        line, n_max = (self._readings, READINGS_MAX) if reading else (self._telling, TELLING_MAX)
        if len(line) >= n_max:
            line.popleft()
            self.dropped += 1
        line.append(data)
        self._flush()

    def _flush(self) -> None:
        try:
            for line in (self._telling, self._readings):
                while line:
                    self._link.send(line[0])
                    line.popleft()
        except BlockingIOError:
            return  # it is slow: what does not fit waits here, bounded, for the next look
        except OSError as error:
            self._lost(error)

    def _hear(self) -> None:
        try:
            while data := self._link.recv(FRAME_BYTES_MAX):
                self.notice = decode_notice(data)
        except (BlockingIOError, msgspec.MsgspecError):
            return
        except OSError as error:
            self._lost(error)
        else:
            self._lost(EOFError("its end of the socket is closed"))

    def _lost(self, error: Exception) -> None:
        try:
            while data := self._link.recv(FRAME_BYTES_MAX):  # it may have said why
                self.notice = decode_notice(data)
        except (OSError, msgspec.MsgspecError):
            pass  # it said nothing more
        reason = self.notice.failed or f"the process is gone ({error})"
        raise TelemetryLost(f"{reason}; the session goes on without telemetry, and without STOP over MQTT")


def frames_of(at_ns: int, item: Item, clean: Callable[[str], str]) -> list[Frame]:
    """What of an item may leave the rig. Never an amplitude, a delivery or a token: they tell the arm."""
    match item:
        case Cycle() if item.readings:
            return [_readings(item, clean)]
        case PhaseChanged():
            text = clean(item.text)
            return [
                StateFrame(t_ns=at_ns, phase=item.phase, code=item.code, text=text),
                EventFrame(t_ns=at_ns, kind="phase", code=item.code, text=f"{item.phase}: {text}"),
            ]
        case Trip():
            text = clean(f"{item.text} {item.remedy}".strip())
            return [
                StateFrame(t_ns=at_ns, phase="TRIPPED", code=item.code, text=text),
                EventFrame(t_ns=at_ns, kind="trip", code=item.code, text=text),
            ]
        case Event():
            return [EventFrame(t_ns=item.t_ns, kind=item.kind, code=item.code, text=clean(item.text))]
        case _:
            return []


def _readings(cycle: Cycle, clean: Callable[[str], str]) -> ReadingsFrame:
    quality = next(iter(cycle.readings.values())).quality
    readings = cycle.readings.items()
    return ReadingsFrame(
        t_ns=cycle.computed_ns or cycle.sample_ns,
        index=cycle.index,
        sample_ns=cycle.sample_ns,
        values={name: reading.value for name, reading in readings},
        units={name: reading.unit for name, reading in readings},
        reasons={name: clean(reading.reason) for name, reading in readings if reading.reason},
        clean_fraction=quality.clean_fraction,
        ok=quality.ok,
        quality_reasons=tuple(clean(reason) for reason in quality.reasons),
    )


def _striker(withheld: Sequence[str]) -> Callable[[str], str]:
    words = sorted((word for word in withheld if word), key=len, reverse=True)
    if not words:
        return lambda text: text
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words), re.IGNORECASE)
    return lambda text: pattern.sub(WITHHELD, text)


def _setup(config: TelemetryConfig, stop_sock: Path) -> Setup:
    return Setup(
        host=config.host,
        port=config.port,
        tls=config.tls,
        ca_file=config.ca_file,
        username=config.username,
        password_file=config.password_file,
        site=config.site,
        rig=config.rig,
        keepalive_s=config.keepalive_s,
        stop_sock=str(stop_sock),
    )


def _environment() -> dict[str, str]:
    """The process imports the packages that we are, wherever it is started."""
    own = str(Path(__file__).resolve().parents[2])
    rest = os.environ.get("PYTHONPATH", "")
    return os.environ | {"PYTHONPATH": f"{own}{os.pathsep}{rest}" if rest else own}


def _see_off(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(1.0)
