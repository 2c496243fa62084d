"""The controller's only door (the one file here that may use asyncio).

Verdicts come to whoever asked; what the interlock says unasked goes to `heard`, in order. Nothing here waits for long:
a verdict that does not come within its deadline raises, and the interlock will have noticed the same silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec

from drivers.link import FrameBuffer, FrameError, frame
from safety.messages import (
    Allowed,
    DeliveryReport,
    End,
    FireRequest,
    FromInterlock,
    Heartbeat,
    Hello,
    Pause,
    Pending,
    Permit,
    PhaseChanged,
    Refusal,
    Request,
    ToInterlock,
    Trip,
    Welcome,
)

Verdict = Permit | Pending | Refusal | Trip
Heard = Permit | Refusal | Trip | PhaseChanged | DeliveryReport
VERDICT_S = 0.1

_decoder: msgspec.json.Decoder[FromInterlock] = msgspec.json.Decoder(FromInterlock)


class InterlockLost(Exception):
    """The interlock's connection ended or it did not answer: nothing may be asked any more."""


class InterlockClient(asyncio.Protocol):
    """The controller's connection. `allowed` is what the interlock last said it would permit."""

    def __init__(self, heard: Callable[[Heard], None]) -> None:
        self._heard = heard
        self._buffer = FrameBuffer()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[Verdict]] = {}
        self._welcome: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()
        self._lost: str = ""
        self._gone = asyncio.Event()
        self.allowed: Allowed | None = None
        self.phase: str = "SAFE"

    @classmethod
    async def connect(
        cls, path: Path, hello: Hello, heard: Callable[[Heard], None], wait_s: float
    ) -> InterlockClient:
        """Connect, introduce ourselves and wait for the welcome; raises InterlockLost."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(wait_s):
                _, client = await loop.create_unix_connection(lambda: cls(heard), str(path))
                client._send(hello)
                await client._welcome
        except TimeoutError:
            raise InterlockLost(f"interlock at {path}: no welcome within {wait_s:g} s") from None
        except OSError as error:
            raise InterlockLost(f"interlock at {path}: {error.strerror}") from error
        return client

    def beat(self, heartbeat: Heartbeat) -> None:
        """Send a heartbeat; never waits. Raises InterlockLost."""
        self._send(heartbeat)

    def pause(self, reason: str) -> None:
        """Ramp down and disarm; a person must arm again."""
        self._send(Pause(reason=reason))

    def end(self, reason: str) -> None:
        """Ramp down, disarm; the session is over."""
        self._send(End(reason=reason))

    def close(self) -> None:
        """Close the connection, which the interlock takes as the controller's end."""
        if self._transport is not None:
            self._transport.close()

    async def ended(self, wait_s: float) -> bool:
        """Wait until the interlock has closed the connection, which it does at zero; whether it did in time."""
        try:
            async with asyncio.timeout(wait_s):
                await self._gone.wait()
        except TimeoutError:
            return False
        return True

    @property
    def lost(self) -> str:
        """Why the connection ended; empty while it stands."""
        return self._lost

    def ask(self, message: Request | FireRequest) -> Coroutine[None, None, Verdict]:
        """Send at once, and hand back what must be awaited for the verdict. Raises InterlockLost."""
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting[message.id] = answer
        try:
            self._send(message)
        except InterlockLost:
            del self._waiting[message.id]
            raise
        return self._verdict(message.id, answer)

    async def _verdict(self, key: int, answer: asyncio.Future[Verdict]) -> Verdict:
        try:
            async with asyncio.timeout(VERDICT_S):
                return await answer
        except TimeoutError:
            raise InterlockLost(f"no verdict on request {key} within {VERDICT_S * 1000:.0f} ms") from None
        finally:
            self._waiting.pop(key, None)

    def _send(self, message: ToInterlock) -> None:
        if self._transport is None or self._lost:
            raise InterlockLost(self._lost or "not connected")
        self._transport.write(frame(message))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._buffer.feed(data):
                self._take(_decoder.decode(body))
        except (FrameError, ValueError, TypeError) as error:
            self.connection_lost(error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._lost or (str(exc) if exc else "the interlock closed the connection")
        self._gone.set()
        lost = InterlockLost(self._lost)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(lost)
        if not self._welcome.done():
            self._welcome.set_exception(lost)
        if self._welcome.done() and not self._welcome.cancelled():
            self._welcome.exception()  # seen: it is told through `lost` from now on

    def _take(self, message: FromInterlock) -> None:
        match message:
            case Welcome():
                self._allow(message.allowed)
                self.phase = message.phase
                if not self._welcome.done():
                    self._welcome.set_result(message)
            case Allowed():
                self._allow(message)
            case Permit() | Refusal():
                self._allow(message.allowed)
                self._answer(message.id, message)
            case Pending():
                self._answer(message.id, message)
            case Trip():
                for key in list(self._waiting):
                    self._answer(key, message)
                self._heard(message)
            case PhaseChanged():
                self.phase = message.phase
                self._heard(message)
                if not self._welcome.done() and message.code:
                    self._welcome.set_exception(InterlockLost(f"{message.code} {message.text}"))
            case DeliveryReport():
                self._allow(message.allowed)
                self._heard(message)

    def _allow(self, allowed: Allowed) -> None:
        if not allowed.rows and self.allowed is not None:
            allowed = msgspec.structs.replace(allowed, rows=self.allowed.rows)
        self.allowed = allowed

    def _answer(self, key: int, verdict: Verdict) -> None:
        answer = self._waiting.get(key)
        if answer is not None and not answer.done():
            answer.set_result(verdict)
        elif isinstance(verdict, Permit | Refusal):
            self._heard(verdict)
