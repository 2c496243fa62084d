"""A ledger in words: an entry a line, for people who look for something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from safety.entries import Close, Entry, Genesis
from safety.events import (
    ActPresented,
    Asked,
    BadFrame,
    EndAsked,
    Event,
    FireAsked,
    Gone,
    HostGone,
    HostSaid,
    Joined,
    LedgerTrouble,
    PauseAsked,
    RelayGone,
    RelaySaid,
    StopPressed,
)
from safety.verify import read


def lines_of(path: Path, kind: str, since: int, *, raw: bool) -> Iterator[str]:
    """The entries from `since` on that have the word `kind`; raises LedgerUnreadable."""
    lines, torn, problems = read(path)
    begun_ns = lines[0].held.now.mono_ns
    for line in lines:
        if line.held.seq < since:
            continue
        text = _line(line.held, begun_ns)
        if kind.lower() in text.lower():
            yield line.raw.decode(errors="replace") if raw else text
    if torn:
        yield "torn tail: the last line is incomplete and not shown"
    yield from problems


def _line(held: Genesis | Entry | Close, begun_ns: int) -> str:
    at_s = (held.now.mono_ns - begun_ns) / 1e9
    head = f"{held.seq:6d} {at_s:9.3f} s"
    match held:
        case Genesis():
            rules = held.rules
            return f"{head}  opened {held.utc} session {rules.session_id}, limits {rules.limits.digest[:12]}"
        case Close():
            return f"{head}  closed, status {held.status}"
        case Entry():
            state = held.before if held.before == held.after else f"{held.before} -> {held.after}"
            folded = f" (+{sum(held.fold.counts.values())} folded)" if held.fold is not None else ""
            return f"{head}  {state}  {_event(held.event)}{folded}  => {'; '.join(held.effects) or '-'}"


def _event(event: Event) -> str:
    match event:
        case Asked(request=request):
            return f"asked {request.id}: {_json(request.train.waveform)}, response {request.response:g}"
        case FireAsked(request=request):
            return f"fire asked {request.id}"
        case HostSaid(message=message):
            return f"host {type(message).__name__} {_json(message)}"
        case ActPresented(act=act):
            return f"act {act.act} by {act.person}: {act.reason}"
        case StopPressed(source=source):
            return f"STOP from {source}"
        case Joined(hello=hello):
            return f"controller joined: {hello.software}, stream {hello.stream_uid}"
        case Gone(why=why) | HostGone(why=why) | RelayGone(why=why):
            return f"{type(event).__name__}: {why}"
        case RelaySaid(closed=closed):
            return f"relay says {'closed' if closed else 'open'}"
        case PauseAsked(pause=said) | EndAsked(end=said):
            return f"{type(said).__name__.lower()} asked: {said.reason}"
        case BadFrame(source=source, text=text):
            return f"bad frame from {source}: {text}"
        case LedgerTrouble(kind=kind, text=text):
            return f"ledger {kind}: {text}"
        case _:
            return type(event).__name__.lower()


def _json(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()
