"""A ledger's bytes before anything is decided again: what is a line, what is the first, and what each is told as."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from safety.entries import Close, Genesis
from safety.verify import LINE_BYTES_MAX, LedgerUnreadable, Line, decoded, parse
from safety.verify import _signatures as signatures
from tests.safety.ledgers import genesis_of
from tests.safety.world import STRANGER, World, rules_of

PATH = Path("ledger.jsonl")
GENESIS = msgspec.json.encode(genesis_of(World(rules_of())))
CLOSE = b'{"prev":"0","seq":1,"kind":"closed","now":[1,2,3],"status":0,"seal":""}'


def why(content: bytes) -> str:
    with pytest.raises(LedgerUnreadable) as error:
        parse(PATH, content)
    return str(error.value)


def test_nothing_is_no_ledger():
    assert why(b"") == "ledger.jsonl: empty, expected a ledger"


@pytest.mark.parametrize(
    "content", (b"{}", b"rubbish\n", b"{}\n", b"\n", b'{"kind":"opened"}\n', b"[" * 60_000 + b"\n")
)
def test_a_first_line_of_nobody(content: bytes):
    assert why(content) == (
        "ledger.jsonl: the first line is no ledger's; give a ledger.jsonl, or a run folder"
    )


def test_a_first_line_of_another_version_says_of_which():
    of = {"digest": "d" * 99, "python": "3", "msgspec": "0", "nociloop": "9.9" + "x" * 99}
    text = why(msgspec.json.encode({"kind": "opened", "software": of, "more": 1}) + b"\n")
    assert "the first line does not have the fields of this version" in text
    assert f"nociloop '{('9.9' + 'x' * 99)[:32]}', digest '{'d' * 64}'" in text


@pytest.mark.parametrize(("end", "torn"), [(b"\n", False), (b'\n{"kind"', True)])
def test_only_the_tail_is_torn(end: bytes, torn: bool):
    lines, found, problems = parse(PATH, GENESIS + end)
    assert ([line.number for line in lines], found, problems) == ([1], torn, [])
    assert isinstance(lines[0].held, Genesis) and lines[0].raw == GENESIS


def test_reading_ends_at_the_first_line_that_cannot_be_read():
    lines, torn, problems = parse(PATH, GENESIS + b"\nrubbish\n" + GENESIS + b"\n")
    assert ([line.number for line in lines], torn) == ([1], False)
    assert problems == ["line 2: cannot be read as an entry"]


def test_the_longest_line_is_read_and_no_longer_one():
    assert decoded(1, GENESIS.ljust(LINE_BYTES_MAX)) is not None
    assert decoded(1, GENESIS.ljust(LINE_BYTES_MAX + 1)) is None


def test_a_genesis_stands_on_the_first_line_alone():
    assert isinstance(decoded(1, GENESIS), Genesis)
    assert decoded(2, GENESIS) is None
    assert decoded(0, GENESIS) is None
    close = decoded(2, CLOSE)
    assert isinstance(close, Close) and decoded(1, CLOSE) is None


def test_an_act_that_was_refused_speaks_against_nobody_and_one_that_was_accepted_is_verified():
    world = World(rules_of()).ready()
    world.present(world.act(key=STRANGER))
    entry = world.entries[-1]
    first = genesis_of(world)
    refused = next(effect for effect in entry.effects if effect.startswith("person 1 ILK-"))
    for effects, found in (
        ((refused,), (0, 0)),
        ((refused, "phase READY"), (0, 0)),
        (("phase READY", refused), (0, 0)),
        ((refused.replace("person 1", "person 2"),), (1, 1)),
        ((), (1, 1)),
    ):
        held = msgspec.structs.replace(entry, effects=effects)
        accepted, problems = signatures(first, [Line(number=7, raw=b"", held=held)])
        assert (accepted, len(problems)) == found
        assert all("line 7: an act by 'ann' was accepted, and its" in each for each in problems)
