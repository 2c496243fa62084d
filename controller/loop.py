"""The whole loop on one screen: Block -> Epoch -> Reading -> Request -> verdict -> taps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from controller.biomarkers import Biomarker
from controller.eeg import Block, Cycle
from controller.policies import Policy
from controller.pulse import Pulse
from controller.quality import blanking
from controller.source import Silence, Source
from controller.taps import Event, Taps
from controller.window import BlockRefused, Epoch, Window
from drivers.stimulation import Hold, Train
from safety.client import InterlockClient, InterlockLost, Verdict
from safety.messages import Pending, Permit, Refusal, Request

Ended = Literal["duration", "stopped", "tripped", "paused too long"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a session is made of, wired once."""

    source: Source
    window: Window
    biomarkers: tuple[Biomarker, ...]
    policy: Policy
    interlock: InterlockClient
    pulse: Pulse
    taps: Taps


class Loop:
    """One session's loop. `over` says why it must end, or nothing; `silent` and `back`: what is done about a
    stream that falls silent, and that is back."""

    def __init__(
        self,
        parts: Parts,
        over: Callable[[], Ended | None],
        silent: Callable[[Silence], None],
        back: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._over = over
        self._silent = silent
        self._back = back
        self._index = 0
        self._asked = 0
        self.waiting: dict[int, Cycle] = {}
        self._early: Permit | Refusal | None = None

    async def run(self) -> Ended:
        """Turn until it is over; raises SourceError and InterlockLost."""
        parts = self._parts
        async for block in parts.source.blocks():
            ended = self._over()
            if ended is not None:
                return ended
            if isinstance(block, Silence):
                self._silent(block)
                continue
            self._back()
            parts.taps.offer(block)
            epoch = parts.window.push(block)
            if isinstance(epoch, Epoch):
                await self._turn(epoch, block)
                continue
            parts.pulse.beat(block)
            if isinstance(epoch, BlockRefused):
                self._note("block_refused", epoch.code, epoch.text)
        return "stopped"

    async def _turn(self, epoch: Epoch, block: Block) -> None:
        """One Epoch: measure, decide, ask. What comes of it goes to the taps and is never awaited."""
        parts = self._parts
        readings = {biomarker.name: biomarker.measure(epoch) for biomarker in parts.biomarkers}
        computed_ns = time.monotonic_ns()
        allowed = parts.interlock.allowed
        armed = parts.interlock.phase == "ARMED"
        train = parts.policy.decide(readings, allowed, computed_ns) if armed and allowed is not None else None
        asked_ns = time.monotonic_ns()
        request = self._request(train, block) if train is not None else None
        verdict, lost = await self._ask(request, block)
        self._index += 1
        cycle = Cycle(
            index=self._index,
            sample_ns=int(block.stamps_ns[-1]),
            received_ns=block.received_ns,
            computed_ns=computed_ns,
            asked_ns=asked_ns if request is not None else 0,
            answered_ns=time.monotonic_ns() if request is not None else 0,
            readings=readings,
        )
        self._offer(cycle, request, verdict)
        if lost is not None:
            raise lost

    async def _ask(
        self, request: Request | None, block: Block
    ) -> tuple[Verdict | None, InterlockLost | None]:
        """The verdict; or what stood in its way, which is raised once the request is on record.

        The heartbeat goes out behind the request and before its verdict: it delays nothing, and waits for nothing.
        """
        parts = self._parts
        try:
            if request is None:
                parts.pulse.beat(block)
                return None, None
            answer = parts.interlock.ask(request)
            try:
                parts.pulse.beat(block)
            except InterlockLost:
                answer.close()
                raise
            return await answer, None
        except InterlockLost as error:
            return None, error

    def _request(self, train: Train, block: Block) -> Request:
        self._asked += 1
        return Request(
            id=self._asked,
            train=train,
            onset_at_ns=0,
            response=self._parts.policy.response,
            evidence=block.evidence,
        )

    def _offer(self, cycle: Cycle, request: Request | None, verdict: Verdict | None) -> None:
        """A verdict that is pending leaves the readings on record now; the request follows with its verdict."""
        if request is not None and isinstance(verdict, Pending):
            self.waiting[request.id] = replace(cycle, request=request, readings={})
            early, self._early = self._early, None
            if early is not None:
                self.settle(early)
        elif request is not None and not isinstance(verdict, Pending):
            cycle = replace(cycle, request=request, verdict=verdict)
            self._expect(request, verdict)
        self._parts.taps.offer(cycle)

    def settle(self, verdict: Permit | Refusal) -> None:
        """A verdict that was pending has come, perhaps before the loop could take note that it was pending."""
        cycle = self.waiting.pop(verdict.id, None)
        if cycle is None:
            self._early = verdict
        else:
            self._expect(cycle.request, verdict)
            self._parts.taps.offer(replace(cycle, verdict=verdict, answered_ns=time.monotonic_ns()))

    def leave(self) -> None:
        """No verdict comes any more: what still waits for one goes on record without."""
        for cycle in self.waiting.values():
            self._parts.taps.offer(cycle)
        self.waiting.clear()

    def _expect(self, request: Request | None, verdict: Verdict | None) -> None:
        """Pulses that are permitted spoil the EEG before their delivery is reported: blank what is permitted."""
        if request is None or not isinstance(verdict, Permit) or isinstance(request.train.waveform, Hold):
            return
        blank = blanking(verdict.read_ns, verdict.lease_until_ns)
        self._parts.window.blank(blank.from_ns, blank.to_ns, blank.hold_until_ns)

    def _note(self, kind: str, code: str, text: str) -> None:
        self._parts.taps.offer(Event(t_ns=time.monotonic_ns(), kind=kind, code=code, text=text))
