"""Pulse trains: no step down, none over another, and the interval that runs from the actual end."""

from __future__ import annotations

import msgspec

from drivers.link import Delivered, Prepare
from drivers.stimulation import Delivery
from tests.safety.bench_device import MS
from tests.safety.strategies import pulses
from tests.safety.worlds import armed


def test_a_lower_pulse_train_is_no_step_down():
    world = armed("rtms")
    world.ask(pulses(n_pulses=40))
    world.run_ms(100)
    for n in (39, 20, 1):
        request = world.ask(pulses(n_pulses=n, amplitude_pct_mso=10.0))
        assert world.codes(request) == {"ILK-303"}
    assert len(world.calls(Prepare)) == 1


def test_a_train_whose_end_was_not_told_is_still_running():
    world = armed("rtms")
    world.ask(pulses(n_pulses=5))
    world.run_ms(450)
    world.host_ns = 60 * MS  # the news of its end is late
    world.run_ms(90)
    assert world.device.going is None
    assert world.state.running is not None
    assert world.mono_ns > world.state.running.until_ns
    assert world.codes(world.ask(pulses(n_pulses=5))) == {"ILK-303"}


def test_the_interval_runs_from_the_actual_end():
    world = armed("rtms")
    world.ask(pulses(n_pulses=40))
    world.run_ms(1_000)
    world.device.going.train = pulses(n_pulses=11)  # type: ignore[union-attr]  # it ends early, by itself
    world.run_ms(300)
    ended_ns = world.state.before.onset_ns + round(1.1e9)  # type: ignore[union-attr]
    assert abs(world.state.not_before_ns - (ended_ns + 6_000 * MS)) <= 2 * MS
    world.run_ms((world.state.not_before_ns - world.mono_ns) / MS - 1)
    assert world.codes(world.ask()) == {"ILK-304"}
    world.run_ms(1)
    assert world.codes(world.ask()) == set()


def test_the_interval_runs_from_the_last_pulse_that_is_told_even_after_an_end():
    """A device that says too soon that a train has ended, and then tells of more of it."""
    world = armed("rtms")
    world.ask(pulses(n_pulses=40))
    world.run_ms(1_000)
    running = world.state.running
    assert running is not None
    world.host_answers = False
    told = Delivery(
        token=running.token, start_ns=world.mono_ns, end_ns=world.mono_ns, amplitude=0.0, n_pulses=0, ended=True,
        confirmed=True,
    )  # fmt: skip
    world.host_says(Delivered(delivery=told))
    assert world.state.running is None
    after_ns = world.mono_ns + 500 * MS
    for more in (0, 1):
        late = msgspec.structs.replace(told, end_ns=after_ns, amplitude=10.0, n_pulses=more, ended=bool(more))
        world.host_says(Delivered(delivery=late))
        assert world.state.not_before_ns == after_ns + 6_000 * MS
        assert world.state.train_end_ns == after_ns
    world.host_says(Delivered(delivery=told))
    assert world.state.not_before_ns == after_ns + 6_000 * MS
    assert world.phase == "ARMED"


def test_an_onset_after_the_interval_may_be_asked_before_its_end():
    world = armed("rtms")
    world.ask(pulses(n_pulses=5))
    world.run_ms(1_000)
    not_before_ns = world.state.not_before_ns
    world.run_ms((not_before_ns - world.mono_ns) / MS - 500)
    assert world.codes(world.ask(onset_at_ns=not_before_ns - 1)) == {"ILK-304"}
    request = world.ask(onset_at_ns=not_before_ns)
    world.run_ms(700)
    assert world.codes(request) == set()
    assert world.state.running is not None
    assert world.state.running.onset_ns == not_before_ns
