"""LslSource against real streams: what arrives, what is lost, what is silent, what must never be attached to."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import numpy as np
import pylsl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.continuity import ClockError, Continuity
from controller.eeg import Block, StreamSpec
from controller.lsl import BlockMaker, LslSource, all_clean
from controller.lsl_inlet import QUEUE_BLOCKS, Offset, RawBlock
from controller.source import Silence, SourceConfig, SourceError, StreamLost
from controller.streams import Plan

pytestmark = pytest.mark.system

RATE_HZ = 500.0
NAMES = ("C3", "Cz", "C4")


def plan_of(n_channels: int = 3, picks: tuple[int, ...] = (0, 1, 2), scale: float = 1.0) -> Plan:
    spec = StreamSpec(
        name="amp", type="EEG", source_id="s", uid="u", sfreq_hz=RATE_HZ, ch_names=NAMES, hostname="h"
    )
    return Plan(spec=spec, n_channels=n_channels, picks=picks, scale_uv=(scale,) * len(picks))


def raw(
    samples: object, stamps_s: object, before: int, offset_s: float = 0.0, received_s: float = 0.0
) -> RawBlock:
    stamps = np.array(stamps_s, dtype=np.float64)
    received_ns = round((received_s or float(stamps[-1])) * 1e9)
    return RawBlock(np.array(samples, dtype=np.float32), stamps, received_ns, before, Offset(offset_s, 5))


# --- Continuity and BlockMaker: pure ---------------------------------------------------------------------------


def test_even_stamps_lose_nothing_and_a_jump_of_four_does() -> None:
    steps = Continuity(RATE_HZ)
    assert steps.losses([1.0, 1.002, 1.004], 1.004) == []
    assert steps.losses([1.012], 1.012) == []  # three samples late: jitter
    assert steps.losses([1.022], 1.022) == [(0, 4)]
    assert steps.losses([1.024, 1.046, 1.048], 1.048) == [(1, 10)]


def test_a_group_of_one_stamp_is_as_long_as_its_samples() -> None:
    steps = Continuity(RATE_HZ)
    groups = [[1.0 + 0.04 * k] * 20 for k in range(5)]
    assert [steps.losses(group, group[0]) for group in groups] == [[]] * 5
    assert steps.losses([1.24] * 20, 1.24) == [(0, 20)]


def test_jitter_that_is_declared_is_no_loss() -> None:
    steps = Continuity(RATE_HZ, tolerance_samples=10.0)
    assert steps.losses([1.0, 1.022, 1.023], 1.03) == []
    assert steps.losses([1.05], 1.05) == [(0, 13)]


def test_a_clock_that_leaps_within_the_first_block_is_an_error() -> None:
    with pytest.raises(ClockError):
        Continuity(RATE_HZ).losses([100.0, 110.0], 100.0)


@pytest.mark.parametrize("stamp_s", [float("nan"), float("inf"), 98.9, 101.1, -1.0])
def test_a_broken_clock_is_an_error(stamp_s: float) -> None:
    steps = Continuity(RATE_HZ)
    steps.losses([100.0], 100.0)
    with pytest.raises(ClockError):
        steps.losses([stamp_s], 100.002)


def test_an_outage_as_long_as_the_jump_is_a_loss_not_a_broken_clock() -> None:
    steps = Continuity(RATE_HZ)
    steps.losses([100.0], 100.0)
    assert steps.losses([103.0], 103.0) == [(0, 1499)]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=40), st.integers(1, 7))
def test_every_dropped_sample_beyond_jitter_is_counted(steps: list[int], chunk: int) -> None:
    """Of a stream with holes, what is found missing is what is missing, however it is cut."""
    index = np.cumsum([0, *steps])
    stamps = (10.0 + index / RATE_HZ).tolist()
    continuity = Continuity(RATE_HZ)
    found: dict[int, int] = {}
    for begin in range(0, len(stamps), chunk):
        part = stamps[begin : begin + chunk]
        found |= {begin + at: n for at, n in continuity.losses(part, part[-1])}
    assert found == {at + 1: step - 1 for at, step in enumerate(steps) if step - 1 > 3}


def test_a_block_is_picked_scaled_and_in_one_piece() -> None:
    maker = BlockMaker(plan_of(picks=(2, 0), scale=1e6), 0.0, all_clean)
    sent = [[1e-6, 2e-6, 3e-6], [4e-6, 5e-6, 6e-6]]
    (block,) = maker.make(raw(sent, [1.0, 1.002], 0, offset_s=0.5, received_s=1.6))
    np.testing.assert_allclose(block.data_uv, [[3, 6], [1, 4]], rtol=1e-6)
    assert block.data_uv.dtype == np.float64
    assert block.data_uv.flags.c_contiguous
    assert block.stamps_ns.tolist() == [1_500_000_000, 1_502_000_000]
    assert (block.first, block.n_missing, block.received_ns) == (0, 0, 1_600_000_000)
    assert block.evidence.n_samples == 2
    assert block.evidence.newest_ns == 1_502_000_000
    assert block.evidence.uncertainty_ns == 5
    assert block.evidence.stream_uid == "u"


def test_evidence_stands_still_while_a_stuck_block_is_cut_anew() -> None:
    """Ten samples over and over, as one and nine, as ten, as three and seven."""
    maker = BlockMaker(plan_of(), 0.0, all_clean)
    stuck = np.random.default_rng(0).standard_normal((10, 3)).tolist()
    crcs, n = [], 0
    for cuts in ((10,), (10,), (1, 9), (10,), (3, 7), (1, 9)) * 3:
        at = 0
        for size in cuts:
            stamps_s = [1.0 + (n + index) / RATE_HZ for index in range(size)]
            (block,) = maker.make(raw(stuck[at : at + size], stamps_s, n))
            crcs.append(block.evidence.crc)
            at, n = at + size, n + size
    assert len(set(crcs[1:])) == 1
    fresh = np.random.default_rng(1).standard_normal((10, 3)).tolist()
    (block,) = maker.make(raw(fresh, [1.0 + (n + index) / RATE_HZ for index in range(10)], n))
    assert block.evidence.crc != crcs[-1]


def test_a_block_is_split_where_samples_are_lost() -> None:
    maker = BlockMaker(plan_of(), 0.0, all_clean)
    blocks = maker.make(raw([[1] * 3, [2] * 3, [3] * 3], [1.0, 1.02, 1.022], 0))
    assert [(b.first, b.n_missing, b.data_uv.shape[1]) for b in blocks] == [(0, 0, 1), (10, 9, 2)]
    assert [b.evidence.n_samples for b in blocks] == [1, 3]


def test_blocks_dropped_on_the_way_to_the_loop_count_as_lost_samples() -> None:
    maker = BlockMaker(plan_of(), 0.0, all_clean)
    maker.make(raw([[1] * 3], [1.0], 0))
    (block,) = maker.make(raw([[2] * 3], [1.004], 2))  # one sample in between never came to be taken
    assert (block.first, block.n_missing, block.evidence.n_samples) == (2, 1, 3)


def test_time_never_goes_back_when_the_offset_is_corrected() -> None:
    maker = BlockMaker(plan_of(), 0.0, all_clean)
    (before,) = maker.make(raw([[1] * 3], [1.0], 0, offset_s=0.010))
    (after,) = maker.make(raw([[2] * 3, [3] * 3], [1.002, 1.004], 1, offset_s=0.007))
    assert before.stamps_ns[0] == after.stamps_ns[0] == 1_010_000_000
    assert after.stamps_ns[1] == 1_011_000_000


def test_a_channel_without_numbers_is_not_clean() -> None:
    assert all_clean(np.zeros((4, 2))) == 1.0
    assert all_clean(np.array([[0.0, np.nan], [1.0, 2.0], [np.inf, 0.0], [1.0, 1.0]])) == 0.5


# --- against liblsl --------------------------------------------------------------------------------------------


class Sender:
    """An outlet of this process that stamps by schedule."""

    def __init__(self, source_id: str, name: str = "amp", rate_hz: float = RATE_HZ) -> None:
        info = pylsl.StreamInfo(name, "EEG", len(NAMES), rate_hz, "float32", source_id)
        info.set_channel_labels(list(NAMES))
        info.set_channel_units("microvolts")
        self._rate_hz = rate_hz
        self._outlet: pylsl.StreamOutlet | None = pylsl.StreamOutlet(info)
        self._begin_s = time.monotonic()
        self.n_sent = 0

    def push(self, n_samples: int, skip: int = 0) -> None:
        self.n_sent += skip
        for _ in range(n_samples):
            sample = np.full(len(NAMES), self.n_sent, dtype=np.float32)
            assert self._outlet is not None
            self._outlet.push_sample(sample, self._begin_s + self.n_sent / self._rate_hz)
            self.n_sent += 1

    def close(self) -> None:
        self._outlet = None


@pytest.fixture
def source_id() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def sender(source_id: str) -> Iterator[Sender]:
    sender = Sender(source_id, name=f"amp {source_id}")
    yield sender
    sender.close()


def config(source_id: str, silence_ms: int = 100) -> SourceConfig:
    return SourceConfig(source_id=source_id, sfreq_hz=RATE_HZ, resolve_s=5.0, silence_ms=silence_ms)


@asynccontextmanager
async def opened(source: LslSource) -> AsyncIterator[AsyncIterator[Block | Silence]]:
    async with asyncio.timeout(8):
        await source.open()
    try:
        yield source.blocks()
    finally:
        async with asyncio.timeout(3):
            await source.close()


async def take(blocks: AsyncIterator[Block | Silence], n_samples: int) -> list[Block]:
    got: list[Block] = []
    async with asyncio.timeout(5):
        async for block in blocks:
            if isinstance(block, Block):
                got.append(block)
                if sum(b.data_uv.shape[1] for b in got) >= n_samples:
                    return got
    raise AssertionError(f"ended after {len(got)} blocks")


async def begin(blocks: AsyncIterator[Block | Silence]) -> Silence:
    """Past the opening of the stream: nothing is sent before the inlet listens."""
    async with asyncio.timeout(5):
        silence = await anext(blocks)
    assert isinstance(silence, Silence)
    return silence


async def test_samples_silence_gap_and_end_come_in_order(sender: Sender, source_id: str) -> None:
    async with opened(LslSource(config(source_id))) as blocks:
        silence = await begin(blocks)
        assert 100e6 <= silence.now_ns - silence.since_ns < 400e6
        sender.push(50)
        sender.push(30, skip=20)
        got = await take(blocks, 80)
        values = np.concatenate([block.data_uv for block in got], axis=1)
        expected = [*range(50), *range(70, 100)]
        np.testing.assert_array_equal(values, np.tile(expected, (3, 1)))
        assert sum(block.n_missing for block in got) == 20
        assert got[-1].first + got[-1].data_uv.shape[1] == 100
        assert got[-1].evidence.n_samples == 80
        stamps = np.concatenate([block.stamps_ns for block in got])
        assert (np.diff(stamps) >= 0).all()
        # On one machine there is one clock: a stamp is as it was sent.
        sent_ns = (sender._begin_s + 99 / RATE_HZ) * 1e9
        assert abs(int(stamps[-1]) - sent_ns) < 1e3

        second = await begin(blocks)
        assert second.since_ns == int(stamps[-1])
        sender.push(3)
        sender.close()
        last: list[Block] = []
        with pytest.raises(StreamLost) as lost:
            async with asyncio.timeout(5):
                async for block in blocks:
                    if isinstance(block, Block):
                        last.append(block)
        assert lost.value.code == "lost"
        assert sum(block.data_uv.shape[1] for block in last) <= 3  # the connection may be cut before


SENDER = """
    import sys, time
    import numpy as np
    import pylsl
    info = pylsl.StreamInfo("amp", "EEG", 3, 500.0, "float32", sys.argv[1])
    info.set_channel_labels(["C3", "Cz", "C4"])
    info.set_channel_units("microvolts")
    outlet = pylsl.StreamOutlet(info)
    print("up", flush=True)
    begin = time.monotonic()
    for k in range(500 * 30):
        time.sleep(max(0.0, begin + k / 500 - time.monotonic()))
        outlet.push_sample(np.full(3, float(sys.argv[2]), dtype=np.float32), begin + k / 500)
