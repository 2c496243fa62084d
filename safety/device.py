"""The device host under deadlines: its process, its socket, and the bytes of STOP encoded beforehand."""

from __future__ import annotations

import socket
import subprocess
import sys

from drivers.link import FrameBuffer, FrameError, FromHost, StopDevice, ToHost, frame, from_host
from drivers.stimulator import Stop

BUFFER_MAX = 262_144


class HostLost(Exception):
    """The host's link ended, or it takes nothing more."""


class DeviceHost:
    """A spawned device host. Sending never blocks; what it does not take is bounded, then it counts as lost."""

    def __init__(self, how: Stop) -> None:
        """Spawn it on an inherited socket pair: there is no path on which another could pretend to be it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "drivers.host", "--fd", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        ours.setblocking(False)
        self._socket = ours
        self._buffer = FrameBuffer()
        self._unsent = bytearray()
        self._stop_bytes = frame(StopDevice(call=0, how=how))

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        return self._socket.fileno()

    def stop_at_once(self) -> None:
        """The STOP path: bytes that were encoded beforehand, and nothing else. Never raises."""
        try:
            if not self._unsent:
                sent = self._socket.send(self._stop_bytes)
                self._unsent += self._stop_bytes[sent:]
        except OSError:
            pass  # a host that is gone or stuck is the relay's: the step that follows opens it

    def send(self, message: ToHost) -> None:
        """Send a message; raises HostLost."""
        self._unsent += frame(message)
        self.flush()

    def flush(self) -> None:
        """Send what is left; raises HostLost."""
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            if len(self._unsent) > BUFFER_MAX:
                raise HostLost("takes no more messages") from None
        except OSError as error:
            raise HostLost(error.strerror or "link broken") from error

    def said(self) -> list[FromHost]:
        """The messages that have come; raises HostLost at the end of the link, FrameError for what cannot be read."""
        try:
            data = self._socket.recv(65_536)
        except BlockingIOError:
            return []
        except OSError as error:
            raise HostLost(error.strerror or "link broken") from error
        if not data:
            raise HostLost("its process ended")
        bodies = self._buffer.feed(data)
        try:
            return [from_host.decode(body) for body in bodies]
        except (ValueError, TypeError) as error:
            raise FrameError(str(error)) from error

    def kill(self) -> None:
        """Close the link and kill it, without waiting: `close` reaps it when there is time."""
        self._socket.close()
        self._process.kill()

    def close(self, wait_s: float) -> None:
        """Close the link, which the host takes as stop and end; kill it when it does not end in time."""
        self._socket.close()
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            try:
                self._process.wait(1.0)
            except subprocess.TimeoutExpired:
                pass  # it hangs inside the kernel; the relay is open, and nothing more can be done to it from here
