"""The oracle's numbers against the sources' own, its verdicts against what it must refuse, and against the first hand."""

from __future__ import annotations

import ast
import functools
import itertools
import math
import os
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.capabilities import Capabilities, Envelope
from drivers.stimulation import Modality, Output, amplitude, quantities
from safety.limit_values import Limits
from safety.modalities import (
    Facts,
    budgets_of,
    check,
    check_slew,
    exposure,
    interval_after_ns,
    quantities_of,
)
from safety.oracle import BOUNDS, PARTS, SESSION, budget, objections, rises_too_fast
from safety.oracle_carriers import charge_c, charging_ma
from safety.oracle_numbers import Circumstances, exact
from safety.oracle_rtms import interval_s, longest_train, pct_rmt, train_s
from safety.oracle_tacs import density_ma_cm2, slew_ma_per_s
from tests.safety.random_trains import random_limits, random_train
from tests.safety.strategies import (
    MODALITIES,
    TODAY,
    caps_of,
    hold,
    limits_of,
    pulses,
    valid_train,
    with_quantity,
)

N_AGREE = 1_000_000 if os.environ.get("NOCILOOP_LONG") == "1" else 3_000  # a modality
F = Fraction
S = 10**9
ORACLE = sorted((Path(__file__).resolve().parents[2] / "safety").glob("oracle*.py"))


def given(modality: Modality, **bent: object) -> Circumstances:
    """The valid file and device of the strategies, with anything bent."""
    known: dict[str, Any] = {
        "limits": limits_of(modality),
        "capabilities": caps_of(modality),
        "today": TODAY,
        "simulated": True,
        "impedance_kohm": 5.0,
    }
    return Circumstances(**(known | bent))


def bent_limits(modality: Modality, **bent: object) -> Limits:
    return msgspec.structs.replace(limits_of(modality), **bent)


def close(value: Fraction | None, expected: float) -> bool:
    return value is not None and abs(value - F(str(expected))) < F(1, 10**9)


# The sources' own numbers


def test_charges_and_densities_are_those_of_the_sources() -> None:
    assert close(charge_c(F(2) * 20 * 60 * S), 2.4)  # 2 mA peak for 20 min
    assert close(charge_c(F(4) * 40 * 60 * S), 9.6)  # 4 mA peak for 40 min: above 7.2 C
    assert close(charge_c(F(4) * 30 * 60 * S), 7.2)  # 4 mA peak for 30 min: charge binds first
    areas = bent_limits(
        "tacs", contacts=tuple(msgspec.structs.replace(c, area_cm2=35.0) for c in limits_of("tacs").contacts)
    )
    pair = valid_train("tacs").outputs
    assert close(density_ma_cm2(F(2), pair, areas), 0.057142857142857)  # 2 mA peak on 35 cm2
    assert density_ma_cm2(F(1), pair, bent_limits("tacs", contacts=())) is None
    assert close(slew_ma_per_s(F(2), F("0.5"), F(750)), 2.0)
    assert slew_ma_per_s(F(1), F(1), F(0)) == 0
    assert slew_ma_per_s(F(1), F(0), F(0)) is None


@pytest.mark.parametrize(
    ("pct", "rate_hz", "seconds", "n_pulses"),
    [
        # Rossi 2009 with trains in a row; the next higher rate and % where a cell is missing.
        ("90", "1", "270", 270), ("100", "5", "10", 50), ("100", "10", "5", 50), ("100", "20", "1.5", 30),
        ("100", "25", "1.0", 25), ("110", "20", "1.2", 24), ("110", "25", "0.6", 17), ("120", "1", "180", 180),
        ("120", "10", "3.2", 32), ("120", "20", "0.8", 16), ("120", "25", "0.3", 7), ("130", "1", "50", 50),
        ("130", "5", "10", 50), ("130", "10", "2.2", 22), ("130", "20", "0.4", 8), ("130", "25", "0.2", 5),
        ("100.001", "20", "1.2", 24), ("0", "0.1", "270", 270), ("90", "10.1", "1.5", 30), ("90", "20.001", "1.0", 25),
        ("110.5", "5.5", "3.2", 32),
    ],
)  # fmt: skip
def test_trains_end_where_the_tables_end(pct: str, rate_hz: str, seconds: str, n_pulses: int) -> None:
    assert longest_train(F(pct), F(rate_hz)) == (F(seconds), n_pulses)


