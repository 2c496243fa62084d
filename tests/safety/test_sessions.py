"""Sessions of every modality through the whole core, and the second hand's account of each: nothing knows only one."""

from __future__ import annotations

import math
import random

import pytest

from drivers.stimulation import (
    Hold,
    Modality,
    Train,
    amplitude,
    amplitude_quantity,
    duration_ns,
    with_amplitude,
)
from safety.entries import Genesis
from safety.messages import DeliveryReport
from safety.modalities import in_segments, interval_after_ns, rows
from safety.oracle_carriers import charge_c
from safety.oracle_ledger import Oracle
from tests.safety.bench_device import MS
from tests.safety.examples import EXAMPLES
from tests.safety.strategies import MODALITIES, caps_of, valid_train
from tests.safety.test_oracle_ledger import ledger_of
from tests.safety.world import World, rules_of

HELD = [modality for modality in MODALITIES if isinstance(valid_train(modality).waveform, Hold)]
WHOLE = [modality for modality in MODALITIES if modality not in HELD]


def judged(world: World) -> Oracle:
    """The second hand's account; it must have nothing against any permit."""
    genesis, *entries = ledger_of(world)
    assert isinstance(genesis, Genesis)
    oracle = Oracle(rules=genesis.rules)
    said = [text for line in entries for text in oracle.take(line)]  # type: ignore[arg-type]
    assert (said, oracle.strays) == ([], [])
    assert oracle.permits == len(world.permits())
    assert oracle.account.on_ns >= world.device.on_time_ns
    assert float(charge_c(oracle.account.ma_ns)) >= world.device.charge_c * (1 - 1e-9)
    assert oracle.account.pulses == world.device.n_pulses
    return oracle


def on_step(modality: Modality, name: str, value: float) -> float:
    step = caps_of(modality).envelopes[name].step
    return round(math.floor(value / step + 1e-9) * step, 9) if step > 0 else value


def rising(world: World, share: float, ramp_more_ms: int) -> Train:
    """A hold to a share of the example's amplitude, as steep as the limits let it rise, or a little steeper."""
    modality, valid = world.modality, valid_train(world.modality)
    name = amplitude_quantity(valid)
    target = on_step(modality, name, amplitude(valid) * share)
    limits = {row.quantity: row for row in rows(world.rules.limits, caps_of(modality))}
    slew = next(row.high for quantity, row in limits.items() if quantity.startswith("slew_"))
    steepest_ms = math.ceil(abs(target - world.device.line.at(world.mono_ns)) / slew * 1000)
    ramp_ms = max(int(limits["ramp_up_ms"].low), steepest_ms + ramp_more_ms)
    return EXAMPLES[modality].train(**{name: target, "ramp_up_ms": ramp_ms})


@pytest.mark.parametrize("modality", HELD)
@pytest.mark.parametrize("seed", range(3))
def test_a_hasty_policy_holds_its_current_and_the_second_hand_agrees(modality: Modality, seed: int):
    rng = random.Random(seed)
    world = World(rules=rules_of(modality)).armed()
    for _ in range(12):
        world.ask(rising(world, rng.choice([1.0, 0.5, 0.3, 0.8, 1.2, 0.0]), rng.choice([-1, 0, 1, 2, 5])))
        world.run_ms(rng.choice([50, 100, 200, 250, 300, 350]) + rng.choice([0] * 9 + [1600]))
    world.run_ms(700)
    assert len(world.permits()) >= 3
    assert world.device.on_time_ns > 0
    judged(world)


@pytest.mark.parametrize("modality", HELD)
def test_a_budget_ends_the_holds(modality: Modality):
    world = World(rules=rules_of(modality, budgets={"on_time_s": 2.0})).armed()
    refused: set[str] = set()
    for _ in range(30):
        refused |= world.codes(world.ask(rising(world, 0.1, 2)))
        world.run_ms(200)
    rests = {"ILK-304"} if modality == "pns" else set()
    assert "ILK-308" in refused and refused <= {"ILK-308", "ILK-305", "ILK-111", *rests}  # then it lapses
    assert 1e9 < world.device.on_time_ns <= 2e9
    judged(world)


# In segments the next does not wait: tests/safety/test_requests_segments.py.
@pytest.mark.parametrize("modality", [each for each in WHOLE if not in_segments(each)])
def test_a_train_comes_out_whole_and_the_next_waits_for_its_interval(modality: Modality):
    world = World(rules=rules_of(modality)).armed()
    train = valid_train(modality)
    interval_ns = interval_after_ns(train, world.rules.limits)
    assert world.codes(world.ask()) == set()
    world.run_ms(duration_ns(train) / MS + 50)
    first = world.device.n_pulses
    ended_ns = max(report.delivery.end_ns for report in world.heard if isinstance(report, DeliveryReport))
    if interval_ns > 100 * MS:
        assert "ILK-304" in world.codes(world.ask())
        world.run_ms((ended_ns + interval_ns - world.mono_ns) / MS + 1)
    assert world.codes(world.ask()) == set()
    world.run_ms(duration_ns(train) / MS + 50)
    assert world.device.n_pulses == 2 * first > 0
    judged(world)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_stop_ends_every_modality(modality: Modality):
    world = World(rules=rules_of(modality)).armed()
    world.ask(rising(world, 0.1, 0) if modality in HELD else None)
    world.run_ms(150)
    assert world.device.going is not None
    world.stop()
    world.run_ms(600)
    assert world.phase == "TRIPPED"
    assert world.device.going is None and world.device.output == 0.0
    judged(world)


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_nobody_permitted_trips_in_every_modality(modality: Modality):
    """Half as much again as was permitted."""
    world = World(rules=rules_of(modality)).armed()
    world.ask(rising(world, 0.1, 0) if modality in HELD else None)
    world.run_ms(150)
    going = world.device.going
    assert going is not None
    going.train = with_amplitude(going.train, amplitude(going.train) * 1.5)
    going.peak = amplitude(going.train)
    world.run_ms(300)
    assert world.phase == "TRIPPED"
