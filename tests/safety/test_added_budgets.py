"""Budgets that a file adds to those that the modality declares: read, held by both hands, at the limit and beyond it."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import msgspec
import pytest

from drivers.stimulation import Hold, Modality, Train, duration_ns
from safety.entries import Genesis
from safety.history import Past
from safety.limit_values import Budget, BudgetName, Scope
from safety.limits import load
from safety.modalities import Exposure, budgets_of
from safety.modalities.added import addable
from safety.oracle_ledger import Oracle
from safety.state import Rules
from safety.windows import DAY_NS
from tests.safety.bench_device import MS
from tests.safety.documents import key_lines, problems
from tests.safety.histories import history_with
from tests.safety.strategies import MODALITIES, document, provenance, to_toml, valid_train
from tests.safety.test_oracle_ledger import ledger_of
from tests.safety.test_sessions import judged, rising
from tests.safety.world import T0, World, bend_rules, rules_of

PULSED = ("rtms", "tbs", "ctbs", "tus")
WIDEST = {"on_time_s": 31_536_000, "charge_c": 1_000_000, "n_pulses": 1_000_000_000, "n_sessions": 10_000}


def names_of(modality: Modality) -> dict[str, set[str]]:
    """What a file of a modality may hold, scope by scope, declared or added."""
    spent = {"on_time_s", "n_pulses"} if modality in PULSED else {"on_time_s", "charge_c"}
    if modality == "tus":
        spent |= {"cem43_brain_min", "cem43_bone_min", "cem43_skin_min"}
    found = {scope: set(spent) for scope in ("train", "session", "24h", "7d", "course")}
    for scope in ("24h", "7d", "course"):
        found[scope].add("n_sessions")
    if modality in PULSED:
        found["pulse"] = spent - {"n_pulses"}
    if modality == "tens":
        found["in_a_row"] = {"n_days"}
    return found


# What a file may say


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_scope_that_means_something_may_be_added(modality: Modality):
    declared = budgets_of(modality)
    doc = document(modality)
    for each in addable(modality, declared):
        high = WIDEST.get(each.name, 1_000)
        doc["budgets"].setdefault(each.scope, {})[each.name] = {"max": high, **provenance(each.unit)}
    limits = load(to_toml(doc))
    found: dict[str, set[str]] = {}
    for row in limits.budgets:
        found.setdefault(row.scope, set()).add(row.name)
    assert found == names_of(modality)
    assert len({(row.scope, row.name) for row in limits.budgets}) == len(limits.budgets)
    units = {each.name: each.unit for each in declared}
    assert all(row.unit == units.get(row.name, row.unit) for row in limits.budgets)
    assert {f"{each.scope}.{each.name}" for each in addable(modality, declared)} <= set(limits.unverified)
    for each in addable(modality, declared):
        row = doc["budgets"][each.scope][each.name]
        path = ("budgets", each.scope, each.name)
        whole = type(row["max"]) is int and each.integer
        row["max"] = row["max"] + 1 if whole else math.nextafter(float(row["max"]), math.inf)
        (line,) = key_lines(doc, (*path, "max"))
        assert "own choice: more is a mistake of unit" in line
        row["max"] = 0
    assert problems(doc) == ()


@pytest.mark.parametrize("key", ["max", "unit", "source", "edition", "status"])
def test_an_added_budget_says_all_that_any_other_says(key: str):
    doc = document("tacs")
    doc["budgets"]["train"] = {"on_time_s": {"max": 60.0, **provenance("s")}}
    assert problems(doc) == ()
    del doc["budgets"]["train"]["on_time_s"][key]
    assert len(key_lines(doc, ("budgets", "train", "on_time_s", key))) == 1
    assert len(problems(doc)) == 1


@pytest.mark.parametrize(
    ("modality", "scope", "name", "known"),
    [
        ("tacs", "pulse", "on_time_s", "24h, 7d, course, session, train"),
        ("tacs", "train", "n_pulses", "charge_c, on_time_s"),
        ("tacs", "train", "n_sessions", "charge_c, on_time_s"),
        ("rtms", "pulse", "n_pulses", "on_time_s"),
        ("rtms", "7d", "charge_c", "n_pulses, n_sessions, on_time_s"),
        ("rtms", "7d", "cem43_brain_min", "n_pulses, n_sessions, on_time_s"),
        ("rtms", "month", "n_pulses", "24h, 7d, course, pulse, session, train"),
        ("rtms", "in_a_row", "n_days", "24h, 7d, course, pulse, session, train"),
    ],
)
def test_what_means_nothing_is_refused_in_a_line(modality: Modality, scope: str, name: str, known: str):
    doc = document(modality)
    doc["budgets"].setdefault(scope, {})[name] = {"max": 1, **provenance("s")}
    (line,) = problems(doc)
    assert (
        line.startswith(f"limits.toml: key budgets.{scope}") and f"no such key here (known: {known})" in line
    )


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_is_declared_stays_required(modality: Modality):
    doc = document(modality)
    declared = budgets_of(modality)
    for each in addable(modality, declared):
        doc["budgets"].setdefault(each.scope, {})[each.name] = {"max": 0, **provenance(each.unit)}
    for each in declared:
        del doc["budgets"][each.scope][each.name]
    assert len(problems(doc)) == len(declared)


def test_a_scope_without_a_row_in_it_adds_nothing():
    doc = document("tacs")
    before = load(to_toml(doc)).budgets
    doc["budgets"]["train"] = {}
    assert load(to_toml(doc)).budgets == before
    doc["budgets"]["train"] = 3
    assert len(key_lines(doc, ("budgets", "train"))) == 1


# Both hands


def budget(scope: Scope, name: BudgetName, high: float) -> Budget:
    return Budget(name=name, scope=scope, unit="u", high=high, source="s", edition="1", status="verified")


def added(rules: Rules, row: Budget) -> Rules:
    return bend_rules(rules, budgets=(*rules.limits.budgets, row))


def second_hand(world: World, row: Budget) -> list[str]:
    """What the second hand has against a ledger, had the budget stood in its limits."""
    genesis, *entries = ledger_of(world)
    assert isinstance(genesis, Genesis)
    oracle = Oracle(rules=added(genesis.rules, row))
    return [text for line in entries for text in oracle.take(line)]  # type: ignore[arg-type]


def whole(modality: Modality, rules: Rules) -> World:
    """One train that comes out whole."""
    world = World(rules=rules).armed()
    world.ask()
    world.run_ms(duration_ns(valid_train(modality)) / MS + 200)
    return world


def spent_on(modality: Modality) -> Mapping[Scope, Exposure]:
    dose = whole(modality, rules_of(modality)).state.dose
    return {"pulse": dose.pulse, "train": dose.train}


ONE = [
    (modality, scope, name)
    for modality in PULSED
    for scope in ("pulse", "train")
    for name in sorted(names_of(modality)[scope])  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("modality", "scope", "name"), ONE)
def test_a_pulse_and_a_train_at_under_and_over_their_budget(
    modality: Modality, scope: Scope, name: BudgetName
):
    spent = float(getattr(spent_on(modality)[scope], name))
    assert spent > 0
    rules = rules_of(modality)
    for high, over in ((spent * 2, False), (spent, False), (spent * (1 - 1e-6), True)):
        row = budget(scope, name, high)
        world = World(rules=added(rules, row)).armed()
        verdict = world.ask()
        assert world.codes(verdict) == ({"ILK-308"} if over and name != "n_pulses" else world.codes(verdict))
        assert bool(world.codes(verdict)) is over
        said = second_hand(whole(modality, rules), row)
        assert any(f"{name} of a {scope}: " in each for each in said) is over
        assert over or said == []


def held(rules: Rules, times: int = 6, train: Train | None = None) -> World:
    """A hold that is renewed without a pause."""
    world = World(rules=rules).armed()
    for _ in range(times):
        world.ask(train)
        world.run_ms(200)
    return world


def once_more(world: World) -> World:
    """After the hold was over, another one."""
    world.run_ms(3000)
    world.ask()
    world.run_ms(2000)
    return world


HELD = [modality for modality in MODALITIES if isinstance(valid_train(modality).waveform, Hold)]


@pytest.mark.parametrize("modality", HELD)
@pytest.mark.parametrize("name", ["on_time_s", "charge_c"])
def test_holds_without_a_pause_are_one_train(modality: Modality, name: BudgetName):
    """At what all of them were granted they pass, and with less than that the last is refused; after a pause they begin
    anew. The second hand counts no more than came out: at the grants it has nothing against them, far below it has."""
    rules = rules_of(modality)
    free = held(rules)
    most = float(getattr(free.state.dose.train, name))
    one = float(getattr(once_more(free).state.dose.train, name))
    assert most > 2 * one > 0
    for high, over in ((most * 2, False), (most, False), (most * (1 - 1e-6), True)):
        row = budget("train", name, high)
        budgets = [b for b in rules.limits.budgets if (b.scope, b.name) != ("train", name)]
        world = once_more(held(bend_rules(rules, budgets=(*budgets, row))))
        assert len(world.permits()) == len(free.permits()) - over
        assert second_hand(world, row) == []
    assert second_hand(free, budget("train", name, most)) == []
    said = second_hand(free, budget("train", name, most / 10))
    assert said and all(f"fired: {name}: " in each and "without a pause" in each for each in said)
    assert len(second_hand(free, budget("train", name, math.nan))) == len(free.permits())


@pytest.mark.parametrize("modality", HELD)
@pytest.mark.parametrize("seed", range(2))
def test_the_second_hand_is_never_stricter_with_a_hasty_policy(modality: Modality, seed: int):
    """Budgets of a train that are met again and again, by holds that rise, fall, lapse and begin anew."""
    rng = random.Random(seed)
    rules = rules_of(modality)
    one = held(rules, 1).state.dose.train
    rows = (
        budget("train", "on_time_s", one.on_time_s * 3),
        budget("train", "charge_c", one.charge_c * 2),
    )
    declared = [b for b in rules.limits.budgets if b.scope != "train"]
    world = World(rules=bend_rules(rules, budgets=(*declared, *rows))).armed()
    refused: set[str] = set()
    for _ in range(14):
        refused |= world.codes(world.ask(rising(world, rng.choice([1.0, 0.5, 0.3, 0.8, 0.0]), 2)))
        world.run_ms(rng.choice([50, 100, 200, 300]) + rng.choice([0] * 4 + [1600]))
    world.run_ms(700)
    assert "ILK-308" in refused and len(world.permits()) >= 2
    judged(world)


def before(modality: Modality, days: float, spent: Exposure) -> Past:
    last_ns = T0.wall_ns - round(days * DAY_NS)
    return Past(modality=modality, first_wall_ns=last_ns - MS, last_wall_ns=last_ns, spent=spent)


LONGER: list[tuple[Modality, Scope, BudgetName, float]] = [
    ("tens", "7d", "on_time_s", 5.0),
    ("tus", "7d", "cem43_brain_min", 5.0),
    ("tus", "7d", "n_pulses", 5.0),
    ("tus", "7d", "n_sessions", 5.0),
    ("dbs", "course", "on_time_s", 20.0),
    ("pns", "course", "charge_c", 20.0),
    ("tens", "course", "n_sessions", 20.0),
    ("rtms", "24h", "on_time_s", 0.5),
]


@pytest.mark.parametrize(("modality", "scope", "name", "days"), LONGER)
def test_longer_scopes_at_under_and_over_their_budget(
    modality: Modality, scope: Scope, name: BudgetName, days: float
):
    """Two earlier sessions of the modality, one of another, and this one's first train or hold."""
    earlier = Exposure(on_time_s=50.0, charge_c=0.5, n_pulses=100, cem43_brain_min=0.5)
    sessions = [before(modality, days, earlier), before(modality, days + 0.2, earlier)]
    history = history_with(*sessions, before("rtms" if modality != "rtms" else "tacs", 3.0, earlier))
    rules = msgspec.structs.replace(rules_of(modality), history=history)
    free = World(rules=rules).armed()
    assert free.codes(free.ask()) == set()
    own = 1.0 if name == "n_sessions" else float(getattr(free.state.dose.granted, name))
    past = 2.0 if name == "n_sessions" else 2 * float(getattr(earlier, name))
    least = own * (1 - 1e-6) if name not in ("n_pulses", "n_sessions") else own - 1
    free.run_ms(duration_ns(valid_train(modality)) / MS + 1000)
    for high, over in ((past + own * 20, False), (past + own, False), (past + least, True)):
        row = budget(scope, name, high)
        world = World(rules=added(rules, row)).armed()
        assert bool(world.codes(world.ask())) is over, high
        if not over:
            assert second_hand(free, row) == []
    said = second_hand(free, budget(scope, name, past))
    assert said and all(f"{name} in {scope}: " in each for each in said)


