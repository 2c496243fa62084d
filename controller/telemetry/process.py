"""The telemetry process: frames in, MQTT out; a STOP request goes past all of it to the interlock."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Literal

import msgspec

from controller.telemetry.broker import BrokerError, CredentialsError, Received, Session, connected
from controller.telemetry.frames import (
    FRAME_BYTES_MAX,
    Bye,
    EventFrame,
    Frame,
    Notice,
    ReadingsFrame,
    Setup,
    StateFrame,
    decode,
    encode,
)
from controller.telemetry.outbox import Message, Outbox, Topic
from controller.telemetry.stop import Answer, read_request, stop, stop_unheard

VALID_S = 5.0  # a viewer shows an older status as "lost": a last will speaks late, or never
STATUS_EVERY_S = 2.0
BACKOFF_S = (0.25, 4.0)  # own choice: first and longest wait before another try
SETUP_S = 5.0
GOODBYE_S = 1.5  # with END_S: gone 2 s after the end of the feed, whatever the broker does
END_S = 1.9
OFFLINE_S = 0.7
AGAIN_S = 0.05
STOPS_MAX = 8  # that wait for an answer; one alone would do, for each of them stops everything
REFUSALS_MAX = 16  # acks of what was no STOP; counted apart, so that noise cannot take a STOP's room


class Telemetry:
    """One rig's telemetry, from the first frame to the end of the feed."""

    def __init__(self, setup: Setup, feed: socket.socket) -> None:
        self._setup = setup
        self._feed = feed
        self._prefix = f"{setup.site}/{setup.rig}"
        self._outbox = Outbox()
        self._filled = asyncio.Event()
        self._closing = asyncio.Event()
        self._stops: set[asyncio.Task[None]] = set()
        self._refusals: set[asyncio.Task[None]] = set()
        self._n_stops = 0
        self._session: Session | None = None
        self._state = StateFrame(t_ns=time.monotonic_ns(), phase="UNKNOWN", code="", text="")
        self._said_bye = False
        self._trouble = ""

    async def run(self) -> int:
        """Exit status: 0 after the end of the feed, 2 where the credentials cannot be used."""
        link = asyncio.create_task(self._link())
        feed = asyncio.create_task(self._read_feed())
        await asyncio.wait({link, feed}, return_when=asyncio.FIRST_COMPLETED)
        self.close()
        # A connect in paho's thread may hang longer than we may live.
        backstop = threading.Timer(END_S, os._exit, (0,))
        backstop.daemon = True
        backstop.start()
        await asyncio.wait({link, *self._stops}, timeout=GOODBYE_S)
        feed.cancel()
        if not link.done():
            os._exit(0)
        fault = link.result()
        if fault:
            self._notify(fault)
        return 2 if fault else 0

    def close(self) -> None:
        self._closing.set()
        self._filled.set()

    async def _read_feed(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = await loop.sock_recv(self._feed, FRAME_BYTES_MAX + 1)
            except OSError:
                return
            if not data:
                return
            try:
                self._frame(decode(data))
            except msgspec.MsgspecError:
                self._outbox.dropped += 1

    def _frame(self, frame: Frame) -> None:
        match frame:
            case ReadingsFrame():
                self._put("telemetry/readings", frame.t_ns, _body(frame))
            case StateFrame():
                self._state = frame
                self._put_state()
            case EventFrame():
                self._put("event", frame.t_ns, _body(frame))
            case Bye():
                self._said_bye = True
            case Setup():
                self._outbox.dropped += 1  # a second one: nothing here changes in mid-session

    async def _link(self) -> str:
        """Connect, serve, and again; returns why it gave up, or nothing once closing."""
        wait_s = BACKOFF_S[0]
        while not self._closing.is_set():
            try:
                will = self._message("status", {"state": "lost", "valid_s": VALID_S})
                async with connected(self._setup, self._prefix, will, "interlock/request") as session:
                    wait_s = BACKOFF_S[0]
                    await self._serve(session)
            except BrokerError as error:
                self._trouble = str(error)
            except CredentialsError as error:
                return str(error)
            self._session = None
            self._notify()
            try:
                async with asyncio.timeout(wait_s):
                    await self._closing.wait()
            except TimeoutError:
                wait_s = min(2 * wait_s, BACKOFF_S[1])
        return ""

    async def _serve(self, session: Session) -> None:
        self._session, self._trouble = session, ""
        self._put_status("online")
        self._put_state()
        closing = asyncio.create_task(self._closing.wait())
        works = {
            asyncio.create_task(work)
            for work in (self._publish(session), self._receive(session), self._tick_status())
        }
        try:
            done, _ = await asyncio.wait({closing, *works}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_all({closing, *works})
        for task in done & works:
            task.result()  # raises the BrokerError that ended it
        if self._closing.is_set():
            await self._say_goodbye(session)

    async def _say_goodbye(self, session: Session) -> None:
        """What is left of states and events, then offline; bounded, whatever the broker does."""
        self._state = StateFrame(t_ns=time.monotonic_ns(), phase="UNKNOWN", code="", text="no session")
        self._put_state()
        try:
            async with asyncio.timeout(OFFLINE_S):
                if self._stops:
                    await asyncio.wait(set(self._stops))
                while (message := self._outbox.take()) is not None:
                    if message.topic not in ("status", "telemetry/readings"):
                        await session.publish(message)
        except TimeoutError:
            pass  # offline is worth more than what was left
        reason = "session ended" if self._said_bye else "controller lost"
        offline = self._message("status", {"state": "offline", "reason": reason, "valid_s": VALID_S})
        await session.publish(offline, OFFLINE_S)

    async def _publish(self, session: Session) -> None:
        while True:
            message = self._outbox.take()
            if message is None:
                self._filled.clear()
                await self._filled.wait()
                continue
            try:
                await session.publish(message)
            except BrokerError:
                self._outbox.give_back(message)
                raise
            except asyncio.CancelledError:
                self._outbox.give_back(message)
                raise

    async def _receive(self, session: Session) -> None:
        async for received in session.received():
            self._request(received)

    def _request(self, received: Received) -> None:
        asked = read_request(received.payload)
        if asked.fault:
            answer = Answer(confirmed=False, ledger_seq=None, text=f"NOT CONFIRMED: {asked.fault}")
            if asked.request_id and len(self._refusals) < REFUSALS_MAX:
                _keep(self._refusals, asyncio.create_task(self._acknowledge(asked.request_id, answer)))
            return
        self._n_stops += 1
        if len(self._stops) < STOPS_MAX:
            _keep(self._stops, asyncio.create_task(self._stop(asked.request_id, received.retained)))
        else:
            stop_unheard(self._setup.stop_sock)  # never refused; only its answer has no room

    async def _stop(self, request_id: str, retained: bool) -> None:
        """A retained request is carried out too: STOP is never refused. But it is said, for it comes back."""
        answer = await stop(self._setup.stop_sock)
        if retained:
            text = f"{answer.text}; this request is retained by the broker and stops every session: clear it"
            answer = Answer(confirmed=answer.confirmed, ledger_seq=answer.ledger_seq, text=text)
        code = "confirmed" if answer.confirmed else "not_confirmed"
        self._put("event", time.monotonic_ns(), {"kind": "stop", "code": code, "text": answer.text})
        self._notify()
        await self._acknowledge(request_id, answer)

    async def _acknowledge(self, request_id: str, answer: Answer) -> None:
        """Straight to the broker, past all that waits; in line only if the connection is gone."""
        message = self._message("interlock/ack", {"request_id": request_id, **asdict(answer)})
        session = self._session
        try:
            if session is None:
                raise BrokerError("not connected")
            await session.publish(message)
        except BrokerError:
            self._outbox.put(message)
            self._filled.set()

    async def _tick_status(self) -> None:
        while True:
            self._notify()
            await asyncio.sleep(STATUS_EVERY_S)
            self._put_status("online")

    def _put_status(self, state: str) -> None:
        body = {
            "state": state,
            "valid_s": VALID_S,
            "dropped": self._outbox.dropped,
            "phase": self._state.phase,
        }
        self._put("status", time.monotonic_ns(), body)

    def _put_state(self) -> None:
        state = self._state
        body = {"phase": state.phase, "code": state.code, "text": state.text}
        self._put("interlock/state", state.t_ns, body)

    def _put(self, topic: Topic, t_ns: int, body: Mapping[str, object]) -> None:
        self._outbox.put(self._outbox.make(topic, t_ns, _now(), body))
        self._filled.set()

    def _message(self, topic: Topic, body: Mapping[str, object]) -> Message:
        now = _now()
        return self._outbox.make(topic, now[0], now, body)

    def _notify(self, failed: str = "") -> None:
        notice = Notice(
            connected=self._session is not None,
            trouble=self._trouble,
            dropped=self._outbox.dropped,
            n_stops=self._n_stops,
            failed=failed,
        )
        try:
            self._feed.send(encode(notice), socket.MSG_DONTWAIT)
        except OSError:
            pass  # nobody listens, or not now: the next one says the same


async def end_all(tasks: Iterable[asyncio.Task[None] | asyncio.Task[Literal[True]]]) -> None:
    """Cancel until every one has ended. Once is not enough: before Python 3.12 `asyncio.wait_for`, which aiomqtt uses,
    swallows a cancellation that comes together with the answer it waits for (cpython#86296)."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # it is looked at elsewhere, or by nobody


def serve(fd: int) -> int:
    """The whole life of the process. 0: the feed ended; 2: it could not begin, or its credentials fail."""
    try:
        feed = socket.socket(fileno=fd)
        feed.settimeout(SETUP_S)
        setup = decode(feed.recv(FRAME_BYTES_MAX))
    except (OSError, ValueError):
        return 2
    if not isinstance(setup, Setup):
        return 2
    feed.setblocking(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor; our end is the feed's end
    with feed:
        return asyncio.run(_run(setup, feed))


async def _run(setup: Setup, feed: socket.socket) -> int:
    telemetry = Telemetry(setup, feed)
    close: Callable[[], None] = telemetry.close
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, close)
    return await telemetry.run()


def _now() -> tuple[int, datetime]:
    return time.monotonic_ns(), datetime.now(UTC)


def _body(frame: ReadingsFrame | EventFrame) -> dict[str, object]:
    fields = msgspec.structs.asdict(frame)
    del fields["t_ns"]  # it is the head's t_mono_ns
    return fields


def _keep(tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    tasks.add(task)
    task.add_done_callback(tasks.discard)
