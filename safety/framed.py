"""A connected socket that carries frames and never blocks: what is not taken yet is kept, bounded. Shell, no decisions."""

from __future__ import annotations

import socket

import msgspec

from drivers.link import FrameBuffer, frame


class LinkGone(Exception):
    """The far end closed the connection, broke it, or reads no more."""


class Framed:
    """Frames in, frames out. `read_bytes`: what one turn of the loop reads; `unsent_max`: what may wait to be taken."""

    def __init__(
        self, connection: socket.socket, *, read_bytes: int, frame_bytes_max: int, unsent_max: int
    ) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._read_bytes = read_bytes
        self._unsent_max = unsent_max
        self._buffer = FrameBuffer(frame_bytes_max)
        self._unsent = bytearray()

    def fileno(self) -> int:
        return self._socket.fileno()

    def bodies(self) -> list[bytes]:
        """The frame bodies that have come; raises LinkGone at the end, FrameError on an impossible length."""
        try:
            data = self._socket.recv(self._read_bytes)
        except BlockingIOError:
            return []
        except OSError as error:
            raise LinkGone(error.strerror or "connection broken") from error
        if not data:
            raise LinkGone("connection closed")
        return self._buffer.feed(data)

    def send(self, message: msgspec.Struct) -> None:
        """Send a message; raises LinkGone."""
        self._unsent += frame(message)
        self.flush()

    def send_first(self, data: bytes) -> None:
        """Send bytes that were framed beforehand, if nothing waits before them. Never raises."""
        try:
            if not self._unsent:
                sent = self._socket.send(data)
                self._unsent += data[sent:]
        except OSError:
            pass  # whoever sends it has a second way, and learns of the end when it reads

    @property
    def all_sent(self) -> bool:
        """Whether nothing waits to be taken."""
        return not self._unsent

    def flush(self) -> None:
        """Send what is left; raises LinkGone."""
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            if len(self._unsent) > self._unsent_max:
                raise LinkGone("reads no more") from None
        except OSError as error:
            raise LinkGone(error.strerror or "connection broken") from error

    def close(self) -> None:
        self._socket.close()
