"""Outlets: a plain LSL inlet sees every Reading and every marker, with the times of the host's clock."""

from __future__ import annotations

import json
import math
import socket
import time
import uuid
from dataclasses import replace

import pylsl
import pytest

from controller.outlets import WANTS, Outlets, markers_of
from controller.taps import Event, Item, Offered, Tap
from drivers.stimulation import Delivery
from safety.messages import DeliveryReport, Permit, PhaseChanged, Reason, Refusal, Trip
from tests.controller.test_recorder import ALLOWED, T0_NS, block, cycle

pytestmark = pytest.mark.system

PERMIT = Permit(id=1, token=9, lease_until_ns=5, read_ns=1, sent_ns=2, allowed=ALLOWED)
REPORT = DeliveryReport(
    id=1,
    delivery=Delivery(
        token=9, start_ns=T0_NS + 50, end_ns=T0_NS + 60, amplitude=0.1, n_pulses=0, ended=True, confirmed=True
    ),
    allowed=ALLOWED,
)


def inlet(source: str) -> pylsl.StreamInlet:
    found = pylsl.resolve_byprop("name", source, minimum=1, timeout=5.0)
    assert [info.source_id() for info in found] == [f"{source}@{socket.gethostname()}"]
    opened = pylsl.StreamInlet(found[0], max_buflen=60, recover=False)
    opened.open_stream(timeout=5.0)
    return opened


def pull(opened: pylsl.StreamInlet, n_samples: int) -> list[tuple[float, list[object]]]:
    pulled: list[tuple[float, list[object]]] = []
    for _ in range(n_samples):
        sample, stamp = opened.pull_sample(timeout=5.0)
        assert sample is not None
        pulled.append((stamp, sample))
    extra, _ = opened.pull_sample(timeout=0.0)
    assert extra is None
    return pulled


def test_an_inlet_sees_readings_and_markers_at_their_times():
    name = f"rig-{uuid.uuid4().hex[:8]}"
    tap = Tap("outlets", 100, kinds=WANTS)
    outlets = Outlets(name, {"erd": "dB", "paf": "Hz"})
    readings, markers = inlet(f"{name}-readings"), inlet(f"{name}-markers")
    tap.start(outlets)
    items: list[Item] = [
        cycle(1, PERMIT),
        block(0, 5),
        REPORT,
        PhaseChanged(phase="TRIPPED", code="ILK-1", text="STOP"),
        Trip(code="ILK-1", text="STOP", remedy="reset"),
        Event(t_ns=T0_NS + 70, kind="stream", code="lost", text='quote " and µ'),
    ]
    before_s = pylsl.local_clock()
    for item in items:
        tap.offer(item)
    ((stamp, sample),) = pull(readings, 1)
    assert stamp == T0_NS / 1e9
    assert sample[0] == 0.1 + 0.2 and math.isnan(sample[1]) and sample[2] == 0.5
    pulled = pull(markers, 6)
    after_s = pylsl.local_clock()
    objects = [json.loads(text[0]) for _, text in pulled]
    assert [item["kind"] for item in objects] == ["request", "verdict", "delivery", "phase", "trip", "event"]
    assert [stamp for stamp, _ in pulled] == [item["t_ns"] / 1e9 for item in objects]
    assert [item["t_ns"] - T0_NS for item in objects[:3]] == [3, 6, 50] and objects[5]["t_ns"] == T0_NS + 70
    assert all(before_s <= stamp <= after_s for stamp, _ in pulled[3:5])
    assert objects[0]["amplitude"] == 0.1 and objects[0]["waveform"] == "hold"
    assert objects[1] == {
        "kind": "verdict", "t_ns": T0_NS + 6, "id": 1, "verdict": "permit", "token": 9, "lease_until_ns": 5
    }  # fmt: skip
    assert objects[5]["text"] == 'quote " and µ'
    described = readings.info(timeout=5.0)
    assert described.get_channel_labels() == ["erd", "paf", "clean_fraction"]
    assert described.get_channel_units() == ["dB", "Hz", "1"]
    assert (described.type(), described.nominal_srate()) == ("Biomarkers", 0.0)
    assert tap.close(5.0)
    readings.close_stream()
    markers.close_stream()


def test_an_outlet_that_is_off_does_not_exist():
    name = f"rig-{uuid.uuid4().hex[:8]}"
    outlets = Outlets(name, {"erd": "dB"}, readings=False)
    outlets.consume([(T0_NS, cycle(1, None))])
    found = [info.name() for info in pylsl.resolve_streams(wait_time=0.3)]
    assert f"{name}-markers" in found and f"{name}-readings" not in found
    outlets.close()
    outlets.consume([(T0_NS, cycle(1, None))])


def test_no_listener_costs_nothing_and_odd_cycles_are_borne():
    outlets = Outlets(f"rig-{uuid.uuid4().hex[:8]}", {"erd": "dB", "other": "1"})
    odd: list[Offered] = [
        (T0_NS, replace(cycle(1, None), readings={}, request=None)),
        (T0_NS, cycle(2, None)),
    ]
    started_s = time.perf_counter()
    for _ in range(500):
        outlets.consume(odd)
    assert time.perf_counter() - started_s < 2.0
    outlets.close()


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (None, {"verdict": "none"}),
        (Trip(code="T", text="", remedy=""), {"verdict": "trip", "codes": ["T"]}),
        (
            Refusal(id=1, reasons=(Reason(code="A", text=""), Reason(code="B", text="")), allowed=ALLOWED),
            {"verdict": "refusal", "codes": ["A", "B"]},
        ),
    ],
)
def test_each_verdict_is_told(verdict: Refusal | Trip | None, expected: dict[str, object]):
    (asked_ns, asked), (answered_ns, answered) = markers_of(1, cycle(1, verdict))
    assert (asked_ns, asked["kind"]) == (T0_NS + 3, "request")
    assert answered == {"kind": "verdict", "t_ns": answered_ns, "id": 1, **expected}
    assert [at_ns for at_ns, _ in markers_of(42, replace(cycle(1, verdict), asked_ns=0, answered_ns=0))] == [
        42,
        42,
    ]


def test_what_asks_for_nothing_marks_nothing():
    assert markers_of(1, replace(cycle(1, None), request=None)) == []
    assert markers_of(1, block(0, 5)) == []
