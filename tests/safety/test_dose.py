"""Budgets: what is granted is never less than what can come out, and nothing is reserved beyond a budget."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.stimulation import Train
from safety.dose import (
    BLOCK_NS,
    MARK_NS,
    Dose,
    block,
    committed,
    grant,
    is_reserved,
    needed,
    reserve,
    running_low,
    settle,
)
from safety.exposures import NOTHING, covers, greatest, minus, per_pulse, plus, spent_of
from safety.modalities import Exposure
from safety.requests import _room
from tests.safety.bench_device import MS
from tests.safety.examples.ctbs import segment
from tests.safety.examples.tbs import bursts
from tests.safety.strategies import hold, pulses
from tests.safety.world import LONG, T0, World, rules_of

T = 10**12


def spent(on_time_s: float = 0.0, charge_c: float = 0.0, n_pulses: int = 0) -> Exposure:
    return Exposure(on_time_s=on_time_s, charge_c=charge_c, n_pulses=n_pulses)


def test_a_hold_that_stands_alone_is_its_lease_and_its_ramp():
    dose = grant(Dose(), hold(amplitude_ma_pp=1.0), T, 700 * MS)
    assert dose.granted == spent(0.5, 0.00025)


def test_the_same_time_is_granted_once():
    dose = grant(Dose(), hold(), T, 0)
    dose = grant(dose, hold(), T + 100 * MS, 0)
    assert dose.granted.on_time_s == pytest.approx(0.6)
    assert dose.granted.charge_c == pytest.approx(0.0003)


def test_a_rise_counts_from_its_grant_over_all_that_is_covered():
    dose = grant(Dose(), hold(amplitude_ma_pp=0.5), T, 0)
    dose = grant(dose, hold(amplitude_ma_pp=1.0), T + 100 * MS, 0)
    assert dose.granted.on_time_s == pytest.approx(0.6)
    assert dose.granted.charge_c == pytest.approx(0.1 * 0.00025 + 0.5 * 0.0005)


def test_a_fall_counts_as_before_until_it_has_fallen():
    dose = grant(Dose(), hold(amplitude_ma_pp=1.0), T, 0)
    dose = grant(dose, hold(amplitude_ma_pp=0.1), T + 100 * MS, 0)
    assert dose.granted.charge_c == pytest.approx(0.6 * 0.0005)
    dose = grant(dose, hold(amplitude_ma_pp=0.1), T + 200 * MS, 0)
    assert dose.granted.charge_c == pytest.approx(0.6 * 0.0005 + 0.1 * 0.00005)


def test_a_renewal_counts_to_the_latest_end_that_waiting_leaves():
    dose = grant(Dose(), hold(), T, 50 * MS)
    dose = grant(dose, hold(), T + 100 * MS, 50 * MS)
    assert dose.granted.on_time_s == pytest.approx(0.65)
    dose = grant(dose, hold(), T + 200 * MS, 50 * MS)
    assert dose.granted.on_time_s == pytest.approx(0.75)


@pytest.mark.parametrize(("early_ns", "on_time_s"), [(0, 1.0), (1, 1.05)])
def test_what_begins_where_all_is_over_stands_alone(early_ns: int, on_time_s: float):
    """Nothing waits for it: however late it starts, it lasts as long."""
    dose = grant(Dose(), hold(), T, 50 * MS)
    assert dose.covered_ns == T + 500 * MS
    dose = grant(dose, hold(), dose.covered_ns - early_ns, 50 * MS)
    assert dose.granted.on_time_s == pytest.approx(on_time_s, abs=1e-6)


def test_what_ends_within_what_is_covered_adds_nothing():
    dose = grant(Dose(), hold(), T, 0)
    within = grant(dose, hold(duration_ms=50), T + 100 * MS, 0)
    assert (within.granted, within.covered_ns) == (dose.granted, dose.covered_ns)


def test_what_stands_alone_adds_nothing_to_what_was_before():
    dose = grant(Dose(), hold(amplitude_ma_pp=0.5), T, 0)
    alone = grant(Dose(), hold(amplitude_ma_pp=1.0), T, 0)
    for start_ns in (dose.covered_ns, dose.covered_ns + 1, dose.covered_ns + 10**12):
        both = grant(dose, hold(amplitude_ma_pp=1.0), start_ns, 0)
        assert both.granted == plus(dose.granted, alone.granted)


@pytest.mark.parametrize(("early_ns", "level"), [(0, 0.1), (1, 1.0)])
def test_less_than_what_has_surely_fallen_counts_as_what_it_is(early_ns: int, level: float):
    dose = grant(Dose(), hold(amplitude_ma_pp=1.0), T, 0)
    before = dose.granted.charge_c
    dose = grant(dose, hold(amplitude_ma_pp=0.1), dose.covered_ns + 50 * MS - early_ns, 50 * MS)
    assert dose.granted.charge_c - before == pytest.approx(level / 2 / 1e3 * 0.5, rel=1e-6)


def test_each_train_counts_whole():
    dose = grant(grant(Dose(), pulses(n_pulses=40), T, 0), pulses(n_pulses=10), T + 1, 0)
    assert dose.granted == spent(5.0, 0.0, 50)


Steps = list[tuple[int, int, float, int, int]]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 900),  # ms after the request before
        st.integers(0, 300),  # ms until it starts
        st.sampled_from([0.1, 0.5, 1.0, 1.5]),
        st.sampled_from([50, 200, 400]),
        st.sampled_from([50, 200]),
    ),
    min_size=1,
    max_size=12,
)


def delivered(steps: Steps) -> tuple[float, float]:
    """On-time in s, and charge in C at the most, of holds that each take over from the one before at its onset."""
    asked_ms, spans = 0, []
    for gap_ms, wait_ms, level, duration_ms, ramp_ms in steps:
        asked_ms += gap_ms
        onset_ms = max(asked_ms + wait_ms, spans[-1][0] if spans else 0)
        asked_ms = onset_ms  # the next is asked when this one has started: two are never under way
        spans.append((onset_ms, onset_ms + duration_ms + ramp_ms, level, ramp_ms))
    on_ms = charge = 0.0
    for (onset_ms, zero_ms, level, _), following in pairwise([*spans, (10**9, 0, 0.0, 0)]):
        end_ms = min(zero_ms, following[0])
        on_ms += end_ms - onset_ms
        charge += (end_ms - onset_ms) / 1e3 * level / 2 / 1e3
    for before, (onset_ms, _, level, ramp_ms) in pairwise(spans):
        if onset_ms < before[1] and before[2] > level:  # a straight fall from at most the level before
            charge += ramp_ms / 2e3 * (before[2] - level) / 2 / 1e3
    return on_ms / 1e3, charge


@settings(max_examples=3_000 if LONG else 300, deadline=None)
@given(STEPS)
def test_no_sequence_of_holds_delivers_more_than_is_granted(steps: Steps):
    dose, asked_ms = Dose(), 0
    for gap_ms, wait_ms, level, duration_ms, ramp_ms in steps:
        asked_ms += gap_ms
        train = hold(amplitude_ma_pp=level, duration_ms=duration_ms, ramp_down_ms=ramp_ms)
        dose = grant(dose, train, T + asked_ms * MS, 300 * MS)
        asked_ms += wait_ms
    on_time_s, charge_c = delivered(steps)
    assert dose.granted.on_time_s >= on_time_s - 1e-9
    assert dose.granted.charge_c >= charge_c - 1e-12


@pytest.mark.parametrize(("high", "fits"), [(0.5, True), (math.nextafter(0.5, 0), False), (0.0, False)])
def test_a_budget_is_kept_to_the_last_bit(high: float, fits: bool):
    rules = rules_of(budgets={"on_time_s": high})
    found = _room(rules, World(rules).state, grant(Dose(), hold(), T, 0), False, hold(), 3, T0)
    if fits:
        assert isinstance(found, Dose)
        assert (found.coming, found.coming_after, found.coming_ns) == (spent(0.5, 0.00025), 3, T0.mono_ns)
    else:
        assert not isinstance(found, Dose)
        assert [(each.budget.name, each.budget.scope, each.total) for each in found] == [
            ("on_time_s", "session", 0.5)
        ]


def test_a_block_ahead_is_reserved_at_the_highest_amplitude_where_there_is_room():
    ahead = block(hold(amplitude_ma_pp=0.5), spent(0.5, 0.0001), 1.5)
    assert (ahead.on_time_s, ahead.charge_c) == (BLOCK_NS / 1e9, pytest.approx(5 * 0.00075))
    assert block(hold(amplitude_ma_pp=0.5), spent(9.0, 0.5), 1.5) == spent(9.0, 0.5)
    assert block(hold(amplitude_ma_pp=2.0), NOTHING, 1.5).charge_c == pytest.approx(5 * 0.001)


def test_a_train_is_reserved_whole_and_not_ahead():
    dose = grant(Dose(), pulses(n_pulses=40), T, 0)
    assert block(pulses(n_pulses=40), needed(dose), 80.0) == dose.granted


def test_what_is_on_its_way_counts_against_a_budget_but_no_permit_rests_on_it():
    dose = grant(Dose(), hold(), T, 0)
    found = reserve(dose, needed(dose), 3, T)
    assert committed(found) == found.granted
    assert needed(found) == NOTHING
    assert not is_reserved(found, T)
    assert settle(found, 2) == found
    settled = settle(found, 3)
    assert (settled.coming, settled.coming_after, settled.coming_ns, settled.marked_ns) == (NOTHING, 0, 0, T)
    assert settled.reserved == settled.granted
    assert settle(settled, 99) == settled


def test_no_output_rests_on_a_reservation_that_is_older_than_a_minute():
    dose = Dose(reserved=spent(9.0, 9.0, 9), marked_ns=T)
    assert is_reserved(dose, T + MARK_NS)
    assert not is_reserved(dose, T + MARK_NS + 1)
    assert not is_reserved(Dose(reserved=spent(9.0, 9.0, 9)), 5)
    assert running_low(dose, hold(), T + MARK_NS // 2 + 1)
    assert not running_low(dose, hold(), T + MARK_NS // 2)


def test_a_dose_knows_its_first_and_its_last_output():
    dose = grant(Dose(), hold(), T, 50 * MS)
    assert (dose.first_ns, dose.last_ns) == (T, T + 550 * MS)
    later = grant(dose, hold(duration_ms=50), T + 100 * MS, 0)
    assert (later.first_ns, later.last_ns) == (T, T + 550 * MS)
    train = grant(Dose(), pulses(n_pulses=40, rate_hz=10.0), T, 0)
    assert (train.first_ns, train.last_ns) == (T, T + 4000 * MS)


def test_holds_without_a_pause_are_one_train_and_each_pulse_train_is_its_own():
    dose = grant(grant(Dose(), hold(), T, 0), hold(), T + 500 * MS, 0)
    assert dose.train == dose.granted == spent(1.0, 0.0005)
    assert dose.pulse == spent(0.5, 0.00025)
    paused = grant(dose, hold(), dose.covered_ns + 1, 0)
    assert paused.train == paused.pulse == spent(0.5, 0.00025)
    trains = grant(grant(Dose(), pulses(n_pulses=40), T, 0), pulses(n_pulses=10), T + 1, 0)
    assert trains.train == spent(1.0, 0.0, 10)
    assert trains.pulse == spent(0.1, 0.0, 1)


def test_covers_asks_for_every_quantity():
    have = spent(1.0, 1.0, 1)
    assert covers(have, have)
    for more in (spent(1.1, 1.0, 1), spent(1.0, 1.1, 1), spent(1.0, 1.0, 2), spent(math.nan, 0.0, 0)):
        assert not covers(have, more)


@pytest.mark.parametrize(
    ("left", "low"), [(spent(2.5, 0.00125), False), (spent(2.4, 1.0), True), (spent(9.0, 0.00124), True)]
)
def test_the_next_block_is_asked_for_before_half_is_used(left: Exposure, low: bool):
    assert running_low(Dose(reserved=left, marked_ns=T), hold(amplitude_ma_pp=1.0), T) is low
    assert (
        running_low(Dose(reserved=left, marked_ns=T, coming_after=2), hold(amplitude_ma_pp=1.0), T) is False
    )
    assert running_low(Dose(), pulses(), T) is False


@pytest.mark.parametrize(
    ("n_pulses", "marked_ms", "low"), [(29, 0, True), (30, 0, False), (31, 0, False), (30, 10**6, False)]
)
def test_the_next_segment_of_a_train_is_asked_for_before_it_is_needed(
    n_pulses: int, marked_ms: int, low: bool
):
    """A train of one piece is reserved whole; of one in segments another lies ahead, however old the block is."""
    train = segment()  # ten bursts of three pulses
    granted = Exposure(on_time_s=2.0, charge_c=0.0, n_pulses=30)
    had = Dose(
        granted=granted, reserved=Exposure(on_time_s=9.0, charge_c=0.0, n_pulses=30 + n_pulses), marked_ns=T
    )
    assert running_low(had, train, T + marked_ms * MS) is low
    assert running_low(had, bursts(), T + marked_ms * MS) is False


def test_an_unknown_budget_is_a_broken_invariant():
    with pytest.raises(AssertionError):
        spent_of(NOTHING, "odd")  # type: ignore[arg-type]


def test_sums_and_names():
    assert plus(spent(1.0, 2.0, 3), spent(1.0, 1.0, 1)) == spent(2.0, 3.0, 4)
    assert minus(spent(1.0, 2.0, 3), spent(2.0, 1.0, 5)) == spent(0.0, 1.0, 0)
    assert greatest(spent(1.0, 2.0, 3), spent(2.0, 1.0, 5)) == spent(2.0, 2.0, 5)
    assert per_pulse(spent(1.0, 2.0, 4)) == spent(0.25, 0.5, 1)
    assert per_pulse(spent(1.0, 2.0)) == spent(1.0, 2.0)
    assert spent_of(NOTHING, "n_sessions") == spent_of(NOTHING, "n_days") == 0.0
    assert spent_of(spent(0.0, 1e-9), "n_sessions") == spent_of(spent(0.0, 0.0, 1), "n_days") == 1.0
    assert [spent_of(spent(1.0, 2.0, 3), name) for name in ("on_time_s", "charge_c", "n_pulses")] == [
        1.0,
        2.0,
        3.0,
    ]


def test_a_hold_is_renewed_over_its_top_ups_without_waiting():
    world = World(rules_of()).armed()
    world.ask(hold(amplitude_ma_pp=0.4, ramp_up_ms=400))
    world.run_ms(200)
    for _ in range(60):
        told = len(world.heard)
        world.ask(hold(amplitude_ma_pp=0.4, ramp_up_ms=400))
        assert [type(m).__name__ for m in world.heard[told:]] == ["Permit"]
        world.run_ms(200)
    assert world.state.dose.reserved.on_time_s >= 15.0
    assert world.state.lapses == ()


def spend(world: World, train: Train, gap_ms: float) -> int:
    """Ask until the budget says no; how often it was permitted."""
    for n in range(200):
        request = world.ask(train)
        if world.codes(request):
            assert "ILK-308" in world.codes(request) or world.codes(request) == {"ILK-305"}
            return n
        world.run_ms(gap_ms)
    raise AssertionError("the budget never ended it")


def test_a_budget_of_time_ends_a_hold():
    world = World(rules_of(budgets={"on_time_s": 12.0})).armed()
    n = spend(world, hold(amplitude_ma_pp=0.4, ramp_up_ms=400), 200)
    world.run_ms(1_000)
    assert n > 50  # it could be used up, but for what waiting may cost
    assert world.device.on_time_ns / 1e9 <= 12.0
    assert world.device.output == 0.0


def test_a_budget_of_pulses_ends_the_trains():
    world = World(rules_of("rtms", budgets={"n_pulses": 100})).armed()
    assert spend(world, pulses(n_pulses=40), 11_000) == 2
    assert world.device.n_pulses == 80
    assert world.codes(world.ask(pulses(n_pulses=21))) == {"ILK-308"}
    assert world.codes(world.ask(pulses(n_pulses=20))) == set()


def test_a_budget_of_nothing_allows_nothing():
    world = World(rules_of(budgets={"charge_c": 0.0})).armed()
    assert world.codes(world.ask(hold(amplitude_ma_pp=0.01))) == {"ILK-308"}
    assert world.state.dose == Dose()


def test_a_renewal_that_starts_late_is_accounted_to_its_end():
    """The first hold starts at once, its renewal after a host that takes its time: the output lasts longer than asked."""
    world = World(rules_of()).armed()
    world.disk_ns = 0
    world.ask(hold(amplitude_ma_pp=0.3, ramp_up_ms=300))
    world.run_ms(230)
    world.host_ns = 45 * MS
    world.ask(hold(amplitude_ma_pp=0.3, ramp_up_ms=301))  # changed: it is prepared anew, and starts late
    world.run_ms(900)
    assert world.phase == "ARMED"
    assert world.device.on_time_ns / 1e9 > 0.23 + 0.5 + 0.03
    assert world.device.on_time_ns / 1e9 <= world.state.dose.granted.on_time_s
    waiting_s = 0.25 + 2 * 0.1 + 2 * 0.05  # the disk, the host's two answers, the slack of an onset
    assert world.state.dose.granted.on_time_s == pytest.approx(0.23 + 0.5 + waiting_s)
