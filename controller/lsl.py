"""LslSource: an LSL inlet as a Source; here, out of the policies' reach, Evidence is made."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pylsl
from numpy.typing import NDArray

from controller.continuity import ClockError, Continuity
from controller.eeg import Block, Evidence, Samples, StreamSpec
from controller.lsl_inlet import CALL_S, SAME_CLOCK_S, Inlet, Offset, RawBlock, Reader
from controller.novelty import Novelty
from controller.source import Silence, SourceConfig, SourceError, StreamLost
from controller.streams import Plan, plan, refuse_doubles, resolve, stream_row

FAIR_BLOCKS = 16  # own choice: so many blocks at a stretch before the other tasks of the loop have their turn

CleanFraction = Callable[[Samples], float]


def all_clean(data_uv: Samples) -> float:
    """Every channel counts as clean that has numbers; for use without a Quality."""
    if math.isfinite(data_uv.sum()):  # one look in the usual case
        return 1.0
    return float(np.isfinite(data_uv).all(axis=1).mean())


class BlockMaker:
    """RawBlock -> Blocks in µV on the host's clock, split where samples are lost, each with its Evidence. Pure."""

    def __init__(self, how: Plan, jitter_ms: float, clean_fraction: CleanFraction) -> None:
        scale_uv = np.array(how.scale_uv)
        self._uid = how.spec.uid
        self._picks = None if how.picks == tuple(range(how.n_channels)) else list(how.picks)
        self._scale_uv = scale_uv[:, np.newaxis] if (scale_uv != 1.0).any() else None
        self._continuity = Continuity(how.spec.sfreq_hz, jitter_ms * how.spec.sfreq_hz / 1e3)
        self._clean_fraction = clean_fraction
        self._novelty = Novelty(how.spec.sfreq_hz)
        self._n_lost = 0
        self._next = 0
        self._newest_ns = 0

    def make(self, raw: RawBlock) -> list[Block]:
        """The blocks of what came together; ClockError where its stamps make no sense."""
        losses = self._continuity.losses(raw.stamps_s.tolist(), raw.received_ns / 1e9)
        blocks, begin = [], 0
        for index, n_missing in losses:
            if index > begin:
                blocks.append(self._block(raw, begin, index))
            self._n_lost += n_missing
            begin = index
        blocks.append(self._block(raw, begin, len(raw.stamps_s)))
        return blocks

    def _block(self, raw: RawBlock, begin: int, end: int) -> Block:
        samples = raw.samples[begin:end]
        picked = samples if self._picks is None else samples[:, self._picks]
        data_uv = np.array(picked.T, dtype=np.float64, order="C")
        if self._scale_uv is not None:
            data_uv *= self._scale_uv
        stamps_ns = self._host_ns(raw.stamps_s[begin:end], raw.offset.seconds)
        newest_ns = self._newest_ns = int(stamps_ns[-1])
        first = raw.before + begin + self._n_lost
        n_missing = first - self._next  # lost on the way, and dropped here when the loop was too late
        self._next = first + end - begin
        evidence = Evidence(
            stream_uid=self._uid,
            n_samples=raw.before + end,
            newest_ns=newest_ns,
            uncertainty_ns=raw.offset.uncertainty_ns,
            crc=self._novelty.crc(picked),
            clean_fraction=self._clean_fraction(data_uv),
        )
        return Block(
            data_uv=data_uv,
            stamps_ns=stamps_ns,
            received_ns=raw.received_ns,
            first=first,
            n_missing=n_missing,
            evidence=evidence,
        )

    def _host_ns(self, stamps_s: NDArray[np.float64], offset_s: float) -> NDArray[np.int64]:
        """The stamps on the host's clock, never going back."""
        if len(stamps_s) == 1:  # the usual case by far, and four times as fast
            return np.array(
                (max(self._newest_ns, round((float(stamps_s[0]) + offset_s) * 1e9)),), dtype=np.int64
            )
        stamps_ns = np.rint((stamps_s + offset_s) * 1e9).astype(np.int64)
        return np.maximum(np.maximum.accumulate(stamps_ns), self._newest_ns)


