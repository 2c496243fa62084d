"""Fifteen classes of defect that closed-loop and remote-controlled stimulation software is known to have had; a test each.

None is about a mechanism: each sends what went wrong elsewhere down the way that it takes here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from drivers.link import CallFailed, Fire, Prepare, Status, StopDevice
from drivers.stimulation import MODALITIES, Modality, Output, quantities
from drivers.stimulator import DeviceStatus
from safety import messages
from safety.events import Asked
from safety.limits import load
from safety.messages import Pending, Refusal
from safety.trips import REFUSALS
from safety.wire import event_of
from tests.safety.bench_device import MS
from tests.safety.examples import EXAMPLES
from tests.safety.strategies import (
    document,
    hold,
    pulses,
    quantity_of,
    to_toml,
    valid_train,
    with_quantity,
)
from tests.safety.world import World, rules_of, tripped

NUMBERS = [(m, name) for m in MODALITIES for name in quantities(valid_train(m))]


# 1. STOP that is refused while something else must not happen yet


def _lapsed() -> World:
    world = World(rules_of()).armed()
    world.ask()
    world.run_ms(600)
    assert world.state.not_before_ns > world.mono_ns
    return world


def _interval() -> World:
    world = World(rules_of("rtms")).armed()
    world.ask()
    world.run_ms(4_500)
    assert world.state.not_before_ns > world.mono_ns
    return world


def _pending() -> World:
    world = World(rules_of()).armed()
    world.disk_ns = None
    world.ask()
    assert world.heard[-1] == Pending(id=1)
    return world


def _proof_test() -> World:
    world = World(rules_of()).ready()
    world.present()
    assert world.state.arming is not None
    return world


def _stopping() -> World:
    world = World(rules_of()).armed()
    world.ask()
    world.run_ms(60)
    world.stop()
    return world


@pytest.mark.parametrize("make", (_lapsed, _interval, _pending, _proof_test, _stopping))
def test_01_stop_is_taken_in_every_grace_period(make: Callable[[], World]):
    world = make()
    stops = len(world.calls(StopDevice))
    step = world.stop()
    assert len(world.calls(StopDevice)) == stops + 1
    assert world.phase == "TRIPPED"
    assert step.state.stopping is not None
    world.run_ms(300)
    assert world.device.output == 0.0


# 2. A sign that passes a maximum


@pytest.mark.parametrize(("modality", "name"), NUMBERS)
def test_02_a_negative_number_passes_no_maximum(modality: Modality, name: str):
    world = World(rules_of(modality)).armed()
    valid = quantities(valid_train(modality))[name]
    low = quantity_of(modality, name).low
    for value in (-valid, -0.5 * valid, -1e6):
        asked = int(value) if isinstance(valid, int) else value
        if not low <= asked:
            assert world.codes(world.ask(with_quantity(modality, name, asked))), asked
    assert not world.calls(Prepare)


def test_02_two_negatives_make_no_positive():
    world = World(rules_of("dbs")).armed()
    train = EXAMPLES["dbs"].train(width_us=-60.0, second_width_us=-60.0, amplitude_ma=1.0)
    assert world.codes(world.ask(train))
    assert world.codes(world.ask(EXAMPLES["dbs"].train(amplitude_ma=-1.0, width_us=-60.0)))
    assert not world.calls(Prepare)


# 3. NaN that passes every comparison


@pytest.mark.parametrize(("modality", "name"), NUMBERS)
def test_03_what_is_no_number_passes_no_limit(modality: Modality, name: str):
    world = World(rules_of(modality)).armed()
    for value in (math.nan, math.inf, -math.inf, 1e308, True, None, "1"):
        assert world.codes(world.ask(with_quantity(modality, name, value))), value
    assert not world.calls(Prepare)


@pytest.mark.parametrize("token", (b"NaN", b"null", b"1e999", b"-Infinity", b'"1.0"', b"true", b"[]"))
def test_03_what_is_no_number_is_no_frame(token: bytes):
    world = World(rules_of()).armed()
    body = msgspec.json.encode(world.request(response=0.125))
    assert isinstance(event_of(body, True), Asked)
    found = event_of(body.replace(b"0.125", token, 1), True)
    assert not isinstance(found, Asked), found


# 4. One malformed message that ends the gate


def _frames() -> Iterator[bytes]:
    whole = msgspec.json.encode(World(rules_of()).request())
    yield from (
        b"",
        b"{",
        b"null",
        b"[]",
        b"[" * 10_000,
        b"\xff\xfe",
        b'{"type":"request"}',
        b'{"type":"stop"}',
    )
    yield from (whole[:n] for n in range(0, len(whole), 7))
    yield whole.replace(b"tacs", b"t\\u0000cs")


def test_04_a_malformed_message_ends_nothing_and_stop_goes_on():
    world = World(rules_of()).armed()
    for body in _frames():
        event = event_of(body, True)
        assert not isinstance(event, Asked)
        world.take(event)
        world.run_ms(25)
        if world.phase != "ARMED":
            break
    assert tripped(world) == "ILK-261"  # too many of them are no accident
    world = World(rules_of()).armed()
    world.take(event_of(b'{"type":"request"}', True))
    assert world.phase == "ARMED"
    world.stop()
    assert world.calls(StopDevice)


# 5. Float equality where two numbers must balance


@pytest.mark.parametrize("shares", [(1.0, -0.7, -0.3), (1.0, -0.8, -0.2)], ids=str)
def test_05_shares_that_sum_to_zero_but_for_a_rounding_are_balanced(shares: tuple[float, ...]):
    assert sum(shares) != 0.0  # as floats
    outputs = tuple(Output(name=n, share=s) for n, s in zip(("F3", "F4", "Oz"), shares, strict=True))
    doc = document("tacs")
    doc["contacts"]["F4"] = {"area_cm2": 25.0}
    limits = load(to_toml(doc))
    people = rules_of().limits.people
    rules = msgspec.structs.replace(rules_of(), limits=msgspec.structs.replace(limits, people=people))
    world = World(rules).armed()
    assert world.codes(world.ask(hold(0.3, outputs=outputs))) == set()
    off = (*outputs[:2], Output(name="Oz", share=shares[2] + 1e-3))
    assert world.codes(world.ask(hold(0.3, outputs=off)))


def test_05_a_pulse_cannot_be_asked_for_unbalanced():
    """The second phase follows from the first: 0.3 mA x 0.1 ms against 0.1 mA x 0.3 ms is balanced by construction."""
    train = EXAMPLES["dbs"].train(amplitude_ma=0.3, width_us=100.0, second_width_us=300.0)
    carrier = train.waveform.carrier  # type: ignore[union-attr]
    assert "second_amplitude_ma" not in carrier.__struct_fields__  # type: ignore[union-attr]
    world = World(rules_of("dbs")).armed()
    assert world.codes(world.ask(train)) == set()


# 6. Reasons of a refusal under the wrong names


@pytest.mark.parametrize(("modality", "name"), NUMBERS)
def test_06_a_refusal_names_what_refused_and_nothing_else(modality: Modality, name: str):
    world = World(rules_of(modality)).armed()
    world.ask(with_quantity(modality, name, math.nan))
    reasons = world.last(Refusal).reasons
    named = [reason.quantity for reason in reasons if reason.code == "ILK-103"]
    assert set(named) == {name}, named  # twice where the rise follows from it
    assert all("finite" in reason.text for reason in reasons if reason.code == "ILK-103")


def test_06_the_ledger_and_the_controller_are_told_the_same_codes():
    world = World(rules_of()).armed()
    world.ask(hold(amplitude_ma_pp=9.0, frequency_hz=99.0), response=math.nan)
    told = world.last(Refusal)
    written = next(e for e in reversed(world.entries) if isinstance(e.event, Asked)).effects[-1]
    recorded = msgspec.json.decode(written.split(" ", 2)[2].encode(), type=list[messages.Reason])
    assert tuple(recorded) == told.reasons
    for reason in told.reasons:
        if reason.code in REFUSALS:
            assert reason.text.startswith(REFUSALS[reason.code][0])


# 7. A watchdog that never watches again


def _data_age(world: World, bad: bool) -> None:
    world.data_age_ns = 251 * MS if bad else 10 * MS


def _frozen(world: World, bad: bool) -> None:
    world.frozen_crc = bad


def _unclean(world: World, bad: bool) -> None:
    world.clean_fraction = 0.5 if bad else 1.0


def _silent(world: World, bad: bool) -> None:
    world.beating = not bad


@pytest.mark.parametrize(
    ("spoil", "short_ms", "long_ms", "code"),
    [
        (_frozen, 200, 400, "ILK-205"),
        (_unclean, 1_800, 2_200, "ILK-208"),
        (_silent, 60, 150, "ILK-201"),
    ],
)
def test_07_a_watchdog_watches_again_after_a_recovery(
    spoil: Callable[[World, bool], None], short_ms: int, long_ms: int, code: str
):
    world = World(rules_of()).armed()
    for _ in range(3):
        spoil(world, True)
        world.run_ms(short_ms)
        spoil(world, False)
        world.run_ms(200)
        assert world.phase == "ARMED"
    spoil(world, True)
    world.run_ms(long_ms)
    assert tripped(world) == code


def test_07_a_host_that_was_slow_in_time_is_watched_as_before():
    world = World(rules_of()).armed()
    for _ in range(3):
        world.host_ns = 95 * MS
        world.run_ms(150)
        world.host_ns = MS
        world.run_ms(200)
        assert world.phase == "ARMED"
    world.host_ns = 130 * MS
    world.run_ms(200)
    assert tripped(world) == "ILK-211"


def answer_poll(world: World) -> None:
    """What the device says of itself, where it is waited for."""
    if world.state.watch.poll_ns:
        status = DeviceStatus(state="armed", at_ns=world.mono_ns, amplitude=0.0, fault="", impedance_kohm=5.0)
        world.host_says(Status(call=-world.state.watch.poll, status=status))


# 8. Retries without end, each a real pulse


def test_08_what_failed_is_never_tried_again_and_counts_as_spent():
    world = World(rules_of("rtms", budgets={"n_pulses": 100})).armed()
    world.host_answers = False
    asked = 0
    for _ in range(10):
        world.host_answers = True
        request = world.ask(pulses(n_pulses=40), onset_at_ns=-1)
        world.run_ms(20)
        if world.codes(request):
            assert "ILK-308" in world.codes(request)
            break
        asked += 1
        world.host_answers = False
        world.fire(request)
        fire = world.calls(Fire)[-1]
        world.forget_queue()
        world.device.going = None
        world.host_says(CallFailed(call=fire.call, code="late", text="the onset had passed"))
        world.host_answers = True
        world.device.said.clear()
        answer_poll(world)
        world.run_ms(6_500)
    assert asked == 2
    assert len(world.calls(Fire)) == asked
    assert len(world.calls(Prepare)) == asked


def test_the_fifteen_are_all_here():
    texts = [
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_known_defects*.py")
    ]
    numbers = {
        match[1]
        for text in texts
        for match in re.finditer(r"^(?:async )?def test_(\d\d)_", text, re.MULTILINE)
    }
    assert numbers == {f"{n:02d}" for n in range(1, 16)}
