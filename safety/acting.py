"""A named person at the acts socket: ask for the status, sign, present the act. Blocking, bounded."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from drivers.link import FrameBuffer, FrameError, frame
from safety.acts import reason_problem, sign
from safety.messages import ActResult, AskStatus, FromActs, StatusReport

ANSWER_S = 6.0  # arming waits for the relay's proof test and for the device's output stage

_decoder: msgspec.json.Decoder[FromActs] = msgspec.json.Decoder(FromActs)


class NoAnswer(Exception):
    """The interlock does not answer at its acts socket: one line."""


class ActsLine:
    """A connection to the acts socket."""

    def __init__(self, path: Path) -> None:
        """Connect; raises NoAnswer."""
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_S)
        self._buffer = FrameBuffer()
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise NoAnswer(f"{path}: {error.strerror}; is a session running on this rig?") from error

    def status(self) -> StatusReport:
        """Phase, what is missing, and the nonce of the next act; raises NoAnswer."""
        answer = self._exchange(AskStatus())
        if not isinstance(answer, StatusReport):
            raise NoAnswer(f"{self._path}: answered {type(answer).__name__}, expected a status")
        return answer

    def act(
        self, kind: Literal["arm", "reset"], person: str, key: Ed25519PrivateKey, reason: str, valid_s: float
    ) -> ActResult:
        """Sign an act for the present session and nonce, and present it. An arming lasts until `valid_s` from now."""
        problem = reason_problem(reason)
        if problem:
            raise NoAnswer(problem)
        status = self.status()
        act = sign(
            key,
            act=kind,
            person=person,
            session_id=status.session_id,
            nonce=status.nonce,
            reason=reason,
            expires_wall_ns=time.time_ns() + round(valid_s * 1e9),
        )
        answer = self._exchange(act)
        if not isinstance(answer, ActResult):
            raise NoAnswer(f"{self._path}: answered {type(answer).__name__}, expected a result")
        return answer

    def close(self) -> None:
        self._socket.close()

    def _exchange(self, message: msgspec.Struct) -> FromActs:
        try:
            self._socket.sendall(frame(message))
            while True:
                data = self._socket.recv(65_536)
                if not data:
                    raise NoAnswer(f"{self._path}: the interlock closed the connection")
                for body in self._buffer.feed(data):
                    return _decoder.decode(body)
        except (OSError, FrameError, ValueError) as error:
            raise NoAnswer(f"{self._path}: {error}") from error
