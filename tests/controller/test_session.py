"""session.toml as an attacker and as a tired experimenter would write it."""

from __future__ import annotations

import os
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field

from controller.config import Config
from controller.montage import Montage
from controller.session import Session, SessionErrors, load_session
from controller.train import TRAINS
from drivers.stimulation import (
    BurstTrain,
    Carrier,
    Direct,
    Hold,
    MagneticPulse,
    Noise,
    Pulses,
    PulseTrain,
    Sonication,
    Train,
    is_whole,
)

HERE = "tests.controller.test_session"


class FakeBiomarker:
    class Config(Config):
        window_s: Annotated[float, Field(gt=0, le=60)] = 2.0
        band_hz: Annotated[tuple[float, ...], Field(min_length=2, max_length=2)] = (8.0, 13.0)

    def __init__(self, name: str, config: Config, montage: Montage, sfreq_hz: float) -> None:
        if config.band_hz[1] > sfreq_hz / 2:
            raise ValueError(f"band_hz: found {config.band_hz[1]:g}, above half the rate")

    def measure(self) -> None: ...


class FakePolicy:
    class Config(Config):
        biomarker: str
        gain: Annotated[float, Field(ge=0, le=1)] = 0.1

    def __init__(self, config: Config, train: Train, hop_s: float) -> None:
        if hop_s > 0.5:
            raise ValueError(f"hop: found {hop_s:g} s, expected at most 0.5 s")

    def decide(self) -> None: ...


BIOMARKERS = (EntryPoint("fake", f"{HERE}:FakeBiomarker", "nociloop.biomarkers"),)
POLICIES = (EntryPoint("fake", f"{HERE}:FakePolicy", "nociloop.policies"),)

GOOD = """
[session]
title = "α over C3 – pilot"
seed = 7
duration_s = 60

[source]
source_id = "amp-1"
sfreq_hz = 500
channels = ["C3", "Cz", "C4"]

[window]
longest_s = 4.0
hop_ms = 50

[[biomarkers]]
name = "alpha"
kind = "fake"

[policy]
kind = "fake"
biomarker = "alpha"

[train]
modality = "tacs"
outputs = {F3 = 1.0, Oz = -1.0}
frequency_hz = 10
phase_deg = -90
amplitude_ma_pp = 0.5
ramp_up_ms = 1000
ramp_down_ms = 100
lease_ms = 500
"""
RTMS = """
[train]
modality = "rtms"
amplitude_pct_mso = 40
rate_hz = 10
n_pulses = 20
"""


def load(tmp_path: Path, text: str | bytes) -> Session:
    path = tmp_path / "session.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_session(path, biomarker_entries=BIOMARKERS, policy_entries=POLICIES)


def errors(tmp_path: Path, text: str | bytes) -> list[str]:
    with pytest.raises(SessionErrors) as caught:
        load(tmp_path, text)
    lines = [line.removeprefix(f"{tmp_path / 'session.toml'}: ") for line in caught.value.errors]
    assert all("\n" not in line for line in lines)
    assert str(caught.value).count("\n") == len(lines) - 1
    return lines


def test_a_good_session_is_taken_as_written(tmp_path: Path) -> None:
    session = load(tmp_path, GOOD)
    assert session.source.channels == ("C3", "Cz", "C4")
    assert session.general.duration_s == 60.0
    assert session.biomarkers[0].name == "alpha"
    assert session.biomarkers[0].table() == {"window_s": 2.0, "band_hz": [8.0, 13.0]}
    assert session.policy.table() == {"biomarker": "alpha", "gain": 0.1}
    wave = session.train.waveform
    assert isinstance(wave, Hold)
    assert wave.carrier.phase_rad == pytest.approx(4.71238898038469)
    assert [(o.name, o.share) for o in session.train.outputs] == [("F3", 1.0), ("Oz", -1.0)]
    assert session.recording.raw
    assert not session.telemetry.enabled


def test_pulses_go_to_the_coil(tmp_path: Path) -> None:
    session = load(tmp_path, GOOD[: GOOD.index("[train]")] + RTMS)
    assert session.train.outputs[0].name == "coil"
    assert isinstance(session.train.waveform, PulseTrain)
    assert session.train.waveform.n_pulses == 20


