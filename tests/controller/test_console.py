"""Console: what a person must see while a session runs, on a terminal, on none, and from whoever wrote the text."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest

from controller.console import Console
from controller.eeg import Block, Cycle, Evidence, Quality, Reading
from controller.taps import Event, Item, Tap
from drivers.stimulation import Delivery, Hold, Output, Sine, Train
from safety.messages import Allowed, DeliveryReport, Permit, PhaseChanged, Reason, Refusal, Request, Trip

T0_NS = 5_000_000_000_000
MS = 1_000_000
ALLOWED = Allowed(
    rows=(), used={}, budget={}, not_before_ns=0, busy_until_ns=0, amplitude_now=0.0, amplitude_max=0.0
)
EVIDENCE = Evidence(stream_uid="u", n_samples=1, newest_ns=0, uncertainty_ns=0, crc=0, clean_fraction=1.0)
QUALITY = Quality(ok=True, reasons=(), bads=(), clean_fraction=1.0, clean_s=2.0)
TRAIN = Train(
    modality="tacs",
    outputs=(Output(name="F3", share=1.0), Output(name="Oz", share=-1.0)),
    waveform=Hold(
        carrier=Sine(amplitude_ma_pp=1.0, frequency_hz=10.0),
        ramp_up_ms=100,
        ramp_down_ms=100,
        duration_ms=500,
    ),
)


class Terminal(io.StringIO):
    """A terminal without a size of its own."""

    def isatty(self) -> bool:
        return True


def block(sample_ns: int) -> Block:
    return Block(
        data_uv=np.zeros((1, 1)),
        stamps_ns=np.array([sample_ns], dtype=np.int64),
        received_ns=sample_ns,
        first=0,
        n_missing=0,
        evidence=EVIDENCE,
    )


def cycle(
    sample_ns: int, value: float, reason: str = "", verdict: Permit | Refusal | Trip | None = None
) -> Cycle:
    reading = Reading(
        biomarker="theta",
        value=value,
        unit="1",
        time_ns=sample_ns,
        window_s=2.0,
        latency_s=1.0,
        quality=QUALITY,
        reason=reason,
    )
    request = Request(id=1, train=TRAIN, onset_at_ns=0, response=1.0, evidence=EVIDENCE)
    return Cycle(
        index=1,
        sample_ns=sample_ns,
        received_ns=sample_ns,
        computed_ns=sample_ns,
        asked_ns=sample_ns,
        answered_ns=sample_ns,
        readings={"theta": reading},
        request=request if verdict is not None else None,
        verdict=verdict,
    )


def refusal(*codes: str) -> Refusal:
    reasons = tuple(Reason(code=code, text=f"text of {code}") for code in codes)
    return Refusal(id=1, reasons=reasons, allowed=ALLOWED)


def permit() -> Permit:
    return Permit(id=1, token=1, lease_until_ns=0, read_ns=0, sent_ns=0, allowed=ALLOWED)


def delivered(level: float, *, ended: bool = False, n_pulses: int = 0) -> DeliveryReport:
    given = Delivery(
        token=1, start_ns=0, end_ns=1, amplitude=level, n_pulses=n_pulses, ended=ended, confirmed=True
    )
    return DeliveryReport(id=1, delivery=given, allowed=ALLOWED)


def shown(out: io.StringIO, items: list[tuple[int, Item]], modality: str = "tacs") -> str:
    """The output after items at ms since the start, one batch each."""
    console = Console(out, 60.0, modality)
    for at_ms, item in items:
        console.consume([(T0_NS + at_ms * MS, item)])
    console.close()
    return out.getvalue()


def session(at_ms: int) -> list[tuple[int, Item]]:
    """An armed session until `at_ms`."""
    return [
        (0, PhaseChanged(phase="ARMED", code="", text="armed by ann")),
        (10, cycle(T0_NS, 0.25, verdict=permit())),
        (20, delivered(1.25)),
        (at_ms, block(T0_NS + (at_ms - 40) * MS)),
    ]


def test_a_plain_line_every_five_seconds_and_no_escape():
    items = session(4_999)
    text = shown(io.StringIO(), items)
    assert text.count("asked") == 1  # the last, by close
    text = shown(
        io.StringIO(),
        [*items, (5_001, block(T0_NS + 4_961 * MS)), (9_000, block(T0_NS + 8_960 * MS))],
    )
    assert text.count("asked") == 2
    assert "\x1b" not in text and "\r" not in text
    line = text.splitlines()[1]
    assert line.startswith("0:05/1:00  ARMED  1.25 mA pp  data 40 ms old  asked 1 permitted 1 refused 0")
    assert "theta 0.25" in line


def test_a_terminal_has_one_live_line_twice_a_second_within_its_width():
    items = session(400) + [(at, block(T0_NS + at * MS)) for at in range(500, 3_000, 10)]
    text = shown(Terminal(), items)
    drawn = [part for part in text.split("\r") if "asked" in part or "permitted" in part]
    assert 5 <= len(drawn) <= 7
    for part in drawn:
        assert len(part.replace("\x1b[K", "").replace("\x1b[1;33m", "").replace("\x1b[0m", "")) <= 100
    assert text.endswith("\n")
    assert text.count("\n") == 2  # the phase's own line, and the end


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch, variable: str, value: str):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1;33mARMED" in shown(Terminal(), session(600))
    monkeypatch.setenv(variable, value)
    text = shown(Terminal(), session(600))
    assert "\x1b[1;" not in text
    assert "ARMED" in text


def test_the_first_refusal_of_each_code_has_its_line():
    items: list[tuple[int, Item]] = [
        (0, cycle(T0_NS, 1.0, verdict=refusal("ILK-111"))),
        (1, cycle(T0_NS, 1.0, verdict=refusal("ILK-111", "ILK-308"))),
        (2, cycle(T0_NS, 1.0, verdict=refusal("ILK-308"))),
    ]
    text = shown(io.StringIO(), items)
    assert text.count("text of ILK-111") == 1
    assert text.count("text of ILK-308") == 1
    assert "asked 3 permitted 0 refused 3" in text


def test_a_flood_of_codes_stays_bounded():
    items: list[tuple[int, Item]] = [
        (at, cycle(T0_NS, 1.0, verdict=refusal(f"X-{at}"))) for at in range(1_000)
    ]
    assert len(shown(io.StringIO(), items).splitlines()) < 70


def test_a_trip_says_code_and_remedy_once():
    text = shown(
        io.StringIO(),
        [
            (0, Trip(code="ILK-203", text="too old: 300 ms", remedy="check the amplifier")),
            (0, PhaseChanged(phase="TRIPPED", code="ILK-203", text="too old: 300 ms")),
        ],
    )
    assert text.count("too old") == 1
    assert "check the amplifier" in text
    assert "TRIPPED" in text


def test_a_missing_value_says_why():
    text = shown(io.StringIO(), [(0, cycle(T0_NS, math.nan, "flat channel")), (1, block(T0_NS))])
    assert "theta – (flat channel)" in text


def test_data_that_stop_grow_old():
    text = shown(
        io.StringIO(),
        [(0, block(T0_NS - 20 * MS)), (700, PhaseChanged(phase="TRIPPED", code="ILK-203", text=""))],
    )
    assert "data 720 ms old" in text


def test_an_ended_output_is_zero_and_one_taken_over_is_not():
    items: list[tuple[int, Item]] = [(0, delivered(1.5, ended=True)), (400, block(T0_NS))]
    assert "0.00 mA pp" in shown(io.StringIO(), items)
    items = [(0, delivered(1.5, ended=True)), (50, delivered(1.4)), (400, block(T0_NS))]
    assert "1.40 mA pp" in shown(io.StringIO(), items)


def test_pulses_are_counted():
    items: list[tuple[int, Item]] = [(0, delivered(60.0, n_pulses=5)), (90, delivered(60.0, n_pulses=4))]
    assert "60.00 % MSO, 9 pulses" in shown(io.StringIO(), items, "rtms")


def test_text_of_others_cannot_steer_the_terminal():
    evil = "\x1b[2Jgone\nsecond\r" + "x" * 10_000
    text = shown(
        io.StringIO(),
        [(0, Trip(code="ILK-213", text=evil, remedy="")), (1, Event(t_ns=0, kind="end", code="", text=evil))],
    )
    assert "\x1b" not in text and "\r" not in text
    assert len(text.splitlines()) == 3
    assert max(map(len, text.splitlines())) <= 400


def test_an_ascii_output_gets_question_marks_not_an_error():
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    console = Console(out, 60.0, "tacs")
    console.consume([(T0_NS, cycle(T0_NS, math.nan, "±µ"))])
    console.close()
    assert b"theta ? (??)" in raw.getvalue()


def test_a_closed_output_fails_its_tap_alone():
    out = io.StringIO()
    tap = Tap("console", 8, poll_s=0.001)
    tap.start(Console(out, 1.0, "tacs"))
    out.close()
    tap.offer(Trip(code="ILK-1", text="t", remedy="r"))
    assert tap.close(2.0) is False
    assert "console" in tap.status().failed


def test_nothing_offered_prints_nothing():
    assert shown(io.StringIO(), []) == ""
