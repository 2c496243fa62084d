"""What holds for every modality: cross refusal, facts, down, stopping, exposure, and all of it at once."""

from __future__ import annotations

import itertools
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.stimulation import (
    Hold,
    Modality,
    Output,
    Train,
    amplitude,
    amplitude_quantity,
    is_whole,
    quantities,
)
from safety.limits import load
from safety.messages import Reason, Row
from safety.modalities import (
    REASONS,
    Facts,
    WrongTrain,
    amplitude_ceiling,
    budgets_of,
    check,
    check_facts,
    check_slew,
    exposure,
    formulas_of,
    implanted,
    interval_after_ns,
    is_down,
    keeps_shape,
    quantities_of,
    ramp_down_ns,
    rows,
    spacing_of,
    stop_how,
)
from tests.safety.modality_limits import codes
from tests.safety.strategies import (
    FACTS,
    MODALITIES,
    caps_of,
    hold,
    limits_bytes,
    limits_of,
    pulses,
    trains_near,
    valid_train,
    with_quantity,
)


@pytest.mark.parametrize("other", ("rtms", "tbs", "tus"))
def test_what_is_whole_and_no_hold_has_no_rise(other: Modality):
    for modality in ("tacs", "tens", "dbs"):
        assert codes(check_slew(valid_train(other), 0.0, limits_of(modality))) == ["ILK-106"]


def test_pulses_are_read_from_no_other_current():
    for modality in ("tacs", "rtms", "tus"):
        with pytest.raises(WrongTrain):
            implanted.carried(valid_train(modality))


@pytest.mark.parametrize(
    ("own", "other"), [("tacs", "rtms"), ("rtms", "tacs"), ("tus", "tbs"), ("dbs", "tacs")]
)
def test_what_kind_of_waveform_it_is_stands_in_the_refusal(own: Modality, other: Modality):
    wave = valid_train(other).waveform
    odd = msgspec.structs.replace(valid_train(own), waveform=wave)
    (found,) = (r for r in check(odd, limits_of(own), caps_of(own), FACTS) if r.code == "ILK-106")
    kind = f"Hold of {type(wave.carrier).__name__}" if isinstance(wave, Hold) else type(wave).__name__
    assert f"a {kind} of '{own}'" in found.text


@pytest.mark.parametrize(("modality", "other"), list(itertools.permutations(MODALITIES, 2)))
def test_each_modality_refuses_the_trains_of_every_other(modality: Modality, other: Modality):
    for train in (
        valid_train(other),
        msgspec.structs.replace(valid_train(other), modality=modality),
        msgspec.structs.replace(valid_train(modality), modality=other),
    ):
        for caps in (
            caps_of(modality),
            msgspec.structs.replace(caps_of(modality), modalities=MODALITIES),
        ):
            found = codes(check(train, limits_of(modality), caps, FACTS))
            # What is a whole train under another name, pulses through the skin or implanted, has other contacts.
            renamed = train.modality == modality and is_whole(train)
            if renamed and {modality, other} == {"tbs", "ctbs"}:
                continue  # the same bursts through the same coil: what a train calls itself tells the two apart
            assert ("ILK-107" if renamed else "ILK-106") in found


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_device_of_another_modality_is_refused(modality: Modality):
    for modalities in ((), *((other,) for other in MODALITIES if other != modality)):
        caps = msgspec.structs.replace(caps_of(modality), modalities=modalities)
        (reason,) = check(valid_train(modality), limits_of(modality), caps, FACTS)
        assert reason.code == "ILK-106"
        assert reason.text.endswith(f"the device for {', '.join(modalities) or 'nothing'}")


# Facts


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize(
    ("today", "code"),
    [("", "ILK-105"), ("yesterday", "ILK-105"), ("2025-12-31", "ILK-113"), ("2027-01-01", "ILK-113")],
)
def test_limits_that_do_not_hold_today_refuse(modality: Modality, today: str, code: str):
    facts = Facts(today=today, impedance_kohm=5.0)
    assert code in codes(check_facts(limits_of(modality), facts))
    assert code in codes(check(valid_train(modality), limits_of(modality), caps_of(modality), facts))


@pytest.mark.parametrize("modality", MODALITIES)
def test_consent_holds_from_its_day_on(modality: Modality):
    limits = limits_of(modality)
    early = Facts(today="2026-01-01", impedance_kohm=5.0)
    assert "ILK-113" in codes(check_facts(limits, early), "consent_on")
    same_day = Facts(today="2026-01-02", impedance_kohm=5.0)
    assert codes(check_facts(limits, same_day), "consent_on") == []
    none = msgspec.structs.replace(limits, inputs=msgspec.structs.replace(limits.inputs, consent_on=""))
    assert codes(check_facts(none, FACTS), "consent_on") == ["ILK-105"]


