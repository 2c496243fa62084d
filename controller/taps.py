"""Bounded fan-out of what the loop did: drops the oldest, counts drops, never awaited by the loop.

The loop only appends to a deque. A consumer thread looks every 20 ms instead of being woken: a wake-up costs
the loop a futex call and the interpreter's lock just when it is busy, and nothing behind a tap is in a hurry.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from controller.eeg import Block, Cycle
from safety.messages import DeliveryReport, PhaseChanged, Trip

POLL_S = 0.02  # own choice: 50 looks a second cost under 1 % of a core, and a viewer sees no delay
BATCH_MAX = 256  # own choice: bounds how long one consume may hold the interpreter's lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something worth a line in the record: stream lost, drops, a note of the operator."""

    t_ns: int
    kind: str
    code: str
    text: str


Item = Block | Cycle | DeliveryReport | PhaseChanged | Trip | Event
Offered = tuple[int, Item]  # when it was offered, ns of the host's clock; and what
KINDS: frozenset[type] = frozenset({Block, Cycle, DeliveryReport, PhaseChanged, Trip, Event})


class Consumer(Protocol):
    """What stands behind a tap. Both are called in the tap's own thread and may block it, not the loop.

    `consume` comes with an empty list while nothing is offered, so that what waits inside can go on.
    """

    def consume(self, items: list[Offered]) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TapStatus:
    """One tap at an instant; `failed` is empty while its consumer works."""

    name: str
    offered: int
    dropped: int
    high_water: int
    failed: str


class Tap:
    """One bounded queue and its consumer. `offer` belongs to one thread: the loop's."""

    def __init__(
        self, name: str, maxlen: int, kinds: frozenset[type] = KINDS, poll_s: float = POLL_S
    ) -> None:
        if maxlen < 1:
            raise ValueError(f"tap {name}: maxlen is {maxlen}, expected 1 or more")
        self.name = name
        self.offered = 0
        self.high_water = 0
        self.failed = ""
        self._kinds = kinds
        self._poll_s = poll_s
        self._queue: deque[Offered] = deque(maxlen=maxlen)
        self._taken = 0
        self._told = 0
        self._accepts = True
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """What was offered and will not be consumed. Never too high; one too low for an instant."""
        return max(0, self.offered - self._taken - len(self._queue))

    def offer(self, item: Item) -> None:
        """O(1); never blocks, never raises; a full queue loses its oldest."""
        self.accept((time.monotonic_ns(), item))

    def accept(self, offered: Offered) -> None:
        """`offer` for an item that was stamped already."""
        if type(offered[1]) not in self._kinds:
            return
        if self._accepts:
            queue = self._queue
            queue.append(offered)
            depth = len(queue)
            if depth > self.high_water:
                self.high_water = depth
        # After the append, and `_taken` before the popleft: `dropped` can then never read too high.
        self.offered += 1

    def start(self, consumer: Consumer) -> None:
        """Hand the queue to a consumer, in a thread of its own that never outlives the process."""
        if self._thread is not None:
            raise RuntimeError(f"tap {self.name}: already started")
        self._thread = threading.Thread(
            target=self._run, args=(consumer,), name=f"tap-{self.name}", daemon=True
        )
        self._thread.start()

    def signal_close(self) -> None:
        """Take nothing more; let the consumer drain and close."""
        self._accepts = False
        self._closing.set()

    def close(self, timeout_s: float) -> bool:
        """Drain what can be drained. True if all that the queue held was consumed and the consumer closed."""
        self.signal_close()
        if self._thread is None:
            return not self._queue
        self._thread.join(max(0.0, timeout_s))
        if self._thread.is_alive() and not self.failed:
            self.failed = f"{self.name}: still busy after {timeout_s:.1f} s; the rest is missing"
        return not self._thread.is_alive() and not self.failed

    def status(self) -> TapStatus:
        return TapStatus(
            name=self.name,
            offered=self.offered,
            dropped=self.dropped,
            high_water=self.high_water,
            failed=self.failed,
        )

    def _run(self, consumer: Consumer) -> None:
        try:
            closing = False
            while not closing:
                closing = self._closing.wait(self._poll_s)
                batch = self._take()
                consumer.consume(batch)
                while batch:
                    batch = self._take()
                    if batch:
                        consumer.consume(batch)
        except Exception as error:  # noqa: BLE001 - the wall: whatever a consumer raises must end here
            self._fail(error)
        try:
            consumer.close()
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)

    def _take(self) -> list[Offered]:
        queue = self._queue
        batch: list[Offered] = []
        dropped = self.dropped
        if dropped > self._told:
            now_ns = time.monotonic_ns()
            text = f"{dropped - self._told} items dropped, the oldest first; {dropped} since the start"
            batch.append((now_ns, Event(t_ns=now_ns, kind="drops", code=self.name, text=text)))
            self._told = dropped
        while queue and len(batch) < BATCH_MAX:
            self._taken += 1
            try:
                batch.append(queue.popleft())
            except IndexError:  # maxlen 1 and a producer in between cannot empty it, but cost nothing to bear
                self._taken -= 1
        return batch

    def _fail(self, error: Exception) -> None:
        self._accepts = False
        if not self.failed:  # the first reason is the cause
            self.failed = f"{self.name}: {type(error).__name__}: {' '.join(str(error).split())}"
        self._queue.clear()


class Taps:
    """All taps of a session."""

    def __init__(self, taps: Iterable[Tap]) -> None:
        self._taps = tuple(taps)

    def offer(self, item: Item) -> None:
        """Stamp once, offer to each tap; a few hundred ns a tap."""
        offered = (time.monotonic_ns(), item)
        for tap in self._taps:
            tap.accept(offered)

    def failures(self) -> tuple[str, ...]:
        """One line for each consumer that was stopped; the loop may look, and goes on."""
        return tuple(tap.failed for tap in self._taps if tap.failed)

    def status(self) -> tuple[TapStatus, ...]:
        return tuple(tap.status() for tap in self._taps)

    def close(self, timeout_s: float) -> bool:
        """Close all at once within one deadline; true if each wrote all that its queue held."""
        deadline_s = time.monotonic() + timeout_s
        for tap in self._taps:
            tap.signal_close()
        done = [tap.close(deadline_s - time.monotonic()) for tap in self._taps]
        return all(done)
