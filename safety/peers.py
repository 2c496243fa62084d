"""Connections from the controller and from persons: accepted by their credentials, cut into frames. Shell, no decisions."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

from drivers.link import FrameError
from safety.framed import Framed, LinkGone

FRAME_BYTES_MAX = 16_384  # the longest message of a controller is a Request of about 600 bytes
UNSENT_MAX = 1_048_576
BACKLOG = 1024  # of connections that wait for the next turn; the kernel refuses what comes beyond it
# What one turn of the loop reads of one connection. Small, so that whoever writes without end takes a few milliseconds
# of each turn and not the time of STOP: a frame costs up to a tenth of one.
CONTROLLER_BYTES = 4096
PERSON_BYTES = 1024
_CREDENTIALS = struct.Struct("3i")


class Peer(Framed):
    """One accepted connection, and whose it is."""

    def __init__(self, connection: socket.socket, read_bytes: int) -> None:
        super().__init__(
            connection, read_bytes=read_bytes, frame_bytes_max=FRAME_BYTES_MAX, unsent_max=UNSENT_MAX
        )
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.pid, self.uid, _gid = _CREDENTIALS.unpack(raw)

    def trusted(self) -> bool:
        """Whether it is run by the interlock's own user or by root: nobody else may ask or act."""
        return self.uid in (os.getuid(), 0)


class Door:
    """A listening Unix socket. A spare descriptor makes sure that a connection can be taken when none are left."""

    def __init__(self, path: Path, mode: int) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        path.chmod(mode)
        self._socket.listen(BACKLOG)
        self._socket.setblocking(False)
        self._spare = -1
        self.keep_spare()

    def fileno(self) -> int:
        return self._socket.fileno()

    def accept(self) -> socket.socket | None:
        """The next connection, or None when it went away again."""
        for _ in range(2):
            try:
                return self._socket.accept()[0]
            except BlockingIOError:
                return None
            except OSError:
                self._spend_spare()  # out of descriptors, most likely: give one up and try once more
        return None

    def keep_spare(self) -> None:
        """Have a spare again, if there is room: a second name of the socket itself, for which no file is opened."""
        if self._spare < 0:
            try:
                self._spare = os.dup(self._socket.fileno())
            except OSError:
                pass  # as long as there is none, accept has none to spend

    def _spend_spare(self) -> None:
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def close(self) -> None:
        """Close it, and take its name away: a rig that has ended is not to be found."""
        self._spend_spare()
        self._socket.close()
        self._path.unlink(missing_ok=True)


__all__ = ["CONTROLLER_BYTES", "FRAME_BYTES_MAX", "PERSON_BYTES", "Door", "FrameError", "LinkGone", "Peer"]