@pytest.mark.parametrize("modality", ["dbs", "scs", "drg", "pns"])
def test_pulses_of_an_implanted_lead_are_held_as_those_of_the_skin_are(tmp_path: Path, modality: str) -> None:
    keys = f'[train]\nmodality = "{modality}"\namplitude_ma = 3\nwidth_us = 60\nrate_hz = 130\n{HELD}'
    train = load(tmp_path, GOOD[: GOOD.index("[train]")] + keys).train
    assert train.modality == modality and is_whole(train) and isinstance(train.waveform, Hold)
    assert isinstance(train.waveform.carrier, Pulses) and train.waveform.carrier.rate_in_burst_hz == 130.0


HELD = """outputs = {F3 = 1.0, Oz = -1.0}
ramp_up_ms = 1000
ramp_down_ms = 100
lease_ms = 500
"""


@pytest.mark.parametrize(
    ("keys", "carrier"),
    [
        (f'modality = "tdcs"\namplitude_ma = 1.5\n{HELD}', Direct(amplitude_ma=1.5)),
        (
            f'modality = "trns"\namplitude_ma_pp = 1\nlow_hz = 100\nhigh_hz = 640\n{HELD}',
            Noise(amplitude_ma_pp=1.0, low_hz=100.0, high_hz=640.0),
        ),
        (
            f'modality = "tens"\namplitude_ma = 20\nwidth_us = 200\nrate_hz = 100\n{HELD}',
            Pulses(
                amplitude_ma=20.0,
                width_us=200.0,
                gap_us=0.0,
                second_width_us=200.0,
                rate_hz=100.0,
                pulses_per_burst=1,
                rate_in_burst_hz=100.0,
            ),
        ),
        (
            f'modality = "tens"\namplitude_ma = 20\nwidth_us = 200\nsecond_width_us = 800\ngap_us = 10\nrate_hz = 2\n'
            f"pulses_per_burst = 7\nrate_in_burst_hz = 80\n{HELD}",
            Pulses(
                amplitude_ma=20.0,
                width_us=200.0,
                gap_us=10.0,
                second_width_us=800.0,
                rate_hz=2.0,
                pulses_per_burst=7,
                rate_in_burst_hz=80.0,
            ),
        ),
    ],
)
def test_held_currents_of_other_kinds(tmp_path: Path, keys: str, carrier: Carrier) -> None:
    train = load(tmp_path, GOOD[: GOOD.index("[train]")] + "[train]\n" + keys).train
    assert is_whole(train) and isinstance(train.waveform, Hold)
    assert train.waveform.carrier == carrier
    assert (train.waveform.ramp_up_ms, train.waveform.duration_ms) == (1000, 500)


def test_bursts_are_those_of_the_intermittent_protocol_where_nothing_else_is_said(tmp_path: Path) -> None:
    head = GOOD[: GOOD.index("[train]")]
    train = load(tmp_path, head + '[train]\nmodality = "tbs"\namplitude_pct_mso = 32\n').train
    assert is_whole(train) and train.outputs[0].name == "coil"
    pulse = MagneticPulse(amplitude_pct_mso=32.0)
    assert train.waveform == BurstTrain(
        pulse=pulse, pulses_per_burst=3, rate_in_burst_hz=50.0, bursts_hz=5.0, n_bursts=10
    )


def test_a_sonication_has_its_times_as_fields_of_their_own(tmp_path: Path) -> None:
    keys = {
        "pulse_us": 20_000,
        "pulse_interval_us": 200_000,
        "train_ms": 1000,
        "train_interval_ms": 2000,
        "sonication_ms": 8000,
    }
    text = "".join(f"{key} = {value}\n" for key, value in keys.items())
    head = (
        GOOD[: GOOD.index("[train]")]
        + '[train]\nmodality = "tus"\namplitude_mpa_water = 0.7\nfrequency_khz = 500\n'
    )
    train = load(tmp_path, head + text).train
    assert is_whole(train) and train.outputs[0].name == "transducer"
    assert train.waveform == Sonication(amplitude_mpa_water=0.7, frequency_khz=500.0, **keys)


def test_the_resolved_session_says_the_same_and_has_the_same_digest(tmp_path: Path) -> None:
    session = load(tmp_path, GOOD)
    tables = tomllib.loads(session.resolved_toml)
    assert tables["source"]["silence_ms"] == 100  # a default, written out
    again = load(tmp_path, session.resolved_toml)
    assert again == session
    # Comments, order and the way to write a number change nothing; a value does.
    assert (
        load(tmp_path, "# hello\n" + GOOD.replace("= 500\nchannels", "= 500.0\nchannels")).digest
        == session.digest
    )
    assert load(tmp_path, GOOD.replace("seed = 7", "seed = 8")).digest != session.digest