def test_above_the_tables_there_is_no_row() -> None:
    assert longest_train(F("130.001"), F(1)) is None
    assert longest_train(F(90), F("25.001")) is None


def test_trains_in_a_row_are_never_longer_than_single_ones() -> None:
    """The tables themselves: each limit falls with rate and with %, and pulses fit seconds."""
    for pct, above in ((100, 110), (110, 120), (120, 130)):
        for rate in (1, 5, 10, 20, 25):
            here, higher = longest_train(F(pct), F(rate)), longest_train(F(above), F(rate))
            assert here is not None
            assert higher is not None
            assert higher[0] <= here[0]
            assert higher[1] <= here[1]
            assert (
                here[1] <= here[0] * rate + 3
            )  # 25 Hz at 110 %: 17 pulses stand beside 0.6 s, and 0.6 s binds


def test_threshold_and_duration_are_exact() -> None:
    inputs = limits_of("rtms").inputs
    assert pct_rmt(F(55), inputs) == 110
    assert pct_rmt(F(55), msgspec.structs.replace(inputs, motor_threshold_pct_mso=None)) is None
    assert pct_rmt(F(55), msgspec.structs.replace(inputs, motor_threshold_pct_mso=0.0)) is None
    assert train_s(F(40), F(10)) == 4
    assert train_s(F(40), F(0)) is None


def test_interval_is_longer_where_there_are_too_few_data() -> None:
    limits = limits_of("rtms")  # its row says 6 s
    assert interval_s(F(110), F(110), limits) == 6
    assert interval_s(F(111), F(90), limits) == 11
    assert interval_s(F(90), F(111), limits) == 11  # a strong train too soon after any other
    assert interval_s(F(90), F(90), msgspec.structs.replace(limits, rows=())) is None


def test_budgets_are_the_least_and_nothing_where_none_is() -> None:
    limits = limits_of("tacs")
    assert budget("charge_c", limits) == F("1.2")
    high = tuple(msgspec.structs.replace(b, high=1e9) for b in limits.budgets)
    assert budget("charge_c", msgspec.structs.replace(limits, budgets=high)) == F("7.2")
    assert budget("on_time_s", msgspec.structs.replace(limits, budgets=high)) == 2400
    assert budget("charge_c", msgspec.structs.replace(limits, budgets=())) == 0
    nan = tuple(msgspec.structs.replace(b, high=math.nan) for b in limits.budgets)
    assert budget("charge_c", msgspec.structs.replace(limits, budgets=nan)) == 0
    assert budget("n_pulses", limits) == 0


# What must be refused


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_valid_train_may_pass(modality: Modality) -> None:
    assert objections(valid_train(modality), given(modality)) == ()


@pytest.mark.parametrize("modality", MODALITIES)
def test_no_quantity_takes_what_is_no_number(modality: Modality) -> None:
    for name in caps_of(modality).envelopes:
        for value in (math.nan, math.inf, -math.inf, True, "1", None, 10**400, 1e308, -10, -1e-300):
            declared = next(d for d in quantities_of(modality) if d.name == name)
            if value == -1e-300 and declared.low < 0:
                continue
            assert objections(with_quantity(modality, name, value), given(modality)), (name, value)


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_row_binds_at_its_edge(modality: Modality) -> None:
    """Each row narrowed to a point that the valid train has: fine; a hair beside it: an objection naming it."""
    train = valid_train(modality)
    least = F(str(amplitude(train))) * F("0.9")
    circumstances = given(modality, least_ma_pp=least)
    limits = limits_of(modality)
    part = PARTS[modality]
    asked = part.asked(train.waveform) or {}
    numbers = {**asked, **part.derived(train, asked, circumstances)}
    bound = [each for each in limits.rows if each.quantity != "interval_s"]
    assert {each.quantity for each in bound} <= set(numbers)
    for each in bound:
        value = float(numbers[each.quantity] or 0)
        assert exact(value) == numbers[each.quantity], "the example's own numbers have to be short decimals"
        for low, high, fine in (
            (value, value, True),
            (-1e9, math.nextafter(value, -1e9), False),
            (math.nextafter(value, 1e9), 1e9, False),
            (math.nan, value, False),
            (value, math.nan, False),
            (value, value - 1, False),
        ):
            narrowed = msgspec.structs.replace(each, low=low, high=high, layer="participant")
            found = objections(
                valid_train(modality),
                replace(circumstances, limits=msgspec.structs.replace(limits, rows=(*limits.rows, narrowed))),
            )
            assert (found == ()) == fine, (each.quantity, low, high, found)
            assert all(text.startswith(each.quantity) for text in found)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_missing_row_allows_nothing(modality: Modality) -> None:
    limits = limits_of(modality)
    for gone in {each.quantity for each in limits.rows}:
        rows = tuple(each for each in limits.rows if each.quantity != gone)
        found = objections(valid_train(modality), given(modality, limits=bent_limits(modality, rows=rows)))
        assert found == (f"{gone}: no limit, nothing is allowed",)


