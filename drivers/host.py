"""The device host: one driver, in a process of its own, under deadlines.

`python -m drivers.host --fd N` takes a connected Unix stream socket from the interlock that spawned it. Calls run
one after another; a stop goes past all of them. Whatever ends the link ends the output: end of file, a frame that
cannot be, silence, a signal.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from drivers.hosted import CALL_S, CLOSE_S, Hosted, one_line
from drivers.link import (
    CallFailed,
    CloseDevice,
    Delivered,
    Done,
    Fire,
    FrameBuffer,
    FrameError,
    FromHost,
    OpenDevice,
    Opened,
    StopDevice,
    ToHost,
    frame,
    to_host,
)
from drivers.registry import find
from drivers.stimulation import Delivery
from drivers.stimulator import DeviceSilent, Stimulator, StimulatorError, Superseded, WrongState

OPEN_S = 12.0  # above the longest that a driver may be told to wait for its device
# A cancelled call that has not returned after this never will: the driver is asked nothing more but to stop.
STUCK_S = 0.2
LAST_BYTES_S = 0.2
WAITING_MAX = 16
UNSENT_BYTES_MAX = 262_144

Finder = Callable[[str], tuple[type[Stimulator], str, str]]


@dataclass(slots=True, kw_only=True)
class _Call:
    """A call under way. It is answered once: by the driver, or by its deadline."""

    message: ToHost
    answered: bool = False
    task: asyncio.Task[None] | None = None
    deadline: asyncio.TimerHandle | None = None


class Host(asyncio.Protocol):
    """Frames from the interlock to calls of the driver, and back."""

    def __init__(self, finder: Finder) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._finder = finder
        self._transport: asyncio.Transport | None = None
        self._disconnected = self._loop.create_future()
        self._frames = FrameBuffer()
        self._hosted: Hosted | None = None
        self._call: _Call | None = None
        self._waiting: deque[ToHost] = deque()
        self._stops: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None
        self._stuck = ""
        self._heard_ns = 0
        self._silence_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"{type(transport).__name__} cannot both read and write")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by asyncio: whole frames are acted on at once, in this very turn of the loop."""
        self._heard_ns = time.monotonic_ns()
        if self._ending is not None:
            return
        try:
            for body in self._frames.feed(data):
                self._take(to_host.decode(body))
        except (FrameError, msgspec.DecodeError) as error:
            self.end(f"a frame from the interlock cannot be: {one_line(error)}", 1)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        if not self._disconnected.done():
            self._disconnected.set_result(None)
        self.end("" if exc is None else f"the link to the interlock broke: {exc}", 0)

    def end(self, why: str, exit_status: int) -> None:
        """Stop the output, release the device, and end the process. Once."""
        if self._ending is None:
            if why:
                complain(why)
            self._ending = self._loop.create_task(self._wind_down(exit_status))

    def _take(self, message: ToHost) -> None:
        if isinstance(message, StopDevice):
            # What was asked before the stop and has not begun never begins.
            while self._waiting:
                self._fail(self._waiting.popleft(), Superseded("a stop overtook this call before it began"))
            task = self._loop.create_task(self._stop(message))
            self._stops.add(task)
            task.add_done_callback(self._stop_done)
        elif self._call is None and not self._stops and not self._waiting:
            self._begin(message)
        elif len(self._waiting) < WAITING_MAX:
            self._waiting.append(message)
        else:
            self._fail(message, WrongState(f"{WAITING_MAX} calls wait already; ask one at a time"))

    def _begin(self, message: ToHost) -> None:
        if self._stuck:
            self._fail(message, DeviceSilent(self._stuck))
            return
        call = self._call = _Call(message=message)
        call.task = self._loop.create_task(self._run(call))
        call.deadline = self._loop.call_later(_deadline_s(message), self._overdue, call)

    def _next(self) -> None:
        while self._waiting and self._call is None and not self._stops and self._ending is None:
            self._begin(self._waiting.popleft())

    async def _run(self, call: _Call) -> None:
        message = call.message
        try:
            answer = frame(await self._perform(message))
        except asyncio.CancelledError:
            self._settle_failure(call, DeviceSilent(f"the driver gave up {_name(message)} by itself"))
        except BaseException as error:  # noqa: BLE001  a driver may raise anything; the interlock must hear of it
            self._settle_failure(call, error)
        else:
            if not call.answered:
                call.answered = True
                self._write(answer)
        if call.deadline is not None:
            call.deadline.cancel()
        if self._call is call:
            self._call = None
            self._next()
        if isinstance(message, CloseDevice):
            self.end("", 0)

    async def _perform(self, message: ToHost) -> FromHost:
        if isinstance(message, OpenDevice):
            return await self._open(message)
        if isinstance(message, CloseDevice):
            hosted, self._hosted = self._hosted, None
            error = await hosted.close() if hosted is not None else None
            if error is not None:
                raise error
            return Done(call=message.call, at_ns=time.monotonic_ns())
        if self._hosted is None or isinstance(message, StopDevice):
            raise WrongState(f"{_name(message)} before the device was opened")
        return await self._hosted.perform(message)

    async def _open(self, message: OpenDevice) -> Opened:
        if self._hosted is not None:
            raise WrongState("the device is open already")
        driver_class, distribution, version = self._finder(message.driver)
        hosted = self._hosted = Hosted(driver_class.from_config(message.table), self._report)
        try:
            capabilities = await hosted.open()
        except BaseException:
            self._hosted = None
            raise
        # What is alive now stays: no collection walks it again in the middle of a train.
        gc.collect()
        gc.freeze()
        self._silence_ns = message.silence_ms * 1_000_000
        if self._silence_ns:
            self._heard_ns = time.monotonic_ns()
            self._loop.call_later(self._silence_ns / 1e9, self._watch)
        return Opened(
            call=message.call, capabilities=capabilities, distribution=distribution, version=version
        )

    def _watch(self) -> None:
        """The interlock's silence. Within a turn of the loop frames come before timers: no false alarm."""
        left_ns = self._heard_ns + self._silence_ns - time.monotonic_ns()
        if left_ns > 0:
            self._loop.call_later(left_ns / 1e9, self._watch)
        else:
            self.end(f"nothing heard from the interlock for {self._silence_ns // 1_000_000} ms", 1)

    async def _stop(self, message: StopDevice) -> None:
        error = await self._hosted.stop(message.how) if self._hosted is not None else None
        if error is None:
            self._write(frame(Done(call=message.call, at_ns=time.monotonic_ns())))
        else:
            self._fail(message, error)

    def _stop_done(self, task: asyncio.Task[None]) -> None:
        self._stops.discard(task)
        self._next()

    def _overdue(self, call: _Call) -> None:
        seconds = _deadline_s(call.message)
        text = f"the driver has not answered {_name(call.message)} within {seconds:g} s"
        self._settle_failure(call, DeviceSilent(text))
        if call.task is not None:
            call.task.cancel()
            self._loop.call_later(STUCK_S, self._still, call, text)

    def _still(self, call: _Call, text: str) -> None:
        """It was cancelled and has not returned: it holds the driver for good."""
        if self._call is call:
            self._stuck = f"{text}, nor let go of it; restart the device host"
            self._call = None
            self._next()

    def _settle_failure(self, call: _Call, error: BaseException) -> None:
        if call.answered:
            return
        call.answered = True
        if isinstance(call.message, Fire) and self._hosted is not None:
            self._hosted.fire_failed(call.message.token, error)
        self._fail(call.message, error)

    def _fail(self, message: ToHost, error: BaseException) -> None:
        if isinstance(error, StimulatorError):
            code, text = error.code, one_line(error, named=False)
        else:
            code, text = "internal", f"the driver failed in {_name(message)}: {one_line(error)}"
        self._write(frame(CallFailed(call=message.call, code=code, text=text)))

    def _report(self, delivery: Delivery) -> None:
        self._write(frame(Delivered(delivery=delivery)))

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            transport.abort()
            self.end(f"the interlock does not read: {UNSENT_BYTES_MAX} bytes lie unsent", 1)
            return
        transport.write(data)

    async def _wind_down(self, exit_status: int) -> None:
        while self._waiting:
            self._fail(self._waiting.popleft(), Superseded("the device host ends"))
        hosted, self._hosted = self._hosted, None
        if hosted is not None:
            error = await hosted.stop("ramp")
            if error is not None:
                complain(f"the device did not confirm the stop: {one_line(error)}")
            error = await hosted.close()
            if error is not None:
                complain(f"the device did not close: {one_line(error)}")
        if self._transport is not None:
            self._transport.close()
            await asyncio.wait({self._disconnected}, timeout=LAST_BYTES_S)
        if not self.ended.done():
            self.ended.set_result(exit_status)


