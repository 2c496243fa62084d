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
# of each turn and not the time of STOP: five of the shortest requests, of which the costliest take a millisecond each.
CONTROLLER_BYTES = 1024
PERSON_BYTES = 1024
_CREDENTIALS = struct.Struct("3i")
SO_PEERGROUPS = 59  # socket(7), since Linux 4.13; Python has no name for it
GROUPS_BYTES = (
    1024  # the most that Python reads: who is in more than 256 groups is not taken for a member of any
)


class Peer(Framed):
    """One accepted connection, and whose it is."""

    def __init__(self, connection: socket.socket, read_bytes: int) -> None:
        super().__init__(
            connection, read_bytes=read_bytes, frame_bytes_max=FRAME_BYTES_MAX, unsent_max=UNSENT_MAX
        )
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.pid, self.uid, gid = _CREDENTIALS.unpack(raw)
        self.groups = frozenset({gid, *_groups(connection)})

    def trusted(self, group: int | None) -> bool:
        """Whether it may ask or act: run by the interlock's own user, by root, or by a member of the site's group. It
        is the kernel that says so, as of the moment of connecting."""
        return self.uid in (os.getuid(), 0) or (group is not None and group in self.groups)


def _groups(connection: socket.socket) -> tuple[int, ...]:
    """The supplementary groups of the far end; none where the kernel does not tell."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, GROUPS_BYTES)
    except OSError:
        return ()
    return struct.unpack(f"{len(raw) // 4}I", raw)


class Door:
    """A listening Unix socket. A spare descriptor makes sure that a connection can be taken when none are left."""

    def __init__(self, path: Path, mode: int, group: int | None = None) -> None:
        """Bind and listen. The process's umask lets nobody in before the mode is set; raises OSError."""
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        if group is not None:
            os.chown(path, -1, group)
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