@pytest.mark.parametrize("modality", MODALITIES)
def test_no_file_widens_the_absolute_bounds(modality: Modality) -> None:
    """With every row and envelope wide open, the bounds that the oracle knows itself still hold."""
    wide = tuple(msgspec.structs.replace(r, low=-1e12, high=1e12) for r in limits_of(modality).rows)
    caps = caps_of(modality)
    open_ = {name: Envelope(low=-1e12, high=1e12, step=0.0) for name in caps.envelopes}
    circumstances = given(
        modality,
        limits=bent_limits(modality, rows=wide),
        capabilities=msgspec.structs.replace(caps, envelopes=open_),
        least_ma_pp=F(100),
    )
    assert objections(valid_train(modality), circumstances) == ()
    for name, (low, high) in BOUNDS[modality].items():
        if name not in caps.envelopes:
            continue
        whole = isinstance(quantities(valid_train(modality))[name], int)
        for end, hair in ((low, -1), (high, 1)):
            value = int(end) + hair if whole else math.nextafter(float(end), hair * math.inf)
            found = objections(with_quantity(modality, name, value), circumstances)
            assert any(text.startswith(name) and "absolute" in text for text in found), (name, value, found)
    if modality == "tacs":
        assert objections(hold(4.0), given_area(circumstances, 3.175)) == ()  # 2 mA peak: 0.6299 mA/cm2
        assert objections(hold(4.0), given_area(circumstances, 3.174)) != ()  # 0.6301
        assert objections(valid_train("tacs"), replace(circumstances, impedance_kohm=20.0)) == ()
        assert objections(valid_train("tacs"), replace(circumstances, impedance_kohm=math.nextafter(20, 21)))


def given_area(circumstances: Circumstances, area_cm2: float) -> Circumstances:
    limits = circumstances.limits
    contacts = tuple(msgspec.structs.replace(c, area_cm2=area_cm2) for c in limits.contacts)
    return replace(circumstances, limits=msgspec.structs.replace(limits, contacts=contacts))


def test_outputs_must_be_known_and_balanced() -> None:
    a, b, c = "F3", "Oz", "F4"
    fine = (((a, 1.0), (b, -1.0)), ((a, -1.0), (b, 1.0)), ((a, 0.5), (b, -0.5)))
    wrong: tuple[tuple[tuple[str, float], ...], ...] = (
        (), ((a, 1.0),), ((a, 1.0), (b, 1.0)), ((a, 1.0), (b, -0.999)), ((a, 2.0), (b, -2.0)), ((a, math.nan), (b, -1.0)),
        ((a, 1.0), (a, -1.0)), ((a, 1.0), ("P9", -1.0)), ((a, 1.0), (c, -1.0)), ((a, math.inf), (b, -math.inf)),
    )  # fmt: skip
    for shares in (*fine, *wrong):
        outputs = tuple(Output(name=name, share=share) for name, share in shares)
        assert (objections(hold(outputs=outputs), given("tacs")) == ()) == (shares in fine), shares
    thirds = (Output(name=a, share=1 / 3), Output(name=c, share=2 / 3), Output(name=b, share=-1.0))
    contacts = limits_of("tacs").contacts
    three = bent_limits("tacs", contacts=(*contacts, msgspec.structs.replace(contacts[0], name=c)))
    assert objections(hold(outputs=thirds), given("tacs", limits=three)) == ()
    for share in (-1.0, 0.5, 2.0, math.nan):
        assert objections(pulses(outputs=(Output(name="coil", share=share),)), given("rtms"))
    assert objections(pulses(outputs=()), given("rtms"))


