"""How long a request waits in each stage, to the nanosecond, and what is sent and told of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from drivers.link import Prepare
from drivers.stimulation import duration_ns
from safety import dose as doses
from safety.messages import Pending, Permit, Refusal
from safety.requests import _highest as highest
from safety.requests import _over as over
from safety.requests import _wait_ns as wait_ns
from safety.requests import durable, overdue_stage
from safety.safing import Step
from safety.state import AskedFor, Firing, State
from safety.windows import Exceeded
from tests.safety.bench_device import MS
from tests.safety.strategies import hold, pulses
from tests.safety.world import World, bend_rules, rules_of
from tests.safety.worlds import armed, armed_rtms, holding, in_hand

HOST_NS = 100 * MS  # as the limits of the tests have it


def asked(world: World) -> AskedFor:
    assert world.state.asked is not None
    return world.state.asked


def waiting(world: World, stage: str, waited_ns: int) -> State:
    since_ns = world.mono_ns - waited_ns
    return msgspec.structs.replace(
        world.state, asked=msgspec.structs.replace(asked(world), stage=stage, since_ns=since_ns)
    )


def messages(step: Step) -> list[Any]:
    return [each.message for each in step.effects if hasattr(each, "message")]


@pytest.mark.parametrize(
    ("stage", "most_ns"), [("preparing", HOST_NS), ("durable", 250 * MS), ("ready", 2_000 * MS)]
)
def test_how_long_each_stage_lasts(stage: str, most_ns: int):
    world = in_hand(hold(0.5))
    assert overdue_stage(world.rules, waiting(world, stage, most_ns), world.now) is None
    late = waiting(world, stage, most_ns + 1)
    step = overdue_stage(world.rules, late, world.now)
    assert step is not None and step.state.asked is None
    if stage == "preparing":
        assert (step.state.trip, "prepare was not answered" in step.state.trip_text) == ("ILK-211", True)
    elif stage == "durable":
        (refusal,) = messages(step)
        assert isinstance(refusal, Refusal) and [r.code for r in refusal.reasons] == ["ILK-311"]
        assert refusal.id == asked(world).request.id
    else:
        assert step == Step(msgspec.structs.replace(late, asked=None))


def test_only_what_is_prepared_is_forgotten():
    world = in_hand(hold(0.5))
    watch = msgspec.structs.replace(world.rules.limits.watch, host_ms=3_000)
    patient = bend_rules(world.rules, watch=watch)
    for waited_ns, trip in ((2_000 * MS + 1, None), (3_000 * MS, None), (3_000 * MS + 1, "ILK-211")):
        step = overdue_stage(patient, waiting(world, "preparing", waited_ns), world.now)
        assert (step and step.state.trip) == trip


@pytest.mark.parametrize("ahead_ns", (0, 500 * MS))
def test_how_long_a_fire_may_be_unanswered(ahead_ns: int):
    world = in_hand(hold(0.5), prepared=True)
    assert world.state.firing is not None
    onset_ns = world.mono_ns + ahead_ns
    firing: Firing = msgspec.structs.replace(
        world.state.firing, since_ns=world.mono_ns, onset_at_ns=onset_ns if ahead_ns else 0
    )
    state = msgspec.structs.replace(world.state, firing=firing)
    for after_ns, late in ((HOST_NS, False), (HOST_NS + 1, True)):
        now = msgspec.structs.replace(world.now, mono_ns=onset_ns + after_ns)
        step = overdue_stage(world.rules, state, now)
        assert (step is not None) is late
        assert step is None or (step.state.trip, "fire was not answered" in step.state.trip_text) == (
            "ILK-211",
            True,
        )
    assert overdue_stage(world.rules, msgspec.structs.replace(state, firing=None), world.now) is None


def test_how_much_later_a_train_may_start_than_it_was_asked():
    rules = rules_of()
    at_once = msgspec.structs.replace(World(rules).request(hold(0.5)), onset_at_ns=0)
    assert wait_ns(rules, at_once) == (250 + 2 * 100 + 2 * 50) * MS
    held = msgspec.structs.replace(at_once, onset_at_ns=-1)
    assert wait_ns(rules, held) == (250 + 2 * 100 + 2 * 50 + 2_000 + 1_000) * MS
    ahead = msgspec.structs.replace(at_once, onset_at_ns=10**15)
    assert wait_ns(rules, ahead) == wait_ns(rules, at_once)


def test_the_highest_amplitude_is_that_of_the_rows():
    world = armed()
    (row,) = (each for each in world.state.rows if each.quantity.startswith("amplitude_"))
    assert highest(world.state) == row.high == 2.0
    assert highest(msgspec.structs.replace(world.state, rows=())) == 0.0


@pytest.mark.parametrize(("scope", "words"), [("24h", "in 24h"), ("7d", "in 7d"), ("session", "a session")])
def test_a_budget_that_refuses_is_told_with_its_scope_and_by_how_much(scope: str, words: str):
    budget = rules_of().limits.budgets[0]
    bent = msgspec.structs.replace(budget, scope=scope, name="on_time_s", high=10.0, unit="s")
    (found,) = over((Exceeded(budget=bent, total=12.5),))
    assert found.text.endswith(f"on_time_s 12.5 of 10 s {words}, 2.5 too many")
    assert (found.code, found.value, found.limit, found.set_by) == ("ILK-308", 12.5, 10.0, f"{scope} budget")
    counts = {"n_sessions": "ILK-317", "n_days": "ILK-318", "n_pulses": "ILK-308"}
    for name, code in counts.items():
        assert over((Exceeded(budget=msgspec.structs.replace(bent, name=name), total=1.0),))[0].code == code


def test_what_waits_for_the_disk_goes_on_when_its_entry_is_down():
    world = armed()
    world.disk_ns = None
    request = world.ask(hold(0.5))
    waits = asked(world)
    assert (waits.stage, waits.since_ns) == ("durable", world.mono_ns)
    assert (waits.call, waits.token) == (0, 0)  # no call yet, and nothing of the device's
    assert world.last(Pending).id == request and not world.calls(Prepare)
    for down, goes_on in ((waits.after - 1, False), (waits.after, True), (waits.after + 1, True)):
        watch = msgspec.structs.replace(world.state.watch, durable=down)
        state = msgspec.structs.replace(world.state, watch=watch)
        step = durable(world.rules, state, world.now)
        assert (step != Step(state)) is goes_on
        if goes_on:
            assert step.state.asked is not None and step.state.asked.stage == "preparing"
            assert step.state.dose == doses.settle(state.dose, down)
            prepare, permit = messages(step)
            assert (prepare.call, prepare.train) == (state.call + 1, hold(0.5))
            assert isinstance(permit, Permit) and permit.token == state.call + 1
            assert permit.lease_until_ns == world.mono_ns + duration_ns(hold(0.5))
        other = msgspec.structs.replace(state, asked=msgspec.structs.replace(waits, stage="ready"))
        assert durable(world.rules, other, world.now) == Step(other)
        none = msgspec.structs.replace(state, asked=None)
        assert durable(world.rules, none, world.now) == Step(none)


def test_what_turned_bad_while_it_waited_is_dropped():
    world = armed()
    world.disk_ns = None
    request = world.ask(hold(0.5))
    watch = msgspec.structs.replace(world.state.watch, durable=asked(world).after, impedance_kohm=None)
    state = msgspec.structs.replace(world.state, watch=watch)
    step = durable(world.rules, state, world.now)
    assert step.state.asked is None
    (refusal,) = messages(step)
    assert isinstance(refusal, Refusal) and refusal.id == request


@pytest.mark.parametrize("ahead_ns", (0, 300 * MS))
def test_a_permit_lasts_from_the_onset(ahead_ns: int):
    world = armed_rtms()
    onset_ns = world.mono_ns + ahead_ns if ahead_ns else 0
    world.ask(pulses(), onset_at_ns=onset_ns)
    world.run_ms(6)
    permit = world.last(Permit)
    assert permit.lease_until_ns == (onset_ns or permit.read_ns) + duration_ns(pulses())


def test_a_step_down_overtakes_what_waits():
    world = holding(hold(0.5))
    world.disk_ns = None
    first = world.ask(hold(0.6))
    before = world.state.asked
    down = world.ask(hold(0.3))
    assert asked(world).request.id == down
    assert before is None or world.codes(first) == {"ILK-302"}
    assert world.state.last_id == down and world.state.passed == hold(0.3)
