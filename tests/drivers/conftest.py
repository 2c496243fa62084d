"""A scripted peer, and the driver opened on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from drivers.open_device import OpenDevice
from tests.drivers.peer import Peer


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer() as peer:
        yield peer


@pytest.fixture
async def device(peer: Peer) -> AsyncIterator[OpenDevice]:
    device = peer.device()
    await device.open()
    yield device
    await device.close()