def test_facts_must_hold_today() -> None:
    for modality in MODALITIES:
        inputs = limits_of(modality).inputs
        for bent in (
            given(modality, today="2027-01-01"),
            given(modality, today="2025-12-31"),
            given(modality, today="today"),
            given(modality, simulated=False),
            given(modality, limits=bent_limits(modality, contacts=())),
            given(modality, capabilities=msgspec.structs.replace(caps_of(modality), outputs=())),
            given(modality, capabilities=msgspec.structs.replace(caps_of(modality), modalities=())),
            given(modality, capabilities=msgspec.structs.replace(caps_of(modality), envelopes={})),
            *(
                given(
                    modality,
                    limits=bent_limits(modality, inputs=msgspec.structs.replace(inputs, consent_on=on)),
                )
                for on in ("2026-06-02", "", "never")
            ),
        ):
            assert objections(valid_train(modality), bent), bent
    inputs = limits_of("rtms").inputs
    for on in ("2026-05-31", "2026-06-02", None, "", "today"):
        stale = msgspec.structs.replace(inputs, motor_threshold_measured_on=on)
        assert objections(valid_train("rtms"), given("rtms", limits=bent_limits("rtms", inputs=stale))), on
    for kohm in (None, 0.0, 0.09, 15.1, math.nan, math.inf):
        assert objections(valid_train("tacs"), given("tacs", impedance_kohm=kohm)), kohm


@pytest.mark.parametrize(("modality", "other"), list(itertools.permutations(MODALITIES, 2)))
def test_each_modality_refuses_the_other_s_trains(modality: Modality, other: Modality) -> None:
    strange = valid_train(other)
    for train in (
        strange,
        msgspec.structs.replace(strange, modality=modality),
        msgspec.structs.replace(valid_train(modality), modality=other),
    ):
        if train.modality == modality and {modality, other} == {"tbs", "ctbs"}:
            continue  # the same bursts through the same coil: what a train calls itself tells the two apart
        assert objections(train, given(modality))


def test_a_rise_counts_from_the_least_that_can_come_out() -> None:
    """The row says 1 mA/s: 1 mA in 1,000 ms from nothing is at it, and 1 ms less is beyond."""
    assert objections(hold(1.0, ramp_up_ms=1000), given("tacs")) == ()
    assert objections(hold(1.0, ramp_up_ms=999), given("tacs"))
    assert objections(hold(1.0, ramp_up_ms=700), given("tacs", least_ma_pp=F("0.3"))) == ()
    assert objections(hold(1.0, ramp_up_ms=700), given("tacs", least_ma_pp=F("0.2999")))
    assert rises_too_fast(hold(1.0, ramp_up_ms=699), given("tacs", least_ma_pp=F("0.3")))
    assert rises_too_fast(hold(0.2, ramp_up_ms=50), given("tacs", least_ma_pp=F("0.3"))) == ()
    assert rises_too_fast(pulses(), given("rtms")) == ()


def test_values_must_be_on_the_device_s_step() -> None:
    assert objections(hold(1.01, ramp_up_ms=1010), given("tacs")) == ()
    assert objections(hold(1.005, ramp_up_ms=1010), given("tacs")) != ()
    envelopes = caps_of("tacs").envelopes | {"amplitude_ma_pp": Envelope(low=0.5, high=4.0, step=0.3)}
    caps = msgspec.structs.replace(caps_of("tacs"), envelopes=envelopes)
    assert objections(hold(0.8), given("tacs", capabilities=caps)) == ()  # 0.5 + 0.3, which no float is
    assert objections(hold(0.6), given("tacs", capabilities=caps)) != ()
    for value, fine in (
        (0.5, True),
        (0.8, True),
        (1.7, True),
        (0.6, False),
        (0.9, False),
    ):  # by the first hand, too
        found = check(hold(value), limits_of("tacs"), caps, Facts(today=TODAY, impedance_kohm=5.0))
        assert [(r.code, r.limit) for r in found] == ([] if fine else [("ILK-104", 0.3)])
        assert fine or found[0].text.endswith("is no multiple of 0.3 above 0.5")
    for bad in (Envelope(low=0.0, high=4.0, step=-0.1), Envelope(low=0.0, high=4.0, step=math.nan)):
        broken = msgspec.structs.replace(caps, envelopes=envelopes | {"amplitude_ma_pp": bad})
        assert objections(hold(1.0), given("tacs", capabilities=broken))


def test_decimals_are_taken_as_they_are_written() -> None:
    assert exact(0.3) == F(3, 10)
    assert exact(1e-7) == F(1, 10**7)
    assert exact(3) == 3
    for nothing in (True, None, "1", math.nan, math.inf, -math.inf, F(1), 1j):
        assert exact(nothing) is None


# Against the first hand


