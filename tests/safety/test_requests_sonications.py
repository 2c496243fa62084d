"""A sonication on its way: a train of pulses that ends by itself, counted, with its thermal dose against the budgets."""

from __future__ import annotations

import msgspec
import pytest

from drivers.link import Delivered, Fire, Prepare
from drivers.stimulation import Delivery, with_amplitude
from safety import trips
from safety.messages import Refusal
from safety.modalities import exposure, heat
from safety.oracle_ledger import judge
from tests.safety.bench_device import MS
from tests.safety.examples.tus import sonication
from tests.safety.histories import MADE_WALL_NS, history_with, past
from tests.safety.strategies import limits_of
from tests.safety.test_oracle_ledger import ledger_of
from tests.safety.world import World, rules_of
from tests.safety.worlds import armed

S_NS = 1_000_000_000


def sonicated() -> World:
    """One sonication of two trains of five pulses, over."""
    world = armed("tus")
    world.ask(sonication())
    return world.run_ms(4_300)


def refusal(world: World, request_id: int) -> Refusal:
    return next(each for each in world.heard if isinstance(each, Refusal) and each.id == request_id)


def test_a_sonication_is_fired_once_counted_and_over_by_itself():
    world = sonicated()
    assert world.device.n_pulses == 10 and world.device.going is None
    assert len(world.calls(Prepare)) == len(world.calls(Fire)) == 1
    before = world.state.before
    assert before is not None and before.pulses == 10 and before.ended and world.state.running is None
    assert before.until_ns - before.onset_ns == 4 * S_NS == before.zero_ns - before.onset_ns
    assert world.state.phase == "ARMED"
    assert judge(ledger_of(world)).objections == ()


def test_what_it_spends_is_reserved_before_and_confirmed_after():
    world = sonicated()
    train, limits = sonication(), limits_of("tus")
    warm, spent = heat(train, 4 * S_NS, 0.74, limits), exposure(train, 4 * S_NS, 0.74)
    dose = world.state.dose
    for each in (dose.reserved, dose.granted):
        assert each == msgspec.structs.replace(warm, on_time_s=spent.on_time_s, n_pulses=10)
    assert dose.confirmed.n_pulses == 10
    assert dose.confirmed.cem43_bone_min == pytest.approx(warm.cem43_bone_min, rel=0.03)
    assert dose.confirmed.cem43_brain_min > 0 and dose.confirmed.cem43_skin_min > 0


def test_no_second_one_while_one_runs_and_none_before_the_interval():
    world = armed("tus")
    world.ask(sonication())
    world.run_ms(1_500)  # between two of its trains nothing comes out, and it runs all the same
    for train in (sonication(), sonication(0.1), with_amplitude(sonication(), 0.0)):
        assert world.codes(world.ask(train)) == {"ILK-303"}
    world.run_ms(2_700)
    assert world.codes(world.ask(sonication())) == {"ILK-304"}
    ended_ns = world.state.train_end_ns
    assert world.state.not_before_ns == ended_ns + 2 * S_NS
    world.run_ms((world.state.not_before_ns - world.mono_ns) / MS + 1)
    assert world.codes(world.ask(sonication())) == set()


@pytest.mark.parametrize("budget", ["cem43_brain_min", "cem43_bone_min", "cem43_skin_min"])
def test_a_dose_that_is_spent_refuses(budget: str):
    """The budget holds two sonications and no third."""
    dose = getattr(heat(sonication(), 4 * S_NS, 0.74, limits_of("tus")), budget)
    world = World(rules_of("tus", budgets={budget: 2.5 * dose})).armed()
    for _ in range(2):
        assert world.codes(world.ask(sonication())) == set()
        world.run_ms(6_500)
    request = world.ask(sonication())
    assert world.codes(request) == {"ILK-308"}
    (refused,) = (r for r in refusal(world, request).reasons if r.code == "ILK-308")
    assert refused.quantity == budget and refused.limit == pytest.approx(2.5 * dose)
    assert refused.value == pytest.approx(3 * dose)
    assert judge(ledger_of(world)).objections == ()


@pytest.mark.parametrize(
    ("bent", "code"),
    [
        ({"n_pulses": 11}, trips.OVER_DELIVERY),
        ({"amplitude": 0.75}, trips.OVER_DELIVERY),
        ({"end_ns": 1_000}, trips.OVER_DELIVERY),
        ({"n_pulses": -1}, trips.OVER_DELIVERY),
    ],
)
def test_more_than_was_permitted_trips(bent: dict[str, float], code: object):
    world = armed("tus")
    world.ask(sonication())
    world.run_ms(60)
    running = world.state.running
    assert running is not None
    told = Delivery(
        token=running.token, start_ns=running.onset_ns, end_ns=world.mono_ns, amplitude=0.74, n_pulses=1,
        ended=False, confirmed=True,
    )  # fmt: skip
    world.host_says(Delivered(delivery=msgspec.structs.replace(told, **bent)))
    assert world.state.phase == "TRIPPED"
    assert world.state.trip == code.code  # type: ignore[attr-defined]


def test_stop_cuts_a_sonication():
    world = armed("tus")
    world.ask(sonication())
    world.run_ms(900)
    world.stop()
    world.run_ms(20)
    assert world.device.going is None and world.device.n_pulses < 10


def test_the_dose_of_a_day_is_that_of_all_its_sessions():
    """Bone had all but half a sonication of its 16 min in a session of this morning: no file can say more."""
    dose = heat(sonication(), 4 * S_NS, 0.74, limits_of("tus"))
    rules = rules_of("tus")
    for spent, codes in (
        (16.0 - 1.001 * dose.cem43_bone_min, set()),
        (16.0 - 0.5 * dose.cem43_bone_min, {"ILK-308"}),
    ):
        earlier = past(MADE_WALL_NS, "tus", on_time_s=600.0)
        warm = msgspec.structs.replace(earlier.spent, cem43_bone_min=spent)
        at = World(rules).armed().now.wall_ns - 6 * 3600 * S_NS
        earlier = msgspec.structs.replace(earlier, spent=warm, first_wall_ns=at - S_NS, last_wall_ns=at)
        world = World(msgspec.structs.replace(rules, history=history_with(earlier))).armed()
        request = world.ask(sonication())
        assert world.codes(request) == codes
        if codes:
            assert [(r.quantity, r.limit) for r in refusal(world, request).reasons] == [
                ("cem43_bone_min", 16.0)
            ]
        world.run_ms(100)
        assert judge(ledger_of(world)).objections == ()