class LslSource:
    """An LSL stream as a Source. The stream is pinned by its uid: none other is ever attached to.

    `judge` makes, once the stream is known, what judges each block for its Evidence, in the loop's thread.
    """

    def __init__(
        self, config: SourceConfig, *, judge: Callable[[StreamSpec], CleanFraction] = lambda _: all_clean
    ) -> None:
        self._config = config
        self._judge = judge
        self._silence_ns = config.silence_ms * 1_000_000
        self._inlet: Inlet | None = None
        self._reader: Reader | None = None
        self._maker: BlockMaker | None = None
        self._newest_ns = 0
        self._due_ns = 0
        self._waiter: asyncio.Future[None] | None = None
        self._begun = False
        self._closed = False

    async def open(self) -> StreamSpec:
        """Find the stream and hold it to the session's expectations; SourceError says all that is wrong."""
        inlet, how, offset = await asyncio.to_thread(_connect, self._config)
        self._inlet = inlet
        self._reader = Reader(inlet, offset, how.spec.name)
        self._maker = BlockMaker(how, self._config.jitter_ms, self._judge(how.spec))
        return how.spec

    async def blocks(self) -> AsyncIterator[Block | Silence]:
        """Blocks as they come, and a Silence for each `silence_ms` without one; ends in StreamLost.

        One consumer, once. After `close` it simply ends.
        """
        reader, maker = self._reader, self._maker
        if reader is None or maker is None or self._begun:
            raise SourceError("LSL: blocks() needs an open stream, and may be asked for once")
        self._begun = True
        self._newest_ns = time.monotonic_ns()
        self._due_ns = self._newest_ns + self._silence_ns
        reader.start(asyncio.get_running_loop(), self._wake)
        while not self._closed:
            ended = reader.ended  # read before the queue is emptied: what came before the end is still given
            served = 0
            while reader.queue and not self._closed:
                for block in self._made(maker, reader.queue.popleft()):
                    yield block
                served += 1
                if served % FAIR_BLOCKS == 0:
                    await asyncio.sleep(0)
            if ended is not None:
                raise ended
            await self._arrival()
            now_ns = time.monotonic_ns()
            if now_ns >= self._due_ns and not (reader.queue or reader.ended or self._closed):
                self._due_ns = now_ns + self._silence_ns
                yield Silence(since_ns=self._newest_ns, now_ns=now_ns)

    async def close(self) -> None:
        """Leave the stream; bounded, and may be called twice."""
        self._closed = True
        self._wake()
        reader, inlet = self._reader, self._inlet
        self._reader = self._inlet = None
        if reader is not None and inlet is not None:
            await asyncio.to_thread(_disconnect, reader, inlet)

    def _made(self, maker: BlockMaker, raw: RawBlock) -> list[Block]:
        try:
            blocks = maker.make(raw)
        except ClockError as error:
            text = f"LSL stream {self._config.name or self._config.source_id!r}: {error}; check the sender's clock"
            raise StreamLost("clock", text) from error
        self._newest_ns = blocks[-1].evidence.newest_ns
        due_ns = self._newest_ns + self._silence_ns
        # A stream that is late by more than the limit all the time is not silent; its age stands in Evidence.
        self._due_ns = due_ns if due_ns > raw.received_ns else raw.received_ns + self._silence_ns
        return blocks

    async def _arrival(self) -> None:
        """Until the reader has something, or the silence has lasted too long."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_at(self._due_ns / 1e9, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _connect(config: SourceConfig) -> tuple[Inlet, Plan, Offset]:
    """All that may block while a stream is opened: to resolve, to ask for its description and its clock."""
    # The least of a few: between the two calls this process may have to wait for a core.
    apart_s = min(abs(pylsl.local_clock() - time.monotonic()) for _ in range(5))
    if apart_s > SAME_CLOCK_S:
        raise SourceError(
            f"LSL: its clock is {apart_s:.3f} s off this machine's monotonic clock, expected the same, "
            "as it is on Linux; use Linux"
        )
    inlet = Inlet(resolve(config))
    try:
        with ThreadPoolExecutor(max_workers=1) as pool:
            doubles = pool.submit(refuse_doubles, config)  # takes a second, as the first clock offset does
            how = plan(stream_row(inlet.full_info()), config)
            offset = inlet.offset()
            doubles.result()
        return inlet, how, offset
    except RuntimeError as error:  # pylsl's own errors, its TimeoutError and LostError among them
        raise SourceError(
            f"LSL: the stream was found but does not answer in {CALL_S:g} s ({error}); restart the sender, "
            "and see that no firewall stands between"
        ) from error


def _disconnect(reader: Reader, inlet: Inlet) -> None:
    reader.stop()
    inlet.close()