"""


def start_sender(source_id: str, value: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(SENDER), source_id, str(value)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


async def test_a_killed_sender_ends_it_and_its_double_is_never_attached_to(source_id: str) -> None:
    first = start_sender(source_id, 1.0)
    second = None
    try:
        async with opened(LslSource(config(source_id))) as blocks:
            got = await take(blocks, 50)
            # The same name and source_id again, as a restarted or a foreign amplifier would have them.
            second = start_sender(source_id, 2.0)
            got += await take(blocks, 100)
            first.send_signal(signal.SIGKILL)
            killed_s = time.monotonic()
            with pytest.raises(StreamLost) as lost:
                async with asyncio.timeout(5):
                    async for block in blocks:
                        if isinstance(block, Block):
                            got.append(block)
            assert lost.value.code == "lost"
            assert time.monotonic() - killed_s < 1.0
            assert {float(value) for block in got for value in block.data_uv.ravel()} == {1.0}
            with pytest.raises(StopAsyncIteration):
                await anext(blocks)
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait(10.0)
                assert process.stdout is not None
                process.stdout.close()


async def test_a_hung_sender_is_silence_until_it_goes_on(source_id: str) -> None:
    process = start_sender(source_id, 1.0)
    try:
        async with opened(LslSource(config(source_id, silence_ms=80))) as blocks:
            await take(blocks, 20)
            process.send_signal(signal.SIGSTOP)
            silences: list[Silence] = []
            async with asyncio.timeout(3):
                async for block in blocks:
                    if isinstance(block, Silence):
                        silences.append(block)
                    if len(silences) == 3:
                        break
            gaps_ms = np.diff([s.now_ns for s in silences]) / 1e6
            assert (gaps_ms >= 80).all()
            assert len({s.since_ns for s in silences}) == 1
            process.send_signal(signal.SIGCONT)
            late = await take(blocks, 1)
            assert late[0].stamps_ns[0] > silences[0].since_ns
    finally:
        process.kill()
        process.wait(10.0)
        assert process.stdout is not None
        process.stdout.close()


async def test_close_ends_the_iteration_and_both_threads_and_may_come_twice(
    sender: Sender, source_id: str
) -> None:
    source = LslSource(config(source_id, silence_ms=5000))
    async with opened(source) as blocks:
        waiting = asyncio.create_task(anext(blocks, None))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(2):
            await source.close()
            assert await waiting is None
    assert not [t.name for t in threading.enumerate() if t.name.startswith("lsl-")]


async def test_a_late_loop_loses_the_oldest_knows_how_many_and_lets_others_run(
    sender: Sender, source_id: str
) -> None:
    async with opened(LslSource(config(source_id))) as blocks:
        await begin(blocks)
        n_sent = QUEUE_BLOCKS + 100
        for _ in range(n_sent):
            sender.push(1)
            time.sleep(0.0002)  # the loop is held up while the reader goes on, sample by sample
        time.sleep(0.1)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        got = await take(blocks, 1)
        async with asyncio.timeout(5):
            while got[-1].evidence.n_samples < n_sent:
                got += await take(blocks, 1)
        task.cancel()
        assert turns >= len(got) // 20  # a backlog does not starve the loop's other tasks
        n_got = sum(block.data_uv.shape[1] for block in got)
        assert sum(block.n_missing for block in got) + n_got == n_sent
        assert got[-1].data_uv[0, -1] == n_sent - 1
        assert len(got) <= QUEUE_BLOCKS


async def test_a_broken_clock_ends_the_stream(sender: Sender, source_id: str) -> None:
    async with opened(LslSource(config(source_id))) as blocks:
        await begin(blocks)
        sender.push(5)
        sender.push(1, skip=5000)
        with pytest.raises(StreamLost, match="leapt ahead by 10") as lost:
            await take(blocks, 6)
        assert lost.value.code == "clock"


async def test_no_stream_is_an_error_that_lists_what_is_there(sender: Sender, source_id: str) -> None:
    wrong = SourceConfig(name="no'such", sfreq_hz=RATE_HZ, resolve_s=0.5)
    with pytest.raises(SourceError, match=f"no stream with name .no'such. in 0.5 s.*{source_id}"):
        await LslSource(wrong).open()


async def test_two_streams_of_one_name_are_refused_and_both_named(sender: Sender, source_id: str) -> None:
    name = f"amp {source_id}"
    other = Sender(f"{source_id}-b", name=name)
    by_name = SourceConfig(name=name, sfreq_hz=RATE_HZ, resolve_s=5.0)
    with pytest.raises(SourceError, match=r"2 streams with name .*, expected one") as caught:
        await LslSource(by_name).open()
    assert f"'{source_id}'" in str(caught.value)
    assert f"'{source_id}-b'" in str(caught.value)
    other.close()


async def test_what_does_not_fit_is_refused_before_anything_is_read(source_id: str) -> None:
    sender = Sender(source_id, rate_hz=250.0)
    wanted = SourceConfig(source_id=source_id, sfreq_hz=RATE_HZ, channels=("C3", "C5"), resolve_s=5.0)
    source = LslSource(wanted)
    with pytest.raises(SourceError) as caught:
        await source.open()
    assert "announces 250 Hz, expected 500 Hz" in str(caught.value)
    assert "has no channel 'C5'" in str(caught.value)
    with pytest.raises(SourceError, match="needs an open stream"):
        await anext(source.blocks())
    sender.close()


async def test_the_way_into_the_loop_adds_little_to_a_bare_pull(source_id: str) -> None:
    """Measured 140 µs (p50) beside a bare pull_sample, one-sample pushes at 500 Hz; here with room for load."""
    process = start_sender(source_id, 1.0)
    try:

        def bare() -> float:
            inlet = pylsl.StreamInlet(pylsl.resolve_byprop("source_id", source_id, 1, 5.0)[0], recover=False)
            late = []
            for _ in range(150):
                _, stamp_s = inlet.pull_sample(timeout=2.0)
                late.append(time.monotonic() - stamp_s)
            return float(np.median(late)) * 1e6

        bare_us = await asyncio.to_thread(bare)
        async with opened(LslSource(config(source_id))) as blocks:
            late_us = []
            async with asyncio.timeout(5):
                async for block in blocks:
                    if isinstance(block, Block):
                        late_us.append((time.monotonic_ns() - int(block.stamps_ns[-1])) / 1e3)
                    if len(late_us) == 150:
                        break
        assert float(np.median(late_us)) - bare_us < 1000
    finally:
        process.kill()
        process.wait(10.0)
        assert process.stdout is not None
        process.stdout.close()
