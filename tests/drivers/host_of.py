"""The device host over drivers that are no entry points: `python -m tests.drivers.host_of --fd N`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping

from drivers.capabilities import Capabilities
from drivers.host import main
from drivers.null import NullDevice
from drivers.open_device import OpenDevice
from drivers.stimulation import Delivery, Train
from drivers.stimulator import DeviceStatus, Stimulator, Stop, Token


class Rogue(NullDevice):
    """A third party's driver that does wrong what `wrong` says."""

    wrong = ""
    stops = ""

    @classmethod
    def from_config(cls, table: Mapping[str, object]) -> Rogue:
        rogue = cls()
        rogue.wrong = str(table["wrong"])
        rogue.stops = str(table["stops"])
        return rogue

    async def open(self) -> Capabilities:
        if self.wrong == "open raises":
            raise ValueError("first line\nsecond line")
        return await super().open()

    async def arm(self) -> None:
        if self.wrong == "system exit":
            raise SystemExit(3)
        if self.wrong == "keyboard interrupt":
            raise KeyboardInterrupt
        if self.wrong == "cancels itself":
            raise asyncio.CancelledError
        if self.wrong == "group":
            raise ExceptionGroup("many", [ValueError("one"), ValueError("two")])
        if self.wrong == "speechless":
            raise Speechless
        await super().arm()

    async def prepare(self, train: Train) -> tuple[Token, Train]:
        if self.wrong == "nonsense":
            return None  # type: ignore[return-value]
        if self.wrong == "not a train":
            return 1, object()  # type: ignore[return-value]
        return await super().prepare(train)

    async def fire(self, token: Token, onset_at_ns: int) -> int:
        onset_ns = await super().fire(token, onset_at_ns)
        if self.wrong == "fire fails":
            raise OSError("the cable")
        return onset_ns

    async def status(self) -> DeviceStatus:
        if self.wrong in ("hangs", "will not be cancelled"):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if self.wrong == "hangs":
                    raise
                await asyncio.sleep(3600)
        return await super().status()

    async def stop(self, how: Stop) -> None:
        with open(self.stops, "a") as stops:
            stops.write(f"{how}\n")
        if self.wrong == "stop hangs":
            await asyncio.sleep(3600)
        await super().stop(how)

    async def close(self) -> None:
        self.stops = os.devnull
        self.wrong = ""
        await super().close()

    async def deliveries(self) -> AsyncIterator[Delivery]:
        if self.wrong == "deliveries break":
            raise RuntimeError("no more")
        async for delivery in super().deliveries():
            yield delivery


class Speechless(Exception):
    def __str__(self) -> str:
        raise ValueError("not even this")


def finder(name: str) -> tuple[type[Stimulator], str, str]:
    known: dict[str, type[Stimulator]] = {"null": NullDevice, "open_device": OpenDevice, "rogue": Rogue}
    return known[name], "nociloop", "0.1.0"


if __name__ == "__main__":
    status = main(sys.argv[1:], finder)
    os._exit(status)
