"""The record of a device read back into truth: it must never flatter the device."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.record import (
    Bad,
    Break,
    Closed,
    Contact,
    Entry,
    Fault,
    LinkLost,
    Opened,
    Pulse,
    RecordError,
    Rx,
    Start,
    State,
    Tx,
    amplitude_at,
    deliveries,
    encode,
    load,
    of,
    pulses,
    told,
    zero_since,
)
from sim.recorder import Recorder, RecordLost
from tests.sim.open_device_bench import sealed

HOLD = [
    Break(t_ns=100, token=1, a_ma_pp=0.0, to_ma_pp=2.0),
    Break(t_ns=200, token=1, a_ma_pp=2.0, to_ma_pp=2.0),
    Break(t_ns=300, token=1, a_ma_pp=2.0, to_ma_pp=0.0),
    Break(t_ns=400, token=1, a_ma_pp=0.0, to_ma_pp=0.0),
]
EACH: list[Entry] = [
    Start(t_ns=1, serial="S", skew_ppm=3),
    Rx(t_ns=2, line=">1 STAT*0000"),
    Tx(t_ns=2, line="<1 OK*0000"),
    State(t_ns=3, state="armed", why="ARM"),
    *HOLD,
    Pulse(t_ns=500, token=2, p_pct=60.5),
    Contact(t_ns=600, closed=True),
    LinkLost(t_ns=700),
    Bad(t_ns=800, why="check"),
    Fault(t_ns=900, name="clear"),
    Opened(t_ns=1000, cause="silence"),
    Closed(t_ns=1100, cause="pet"),
]


def test_what_is_written_is_read_back(tmp_path: Path):
    path = tmp_path / "device.jsonl"
    recorder = Recorder(path)
    for entry in EACH:
        recorder.put([entry])
    recorder.close()
    assert load(path).entries == tuple(EACH)
    assert all(line.startswith(b'{"t_ns":') for line in path.read_bytes().splitlines())


def test_a_torn_tail_is_left_out_and_anything_else_is_an_error(tmp_path: Path):
    path = tmp_path / "device.jsonl"
    whole = encode(HOLD[0])
    path.write_bytes(whole + encode(HOLD[1])[:-5])
    assert load(path).entries == (HOLD[0],)
    for bad in (
        b"{}\n",
        b"nonsense\n",
        b'{"t_ns":1,"e":"nosuch"}\n',
        b'{"t_ns":"1","e":"link_lost"}\n',
        b"\xff\n",
    ):
        path.write_bytes(whole + bad + whole)
        with pytest.raises(RecordError, match="line 2"):
            load(path)
    path.write_bytes(b"")
    assert load(path).entries == ()


def test_a_record_that_cannot_be_written_is_an_error():
    recorder = Recorder(Path("/dev/full"))
    recorder.put([HOLD[0]])
    with pytest.raises(RecordLost, match="/dev/full"):
        recorder.close()


def test_amplitude_is_linear_between_breakpoints():
    record = of(HOLD)
    found = [amplitude_at(record, t_ns) for t_ns in (0, 99, 100, 150, 200, 299, 300, 375, 400, 10**18)]
    assert found == [0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0, 0.5, 0.0, 0.0]
    assert amplitude_at(of([]), 5) == 0.0


def test_amplitude_of_a_cut_is_zero_from_its_instant_on():
    record = of(
        [
            *HOLD[:2],
            Break(t_ns=250, token=1, a_ma_pp=2.0, to_ma_pp=0.0),
            Break(t_ns=250, token=1, a_ma_pp=0.0),
        ]
    )
    assert amplitude_at(record, 249) == 2.0 and amplitude_at(record, 250) == 0.0
    assert zero_since(record, 0) == 250


@pytest.mark.parametrize(
    ("t_ns", "since_ns"), [(0, 400), (100, 400), (399, 400), (400, 400), (401, 401), (1000, 1000)]
)
def test_zero_since(t_ns: int, since_ns: int):
    assert zero_since(of(HOLD), t_ns) == since_ns


def test_zero_since_where_nothing_ever_came():
    assert zero_since(of([]), 7) == 7


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_record_that_breaks_off_never_shows_zero(kept: int):
    record = of(HOLD[:kept])
    assert zero_since(record, 0) is None
    assert amplitude_at(record, 10**9) == 2.0
    assert not deliveries(record)[0].ended


def test_zero_since_counts_pulses_and_later_output():
    later = [*HOLD, Pulse(t_ns=450, token=2, p_pct=1.0), Pulse(t_ns=460, token=2, p_pct=0.0)]
    assert zero_since(of(later), 0) == 450
    assert zero_since(of(later), 0, until_ns=450) == 400
    again = [
        *HOLD,
        *(Break(t_ns=b.t_ns + 1000, token=3, a_ma_pp=b.a_ma_pp, to_ma_pp=b.to_ma_pp) for b in HOLD),
    ]
    assert zero_since(of(again), 350) == 1400
    assert zero_since(of(again), 350, until_ns=1000) == 400


@given(st.integers(0, 500), st.integers(0, 500))
def test_from_zero_since_on_the_amplitude_is_zero(t_ns: int, after_ns: int):
    record = of(HOLD)
    since_ns = zero_since(record, t_ns)
    assert since_ns is not None and since_ns >= t_ns
    assert amplitude_at(record, since_ns + after_ns) == 0.0
    if since_ns > t_ns:
        assert amplitude_at(record, since_ns - 1) > 0.0


def test_deliveries_are_by_token_and_a_renewal_ends_the_one_before():
    taken = Break(t_ns=250, token=2, a_ma_pp=2.0, to_ma_pp=3.0)
    rest = [
        Break(t_ns=260, token=2, a_ma_pp=3.0, to_ma_pp=0.0),
        Break(t_ns=290, token=2, a_ma_pp=0.0, to_ma_pp=0.0),
    ]
    train = [Pulse(t_ns=500, token=3, p_pct=60.0), Pulse(t_ns=600, token=3, p_pct=60.0)]
    record = of([*HOLD[:2], taken, *rest, *train])
    found = [(d.token, d.start_ns, d.end_ns, d.amplitude, d.n_pulses, d.ended) for d in deliveries(record)]
    assert found == [
        (1, 100, 250, 2.0, 0, True),
        (2, 250, 290, 3.0, 0, True),
        (3, 500, 600, 60.0, 2, True),
    ]
    assert [pulse.t_ns for pulse in pulses(record)] == [500, 600]


def test_what_the_device_told_is_placed_on_the_hosts_clock():
    line = sealed("!0 OUT token=1 from_us=1000100 to_us=2000200 a=500 n=3 end=1").decode()
    record = of(
        [Start(t_ns=5_000, serial="S", skew_ppm=100), Tx(t_ns=6, line=line), Tx(t_ns=7, line="<1 OK*0000")]
    )
    (slice_,) = told(record)
    assert (slice_.token, slice_.a, slice_.n_pulses, slice_.ended) == (1, 500, 3, True)
    assert (slice_.start_ns, slice_.end_ns) == (1_000_005_000, 2_000_005_000)
    with pytest.raises(RecordError, match="start"):
        told(of([Tx(t_ns=6, line=line)]))
