"""Every state of the interlock that an alphabet of events reaches, breadth first, each step held against what must be true.

A state is known by an abstraction of it (`Abstraction`): phase, what is under way and how far, and whether each watched
party is fresh. Of the concrete states that fall together the first one found is followed: the graph is exhausted over
the abstraction, not over every number in it. Time is an event like any other, so that anything can happen late, twice,
or out of order.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from drivers.link import StopDevice
from drivers.stimulation import Hold, Modality
from safety.events import Event, StopPressed, Tick
from safety.interlock import step
from safety.safing import Step
from safety.state import Rules, State, ToDevice
from safety.watchdogs import evidence_trouble
from tests.safety.alphabet import Place, Symbol, alphabet_of
from tests.safety.bench_device import MS
from tests.safety.watch_step import BrokenRule, watch_step
from tests.safety.world import T0, first_state, rules_of

STOP_SLACK_MS = 400  # beyond every lease's end, every ramp and every slack: nothing runs that long
HOLD_NS, TRAIN_NS = 500 * MS, 10_000 * MS


@dataclass(slots=True)
class Explored:
    """What was found. `complete`: nothing was left to try."""

    states: int = 0
    steps: int = 0
    complete: bool = False
    phases: Counter[str] = field(default_factory=Counter)
    trips: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)  # stages of anything under way
    unused: set[str] = field(default_factory=set)  # symbols that changed no state anywhere
    ways: dict[Hashable, tuple[Hashable, str]] = field(default_factory=dict)


def explore(
    modality: Modality,
    *,
    fine: bool,
    states_max: int,
    relay: bool = True,
    alphabet: Mapping[str, Symbol] | None = None,
) -> Explored:
    """Follow every event of the alphabet from every state, until nothing new is found or there are too many.

    Raises BrokenRule with the way that leads to a step which breaks what must hold.
    """
    rules = rules_of(modality)
    symbols = alphabet or alphabet_of(modality)
    found = Explored(unused=set(symbols))
    start = Place(first_state(), T0.mono_ns)
    waiting = deque([(abstract(rules, start, fine=fine), start)])
    known = {waiting[0][0]}
    while waiting:
        key, place = waiting.popleft()
        _note(found, place.state)
        for name, symbol in symbols.items():
            there = _follow(rules, place, name, symbol, found, key)
            at = abstract(rules, there, fine=fine)
            if at != key:
                found.unused.discard(name)
            if at not in known and len(known) < states_max:
                known.add(at)
                found.ways[at] = (key, name)
                waiting.append((at, there))
    found.complete = len(known) < states_max
    return found


def _note(found: Explored, state: State) -> None:
    found.states += 1
    found.phases[state.phase] += 1
    found.seen |= set(_stages(state))


def _stages(state: State) -> Iterator[str]:
    if state.arming is not None:
        yield f"arming {state.arming.step}"
    if state.asked is not None:
        held = " to be fired" if state.asked.request.onset_at_ns == -1 else ""
        yield f"asked {state.asked.stage}{held}"
    if state.firing is not None:
        yield "firing"
    if state.running is not None:
        yield "running"
    if state.before is not None:
        yield "before"
    if state.stopping is not None:
        yield f"stopping {state.stopping.how} {'taken' if state.stopping.taken else 'sent'}"
    if state.ending:
        yield "ending"


def _follow(rules: Rules, place: Place, name: str, symbol: Symbol, found: Explored, key: Hashable) -> Place:
    there, events = symbol(rules, place)
    for event in events:
        before = there
        try:
            decided = step(rules, before.state, event, before.now)
            watch_step(rules, before.state, event, decided)
            watch_always(rules, before, event, decided)
        except Exception as error:
            raise BrokenRule(f"{error!r} after {' > '.join([*_way(found, key), name])}") from error
        found.steps += 1
        found.trips |= {decided.state.trip} if decided.state.trip else set()
        there = Place(decided.state, before.mono_ns, before.boot_ns, before.wall_ns)
    return there


def _way(found: Explored, key: Hashable) -> list[str]:
    """The symbols that lead from the start to a state."""
    names: list[str] = []
    while key in found.ways:
        key, name = found.ways[key]
        names.insert(0, name)
    return names


def watch_always(rules: Rules, place: Place, event: Event, decided: Step) -> None:
    """What `watch_step` does not ask: STOP is always taken, no lease is outlived, and ARMED rests on fresh words."""
    before, after = place.state, decided.state
    if isinstance(event, StopPressed):
        _require(
            after.phase == "TRIPPED" or (event.ends and after.phase == "SAFE"), f"STOP led to {after.phase}"
        )
        _require(after.ending or not event.ends, "told to end, and not ending")
        stops = [
            e.message
            for e in decided.effects
            if isinstance(e, ToDevice) and isinstance(e.message, StopDevice)
        ]
        open_ = before.phase == "ARMED" or before.arming is not None or before.stopping is not None
        done = before.stopping is not None and (before.stopping.how == "cut" or event.ends)
        _require(bool(stops) or done or not open_, "STOP told the device nothing")
    for running in (after.running, after.before):
        if running is not None:
            longest = HOLD_NS if isinstance(running.train.waveform, Hold) else TRAIN_NS
            _require(0 <= running.until_ns - running.onset_ns <= longest, "a lease that is too long")
    if isinstance(event, Tick) and after.phase == "ARMED":
        _fresh(rules, place, after)


def _fresh(rules: Rules, place: Place, after: State) -> None:
    """Whoever is still ARMED after a tick has heard everyone lately, and what runs is within its lease."""
    watch, now_ns, limits = after.watch, place.mono_ns, rules.limits.watch
    for party, at_ns, ms in (
        ("controller", watch.beat_ns, limits.heartbeat_ms),
        ("EEG", watch.evidence.newest_ns if watch.evidence is not None else 0, limits.data_age_ms),
        ("relay", watch.relay_ns if after.relay else now_ns, 150),
    ):
        _require(
            now_ns - at_ns <= ms * MS,
            f"ARMED, and the {party} was last heard {(now_ns - at_ns) // MS} ms ago",
        )
    running = after.running
    if running is not None:
        _require(
            now_ns <= running.zero_ns + STOP_SLACK_MS * MS, "ARMED, and output may go on beyond its lease"
        )
    if after.firing is not None:
        since_ns = max(after.firing.since_ns, after.firing.onset_at_ns)
        _require(now_ns - since_ns <= limits.host_ms * MS, "ARMED, and a fire is not answered")
    _require(place.now.wall_ns <= after.armed_until_wall_ns, "ARMED beyond the act")
    _require(after.host == "open", "ARMED without a device")


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise BrokenRule(text)


# The abstraction


def abstract(rules: Rules, place: Place, *, fine: bool) -> Hashable:
    """What of a state and an instant tells it from another one."""
    state, now_ns = place.state, place.mono_ns
    watch, limits = state.watch, rules.limits.watch
    stages = tuple(stage for stage in _stages(state) if fine or stage != "before")
    trouble = evidence_trouble(rules, state, watch.evidence, place.now)
    up = state.phase in ("READY", "ARMED") or state.arming is not None
    coarse = (
        state.phase, state.host == "open", state.controller, state.relay, _lease(state, now_ns), _ended(state), stages,
        up and trouble is None, up and now_ns - watch.beat_ns <= limits.heartbeat_ms * MS,
    )  # fmt: skip
    if not fine:
        return coarse
    # Whether a party is fresh matters on the way up and while ARMED; what the device says of itself, everywhere.
    fresh = (
        "" if trouble is None else trouble.code,
        watch.poll_ns > 0,
        now_ns - watch.relay_ns <= 150 * MS,
        watch.durable >= state.entries,
        now_ns < state.not_before_ns,
        min(len(state.lapses), 2),
        _late(state, now_ns),
    )
    return (
        *coarse, state.host, state.hello is not None, state.relay_closed, state.trip != "", bool(state.done_ns),
        watch.host_state, watch.host_amplitude > 0.0, fresh if up else (),
    )  # fmt: skip


def _lease(state: State, now_ns: int) -> str:
    running = state.running
    if running is None:
        return ""
    within = now_ns <= running.until_ns
    return "within" if within else "ramp" if now_ns <= running.zero_ns else "over"


def _ended(state: State) -> bool:
    return state.running is not None and state.running.ended


def _late(state: State, now_ns: int) -> bool:
    return state.watch.tick_ns > 0 and now_ns - state.watch.tick_ns > 150 * MS
