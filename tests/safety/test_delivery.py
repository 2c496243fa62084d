"""What the device says went out, against what was permitted: amplitude, pulses, time, token; late, twice, too early."""

from __future__ import annotations

import math

import msgspec
import pytest

from drivers.link import Delivered, Fire, Fired, Prepare, Prepared, StopDevice
from drivers.stimulation import Delivery
from safety import delivery
from safety.events import PauseAsked
from safety.messages import DeliveryReport, Pause
from tests.safety.bench_device import MS
from tests.safety.strategies import hold, pulses
from tests.safety.world import World, rules_of, tripped


def holding(ms: float = 60) -> World:
    world = World(rules_of()).armed()
    world.ask()
    world.run_ms(ms)
    assert world.state.running is not None
    return world


def pulsing(ms: float = 60, n_pulses: int = 40) -> World:
    world = World(rules_of("rtms")).armed()
    world.ask(pulses(n_pulses=n_pulses))
    world.run_ms(ms)
    assert world.state.running is not None
    return world


def firing(modality: str = "rtms", n_pulses: int = 3) -> World:
    """A fire went out and is not answered yet."""
    world = World(rules_of("rtms" if modality == "rtms" else "tacs")).armed()
    world.ask(pulses(n_pulses=n_pulses) if modality == "rtms" else None)
    world.host_answers = False
    world.run_ms(6)
    prepare = world.calls(Prepare)[-1]
    world.host_says(Prepared(call=prepare.call, token=55, read_back=prepare.train, at_ns=world.mono_ns))
    assert world.state.firing is not None
    return world


def say(world: World, **bent: object) -> None:
    running, waiting = world.state.running, world.state.firing
    token = running.token if running else waiting.token if waiting else 1
    now_ns = world.mono_ns
    told = Delivery(
        token=token, start_ns=now_ns, end_ns=now_ns, amplitude=0.1, n_pulses=0, ended=False, confirmed=True
    )
    world.host_says(Delivered(delivery=msgspec.structs.replace(told, **bent)))


def answer_fire(world: World) -> None:
    fire = world.calls(Fire)[-1]
    at_ns = world.mono_ns
    world.host_says(Fired(call=fire.call, token=fire.token, onset_ns=at_ns, at_ns=at_ns))


@pytest.mark.parametrize(
    ("amplitude", "code"),
    [
        (0.0, ""),
        (1.0, ""),
        (1.0001, ""),
        (1.0002, "ILK-215"),
        (-0.0001, "ILK-215"),
        (math.nan, "ILK-215"),
        (math.inf, "ILK-215"),
        (-math.inf, "ILK-215"),
        (1e308, "ILK-215"),
    ],
)
def test_the_amplitude_of_a_slice(amplitude: float, code: str):
    world = holding()
    say(world, amplitude=amplitude)
    assert world.state.trip == code


@pytest.mark.parametrize(("n", "code"), [(39, ""), (40, "ILK-215"), (-1, "ILK-215"), (10**30, "ILK-215")])
def test_the_pulses_of_a_train(n: int, code: str):
    world = pulsing()
    world.host_answers = False
    world.run_ms(2)
    world.forget_queue()
    running = world.state.running
    assert running is not None
    told = 1 - running.pulses  # one more is told than the device has given
    say(world, amplitude=45.0, n_pulses=told)
    assert world.state.running is not None
    say(world, amplitude=45.0, n_pulses=n)
    assert world.state.trip == code


def test_pulses_of_a_hold():
    world = holding()
    say(world, n_pulses=1)
    assert tripped(world) == "ILK-215"


@pytest.mark.parametrize(
    ("beyond_ns", "code"), [(60 * MS, ""), (60 * MS + 1, "ILK-215"), (10**12, "ILK-215"), (2**62, "ILK-215")]
)
def test_output_after_the_lease(beyond_ns: int, code: str):
    world = holding()
    say(world, end_ns=world.state.running.zero_ns + beyond_ns)  # type: ignore[union-attr]
    assert world.state.trip == code


def test_nothing_after_the_lease_is_no_output():
    world = holding()
    say(world, end_ns=world.state.running.zero_ns + 10**9, amplitude=0.0)  # type: ignore[union-attr]
    assert world.phase == "ARMED"


