"""Pulse trains: no step down, none over another, and the interval that runs from the actual end."""

from __future__ import annotations

from drivers.link import Prepare
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
