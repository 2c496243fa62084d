"""What is remembered is what would be worked out, and never of another value."""

from __future__ import annotations

from operator import eq

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.stimulation import Output, Train
from safety.history import date_of
from safety.judging import facts_now, today_of
from safety.modalities import check_facts
from safety.modalities.bounds import rows_of
from safety.modalities.contacts import check_outputs
from safety.modalities.facts import dated_facts
from safety.modalities.quantities import Facts
from safety.modalities.skin import per_area
from safety.remembering import Remembered
from tests.safety.strategies import caps_of, hold, limits_of
from tests.safety.world import T0, World, rules_of


class Counted:
    """A function that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, first: list[int], second: float) -> tuple[int, float]:
        self.asked += 1
        return len(first), second


def test_the_same_objects_are_worked_out_once():
    made, first, second = Counted(), [1], 2.5
    remembered = Remembered(made)
    assert remembered(first, second) == remembered(first, second) == (1, 2.5)
    assert made.asked == 1


def test_an_equal_first_that_is_another_object_is_worked_out_again():
    made = Counted()
    remembered = Remembered(made, eq)
    remembered([1], 2.5)
    assert remembered([1, 2], 2.5) == (2, 2.5)
    assert made.asked == 2


@pytest.mark.parametrize(
    ("second", "asked"), [(float("2.5"), 1), (2.500000001, 2), (-2.5, 2), (float("nan"), 2)]
)
def test_a_second_is_compared_where_that_was_asked_for(second: float, asked: int):
    made, first = Counted(), [1]
    remembered = Remembered(made, eq)
    remembered(first, 2.5)
    assert repr(remembered(first, second)) == repr((1, second))
    assert made.asked == asked


def test_nan_is_never_the_value_that_it_was():
    made, first, nan = Counted(), [1], float("nan")
    remembered = Remembered(made, eq)
    remembered(first, nan)
    remembered(first, nan)
    assert made.asked == 2


def test_only_the_last_is_kept():
    made, first = Counted(), [1]
    remembered = Remembered(made, eq)
    for second in (1.0, 2.0, 1.0):
        assert remembered(first, second) == (1, second)
    assert made.asked == 3


def test_the_facts_are_those_of_the_day_and_the_limits_that_are_asked_for():
    limits = limits_of("tacs")
    today = facts_now(rules_of(), World(rules_of()).state, T0).today
    good, early = Facts(today=today, impedance_kohm=5.0), Facts(today="1999-01-01", impedance_kohm=5.0)
    consent_gone = msgspec.structs.replace(
        limits, inputs=msgspec.structs.replace(limits.inputs, consent_on="")
    )
    for _ in range(2):
        assert check_facts(limits, good) == ()
        assert [each.code for each in dated_facts(limits, early)] == ["ILK-113", "ILK-113"]
        assert [each.quantity for each in dated_facts(consent_gone, good)] == ["consent_on"]


@given(seconds=st.integers(-(10**11), 10**11))
def test_a_day_is_the_calendars_whichever_was_asked_before(seconds: int):
    rules = rules_of()
    wall_ns = T0.wall_ns + seconds * 1_000_000_000
    first, again = date_of(rules.history, wall_ns), date_of(rules.history, wall_ns)
    assert first == again
    now = msgspec.structs.replace(T0, wall_ns=wall_ns)
    assert today_of(rules, now) == (max(rules.today, first) if first else "")


def with_shares(*shares: object) -> Train:
    outputs = tuple(Output(name=name, share=share) for name, share in zip(("F3", "Oz"), shares, strict=True))  # type: ignore[arg-type]
    return msgspec.structs.replace(hold(0.5), outputs=outputs)


@pytest.mark.parametrize("wrong", [(True, -1.0), (0.5, -0.5), (1.0, -0.5), (0.0, -1.0), (float("nan"), -1.0)])
def test_shares_are_judged_each_time_by_what_they_are(wrong: tuple[object, object]):
    """True is no 1.0, though the two are equal; and what was right before says nothing of it."""
    limits, caps = limits_of("tacs"), caps_of("tacs")
    for _ in range(2):
        assert check_outputs(with_shares(1.0, -1.0), limits, caps) == []
        assert check_outputs(with_shares(*wrong), limits, caps) != []


def test_outputs_are_judged_against_the_file_and_the_device_at_hand():
    limits, caps, train = limits_of("tacs"), caps_of("tacs"), with_shares(1.0, -1.0)
    unplugged = msgspec.structs.replace(caps, outputs=("F3",))
    unlisted = msgspec.structs.replace(
        limits,
        contacts=tuple(msgspec.structs.replace(each, name=each.name + "x") for each in limits.contacts),
    )
    for _ in range(2):
        assert check_outputs(train, limits, caps) == []
        assert [each.set_by for each in check_outputs(train, limits, unplugged)] == ["device"]
        assert [each.set_by for each in check_outputs(train, unlisted, caps)] == ["protocol"]


def test_a_larger_contact_is_another_density():
    limits, train = limits_of("tacs"), with_shares(1.0, -1.0)
    twice = msgspec.structs.replace(
        limits,
        contacts=tuple(
            msgspec.structs.replace(each, area_cm2=2 * each.area_cm2)
            for each in limits.contacts
            if each.area_cm2
        ),
    )
    for _ in range(2):
        before, after = per_area(train, limits)[0], per_area(train, twice)[0]
        assert [load for load, _ in before] == [2 * load for load, _ in after] and before


def test_the_rows_are_those_of_the_file_at_hand():
    limits = limits_of("tacs")
    bare = msgspec.structs.replace(limits, rows=())
    for _ in range(2):
        assert rows_of(limits, "amplitude_ma_pp") == tuple(
            r for r in limits.rows if r.quantity == "amplitude_ma_pp"
        )
        assert rows_of(bare, "amplitude_ma_pp") == () == rows_of(limits, "amplitude")