@pytest.mark.parametrize(
    ("before_ns", "code"), [(60 * MS, ""), (60 * MS + 1, "ILK-215"), (10**12, "ILK-215")]
)
def test_output_before_its_onset(before_ns: int, code: str):
    world = holding()
    say(world, start_ns=world.state.running.onset_ns - before_ns)  # type: ignore[union-attr]
    assert world.state.trip == code


@pytest.mark.parametrize(
    "bent", [{"start_ns": 10**320}, {"end_ns": -(10**320)}, {"n_pulses": 10**320}], ids=str
)
def test_numbers_that_cannot_be(bent: dict[str, int]):
    world = holding()
    say(world, **bent)
    assert tripped(world) == "ILK-215"


def test_a_slice_that_ends_before_it_starts():
    world = holding()
    say(world, end_ns=world.mono_ns - 1)
    assert tripped(world) == "ILK-215"


@pytest.mark.parametrize("token", (0, -1, 999, 10**30))
def test_a_token_that_nobody_permitted(token: int):
    world = holding()
    say(world, token=token)
    assert tripped(world) == "ILK-216"


def test_a_delivery_while_nothing_runs():
    world = World(rules_of()).armed()
    say(world)
    assert tripped(world) == "ILK-216"


@pytest.mark.parametrize(
    "bent", [{"amplitude": 0.1}, {"n_pulses": 1}, {"n_pulses": -1}, {"amplitude": -0.1}], ids=str
)
@pytest.mark.parametrize("phase", ["SAFE", "READY", "ARMING", "stopping", "TRIPPED"])
def test_a_delivery_that_nobody_permitted_while_nothing_is_armed(phase: str, bent: dict[str, object]):
    """A pulse by a foot switch lies between two polls: the device's own word is all that there is of it."""
    world = World(rules_of())
    if phase == "SAFE":
        world.open().run_ms(100)
    elif phase in ("READY", "ARMING"):
        world.ready()
        world.relay_answers = phase == "READY"
        world.present() if phase == "ARMING" else None
    else:
        world.armed()
        world.ask()
        world.run_ms(60)
        world.take(PauseAsked(pause=Pause(reason="x"))) if phase == "stopping" else world.stop()
        world.run_ms(0 if phase == "stopping" else 500)
    before = len(world.calls(StopDevice))
    silent = Delivery(
        token=999,
        start_ns=world.mono_ns,
        end_ns=world.mono_ns,
        amplitude=0.0,
        n_pulses=0,
        ended=True,
        confirmed=True,
    )
    world.host_says(Delivered(delivery=silent))
    assert len(world.calls(StopDevice)) == before
    world.host_says(Delivered(delivery=msgspec.structs.replace(silent, **bent)))
    assert [each.how for each in world.calls(StopDevice)[before:]] == ["cut"]
    assert tripped(world) == ("ILK-001" if phase == "TRIPPED" else "ILK-216")
    assert not world.relay_closed


@pytest.mark.parametrize("after_ms", (6, 60), ids=("fired, not answered", "running"))
def test_the_last_words_of_what_a_pause_ended_trip_nothing(after_ms: int):
    world = World(rules_of("rtms")).armed()
    world.ask()
    world.run_ms(after_ms)
    token = world.device.tokens
    world.take(PauseAsked(pause=Pause(reason="x")))
    world.run_ms(150)
    assert (world.phase, world.state.stopping, world.state.running) == ("READY", None, None)
    late = Delivery(
        token=token, start_ns=world.mono_ns, end_ns=world.mono_ns, amplitude=45.0, n_pulses=1, ended=True,
        confirmed=True,
    )  # fmt: skip
    world.host_says(Delivered(delivery=late))
    assert world.phase == "READY"


def test_the_last_slices_of_what_a_stop_ended_are_taken_in_peace():
    world = holding(200)
    world.stop()
    world.run_ms(500)
    reports = [message for message in world.heard if isinstance(message, DeliveryReport)]
    assert reports[-1].delivery.ended
    assert tripped(world) == "ILK-001"


