"""What a session writes into the store: a reservation before each output, and at the end what it came to."""

from __future__ import annotations

import msgspec
import pytest

from drivers.stimulation import Modality
from safety.dose import Dose
from safety.earlier import LAST_OUT_NS, sessions_of
from safety.entries import reserved_words, written
from safety.events import Durable, EndAsked
from safety.exposures import NOTHING, minus, plus, spent_of
from safety.history import Stamp
from safety.messages import End, Pending, Permit
from safety.modalities import Exposure
from safety.state import ToStore
from safety.store_records import Record, Reserved, Settled
from safety.storing import settlement
from tests.safety.bench_device import MS
from tests.safety.histories import BOOT
from tests.safety.strategies import hold, pulses
from tests.safety.world import SESSION, T0, World, rules_of


def stored(world: World) -> list[Record]:
    return [effect.record for effect in world.effects if isinstance(effect, ToStore)]


def over(world: World) -> World:
    """Ended in order, and told to end the process."""
    world.take(EndAsked(end=End(reason="over")))
    return world.run_ms(500)


@pytest.mark.parametrize("modality", ["tacs", "rtms"])
def test_a_reservation_is_written_with_the_request_and_no_permit_comes_before_it_is_durable(
    modality: Modality,
):
    world = World(rules_of(modality)).armed()
    world.disk_ns = None
    world.ask()
    (record,) = stored(world)
    assert record == Reserved(
        stamp=Stamp(boot_id=BOOT, boot_ns=world.now.boot_ns, wall_ns=world.now.wall_ns),
        session_id=SESSION,
        nonce="nonce",
        modality=modality,
        total=plus(world.state.dose.reserved, world.state.dose.coming),
    )
    assert isinstance(world.heard[-1], Pending)
    assert not [m for m in world.heard if isinstance(m, Permit)]
    entry = world.entries[-1]
    assert entry.effects[0] == written(ToStore(record=record))
    total = record.total
    told = f"{total.n_pulses} pulses" if modality == "rtms" else f"{total.charge_c!r} C"
    assert entry.effects[0] == f"store reserved {total.on_time_s!r} s, {told}"
    world.take(Durable(seq=world.state.entries - 1))
    assert not [m for m in world.heard if isinstance(m, Permit)]
    world.take(Durable(seq=world.state.entries))
    assert [m.id for m in world.heard if isinstance(m, Permit)] == [world.ids]


def test_every_quantity_that_is_reserved_is_told_with_its_unit():
    total = Exposure(**{name: n for n, name in enumerate(Exposure.__struct_fields__, start=1)})
    assert reserved_words(total) == "1 s, 2 C, 3 pulses, 4 min in brain, 5 min in bone, 6 min in skin"
    assert reserved_words(NOTHING) == ""


def test_a_reservation_is_told_by_its_whole_number():
    total = msgspec.structs.replace(NOTHING, on_time_s=0.1 + 0.2, n_pulses=3)
    assert reserved_words(total) == "0.30000000000000004 s, 3 pulses"


def test_each_total_is_no_less_than_what_was_granted_and_never_falls():
    world = World(rules_of()).armed()
    world.ask(hold(amplitude_ma_pp=0.4, ramp_up_ms=400))
    world.run_ms(200)
    for _ in range(40):
        world.ask(hold(amplitude_ma_pp=0.4, ramp_up_ms=400))
        world.run_ms(200)
        last = stored(world)[-1]
        assert isinstance(last, Reserved)
        assert minus(world.state.dose.granted, last.total) == NOTHING
    totals = [each.total.on_time_s for each in stored(world) if isinstance(each, Reserved)]
    assert len(totals) > 2 and totals == sorted(totals)


def test_a_minute_after_the_last_reservation_it_is_renewed_though_enough_is_left():
    world = World(rules_of("rtms")).armed()
    world.ask(pulses(n_pulses=5))
    world.run_ms(61_000)
    (reservation,) = stored(world)
    world.ask(pulses(n_pulses=5))
    assert len(stored(world)) == 2
    world.run_ms(100)
    at_ns = world.now.wall_ns
    assert isinstance(reservation, Reserved)
    (past,) = sessions_of(tuple(stored(world)))
    assert past.last_wall_ns >= at_ns  # had it crashed now: its last output is behind that
    assert past.last_wall_ns <= at_ns + LAST_OUT_NS


def test_a_session_that_ends_in_order_is_settled_by_what_was_permitted():
    world = World(rules_of()).armed()
    world.ask(hold(amplitude_ma_pp=0.4, ramp_up_ms=400))
    asked_ns = world.now.wall_ns
    world.run_ms(2_000)
    over(world)
    dose, settled = world.state.dose, stored(world)[-1]
    assert isinstance(settled, Settled)
    assert settled.confirmed == dose.confirmed
    assert settled.outstanding == minus(dose.granted, dose.confirmed)
    (past,) = sessions_of(tuple(stored(world)))
    assert minus(dose.granted, past.spent) == NOTHING
    assert past.first_wall_ns == asked_ns
    assert (
        past.last_wall_ns == asked_ns + (400 + 100 + 250 + 200 + 100) * MS
    )  # lease, ramp, and all that it may wait
    device = world.device
    assert past.spent.on_time_s >= device.on_time_ns / 1e9 and past.spent.charge_c >= device.charge_c - 1e-12
    assert past.spent.on_time_s < 1.0  # and not the block of five seconds
    assert [type(each).__name__ for each in stored(world)] == ["Reserved", "Settled"]


def test_a_session_without_output_writes_nothing():
    assert stored(over(World(rules_of()).armed())) == []
    assert settlement(rules_of(), Dose(), T0) == ()
    waiting = Dose(coming_after=3)
    assert len(settlement(rules_of(), waiting, T0)) == len(settlement(rules_of(), Dose(marked_ns=1), T0)) == 1


def test_a_step_down_to_nothing_reserves_nothing():
    world = World(rules_of()).armed()
    world.ask(hold(amplitude_ma_pp=0.4, ramp_up_ms=400))
    world.run_ms(300)
    before = len(stored(world))
    world.disk_ns = None
    world.ask(hold(amplitude_ma_pp=0.0, ramp_up_ms=400))
    assert len(stored(world)) == before
    assert isinstance(world.heard[-1], Permit)


def test_a_budget_that_is_nearly_used_up_reserves_no_more_than_is_needed():
    world = World(rules_of(budgets={"on_time_s": 2.6})).armed()
    for _ in range(20):
        world.ask(hold(amplitude_ma_pp=0.4, ramp_up_ms=400))
        world.run_ms(200)
    for each in stored(world):
        assert isinstance(each, Reserved) and spent_of(each.total, "on_time_s") <= 2.6
    assert "ILK-308" in world.codes(world.ids) or world.codes(world.ids) == {"ILK-305"}


def test_the_store_keeps_what_the_state_says_word_for_word():
    world = World(rules_of()).armed()
    world.ask()
    (record,) = stored(world)
    line = msgspec.json.encode(record)
    assert msgspec.json.decode(line, type=Record) == record
