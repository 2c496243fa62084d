"""A ledger in words: an entry a line, for people who look for something. Whatever can be read is shown, however damaged.

What others wrote (reasons, names, a driver's text) is shown without its control characters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from safety.entries import Close, Entry, Genesis
from safety.entry_words import codes_of, kinds_of, persons_of, plain, words_of
from safety.events import Asked, FireAsked, HostSaid
from safety.near_words import Along
from safety.verify import LedgerUnreadable, content_of, decoded

KINDS = ("request", "permit", "refusal", "trip", "act", "stop", "delivery", "device", "phase", "trouble")
BROKEN_SHOWN = 40  # bytes of a line that cannot be read: enough to see what it may have been


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries are looked for; what is not given does not matter. Times are seconds since the first entry."""

    kind: str = ""
    code: str = ""
    request: int | None = None
    person: str = ""
    word: str = ""
    since: int = 0
    from_s: float | None = None
    to_s: float | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One line of what is shown. `raw`: the entry as it stands; None for a note on the file."""

    text: str
    raw: bytes | None


def shown(path: Path, wanted: Wanted) -> Iterator[Shown]:
    """The entries that are wanted, then notes on what is damaged; raises LedgerUnreadable when there is no entry at all."""
    bodies = content_of(path).split(b"\n")
    torn = bodies.pop() != b""
    notes: list[str] = []
    found: deque[Shown] = deque(maxlen=wanted.last)
    begun_ns: int | None = None
    requests, along = _Requests(), Along()
    for number, body in enumerate(bodies, start=1):
        held = decoded(number, body) or decoded(number + 1 if number == 1 else 1, body)
        if held is None:
            start = plain(body[:BROKEN_SHOWN].decode(errors="replace"))
            notes.append(f"line {number}: cannot be read as an entry: '{start}'…")
            continue
        begun_ns = held.now.mono_ns if begun_ns is None else begun_ns
        ids = requests.of(held)
        try:
            at_s = (held.now.mono_ns - begun_ns) / 1e9
            near = plain(along.take(held))
            text = words_of(held, at_s) + (f" [{near}]" if near else "")
        except (ArithmeticError, ValueError):
            notes.append(f"line {number}: holds numbers that no entry has")
            continue
        if _fits(held, at_s, text, ids, wanted):
            found.append(Shown(text=text, raw=body))
    if begun_ns is None:
        raise LedgerUnreadable(f"{path}: no line of it is a ledger's; give a ledger.jsonl, or a run folder")
    yield from found
    if torn:
        yield Shown(text="torn tail: the last line is incomplete and not shown", raw=None)
    yield from (Shown(text=note, raw=None) for note in notes)


def _fits(held: Genesis | Entry | Close, at_s: float, text: str, ids: frozenset[int], wanted: Wanted) -> bool:
    return (
        held.seq >= wanted.since
        and (wanted.from_s is None or at_s >= wanted.from_s)
        and (wanted.to_s is None or at_s <= wanted.to_s)
        and (not wanted.kind or wanted.kind in kinds_of(held))
        and (not wanted.code or any(code.startswith(wanted.code.upper()) for code in codes_of(held)))
        and (wanted.request is None or wanted.request in ids)
        and (not wanted.person or wanted.person in persons_of(held))
        and wanted.word.lower() in text.lower()
    )


@dataclass(slots=True)
class _Requests:
    """Which request an entry is about: the device knows it by the number of a call, then by a token."""

    calls: dict[int, int] = field(default_factory=dict)
    tokens: dict[int, int] = field(default_factory=dict)

    def of(self, held: Genesis | Entry | Close) -> frozenset[int]:
        if not isinstance(held, Entry):
            return frozenset()
        found: set[int] = set()
        match held.event:
            case Asked(request=request):
                found.add(request.id)
            case FireAsked(request=fire):
                found.add(fire.id)
            case HostSaid(message=message):
                found |= self._told(message)
            case _:
                pass
        calls: list[int] = []
        permitted: int | None = None
        for effect in held.effects:
            match effect.split(maxsplit=2):
                case ["permit" | "refusal" as verdict, number, *_] if number.removeprefix("-").isdecimal():
                    found.add(int(number[:20]))
                    permitted = int(number[:20]) if verdict == "permit" else permitted
                case ["device", "Prepare" | "Fire", call] if call.isdecimal():
                    calls.append(int(call[:20]))
                case _:
                    pass
        if permitted is not None:
            self.calls.update(dict.fromkeys(calls, permitted))
        return frozenset(found)

    def _told(self, message: object) -> set[int]:
        """The request behind what the device host says, by its call or its token."""
        call, token = getattr(message, "call", None), getattr(message, "token", None)
        delivery = getattr(message, "delivery", None)
        token = getattr(delivery, "token", token)
        known = self.calls.get(call) if isinstance(call, int) else None
        if known is not None and isinstance(token, int):
            self.tokens[token] = known
        if known is None and isinstance(token, int):
            known = self.tokens.get(token)
        return set() if known is None else {known}