def test_a_session_cannot_be_changed(tmp_path: Path) -> None:
    session = load(tmp_path, GOOD)
    with pytest.raises(AttributeError):
        setattr(session, "digest", "0")  # noqa: B010
    with pytest.raises(ValueError, match="frozen"):
        setattr(session.source, "sfreq_hz", 1.0)  # noqa: B010


def test_every_error_is_told_at_once_each_with_its_key(tmp_path: Path) -> None:
    text = (
        GOOD.replace("hop_ms = 50", "hop_ms = -5")
        .replace("longest_s = 4.0", 'longest_s = "4"')
        .replace("duration_s = 60", "duration_s = nan\ndurations = 3")
        .replace('channels = ["C3", "Cz", "C4"]', 'channels = ["C3", 4]\nlosst = "end"')
        .replace("amplitude_ma_pp = 0.5", "amplitude_ma_pp = true")
        .replace('biomarker = "alpha"', 'biomarker = "alpha"\ngain = inf')
        .replace("[[biomarkers]]", "[[biomarkers]]\nwindow_s = 61")
        + "\n[recordings]\nraw = 1\n[telemetry]\nport = 0\n"
    )
    assert errors(tmp_path, text) == [
        'key recordings: unknown; did you mean "recording"?',
        "key session.duration_s: found nan, expected a number above 0 and at most 86400",
        'key session.durations: unknown; did you mean "duration_s"?',
        'key source.channels: found ["C3", 4], expected "all" or a list (1 to 1024 items), '
        "each text (1 to 40 characters)",
        'key source.losst: unknown; did you mean "lost"?',
        'key window.longest_s: found "4", expected a number from 0.1 to 600',
        "key window.hop_ms: found -5, expected a whole number from 4 to 1000",
        "key biomarkers[0].window_s: found 61, expected a number above 0 and at most 60",
        "key policy.gain: found inf, expected a number from 0 to 1",
        "key train.amplitude_ma_pp: found true, expected a number from 0 to 1000",
        "key telemetry.port: found 0, expected a whole number from 1 to 65535",
    ]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("hop_ms = 50", "hop_ms = 3", "key window.hop_ms: found 3, expected a whole number from 4 to 1000"),
        ("hop_ms = 50", "hop_ms = 50.0", "key window.hop_ms: found 50.0, expected a whole number"),
        ("hop_ms = 50", "", "key window.hop_ms: missing, expected a whole number from 4 to 1000"),
        ("hop_ms = 50", "hop_ms = 1979-05-27", "key window.hop_ms: found the date or time 1979-05-27"),
        ("seed = 7", f"seed = {2**63}", "key session.seed: found 9223372036854775808, expected"),
        ('source_id = "amp-1"', "", "key source: names no stream, expected at least one of"),
        ('["C3", "Cz", "C4"]', '["C3", "C3"]', "key source: channels has C3 twice"),
        ('["C3", "Cz", "C4"]', "[]", "key source.channels: found [], expected"),
        ("Oz = -1.0", "Oz = -0.9", "key train: outputs: found shares that sum to 0.1"),
        ("{F3 = 1.0, Oz = -1.0}", "{F3 = 0.5, Oz = -0.5}", "the positive ones to 0.5; expected 0 and 1"),
        (
            "{F3 = 1.0, Oz = -1.0}",
            "{F3 = nan, Oz = -1.0}",
            "key train.outputs.F3: found nan, expected a number",
        ),
        (
            '"tacs"',
            '"odd"',
            'key train.modality: found "odd", expected one of "tacs", "tdcs", "trns", "tens", "dbs", "scs", "drg", '
            '"pns", "rtms", "tbs", "ctbs", "tus"',
        ),
        ('modality = "tacs"', "", "key train.modality: missing, expected one of"),
        ('kind = "fake"\nbio', 'kind = "fade"\nbio', 'key policy.kind: found "fade", not installed'),
        (
            'biomarker = "alpha"',
            'biomarker = "alfa"',
            'key policy.biomarker: found "alfa"; did you mean "alpha"',
        ),
        (
            'name = "alpha"',
            'name = "Al,pha"',
            'key biomarkers[0].name: found "Al,pha", expected text matching',
        ),
        ("[[biomarkers]]", "[biomarkers]", "key biomarkers: found a table, expected 1 to 16 sections"),
        ("[window]", "[windows]", "key window: missing, expected a section [window]"),
        (
            "longest_s = 4.0",
            "longest_s = 1.5",
            "key biomarkers[0].window_s: found 2, expected at most window",
        ),
        ("hop_ms = 50", "hop_ms = 600", "key policy: hop: found 0.6 s, expected at most 0.5 s"),
        ("sfreq_hz = 500", "sfreq_hz = 20", "key biomarkers[0]: band_hz: found 13, above half the rate"),
        ("[policy]", "[montage]\nreference = ['M1']\n[policy]", "key montage: montage.reference: found"),
    ],
)
def test_an_error_names_its_key_what_was_found_and_what_was_expected(
    tmp_path: Path, old: str, new: str, error: str
) -> None:
    assert GOOD.count(old) == 1
    lines = errors(tmp_path, GOOD.replace(old, new))
    assert any(error in line for line in lines), lines


