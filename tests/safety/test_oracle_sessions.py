"""Sessions of the interlock's own making before the oracle, its account of them, and ledgers bent at random."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

import pytest

from drivers.link import CallFailed, Delivered, Fire
from drivers.stimulation import Delivery, Modality, Train
from safety.entries import Entry, Fold, Folded, Genesis
from safety.events import Asked, Now
from safety.messages import Evidence
from safety.oracle_carriers import charge_c
from safety.oracle_course import Course, Rectangle, union
from safety.oracle_ledger import Oracle, check_ledger, judge
from safety.state import Watch
from tests.safety.bench_device import MS
from tests.safety.strategies import hold
from tests.safety.test_oracle_ledger import (
    Ledger,
    at,
    bend,
    entry,
    find,
    good,
    held,
    ledger_of,
    permit_at,
    pulsed,
    with_delivery,
    with_evidence,
    with_request,
    with_train,
)
from tests.safety.world import LONG, World, rules_of
from tests.safety.worlds import holding


def session(seed: int) -> World:
    """A session as a hasty policy has it: rises at the limit, renewals early and late, a slow device, small budgets."""
    rng = random.Random(seed)
    budgets = {"on_time_s": rng.choice([1.0, 2.5, 1200.0]), "charge_c": rng.choice([0.0003, 0.002, 1.2])}
    world = World(rules=rules_of("tacs", budgets=budgets)).armed()
    world.host_ns = rng.choice([1, 1, 5]) * MS
    for _ in range(20):
        now_ma = world.device.line.at(world.mono_ns)
        target = rng.choice([1.0, 0.5, 0.3, 0.8, 1.2, 0.0, round(now_ma, 2)])
        ramp_ms = max(50, int(abs(target - now_ma) * 1000) + rng.choice([-1, 0, 1, 2, 5]))
        world.ask(hold(target, ramp_up_ms=ramp_ms, ramp_down_ms=rng.choice([50, 100, 200])))
        world.run_ms(rng.choice([20, 50, 100, 150, 200, 250, 300, 350]) + rng.choice([0] * 9 + [1600]))
    world.run_ms(700)
    return world


@pytest.mark.parametrize("seed", range(200 if LONG else 6))
def test_the_interlock_s_own_sessions_pass_and_nothing_delivered_is_missed(seed: int) -> None:
    world = session(seed)
    genesis, *entries = ledger_of(world)
    assert isinstance(genesis, Genesis)
    oracle = Oracle(rules=genesis.rules)
    said = [text for line in entries if isinstance(line, Entry) for text in oracle.take(line)]
    assert said == []
    assert oracle.permits == len(world.permits())
    assert oracle.account.on_ns >= world.device.on_time_ns
    assert float(charge_c(oracle.account.ma_ns)) >= world.device.charge_c * (1 - 1e-9)


def judged_by_hand(world: World) -> tuple[Oracle, list[str]]:
    oracle = Oracle(rules=world.rules)
    return oracle, [text for line in world.entries for text in oracle.take(line)]


def test_a_stop_leaves_nothing_to_object_to() -> None:
    for modality in ("tacs", "rtms"):
        world = World(rules=rules_of(modality)).armed()
        world.ask()
        world.run_ms(250)
        world.stop()
        world.run_ms(500)
        oracle, said = judged_by_hand(world)
        assert world.phase == oracle.phase == "TRIPPED"
        assert said == []
        assert oracle.account.on_ns > 0


def test_a_long_session_is_held_in_little() -> None:
    world = World(rules=rules_of("tacs")).armed()
    for _ in range(40):
        world.ask(hold(0.5))
        world.run_ms(150)
    oracle, said = judged_by_hand(world)
    assert said == []
    assert oracle.permits == 40
    assert len(oracle.account.courses) <= 12
    assert len(oracle.asked) <= 64


def test_a_hold_that_took_over_a_fall_may_still_be_above_its_own_amplitude() -> None:
    """A staircase down whose steps are as long as its ramps, told by a device whose clock is a little behind."""
    world = World(rules=rules_of("tacs")).armed()
    for target in (0.1, 0.08, 0.06, 0.04, 0.02, 0.0):
        world.ask(hold(target, ramp_up_ms=100, ramp_down_ms=100))
        world.run_ms(102 if target < 0.1 else 200)
    oracle, said = judged_by_hand(world)
    assert (oracle.permits, said) == (6, [])
    first_of_103 = 4
    assert "token=103" in repr(entry(ledger_of(world), find(ledger_of(world), Delivered, first_of_103)).event)
    for told_ma, passes in ((0.081, True), (0.1, True), (0.101, False)):
        assert (
            check_ledger(with_delivery(ledger_of(world), first_of_103, amplitude=told_ma)) == ()
        ) is passes


@pytest.mark.parametrize(("beyond_ms", "strays"), [(0, 0), (160, 0), (161, 1)])
def test_a_renewal_that_was_fired_and_never_answered_may_have_been_taken(beyond_ms: int, strays: int) -> None:
    """The device is lost in between; what its host assumes then reaches to the renewal's end, and no further."""
    world = holding()
    world.run_ms(100)
    world.host_answers = False
    world.ask()
    world.run_ms(10)
    fire, running = world.calls(Fire)[-1], world.state.running
    assert running is not None
    assert fire.token == running.token
    world.host_says(CallFailed(call=fire.call, code="lost", text="gone"))
    end_ns = fired_at(world, fire.call) + (400 + 100 + beyond_ms) * MS
    assumed = Delivery(
        token=fire.token, start_ns=running.onset_ns, end_ns=end_ns, amplitude=1.0, n_pulses=0, ended=True,
        confirmed=False,
    )  # fmt: skip
    world.host_says(Delivered(delivery=assumed))
    judgement = judge(ledger_of(world))
    assert judgement.objections == ()
    assert len(judgement.strays) == strays


