"""The interlock's `step` on a hand clock, between a controller that beats, a relay and a device: all pure.

Every step is held against what must always be true (`watch_step`), and recorded as the ledger would record it,
so that any test may re-execute what it did.
"""

from __future__ import annotations

import functools
import heapq
import os
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from drivers.capabilities import Capabilities
from drivers.link import FromHost, Opened, ToHost
from drivers.stimulation import Modality, Train
from safety.acts import public_key_hex, sign
from safety.entries import Entry, entry_of, fold_of
from safety.events import (
    ActPresented,
    Asked,
    Beat,
    Durable,
    Event,
    FireAsked,
    HostSaid,
    Joined,
    Now,
    RelaySaid,
    StopPressed,
    Tick,
)
from safety.interlock import step
from safety.limits import load
from safety.messages import (
    PROTOCOL,
    Act,
    ActResult,
    Evidence,
    FireRequest,
    FromInterlock,
    Heartbeat,
    Hello,
    Permit,
    PhaseChanged,
    Refusal,
    Request,
    Trip,
)
from safety.safing import Step
from safety.state import (
    Effect,
    EndProcess,
    OpenRelay,
    PetRelay,
    Rules,
    State,
    ToController,
    ToDevice,
    ToPerson,
    Watch,
)
from tests.safety.bench_device import MS, BenchDevice
from tests.safety.histories import NEW
from tests.safety.strategies import TODAY, caps_of, document, to_toml, valid_train
from tests.safety.watch_step import BrokenRule, watch_step

T0 = Now(mono_ns=1_000_000_000_000, boot_ns=1_000_500_000_000, wall_ns=1_780_000_000_000_000_000)
PEOPLE = {
    "ann": Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
    "bob": Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))),
}
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))
SESSION, DIGEST, UID = "s-1", "d" * 64, "stream-1"
SFREQ_HZ = 500.0
SILENCE_NS = 5 * MS
TICK_NS, BEAT_NS = 10 * MS, 20 * MS
LONG = os.environ.get("NOCILOOP_LONG") == "1"


def rules_of(
    modality: Modality = "tacs", *, budgets: dict[str, float] | None = None, **watch: float
) -> Rules:
    """Rules from a whole limits file; `watch` and `budgets` bend its tables."""
    return _rules_of(modality, tuple((budgets or {}).items()), tuple(watch.items()))


@functools.cache
def _rules_of(
    modality: Modality, budgets: tuple[tuple[str, float], ...], watch: tuple[tuple[str, float], ...]
) -> Rules:
    doc = document(modality)
    for name, key in PEOPLE.items():
        doc["people"][name]["public_key"] = public_key_hex(key)
    doc["watch"] |= dict(watch)
    for budget, high in budgets:
        doc["budgets"]["session"][budget]["max"] = high
    limits = load(to_toml(doc))
    return Rules(
        session_id=SESSION,
        session_digest=DIGEST,
        limits=limits,
        simulated=True,
        today=TODAY,
        nonce="nonce",
        history=NEW,
    )


def first_state(*, relay: bool = True) -> State:
    """As `safety.start` makes it."""
    watch = Watch(boot_offset_ns=T0.boot_ns - T0.mono_ns, wall_offset_ns=T0.wall_ns - T0.mono_ns)
    return State(entries=1, relay=relay, watch=watch)


def hello_of(modality: Modality = "tacs") -> Hello:
    return Hello(
        protocol=PROTOCOL,
        session_id=SESSION,
        session_digest=DIGEST,
        software="test",
        modality=modality,
        sfreq_hz=SFREQ_HZ,
        stream_uid=UID,
    )


def opened_of(caps: Capabilities, distribution: str = "nociloop") -> Opened:
    """As it comes over the host's link: each number of the type that it is declared to be."""
    opened = Opened(call=0, capabilities=caps, distribution=distribution, version="1")
    return msgspec.json.decode(msgspec.json.encode(opened), type=Opened)


M = TypeVar("M")


