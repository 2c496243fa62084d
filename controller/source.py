"""Source: what the loop reads from; Silence, and the errors by which a stream ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from controller.eeg import Block, StreamSpec


class SourceError(Exception):
    """A Source that cannot be used: one line with what was found, what was expected, what to do."""

    exit_status = 3


class StreamLost(SourceError):
    """The stream ended or stopped making sense while in use. It is never re-attached to.

    `code` is `lost` (the sender is gone), `clock` (time stamps jumped) or `fault` (the reader itself failed).
    """

    exit_status = 4

    def __init__(self, code: str, text: str) -> None:
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
