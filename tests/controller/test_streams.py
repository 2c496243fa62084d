"""Streams as they come: unnamed channels, other units, lies, and text that is no EEG."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator

import pylsl
import pytest
import typer.testing
from pydantic import ValidationError

from controller import streams
from controller.source import SourceConfig, SourceError
from controller.streams import StreamRow, list_streams, plan, source_lines, stream_row
from controller.streams_verb import streams_verb

pytestmark = pytest.mark.system

NAMES = ("C3", "Cz", "C4", "TRIG")


def row(**changes: object) -> StreamRow:
    values: dict[str, object] = {
        "name": "amp",
        "type": "EEG",
        "source_id": "s1",
        "uid": "u1",
        "hostname": "lab",
        "n_channels": 4,
        "sfreq_hz": 500.0,
        "format": "float32",
        "labels": NAMES,
        "types": ("EEG", "EEG", "EEG", "TRG"),
        "units": ("microvolts", "microvolts", "microvolts", ""),
    }
    return StreamRow(**(values | changes))  # type: ignore[arg-type]


def config(**changes: object) -> SourceConfig:
    return SourceConfig.model_validate({"source_id": "s1", "sfreq_hz": 500.0} | changes)


def refused(stream: StreamRow, wanted: SourceConfig) -> list[str]:
    with pytest.raises(SourceError) as caught:
        plan(stream, wanted)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"LSL stream {stream.name!r} on lab: ") for line in lines)
    return [line.split(": ", 1)[1] for line in lines]


def test_all_means_the_channels_of_type_eeg() -> None:
    how = plan(row(), config())
    assert how.picks == (0, 1, 2)
    assert how.spec.ch_names == ("C3", "Cz", "C4")
    assert how.scale_uv == (1.0, 1.0, 1.0)
    assert how.n_channels == 4


def test_named_channels_come_in_the_session_s_order() -> None:
    how = plan(row(), config(channels=("C4", "C3")))
    assert (how.picks, how.spec.ch_names) == ((2, 0), ("C4", "C3"))


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("microvolts", 1),
        ("uV", 1),
        ("µV", 1),
        ("μV", 1),
        ("V", 1e6),
        ("volts", 1e6),
        ("mV", 1e3),
        ("nV", 1e-3),
    ],
)
def test_units_become_microvolts(unit: str, factor: float) -> None:
    assert plan(row(units=(unit,) * 4), config()).scale_uv == (factor,) * 3
    assert plan(row(units=()), config(unit="mV")).scale_uv == (1e3,) * 3


@pytest.mark.parametrize(
    ("stream", "wanted", "line"),
    [
        (row(format="string"), config(), "sends string, expected one of float32"),
        (row(format="int64"), config(), "sends int64, expected one of"),
        (row(sfreq_hz=0.0), config(), "has an irregular rate, expected 500 Hz"),
        (row(sfreq_hz=float("nan")), config(), "has an irregular rate"),
        (row(sfreq_hz=505.1), config(), "announces 505.1 Hz, expected 500 Hz"),
        (row(sfreq_hz=494.9), config(), "announces 494.9 Hz"),
        (row(labels=()), config(), "names none of its 4 channels; give them in order in source.labels"),
        (row(labels=("a", "b")), config(), "has 4 channels but 2 labels"),
        (row(labels=("a", "b", "a", "c")), config(), "has a channel without a name, or two of one name"),
        (row(labels=("a", "b", "", "c")), config(), "has a channel without a name"),
        (row(), config(labels=("a", "b", "c", "d")), "differs from source.labels"),
        (row(), config(channels=("C3", "c4")), "has no channel 'c4' (source.channels); did you mean \"C4\"?"),
        (row(types=("AUX",) * 4), config(), "has no channel of type EEG: AUX"),
        (row(units=()), config(), "says no unit; give it in source.unit"),
        (row(units=("degrees",) * 4), config(), "gives channel 'C3' and 2 more in 'degrees', expected micro"),
        (row(), config(unit="V"), "in 'microvolts' but source.unit is 'V'"),
    ],
)
def test_what_does_not_fit_is_said_with_the_remedy(
    stream: StreamRow, wanted: SourceConfig, line: str
) -> None:
    assert any(text.startswith(line) or line in text for text in refused(stream, wanted))


def test_all_that_does_not_fit_is_said_at_once() -> None:
    lines = refused(row(sfreq_hz=250.0, units=()), config(channels=("C3", "Pz", "Oz")))
    assert len(lines) == 4


def test_a_rate_within_one_per_cent_is_taken() -> None:
    assert plan(row(sfreq_hz=504.9), config()).spec.sfreq_hz == 504.9


def test_labels_of_the_session_serve_a_stream_without() -> None:
    how = plan(row(labels=(), types=(), units=()), config(labels=("A", "B", "C", "D"), unit="µV"))
    assert how.spec.ch_names == ("A", "B", "C", "D")


def test_a_name_from_the_network_cannot_write_to_the_terminal() -> None:
    with pytest.raises(SourceError) as caught:
        plan(row(labels=("\x1b[2J", "b", "b", "c")), config())
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "table",
    [
        {"sfreq_hz": 500.0},
        {"name": "x", "sfreq_hz": 19.0},
        {"name": "x", "sfreq_hz": float("nan")},
        {"name": "x", "sfreq_hz": 500.0, "channels": ("a", "a")},
        {"name": "x", "sfreq_hz": 500.0, "silence_ms": 9},
        {"name": "", "sfreq_hz": 500.0},
        {"name": "x", "sfreq_hz": 500.0, "unit": "kV"},
    ],
)
def test_a_source_that_cannot_be_meant_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SourceConfig.model_validate(table)


def test_the_lines_to_paste_choose_that_stream() -> None:
    pasted = tomllib.loads(source_lines(row(labels=('C"3', "Cz", "C4", "x"), units=("uV",) * 4)))["source"]
    assert pasted["source_id"] == "s1"
    assert pasted["channels"] == ['C"3', "Cz", "C4", "x"]
    bare = tomllib.loads(source_lines(row(source_id="", labels=(), units=())))["source"]
    assert bare == {
        "name": "amp",
        "type": "EEG",
        "sfreq_hz": 500.0,
        "channels": "all",
        "labels": [],
        "unit": "µV",
    }


def test_a_description_that_is_too_long_or_broken_says_nothing() -> None:
    assert streams._channels("<info><desc><channels><channel><label>x</label>") == []
    assert streams._channels(" " * 1_000_001) == []
    xml = "<info><desc><channels><channel><label> C3 </label><unit/></channel></channels></desc></info>"
    assert streams._channels(xml) == [{"label": "C3", "unit": ""}]


@pytest.mark.parametrize("wait_s", [0.25, 0.5, 0.75, 1.0, 1.25, 1.74, 10.0])
def test_no_wait_ends_on_the_beat_on_which_liblsl_hangs(wait_s: float) -> None:
    late_s = streams._off_beat(wait_s) % streams.BEAT_S
    assert 0.04 < late_s < streams.BEAT_S - 0.04
    assert 0 <= streams._off_beat(wait_s) - wait_s <= 0.1 + 1e-9
    assert streams._off_beat(0.6) == 0.6


@pytest.fixture
def outlets() -> Iterator[None]:
    eeg = pylsl.StreamInfo("amp x", "EEG", 2, 500, "float32", "src-x")
    eeg.set_channel_labels(["C3", "C4"])
    eeg.set_channel_units("microvolts")
    kept = [
        pylsl.StreamOutlet(eeg),
        pylsl.StreamOutlet(pylsl.StreamInfo("m", "Markers", 1, 0, "string", "m1")),
    ]
    yield
    kept.clear()


def test_streams_are_listed_for_people_and_programs(outlets: None) -> None:
    app = typer.Typer()
    app.command()(streams_verb)
    run = typer.testing.CliRunner()
    told = run.invoke(app, ["--json", "--wait", "0.6"])
    assert told.exit_code == 0
    rows = {item["source_id"]: item for item in json.loads(told.output)}
    assert rows["src-x"]["labels"] == ["C3", "C4"]
    assert rows["src-x"]["sfreq_hz"] == 500.0
    assert rows["m1"]["format"] == "string"
    shown = run.invoke(app, ["--wait", "0.6"]).output
    section = shown[shown.index("[source]") :].splitlines()[:5]
    assert tomllib.loads("\n".join(section))["source"]["source_id"] == "src-x"
    assert "no EEG: string" in shown


def test_no_stream_at_all_says_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "list_streams", lambda wait_s, full: ())
    app = typer.Typer()
    app.command()(streams_verb)
    told = typer.testing.CliRunner().invoke(app, [])
    assert told.exit_code == 0
    assert "KnownPeers" in told.output
    assert "lsl_api.cfg" in told.output


def test_a_stream_that_has_gone_is_listed_as_it_announced_itself(outlets: None) -> None:
    (found,) = [item for item in list_streams(0.6) if item.source_id == "src-x"]
    assert found.labels == ()
    assert found.n_channels == 2
    assert stream_row(pylsl.StreamInfo("n", "EEG", 1, 1.0, "int16", "i")).format == "int16"
