"""An LSL inlet and the two threads that serve it: one waits for samples, one keeps the clocks' offset."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pylsl
from numpy.typing import NDArray

from controller.source import StreamLost

BUFFER_S = 2  # liblsl's own buffer; older than that is of no use to a loop, and its loss is seen as a gap
QUEUE_BLOCKS = 1024  # own choice: 2 s of single samples at 500 Hz; the oldest is dropped, and counted as lost
BLOCK_SAMPLES_MAX = 512  # own choice: more than any sender's chunk
PULL_S = 0.2  # how long the reader stays in C before it looks whether it should end
OFFSET_EVERY_S = 5.0  # as LabRecorder asks for clock offsets
CALL_S = 5.0  # bound on each question to the sender; the first clock offset takes 0.64 s
JOIN_S = 1.0
SAME_CLOCK_S = 1e-3  # two programs of one machine are on one clock; their estimated offset is within this


class Offset(NamedTuple):
    """What to add to the sender's stamps, and how far that may be off."""

    seconds: float
    uncertainty_ns: int


class RawBlock(NamedTuple):
    """Samples x channels as they came, with the sender's stamps; `before` samples were read before them."""

    samples: NDArray[np.generic]
    stamps_s: NDArray[np.float64]
    received_ns: int
    before: int
    offset: Offset


class Inlet:
    """A pylsl inlet behind typed calls, reading into memory of its own."""

    def __init__(self, info: pylsl.StreamInfo) -> None:
        # recover=False: liblsl would otherwise attach, silently, to any stream that looks the same.
        self._inlet = pylsl.StreamInlet(info, max_buflen=BUFFER_S, recover=False, processing_flags=0)
        self._same_host = str(info.hostname()) == socket.gethostname()
        n_channels = int(info.channel_count())
        self._data = np.zeros((BLOCK_SAMPLES_MAX, n_channels), dtype=self._inlet.np_dtype)
        self._stamps_s = np.zeros(BLOCK_SAMPLES_MAX)
        self._code = ctypes.c_int()
        self._pull = self._inlet.do_pull_chunk
        self._first_args = self._args(0, 1, PULL_S)
        self._rest_args = self._args(1, BLOCK_SAMPLES_MAX - 1, 0.0)

    def _args(self, begin: int, n_samples: int, wait_s: float) -> tuple[object, ...]:
        """The arguments of lsl_pull_chunk for `n_samples` rows of our memory from `begin` on."""
        return (
            self._inlet.obj,
            ctypes.c_void_p(self._data[begin:].ctypes.data),
            ctypes.c_void_p(self._stamps_s[begin:].ctypes.data),
            ctypes.c_size_t(n_samples * self._data.shape[1]),
            ctypes.c_size_t(n_samples),
            ctypes.c_double(wait_s),
            ctypes.byref(self._code),
        )

    def full_info(self) -> pylsl.StreamInfo:
        """The stream's description with its channels; the inlet's own has none."""
        return self._inlet.info(timeout=CALL_S)

    def open(self) -> None:
        self._inlet.open_stream(timeout=CALL_S)

    def close(self) -> None:
        self._inlet.close_stream()

    def offset(self) -> Offset:
        """The sender's clock against ours; the first call waits for an answer, later ones do not."""
        remote_s, uncertainty_s, code = ctypes.c_double(), ctypes.c_double(), ctypes.c_int()
        # pylsl has no name for the variant that also tells the uncertainty.
        ask = pylsl.lib.lib.lsl_time_correction_ex
        ask.restype = ctypes.c_double
        seconds = float(
            ask(
                self._inlet.obj,
                ctypes.byref(remote_s),
                ctypes.byref(uncertainty_s),
                ctypes.c_double(CALL_S),
                ctypes.byref(code),
            )
        )
        pylsl.util.handle_error(code)
        uncertainty_ns = max(0, round(uncertainty_s.value * 1e9))
        if self._same_host and abs(seconds) < SAME_CLOCK_S:
            # One clock: what was estimated is the way of the question, not a difference.
            return Offset(0.0, uncertainty_ns + round(abs(seconds) * 1e9))
        return Offset(seconds, uncertainty_ns)

    def pull(self) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
        """What is there, after a wait for the first sample; copies.

        The arguments are made once: pylsl's `pull_chunk` makes them anew each time, measured at 50 µs.
        """
        if not self._pull(*self._first_args):
            pylsl.util.handle_error(self._code)
            return self._data[:0], self._stamps_s[:0]
        n_samples = 1 + int(self._pull(*self._rest_args)) // self._data.shape[1]
        return self._data[:n_samples].copy(), self._stamps_s[:n_samples].copy()


class Reader:
    """Moves samples from the inlet to the loop's thread, and does nothing else with them.

    What ends it is in `ended`; whatever is in `queue` came before that.
    """

    def __init__(self, inlet: Inlet, offset: Offset, name: str) -> None:
        self.queue: deque[RawBlock] = deque(maxlen=QUEUE_BLOCKS)
        self.ended: StreamLost | None = None
        self._inlet = inlet
        self._offset = offset  # replaced whole by the other thread
        self._name = name
        self._stop = threading.Event()
        self._told = False
        self._threads: tuple[threading.Thread, ...] = ()

    def start(self, loop: asyncio.AbstractEventLoop, arrived: Callable[[], None]) -> None:
        """Begin; `arrived` is called in the loop's thread when something is in the queue, or it has ended."""

        def heard() -> None:
            self._told = False  # before anything is taken, so that what comes now wakes the loop again
            arrived()

        def tell() -> None:
            """Wake the loop: once for all that is in the queue when it wakes."""
            if not self._told:
                self._told = True
                with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to be told
                    loop.call_soon_threadsafe(heard)

        self._threads = (
            threading.Thread(target=self._read, args=(tell,), name="lsl-reader", daemon=True),
            threading.Thread(target=self._keep_offset, name="lsl-clock", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both threads; bounded. One that is stuck in C is left behind: it is a daemon."""
        self._stop.set()
        until_s = time.monotonic() + JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))

    def _read(self, tell: Callable[[], None]) -> None:
        name, before = f"LSL stream {self._name!r}", 0
        try:
            self._inlet.open()
            while not self._stop.is_set():
                samples, stamps_s = self._inlet.pull()
                if len(stamps_s):
                    self.queue.append(RawBlock(samples, stamps_s, time.monotonic_ns(), before, self._offset))
                    before += len(stamps_s)
                    tell()
        except pylsl.util.LostError:
            self.ended = StreamLost("lost", f"{name}: the sender is gone; start it again, then a new session")
            tell()
        except Exception as error:  # noqa: BLE001 - whatever ends this thread must reach the loop
            text = f"{name}: reading it failed: {type(error).__name__}: {error}; start it again"
            self.ended = StreamLost("fault", text)
            tell()

    def _keep_offset(self) -> None:
        while not self._stop.wait(OFFSET_EVERY_S):
            try:
                self._offset = self._inlet.offset()
            except pylsl.util.LostError:
                return
            except RuntimeError:
                continue  # the sender did not answer: the last offset stands, and its data's age is watched
