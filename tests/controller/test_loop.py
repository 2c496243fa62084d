"""The loop's record: every request is written once, with the verdict that it got, whenever that came."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import cast

import numpy as np
import pytest

from controller.biomarkers import Biomarker
from controller.eeg import Block, Cycle, Reading, StreamSpec
from controller.loop import Loop, Parts
from controller.montage import Montage, MontageConfig
from controller.pulse import Pulse
from controller.quality import QualityConfig
from controller.source import Silence
from controller.taps import KINDS, Offered, Tap, Taps
from controller.window import Epoch, Window
from drivers.stimulation import Hold, Output, Sine, Train
from safety.client import InterlockClient, InterlockLost, Verdict
from safety.messages import Allowed, Heartbeat, Pending, Permit, Refusal, Request
from tests.controller.material import block, noise, reading

SFREQ_HZ = 100.0
ALLOWED = Allowed(
    rows=(), used={}, budget={}, not_before_ns=0, busy_until_ns=0, amplitude_now=0.0, amplitude_max=1.0
)
TRAIN = Train(
    modality="tacs",
    outputs=(Output(name="F3", share=1.0), Output(name="Oz", share=-1.0)),
    waveform=Hold(
        carrier=Sine(amplitude_ma_pp=0.5, frequency_hz=10.0),
        ramp_up_ms=100,
        ramp_down_ms=100,
        duration_ms=500,
    ),
)


def permit(request_id: int) -> Permit:
    return Permit(id=request_id, token=2, lease_until_ns=1, read_ns=1, sent_ns=1, allowed=ALLOWED)


class Stream:
    """A Source of so many blocks of a hop each."""

    def __init__(self, n_blocks: int) -> None:
        self._n_blocks = n_blocks

    async def open(self) -> StreamSpec:
        raise NotImplementedError

    async def blocks(self) -> AsyncIterator[Block | Silence]:
        for index in range(self._n_blocks):
            yield block(noise(2, 100, seed=index), index * 100, SFREQ_HZ)

    async def close(self) -> None:
        return


class Measure:
    name, unit, window_s = "b", "1", 2.0

    def measure(self, epoch: Epoch) -> Reading:
        return reading(0.5)


class Always:
    """Asks at every hop."""

    response = 0.5

    def decide(self, readings: Mapping[str, Reading], allowed: Allowed, now_ns: int) -> Train | None:
        return TRAIN


class Interlock:
    """Answers as it is told; `before`: what is heard before the answer is seen."""

    phase, allowed = "ARMED", ALLOWED

    def __init__(self, answers: list[Verdict | InterlockLost], before: list[Permit | Refusal]) -> None:
        self._answers, self._before = answers, before
        self.loop: Loop | None = None
        self.order: list[str] = []

    def ask(self, request: Request) -> Coroutine[None, None, Verdict]:
        self.order.append("request")
        return self._answer()

    async def _answer(self) -> Verdict:
        while self._before:
            assert self.loop is not None
            self.loop.settle(self._before.pop(0))
        answer = self._answers.pop(0)
        if isinstance(answer, InterlockLost):
            raise answer
        return answer

    def beat(self, heartbeat: Heartbeat) -> None:
        self.order.append("beat")


class Kept:
    """A tap's consumer that keeps what it is given."""

    def __init__(self) -> None:
        self.cycles: list[Cycle] = []

    def consume(self, items: list[Offered]) -> None:
        self.cycles += [item for _, item in items if isinstance(item, Cycle)]

    def close(self) -> None:
        return


def loop_of(
    n_blocks: int, answers: list[Verdict | InterlockLost], before: list[Permit | Refusal]
) -> tuple[Loop, Tap, Kept]:
    kept = Kept()
    tap = Tap("kept", 100, KINDS)
    tap.start(kept)
    interlock = Interlock(answers, before)
    client = cast("InterlockClient", interlock)
    names = ("C3", "C4")
    parts = Parts(
        source=Stream(n_blocks),
        window=Window(
            2, SFREQ_HZ, 2.0, 1.0, montage=Montage.build(MontageConfig(), names), quality=QualityConfig()
        ),
        biomarkers=(cast("Biomarker", Measure()),),
        policy=Always(),
        interlock=client,
        pulse=Pulse(client),
        taps=Taps([tap]),
    )
    loop = Loop(parts, lambda: None, lambda _: None, lambda: None)
    interlock.loop = loop
    return loop, tap, kept


def asked(kept: Kept) -> list[tuple[int, Permit | Refusal | None]]:
    return [
        (cycle.request.id, cast("Permit | Refusal | None", cycle.verdict))
        for cycle in kept.cycles
        if cycle.request is not None
    ]


async def test_a_verdict_heard_before_the_loop_saw_pending_is_not_lost() -> None:
    loop, tap, kept = loop_of(2, [Pending(id=1)], [permit(1)])
    assert await loop.run() == "stopped"
    loop.leave()
    assert tap.close(2.0)
    assert asked(kept) == [(1, permit(1))]
    assert not loop.waiting


async def test_a_verdict_that_comes_later_completes_its_request() -> None:
    loop, tap, kept = loop_of(3, [Pending(id=1), permit(2)], [])
    await loop.run()
    loop.settle(permit(1))
    assert tap.close(2.0)
    assert asked(kept) == [(2, permit(2)), (1, permit(1))]
    assert kept.cycles[-1].answered_ns <= time.monotonic_ns()


async def test_a_request_without_a_verdict_stays_on_record() -> None:
    loop, tap, kept = loop_of(3, [Pending(id=1), InterlockLost("no verdict")], [])
    with pytest.raises(InterlockLost):
        await loop.run()
    loop.leave()
    assert tap.close(2.0)
    assert sorted(asked(kept), key=lambda each: each[0]) == [(1, None), (2, None)]


async def test_an_early_verdict_of_another_request_is_given_to_nobody() -> None:
    loop, tap, kept = loop_of(2, [Pending(id=1)], [permit(7)])
    await loop.run()
    loop.leave()
    assert tap.close(2.0)
    assert asked(kept) == [(1, None)]


async def test_every_epoch_is_on_record_once() -> None:
    loop, tap, kept = loop_of(5, [permit(1), permit(2), permit(3), permit(4)], [])
    await loop.run()
    assert tap.close(2.0)
    assert [cycle.index for cycle in kept.cycles] == [1, 2, 3, 4]
    assert np.isfinite([cycle.readings["b"].value for cycle in kept.cycles]).all()
