"""How near permits came to their limits, as `ledger show` says it; whatever stands in the ledger."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from safety.entries import Close, Entry, Genesis
from safety.near_words import ASKED_MAX, Along, words_of
from safety.show import Wanted, shown
from safety.verify import read
from tests.safety.ledgers import session, write
from tests.safety.strategies import caps_of, hold, valid_train
from tests.safety.test_derived import limits_of
from tests.safety.world import rules_of


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("ledger"), session())


def held(path: Path) -> list[Genesis | Entry | Close]:
    return [line.held for line in read(path)[0]]


def test_a_train_in_words():
    words = words_of(valid_train("tdcs"), limits_of("tdcs"), caps_of("tdcs"))
    assert words == (
        "at their limit: duration_ms; nearest: charge_density_c_cm2 0.096 of 0.1 C/cm2 a session, set by protocol"
    )


def test_nothing_at_its_limit_and_nothing_else():
    assert words_of(valid_train("rtms"), limits_of("rtms"), caps_of("rtms")).startswith(
        "nearest: n_pulses 40 of 45 "
    )
    at_all = words_of(valid_train("tbs"), limits_of("tbs"), caps_of("tbs"))
    assert at_all.startswith("at their limit: amplitude_pct_mso, n_bursts") and "nearest" not in at_all


def test_show_says_it_of_each_permit_and_of_nothing_else(path: Path):
    lines = [each.text for each in shown(path, Wanted())]
    near = [line for line in lines if "nearest: " in line]
    assert [line for line in lines if " permit " in line] == near and len(near) == 2
    assert all(line.endswith("]") and "amplitude_ma_pp" in line for line in near)


def test_one_that_waited_for_the_disk_is_found_by_its_number(path: Path):
    along = Along()
    said = [along.take(each) for each in held(path)]
    asked = next(
        n
        for n, each in enumerate(held(path))
        if isinstance(each, Entry) and "Asked" in type(each.event).__name__
    )
    assert said[asked] == "" or "permit" in str(held(path)[asked])
    assert sum(map(bool, said)) == 2


def test_without_limits_or_device_nothing_is_said(path: Path):
    entries = held(path)
    along = Along()
    assert [along.take(each) for each in entries[1:]] == [""] * (len(entries) - 1)
    along = Along()
    opened = next(n for n, each in enumerate(entries) if "capabilities" in str(each) and n)
    assert not any(along.take(each) for each in entries[:opened] + entries[opened + 1 :])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, 1e308])
def test_numbers_that_somebody_wrote_are_borne(bad: float):
    limits, caps = rules_of().limits, caps_of("tacs")
    for train in (hold(bad), msgspec.structs.replace(valid_train("tacs"), outputs=())):
        assert isinstance(words_of(train, limits, caps), str)


def test_a_device_that_another_takes_the_place_of_is_asked_anew(path: Path):
    entries = held(path)
    along = Along()
    first = [along.take(each) for each in entries]
    again = [along.take(each) for each in entries]
    assert first == again and any(first)


def test_what_was_asked_long_ago_is_forgotten(path: Path):
    along = Along(limits=limits_of("tacs"), caps=caps_of("tacs"))
    asked = next(each for each in held(path) if isinstance(each, Entry) and hasattr(each.event, "request"))
    for number in range(ASKED_MAX + 1):
        request = msgspec.structs.replace(asked.event.request, id=number)  # type: ignore[union-attr]
        event = msgspec.structs.replace(asked.event, request=request)
        along.take(msgspec.structs.replace(asked, event=event, effects=()))
    permit = msgspec.structs.replace(asked, event=held(path)[1].event, effects=("permit 0 until 1",))  # type: ignore[union-attr]
    assert along.take(permit) == ""
    assert along.take(msgspec.structs.replace(permit, effects=("permit 1 until 1",))) != ""
    for odd in ("permit", "permit x until 1", f"permit {'9' * 400} until 1", "permit -1 until 1"):
        assert along.take(msgspec.structs.replace(permit, effects=(odd,))) == ""
