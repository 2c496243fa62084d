"""Trains as keys of SET: exact both ways, or refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.open_device_codec import Line, Span
from drivers.open_device_settings import envelopes, from_answer, to_fields
from drivers.stimulation import BurstTrain, Hold, MagneticPulse, Modality, Output, PulseTrain, Sine, Train
from drivers.stimulator import DeviceRefused, ReadBackMismatch
from tests.drivers.peer import hold, pulses

SPANS: dict[Modality, dict[str, Span]] = {
    "tacs": {
        "a": Span(low=0, high=4000, step=10),
        "f": Span(low=100, high=100_000, step=10),
        "ph": Span(low=0, high=359_999, step=1),
        "up": Span(low=10, high=30_000, step=1),
        "dn": Span(low=10, high=30_000, step=1),
        "dur": Span(low=50, high=500, step=1),
    },
    "rtms": {
        "p": Span(low=0, high=1000, step=10),
        "r": Span(low=100, high=100_000, step=100),
        "n": Span(low=1, high=10_000, step=1),
    },
}
_BURSTS = {
    "p": Span(low=0, high=1000, step=10),
    "k": Span(low=1, high=10, step=1),
    "q": Span(low=10_000, high=100_000, step=1000),
    "r": Span(low=100, high=20_000, step=100),
    "n": Span(low=1, high=1000, step=1),
}
SPANS |= {"tbs": _BURSTS, "ctbs": _BURSTS}
OUTPUTS = ("F3", "Oz", "coil")


def bursts(modality: Modality, p: int, k: int, q: int, r: int, n: int) -> Train:
    pulse = MagneticPulse(amplitude_pct_mso=p / 10)
    wave = BurstTrain(
        pulse=pulse, pulses_per_burst=k, rate_in_burst_hz=q / 1000, bursts_hz=r / 1000, n_bursts=n
    )
    return Train(modality=modality, outputs=(Output(name="coil", share=1.0),), waveform=wave)


def grid(modality: Modality, key: str) -> st.SearchStrategy[int]:
    span = SPANS[modality][key]
    return st.integers(0, (span.high - span.low) // span.step).map(lambda k: span.low + k * span.step)


def answer(fields: dict[str, str | int], **changed: str | int) -> Line:
    texts = {key: str(value) for key, value in {"token": 7, **fields, **changed}.items()}
    return Line(mark="<", seq=1, word="OK", fields=texts)


@given(
    a=grid("tacs", "a"),
    f=grid("tacs", "f"),
    ph=grid("tacs", "ph"),
    up=grid("tacs", "up"),
    dur=grid("tacs", "dur"),
    share=st.integers(-1000, 1000),
)
@settings(max_examples=150, deadline=None)
def test_each_hold_on_the_grid_goes_out_and_back_exactly(
    a: int, f: int, ph: int, up: int, dur: int, share: int
) -> None:
    train = Train(
        modality="tacs",
        outputs=(Output(name="F3", share=share / 1000), Output(name="Oz", share=-share / 1000)),
        waveform=Hold(
            carrier=Sine(amplitude_ma_pp=a / 1000, frequency_hz=f / 1000, phase_rad=math.radians(ph / 1000)),
            ramp_up_ms=up,
            ramp_down_ms=up,
            duration_ms=dur,
        ),
    )
    fields = to_fields(train, SPANS, OUTPUTS)
    assert (fields["a"], fields["f"], fields["ph"], fields["dur"]) == (a, f, ph, dur)
    assert fields["out"] == f"F3:{share},Oz:{-share}"
    assert from_answer(answer(fields), train, fields) == (7, train)


@given(p=grid("rtms", "p"), r=grid("rtms", "r"), n=grid("rtms", "n"))
@settings(max_examples=100, deadline=None)
def test_each_train_on_the_grid_goes_out_and_back_exactly(p: int, r: int, n: int) -> None:
    train = pulses(p / 10, n_pulses=n, rate_hz=r / 1000)
    fields = to_fields(train, SPANS, OUTPUTS)
    assert (fields["p"], fields["r"], fields["n"]) == (p, r, n)
    assert from_answer(answer(fields), train, fields) == (7, train)


@given(
    p=grid("tbs", "p"), k=grid("tbs", "k"), q=grid("tbs", "q"), r=grid("tbs", "r"), n=grid("tbs", "n"),
    modality=st.sampled_from(["tbs", "ctbs"]),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_each_train_of_bursts_on_the_grid_goes_out_and_back_exactly(
    p: int, k: int, q: int, r: int, n: int, modality: Modality
) -> None:
    train = bursts(modality, p, k, q, r, n)
    fields = to_fields(train, SPANS, OUTPUTS)
    assert fields == {"mod": modality, "p": p, "k": k, "q": q, "r": r, "n": n, "out": "coil:1000"}
    assert from_answer(answer(fields), train, fields) == (7, train)
    other = next(each for each in ("tbs", "ctbs") if each != modality)
    with pytest.raises(ReadBackMismatch, match=f"mod={other}"):
        from_answer(answer(fields, mod=other), train, fields)


def test_bursts_that_the_device_stored_otherwise_show() -> None:
    train = bursts("ctbs", 300, 3, 50_000, 5000, 10)
    fields = to_fields(train, SPANS, OUTPUTS)
    for changed in ({"p": 310}, {"k": 4}, {"q": 51_000}, {"r": 4900}, {"n": 11}):
        _, got = from_answer(answer(fields, **changed), train, fields)
        assert got != train
        assert to_fields(got, SPANS, OUTPUTS) == fields | changed


@given(st.floats(allow_nan=True, allow_infinity=True))
@settings(max_examples=150, deadline=None)
def test_an_amplitude_is_sent_as_it_is_or_not_at_all(value: float) -> None:
    try:
        sent = to_fields(hold(value), SPANS, OUTPUTS)["a"]
    except DeviceRefused:
        return
    assert isinstance(sent, int)
    assert 0 <= sent <= 4000
    assert sent % 10 == 0
    assert abs(sent / 1000 - value) < 1e-11


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, -0.01, 4.01, 1.005, 1.0000001, 0.0100001, 1e300, 4.000001, -1e-9],
)
def test_off_the_grid_is_refused_never_rounded(value: float) -> None:
    with pytest.raises(DeviceRefused, match="amplitude_ma_pp"):
        to_fields(hold(value), SPANS, OUTPUTS)


@pytest.mark.parametrize("value", [0.0, 0.01, 4.0, 0.1 + 0.2, 57 * 0.01])
def test_the_noise_of_binary_floats_is_not_off_the_grid(value: float) -> None:
    fields = to_fields(hold(value), SPANS, OUTPUTS)
    assert from_answer(answer(fields), hold(value), fields)[1] == hold(value)


@pytest.mark.parametrize("phase", [math.pi / 2, math.pi, 3 * math.pi / 2, math.radians(359.999)])
def test_common_phases_are_on_the_grid(phase: float) -> None:
    assert to_fields(hold(phase_rad=phase), SPANS, OUTPUTS)["ph"] == round(math.degrees(phase) * 1000)


@pytest.mark.parametrize("phase", [1.0, -math.pi / 2, 2 * math.pi, math.nan])
def test_other_phases_are_refused(phase: float) -> None:
    with pytest.raises(DeviceRefused, match="phase_rad"):
        to_fields(hold(phase_rad=phase), SPANS, OUTPUTS)


@pytest.mark.parametrize(
    "outputs",
    [
        (),
        (Output(name="F3", share=1.0), Output(name="F3", share=-1.0)),
        (Output(name="Pz", share=1.0),),
        (Output(name="F3:1,Oz", share=1.0),),
        (Output(name="F3", share=0.3333),),
        (Output(name="F3", share=math.nan),),
    ],
)
def test_outputs_that_the_device_does_not_have_are_refused(outputs: tuple[Output, ...]) -> None:
    train = Train(modality="tacs", outputs=outputs, waveform=hold().waveform)
    with pytest.raises(DeviceRefused):
        to_fields(train, SPANS, OUTPUTS)


def test_a_waveform_of_another_modality_is_refused() -> None:
    crossed = Train(modality="tacs", outputs=pulses().outputs, waveform=pulses().waveform)
    with pytest.raises(DeviceRefused, match="does not take a PulseTrain"):
        to_fields(crossed, SPANS, OUTPUTS)
    with pytest.raises(DeviceRefused, match="not one of the device's"):
        to_fields(hold(), {"rtms": SPANS["rtms"]}, OUTPUTS)


@pytest.mark.parametrize(
    ("key", "value", "changed"),
    [
        ("a", 500, hold(0.5)),
        ("a", 1100, hold(1.1)),
        ("dur", 299, hold(duration_ms=299)),
        ("ph", 90_000, hold(phase_rad=math.radians(90.0))),
    ],
)
def test_what_the_device_stored_otherwise_shows(key: str, value: int, changed: Train) -> None:
    fields = to_fields(hold(), SPANS, OUTPUTS)
    assert from_answer(answer(fields, **{key: value}), hold(), fields) == (7, changed)


def test_other_pulses_and_outputs_show_too() -> None:
    fields = to_fields(pulses(), SPANS, OUTPUTS)
    _, got = from_answer(answer(fields, p=601, r=49_000, n=6, out="F3:-5"), pulses(), fields)
    assert got.outputs == (Output(name="F3", share=-0.005),)
    assert got.waveform == PulseTrain(pulse=MagneticPulse(amplitude_pct_mso=60.1), rate_hz=49.0, n_pulses=6)


@pytest.mark.parametrize(
    "changed",
    [
        {"mod": "rtms"},
        {"a": "1.0"},
        {"a": "x"},
        {"token": "x"},
        {"out": "F3"},
        {"out": "F3:1,"},
        {"out": "F3:--1"},
        {"dur": "9" * 19},
    ],
)
def test_what_is_no_train_is_a_mismatch(changed: dict[str, str | int]) -> None:
    fields = to_fields(hold(), SPANS, OUTPUTS)
    with pytest.raises(ReadBackMismatch):
        from_answer(answer(fields, **changed), hold(), fields)


@pytest.mark.parametrize("key", ["token", "mod", "a", "f", "ph", "up", "dn", "dur", "out"])
def test_a_key_that_is_not_read_back_is_a_mismatch(key: str) -> None:
    fields = to_fields(hold(), SPANS, OUTPUTS)
    texts = dict(answer(fields).fields)
    del texts[key]
    with pytest.raises(ReadBackMismatch):
        from_answer(Line(mark="<", seq=1, word="OK", fields=texts), hold(), fields)


def test_envelopes_are_in_our_units() -> None:
    ours = envelopes("tacs", SPANS["tacs"]) | envelopes("rtms", SPANS["rtms"])
    assert (ours["amplitude_ma_pp"].high, ours["amplitude_ma_pp"].step) == (4.0, 0.01)
    assert (ours["frequency_hz"].low, ours["frequency_hz"].high) == (0.1, 100.0)
    assert ours["phase_rad"].high == math.radians(359.999)
    assert (ours["amplitude_pct_mso"].high, ours["amplitude_pct_mso"].step) == (100.0, 1.0)
    assert (ours["rate_hz"].step, ours["n_pulses"].high, ours["duration_ms"].high) == (0.1, 10_000.0, 500.0)
