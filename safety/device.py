"""The device host under deadlines: its process, its socket, and the bytes of STOP encoded beforehand."""

from __future__ import annotations

import socket
import subprocess
import sys

from drivers.link import (
    FRAME_BYTES_MAX,
    FrameError,
    FromHost,
    StopDevice,
    ToHost,
    frame,
    from_host,
)
from drivers.stimulator import Stop
from safety.framed import Framed

READ_BYTES = 65_536
UNSENT_MAX = 262_144


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
        self._link = Framed(
            ours, read_bytes=READ_BYTES, frame_bytes_max=FRAME_BYTES_MAX, unsent_max=UNSENT_MAX
        )
        self._stop_bytes = frame(StopDevice(call=0, how=how))

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        return self._link.fileno()

    def stop_at_once(self) -> None:
        """The STOP path: bytes that were encoded beforehand, and nothing else. Never raises: a host that is gone or
        stuck is the relay's, which the step that follows opens."""
        self._link.send_first(self._stop_bytes)

    def send(self, message: ToHost) -> None:
        """Send a message; raises LinkGone."""
        self._link.send(message)

    def flush(self) -> None:
        """Send what is left; raises LinkGone."""
        self._link.flush()

    def said(self) -> list[FromHost]:
        """The messages that have come; raises LinkGone at the end of the link, FrameError for what cannot be read."""
        bodies = self._link.bodies()
        try:
            return [from_host.decode(body) for body in bodies]
        except (ValueError, TypeError) as error:
            raise FrameError(str(error)) from error

    def kill(self) -> None:
        """Close the link and kill it, without waiting: `close` reaps it when there is time."""
        self._link.close()
        self._process.kill()

    def close(self, wait_s: float) -> None:
        """Close the link, which the host takes as stop and end; kill it when it does not end in time."""
        self._link.close()
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            try:
                self._process.wait(1.0)
            except subprocess.TimeoutExpired:
                pass  # it hangs inside the kernel; the relay is open, and nothing more can be done to it from here
