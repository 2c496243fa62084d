"""Those who are connected to acts.sock: few, and nobody keeps a place by saying nothing. Pure but for whom it holds."""

from __future__ import annotations

from dataclasses import dataclass

from safety.peers import Peer

PERSONS_MAX = 8
SILENT_NS = 3_000_000_000  # own choice: a command asks as soon as it is connected


@dataclass(slots=True)
class _Person:
    peer: Peer
    since_ns: int  # connected, or heard last
    heard: bool = False


class Persons:
    """Each by a number that is given once."""

    def __init__(self) -> None:
        self._persons: dict[int, _Person] = {}
        self._names = 0

    def add(self, peer: Peer, now_ns: int) -> int:
        """The number of one who has connected just now."""
        self._names += 1
        self._persons[self._names] = _Person(peer, now_ns)
        return self._names

    def get(self, name: int) -> Peer | None:
        person = self._persons.get(name)
        return None if person is None else person.peer

    def remove(self, name: int) -> Peer | None:
        person = self._persons.pop(name, None)
        return None if person is None else person.peer

    def all(self) -> tuple[tuple[int, Peer], ...]:
        return tuple((name, person.peer) for name, person in self._persons.items())

    def heard(self, name: int, now_ns: int) -> None:
        """One has said what can be meant."""
        if name in self._persons:
            self._persons[name].heard, self._persons[name].since_ns = True, now_ns

    def silent(self, now_ns: int) -> list[int]:
        """Who has said nothing that can be meant in time."""
        return [
            name
            for name, person in self._persons.items()
            if not person.heard and now_ns - person.since_ns > SILENT_NS
        ]

    def in_the_way(self) -> list[int]:
        """Who leaves so that another gets in, nobody while there is room: first who has said nothing, then the idlest."""
        order = sorted(self._persons.items(), key=lambda each: (each[1].heard, each[1].since_ns))
        return [name for name, _ in order][: max(0, len(order) - PERSONS_MAX + 1)]
