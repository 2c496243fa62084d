"""One table by itself: what each getter takes, to the last value, and the line that it writes about anything else."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable

import pytest

from safety.strict_table import Problems, Table


def table(**content: object) -> tuple[Table, Problems]:
    problems = Problems()
    return Table(content, "t", problems), problems


def said(read: Callable[[Table], object], **content: object) -> tuple[object, tuple[str, ...]]:
    """What a getter gives for a table, and the lines that come of it, without their beginning."""
    asked, problems = table(**content)
    value = read(asked)
    asked.close()
    begin = "limits.toml: key t.a: "
    assert all(line.startswith(begin) for line in problems.lines)
    return value, tuple(line.removeprefix(begin) for line in problems.lines)


@pytest.mark.parametrize("value", (3, 4, 7))
def test_an_integer_from_its_least_to_its_most(value: int):
    assert said(lambda t: t.integer("a", 3, 7), a=value) == (value, ())


@pytest.mark.parametrize(
    ("value", "found"),
    [(2, "2"), (8, "8"), (4.0, "4.0"), (True, "true"), ("4", '"4"'), ({}, "a table"), ([], "an array")],
)
def test_what_is_no_such_integer(value: object, found: str):
    told = f"found {found}, expected an integer from 3 to 7 ms"
    assert said(lambda t: t.integer("a", 3, 7, "ms"), a=value) == (3, (told,))


@pytest.mark.parametrize("value", (-1.5, 0, 0.0, 1, 2.5))
def test_a_number_from_its_least_to_its_most(value: float):
    found, lines = said(lambda t: t.number("a", -1.5, 2.5), a=value)
    assert (found, type(found), lines) == (value, float, ())


@pytest.mark.parametrize(
    "value",
    (
        math.nextafter(-1.5, -2),
        math.nextafter(2.5, 3),
        -0.0,
        math.nan,
        math.inf,
        -math.inf,
        True,
        "1",
        None,
        2**53 + 1,
    ),
)
def test_what_is_no_such_number(value: object):
    found, (line,) = said(lambda t: t.number("a", -1.5, 2.5), a=value)
    assert found == -1.5 and line.endswith(", expected a finite number from -1.5 to 2.5")


def test_a_word_of_those_that_there_are():
    for value in ("x", "y"):
        assert said(lambda t: t.choice("a", ("x", "y")), a=value) == (value, ())
    for value in ("z", "X", "", None, 1, ["x"]):
        found, (line,) = said(lambda t: t.choice("a", ("x", "y")), a=value)
        assert found is None and line.endswith(', expected "x" or "y"')


def test_a_text_and_one_of_a_pattern():
    assert said(lambda t: t.text("a"), a="w") == ("w", ())
    assert said(lambda t: t.text("a", "b", re.compile("b+")), a="bb") == ("bb", ())
    for value, pattern in (("bbc", "b+"), ("", "b+"), (1, "b+"), (None, ".*")):
        found, (line,) = said(lambda t, p=pattern: t.text("a", "bees", re.compile(p)), a=value)  # type: ignore[misc]
        assert found == "" and line.endswith(", expected bees")


def test_a_date_and_no_moment_and_no_text():
    assert said(lambda t: t.date("a"), a=datetime.date(2026, 1, 31)) == ("2026-01-31", ())
    for value in (datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC), "2026-01-31", None):
        found, (line,) = said(lambda t: t.date("a"), a=value)
        assert found == "" and line.endswith(", expected a date without quotes, as 2026-01-31")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (datetime.date(2026, 1, 31), "2026-01-31"),
        (datetime.time(12, 30), "12:30:00"),
        (datetime.datetime(2026, 1, 31, 12, 30, tzinfo=datetime.UTC), "2026-01-31T12:30:00+00:00"),
    ],
)
def test_a_date_or_a_time_is_told_as_the_file_writes_it(value: object, found: str):
    assert said(lambda t: t.text("a", "w"), a=value) == ("", (f"found {found}, expected w",))


@pytest.mark.parametrize(
    "read",
    [
        lambda t: t.integer("a", 3, 7),
        lambda t: t.number("a", 3.0, 7.0),
        lambda t: t.choice("a", ("x",)),
        lambda t: t.text("a"),
        lambda t: t.date("a"),
        lambda t: t.table("a").keys,
    ],
)
def test_a_key_that_is_not_there_is_nothing(read: Callable[[Table], object]):
    value, (line,) = said(read)
    assert line.startswith("found nothing, expected ")
    assert value in (3, 3.0, None, "", ())


def test_a_table_inside_writes_to_the_same_lines_under_its_path():
    asked, problems = table(a={"b": 1, "odd key": 2})
    inner = asked.table("a")
    assert inner.keys == ("b", "odd key") and inner.path("b") == "t.a.b"
    inner.integer("b", 2, 3)
    inner.refuse("odd key", "none")
    inner.refuse_all("this", "that")
    assert problems.lines == (
        "limits.toml: key t.a.b: found 1, expected an integer from 2 to 3",
        "limits.toml: key t.a.'odd key': found 2, expected none",
        "limits.toml: key t.a: found this, expected that",
    )


def test_what_is_no_table_is_told_once_and_nothing_in_it():
    for value in (1, [], "x"):
        asked, problems = table(a=value)
        inner = asked.table("a")
        inner.integer("b", 2, 3)
        inner.close()
        asked.close()
        (line,) = problems.lines
        assert line.endswith(", expected a table (it may be empty)")


def test_the_table_of_a_whole_file_has_no_path():
    problems = Problems()
    root = Table({"a": 1}, "", problems)
    assert root.path("a") == "a" and root.path("x" * 64) == "x" * 64
    assert root.path("x" * 65) == repr("x" * 65)[:40]
    root.refuse("a", "none")
    assert problems.lines == ("limits.toml: key a: found 1, expected none",)


def test_every_key_that_nobody_asked_for_is_told_and_what_is_known_listed():
    asked, problems = table(b=1, a=2, c=3)
    asked.close()
    assert [line.partition("expected ")[2] for line in problems.lines] == [
        "no such key here (known: none)"
    ] * 3
    asked, problems = table(b=1, a=2, c=3)
    asked.integer("b", 0, 9)
    asked.integer("a", 0, 9)
    asked.close()
    assert problems.lines == ("limits.toml: key t.c: found 3, expected no such key here (known: a, b)",)


@pytest.mark.parametrize(
    ("value", "taken", "lines"),
    [("one", "one", ()), ("two", "two", ()), (3, "one", ('found 3, expected "one" or "two"',))],
)
def test_a_word_that_is_none_of_them_is_told_and_the_first_is_taken(
    value: object, taken: str, lines: tuple[str, ...]
):
    assert said(lambda t: t.word("a", ("one", "two")), a=value) == (taken, lines)
