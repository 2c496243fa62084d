"""One driver as the device host holds it: its calls, its deliveries, and what is assumed of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from drivers.assumed import Assumed
from drivers.capabilities import Capabilities
from drivers.link import ArmDevice, Done, Fire, Fired, FromHost, Poll, Prepare, Prepared, Status
from drivers.stimulation import Delivery, Train
from drivers.stimulator import (
    DeviceLost,
    DeviceRefused,
    DeviceSilent,
    LateOnset,
    Stimulator,
    Stop,
    WrongState,
)

# Deadlines of a driver's calls, each above what the driver itself allows, so that its own error comes first. The
# interlock holds tighter ones; these only see to it that every call is answered. Own choice.
CALL_S = 0.5
CLOSE_S = 2.0
# Deliveries that were confirmed on the way down are waited for so long. Own choice.
LAST_REPORT_S = 0.2
PREPARED_MAX = 8
TEXT_MAX = 300
# After these a fire has put out nothing, by the driver's word. After any other error nobody knows.
NOTHING_WENT_OUT = (LateOnset, DeviceRefused, WrongState)

DriverCall = ArmDevice | Prepare | Fire | Poll


class Hosted:
    """A driver that is open, or being opened."""

    def __init__(self, driver: Stimulator, report: Callable[[Delivery], None]) -> None:
        self._driver = driver
        self._report = report
        self._pump: asyncio.Task[None] | None = None
        self._broke_off = ""
        self._prepared: dict[int, Train] = {}
        self._assumed = Assumed()

    async def open(self) -> Capabilities:
        """Open the driver, and pass on its deliveries from then on."""
        try:
            capabilities = await self._driver.open()
        except BaseException:
            await bounded(self._driver.close(), CLOSE_S, "close")
            raise
        self._pump = asyncio.create_task(self._pass_on())
        return capabilities

    async def perform(self, message: DriverCall) -> FromHost:
        """One call of the interlock, answered."""
        driver = self._driver
        match message:
            case Poll():
                status = await driver.status()
                self._report_all(self._assumed.overdue(time.monotonic_ns()))
                if self._broke_off:
                    raise DeviceLost(self._broke_off)
                return Status(call=message.call, status=status)
            case Prepare():
                token, read_back = await driver.prepare(message.train)
                if len(self._prepared) >= PREPARED_MAX:
                    del self._prepared[next(iter(self._prepared))]
                self._prepared[token] = read_back
                return Prepared(
                    call=message.call, token=token, read_back=read_back, at_ns=time.monotonic_ns()
                )
            case Fire():
                return await self._fire(message)
            case ArmDevice():
                await driver.arm()
                return Done(call=message.call, at_ns=time.monotonic_ns())

    def fire_failed(self, token: int, error: BaseException) -> None:
        """Account for a fire that was not answered by its onset."""
        if isinstance(error, NOTHING_WENT_OUT):
            self._assumed.withdrawn(token)
        else:
            self._report_all(self._assumed.unknown(token))

    async def stop(self, how: Stop) -> BaseException | None:
        """Stop the driver within a deadline; its error is returned."""
        self._prepared.clear()
        return await bounded(self._driver.stop(how), CALL_S, "stop")

    async def close(self) -> BaseException | None:
        """Close the driver, and account for every train; its error is returned."""
        error = await bounded(self._driver.close(), CLOSE_S, "close")
        if self._pump is not None:
            await asyncio.wait({self._pump}, timeout=LAST_REPORT_S)
            self._pump.cancel()
        self._report_all(self._assumed.everything())
        return error

    async def _fire(self, message: Fire) -> Fired:
        train = self._prepared.pop(message.token, None)
        # Noted before it is sent: whatever cuts this short, the train is accounted for.
        if train is not None:
            self._assumed.fired(message.token, train, message.onset_at_ns or time.monotonic_ns())
        elif self._assumed.running(message.token) and message.onset_at_ns == 0:
            self._assumed.renewed(message.token, time.monotonic_ns())
        else:
            raise WrongState(f"token {message.token} was never prepared, or was fired before")
        onset_ns = await self._driver.fire(message.token, message.onset_at_ns)
        self._assumed.started(message.token, onset_ns)
        return Fired(call=message.call, token=message.token, onset_ns=onset_ns, at_ns=time.monotonic_ns())

    async def _pass_on(self) -> None:
        """Deliveries as they come; when they break off, what is open is assumed."""
        try:
            async for delivery in self._driver.deliveries():
                self._assumed.confirmed(delivery)
                self._report(delivery)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  a driver may raise anything; it shows at the next poll
            self._broke_off = f"the driver's deliveries broke off: {one_line(error)}"
            self._report_all(self._assumed.everything())

    def _report_all(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            self._report(delivery)


async def bounded(call: Awaitable[None], seconds: float, name: str) -> BaseException | None:
    """Wait for a driver's call, but not longer, even where it ignores being cancelled; its error is returned."""
    task = asyncio.ensure_future(_absorbed(call))
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        task.cancel()
        return DeviceSilent(f"the driver has not answered {name} within {seconds:g} s")
    return task.result()


async def _absorbed(call: Awaitable[None]) -> BaseException | None:
    try:
        await call
    except asyncio.CancelledError:
        return DeviceSilent("the driver gave up the call by itself")
    except BaseException as error:  # noqa: BLE001  a driver may raise anything, SystemExit too
        return error
    return None


def one_line(error: BaseException, *, named: bool = True) -> str:
    """An error of anybody's code as one line of bounded length."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001  a third party's __str__ may fail too
        text = ""
    if named or not text:
        text = f"{type(error).__name__}: {text}"
    return text[:TEXT_MAX]
