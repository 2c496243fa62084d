"""The wires: a pty, a socket that does not read, a port that somebody else holds."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import socket
import time
from collections.abc import Iterator

import pytest

from drivers.stimulator import DeviceLost, DeviceNotFound
from drivers.transport import UNSENT_BYTES_MAX, Endpoint, Wire, connect, parse_endpoint

pytestmark = pytest.mark.system


@pytest.fixture
def line() -> Iterator[tuple[int, str]]:
    ours, theirs = pty.openpty()
    path = os.ttyname(theirs)
    os.close(theirs)
    yield ours, path
    try:
        os.close(ours)
    except OSError:
        pass  # the test closed it


def test_endpoints_are_read() -> None:
    assert parse_endpoint("tcp:10.0.0.1:5000") == Endpoint(kind="tcp", address="10.0.0.1", number=5000)
    assert parse_endpoint("tcp:[::1]:5") == Endpoint(kind="tcp", address="::1", number=5)
    assert parse_endpoint("serial:/dev/ttyUSB0") == Endpoint(
        kind="serial", address="/dev/ttyUSB0", number=115_200
    )
    assert str(parse_endpoint("serial:/dev/by-id/a@b@9600")) == "serial:/dev/by-id/a@b@9600"


async def opened(path: str) -> tuple[Wire, list[bytes], list[str]]:
    heard: list[bytes] = []
    lost: list[str] = []
    wire = await connect(
        parse_endpoint(f"serial:{path}"), on_data=heard.append, on_lost=lost.append, within_s=2
    )
    return wire, heard, lost


async def until_any(things: list[bytes] | list[str]) -> None:
    async with asyncio.timeout(2):
        while not things:  # noqa: ASYNC110  it waits for the kernel
            await asyncio.sleep(0.001)


async def test_a_pty_carries_bytes_as_they_are_and_is_let_go(line: tuple[int, str]) -> None:
    ours, path = line
    before = set(os.listdir("/proc/self/fd"))
    wire, heard, lost = await opened(path)
    wire.write(b">1 STAT*0000\n")
    assert os.read(ours, 100) == b">1 STAT*0000\n"
    os.write(ours, b"<1 \x00\xff\r\n")
    await until_any(heard)
    assert b"".join(heard) == b"<1 \x00\xff\r\n"
    await wire.close()
    await wire.close()
    assert set(os.listdir("/proc/self/fd")) <= before
    assert lost == []
    with pytest.raises(DeviceLost):
        wire.write(b"x")


async def test_a_port_is_ours_alone(line: tuple[int, str]) -> None:
    _, path = line
    wire, _, _ = await opened(path)
    with pytest.raises(DeviceNotFound, match="lock"):
        await opened(path)
    other = os.open(path, os.O_RDWR | os.O_NOCTTY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    await wire.close()
    again, _, _ = await opened(path)
    await again.close()


async def test_a_far_end_that_vanishes_is_told_once(line: tuple[int, str]) -> None:
    ours, path = line
    wire, _, lost = await opened(path)
    os.close(ours)
    await until_any(lost)
    assert len(lost) == 1
    with pytest.raises(DeviceLost):
        wire.write(b"x")
    await wire.close()
    assert len(lost) == 1


@pytest.mark.parametrize("path", ["/dev/no-such-port", "/dev/null", "/etc/hostname", "/"])
async def test_what_is_no_port_is_not_found(path: str) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(DeviceNotFound, match=path):
        await opened(path)
    assert set(os.listdir("/proc/self/fd")) <= before


async def test_a_name_that_cannot_be_resolved_is_not_found() -> None:
    with pytest.raises(DeviceNotFound):
        await connect(
            parse_endpoint("tcp:256.256.256.256:1"),
            on_data=lambda _: None,
            on_lost=lambda _: None,
            within_s=2,
        )


async def test_a_peer_that_does_not_read_is_lost_and_never_waited_for() -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # connects, and never reads a byte
    port = silent.getsockname()[1]
    lost: list[str] = []
    wire = await connect(
        parse_endpoint(f"tcp:127.0.0.1:{port}"), on_data=lambda _: None, on_lost=lost.append, within_s=2
    )
    began = time.monotonic()
    with pytest.raises(DeviceLost, match="does not read"):
        for _ in range(100_000):
            wire.write(b"x" * (UNSENT_BYTES_MAX - 1))
    assert time.monotonic() - began < 2
    await until_any(lost)
    await wire.close()
    silent.close()
