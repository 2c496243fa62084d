"""The sign of the response: each edge of a window, and what the interlock and the oracle make of it."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety.entries import Genesis
from safety.limit_values import ResponseLimits
from safety.messages import Refusal
from safety.oracle_ledger import check_ledger
from safety.oracle_response import Sign
from safety.response import (
    RESPONSE_MAX,
    Response,
    is_response,
    must_trip,
    note,
    put_out,
    refuses_increase,
)
from tests.safety.bench_device import MS
from tests.safety.strategies import hold, pulses
from tests.safety.test_oracle_ledger import Ledger, ledger_of
from tests.safety.world import World, rules_of, tripped
from tests.safety.worlds import stops

FALLS = ResponseLimits(expected="falls", dead_band=0.5, window_ms=1000, windows_refuse=2, windows_trip=4)
RISES = msgspec.structs.replace(FALLS, expected="rises")
BEGIN_NS = 10_000 * MS
WINDOW_NS = 1000 * MS


def course(limits: ResponseLimits, *values: float, reference: float = 1.0) -> Response:
    """A reference without output, then a window for each value while output acts."""
    seen = note(limits, Response(), reference, BEGIN_NS)
    seen = put_out(seen, BEGIN_NS + 10**15)
    for index, value in enumerate((*values, 0.0)):
        seen = note(limits, seen, value, BEGIN_NS + 1 + index * WINDOW_NS)
    return seen


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        (0.0, True),
        (-RESPONSE_MAX, True),
        (RESPONSE_MAX, True),
        (math.nextafter(RESPONSE_MAX, math.inf), False),
        (-math.nextafter(RESPONSE_MAX, math.inf), False),
        (math.nan, False),
        (math.inf, False),
        (-math.inf, False),
    ],
)
def test_what_a_response_can_be(value: float, is_one: bool):
    assert is_response(value) is is_one


@pytest.mark.parametrize(
    ("limits", "values", "wrong"),
    [
        (FALLS, (1.5,), 0),
        (FALLS, (math.nextafter(1.5, 2.0),), 1),
        (FALLS, (-9.0,), 0),
        (FALLS, (2.0, 2.0), 2),
        (FALLS, (2.0, 1.0, 2.0), 1),
        (FALLS, (1.0, 1.0, 2.0), 1),
        (RISES, (0.5,), 0),
        (RISES, (0.4999999,), 1),
        (RISES, (9.0,), 0),
        (RISES, (0.0, 0.0, 0.0), 3),
    ],
)
def test_a_window_counts_when_it_lies_beyond_the_dead_band(
    limits: ResponseLimits, values: tuple[float, ...], wrong: int
):
    assert course(limits, *values).wrong == wrong


def test_the_mean_of_a_window_counts():
    seen = put_out(note(FALLS, Response(), 1.0, BEGIN_NS), BEGIN_NS + 10**15)
    for value in (0.0, 4.0, 2.0):
        seen = note(FALLS, seen, value, BEGIN_NS + 5)
    assert (seen.total, seen.n, seen.begun_ns, seen.acting) == (6.0, 3, BEGIN_NS + 5, True)
    seen = note(FALLS, seen, 7.0, BEGIN_NS + 5 + WINDOW_NS - 1)
    assert (seen.wrong, seen.n) == (0, 4)
    seen = note(FALLS, seen, 7.0, BEGIN_NS + 5 + WINDOW_NS)
    assert (seen.wrong, seen.n, seen.total, seen.begun_ns) == (1, 1, 7.0, BEGIN_NS + 5 + WINDOW_NS)


def test_output_acts_for_a_window_after_its_end():
    seen = put_out(Response(), BEGIN_NS)
    assert put_out(seen, BEGIN_NS - 1) == seen
    assert note(FALLS, seen, 1.0, BEGIN_NS + WINDOW_NS).acting
    assert not note(FALLS, seen, 1.0, BEGIN_NS + WINDOW_NS + 1).acting
    assert not note(FALLS, Response(), 1.0, 1).acting


def test_a_window_that_the_end_of_output_cuts_short_says_nothing():
    seen = put_out(course(FALLS), BEGIN_NS)
    begun = msgspec.structs.replace(
        seen, output_until_ns=BEGIN_NS, total=99.0, n=1, begun_ns=BEGIN_NS + 5, acting=True, wrong=1
    )
    after = note(FALLS, begun, 1.0, BEGIN_NS + WINDOW_NS + 1)
    assert (after.wrong, after.reference, after.n, after.acting) == (1, 1.0, 1, False)


def test_rest_takes_off_and_gives_a_new_reference():
    seen = msgspec.structs.replace(course(FALLS, 2.0, 2.0, 2.0), output_until_ns=BEGIN_NS)
    assert seen.wrong == 3
    for index in range(1, 6):
        seen = note(FALLS, seen, 3.0, BEGIN_NS + 60 * WINDOW_NS + index * WINDOW_NS)
    assert (seen.wrong, seen.reference, seen.acting) == (0, 3.0, False)


def test_stimulation_without_a_reference_makes_one():
    seen = put_out(Response(), BEGIN_NS + 10**15)
    seen = note(FALLS, seen, 5.0, BEGIN_NS)
    seen = note(FALLS, seen, 5.0, BEGIN_NS + WINDOW_NS)
    assert (seen.reference, seen.wrong) == (5.0, 0)


@pytest.mark.parametrize(
    ("wrong", "refuses", "trips"), [(1, 0, 0), (2, 1, 0), (3, 1, 0), (4, 1, 1), (5, 1, 1)]
)
def test_at_which_count_it_refuses_and_trips(wrong: int, refuses: int, trips: int):
    seen = Response(wrong=wrong)
    assert refuses_increase(FALLS, seen) is bool(refuses)
    assert must_trip(FALLS, seen) is bool(trips)


@given(
    st.lists(
        st.tuples(st.integers(1, 2_500), st.floats(-5, 5, width=16), st.booleans(), st.booleans()),
        max_size=40,
    )
)
def test_the_second_hand_counts_the_same(told: list[tuple[int, float, bool, bool]]):
    """Values of few digits, so that no rounding decides."""
    for limits in (FALLS, RISES):
        seen, sign, at_ns = Response(), Sign(limits=limits), BEGIN_NS
        for after_ms, value, fires, long in told:
            at_ns += after_ms * MS
            seen = note(limits, seen, value, at_ns)
            sign.asked(value, at_ns)
            if fires:
                until_ns = at_ns + (5000 if long else 1) * MS
                seen = put_out(seen, until_ns)
                sign.fired(until_ns)
            assert sign.against <= seen.wrong
            assert sign.forbids_more <= refuses_increase(limits, seen)
            assert sign.ends_it <= must_trip(limits, seen)
            assert math.isfinite(seen.total)


@pytest.mark.parametrize("value", (math.nan, math.inf, -math.inf, 2e12))
def test_the_second_hand_takes_no_number_that_is_none(value: float):
    sign = Sign(limits=FALLS)
    sign.asked(value, BEGIN_NS)
    assert sign.values == []


def worse(world: World, seconds: float, response: float = 0.9, amplitude: float = 0.3) -> list[int]:
    """Renewals of one hold with that response; the ids that were asked."""
    ids = []
    for _ in range(round(seconds * 5)):
        if world.phase != "ARMED":
            break
        ids.append(world.ask(hold(amplitude), response=response))
        world.run_ms(200)
    return ids


def stimulated() -> World:
    world = World(rules_of()).armed()
    world.ask(hold(0.3), response=0.5)
    return world.run_ms(200)


def test_after_windows_of_the_wrong_sign_nothing_rises_but_the_hold_goes_on():
    world = stimulated()
    worse(world, 2.0)
    assert world.state.response.wrong == 1
    worse(world, 0.6)
    assert world.state.response.wrong == 2
    up = world.ask(hold(0.4), response=0.9)
    assert world.codes(up) == {"ILK-314"}
    refusal = world.last(Refusal)
    assert not refusal.allowed.may_rise
    assert refusal.allowed.amplitude_max == refusal.allowed.amplitude_now == 0.3
    same = world.ask(hold(0.3), response=0.9)
    assert world.codes(same) == set()
    world.run_ms(60)
    down = world.ask(hold(0.2), response=0.9)
    assert world.codes(down) == set()
    world.run_ms(60)
    assert world.codes(world.ask(hold(0.2, frequency_hz=11.0), response=0.9)) == {"ILK-314"}
    assert check_ledger(ledger_of(world)) == ()


def test_more_windows_of_the_wrong_sign_trip_by_a_ramp():
    world = stimulated()
    worse(world, 10.0)
    assert tripped(world) == "ILK-252"
    assert world.state.response.wrong == 4
    assert stops(world) == ["ramp"]
    assert "4 windows" in world.state.trip_text
    assert check_ledger(ledger_of(world)) == ()


def test_a_response_of_the_right_sign_hinders_nothing():
    world = stimulated()
    worse(world, 5.0, response=0.2)
    assert world.state.response.wrong == 0
    assert world.codes(world.ask(hold(0.4), response=0.2)) == set()


def test_no_new_train_of_pulses_while_the_response_is_wrong():
    world = World(rules_of("rtms")).armed()
    world.ask(pulses(), response=0.5)
    world.run_ms(100)
    at_ns = world.state.response.output_until_ns
    assert at_ns > world.mono_ns
    world.state = msgspec.structs.replace(
        world.state, response=msgspec.structs.replace(world.state.response, wrong=3)
    )
    world.run_ms(4_000)
    world.run_ms(7_000)
    assert world.codes(world.ask(pulses(), response=0.5)) == {"ILK-314"}
    assert world.last(Refusal).allowed.amplitude_max == 0.0


def test_while_not_armed_a_response_is_not_noted():
    world = World(rules_of()).ready()
    world.ask(hold(0.3), response=0.5)
    assert world.state.response == Response()


def test_what_is_no_response_is_refused_and_not_noted():
    world = World(rules_of()).armed()
    assert world.codes(world.ask(hold(0.3), response=math.nan)) == {"ILK-313"}
    assert world.codes(world.ask(hold(0.3), response=2e12)) == {"ILK-313"}
    assert world.state.response == Response()


def test_a_hold_of_nothing_is_no_output():
    world = World(rules_of()).armed()
    world.ask(hold(0.0), response=0.5)
    world.run_ms(60)
    assert world.state.running is not None
    assert world.state.response.output_until_ns == 0


def test_the_oracle_objects_to_an_increase_that_should_have_been_refused():
    """The same ledger under limits that refuse sooner."""
    world = stimulated()
    worse(world, 1.4)
    world.ask(hold(0.35), response=0.9)
    world.run_ms(60)
    assert world.state.response.wrong == 1
    ledger = ledger_of(world)
    assert check_ledger(ledger) == ()
    strict = with_response(ledger, windows_refuse=1)
    assert any("an increase after 1 windows of the wrong sign" in text for text in check_ledger(strict))
    ended = with_response(ledger, windows_refuse=0, windows_trip=1)
    assert any("1 windows of the wrong sign, and it goes on" in text for text in check_ledger(ended))


def with_response(ledger: Ledger, **bent: int) -> Ledger:
    genesis = ledger[0]
    assert isinstance(genesis, Genesis)
    limits = genesis.rules.limits
    response = msgspec.structs.replace(limits.response, **bent)
    rules = msgspec.structs.replace(genesis.rules, limits=msgspec.structs.replace(limits, response=response))
    return [msgspec.structs.replace(genesis, rules=rules), *ledger[1:]]


def test_the_first_nanosecond_of_output_acts():
    for until_ns, acting in ((0, False), (1, True), (2, True)):
        assert note(FALLS, put_out(Response(), until_ns), 1.0, 1).acting is acting