@pytest.mark.parametrize("modality", MODALITIES)
def test_facts_that_hold(modality: Modality):
    assert check_facts(limits_of(modality), FACTS) == ()


# Down


def test_down_is_less_amplitude_and_nothing_else():
    now = hold(1.0)
    assert is_down(now, hold(0.99)) and is_down(now, hold(0.0)) and is_down(now, hold(0.5, duration_ms=399))
    for asked in (
        hold(1.0),
        hold(1.0, duration_ms=100),
        hold(1.01),
        hold(-0.5),
        hold(-2.0),
        hold(math.nan),
        hold(0.5, frequency_hz=9.0),
        hold(0.5, phase_rad=0.1),
        hold(0.5, ramp_up_ms=999),
        hold(0.5, ramp_down_ms=99),
        hold(0.5, duration_ms=401),
        hold(0.5, duration_ms=0),
        hold(0.5, outputs=(Output(name="F4", share=1.0), Output(name="Oz", share=-1.0))),
        hold(0.5, outputs=(Output(name="F3", share=-1.0), Output(name="Oz", share=1.0))),
        hold(0.5, modality="rtms"),
        pulses(0.5),
        pulses(0.5, modality="tacs", outputs=hold().outputs),
        with_quantity("tacs", "amplitude_ma_pp", False),
        hold(0.5, duration_ms=400.0),  # type: ignore[arg-type]
        hold(0.5, duration_ms=100.0),  # type: ignore[arg-type]
    ):
        assert not is_down(now, asked), asked
    assert not is_down(None, hold(0.0))
    assert not is_down(hold(math.nan), hold(0.5)) and not is_down(hold(math.inf), hold(0.5))


def test_what_is_no_step_down_is_told_with_one_word():
    for present, asked in (
        (None, hold(0.0)),
        (hold(1.0), hold(1.0)),
        (hold(1.0), hold(1.1)),
        (hold(1.0), hold(0.5, modality="rtms")),
        (hold(1.0), pulses(0.5, modality="tacs", outputs=hold().outputs)),
        (hold(1.0), hold(0.5, frequency_hz=9.0)),
    ):
        assert is_down(present, asked) is False


def test_of_a_hold_that_goes_on_as_it_is_no_number_is_looked_at(monkeypatch: pytest.MonkeyPatch):
    """It is asked for many times a second."""
    monkeypatch.delattr("safety.modalities.amplitude")
    assert is_down(hold(1.0), hold(1.0)) is False


def test_a_hold_keeps_its_shape_with_its_modality_its_contacts_and_its_numbers():
    assert keeps_shape(hold(1.0), hold(0.2, frequency_hz=9.0)) is True
    direct, pulsed = valid_train("tdcs").waveform, valid_train("dbs")
    for present, asked in (
        (hold(1.0), msgspec.structs.replace(hold(1.0), modality="trns")),
        (hold(1.0), msgspec.structs.replace(hold(1.0), waveform=direct)),
        (hold(1.0), hold(0.5, outputs=(Output(name="F4", share=1.0), Output(name="Oz", share=-1.0)))),
        (pulsed, msgspec.structs.replace(pulsed, modality="scs")),
        (pulsed, msgspec.structs.replace(pulsed, waveform=direct)),
    ):
        assert keeps_shape(present, asked) is False


def test_down_of_pulses():
    now = pulses(45.0, 10.0, 40)
    assert is_down(now, pulses(44.0, 10.0, 40)) and is_down(now, pulses(44.0, 10.0, 1))
    for asked in (
        pulses(45.0, 10.0, 40),
        pulses(45.0, 10.0, 39),
        pulses(44.0, 10.0, 41),
        pulses(44.0, 10.0, 0),
        pulses(44.0, 9.0, 40),
        pulses(44.0, 11.0, 40),
        pulses(-1.0, 10.0, 40),
        pulses(math.nan, 10.0, 40),
    ):
        assert not is_down(now, asked), asked


@given(
    asked=st.sampled_from(MODALITIES).flatmap(lambda m: trains_near(limits_of(m), caps_of(m))), data=st.data()
)
@settings(max_examples=60, deadline=None)
def test_a_step_down_from_a_permitted_train_is_refused_by_no_upper_limit(asked: Train, data: st.DataObject):
    limits, caps = limits_of(asked.modality), caps_of(asked.modality)
    present = valid_train(asked.modality)
    if is_down(present, asked):
        found = check(asked, limits, caps, FACTS)
        assert not set(codes(found)) & {"ILK-101", "ILK-103", "ILK-106", "ILK-107", "ILK-108", "ILK-109"}
    less = data.draw(st.floats(0, 0.999)) * amplitude(present)
    assert is_down(present, with_quantity(asked.modality, amplitude_quantity(present), less))