def test_too_much_after_a_stop_makes_the_ramp_a_cut():
    world = holding(200)
    world.stop()
    say(world, amplitude=1.2)
    assert world.device.output == 0.0
    assert world.state.trip == "ILK-001"


def test_every_slice_is_reported_with_its_request():
    world = holding(300)
    reports = [message for message in world.heard if isinstance(message, DeliveryReport)]
    assert len(reports) >= 2
    assert {report.id for report in reports} == {1}
    assert sum(report.delivery.end_ns - report.delivery.start_ns for report in reports) <= 300 * MS


def test_output_that_does_not_end_is_found():
    world = holding()
    world.device.going.train = hold(duration_ms=60_000)  # type: ignore[union-attr]  # it ignores its lease
    zero_ns = world.state.running.zero_ns  # type: ignore[union-attr]
    world.run_ms((zero_ns - world.mono_ns) / MS + 260)
    assert world.phase == "TRIPPED"
    assert world.state.trip in ("ILK-215", "ILK-217")
    assert world.device.output == 0.0


def test_an_end_that_is_told_late_and_just_in_time():
    world = holding()
    zero_ns = world.state.running.zero_ns  # type: ignore[union-attr]
    for ms in (250, 251):
        late = World(world.rules, world.state)
        late.checks = False
        late.mono_ns = zero_ns + ms * MS
        found = delivery.not_ended(late.rules, late.state, late.now)
        assert (found is None) == (ms == 250)


def test_the_first_slice_may_overtake_the_answer_and_still_counts():
    world = firing()
    say(world, amplitude=45.0, n_pulses=2)
    assert world.phase == "ARMED"
    assert world.state.dose.confirmed.n_pulses == 2
    answer_fire(world)
    assert world.state.running is not None
    assert world.state.running.pulses == 2
    say(world, amplitude=45.0, n_pulses=2)
    assert tripped(world) == "ILK-215"


def test_a_train_may_be_over_before_its_fire_is_answered():
    world = firing(n_pulses=1)
    onset_ns = world.mono_ns
    say(world, amplitude=45.0, n_pulses=1, ended=True)
    answer_fire(world)
    assert world.state.running is None
    assert world.state.not_before_ns == onset_ns + 6_000 * MS
    world.host_answers = True
    world.run_ms(1_000)
    assert world.phase == "ARMED"
    assert world.codes(world.ask()) == {"ILK-304"}


def test_too_many_pulses_before_the_answer():
    world = firing()
    say(world, amplitude=45.0, n_pulses=2)
    say(world, amplitude=45.0, n_pulses=2)
    assert tripped(world) == "ILK-215"


def test_a_hold_that_takes_over_may_come_down_from_the_one_before():
    world = holding(300)
    level = world.device.output
    world.ask(hold(amplitude_ma_pp=0.05))
    world.run_ms(30)
    assert world.state.running is not None
    assert world.state.running.ceiling == 1.0
    say(world, amplitude=level)
    assert world.phase == "ARMED"
    world.run_ms(200)
    assert world.device.output == pytest.approx(0.05)
    say(world, amplitude=level)
    assert tripped(world) == "ILK-215"


def test_the_same_slice_told_twice_is_counted_twice():
    world = holding()
    span = {"start_ns": world.mono_ns - 10 * MS, "end_ns": world.mono_ns}
    say(world, **span)
    once = world.state.dose.confirmed.on_time_s
    say(world, **span)
    assert world.state.dose.confirmed.on_time_s == pytest.approx(once + 0.01)


def test_what_is_delivered_is_accounted_and_what_is_accounted_is_reserved():
    for modality in ("tacs", "rtms"):
        world = World(rules_of("rtms" if modality == "rtms" else "tacs")).armed()
        for _ in range(30):
            world.ask()
            world.run_ms(260)
            dose, device = world.state.dose, world.device
            assert device.on_time_ns / 1e9 <= dose.granted.on_time_s + 1e-9
            assert device.charge_c <= dose.granted.charge_c + 1e-12
            assert device.n_pulses <= dose.granted.n_pulses
            assert dose.granted.on_time_s <= dose.reserved.on_time_s + dose.coming.on_time_s + 1e-9
        assert world.phase == "ARMED"
