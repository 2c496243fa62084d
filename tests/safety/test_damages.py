"""Damage to a ledger is found: every bit, cut, deletion, swap, doubling, insertion, splice; a torn tail is told apart.

Short: sampled bytes, and every bit of some lines. NOCILOOP_LONG=1: every bit of every byte of both sample ledgers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.safety.damages import (
    FOUND,
    Damage,
    damages,
    deletions,
    doublings,
    flips,
    head_of,
    insertions,
    judge,
    missed,
    splices,
    swaps,
    truncations,
)
from tests.safety.ledgers import session, write
from tests.safety.world import LONG, World, rules_of

STRIDE = 397


@pytest.fixture(scope="module")
def long_one(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A session with an act, permits, refusals, deliveries, a trip, a reset."""
    return write(tmp_path_factory.mktemp("ledger"), session()).read_bytes()


@pytest.fixture(scope="module")
def short_one(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Five lines: STOP before anything was there."""
    world = World(rules_of())
    world.stop(ends=True)
    world.run_ms(100)
    return write(tmp_path_factory.mktemp("ledger"), world).read_bytes()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A session of pulses, ended by STOP and a reset."""
    world = World(rules_of("rtms")).armed()
    world.ask()
    world.run_ms(300)
    world.stop()
    world.run_ms(300)
    world.present(world.act("reset"))
    world.run_ms(50)
    return write(tmp_path_factory.mktemp("ledger"), world).read_bytes()


def span(content: bytes, number: int) -> range:
    """The bytes of a line, its newline among them."""
    lines = content.splitlines(keepends=True)
    begin = sum(map(len, lines[:number]))
    return range(begin, begin + len(lines[number]))


def test_what_is_whole_is_not_called_damaged(long_one: bytes, short_one: bytes, other: bytes):
    assert [judge(each) for each in (long_one, short_one, other)] == ["ok", "ok", "ok"]
    assert judge(long_one, anchors=(head_of(long_one),)) == "ok"


def test_every_bit_of_the_last_line_is_found(short_one: bytes, long_one: bytes):
    """No line holds it: its seal alone does."""
    for content in (short_one, long_one):
        last = len(content.splitlines()) - 1
        assert list(missed(content, flips(content, span(content, last)))) == []


def test_sampled_bits_of_every_line_are_found(long_one: bytes, short_one: bytes):
    for content in (long_one, short_one):
        assert list(missed(content, flips(content, range(0, len(content), STRIDE)))) == []


def test_a_cut_at_any_byte_is_found_or_told(short_one: bytes, long_one: bytes):
    assert list(missed(short_one, truncations(short_one, range(len(short_one))))) == []
    assert list(missed(long_one, truncations(long_one, range(0, len(long_one), STRIDE)))) == []


def test_a_cut_says_whether_it_tore_a_line(long_one: bytes):
    ends = {index + 1 for index, byte in enumerate(long_one) if byte == 0x0A} - {len(long_one)}
    words = {judge(long_one[:end]) for end in ends}
    assert words == {"open"}  # as after a kill
    assert {judge(long_one[: end + 7]) for end in ends} == {"torn"}
    assert judge(long_one[:-1]) == "torn"


@pytest.mark.parametrize("kind", (deletions, swaps, doublings), ids=lambda kind: kind.__name__)
def test_lines_that_are_not_where_they_belong_are_found(
    kind: Callable[[bytes], Iterator[Damage]], long_one: bytes, short_one: bytes, other: bytes
):
    for content in (long_one, short_one, other):
        assert list(missed(content, kind(content))) == []


def test_bytes_that_were_put_in_are_found(long_one: bytes, short_one: bytes):
    assert list(missed(short_one, insertions(short_one, range(0, len(short_one) + 1, 7)))) == []
    end = len(long_one)
    assert list(missed(long_one, insertions(long_one, range(end - 60, end + 1)))) == []


def test_two_ledgers_in_one_are_found(long_one: bytes, short_one: bytes, other: bytes):
    assert list(missed(long_one, splices(long_one, short_one))) == []
    assert list(missed(long_one, splices(long_one, other))) == []


def test_with_an_anchor_nothing_is_only_told(long_one: bytes, short_one: bytes):
    """The head, kept elsewhere, makes of every cut and of every torn tail what it may be: a loss."""
    assert list(missed(short_one, truncations(short_one, range(0, len(short_one), 7)), anchored=True)) == []
    found = chain(truncations(long_one, range(0, len(long_one), 499)), deletions(long_one))
    assert list(missed(long_one, found, anchored=True)) == []


def test_an_open_ledger_is_held_by_its_anchor_to_the_last_bit(long_one: bytes):
    """Killed, it has no seal: of its last line only an anchor tells what the re-execution does not need."""
    content = b"".join(long_one.splitlines(keepends=True)[:-1])
    assert judge(content) == "open"
    last = span(content, len(content.splitlines()) - 1)[::7]
    assert list(missed(content, flips(content, last), anchored=True)) == []


def test_a_judge_that_is_content_is_told(long_one: bytes):
    """The test of the tests: what nobody would find is named."""
    nothing = Damage(name="nothing at all", content=long_one)
    assert list(missed(long_one, iter([nothing]))) == ["nothing at all: ok"]
    assert "ok" not in FOUND


@pytest.mark.timeout(3600)
def test_the_whole_campaign_misses_nothing(short_one: bytes, long_one: bytes):
    stride = 1 if LONG else 997
    for content, second in ((short_one, long_one), (long_one, short_one)):
        kinds = {each.name.split()[0] for each in damages(content, second, stride=997)}
        assert {"bit", "cut", "line", "lines"} <= kinds
        assert list(missed(content, damages(content, second, stride=stride))) == []


def test_the_sample_is_a_file_that_the_writer_wrote(tmp_path: Path):
    """Not bytes made up here: the ledger's own thread wrote them."""
    path = write(tmp_path, session())
    assert path.read_bytes().endswith(b'"}\n')
    assert judge(path.read_bytes()) == "ok"
