"""What the controller tells the telemetry process, and what it hears back; one JSON object a datagram."""

from __future__ import annotations

import msgspec

from drivers.stimulation import Value

FRAME_BYTES_MAX = 60_000  # own choice: below the socket's buffer, above any frame of 200 biomarkers


class Setup(Value, frozen=True, tag="setup"):
    """The first frame. The password itself never passes: the process reads the file."""

    host: str
    port: int
    tls: bool
    ca_file: str
    username: str
    password_file: str
    site: str
    rig: str
    keepalive_s: int
    stop_sock: str


class ReadingsFrame(Value, frozen=True, tag="readings"):
    """One Cycle's Readings; a value that is none is null and has its reason."""

    t_ns: int
    index: int
    sample_ns: int
    values: dict[str, float | None]
    units: dict[str, str]
    reasons: dict[str, str]
    clean_fraction: float | None
    ok: bool
    quality_reasons: tuple[str, ...]


class StateFrame(Value, frozen=True, tag="state"):
    t_ns: int
    phase: str
    code: str
    text: str


class EventFrame(Value, frozen=True, tag="event"):
    t_ns: int
    kind: str
    code: str
    text: str


class Bye(Value, frozen=True, tag="bye"):
    """The session ended as meant; an end of file without it means that the controller was lost."""


Frame = Setup | ReadingsFrame | StateFrame | EventFrame | Bye


class Notice(Value, frozen=True, tag="notice"):
    """The process about itself. `dropped`: what its own queue lost; `trouble`: why it is not connected;
    `failed`: why it ends before its time.
    """

    connected: bool
    trouble: str
    dropped: int
    n_stops: int
    failed: str


def encode(frame: Frame | Notice) -> bytes:
    return msgspec.json.encode(frame)


def decode(data: bytes) -> Frame:
    """Raises msgspec.MsgspecError (a ValueError) on anything else."""
    frame: Frame = msgspec.json.decode(data, type=Frame)
    return frame


def decode_notice(data: bytes) -> Notice:
    return msgspec.json.decode(data, type=Notice)