@pytest.mark.parametrize(
    ("modality", "name"), [("tens", "charge_c"), ("tus", "n_pulses"), ("ctbs", "n_pulses")]
)
def test_a_session_at_under_and_over_its_added_budget(modality: Modality, name: BudgetName):
    rules = rules_of(modality)
    bent = bend_rules(
        rules, budgets=tuple(b for b in rules.limits.budgets if (b.scope, b.name) != ("session", name))
    )
    free = World(rules=rules).armed()
    free.ask()
    own = float(getattr(free.state.dose.granted, name))
    free.run_ms(duration_ns(valid_train(modality)) / MS + 1000)
    for high, over in ((own, False), (own * (1 - 1e-6), True)):
        world = World(rules=added(bent, budget("session", name, high))).armed()
        assert bool(world.codes(world.ask())) is over
    assert second_hand(free, budget("session", name, own)) == []
    assert any(f"{name}: " in each for each in second_hand(free, budget("session", name, own / 100)))


def test_the_controller_is_told_of_an_added_budget_that_has_the_least_left():
    rules = added(rules_of(), budget("train", "on_time_s", 3.0))
    first, *_, last = held(rules, 3).permits()
    assert (last.allowed.scope["on_time_s"], last.allowed.budget["on_time_s"]) == ("train", 3.0)
    assert first.allowed.used["on_time_s"] == 0.0 < 0.5 < last.allowed.used["on_time_s"] < 1.5
