"""What controller, person and device host say, taken by the interlock: an input is a conversation, a line after another.

A line of JSON is a message: of the controller, after an `h` of the host, after a `p` of a person. Any other line is a row of
what else may happen, a byte each: the alphabet of `tests.safety.alphabet`, time among it. The first two bytes say which
modality it is, and how far the session has come.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import msgspec

from drivers.link import FromHost
from drivers.stimulation import MODALITIES, Modality
from safety.entries import Entry, entry_of, state_crc, written
from safety.events import ActPresented, BadFrame, Event, HostSaid
from safety.interlock import step
from safety.messages import Act
from safety.state import Rules
from safety.verify import LINE_BYTES_MAX
from safety.wire import act_of, event_of
from tests.safety.alphabet import Place, Symbol, alphabet_of
from tests.safety.exploring import watch_always
from tests.safety.watch_step import BrokenRule, watch_step
from tests.safety.world import T0, first_state, rules_of

EVENTS_MAX = 16  # of an input, which may begin at any part of the way: a bound on its time
# The shortest way to output; a conversation begins after any part of it.
WAY = (
    "the controller comes", "the device opens", "all is well", "an arming", "all is well", "the relay closes",
    "the relay opens", "the relay closes", "done", "a request", "all is well", "prepared", "fired",
)  # fmt: skip
_from_host: msgspec.json.Decoder[FromHost] = msgspec.json.Decoder(FromHost)
_entry = msgspec.json.Decoder(Entry)


@functools.cache
def _symbols(modality: Modality) -> tuple[tuple[str, Symbol], ...]:
    return tuple(alphabet_of(modality).items())


@functools.cache
def symbol(name: str) -> bytes:
    """The byte of something that may happen."""
    return bytes([ord("0") + [known for known, _ in _symbols("tacs")].index(name)])


@functools.cache
def _start(modality: Modality, steps: int) -> Place:
    if steps == 0:
        return Place(first_state(), T0.mono_ns)
    made = dict(_symbols(modality))[WAY[steps - 1]]
    place, events = made(rules_of(modality), _start(modality, steps - 1))
    for event in events:
        state = step(rules_of(modality), place.state, event, place.now).state
        place = Place(state, place.mono_ns, place.boot_ns, place.wall_ns)
    return place


def talk(data: bytes) -> None:
    """Every step holds what must always hold, and is decided again from its entry alone."""
    modality = MODALITIES[data[0] % len(MODALITIES)] if data else "tacs"
    rules, place = rules_of(modality), _start(modality, data[1] % (len(WAY) + 1) if len(data) > 1 else 0)
    left = EVENTS_MAX
    for line in data[2:].split(b"\n"):
        for there, events in _happens(modality, rules, place, line):
            place = there
            for event in events:
                if left == 0:
                    return
                left -= 1
                place = _taken(rules, place, event)


def _happens(
    modality: Modality, rules: Rules, place: Place, line: bytes
) -> Iterator[tuple[Place, tuple[Event, ...]]]:
    if line[:1] in (b"{", b"[", b'"') or line[:2] in (b"h{", b"p{"):
        yield place.later(1), _said(line, place)
        return
    symbols = _symbols(modality)
    for byte in line[:EVENTS_MAX]:
        _, made = symbols[(byte - ord("0")) % len(symbols)]
        yield made(rules, place)


def _said(line: bytes, place: Place) -> tuple[Event, ...]:
    """As the shell makes events of what it reads."""
    if line[:1] == b"p":
        act = act_of(line[1:])
        return (ActPresented(peer=1, uid=1000, act=act),) if isinstance(act, Act) else ()
    if line[:1] != b"h":
        return (event_of(line, place.state.hello is not None),)
    try:
        return (HostSaid(message=_from_host.decode(line[1:])),)
    except (ValueError, TypeError, RecursionError) as error:
        return (BadFrame(source="host", text=str(error)[:200]),)


def _taken(rules: Rules, place: Place, event: Event) -> Place:
    before, now = place.state, place.now
    decided = step(rules, before, event, now)
    watch_step(rules, before, event, decided)
    watch_always(rules, place, event, decided)
    if decided.state.entries != before.entries:
        line = msgspec.json.encode(entry_of(before, event, decided, now, None))
        if len(line) > LINE_BYTES_MAX:
            raise BrokenRule(f"an entry of {len(line)} bytes, which nobody reads")
        read = _entry.decode(line)
        again = step(rules, before, read.event, read.now)
        if state_crc(again.state) != read.state or tuple(map(written, again.effects)) != read.effects:
            raise BrokenRule(f"decided otherwise from its entry: {line[:600]!r}")
    return Place(decided.state, place.mono_ns, place.boot_ns, place.wall_ns)
