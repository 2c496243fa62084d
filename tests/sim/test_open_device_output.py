"""The emulated open device against docs/open-device-protocol.md: what comes out, and when it ends."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.record import Break, LinkLost, Pulse, amplitude_at, deliveries, zero_since
from tests.sim.open_device_bench import BURSTS, HOLD, MS, T0, TRAIN, Bench, armed


def test_a_hold_rises_stays_ends_by_itself_and_falls():
    bench = armed()
    assert bench.start() == "OK token=1 in_us=0 t_us=0"
    bench.wait(50)
    assert bench.stat("a") == "500" and bench.stat("state") == "running"
    bench.wait(1000)
    found = [(e.t_ns - T0, e.a_ma_pp, e.to_ma_pp) for e in bench.record.breaks]
    assert found == [
        (0, 0.0, 1.0),
        (100 * MS, 1.0, 1.0),
        (500 * MS, 1.0, 0.0),
        (600 * MS, 0.0, 0.0),
    ]
    assert bench.stat("state") == "armed" and bench.stat("a") == "0"


def test_a_lease_that_ends_within_the_rise_falls_from_where_it_is():
    bench = armed()
    bench.start(HOLD.replace("up=100", "up=1000").replace("dur=500", "dur=50"))
    bench.wait(300)
    assert amplitude_at(bench.record, T0 + 50 * MS) == pytest.approx(0.05)
    assert zero_since(bench.record, T0) == T0 + 150 * MS


def test_a_renewal_takes_over_from_the_present_amplitude():
    bench = armed()
    bench.start()
    bench.wait(50)
    bench.start(HOLD.replace("a=1000", "a=2000"))
    bench.wait(1000)
    record = bench.record
    assert amplitude_at(record, T0 + 50 * MS) == pytest.approx(0.5)
    assert amplitude_at(record, T0 + 100 * MS) == pytest.approx(1.25)
    assert amplitude_at(record, T0 + 549 * MS) == 2.0
    assert zero_since(record, T0) == T0 + 650 * MS
    assert [(d.token, d.ended) for d in deliveries(record)] == [(1, True), (2, True)]
    first = bench.outs()[0]
    assert (first["token"], first["to_us"], first["a"], first["end"]) == (1, 50_000, 500, 1)


def test_a_renewal_downward_takes_dn_and_one_in_the_fall_takes_over():
    bench = armed()
    bench.start()
    bench.wait(100)
    bench.start(HOLD.replace("a=1000", "a=0").replace("dn=100", "dn=40"))
    bench.wait(20)
    assert bench.stat("a") == "500"
    bench.wait(580)
    bench.start()
    bench.wait(550)
    taken_ns = bench.now_ns
    bench.start()
    bench.wait(200)
    assert amplitude_at(bench.record, taken_ns) == pytest.approx(0.5)
    assert amplitude_at(bench.record, taken_ns + 10 * MS) == pytest.approx(0.55)


def test_a_renewal_waiting_at_the_very_end_of_the_lease_wins():
    bench = armed()
    bench.start()
    bench.wait(100)
    bench.start(in_us=400_000)
    bench.wait(450)
    assert bench.stat("a") == "1000" and bench.stat("state") == "running"
    assert 0.0 not in [e.to_ma_pp for e in bench.record.breaks]


def test_one_start_waits_at_a_time():
    bench = armed()
    bench.start(in_us=100_000)
    assert bench.start(HOLD.replace("a=1000", "a=2000")) == "ERR code=busy"
    bench.wait(50)
    assert bench.stat("a") == "0"


def test_the_onset_told_is_the_onset_kept_and_never_early():
    bench = armed()
    bench.now_ns += 1_001
    assert bench.start().endswith(" t_us=2")
    bench.wait(10)
    assert bench.record.breaks[0].t_ns == T0 + 2_000


def test_the_carrier_runs_on_through_a_renewal_and_starts_anew_at_another_frequency():
    bench = armed()
    bench.start(HOLD.replace("ph=0", "ph=90000"))
    bench.wait(1)
    phase = bench.device.output.phase_rad
    assert phase(T0) == pytest.approx(math.pi / 2) and phase(T0 + 25 * MS) == pytest.approx(math.pi)
    assert phase(T0 + 90 * MS) == pytest.approx(0.3 * math.pi)
    bench.wait(29)
    bench.start()
    bench.wait(1)
    assert phase(T0 + 50 * MS) == pytest.approx(math.pi)
    bench.start(HOLD.replace("f=10000", "f=20000"))
    bench.wait(1)
    assert phase(T0 + 31 * MS) == pytest.approx(0.0) and phase(T0 + 56 * MS) == pytest.approx(math.pi)
    bench.say("STOP how=cut")
    assert phase(bench.now_ns) == 0.0


def test_an_onset_in_the_future_comes_at_its_time_and_stop_takes_it_back():
    bench = armed()
    assert bench.start(in_us=200_000) == "OK token=1 in_us=200000 t_us=200000"
    assert bench.stat("state") == "running" and bench.stat("a") == "0"
    bench.wait(250)
    assert bench.record.breaks[0].t_ns == T0 + 200 * MS
    bench.say("STOP how=cut")
    bench.say("ARM")
    bench.start(in_us=1_000_000)
    bench.wait(10)
    assert bench.say("STOP how=ramp") == "OK state=idle"
    bench.wait(2000, pet=False)
    assert bench.outs()[-1] | {"token": 2, "a": 0, "n": 0, "end": 1} == bench.outs()[-1]
    assert zero_since(bench.record, T0) == T0 + 250 * MS
    assert bench.say("ARM") == "OK state=armed"
    for in_us in (-1, 1_000_001):
        assert bench.start(in_us=in_us) == "ERR code=range"


def test_stop_by_ramp_and_by_cut():
    bench = armed()
    bench.start()
    bench.wait(200)
    assert bench.say("STOP how=ramp") == "OK state=stopping"
    stopped_ns = bench.now_ns
    bench.wait(50)
    assert bench.stat("a") == "500"
    assert bench.say(HOLD) == "ERR code=state" and bench.say("ARM") == "ERR code=state"
    assert bench.say("STOP how=ramp") == "OK state=stopping"
    bench.wait(60)
    assert bench.stat("state") == "idle"
    assert zero_since(bench.record, T0) == stopped_ns + 100 * MS
    bench.say("ARM")
    bench.start()
    bench.wait(200)
    assert bench.say("STOP how=cut") == "OK state=idle"
    assert zero_since(bench.record, T0) == bench.now_ns
    assert bench.outs()[-1]["end"] == 1 and bench.outs()[-1]["a"] == 1000


def test_a_cut_ends_a_ramp_under_way():
    bench = armed()
    bench.start()
    bench.wait(200)
    bench.say("STOP how=ramp")
    bench.wait(10)
    assert bench.say("STOP how=cut") == "OK state=idle"
    assert zero_since(bench.record, T0) == bench.now_ns


def test_stop_in_the_fall_never_makes_it_last_longer():
    bench = armed()
    bench.start()
    bench.wait(550)
    bench.say("STOP how=ramp")
    bench.wait(500, pet=False)
    assert zero_since(bench.record, T0) == T0 + 600 * MS


def test_after_disarming_nothing_is_prepared():
    bench = armed()
    bench.say(HOLD)
    bench.say("STOP how=cut")
    assert bench.say("FIRE token=1 in_us=0") == "ERR code=state"
    bench.say("ARM")
    assert bench.say("FIRE token=1 in_us=0") == "ERR code=state"


def test_a_train_gives_its_pulses_on_time_and_ends():
    bench = armed()
    bench.start(TRAIN.replace("r=10000", "r=30000"))
    assert bench.stat("a") == "600"
    bench.wait(2000)
    times = [pulse.t_ns - T0 for pulse in bench.record.pulses]
    assert times == [k * 10**12 // 30_000 for k in range(40)]
    assert {pulse.p_pct for pulse in bench.record.pulses} == {60.0}
    assert bench.stat("state") == "armed" and bench.stat("a") == "0"
    outs = bench.outs()
    assert sum(out["n"] for out in outs) == 40 and outs[-1]["end"] == 1
    # 0, 33, 67 ms; a pulse on the edge of a slice (100 ms) belongs to the one it opens
    assert [out["n"] for out in outs[:2]] == [3, 3]
    assert all(a["to_us"] == b["from_us"] for a, b in itertools.pairwise(outs))


@pytest.mark.parametrize("how", ["ramp", "cut"])
def test_stop_ends_a_train_at_once(how: str):
    bench = armed()
    bench.start(TRAIN)
    bench.wait(250)
    assert bench.say(f"STOP how={how}") == "OK state=idle"
    bench.wait(3000, pet=False)
    assert len(bench.record.pulses) == 3
    assert zero_since(bench.record, T0) == T0 + 200 * MS


def test_hold_and_train_never_meet_and_a_second_train_is_busy():
    bench = armed()
    bench.start(TRAIN)
    for setting in (HOLD, TRAIN):
        assert bench.start(setting) == "ERR code=busy"
    bench.say("STOP how=cut")
    bench.say("ARM")
    bench.start(HOLD)
    assert bench.start(TRAIN) == "ERR code=busy"
    bench.wait(400)
    assert bench.start(TRAIN, in_us=1_000_000) == "ERR code=busy"
    assert len(bench.record.pulses) == 1


@pytest.mark.parametrize("setting", [HOLD, TRAIN, HOLD.replace("dur=500", "dur=450")])
def test_slices_follow_one_another_without_a_gap(setting: str):
    bench = armed()
    bench.start(setting)
    bench.wait(130)
    if setting != TRAIN:
        bench.start(HOLD.replace("a=1000", "a=500"))
    bench.wait(5000)
    outs = bench.outs()
    assert outs[0]["from_us"] == 0
    for one, other in itertools.pairwise(outs):
        assert one["to_us"] == other["from_us"]
        assert one["end"] == int(one["token"] != other["token"])
    assert all(0 <= out["to_us"] - out["from_us"] <= 100_000 for out in outs)
    assert outs[-1]["end"] == 1
    greatest = max(out["a"] for out in outs)
    assert greatest == (600 if setting == TRAIN else 1000)


@pytest.mark.parametrize("late_ms", [0.0, 1.0])
def test_the_link_watchdog_ramps_disarms_and_says_so(late_ms: float):
    bench = armed()
    bench.start()
    bench.wait(150)
    bench.start()
    bench.wait(249, pet=False)
    assert bench.told[-1].startswith("OUT")
    bench.wait(1 + late_ms, pet=False)
    struck_ns = T0 + 400 * MS
    assert [e.t_ns for e in bench.record.entries if isinstance(e, LinkLost)] == [struck_ns]
    assert bench.stat("state") == "stopping" and "LINK" in bench.told
    bench.wait(200, pet=False)
    assert zero_since(bench.record, T0) == struck_ns + 100 * MS
    assert bench.stat("state") == "idle"


def test_the_link_watchdog_ends_a_train_and_a_start_that_waits():
    bench = armed()
    bench.start(TRAIN)
    bench.wait(1000, pet=False)
    assert len(bench.record.pulses) == 3 and bench.stat("state") == "idle"
    bench.say("ARM")
    bench.start(HOLD, in_us=300_000)
    bench.wait(1000, pet=False)
    assert not bench.record.breaks


def test_the_link_watchdog_leaves_an_idle_device_alone():
    bench = Bench()
    bench.wait(10_000, pet=False)
    assert bench.told == []


def test_the_enable_input_cuts_and_is_needed_to_arm_and_fire():
    bench = Bench(enabled=False)
    assert bench.say("ARM") == "ERR code=enable" and bench.stat("en") == "0"
    bench.contact(True)
    bench.say("ARM")
    bench.start()
    bench.wait(200)
    bench.contact(False)
    assert zero_since(bench.record, T0) == bench.now_ns
    assert bench.told[-1] == "ENABLE en=0" and "end=1" in bench.told[-2]
    assert bench.stat("state") == "idle"
    assert bench.say("FIRE token=1 in_us=0") == "ERR code=enable"
    bench.contact(True)
    bench.wait(1000, pet=False)
    assert bench.stat("a") == "0" and bench.say("FIRE token=1 in_us=0") == "ERR code=state"


def test_the_enable_input_ends_a_ramp_and_a_start_that_waits():
    bench = armed()
    bench.start()
    bench.wait(200)
    bench.start(in_us=50_000)
    bench.say("STOP how=ramp")
    bench.wait(10)
    bench.contact(False)
    bench.wait(1000, pet=False)
    assert zero_since(bench.record, T0) == T0 + 210 * MS


@given(st.lists(st.floats(0.001, 400), min_size=1, max_size=12), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_step_of_any_lateness_gives_the_same_record(steps_ms: list[float], script: int):
    def run(step_ms: float | None) -> list[object]:
        bench = armed(step_ms=step_ms)
        bench.start(TRAIN if script == 3 else HOLD, in_us=1234)
        bench.wait(170)
        if script == 1:
            bench.start(HOLD.replace("a=1000", "a=300"))
        if script == 2:
            bench.say("STOP how=ramp")
        bench.wait(2000, pet=script == 0)
        kept = [e for e in bench.kept if isinstance(e, Break | Pulse | LinkLost)]
        return [kept, bench.told]

    timely = run(None)
    for step_ms in steps_ms[:3]:
        assert run(max(step_ms, 0.7)) == timely


def test_renew_begins_the_lease_anew_and_moves_nothing():
    bench = armed()
    bench.start()
    bench.wait(50)
    assert bench.say("RENEW token=1") == "OK token=1 t_us=50000"
    bench.wait(480)
    assert bench.stat("a") == "1000"
    assert bench.say("RENEW token=1") == "OK token=1 t_us=530000"
    bench.wait(1000)
    record = bench.record
    assert amplitude_at(record, T0 + 75 * MS) == pytest.approx(0.75)  # the rise under way went on
    assert amplitude_at(record, T0 + 1030 * MS) == 1.0
    assert zero_since(record, T0) == T0 + 1130 * MS
    assert [(d.token, d.ended) for d in deliveries(record)] == [(1, True)]
    assert [out["end"] for out in bench.outs()] == [0] * (len(bench.outs()) - 1) + [1]


@pytest.mark.parametrize(("ms", "answer"), [(499.999, "OK"), (500, "ERR code=late"), (560, "ERR code=late")])
def test_renew_of_a_hold_that_falls_comes_too_late_and_changes_nothing(ms: float, answer: str):
    bench = armed()
    bench.start()
    bench.wait(ms)
    assert bench.say("RENEW token=1").startswith(answer)
    bench.wait(1000)
    end_ms = 600 if answer != "OK" else ms + 600
    assert zero_since(bench.record, T0) == T0 + round(end_ms * MS)


def test_renew_needs_a_hold_that_runs_under_that_token():
    bench = armed()
    assert bench.say("RENEW token=1") == "ERR code=token"  # nothing was ever fired
    bench.say(HOLD)
    assert bench.say("RENEW token=1") == "ERR code=token"  # prepared, not fired
    bench.say("FIRE token=1 in_us=200000")
    assert bench.say("RENEW token=1") == "ERR code=busy"  # it waits
    bench.wait(250)
    for bad in ("RENEW token=0", "RENEW token=-1", "RENEW token=2"):
        assert bench.say(bad) == "ERR code=token"
    for bad in ("RENEW", "RENEW token=1 in_us=0", "RENEW token=x"):
        assert bench.say(bad) == "ERR code=syntax"
    bench.start(HOLD.replace("a=1000", "a=500"))
    assert bench.say("RENEW token=1") == "ERR code=late"  # another took over
    bench.say("STOP how=ramp")
    assert bench.say("RENEW token=2") == "ERR code=state"
    bench.wait(200)
    assert bench.say("RENEW token=2") == "ERR code=state"
    bench.say("ARM")
    assert bench.say("RENEW token=2") == "ERR code=late"  # over
    bench.start(TRAIN)
    assert bench.say("RENEW token=3") == "ERR code=token"
    bench.contact(closed=False)
    assert bench.say("RENEW token=3") == "ERR code=enable"


def test_renew_of_a_device_that_broke_down_is_refused():
    bench = armed("fault_electrode:10")
    bench.start()
    bench.wait(20)
    assert bench.say("RENEW token=1") == "ERR code=fault"


def test_bursts_come_at_their_rate_and_pulses_at_theirs():
    bench = armed()
    bench.start(BURSTS)
    bench.wait(2_100)
    onset_ns = bench.record.pulses[0].t_ns
    at_ms = [(each.t_ns - onset_ns) / MS for each in bench.record.pulses]
    assert at_ms == [200 * burst + 20 * pulse for burst in range(10) for pulse in range(3)]
    assert {each.p_pct for each in bench.record.pulses} == {30.0}
    outs = bench.outs()
    assert sum(out["n"] for out in outs) == 30
    assert [out["end"] for out in outs] == [0] * (len(outs) - 1) + [1]
    assert outs[-1]["to_us"] - outs[0]["from_us"] == 1_840_001  # over with its last pulse


@pytest.mark.parametrize("ms", [0.5, 19.5, 20.5, 41.0, 150.0, 199.5, 1_830.0, 1_845.0])
@pytest.mark.parametrize("how", ["ramp", "cut"])
def test_a_stop_ends_bursts_between_any_two_pulses(ms: float, how: str):
    bench = armed()
    bench.start(BURSTS)
    bench.wait(ms)
    out = len(bench.record.pulses)
    assert bench.say(f"STOP how={how}") == "OK state=idle"
    bench.wait(3_000)
    assert len(bench.record.pulses) == out == sum(o["n"] for o in bench.outs())
    assert bench.outs()[-1]["end"] == 1
