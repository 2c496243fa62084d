"""What is judged a second time, and what is told of room: evidence that ages in a queue, intervals of two trains, leases."""

from __future__ import annotations

import msgspec
import pytest

from drivers.link import Fire, Prepare
from safety.events import Asked, Gone
from safety.judging import judge_again
from safety.messages import Allowed, Permit
from tests.safety.bench_device import MS
from tests.safety.strategies import hold, pulses
from tests.safety.world import World, rules_of, tripped
from tests.safety.worlds import armed, armed_rtms, holding

SLOW_DISK_NS = 100 * MS


def waiting() -> tuple[World, int]:
    """A first request, which waits for its reservation on a slow disk."""
    world = armed()
    world.disk_ns = SLOW_DISK_NS
    asked = world.ask()
    assert not world.calls(Prepare)
    return world, asked


def test_what_waited_for_the_disk_is_permitted_when_nothing_has_changed():
    world, _ = waiting()
    world.run_ms(150)
    assert world.permits()
    assert world.calls(Fire)


def test_clean_fraction_that_fell_while_waiting_refuses():
    world, asked = waiting()
    world.clean_fraction = 0.1
    world.run_ms(150)
    assert world.codes(asked) == {"ILK-306"}
    assert not world.permits()
    assert not world.calls(Prepare)


def test_of_what_waited_a_step_down_needs_no_evidence_and_all_else_does():
    world = holding(hold(amplitude_ma_pp=0.4, ramp_up_ms=400), ms=100)
    strange = world.evidence(stream_uid="another")
    for high, codes in ((0.0, []), (0.39, []), (0.4, ["ILK-306"]), (0.41, ["ILK-306"])):
        request = world.request(hold(amplitude_ma_pp=high, ramp_up_ms=400), evidence=strange)
        assert [each.code for each in judge_again(world.rules, world.state, request, world.now)] == codes


def test_what_waited_is_refused_where_no_device_is_known():
    world, _ = waiting()
    waits = world.state.asked
    assert waits is not None
    assert judge_again(world.rules, world.state, waits.request, world.now) == ()
    blind = msgspec.structs.replace(world.state, capabilities=None)
    assert [each.code for each in judge_again(world.rules, blind, waits.request, world.now)] == ["ILK-301"]


def test_what_waited_is_held_to_its_start_once_more():
    world, _ = waiting()
    waits = world.state.asked
    assert waits is not None
    for onset_ns in (0, world.mono_ns + 50 * MS):
        request = msgspec.structs.replace(waits.request, onset_at_ns=onset_ns)
        start_ns = onset_ns or world.mono_ns
        for not_before_ns, codes in ((start_ns, []), (start_ns + 1, ["ILK-305"])):
            state = msgspec.structs.replace(world.state, not_before_ns=not_before_ns)
            found = judge_again(world.rules, state, request, world.now)
            assert [each.code for each in found] == codes


def test_evidence_that_aged_while_waiting_refuses():
    world, asked = armed(), 0
    world.disk_ns = SLOW_DISK_NS
    limit_ms = world.rules.limits.watch.data_age_ms
    world.data_age_ns = (limit_ms - 50) * MS
    asked = world.ask()
    world.data_age_ns = 10 * MS
    world.run_ms(150)
    assert world.codes(asked) == {"ILK-306"}
    assert not world.calls(Prepare)


def test_an_impedance_that_rose_while_waiting_refuses():
    world, asked = waiting()
    world.state = msgspec.structs.replace(
        world.state, watch=msgspec.structs.replace(world.state.watch, impedance_kohm=25.0)
    )
    world.device.impedance_kohm = 25.0
    world.run_ms(150)
    assert "ILK-112" in world.codes(asked)
    assert not world.calls(Prepare)


def test_the_interval_is_the_greater_of_the_two_trains():
    """A strong train waits its own 26 s after a weak one, which alone would ask for less (Rossi 2009, table 5)."""
    world = armed_rtms()
    weak, strong = pulses(amplitude_pct_mso=40.0, n_pulses=10), pulses(amplitude_pct_mso=60.0, n_pulses=5)
    before, after = (world.state.not_before_ns, 0)
    world.ask(weak)
    world.run_ms(1500)
    after = world.state.not_before_ns
    assert after > before
    world.run_ms((after - world.mono_ns) / MS + 10)
    refused = world.ask(strong)
    codes = world.codes(refused)
    assert "ILK-304" in codes or "ILK-101" in codes
    allowed = world.ask(weak)
    assert not world.codes(allowed)


def test_a_hold_that_starts_later_has_a_shorter_lease():
    world = armed()
    late_ns = 200 * MS
    for duration_ms, fits in ((300, True), (301, False), (400, False)):
        asked = world.request(hold(duration_ms=duration_ms), onset_at_ns=world.mono_ns + late_ns)
        world.take(Asked(request=asked))
        assert (world.codes(asked.id) == set()) == fits, duration_ms
        world.run_ms(600)


def test_room_is_not_told_from_the_gap_between_two_holds():
    """The last slice of a hold may come before the answer to the fire that takes over from it."""
    world = holding(hold(amplitude_ma_pp=0.5, ramp_up_ms=1000), ms=350)
    level = world.last(Allowed).amplitude_now if world.permits() else 0.0
    world.heard.clear()
    world.ask(hold(amplitude_ma_pp=0.5, ramp_up_ms=1000))
    world.run_ms(60)
    told = [message.allowed for message in world.heard if hasattr(message, "allowed")]
    assert told
    assert all(allowed.amplitude_now == pytest.approx(0.5) for allowed in told), level


def test_a_trip_stands_in_the_ledger_though_nobody_was_there_to_be_told():
    world = holding()
    world.take(Gone(why="test"))
    assert tripped(world) == "ILK-202"
    assert any(effect.startswith("trip ILK-202") for effect in world.entries[-1].effects)


def test_a_step_down_to_nothing_is_never_a_matter_of_budget():
    world = World(rules_of(budgets={"on_time_s": 2.0})).armed()
    train = hold(amplitude_ma_pp=0.5, ramp_up_ms=1000)
    refused = 0
    for _ in range(40):
        asked = world.ask(train)
        world.run_ms(20)
        if "ILK-308" in world.codes(asked):
            refused = asked
            break
        world.run_ms(180)
    assert refused
    nothing = world.ask(hold(amplitude_ma_pp=0.0, ramp_up_ms=1000))
    world.run_ms(20)
    assert not world.codes(nothing)
    assert world.last(Permit).id == nothing
