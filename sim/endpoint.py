"""Where an emulated device can be reached: a TCP port or a pseudo-terminal, one client at a time."""

from __future__ import annotations

import os
import pty
import socket
import termios
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sim.shell import Shell, UseError, accept, receive

_BACKLOG_BYTES_MAX = (
    65_536  # own choice: seconds of the densest events; a client slower than that loses lines
)

OnData = Callable[[bytes, int], None]


class Endpoint(Protocol):
    """One serial line, whatever carries it."""

    @property
    def name(self) -> str:
        """As a driver's table names it: `tcp:HOST:PORT` or `serial:PATH`."""
        ...

    def send(self, data: bytes) -> None:
        """Send what can be sent; never blocks, and nobody listening is no error."""
        ...

    def close(self) -> None:
        """The port is gone."""
        ...


class TcpEndpoint:
    """A listening TCP port; a second client is turned away."""

    def __init__(self, shell: Shell, address: str, *, on_data: OnData, on_client: Callable[[], None]) -> None:
        self._shell = shell
        self._on_data = on_data
        self._on_client = on_client
        self._client: socket.socket | None = None
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise UseError(f"--tcp {address}: expected HOST:PORT, port 0 for any")
        try:
            self._server = socket.create_server((host, int(port)), backlog=1)
        except OSError as error:
            raise UseError(f"--tcp {address}: cannot listen there ({error.strerror})") from error
        self._server.setblocking(False)
        self.name = f"tcp:{host}:{self._server.getsockname()[1]}"
        shell.watch(self._server, self._accept)

    def send(self, data: bytes) -> None:
        """One segment, at once; a client that does not read loses lines, one that is gone is let go."""
        if self._client is None:
            return
        try:
            sent = self._client.send(data)
        except BlockingIOError:
            return
        except OSError:
            self._lose()
            return
        if sent < len(data):
            self._lose()  # half a line in a full buffer: the client has read nothing for very long

    def close(self) -> None:
        """Close client and port."""
        self._lose()
        if self._server.fileno() >= 0:
            self._shell.unwatch(self._server)
            self._server.close()

    def _accept(self) -> None:
        self._read()  # a client that is gone makes room for the next
        client = accept(self._server, full=self._client is not None)
        if client is None:
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BACKLOG_BYTES_MAX)
        self._client = client
        self._on_client()
        self._shell.watch(client, self._read)

    def _read(self) -> None:
        if self._client is None:
            return
        data = receive(self._client)
        now_ns = self._shell.clock.now_ns()
        if data:
            self._on_data(data, now_ns)
        elif data is not None:
            self._lose()

    def _lose(self) -> None:
        if self._client is not None:
            self._shell.unwatch(self._client)
            self._client.close()
            self._client = None


class PtyEndpoint:
    """A pseudo-terminal. It carries bytes only: no baud errors, no parity, no modem lines.

    Who opens it may first read what was said while nobody had it open, as with many a USB serial device.
    """

    def __init__(self, shell: Shell, link: Path | None, *, on_data: OnData) -> None:
        self._shell = shell
        self._on_data = on_data
        # The far end stays open here as well, so that the line keeps its raw mode between two clients.
        self._near, self._far = pty.openpty()
        tty.setraw(self._far, termios.TCSANOW)
        os.set_blocking(self._near, False)
        self._link = link
        self.name = f"serial:{os.ttyname(self._far)}"
        if link is not None:
            if link.is_symlink():
                link.unlink()
            try:
                link.symlink_to(os.ttyname(self._far))
            except OSError as error:
                raise UseError(f"--link {link}: cannot be made ({error.strerror})") from error
        shell.watch(self._near, self._read)

    def send(self, data: bytes) -> None:
        """Into the line's buffer; what does not fit is lost, as on a serial port."""
        if self._near < 0:
            return
        try:
            os.write(self._near, data)
        except OSError:
            return

    def close(self) -> None:
        """Both ends; a driver that has it open sees EIO."""
        if self._near < 0:
            return
        self._shell.unwatch(self._near)
        os.close(self._near)
        os.close(self._far)
        self._near = self._far = -1
        if self._link is not None:
            self._link.unlink(missing_ok=True)

    def _read(self) -> None:
        try:
            data = os.read(self._near, 4096)
        except OSError:
            return
        self._on_data(data, self._shell.clock.now_ns())
