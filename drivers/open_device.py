"""The open device protocol: the simulated stimulator and any microcontroller speak it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from drivers import open_device_codec as codec
from drivers.capabilities import Capabilities, Lack
from drivers.open_device_codec import Line, LineError
from drivers.open_device_dialogue import Dialogue
from drivers.open_device_machine import GRADE, Machine
from drivers.stimulation import Delivery, Train
from drivers.stimulator import (
    ConfigError,
    DeviceLost,
    DeviceNotFound,
    DeviceRefused,
    DeviceSilent,
    DeviceStatus,
    LateOnset,
    ReadBackMismatch,
    StimulatorError,
    Stop,
    Superseded,
    Token,
    WrongState,
)
from drivers.transport import Endpoint, parse_endpoint

ANSWER_MS_DEFAULT = 80
OPEN_MS_DEFAULT = 2000
# Slices come at 10 Hz: minutes of them. Who leaves them lying is not listening to what goes out. Own choice.
DELIVERIES_MAX = 4096


@dataclass(slots=True)
class _Reports:
    """Deliveries on their way to the one reader."""

    waiting: deque[Delivery] = field(default_factory=deque)
    more: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    lost: str = ""


class OpenDevice:
    """One device that speaks the open device protocol, over TCP or a serial line.

    It sends nothing of its own accord, has one command under way, and never repeats FIRE. `stop` goes past
    whatever waits.
    """

    GRADE = GRADE
    LACKS: tuple[
        Lack, ...
    ] = ()  # the protocol asks for all of them; its onset each device tells when it is opened

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        answer_ms: int = ANSWER_MS_DEFAULT,
        open_ms: int = OPEN_MS_DEFAULT,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._open_s = open_ms / 1000
        self._now_ns = now_ns
        self._dialogue = Dialogue(
            endpoint, answer_s=answer_ms / 1000, now_ns=now_ns, on_event=self._told, on_lost=self._broke
        )
        self._machine = Machine()
        self._reports = _Reports(ended=True)
        self._stop_confirmed = True
        self._opening = False

    @classmethod
    def from_config(cls, table: Mapping[str, object]) -> Self:
        """`endpoint`, and if need be `answer_ms` and `open_ms`."""
        unknown = set(table) - {"endpoint", "answer_ms", "open_ms"}
        if unknown:
            raise ConfigError(
                f"open_device: unknown key {min(unknown)!r}; takes endpoint, answer_ms, open_ms"
            )
        endpoint = table.get("endpoint")
        if not isinstance(endpoint, str):
            raise ConfigError(
                "open_device: endpoint is missing, expected tcp:HOST:PORT or serial:/PATH[@BAUD]"
            )
        return cls(
            parse_endpoint(endpoint),
            answer_ms=_milliseconds(table, "answer_ms", ANSWER_MS_DEFAULT, 5, 1000),
            open_ms=_milliseconds(table, "open_ms", OPEN_MS_DEFAULT, 100, 10_000),
        )

    async def open(self) -> Capabilities:
        """Connect, cut whatever may be going on, identify, and see the output at zero."""
        dialogue = self._dialogue
        if dialogue.connected or self._opening:
            raise WrongState(dialogue.say("is open already; close it first"))
        self._opening = True
        epoch = dialogue.epoch
        try:
            await dialogue.connect(self._open_s)
            self._machine, self._reports, self._stop_confirmed = Machine(), _Reports(), False
            try:
                async with asyncio.timeout(self._open_s):
                    return await self._identify(epoch)
            except TimeoutError:
                text = f"was not identified within {self._open_s:g} s; is it this device that is connected?"
                raise DeviceSilent(dialogue.say(text)) from None
        except BaseException:
            # Cancelled or refused alike: an opening that failed holds nothing.
            await self._release()
            raise
        finally:
            self._opening = False

    async def arm(self) -> None:
        """ARM, from a confirmed idle only."""
        self._dialogue.check_free()
        epoch = self._dialogue.epoch
        if self._machine.state != "idle":
            await self._stat(epoch)
        with self._named():
            self._machine.check_arm()
        self._stop_confirmed = False
        await self._dialogue.ask("ARM", {}, epoch)
        self._machine.armed()

    async def prepare(self, train: Train) -> tuple[Token, Train]:
        """SET; the answer is what the device stored, be it what was asked or not."""
        self._dialogue.check_free()
        with self._named():
            fields = self._machine.set_fields(train)
        answer = await self._dialogue.ask("SET", fields, self._dialogue.epoch)
        with self._named():
            prepared = self._machine.stored(answer.line, train, fields)
        return prepared.token, prepared.train

    async def fire(self, token: Token, onset_at_ns: int) -> int:
        """FIRE, or RENEW for the hold that runs; once. LateOnset, DeviceRefused and WrongState: nothing more went out.
        Any other error: unknown."""
        self._dialogue.check_free()
        if self._machine.renews(token, onset_at_ns):
            answer = await self._dialogue.ask("RENEW", {"token": token}, self._dialogue.epoch)
            with self._named():
                return self._machine.renewed(answer.line, token)
        with self._named():
            fields = self._machine.fire_fields(token, onset_at_ns, self._now_ns())
        try:
            answer = await self._dialogue.ask("FIRE", fields, self._dialogue.epoch)
        except (DeviceRefused, LateOnset):
            self._machine.not_fired(token)
            raise
        with self._named():
            return self._machine.fired(answer.line, fields)

    async def stop(self, how: Stop) -> None:
        """STOP, past everything that waits; returns when the device has taken it."""
        self._dialogue.supersede()
        self._machine.stopping()
        await self._dialogue.stop(how)
        self._stop_confirmed = True

    async def status(self) -> DeviceStatus:
        """STAT."""
        status, _ = await self._stat(self._dialogue.epoch)
        return status

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Every OUT of the device; ends when it is closed, and raises DeviceLost where the link broke."""
        reports = self._reports
        while True:
            while reports.waiting:
                yield reports.waiting.popleft()
            if reports.lost:
                raise DeviceLost(self._dialogue.say(reports.lost))
            if reports.ended:
                return
            reports.more.clear()
            await reports.more.wait()

    async def close(self) -> None:
        """STOP where none was confirmed since the last arming, and release the wire."""
        self._dialogue.supersede()
        try:
            if self._dialogue.connected and not self._dialogue.lost and not self._stop_confirmed:
                await self.stop("ramp")
        except StimulatorError:
            pass  # nothing more can be told to it: its own link watchdog and the relay bring it to zero
        finally:
            await self._release()

    async def _identify(self, epoch: int) -> Capabilities:
        """What was asked to stop meanwhile does not open: each epoch but those of our own stops ends it."""
        dialogue, machine = self._dialogue, self._machine
        while True:
            if dialogue.epoch != epoch:
                raise Superseded(dialogue.say("was stopped while it was being opened"))
            epoch += 1
            try:
                await self.stop("cut")
                break
            except DeviceSilent:
                continue  # some boards start anew when their port is opened; the deadline of open() ends this
        answer = await dialogue.ask("HELLO", {"v": 1}, epoch)
        try:
            machine.identified(codec.identity(answer.line))
            for modality in machine.modalities:
                answer = await dialogue.ask("CAPS", {"mod": modality}, epoch)
                machine.can(modality, answer.line)
        except LineError as error:
            raise DeviceNotFound(dialogue.say(f"is no device that can be used: {error}")) from None
        _, stat = await self._stat(epoch)
        with self._named():
            machine.check_idle(stat)
            # What our STOP cut short was of an earlier life, whose interlock counted it as delivered in full.
            self._reports.waiting.clear()
            return machine.capabilities()

    async def _stat(self, epoch: int) -> tuple[DeviceStatus, codec.Stat]:
        answer = await self._dialogue.ask("STAT", {}, epoch)
        with self._named():
            stat = codec.stat(answer.line)
            status = self._machine.told(stat, sent_ns=answer.sent_ns, received_ns=answer.received_ns)
        return status, stat

    def _told(self, line: Line) -> None:
        """An event came. What cannot be read is counted with the bad lines."""
        try:
            event = codec.event(line)
        except LineError:
            self._dialogue.bad += 1
            return
        delivery = self._machine.happened(event) if event is not None else None
        reports = self._reports
        if delivery is None or reports.lost:
            return
        if len(reports.waiting) >= DELIVERIES_MAX:
            # The reader learns that some are missing; the device stays within reach of STOP.
            reports.lost = f"{DELIVERIES_MAX} deliveries lay unread, later ones were dropped"
        else:
            reports.waiting.append(delivery)
        reports.more.set()

    def _broke(self, why: str) -> None:
        self._machine.stopping()
        self._reports.lost = self._reports.lost or why
        self._reports.more.set()

    async def _release(self) -> None:
        self._machine = Machine()
        self._reports.ended = True
        self._reports.more.set()
        await self._dialogue.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Puts the device's name in front of what the pure parts raise."""
        try:
            yield
        except StimulatorError as error:
            raise type(error)(self._dialogue.say(str(error))) from None
        except LineError as error:
            raise ReadBackMismatch(self._dialogue.say(f"gave an answer that cannot be: {error}")) from None


def _milliseconds(table: Mapping[str, object], key: str, default: int, low: int, high: int) -> int:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"open_device: {key} is {value!r}, expected a whole number from {low} to {high}")
    return value
