"""A prepared train waits for its fire request: its instant, its evidence, once, and not for ever."""

from __future__ import annotations

import msgspec
import pytest

from drivers.link import Fire
from safety.messages import Permit
from safety.state import Stopping
from tests.safety.bench_device import MS
from tests.safety.strategies import hold
from tests.safety.worlds import armed, prepared_only


def test_a_prepared_train_is_fired_at_its_instant():
    world, request = prepared_only()
    onset_ns = world.mono_ns + 30 * MS
    world.fire(request, onset_ns)
    assert world.calls(Fire)[-1].onset_at_ns == onset_ns
    assert world.last(Permit).lease_until_ns == onset_ns + 4_000 * MS
    assert world.last(Permit).sent_ns == 0
    world.run_ms(60)
    assert world.device.n_pulses == 1
    world.fire(request)
    assert world.codes(request) == {"ILK-309"}


def test_nothing_is_fired_while_a_stop_is_on_its_way():
    world, request = prepared_only()
    stopping = Stopping(call=99, how="ramp", deadline_ns=world.mono_ns + 10**9)
    world.state = msgspec.structs.replace(world.state, stopping=stopping)
    world.checks = False  # a state that no event leads to
    world.fire(request)
    assert world.codes(request) == {"ILK-301"}
    assert not world.calls(Fire)


@pytest.mark.parametrize(("ahead_ms", "codes"), [(100, set()), (101, {"ILK-310"})])
def test_the_lease_of_a_hold_that_was_prepared_runs_from_its_fire(ahead_ms: int, codes: set[str]):
    world = armed()
    request = world.ask(hold(0.4, duration_ms=400), onset_at_ns=-1)
    world.run_ms(50)
    world.fire(request, world.mono_ns + ahead_ms * MS)
    assert world.codes(request) == codes


def test_what_must_not_begin_yet_is_not_fired_and_every_reason_is_told():
    world, request = prepared_only()
    world.state = msgspec.structs.replace(world.state, not_before_ns=world.mono_ns + 10**9)
    world.checks = False
    world.fire(request, 0, clean_fraction=0.5)
    assert world.codes(request) == {"ILK-304", "ILK-306"}
    assert not world.calls(Fire)


@pytest.mark.parametrize("other", (0, 2, -1, 10**30))
def test_another_id_is_not_fired(other: int):
    world, _ = prepared_only()
    world.fire(other)
    assert world.codes(other) == {"ILK-309"}
    assert not world.calls(Fire)


@pytest.mark.parametrize("ahead_ns", (-1, 1_000 * MS + 1, 10**18))
def test_a_fire_at_another_time_is_refused(ahead_ns: int):
    world, request = prepared_only()
    world.fire(request, world.mono_ns + ahead_ns)
    assert world.codes(request) == {"ILK-310"}
    assert not world.calls(Fire)


@pytest.mark.parametrize(
    "bent",
    [{"clean_fraction": 0.5}, {"newest_ns": 0}, {"stream_uid": "x"}],
    ids=lambda bent: next(iter(bent)),
)
def test_a_fire_on_bad_evidence_is_refused(bent: dict[str, object]):
    world, request = prepared_only()
    world.fire(request, 0, **bent)
    assert world.codes(request) == {"ILK-306"}
    assert not world.calls(Fire)


@pytest.mark.parametrize("kohm", (20.1, None), ids=("open", "not measured"))
def test_a_contact_that_came_loose_since_it_was_prepared(kohm: float | None):
    """It waits up to two seconds for its instant: the facts are those of that instant."""
    world = armed()
    request = world.ask(hold(amplitude_ma_pp=0.4), onset_at_ns=-1)
    world.run_ms(50)
    world.device.impedance_kohm = kohm
    world.run_ms(100)
    world.fire(request)
    assert world.codes(request) == {"ILK-112" if kohm else "ILK-105"}
    assert not world.calls(Fire)


def test_a_prepared_train_that_nobody_fires_is_forgotten():
    world, request = prepared_only()
    assert world.codes(world.ask()) == {"ILK-302"}
    world.run_ms(2_020)
    world.fire(request)
    assert world.codes(request) == {"ILK-309"}
    assert world.codes(world.ask()) == set()


def test_a_request_with_an_onset_is_not_fired_by_another_message():
    world = armed("rtms")
    request = world.ask(onset_at_ns=world.mono_ns + 500 * MS)
    world.run_ms(20)
    world.fire(request)
    assert world.codes(request) == {"ILK-309"}


def test_a_deferred_hold_counts_whole_and_starts_from_zero():
    """A hold may wait for its FireRequest only when nothing runs: it can borrow neither level nor time."""
    world, request = prepared_only("tacs", train=hold(amplitude_ma_pp=0.4, ramp_up_ms=400))
    assert world.state.dose.granted.on_time_s == pytest.approx(0.5)
    world.fire(request)
    world.run_ms(600)
    assert world.device.on_time_ns / 1e9 <= world.state.dose.granted.on_time_s
    assert world.device.rise_ma_per_s <= 1.001
