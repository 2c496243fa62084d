"""What a ramp does not lead to: other outputs, a current turned round, wider pulses; all from zero, none in one step."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from drivers.stimulation import Modality, Output, Train, with_amplitude
from safety.entries import Entry
from safety.events import Asked
from safety.oracle_ledger import check_ledger
from tests.safety.examples import EXAMPLES
from tests.safety.strategies import valid_train
from tests.safety.test_oracle_ledger import ledger_of
from tests.safety.world import World
from tests.safety.worlds import armed

HELD: tuple[Modality, ...] = ("tacs", "tdcs", "trns", "tens", "dbs")


def going(modality: Modality, train: Train | None = None) -> World:
    """A hold that has been renewed for a while, and puts something out."""
    world = armed(modality)
    for _ in range(4):
        world.ask(train or valid_train(modality))
        world.run_ms(200)
    assert world.device.line.at(world.mono_ns) > 0
    return world


def turned(train: Train) -> Train:
    """The same current the other way."""
    outputs = tuple(msgspec.structs.replace(o, share=-o.share) for o in train.outputs)
    return msgspec.structs.replace(train, outputs=outputs)


@pytest.mark.parametrize("modality", HELD)
def test_a_current_does_not_turn_round_at_once(modality: Modality):
    world = going(modality)
    for each in (valid_train(modality), with_amplitude(valid_train(modality), 0.05)):
        assert "ILK-319" in world.codes(world.ask(turned(each)))
        world.run_ms(20)
    assert world.codes(world.ask()) == set()  # the same again is renewed
    assert world.state.phase == "ARMED"


def test_no_other_contact_takes_over_what_one_has():
    train = valid_train("dbs")
    case = Output(name="case", share=1.0)
    for outputs in (
        (Output(name="C2", share=-1.0), case),
        (Output(name="C1", share=-0.5), Output(name="C2", share=-0.5), case),
    ):
        world = going("dbs")
        asked = msgspec.structs.replace(train, outputs=outputs)
        assert world.codes(world.ask(asked)) == {"ILK-319"}
    same = msgspec.structs.replace(train, outputs=train.outputs[::-1])  # in another order
    assert world.codes(world.ask(same)) == set()


@pytest.mark.parametrize(
    "bent",
    [
        {"width_us": 90.0, "second_width_us": 90.0},
        {"width_us": 40.0, "second_width_us": 40.0},
        {"second_width_us": 120.0},
        {"gap_us": 20.0},
        {"rate_hz": 131.0, "rate_in_burst_hz": 131.0},
        {"rate_hz": 60.0},
        {"rate_hz": 60.0, "pulses_per_burst": 2},
    ],
)
def test_pulses_do_not_widen_at_once(bent: dict[str, Any]):
    world = going("dbs")
    asked = EXAMPLES["dbs"].train(**bent)
    assert world.codes(world.ask(asked)) == {"ILK-319"}


@pytest.mark.parametrize("bent", [{"width_us": 90.0}, {"rate_hz": 90.0}, {"gap_us": 20.0}])
def test_pulses_through_the_skin_do_not_change_at_once(bent: dict[str, Any]):
    world = going("tens")
    assert world.codes(world.ask(EXAMPLES["tens"].train(**bent))) == {"ILK-319"}


def test_an_alternating_current_may_follow_its_rhythm():
    world = going("tacs")
    for bent in ({"frequency_hz": 11.0}, {"frequency_hz": 11.0, "phase_rad": 0.5}):
        assert world.codes(world.ask(EXAMPLES["tacs"].train(**bent))) == set()
        world.run_ms(50)


@pytest.mark.parametrize("modality", HELD)
def test_from_zero_everything_may_change(modality: Modality):
    world = going(modality)
    assert world.codes(world.ask(with_amplitude(valid_train(modality), 0.0))) == set()
    world.run_ms(40)  # it still falls
    assert "ILK-319" in world.codes(world.ask(turned(valid_train(modality))))
    world.run_ms(200)
    assert world.device.line.at(world.mono_ns) == 0.0
    request = world.ask(turned(valid_train(modality)))
    assert world.codes(request) == set()
    world.run_ms(100)
    assert world.state.phase == "ARMED" and world.state.running is not None
    assert world.state.running.train.outputs == turned(valid_train(modality)).outputs
    assert check_ledger(ledger_of(world)) == ()


@pytest.mark.parametrize(
    "bent", [turned(valid_train("dbs")), EXAMPLES["dbs"].train(width_us=90.0, second_width_us=90.0)]
)
def test_the_oracle_objects_to_a_jump(bent: Train):
    """A ledger in which the last permit was given to another train than the interlock saw."""
    world = going("dbs")
    lines = ledger_of(world)
    last = max(i for i, line in enumerate(lines) if isinstance(line, Entry) and isinstance(line.event, Asked))
    entry = lines[last]
    assert isinstance(entry, Entry) and isinstance(entry.event, Asked)
    request = msgspec.structs.replace(entry.event.request, train=bent)
    changed = msgspec.structs.replace(entry, event=Asked(request=request))
    found = check_ledger((lines[0], *lines[1:last], changed, *lines[last + 1 :]))
    assert any("other outputs or pulses" in text for text in found)
    assert not any("other outputs or pulses" in text for text in check_ledger(lines))
