"""Places at acts.sock: who gets one, who keeps it, and who gives it to the next."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from safety.peers import Peer
from safety.persons import PERSONS_MAX, SILENT_NS, Persons


@pytest.fixture
def peer() -> Iterator[Peer]:
    left, right = socket.socketpair()
    made = Peer(left, 1024)
    yield made
    made.close()
    right.close()


def full(peer: Peer) -> Persons:
    persons = Persons()
    for now_ns in range(1, PERSONS_MAX + 1):
        assert persons.in_the_way() == []
        assert persons.add(peer, now_ns) == now_ns
    return persons


def test_who_has_said_nothing_is_let_go_in_time(peer: Peer):
    persons = full(peer)
    persons.heard(2, 2)
    assert persons.silent(1 + SILENT_NS) == []
    assert persons.silent(2 + SILENT_NS) == [1]
    assert persons.silent(10**12) == [1, *range(3, PERSONS_MAX + 1)]  # who was heard stays


def test_when_all_places_are_taken_the_idlest_leaves(peer: Peer):
    persons = full(peer)
    order = []
    for name in (1, 3, 2):
        persons.heard(name, 100 + name)
    for _ in range(PERSONS_MAX + 1):
        (name,) = persons.in_the_way()
        order.append(name)
        assert persons.remove(name) is peer
        persons.heard(persons.add(peer, 1_000), 2_000)
    assert order[:PERSONS_MAX] == [*range(4, PERSONS_MAX + 1), 1, 2, 3]
    assert order[PERSONS_MAX] == PERSONS_MAX + 1  # of those who came at once, whoever came first


def test_whom_it_does_not_know(peer: Peer):
    persons = Persons()
    name = persons.add(peer, 0)
    assert persons.get(name) is peer
    assert persons.all() == ((name, peer),)
    assert persons.remove(name) is peer
    assert persons.get(name) is None and persons.remove(name) is None and persons.all() == ()
    persons.heard(name, 1)  # it left while it was heard
    assert persons.all() == ()
    assert persons.add(peer, 1) != name