@dataclass(slots=True)
class World:
    """One session. `take` is one step; `run_ms` lets time pass with ticks, beats, answers and durability."""

    rules: Rules
    state: State = field(default_factory=first_state)
    first: State = field(init=False)
    device: BenchDevice = field(default_factory=BenchDevice)
    mono_ns: int = T0.mono_ns
    boot_offset_ns: int = T0.boot_ns - T0.mono_ns
    wall_offset_ns: int = T0.wall_ns - T0.mono_ns
    beating: bool = True
    ticking: bool = True
    host_answers: bool = True
    relay_answers: bool = True
    disk_ns: int | None = 5 * MS
    host_ns: int = MS
    relay_closed: bool = False
    clean_fraction: float = 1.0
    frozen_crc: bool = False
    data_age_ns: int = 10 * MS
    rate: float = 1.0
    beats: int = 0
    progressing: bool = True
    progress: int = 0
    ids: int = 0
    checks: bool = True
    heard: list[FromInterlock] = field(default_factory=list)
    answered: list[ActResult] = field(default_factory=list)
    sent: list[ToHost] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    entered: Watch = field(default_factory=Watch)
    ended: int | None = None
    stream_ns: int = T0.mono_ns
    _queue: list[tuple[int, int, Event]] = field(default_factory=list)
    _order: int = 0
    _durable: int = 1
    _due_tick_ns: int = T0.mono_ns + TICK_NS
    _due_beat_ns: int = T0.mono_ns + BEAT_NS

    def __post_init__(self) -> None:
        self.first = self.state
        self.entered = self.state.watch
        self.device.now_ns = self.mono_ns

    # Looking

    @property
    def now(self) -> Now:
        return Now(
            mono_ns=self.mono_ns,
            boot_ns=self.mono_ns + self.boot_offset_ns,
            wall_ns=self.mono_ns + self.wall_offset_ns,
        )

    @property
    def phase(self) -> str:
        return self.state.phase

    @property
    def modality(self) -> Modality:
        return self.rules.limits.modality

    def last(self, kind: type[M]) -> M:
        """The newest message of a kind to the controller."""
        return next(message for message in reversed(self.heard) if isinstance(message, kind))

    def codes(self, request_id: int) -> set[str]:
        """The codes with which a request was refused; empty when it was not."""
        return {
            reason.code
            for message in self.heard
            if isinstance(message, Refusal) and message.id == request_id
            for reason in message.reasons
        }

    def permits(self) -> list[Permit]:
        return [message for message in self.heard if isinstance(message, Permit)]

    def calls(self, kind: type[M]) -> list[M]:
        return [message for message in self.sent if isinstance(message, kind)]

    # Making things happen

    def take(self, event: Event) -> Step:
        """One step, its effects carried, its entry written."""
        before, now = self.state, self.now
        decided = step(self.rules, before, event, now)
        if self.checks:
            watch_step(self.rules, before, event, decided)
        self.state = decided.state
        if decided.state.entries != before.entries:
            fold = fold_of(self.counts, self.entered, before.watch)
            self.counts, self.entered = {}, decided.state.watch
            self.entries.append(entry_of(before, event, decided, now, fold))
            if self.disk_ns is not None:
                self.later(self.disk_ns, Durable(seq=decided.state.entries))
        else:
            name = type(event).__name__
            self.counts[name] = self.counts.get(name, 0) + 1
        for effect in decided.effects:
            self._carry(effect)
        self._left_alone(before)
        return decided

    def later(self, after_ns: int, event: Event) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.mono_ns + after_ns, self._order, event))

    def forget_queue(self) -> list[Event]:
        """What was on its way is lost; it is handed back."""
        lost = [event for _, _, event in self._queue]
        self._queue.clear()
        return lost

    def run_ms(self, ms: float) -> World:
        """Let time pass: everything due happens in order."""
        end_ns = self.mono_ns + round(ms * MS)
        while self.ended is None:
            dues = []
            if self._queue:
                dues.append(self._queue[0][0])
            if self.ticking:
                dues.append(self._due_tick_ns)
            if self.beating:
                dues.append(self._due_beat_ns)
            due_ns = min(dues, default=end_ns + 1)
            if due_ns > end_ns:
                break
            self.jump_to(due_ns)
            if self._queue and self._queue[0][0] <= self.mono_ns:
                self.take(heapq.heappop(self._queue)[2])
            elif self.beating and self._due_beat_ns <= self.mono_ns:
                self._due_beat_ns = self.mono_ns + BEAT_NS
                self.beat()
            else:
                self._due_tick_ns = self.mono_ns + TICK_NS
                self.take(Tick(behind_ns=self.behind_ns))
        self.jump_to(end_ns)
        return self

    behind_ns: int = 0

    def jump_to(self, mono_ns: int) -> None:
        """The clock moves, and the device with it."""
        self.mono_ns = max(self.mono_ns, mono_ns)
        self.device.advance(self.mono_ns)
        self._collect()

    def _collect(self) -> None:
        said, self.device.said = self.device.said, []
        for message in said:
            if self.host_answers:
                self.later(self.host_ns, HostSaid(message=message))

    def host_says(self, message: FromHost) -> Step:
        return self.take(HostSaid(message=message))

    def tick(self, behind_ns: int = 0) -> Step:
        return self.take(Tick(behind_ns=behind_ns))

    def evidence(self, **bent: object) -> Evidence:
        seen_ns = round((self.mono_ns - self.stream_ns) * self.rate)
        evidence = Evidence(
            stream_uid=UID,
            n_samples=round(seen_ns / 1e9 * SFREQ_HZ),
            newest_ns=self.mono_ns - self.data_age_ns,
            uncertainty_ns=100_000,
            crc=1 if self.frozen_crc else self.mono_ns % 2**32,
            clean_fraction=self.clean_fraction,
        )
        return msgspec.structs.replace(evidence, **bent)

    def beat(self, progress: int | None = None, **bent: object) -> Step:
        self.beats += 1
        if self.progressing:
            self.progress = self.beats
        told = self.progress if progress is None else progress
        beat = Heartbeat(seq=self.beats, progress=told, evidence=self.evidence(**bent))
        return self.take(Beat(heartbeat=beat))

    def request(self, train: Train | None = None, **bent: object) -> Request:
        self.ids += 1
        request = Request(
            id=self.ids,
            train=train or valid_train(self.modality),
            onset_at_ns=0,
            response=0.5,
            evidence=self.evidence(),
        )
        return msgspec.structs.replace(request, **bent)

    def ask(self, train: Train | None = None, **bent: object) -> int:
        """Ask, at once; the id of the request."""
        request = self.request(train, **bent)
        self.take(Asked(request=request))
        return request.id

    def fire(self, request_id: int, onset_at_ns: int = 0, **bent: object) -> Step:
        evidence = self.evidence(**bent)
        return self.take(
            FireAsked(request=FireRequest(id=request_id, onset_at_ns=onset_at_ns, evidence=evidence))
        )

    def act(
        self,
        kind: Literal["arm", "reset"] = "arm",
        *,
        person: str = "ann",
        session_id: str = SESSION,
        nonce: str | None = None,
        valid_s: float = 3600.0,
        key: Ed25519PrivateKey | None = None,
    ) -> Act:
        """A signed act, right in all that is not bent."""
        return sign(
            key or PEOPLE.get(person, STRANGER),
            act=kind,
            person=person,
            session_id=session_id,
            nonce=f"nonce-{self.state.nonces}" if nonce is None else nonce,
            reason="a test",
            expires_wall_ns=self.now.wall_ns + round(valid_s * 1e9),
        )

    def present(self, act: Act | None = None) -> Step:
        return self.take(ActPresented(peer=1, uid=1000, act=act or self.act()))

    def stop(self, *, ends: bool = False) -> Step:
        return self.take(StopPressed(source="test", ends=ends))

    def open(self, caps: Capabilities | None = None) -> World:
        """The host says that the device is open."""
        self.host_says(opened_of(caps or caps_of(self.modality)))
        return self

    def join(self, **bent: object) -> World:
        self.take(Joined(hello=msgspec.structs.replace(hello_of(self.modality), **bent)))
        return self

    def ready_or_not(self) -> World:
        """Device and controller are there."""
        self.device.enabled = not self.state.relay
        return self.open().join().run_ms(100)

    def ready(self) -> World:
        self.ready_or_not()
        if self.phase != "READY":
            raise BrokenRule(f"not ready: {self.heard}")
        return self

    def armed(self) -> World:
        self.ready().present()
        self.run_ms(100)
        if self.phase != "ARMED":
            raise BrokenRule(f"not armed: {self.answered} {self.heard}")
        return self

    # What goes out

    def _carry(self, effect: Effect) -> None:
        self.effects.append(effect)
        match effect:
            case ToDevice(message=message):
                self.sent.append(message)
                self.device.call(message)
                self._collect()
            case ToController(message=message):
                self.heard.append(message)
            case ToPerson(result=result):
                self.answered.append(result)
            case PetRelay():
                self._relay(closed=True)
            case OpenRelay():
                self._relay(closed=False)
            case EndProcess(status=status):
                self.ended = status

    def _left_alone(self, before: State) -> None:
        """In the proof test it is not petted any more: it opens by its own silence, which is short here."""
        was, now = before.arming, self.state.arming
        if now is not None and now.step == "open_2" and (was is None or was.step != "open_2"):
            self._relay(closed=False, after_ns=SILENCE_NS)

    def _relay(self, *, closed: bool, after_ns: int = MS) -> None:
        if not self.state.relay:
            return
        if self.relay_answers:
            if closed != self.relay_closed:
                self.relay_closed = closed
                self.device.enable(closed)
                self._collect()
            self.later(after_ns, RelaySaid(closed=self.relay_closed))


def tripped(world: World) -> str:
    """The code of the trip; the controller was told the same."""
    told = [message.code for message in world.heard if isinstance(message, Trip)]
    if world.state.phase != "TRIPPED" or (world.state.controller and told != [world.state.trip]):
        raise BrokenRule(f"phase {world.state.phase}, told {told}, trip {world.state.trip}")
    return world.state.trip


def phases(world: World) -> list[str]:
    """The phases that the controller was told, in order."""
    return [message.phase for message in world.heard if isinstance(message, PhaseChanged)]


def bend_rules(rules: Rules, **limits: object) -> Rules:
    """The same rules over limits with some fields replaced."""
    return msgspec.structs.replace(rules, limits=msgspec.structs.replace(rules.limits, **limits))
