"""Requests: permit or refuse, wait for the disk, then prepare; ids, onsets, and what a refusal names."""

from __future__ import annotations

import math

import msgspec
import pytest

from drivers.link import Prepare
from safety.events import Durable
from safety.messages import Pending, Permit, Refusal
from tests.safety.bench_device import MS
from tests.safety.strategies import NASTY, hold, valid_train
from tests.safety.world import World, rules_of
from tests.safety.worlds import armed, holding


@pytest.mark.parametrize("modality", ("tacs", "rtms"))
def test_a_request_waits_for_its_reservation_then_goes_out(modality: str):
    world = armed(modality)
    request = world.ask()
    assert isinstance(world.heard[-1], Pending)
    assert not world.calls(Prepare)
    world.run_ms(4)
    assert not world.calls(Prepare)
    world.run_ms(2)
    permit = world.last(Permit)
    assert permit.id == request
    assert world.calls(Prepare)[-1].call == permit.token
    assert permit.sent_ns == permit.written_ns == 0  # whoever carries it says when
    world.run_ms(30)
    assert world.state.running is not None
    assert world.state.running.id == request
    assert world.device.output > 0


def test_nothing_goes_out_that_is_not_durable():
    world = armed()
    world.disk_ns = None
    request = world.ask()
    world.run_ms(249)
    assert not world.calls(Prepare)
    assert world.state.asked is not None
    world.run_ms(12)
    assert world.codes(request) == {"ILK-311"}
    assert world.state.asked is None
    assert world.device.output == 0.0
    assert world.state.dose.granted.on_time_s > 0  # what was granted stays spent


def test_durability_of_an_earlier_entry_is_not_enough():
    world = armed()
    world.disk_ns = None
    world.ask()
    seq = world.state.entries
    world.take(Durable(seq=seq - 1))
    assert not world.calls(Prepare)
    world.take(Durable(seq=seq))
    assert len(world.calls(Prepare)) == 1


@pytest.mark.parametrize("response", [x for x in NASTY if not math.isfinite(x)])
def test_a_response_that_is_no_number(response: float):
    world = armed()
    assert world.codes(world.ask(response=response)) == {"ILK-313"}


@pytest.mark.parametrize("back", (0, 1, 100))
def test_an_id_must_rise(back: int):
    world = holding()
    bad = world.ids - back
    world.ask(id=bad)
    assert "ILK-312" in world.codes(bad)


def test_a_refused_id_may_be_used_again():
    world = armed()
    world.ask(hold(amplitude_ma_pp=3.0))
    assert world.codes(1) == {"ILK-101", "ILK-111"} or "ILK-101" in world.codes(1)
    world.ask(id=1)
    assert isinstance(world.heard[-1], Pending)


@pytest.mark.parametrize(
    ("ahead_ns", "refused"),
    [
        (0, False),
        (1, False),
        (1_000 * MS, False),
        (1_000 * MS + 1, True),
        (-1, True),
        (-(10**9), True),
        (10**18, True),
    ],
)
def test_the_onset_lies_within_a_second(ahead_ns: int, refused: bool):
    world = armed("rtms")
    codes = world.codes(world.ask(onset_at_ns=world.mono_ns + ahead_ns))
    assert codes == ({"ILK-310"} if refused else set())


@pytest.mark.parametrize("onset_at_ns", (-2, -(10**18), 1))
def test_an_onset_that_is_none(onset_at_ns: int):
    world = armed("rtms")
    assert world.codes(world.ask(onset_at_ns=onset_at_ns)) == {"ILK-310"}


def test_a_refusal_changes_no_state():
    world = armed()
    before = world.state
    world.ask(hold(amplitude_ma_pp=9.0))
    assert isinstance(world.heard[-1], Refusal)
    seen = world.state.response  # what it was asked for is noted, whatever became of it
    assert msgspec.structs.replace(world.state, entries=before.entries, response=before.response) == before
    assert seen.n == before.response.n + 1


def test_a_refusal_names_every_limit_that_refused():
    world = armed()
    train = hold(amplitude_ma_pp=2.5, frequency_hz=99.0, duration_ms=401, ramp_up_ms=10)
    request = world.ask(train, response=math.nan, evidence=world.evidence(clean_fraction=0.0))
    refusal = world.last(Refusal)
    quantities = {reason.quantity for reason in refusal.reasons}
    assert {"amplitude_ma_pp", "frequency_hz", "duration_ms", "ramp_up_ms", "slew_ma_per_s"} <= quantities
    assert {"ILK-101", "ILK-306", "ILK-313"} <= world.codes(request)


@pytest.mark.parametrize("modality", ("tacs", "rtms"))
def test_the_train_of_another_modality(modality: str):
    world = armed(modality)
    other = valid_train("rtms" if modality == "tacs" else "tacs")
    assert "ILK-106" in world.codes(world.ask(other))


def test_two_at_once():
    world = armed()
    first = world.ask(hold(amplitude_ma_pp=0.2))
    assert world.codes(world.ask(hold(amplitude_ma_pp=0.3))) == {"ILK-302"}
    world.run_ms(30)
    assert world.state.running is not None
    assert world.state.running.id == first


@pytest.mark.parametrize("modality", ("tacs", "rtms"))
def test_the_lease_of_a_permit_is_bounded(modality: str):
    world = armed(modality)
    for onset in (0, world.mono_ns + 1_000 * MS):
        world.ask(onset_at_ns=onset)
        world.run_ms(8)
        permit = world.last(Permit)
        most_ns = 500 * MS if modality == "tacs" else 10_000 * MS
        assert permit.lease_until_ns <= max(onset, permit.read_ns) + most_ns


def test_a_refusal_of_the_budget_names_it():
    world = World(rules_of(budgets={"charge_c": 1e-4})).armed()
    request = world.ask()
    reason = world.last(Refusal).reasons[0]
    assert world.codes(request) == {"ILK-308"}
    assert (reason.quantity, reason.limit, reason.set_by) == ("charge_c", 1e-4, "session budget")
    assert reason.value > reason.limit
    over = f"{reason.value - 1e-4:.10g} too many"
    assert (
        reason.text
        == f"a budget would be exceeded: charge_c {reason.value:.10g} of 0.0001 C a session, {over}"
    )
