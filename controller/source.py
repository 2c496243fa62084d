"""Source: what the loop reads from; Silence, and the errors by which a stream ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, Self

from pydantic import Field, StringConstraints, model_validator

from controller.config import Config
from controller.eeg import Block, StreamSpec

Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=40)]
Unit = Literal["µV", "uV", "microvolts", "nV", "mV", "V", "volts"]


class SourceConfig(Config):
    """`[source]`: which LSL stream, and what it must be. All that is given must hold.

    `labels` name the channels, in order, of a stream that names none; `unit` is for a stream that says none.
    A stamp that is ahead by more than `jitter_ms`, and by more than three samples, means lost samples.
    After `silence_ms` without a sample the loop is told; what may be done then stands in limits.toml.
    """

    source_id: Text | None = None
    name: Text | None = None
    type: Text | None = None
    sfreq_hz: float = Field(ge=20, le=100_000)
    channels: Literal["all"] | Annotated[tuple[Label, ...], Field(min_length=1, max_length=1024)] = "all"
    labels: Annotated[tuple[Label, ...], Field(max_length=1024)] = ()
    unit: Unit | None = None
    lost: Literal["end", "pause"] = "end"
    resolve_s: float = Field(default=10.0, ge=0.5, le=120)
    silence_ms: int = Field(default=100, ge=10, le=5000)
    jitter_ms: int = Field(default=0, ge=0, le=200)

    @model_validator(mode="after")
    def _names_a_stream_and_channels_once(self) -> Self:
        if self.source_id is None and self.name is None and self.type is None:
            raise ValueError(
                "names no stream, expected at least one of source_id, name, type "
                '("nociloop streams" prints the lines to paste)'
            )
        for key, names in (("channels", self.channels), ("labels", self.labels)):
            twice = sorted({name for name in names if names.count(name) > 1}) if names != "all" else []
            if twice:
                raise ValueError(f"{key} has {', '.join(twice)} twice, expected each channel once")
        return self


class SourceError(Exception):
    """A Source that cannot be used: a line each with what was found, what was expected, what to do."""

    exit_status = 3


class StreamLost(SourceError):
    """The stream ended or stopped making sense while in use. It is never re-attached to.

    `code` is `lost` (the sender is gone), `clock` (time stamps jumped) or `fault` (the reader itself failed).
    """

    exit_status = 4

    def __init__(self, code: Literal["lost", "clock", "fault"], text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """No sample within the data-age limit; said again once every limit for as long as it lasts."""

    since_ns: int
    now_ns: int


class Source(Protocol):
    """Where Blocks come from. `open` identifies the stream; `close` is bounded and may be called twice."""

    async def open(self) -> StreamSpec: ...

    def blocks(self) -> AsyncIterator[Block | Silence]: ...

    async def close(self) -> None: ...
