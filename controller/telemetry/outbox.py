"""What waits for the broker: the newest state, a bounded row of events, a shorter one of readings; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

Topic = Literal["status", "telemetry/readings", "event", "interlock/state", "interlock/ack"]
EVENTS_MAX = 256  # own choice: a broker that is away for minutes misses no trip
READINGS_MAX = 64  # own choice: a few seconds; older readings help nobody
RETAINED: frozenset[Topic] = frozenset({"status", "event", "interlock/state"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One publication: QoS 0 for readings, 1 for the rest."""

    topic: Topic
    payload: bytes
    qos: Literal[0, 1]
    retain: bool


@dataclass(slots=True)
class Outbox:
    """Drops the oldest and counts. Sequence numbers are given on entry, so that a drop shows as a gap."""

    dropped: int = 0
    _seq: dict[Topic, int] = field(default_factory=dict)
    _latest: dict[Topic, Message] = field(default_factory=dict)
    _events: deque[Message] = field(default_factory=deque)
    _readings: deque[Message] = field(default_factory=deque)

    def make(self, topic: Topic, t_ns: int, now: tuple[int, datetime], body: Mapping[str, object]) -> Message:
        """`now`: the monotonic ns and the wall time of one instant, which date `t_ns`."""
        seq = self._seq.get(topic, 0) + 1
        self._seq[topic] = seq
        now_ns, wall = now
        at = wall.astimezone(UTC) - timedelta(microseconds=(now_ns - t_ns) // 1000)
        head = {
            "schema": f"nociloop/{topic}/1",
            "seq": seq,
            "t_utc": at.isoformat(timespec="microseconds"),
            "t_mono_ns": t_ns,
        }
        return Message(
            topic=topic,
            payload=msgspec.json.encode(head | dict(body)),
            qos=0 if topic == "telemetry/readings" else 1,
            retain=topic in RETAINED,
        )

    def put(self, message: Message) -> None:
        """States replace one another; events and readings line up, the oldest gives way."""
        match message.topic:
            case "status" | "interlock/state":
                self._latest[message.topic] = message
            case "telemetry/readings":
                self._line_up(self._readings, READINGS_MAX, message)
            case "event" | "interlock/ack":
                self._line_up(self._events, EVENTS_MAX, message)

    def take(self) -> Message | None:
        """States first, then events, then readings."""
        for topic in self._latest:
            return self._latest.pop(topic)
        for line in (self._events, self._readings):
            if line:
                return line.popleft()
        return None

    def give_back(self, message: Message) -> None:
        """It could not be published: first in its line again, unless it is a reading or out of date."""
        match message.topic:
            case "status" | "interlock/state":
                self._latest.setdefault(message.topic, message)
            case "event" | "interlock/ack" if len(self._events) < EVENTS_MAX:
                self._events.appendleft(message)
            case _:
                self.dropped += 1

    def __len__(self) -> int:
        return len(self._latest) + len(self._events) + len(self._readings)

    def _line_up(self, line: deque[Message], n_max: int, message: Message) -> None:
        if len(line) >= n_max:
            line.popleft()
            self.dropped += 1
        line.append(message)
