"""The wires: `tcp:HOST:PORT` and `serial:PATH[@BAUD]` as one thin asyncio transport."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import termios
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from drivers.stimulator import ConfigError, DeviceLost, DeviceNotFound

BAUD_DEFAULT = 115_200
# More than this unsent means that the far end does not read: sixteen of the longest lines. Own choice.
UNSENT_BYTES_MAX = 4096
_CLOSE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a device is. `address` is a host or a path, `number` a port or a baud rate."""

    kind: Literal["tcp", "serial"]
    address: str
    number: int

    def __str__(self) -> str:
        """As it is written in a table."""
        return f"{self.kind}:{self.address}{':' if self.kind == 'tcp' else '@'}{self.number}"


def parse_endpoint(text: str) -> Endpoint:
    """Read `tcp:HOST:PORT` or `serial:PATH[@BAUD]`; ConfigError otherwise."""
    kind, _, rest = text.partition(":")
    if kind == "tcp":
        host, _, port = rest.rpartition(":")
        if host and port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= 65_535:
            return Endpoint(kind="tcp", address=host.strip("[]"), number=int(port))
    elif kind == "serial":
        path, at, baud = rest.rpartition("@")
        if not (at and baud.isascii() and baud.isdecimal()):
            path, baud = rest, str(BAUD_DEFAULT)
        if path.startswith("/") and 0 < int(baud[:9]) <= 12_000_000:
            return Endpoint(kind="serial", address=path, number=int(baud[:9]))
    raise ConfigError(f"endpoint {text!r}: expected tcp:HOST:PORT or serial:/PATH[@BAUD]")


class Wire(asyncio.Protocol):
    """One open wire. Bytes come by `on_data`; `on_lost` is called once, and not when we closed it."""

    def __init__(self, on_data: Callable[[bytes], None], on_lost: Callable[[str], None]) -> None:
        self._on_data = on_data
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._closed = asyncio.get_running_loop().create_future()
        self._ours = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"{type(transport).__name__} cannot both read and write")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if not self._ours:
            self._on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        if not self._closed.done():
            self._closed.set_result(None)
        if self._transport is not None and not self._ours:
            self._on_lost(f"the link broke: {exc}" if exc else "the device closed the link")

    def write(self, data: bytes) -> None:
        """Send at once; never waits. DeviceLost where the wire is gone or takes no more."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise DeviceLost("the link is closed")
        if transport.get_write_buffer_size() + len(data) > UNSENT_BYTES_MAX:
            transport.abort()
            raise DeviceLost(f"the device does not read: {UNSENT_BYTES_MAX} bytes lie unsent")
        try:
            transport.write(data)
        except OSError as error:
            raise DeviceLost(f"the link broke: {error}") from None

    async def close(self) -> None:
        """Release the descriptor; waits for it half a second, and then drops what is unsent."""
        self._ours = True
        transport = self._transport
        if transport is None:
            return
        transport.close()
        _, pending = await asyncio.wait({self._closed}, timeout=_CLOSE_S)
        if pending:
            transport.abort()
            await asyncio.wait({self._closed}, timeout=_CLOSE_S)


async def connect(
    endpoint: Endpoint, *, on_data: Callable[[bytes], None], on_lost: Callable[[str], None], within_s: float
) -> Wire:
    """Open a wire within a deadline; DeviceNotFound otherwise."""
    wire = Wire(on_data, on_lost)
    try:
        return await _connect(endpoint, wire, within_s)
    except BaseException:
        # Cancelled or failed alike: no descriptor outlives it.
        await wire.close()
        raise


async def _connect(endpoint: Endpoint, wire: Wire, within_s: float) -> Wire:
    try:
        async with asyncio.timeout(within_s):
            if endpoint.kind == "tcp":
                await _connect_tcp(endpoint, wire)
            else:
                await _connect_serial(endpoint, wire)
    except TimeoutError:
        raise DeviceNotFound(f"{endpoint}: no connection within {within_s:g} s; is it on?") from None
    except (OSError, termios.error) as error:
        raise DeviceNotFound(f"{endpoint}: {error}; check cable, address and rights") from None
    return wire


async def _connect_tcp(endpoint: Endpoint, wire: Wire) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(lambda: wire, endpoint.address, endpoint.number)
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def _connect_serial(endpoint: Endpoint, wire: Wire) -> None:
    # 100 ms of imports that a TCP device need not pay for.
    from serialx import PinState, SerialException, create_serial_connection

    try:
        transport, _ = await create_serial_connection(
            asyncio.get_running_loop(),
            lambda: wire,
            endpoint.address,
            endpoint.number,
            exclusive=True,
            # Triggers hang on these lines. Opening a tty raises them for an instant; nobody can prevent it.
            rts_on_open=PinState.LOW,
            dtr_on_open=PinState.LOW,
        )
    except SerialException as error:
        raise DeviceNotFound(f"{endpoint}: cannot be opened: {error}") from None
    if not endpoint.address.startswith("/dev/pts/"):
        # The lock that serialx takes is advisory; this one keeps a stray serial monitor out too. A pty would
        # keep it after us for as long as its other end lives.
        fcntl.ioctl(transport.get_extra_info("serial").fileno(), termios.TIOCEXCL)