def _deadline_s(message: ToHost) -> float:
    if isinstance(message, OpenDevice):
        return OPEN_S
    return 2 * CLOSE_S if isinstance(message, CloseDevice) else CALL_S


def _name(message: ToHost) -> str:
    return str(message.__struct_config__.tag)


def complain(text: str) -> None:
    """One line to whoever reads our errors, if anyone does."""
    try:
        sys.stderr.write(f"nociloop device host: {text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # whoever read our stderr is gone, and that must not keep the output on


def _installed(name: str) -> tuple[type[Stimulator], str, str]:
    driver = find(name)
    return driver.load(), driver.distribution, driver.version


async def serve(sock: socket.socket, finder: Finder) -> int:
    """Serve one interlock until the link ends; the exit status."""
    loop = asyncio.get_running_loop()
    host = Host(finder)

    def failed(_: asyncio.AbstractEventLoop, context: Mapping[str, object]) -> None:
        error = context.get("exception")
        text = one_line(error) if isinstance(error, BaseException) else str(context.get("message"))
        host.end(f"internal failure: {text}", 70)

    loop.set_exception_handler(failed)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, host.end, f"ended by {number.name}", 0)
    await loop.create_unix_connection(lambda: host, sock=sock)
    return await host.ended


def main(arguments: list[str], finder: Finder = _installed) -> int:
    """Run until the link ends; the exit status."""
    # The terminal's Ctrl-C reaches every process of its group; the stop comes by the interlock.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if len(arguments) != 2 or arguments[0] != "--fd" or not arguments[1].isdecimal():
        complain("usage: python -m drivers.host --fd N (started by the interlock, not by hand)")
        return 2
    try:
        sock = socket.socket(fileno=int(arguments[1]))
        if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
            raise OSError("it is another kind of socket")
        sock.getpeername()
    except OSError as error:
        complain(f"--fd {arguments[1]}: {error}; expected a connected Unix stream socket")
        return 2
    sock.set_inheritable(False)
    sock.setblocking(False)
    return asyncio.new_event_loop().run_until_complete(serve(sock, finder))


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # Not sys.exit: a thread of a vendor's library that hangs must not keep this process, and its port, alive.
    os._exit(status)
