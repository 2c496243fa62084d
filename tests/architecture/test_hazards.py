"""No orphan on either side: every limit and code has a hazard, every hazard names what is there; the page is of today."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.hazards import (
    NOT_RUN,
    TABLE,
    Hazard,
    codes_there_are,
    limits_there_are,
    main,
    orphans,
    read,
    result_of,
    results_of,
    rows,
    table,
)

GOOD = rows()


def bent(**changes: object) -> tuple[Hazard, ...]:
    """The rows with the first one bent."""
    return (msgspec.structs.replace(GOOD[0], **changes), *GOOD[1:])


def test_no_orphan_on_either_side():
    found = list(orphans(GOOD))
    assert found == [], "write it into a row of tests/hazards.toml, then run `python -m tests.hazards`"


def test_the_page_is_made_from_the_rows():
    page = TABLE.read_text(encoding="utf-8")
    made = table(GOOD, results_of(page))
    assert page == made, "tests/hazards.toml has changed: run `python -m tests.hazards`"


@pytest.mark.parametrize("row", GOOD, ids=lambda row: row.id)
def test_a_row_that_is_taken_out_leaves_an_orphan(row: Hazard):
    """Unless it names nothing of its own: then it is there for its tests."""
    left = list(orphans(tuple(each for each in GOOD if each is not row)))
    alone = [code for code in row.codes if not any(code in each.codes for each in GOOD if each is not row)]
    assert len([line for line in left if "a code that no hazard names" in line]) == len(alone)
    assert bool(left) or not (alone or row.limits)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"codes": ("ILK-001", "ILK-002", "ILK-003", "ILK-999")}, "no code is called ILK-999"),
        ({"limits": ("tacs.amplitude_ma",)}, "no limit is called tacs.amplitude_ma"),
        ({"limits": ("*.amplitude",)}, "no limit is called *.amplitude"),
        ({"files": ("safety/nowhere.py",)}, "no file safety/nowhere.py"),
        ({"files": ()}, "no test, or no file"),
        ({"tests": ()}, "no test, or no file"),
        (
            {"tests": ("tests/safety/test_dose.py::test_nothing",)},
            "no test tests/safety/test_dose.py::test_nothing",
        ),
        ({"tests": ("tests/safety/nowhere.py::test_x",)}, "no test tests/safety/nowhere.py::test_x"),
        ({"id": "X1"}, "X1: expected H and two digits"),
        ({"id": GOOD[1].id}, "the id of two rows"),
        ({"codes": ("ILK-001", "ILK-002")}, "ILK-003: a code that no hazard names"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_orphan_is_named(changes: dict[str, object], said: str):
    assert [line for line in orphans(bent(**changes)) if said in line]


def test_a_row_is_strict():
    row = '[[hazard]]\nid = "H99"\nhazard = "x"\nguard = "y"\nfiles = []\n'
    with pytest.raises(msgspec.ValidationError, match="tests"):
        read(row)
    with pytest.raises(msgspec.ValidationError, match="test_of"):
        read(row + "tests = []\ntest_of = 1\n")


def test_what_there_is_is_much():
    """An inventory that came back empty would have no orphans."""
    assert len(codes_there_are()) > 60
    assert {
        "tacs.amplitude_ma_pp",
        "rtms.formula.rossi2009_table5",
        "watch.data_age_ms",
    } <= limits_there_are().keys()
    assert any(".budget.session." in name for name in limits_there_are())


def test_a_result_is_the_worst_of_its_tests():
    row = msgspec.structs.replace(GOOD[0], tests=("a::x", "b::y", "c::z"))
    every = dict.fromkeys(row.tests, "passed")
    assert result_of(row, every) == "3 passed"
    assert result_of(row, every | {"b::y": "failed", "a::x": NOT_RUN}) == "1 of 3 failed"
    assert result_of(row, {"a::x": "passed"}) == "2 of 3 not run"


def test_results_are_read_back_from_the_page():
    """So that a row can be added, or some of the tests run, and the rest keeps what was found."""
    nodes = [node for row in GOOD for node in row.tests]
    results = dict.fromkeys(nodes[::2], "passed") | {nodes[0]: "failed"}
    assert results_of(table(GOOD, results)) == results
    assert results_of(table(GOOD, {})) == {}


@pytest.mark.parametrize(
    "arguments", (["--run", "tests/nowhere"], ["--runs"], ["--run", "a", "b"]), ids=" ".join
)
def test_a_wrong_call_runs_nothing(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    before = TABLE.read_bytes()
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert TABLE.read_bytes() == before


def test_no_test_that_is_named_failed_when_it_was_last_run():
    assert "failed" not in results_of(TABLE.read_text(encoding="utf-8")).values()


def test_the_page_has_no_place_of_this_machine():
    assert str(Path.home()) not in TABLE.read_text(encoding="utf-8")