def test_the_oracle_knows_nothing_of_the_first_hand() -> None:
    """Values, messages and the standard library's numbers; nothing that decides."""
    allowed = {
        "__future__", "collections.abc", "dataclasses", "decimal", "fractions", "functools", "itertools", "math", "typing",
        "datetime",
        "drivers.capabilities", "drivers.link", "drivers.stimulation", "safety.limit_values", "safety.messages",
        "safety.events", "safety.entries", "safety.history", "safety.state",
    }  # fmt: skip
    assert len(ORACLE) >= 7
    own = {f"safety.{path.stem}" for path in ORACLE}
    for path in ORACLE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "safety":
                assert {f"safety.{each.name}" for each in node.names} <= own, path.name
            elif isinstance(node, ast.ImportFrom):
                assert node.module in allowed | own, (path.name, node.module)
            elif isinstance(node, ast.Import):
                assert {each.name for each in node.names} <= allowed, path.name


@functools.cache
def stepless(modality: Modality) -> Capabilities:
    caps = caps_of(modality)
    envelopes = {name: msgspec.structs.replace(e, step=0.0) for name, e in caps.envelopes.items()}
    return msgspec.structs.replace(caps, envelopes=envelopes)


@pytest.mark.parametrize("modality", MODALITIES)
def test_whatever_the_first_hand_permits_the_second_does(modality: Modality) -> None:
    """Then every train that the oracle objects to is refused, too. It judges all that passes, and some of the rest."""
    rng = random.Random(20_260_601)
    measured = any(declared.name == "impedance_kohm" for declared in quantities_of(modality))
    limits = random_limits(modality, rng)
    permitted = objected = 0
    for index in range(N_AGREE):
        if index % 250 == 0:
            limits = random_limits(modality, rng)
        caps = stepless(modality) if rng.random() < 0.3 else caps_of(modality)
        kohm = rng.choice([5.0, 5.0, 5.0, 5.0, 15.0, 20.0, 25.0, 0.0, None]) if measured else None
        train = random_train(limits, caps, rng)
        present = rng.choice([0.0, round(rng.uniform(0, 2), 3), amplitude(valid_train(modality))])
        refused = check(train, limits, caps, Facts(today=TODAY, impedance_kohm=kohm))
        refused = refused or check_slew(train, present, limits)
        if refused and index % 8:
            continue
        found = objections(
            train,
            Circumstances(
                limits=limits, capabilities=caps, today=TODAY, simulated=True, impedance_kohm=kohm,
                least_ma_pp=exact(present) or F(0),
            ),
        )  # fmt: skip
        permitted += not refused
        objected += bool(found)
        assert refused or not found, (train, limits.rows, found)
    assert permitted > N_AGREE // 50
    assert objected > N_AGREE // 50


def test_the_first_hand_s_bounds_intervals_and_exposures_are_not_wider() -> None:
    for modality in MODALITIES:
        for declared in quantities_of(modality):
            if declared.name in BOUNDS[modality]:
                low, high = BOUNDS[modality][declared.name]
                assert low <= (exact(declared.low) or F(0)) <= (exact(declared.high) or F(0)) <= high
        for declared_budget in budgets_of(modality):
            if declared_budget.scope != "session":
                continue
            assert (exact(declared_budget.high) or F(0)) <= SESSION[modality][declared_budget.name]
    limits = limits_of("rtms")
    for pct_mso in range(66):
        train = pulses(float(pct_mso), 1.0, 5)
        pct = pct_rmt(F(pct_mso), limits.inputs) or F(0)
        ours = interval_s(pct, pct, limits)
        assert ours is not None
        assert interval_after_ns(train, limits) >= ours * S


@pytest.mark.parametrize("modality", MODALITIES)
def test_no_exposure_is_less_than_the_second_hand_counts(modality: Modality) -> None:
    rng = random.Random(1)
    limits, caps, counted = limits_of(modality), stepless(modality), 0
    for _ in range(200):
        train, span_ns = random_train(limits, caps, rng), rng.randint(1, S)
        reached = rng.uniform(0, amplitude(valid_train(modality)))
        if check(train, limits, caps, Facts(today=TODAY, impedance_kohm=5.0)):
            continue  # only what was permitted is ever counted
        counted += 1
        spent = exposure(train, span_ns, reached)
        ours = charge_c(charging_ma(exact(reached) or F(0), train.waveform) * span_ns)
        assert (exact(spent.charge_c) or F(0)) >= ours
        assert (exact(spent.on_time_s) or F(0)) * S >= span_ns
    assert counted > 20
