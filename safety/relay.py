"""The relay: the second, independent way to zero. A few bytes on a descriptor that was opened before arming."""

from __future__ import annotations

import socket

CONNECT_S = 2.0
PET, OPEN = b"P", b"X"
CLOSED_REPLY, OPEN_REPLY = 0x43, 0x4F  # "C", "O": the feedback contact


class RelayError(Exception):
    """The relay of the limits cannot be reached: one line with what to do."""


class Relay:
    """A watchdog relay behind a Unix socket. Nothing here blocks once it is connected."""

    def __init__(self, endpoint: str) -> None:
        """Connect to `unix:/path`; raises RelayError."""
        kind, _, path = endpoint.partition(":")
        if kind != "unix":
            raise RelayError(f"relay.endpoint: found {endpoint}, expected unix:/path")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(CONNECT_S)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise RelayError(
                f"relay at {endpoint}: {error.strerror or error}; start it, or correct [relay]"
            ) from error
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """The descriptor, for the selector."""
        return self._socket.fileno()

    def pet(self) -> bool:
        """Keep it closed; False when the line is gone."""
        return self._send(PET)

    def open(self) -> bool:
        """Open it at once; False when the line is gone (which opens it, too)."""
        return self._send(OPEN)

    def _send(self, data: bytes) -> bool:
        try:
            self._socket.send(data)
        except BlockingIOError:
            return True  # a relay that does not read opens by its own silence, and its feedback goes missing
        except OSError:
            return False
        return True

    def said(self) -> list[bool] | None:
        """The feedback since the last call, True for closed; None when the line is gone."""
        try:
            data = self._socket.recv(4096)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        return [byte == CLOSED_REPLY for byte in data if byte in (CLOSED_REPLY, OPEN_REPLY)]

    def close(self) -> None:
        """Let go of the line: the relay opens."""
        self._socket.close()