def fired_at(world: World, call: int) -> int:
    return next(e.now.mono_ns for e in world.entries if f"device Fire {call}" in e.effects)


def test_a_train_that_ended_unconfirmed_counts_in_full() -> None:
    ledger = with_delivery(good("rtms"), ended=True, confirmed=False)
    genesis, *entries = ledger
    assert isinstance(genesis, Genesis)
    oracle = Oracle(rules=genesis.rules)
    for line in entries[: find(ledger, Delivered)]:
        assert isinstance(line, Entry)
        list(oracle.take(line))
    assert oracle.account.pulses == 20


NASTY = (0, -1, 1, 2**63, 10**30, -(10**30))


@pytest.mark.parametrize("modality", ["tacs", "rtms"])
def test_nothing_in_a_ledger_makes_the_oracle_fall(modality: Modality) -> None:
    """Any whole number anywhere, any amplitude: words, never an exception."""
    rng = random.Random(5)
    for _ in range(120 if not LONG else 20_000):
        forged = good(modality)
        for _ in range(rng.randint(1, 4)):
            number = rng.choice(NASTY)
            bends: list[Callable[[Ledger], Ledger]] = [
                lambda g, n=number: with_delivery(g, rng.randint(0, 3), start_ns=n),  # type: ignore[misc]
                lambda g, n=number: with_delivery(g, rng.randint(0, 3), end_ns=n, n_pulses=n),  # type: ignore[misc]
                lambda g, n=number: with_delivery(g, rng.randint(0, 3), amplitude=float(n), confirmed=False),  # type: ignore[misc]
                lambda g, n=number: with_evidence(g, newest_ns=n, uncertainty_ns=n),  # type: ignore[misc]
                lambda g, n=number: with_request(g, lambda r: bend(r, onset_at_ns=n)),  # type: ignore[misc]
                lambda g, n=number: with_train(g, lambda t: wild(t, n)),  # type: ignore[misc]
                lambda g, n=number: at(g, permit_at(g), now=Now(mono_ns=n, boot_ns=n, wall_ns=n)),  # type: ignore[misc]
            ]
            forged = rng.choice(bends)(forged)
        check_ledger(forged)


def wild(train: Train, number: int) -> Train:
    if train.modality == "rtms":
        return pulsed(train, rate_hz=float(number), n_pulses=number)
    return held(
        train,
        amplitude_ma_pp=float(number) * 1e200,
        ramp_up_ms=number,
        ramp_down_ms=number,
        duration_ms=number,
    )


# The account


def test_time_that_overlaps_counts_once_at_the_greatest_amplitude() -> None:
    def rectangle(start_ns: int, end_ns: int, ma: int) -> Rectangle:
        return Rectangle(start_ns=start_ns, end_ns=end_ns, ma=Fraction(ma))

    for rectangles, covered_ns, area in (
        ([], 0, 0),
        ([rectangle(0, 10, 1), rectangle(5, 20, 2)], 20, 5 * 1 + 15 * 2),
        ([rectangle(0, 10, 3), rectangle(2, 4, 1)], 10, 30),
        ([rectangle(0, 10, 1), rectangle(20, 30, 1)], 20, 20),
        ([rectangle(5, 5, 9), rectangle(9, 2, 9)], 0, 0),
    ):
        assert union(rectangles) == (covered_ns, Fraction(area))


def test_what_was_not_told_counts_in_full() -> None:
    """Fired, and never heard of again: lease and ramp down at the full amplitude, for ever."""
    event = entry(good("tacs"), find(good("tacs"), Asked)).event
    assert isinstance(event, Asked)
    course = Course(request=event.request, permitted_ns=0, until_ns=400 * MS, onset_at_ns=0, fire=1)
    covered_ns, area = union(course.outstanding())
    assert (covered_ns, area) == (500 * MS, course.target / 2 * 500 * MS)
    assert course.level(250 * MS) == course.target / 4
    assert course.level(400 * MS) == course.target * 2 / 5
    assert course.level(450 * MS) == course.target / 5
    assert course.level(500 * MS) == 0


def test_the_fold_tells_what_was_heard_meanwhile() -> None:
    """Data that went bad while a permit waited for the disk speak against it."""
    ledger = good("tacs")
    index = permit_at(ledger)
    now_ns = entry(ledger, index).now.mono_ns
    bad = Evidence(
        stream_uid="stream-1", n_samples=1, newest_ns=now_ns, uncertainty_ns=0, crc=1, clean_fraction=0.1
    )
    forged = at(
        ledger, index, fold=Fold(counts=Folded(beats=1), watch=Watch(evidence=bad, impedance_kohm=5.0))
    )
    assert any("newest evidence: 0.1 of the channels clean" in text for text in check_ledger(forged))
