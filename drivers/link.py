"""Frames and messages of the device host.

A frame is a 4-byte big-endian length and that many bytes of JSON. `FrameBuffer` is pure: bytes to bodies.
Every call carries an id that its answer repeats, so that the interlock can hold each one to a deadline.
"""

from __future__ import annotations

import msgspec

from drivers.capabilities import Capabilities
from drivers.stimulation import Delivery, Train, Value
from drivers.stimulator import DeviceStatus, Stop

FRAME_BYTES_MAX = 65_536
_HEADER = 4


class FrameError(Exception):
    """A frame that cannot be: too large, or not of the declared type. Its link is not trusted any more."""


class FrameBuffer:
    """Cuts a byte stream into frame bodies; refuses an oversized one before buffering it."""

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._data = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes and return the bodies now complete; raises FrameError on an impossible length."""
        self._data += data
        bodies = []
        while len(self._data) >= _HEADER:
            length = int.from_bytes(self._data[:_HEADER], "big")
            if not 0 < length <= self._bytes_max:
                raise FrameError(f"frame of {length} bytes, expected 1 to {self._bytes_max}")
            if len(self._data) < _HEADER + length:
                break
            bodies.append(bytes(self._data[_HEADER : _HEADER + length]))
            del self._data[: _HEADER + length]
        return bodies


def frame(message: msgspec.Struct) -> bytes:
    """A message as the bytes that go over the socket."""
    body = msgspec.json.encode(message)
    return len(body).to_bytes(_HEADER, "big") + body


class OpenDevice(Value, frozen=True, tag="open"):
    """Make the driver from its table and connect. `silence_ms`: how long the host goes on unheard."""

    call: int
    driver: str
    table: dict[str, str | int | float | bool]
    silence_ms: int


class ArmDevice(Value, frozen=True, tag="arm"):
    call: int


class Prepare(Value, frozen=True, tag="prepare"):
    call: int
    train: Train


class Fire(Value, frozen=True, tag="fire"):
    """Start a prepared token at `onset_at_ns`, 0 for at once."""

    call: int
    token: int
    onset_at_ns: int


class StopDevice(Value, frozen=True, tag="stop"):
    call: int
    how: Stop


class Poll(Value, frozen=True, tag="poll"):
    """Ask for the status; the one keep-alive there is, sent by the interlock's tick alone."""

    call: int


class CloseDevice(Value, frozen=True, tag="close"):
    call: int


ToHost = OpenDevice | ArmDevice | Prepare | Fire | StopDevice | Poll | CloseDevice


class Opened(Value, frozen=True, tag="opened"):
    """`distribution` and `version` name the package that the driver came from, for the allow-list."""

    call: int
    capabilities: Capabilities
    distribution: str
    version: str


class Done(Value, frozen=True, tag="done"):
    """The call arm, stop or close succeeded at `at_ns`."""

    call: int
    at_ns: int


class Prepared(Value, frozen=True, tag="prepared"):
    """`read_back` is what the device holds now, by its own word."""

    call: int
    token: int
    read_back: Train
    at_ns: int


class Fired(Value, frozen=True, tag="fired"):
    call: int
    token: int
    onset_ns: int
    at_ns: int


class Status(Value, frozen=True, tag="status"):
    call: int
    status: DeviceStatus


class Delivered(Value, frozen=True, tag="delivered"):
    delivery: Delivery


class CallFailed(Value, frozen=True, tag="failed"):
    """A typed driver error: `code` as in `drivers.stimulator`, `text` its one line."""

    call: int
    code: str
    text: str


FromHost = Opened | Done | Prepared | Fired | Status | Delivered | CallFailed

to_host = msgspec.json.Decoder(ToHost)
from_host = msgspec.json.Decoder(FromHost)