# What is neither


def test_an_unknown_modality_is_a_broken_invariant():
    odd_limits = msgspec.structs.replace(limits_of("tacs"), modality="odd")
    odd_train = msgspec.structs.replace(hold(), modality="odd")
    caps = caps_of("tacs")
    calls = (
        lambda: quantities_of("odd"),
        lambda: budgets_of("odd"),
        lambda: spacing_of("odd"),
        lambda: formulas_of("odd"),
        lambda: stop_how("odd"),
        lambda: check_facts(odd_limits, FACTS),
        lambda: check(hold(), odd_limits, caps, FACTS),
        lambda: rows(odd_limits, caps),
        lambda: amplitude_ceiling(odd_limits.modality, (), 0.0, 0),
        lambda: interval_after_ns(hold(), odd_limits),
        lambda: exposure(odd_train, 1, 0.0),
        lambda: is_whole(odd_train),
    )
    for call in calls:
        with pytest.raises(AssertionError):
            call()


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_waveform_of_another_modality_is_refused_and_spends_nothing_unseen(modality: Modality):
    """Where it is judged it is refused, and no further does it get."""
    limits, caps = limits_of(modality), caps_of(modality)
    others = [valid_train(other).waveform for other in MODALITIES if other != modality]
    trains = [msgspec.structs.replace(valid_train(modality), waveform=waveform) for waveform in others]
    odd_ones = [train for train in trains if not is_whole(train)]
    assert len(odd_ones) >= len(MODALITIES) - 5  # held pulses are a waveform of several
    for odd in odd_ones:
        assert "ILK-106" in codes(check(odd, limits, caps, FACTS))
        assert codes(check_slew(odd, 0.0, limits)) in (["ILK-106"], [])
        with pytest.raises(WrongTrain):
            exposure(odd, 1, 0.0)


@pytest.mark.parametrize(("modality", "other"), list(itertools.permutations(MODALITIES, 2)))
def test_the_pause_before_a_train_of_another_modality_is_told_and_no_shorter(
    modality: Modality, other: Modality
):
    """It is refused for its kind; what else is against it is asked all the same, and must not end the interlock."""
    limits = limits_of(modality)
    own, strange = (
        interval_after_ns(valid_train(modality), limits),
        interval_after_ns(valid_train(other), limits),
    )
    assert strange >= own >= 0


# Stopping


def test_how_each_modality_stops():
    assert (stop_how("tacs"), stop_how("rtms")) == ("ramp", "cut")
    assert ramp_down_ns(hold(ramp_down_ms=150)) == 150_000_000 and ramp_down_ns(pulses()) == 0


# Everything at once


@pytest.mark.parametrize("modality", MODALITIES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_what_passes_is_inside_every_row(modality: Modality, data: st.DataObject):
    limits = load(data.draw(limits_bytes(modality)))
    caps = caps_of(modality)
    train = data.draw(trains_near(limits, caps))
    found = check(train, limits, caps, FACTS)
    effective = {r.quantity: r for r in rows(limits, caps)}
    asked = quantities(train)
    inside = all(effective[name].low <= value <= effective[name].high for name, value in asked.items())
    if not found:
        assert inside and not any(map(math.isnan, asked.values()))
    if not inside:
        assert found
    assert all(reason.code in REASONS and math.isfinite(reason.value) for reason in found)
    assert all(r.low <= r.high or r.quantity for r in effective.values())
    _fits_a_frame(found, tuple(effective.values()))


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_code_has_a_text_and_a_remedy(modality: Modality):
    for code, words in REASONS.items():
        assert code.startswith("ILK-1") and words.text and words.remedy
        assert words.text.isprintable() and words.remedy.isprintable()
    with pytest.raises(TypeError):
        REASONS["ILK-101"] = REASONS["ILK-102"]  # type: ignore[index]


def test_exposure_of_an_impossible_span_counts_as_all_of_the_train():
    for train in (hold(1.0, duration_ms=400, ramp_down_ms=100), pulses(45.0, 10.0, 40)):
        whole = exposure(train, -1, math.nan)
        assert whole.on_time_s in (0.5, 4.0)
        assert whole.n_pulses in (0, 40)
        assert whole.charge_c in (0.00025, 0.0)
    held = hold(100.0, duration_ms=400, ramp_down_ms=100)  # so high that a microsecond less would be seen
    assert exposure(held, -1, math.nan) == exposure(held, 500_000_000, 100.0)


def _fits_a_frame(found: tuple[Reason, ...], effective: tuple[Row, ...]) -> None:
    content = msgspec.json.encode([found, effective])
    assert len(content) < 60_000
    assert msgspec.json.decode(content, type=tuple[tuple[Reason, ...], tuple[Row, ...]]) == (found, effective)
