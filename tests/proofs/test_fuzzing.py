"""What the fuzzing rests on, without the fuzzer: inputs are changed by their own grammar, and what is wrong is found."""

from __future__ import annotations

import json
from itertools import islice

import msgspec
import pytest

from safety import interlock
from safety.events import Asked
from safety.limits import LimitsErrors, load
from safety.safing import Step
from safety.state import Rules, State
from tests.campaign.fuzzing import talking
from tests.campaign.fuzzing.changing import CHANGES
from tests.campaign.fuzzing.targets import TARGETS, rechained, seeds
from tests.safety.watch_step import BrokenRule


def _as_it_is(data: bytes, size_max: int) -> bytes:
    return data[:size_max]


@pytest.mark.parametrize("name", CHANGES)
def test_changes_are_the_same_for_the_same_seed_bounded_and_mostly_changes(name: str) -> None:
    begin = max(list(seeds(name))[:4], key=len)
    made = [CHANGES[name](begin, 20_000, seed, _as_it_is) for seed in range(200)]
    assert made == [CHANGES[name](begin, 20_000, seed, _as_it_is) for seed in range(200)]
    assert all(len(each) <= 20_000 for each in made)
    assert len(set(made)) > 60
    for ruin in (b"", b"\x00", b"\n" * 20, b"{" * 500, b"\xff\xfe{}"):
        for seed in range(50):
            CHANGES[name](ruin, 100, seed, _as_it_is)


def test_what_is_changed_can_mostly_still_be_read() -> None:
    """Else no more than the reader of JSON would be tried."""
    begin = bytes([0, 9]) + b'{"type":"pause","reason":"x"}'
    made = [CHANGES["talk"](begin, 6000, seed, _as_it_is)[2:] for seed in range(300)]
    readable = {each for each in made if _is_json(each)}
    assert len(readable) > 30


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def test_a_changed_limits_file_reaches_what_lies_behind_the_reader_of_toml() -> None:
    begin = next(iter(seeds("limits")))
    problems = set()
    for seed in range(200):
        try:
            load(CHANGES["limits"](begin, 12_000, seed, _as_it_is))
        except LimitsErrors as errors:
            problems |= {line for line in errors.problems if "not TOML" not in line}
    assert len(problems) > 50


def test_chain_and_seal_are_made_good() -> None:
    for content in islice(seeds("verifier"), 0, None, 2):
        assert rechained(content[1:]) == content[1:]
        lines = content[1:].split(b"\n")
        broken = b"\n".join([lines[0].replace(b'"prev":"0', b'"prev":"1', 1), *lines[1:]])
        assert broken != content[1:] and rechained(broken) == content[1:]


def test_a_conversation_comes_to_output_and_back() -> None:
    for number in range(len(talking.MODALITIES)):
        way = b"".join(map(talking.symbol, ("all is well", "STOP", "done")))
        talking.talk(bytes([number, len(talking.WAY)]) + way)
        assert talking._start(talking.MODALITIES[number], len(talking.WAY)).state.running is not None


@pytest.mark.parametrize("what", ["raises", "permits at once", "forgets what was asked"])
def test_what_is_wrong_is_found(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    talking._start.cache_clear()
    begin = next(each for each in seeds("talk") if each[:2] == bytes([0, 9]))

    def wrong(rules: Rules, state: State, event: object, now: object) -> Step:
        if not isinstance(event, Asked):
            return interlock.step(rules, state, event, now)  # type: ignore[arg-type]
        if what == "raises":
            raise KeyError("x")
        if what == "permits at once":
            return Step(msgspec.structs.replace(state, phase="TRIPPED"))
        asked = interlock.step(rules, state, event, now)  # type: ignore[arg-type]
        wrong.times = getattr(wrong, "times", 0) + 1  # type: ignore[attr-defined]
        later = msgspec.structs.replace(asked.state, last_id=asked.state.last_id + wrong.times)  # type: ignore[attr-defined]
        return Step(later, asked.effects)

    monkeypatch.setattr(talking, "step", wrong)
    told = {"raises": KeyError, "permits at once": BrokenRule, "forgets what was asked": BrokenRule}
    with pytest.raises(told[what]):
        TARGETS["talk"](begin)
