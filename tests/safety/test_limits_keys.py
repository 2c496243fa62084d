"""limits.toml, key by key: each is required, of its type and inside its range; no unknown one is taken."""

from __future__ import annotations

import copy
import datetime
import math

import pytest

from drivers.stimulation import Modality
from safety.modalities import budgets_of, quantities_of, rules_of, spacing_of
from tests.safety.documents import bent, inside, key_lines, leaves, problems, tables
from tests.safety.strategies import MODALITIES, Raw, document, quantity_of

EVERY_LEAF = [(modality, path) for modality in MODALITIES for path in leaves(document(modality))]
EVERY_TABLE = [(modality, path) for modality in MODALITIES for path in tables(document(modality))]
NUMBERS = [
    (modality, path)
    for modality, path in EVERY_LEAF
    if type(inside(document(modality), path[:-1])[path[-1]]) in (int, float)
]
ids = [f"{modality}-{'.'.join(path)}" for modality, path in EVERY_LEAF]
number_ids = [f"{modality}-{'.'.join(path)}" for modality, path in NUMBERS]


@pytest.mark.parametrize(("modality", "path"), EVERY_LEAF, ids=ids)
def test_every_key_is_required(modality: Modality, path: tuple[str, ...]):
    doc = document(modality)
    del inside(doc, path[:-1])[path[-1]]
    (line,) = key_lines(doc, path)
    assert "found nothing, expected " in line


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_table_is_required_and_a_missing_one_is_told_once(modality: Modality):
    for path in [path for of, path in EVERY_TABLE if of == modality and path]:
        doc = document(modality)
        del inside(doc, path[:-1])[path[-1]]
        if path[0] in ("people", "contacts") and len(path) == 2:
            continue  # names of the file's own; their number has its own test
        assert len(key_lines(doc, path)) == 1, path


@pytest.mark.parametrize("modality", MODALITIES)
def test_an_unknown_key_is_refused_in_every_table(modality: Modality):
    for path in [path for of, path in EVERY_TABLE if of == modality]:
        doc = document(modality)
        inside(doc, path)["limit_off"] = 1
        assert len(key_lines(doc, (*path, "limit_off"))) >= 1, path


WRONG: tuple[object, ...] = (
    *(True, False, [], [1], {"a": 1}, "", "2", "nan", "2026-01-01", "a\nb", "\x1b[2J", "\u2028", "x" * 201),
    *("Am 2\u202e4 xam", "\u2066a", "a\u200bb", "a\xad", "\ufeffa", "\u200fa", "\u061ca", "a\U000e0041"),
    *(-1, 0, 1.5, datetime.date(2026, 1, 1), Raw("2026-01-01T00:00:00"), Raw("2026-01-01T00:00:00Z")),
    *(Raw("12:00:00"), Raw("nan"), Raw("+inf"), Raw("-inf"), Raw("1e999"), Raw("-0.0"), Raw("1" + "0" * 310)),
    *(Raw("9223372036854775808"), Raw("-1e-300"), Raw("1e300")),
)


GOOD_NUMBERS: dict[tuple[str, ...], tuple[object, ...]] = {
    ("area_cm2",): (1.5,),
    ("response", "dead_band"): (0, 1.5),
    ("rate_tolerance_pct",): (1.5,),
    **{
        ("budgets", b.scope, b.name, "max"): (0,) if b.integer else (0, 1.5)
        for m in MODALITIES
        for b in budgets_of(m)
    },
}


# Those of the list that are numbers, each with its value.
OF_THE_LIST: tuple[tuple[object, float], ...] = ((-1, -1), (0, 0), (1.5, 1.5), ("-1e-300", -1e-300))


def good_numbers(modality: Modality, path: tuple[str, ...]) -> tuple[object, ...]:
    """Which of the list's numbers the key takes."""
    if path[0].endswith("_limits") and len(path) > 1:
        declared = quantity_of(modality, path[1])
        inside_bounds = [(shown, x) for shown, x in OF_THE_LIST if declared.low <= x <= declared.high]
        return tuple(shown for shown, x in inside_bounds if not declared.integer or type(x) is int)
    if path[0] == "inputs":
        fact = next(each for each in rules_of(modality).inputs if each.name == path[1])
        return tuple(shown for shown, x in OF_THE_LIST if fact.low <= x <= fact.high)
    return next((GOOD_NUMBERS[path[-n:]] for n in (1, 2, 4) if path[-n:] in GOOD_NUMBERS), ())


