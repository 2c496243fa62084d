"""dual_threshold against limits, lapses, blindness, the wrong sign, and an interlock in miniature."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import policies
from controller.policies import Policy
from controller.policies.room import Room, round_down, with_amplitude
from drivers.stimulation import (
    Hold,
    MagneticPulse,
    Output,
    PulseTrain,
    Sine,
    Train,
    amplitude,
    quantities,
)
from safety.messages import Allowed, Row
from tests.controller.material import reading

HOP_S = 0.1
HOP_NS = 100_000_000
TACS = Train(
    modality="tacs",
    outputs=(Output(name="F3", share=1.0), Output(name="Oz", share=-1.0)),
    waveform=Hold(
        carrier=Sine(amplitude_ma_pp=1.0, frequency_hz=10.0),
        ramp_up_ms=200,
        ramp_down_ms=100,
        duration_ms=500,
    ),
)
RTMS = Train(
    modality="rtms",
    outputs=(Output(name="coil", share=1.0),),
    waveform=PulseTrain(pulse=MagneticPulse(amplitude_pct_mso=60.0), rate_hz=10.0, n_pulses=40),
)


def row(quantity: str, high: float, low: float = 0.0) -> Row:
    return Row(
        quantity=quantity, unit="", low=low, high=high, set_by="site", source="test", status="verified"
    )


def allowed(now: float = 0.0, high: float = 0.8, slew: float | None = 2.0, **change: object) -> Allowed:
    rows = (row("amplitude_ma_pp", high), row("frequency_hz", 40.0, 1.0), row("amplitude_pct_mso", 50.0))
    slews = () if slew is None else (row("slew_ma_per_s", slew),)
    told = Allowed(
        rows=rows + slews,
        used={"on_time_s": 0.0, "n_pulses": 0.0},
        budget={"on_time_s": 1000.0, "n_pulses": 1e6},
        not_before_ns=0,
        busy_until_ns=0,
        amplitude_now=now,
        amplitude_max=50.0 if slew is None else min(high, now + slew * 0.2),
    )
    return msgspec.structs.replace(told, **change)


def law(train: Train = TACS, hop_s: float = HOP_S, **table: object) -> Policy:
    hold = isinstance(train.waveform, Hold)
    # The response is left unwatched unless a test asks for it.
    plain = {"response_windows": 100, "response_margin": 1e9}
    base = {"biomarker": "b", "hi": 1.0, "lo": -1.0, "step": 0.05 if hold else 1.0}
    rate = {"rate_per_s": 0.5} if hold else {}
    return policies.build("dual_threshold", {**base, **rate, **plain, **table}, train, hop_s)


class Rig:
    """A miniature interlock: permits within limits, ends leases, counts lapses and what it had to refuse."""

    def __init__(self, policy: Policy, high: float = 0.8) -> None:
        self.policy = policy
        self.high = high
        self.now_ns = 0
        self.level = 0.0
        self.until_ns = -1
        self.asked: list[tuple[int, float]] = []
        self.refused = 0
        self.lapses = 0
        self.not_before_ns = 0

    def run(self, value: float | Callable[[], float], seconds: float) -> None:
        for _ in range(round(seconds / HOP_S)):
            if self.level > 0 and self.now_ns > self.until_ns:
                self.level, self.lapses = 0.0, self.lapses + 1
                self.not_before_ns = self.now_ns + 1_000_000_000
            told = allowed(self.level, self.high, not_before_ns=self.not_before_ns)
            got = value() if callable(value) else value
            train = self.policy.decide({"b": reading(got)}, told, self.now_ns)
            if train is not None:
                self.permit(amplitude(train))
            self.now_ns += HOP_NS

    def permit(self, asked: float) -> None:
        self.asked.append((self.now_ns, asked))
        down = asked < self.level
        if not down and (
            asked > self.high or asked - self.level > 0.4 + 1e-12 or self.now_ns < self.not_before_ns
        ):
            self.refused += 1
            return
        self.level = asked
        self.until_ns = self.now_ns + 500_000_000


def test_above_it_rises_at_its_rate_to_the_limit_and_no_further():
    rig = Rig(law())
    rig.run(2.0, 1.0)
    assert rig.level == pytest.approx(0.5)
    rig.run(2.0, 5.0)
    assert rig.level == 0.8
    assert rig.refused == rig.lapses == 0


def test_between_it_holds_and_renews_and_below_it_falls_to_zero_and_asks_no_more():
    rig = Rig(law())
    rig.run(2.0, 1.0)
    rig.run(0.0, 5.0)
    assert rig.level == pytest.approx(0.5)
    rig.run(-2.0, 2.0)
    assert rig.level == 0.0
    assert rig.asked[-1][1] == 0.0
    assert sum(1 for _, a in rig.asked if a == 0.0) == 1
    n = len(rig.asked)
    rig.run(0.0, 10.0)
    assert len(rig.asked) == n
    assert rig.refused == rig.lapses == 0


@pytest.mark.parametrize(("value", "moves"), [(1.0, False), (1.0000001, True)])
def test_the_threshold_itself_is_in_between(value: float, moves: bool):
    rig = Rig(law())
    rig.run(value, 1.0)
    assert (rig.level > 0) == moves


def test_a_hold_is_renewed_when_two_fifths_of_its_lease_are_used():
    rig = Rig(law(rate_per_s=100.0))
    rig.run(2.0, 3.0)
    times = [at for at, a in rig.asked if a == 0.8]
    assert {b - a for a, b in pairwise(times)} == {200_000_000}


def test_stimulating_below_is_the_mirror():
    rig = Rig(law(stimulate="below"))
    rig.run(2.0, 1.0)
    assert rig.asked == []
    rig.run(-2.0, 1.0)
    assert rig.level == pytest.approx(0.5)
    rig.run(2.0, 2.0)
    assert rig.level == 0.0


def test_without_a_reading_it_holds_then_steps_down():
    rig = Rig(law(hold_s=2.0))
    rig.run(2.0, 1.0)
    rig.run(math.nan, 1.9)
    assert rig.level == pytest.approx(0.5)
    rig.run(math.nan, 0.6)
    assert 0 < rig.level < 0.5
    rig.run(math.nan, 2.0)
    assert rig.level == 0.0
    rig.run(math.nan, 100.0)
    assert rig.level == 0.0
    assert rig.lapses == rig.refused == 0
    rig.run(2.0, 0.5)
    assert rig.level > 0


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_is_no_reading(value: float):
    rig = Rig(law())
    rig.run(value, 5.0)
    assert rig.asked == []


def test_a_missing_reading_is_no_reading():
    policy = law()
    assert all(policy.decide({}, allowed(), turn * HOP_NS) is None for turn in range(50))
    assert math.isnan(policy.response)


def test_the_response_is_the_last_finite_value_in_its_own_sign():
    policy = law(stimulate="below")
    policy.decide({"b": reading(-3.0)}, allowed(), 0)
    policy.decide({"b": reading(math.nan)}, allowed(), HOP_NS)
    assert policy.response == -3.0


def test_after_a_lapse_it_starts_from_zero_once_it_may():
    rig = Rig(law())
    rig.run(2.0, 1.5)
    rig.level, rig.not_before_ns = 0.0, rig.now_ns + 1_000_000_000
    n = len(rig.asked)
    rig.run(2.0, 0.9)
    assert len(rig.asked) == n
    rig.run(2.0, 0.4)
    assert 0 < rig.level <= 0.2
    assert rig.refused == 0


def test_a_lower_limit_is_followed_down_at_once():
    rig = Rig(law(rate_per_s=10.0))
    rig.run(2.0, 2.0)
    rig.high = 0.33
    rig.run(2.0, 0.1)
    assert rig.level == 0.3  # down to the step below 0.33


@pytest.mark.parametrize(
    "change",
    [
        {"rows": (row("frequency_hz", 40.0, 1.0),)},  # no row for the amplitude
        {"rows": (row("amplitude_ma_pp", 0.8), row("frequency_hz", 9.9, 1.0), row("slew_ma_per_s", 2.0))},
        {"rows": (row("amplitude_ma_pp", 0.8), row("ramp_up_ms", 9000, 201), row("slew_ma_per_s", 2.0))},
        {"rows": (row("amplitude_ma_pp", 0.8, 0.9), row("slew_ma_per_s", 2.0))},
        {"rows": (row("amplitude_ma_pp", math.nan), row("slew_ma_per_s", 2.0))},
        {"rows": (row("amplitude_ma_pp", 0.8), row("slew_ma_per_s", math.nan)), "amplitude_max": math.nan},
        {"rows": (row("amplitude_ma_pp", 0.8),), "amplitude_max": 0.0},
        {"used": {"on_time_s": 999.0, "n_pulses": 0.0}},
        {"used": {"n_pulses": 0.0}},
        {"used": {"on_time_s": math.nan, "n_pulses": 0.0}},
        {"used": {"on_time_s": 0.0, "n_pulses": 0.0, "charge_c": 1.0}, "budget": {"charge_c": 1.0}},
        {"used": {"odd": 1.0}, "budget": {"odd": 1.0}},
        {"not_before_ns": 10**18},
    ],
)
def test_it_does_not_ask_for_a_refusal(change: dict[str, object]):
    policy = law(rate_per_s=50.0)
    told = allowed(**change)
    assert all(policy.decide({"b": reading(9.0)}, told, turn * HOP_NS) is None for turn in range(20))


def test_when_no_room_is_left_while_it_runs_it_comes_down_rather_than_lapse():
    policy = law(rate_per_s=50.0)
    first = policy.decide({"b": reading(9.0)}, allowed(), 0)
    assert first is not None
    spent = allowed(amplitude(first), used={"on_time_s": 999.5, "n_pulses": 0.0})
    last = policy.decide({"b": reading(9.0)}, spent, HOP_NS)
    assert last is not None
    assert amplitude(last) == 0.0


def test_rows_are_remembered_when_a_message_has_none():
    policy = law()
    policy.decide({"b": reading(9.0)}, allowed(), 0)
    got = policy.decide({"b": reading(9.0)}, allowed(rows=(), amplitude_max=0.0), HOP_NS)
    assert got is not None
    assert amplitude(got) == 0.1


def test_nothing_but_the_amplitude_ever_changes():
    rig = Rig(law())
    policy = rig.policy
    got = policy.decide({"b": reading(9.0)}, allowed(), 0)
    assert got is not None
    assert with_amplitude(got, 1.0) == TACS


def test_a_response_of_the_wrong_sign_steps_down_and_locks():
    """The more it stimulates the worse it gets: a plant with overstimulation."""
    rig = Rig(law(response_s=2.0, response_windows=3, response_margin=0.1, lockout_s=20.0))
    peak = 0.0

    def worse() -> float:
        nonlocal peak
        peak = max(peak, rig.level)
        return 2.0 + 0.5 * rig.now_ns / 1e9

    rig.run(worse, 10.0)
    assert rig.level < peak == 0.8
    rig.run(worse, 5.0)
    assert rig.level == 0.0
    rig.run(worse, 10.0)
    assert rig.level == 0.0  # locked, though b > hi
    rig.run(worse, 6.0)
    assert rig.level > 0.0
    assert rig.lapses == rig.refused == 0


@pytest.mark.parametrize("slope", [-0.5, 0.0, 0.04])
def test_a_response_of_the_right_sign_or_none_does_not(slope: float):
    rig = Rig(law(response_s=2.0, response_windows=3, response_margin=0.1))
    rig.run(lambda: 20.0 + slope * rig.now_ns / 1e9, 20.0)
    assert rig.level == 0.8


def test_getting_worse_without_stimulation_is_not_its_doing():
    rig = Rig(law(hi=1e6, response_s=1.0, response_windows=1, response_margin=0.0))
    rig.run(lambda: rig.now_ns / 1e9, 10.0)
    assert rig.asked == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=True, allow_infinity=True),
            st.integers(0, 3),
            st.floats(0.0, 2.0, allow_nan=False),
        ),
        max_size=80,
    )
)
def test_whatever_comes_it_stays_inside_and_on_its_step(turns: list[tuple[float, int, float]]):
    rig = Rig(law(rate_per_s=3.0, step=0.01, response_s=0.5, response_windows=1, response_margin=0.0))
    for value, hops, high in turns:
        rig.high = high
        rig.run(value, hops * HOP_S)
    assert rig.refused == rig.lapses == 0
    for _, asked in rig.asked:
        # As the interlock judges it: exactly, to one part in 10^9.
        steps = Fraction(asked) / Fraction("0.01")
        assert abs(steps - round(steps)) <= Fraction(1, 10**9) * max(1, round(steps))
        assert asked <= 1.0


def test_a_clock_that_goes_back_does_no_harm():
    policy = law()
    for now_ns in (10**12, 0, 10**12, -5, 10**15):
        got = policy.decide({"b": reading(9.0)}, allowed(), now_ns)
        assert got is None or amplitude(got) <= 0.8


# Pulse trains ---------------------------------------------------------------------------------------------


def pulses(policy: Policy, value: float, now_s: float, **change: object) -> float | None:
    got = policy.decide({"b": reading(value)}, allowed(slew=None, **change), round(now_s * 1e9))
    return None if got is None else amplitude(got)


def test_a_train_is_asked_for_above_and_then_not_before_its_end_and_the_refractory_time():
    policy = law(RTMS, refractory_s=20.0)
    assert pulses(policy, 1.0, 0.0) is None
    assert pulses(policy, 1.1, 0.1) == 50.0  # down to the limit, not the 60 of the session
    assert pulses(policy, 9.0, 24.0) is None
    assert pulses(policy, 9.0, 24.1) == 50.0  # 4 s of pulses and 20 s


@pytest.mark.parametrize(
    "change",
    [
        {"not_before_ns": 10_000_000_001},
        {"busy_until_ns": 10_000_000_001},
        {"amplitude_max": 0.0},
        {"amplitude_max": math.nan},
        {"used": {"n_pulses": 61.0}, "budget": {"n_pulses": 100.0}},
        {"used": {"on_time_s": 6.5}, "budget": {"on_time_s": 10.0}},
    ],
)
def test_a_train_is_not_asked_for_where_it_would_be_refused(change: dict[str, object]):
    assert pulses(law(RTMS), 9.0, 10.0, **change) is None
    assert pulses(law(RTMS), 9.0, 10.0) == 50.0


def test_a_train_that_just_fits_its_budget_is_asked_for():
    assert pulses(law(RTMS), 9.0, 0.0, used={"n_pulses": 60.0}, budget={"n_pulses": 100.0}) == 50.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -9.0, 0.0])
def test_no_train_without_a_reading_above(value: float):
    policy = law(RTMS)
    assert all(pulses(policy, value, turn / 10) is None for turn in range(100))


def test_trains_that_make_it_worse_are_not_repeated():
    policy = law(
        RTMS, refractory_s=1.0, response_s=10.0, response_windows=2, response_margin=0.5, lockout_s=100.0
    )
    asked = [t / 10 for t in range(1400) if pulses(policy, 2.0 + t / 100, t / 10) is not None]
    assert asked[0] == 0.0
    gap_s, at_s = max((b - a, a) for a, b in pairwise(asked))
    assert gap_s >= 95.0
    assert at_s <= 35.0


# Configuration ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"lo": 2.0}, "found lo 2 above hi 1"),
        ({"hi": math.nan}, "^key hi: found"),
        ({"step": 0.0}, "^key step: found 0.0, expected a number above 0"),
        ({"rate_per_s": -1.0}, "^key rate_per_s: found -1.0"),
        ({"rate_per_s": None}, "^rate_per_s: missing"),
        ({"amplitude_max": 3.0}, "^key amplitude_max: unknown"),
        ({"biomarker": ""}, "^key biomarker"),
        ({"stimulate": "always"}, "^key stimulate"),
        ({"response_windows": 0}, "^key response_windows"),
    ],
)
def test_a_wrong_table_is_one_line(table: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text) as caught:
        law(**table)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("hop_s", [0.0, -1.0, math.nan, math.inf, 0.28, 1.0])
def test_a_hop_at_which_no_hold_can_be_renewed_is_refused(hop_s: float):
    with pytest.raises(ValueError, match=r"^hop: found"):
        law(hop_s=hop_s)


def test_the_kind_is_registered():
    assert "dual_threshold" in policies.available()
    assert policies.load("dual_threshold").__name__ == "DualThreshold"


@settings(max_examples=200, deadline=None)
@given(
    value=st.floats(0, 10, allow_nan=False),
    step=st.sampled_from([0.01, 0.05, 0.1, 0.3, 1.0, 1 / 3]),
    high=st.floats(0, 10, allow_nan=False),
)
def test_rounding_is_toward_less(value: float, step: float, high: float):
    got = round_down(value, step, high)
    assert 0.0 <= got <= high
    assert got <= value * (1 + 1e-9) + 1e-9
    assert got > min(value, high) - 2 * step


@pytest.mark.parametrize(
    ("value", "step", "high", "got"),
    [
        (0.3, 0.1, 1.0, 0.3),
        (0.3, 0.1, 0.3, 0.3),
        (0.29999, 0.1, 1.0, 0.2),
        (0.7, 0.1, 0.65, 0.6),
        (math.nan, 0.1, 1.0, 0.0),
        (1.0, 0.1, math.nan, 0.0),
        (math.inf, 0.1, math.inf, 0.0),
        (-1.0, 0.1, 1.0, 0.0),
        (0.05, 0.1, 1.0, 0.0),
    ],
)
def test_rounding_at_the_edge(value: float, step: float, high: float, got: float):
    assert round_down(value, step, high) == got


def test_room_never_exceeds_the_sessions_own_amplitude():
    assert Room(TACS).ceiling(allowed(now=0.9, high=4.0)) == 1.0
    assert quantities(with_amplitude(RTMS, 5.0))["amplitude_pct_mso"] == 5.0


@pytest.mark.parametrize(
    ("train", "level", "ceiling"), [(TACS, 0.3, 0.3), (TACS, 0.0, 0.0), (RTMS, 45.0, 0.0)]
)
def test_while_nothing_may_rise_the_room_ends_at_what_runs(train: Train, level: float, ceiling: float):
    told = allowed(level, 60.0 if train is RTMS else 0.8)
    assert Room(train).ceiling(told) > ceiling
    assert Room(train).ceiling(msgspec.structs.replace(told, may_rise=False)) == ceiling