def test_two_biomarkers_of_one_name(tmp_path: Path) -> None:
    twice = GOOD.replace("[policy]", '[[biomarkers]]\nname = "alpha"\nkind = "fake"\n\n[policy]')
    assert errors(tmp_path, twice) == ['key biomarkers[1].name: found "alpha" twice, expected each name once']


def test_a_broken_biomarker_is_not_blamed_on_the_policy(tmp_path: Path) -> None:
    assert errors(tmp_path, GOOD.replace('name = "alpha"', 'name = "alpha"\nwindow_s = 0')) == [
        "key biomarkers[0].window_s: found 0, expected a number above 0 and at most 60"
    ]


def test_an_empty_file_names_every_missing_section(tmp_path: Path) -> None:
    keys = [line.split(":")[0] for line in errors(tmp_path, "")]
    assert keys == [
        f"key {name}" for name in ("session", "source", "window", "biomarkers", "policy", "train")
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"[session\n", "is no TOML"),
        (b"a = 1\na = 2\n", "is no TOML"),
        (b"\xff\xfe[session]", "byte 0 is no UTF-8"),
        (b"x = " + b"[" * 100_000, "is nested too deeply"),
        (b"x = " + b"9" * 10_000, "is no TOML"),
        (b"#" * 300_000, "found more than 262144 bytes"),
        (b"x = " + b"1" * 400, "key x: unknown"),
    ],
)
def test_what_is_no_session_file_is_one_line(tmp_path: Path, content: bytes, text: str) -> None:
    assert text in errors(tmp_path, content)[0]


def test_what_is_no_regular_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, text in (
        (tmp_path / "pipe", "no regular file"),
        (tmp_path, "a directory"),
        (Path("/dev/zero"), "no regular file"),
        (tmp_path / "missing.toml", "No such file"),
        (Path("a\0b"), "null"),
    ):
        with pytest.raises(SessionErrors, match=text) as caught:
            load_session(path)
        assert len(caught.value.errors) == 1


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    assert load(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()).general.seed == 7


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_gives_a_session_or_lines_never_a_traceback(
    tmp_path: Path, data: st.DataObject
) -> None:
    from controller.toml import toml_document

    tables = tomllib.loads(GOOD)
    section = data.draw(st.sampled_from([*tables, "montage", "telemetry", "quality", "outlets"]))
    table = tables.setdefault(section, {})
    table = table[0] if isinstance(table, list) else table
    key = data.draw(st.sampled_from(sorted(table)) | st.text(max_size=8)) if table else "x"
    value = data.draw(VALUES.filter(_has_toml))
    table[key] = value
    try:
        session = load(tmp_path, toml_document(tables).encode("utf-8", "surrogatepass"))
    except SessionErrors as error:
        assert error.errors
        assert all("\n" not in line for line in error.errors)
    else:
        assert load(tmp_path, session.resolved_toml).digest == session.digest


def _has_toml(value: object) -> bool:
    """TOML has no null, and its integers have 64 bits."""
    if isinstance(value, list):
        return all(map(_has_toml, value))
    if isinstance(value, dict):
        return all(map(_has_toml, value.values()))
    return value is not None


def test_the_page_names_the_keys_of_every_train() -> None:
    page = (Path(__file__).resolve().parents[2] / "controller" / "README.md").read_text(encoding="utf-8")
    lines = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    told = {
        name.strip(" `"): (required, optional)
        for _, names, required, optional, *_ in (line for line in lines if len(line) == 5)
        for name in names.split(",")
    }
    for modality, model in TRAINS.items():
        fields = [(name, field) for name, field in model.model_fields.items() if name != "modality"]
        required = ", ".join(f"`{name}`" for name, field in fields if field.is_required())
        optional = ", ".join(f"`{name}`" for name, field in fields if not field.is_required())
        assert tuple(text.strip() for text in told[modality]) == (required, optional or "–"), modality