def fits(modality: Modality, path: tuple[str, ...], right: object, value: object) -> bool:
    """Whether a value of the list above happens to be a good one for a key."""
    if isinstance(right, datetime.date):
        return type(value) is datetime.date
    if isinstance(right, str):
        words = (
            "title",
            "responsible",
            "source",
            "edition",
            "code",
            "rig",
            "identity",
            "distribution",
            "version",
            "driver",
        )
        short = type(value) is str and value in ("2", "nan", "2026-01-01")
        return short and (path[-1] in words or path == ("site", "name"))
    good = good_numbers(modality, path)
    return type(value) is not bool and any(value == one for one in good)


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("value", WRONG, ids=range(len(WRONG)))
def test_a_wrong_value_is_refused_at_every_key_at_once(modality: Modality, value: object):
    doc = document(modality)
    expected = []
    for path in leaves(document(modality)):
        right = inside(doc, path[:-1])[path[-1]]
        if (
            path[0] == "modality"
            or (right == {} and isinstance(value, dict))
            or fits(modality, path, right, value)
        ):
            continue
        inside(doc, path[:-1])[path[-1]] = value
        expected.append(path)
    found = problems(doc)
    assert all(line.isprintable() and len(line) < 400 for line in found)
    told = {line.split(": ")[1].removeprefix("key ") for line in found}
    missed = [".".join(path) for path in expected if ".".join(path) not in told]
    assert not missed and expected


@pytest.mark.parametrize("name", [Raw("1"), Raw("[]"), Raw("{}"), Raw("nan"), Raw("true"), Raw("[[]]")])
def test_a_modality_of_the_wrong_type_is_refused(name: Raw):
    assert len(key_lines(bent("tacs", ("modality", "name"), name), ("modality", "name"))) == 1


@pytest.mark.parametrize(("modality", "path"), NUMBERS, ids=number_ids)
def test_numbers_outside_their_range_are_refused_by_the_next_float(modality: Modality, path: tuple[str, ...]):
    doc = document(modality)
    declared = {d.name: d for d in quantities_of(modality)}.get(path[-2])
    budget = {("budgets", b.scope, b.name, "max"): b for b in budgets_of(modality)}.get(path)  # type: ignore[call-overload]
    spacing = {("spacing", s.name, "min"): s for s in spacing_of(modality)}.get(path)  # type: ignore[call-overload]
    if path[0] == "protocol_limits" and declared is not None:
        low, high, integer = declared.low, declared.high, declared.integer
        inside(doc, path[:-1]).update(
            {"min": low, "max": high} if declared.sides == "both" else {path[-1]: high}
        )
    elif budget is not None:
        low, high, integer = 0.0, budget.high, budget.integer
    elif spacing is not None:
        low, high, integer = spacing.low, 31_536_000.0, False
    else:
        return
    table = inside(doc, path[:-1])
    for value, passes in (
        (low, True),
        (high, True),
        (low - 1 if integer else math.nextafter(low, -math.inf), False),
        (high + 1 if integer else math.nextafter(high, math.inf), False),
    ):
        before = copy.deepcopy(table)
        table[path[-1]] = int(value) if integer else value
        if passes and declared is not None and declared.sides == "both":
            table.update({"min": table[path[-1]], "max": table[path[-1]]})
        assert bool(key_lines(doc, path)) is not passes, value
        table.clear()
        table.update(before)


RANGES = [
    (("relay", "silence_ms"), 50, 150),
    (("watch", "data_age_ms"), 20, 1000),
    (("watch", "heartbeat_ms"), 20, 200),
    (("watch", "host_ms"), 20, 200),
    (("watch", "clean_fraction_min"), 0.5, 1.0),
    (("watch", "rate_tolerance_pct"), 0.1, 20.0),
    (("watch", "lapses_max"), 1, 3),
    (("watch", "off_min_ms"), 100, 60_000),
    (("response", "dead_band"), 0.0, 1e6),
    (("response", "window_ms"), 1000, 600_000),
    (("file", "schema"), 1, 1),
    (("file", "serial"), 1, 2**53),
    (("contacts", "F3", "area_cm2"), 0.5, 100.0),
    (("inputs", "motor_threshold_pct_mso"), 15.0, 100.0),
]


@pytest.mark.parametrize(("path", "low", "high"), RANGES, ids=[".".join(path) for path, _, _ in RANGES])
def test_the_ranges_of_all_other_numbers_are_inclusive(path: tuple[str, ...], low: float, high: float):
    modality: Modality = "rtms" if path[0] == "inputs" else "tacs"
    whole = isinstance(low, int)
    below = low - 1 if whole else math.nextafter(low, -math.inf)
    above = high + 1 if whole else math.nextafter(high, math.inf)
    assert problems(bent(modality, path, low)) == problems(bent(modality, path, high)) == ()
    assert len(key_lines(bent(modality, path, below), path)) == 1
    assert len(key_lines(bent(modality, path, above), path)) == 1


@pytest.mark.parametrize(
    ("refuse", "trip", "wrong"),
    [
        (1, 2, ""), (1, 1, "windows_trip"), (0, 2, "windows_refuse"), (0, 1, "windows_refuse"),
        (100, 101, ""), (100, 100, "windows_trip"), (101, 200, "windows_refuse"),
        (100, 200, ""), (100, 201, "windows_trip"),
    ],
)  # fmt: skip
def test_more_windows_trip_than_refuse(refuse: int, trip: int, wrong: str):
    doc = document("tacs")
    doc["response"] |= {"windows_refuse": refuse, "windows_trip": trip}
    told = [line for line in problems(doc) if wrong and f"response.{wrong}" in line]
    assert len(told) == bool(wrong)
    assert bool(problems(doc)) is bool(wrong)
