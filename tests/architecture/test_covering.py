"""The tool behind `make coverage`: what it measures is there, it says each gap once, and its floor only rises."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.campaign import covering
from tests.campaign.fewer import EXAMPLES_MAX, fewer
from tests.campaign.mutating.trying import files
from tests.campaign.proof import ROOT


def found(
    lines: tuple[int, int], branches: tuple[int, int], missing: list[int], jumps: list[list[int]]
) -> dict[str, object]:
    """As `coverage json` says it of one file."""
    summary = {
        "covered_lines": lines[0], "num_statements": lines[1], "covered_branches": branches[0], "num_branches": branches[1]
    }  # fmt: skip
    return {"summary": summary, "missing_lines": missing, "missing_branches": jumps}


def test_all_that_is_measured_is_there():
    assert {
        "safety/interlock.py",
        "safety/limits.py",
        "safety/dose.py",
        "safety/wire.py",
        "safety/verify.py",
    } < set(files())
    assert all((ROOT / name).is_file() for name in files())
    asked = [*covering.shares(), *covering.of_processes()]
    assert all((ROOT / path).is_file() for piece in asked for path in piece.paths)


def test_every_test_file_is_in_one_share_and_no_share_is_long():
    shares = [piece.paths for piece in covering.shares()]
    every = [path for paths in shares for path in paths]
    there = [path for folder in covering.SIDE_BY_SIDE for path in (ROOT / folder).rglob("test_*.py")]
    names = {path.relative_to(ROOT).as_posix() for path in there}
    assert sorted(every) == sorted(names - set(covering.ALONE))
    lengths = [sum((ROOT / path).stat().st_size for path in paths) for paths in shares]
    assert min(lengths) > 0.5 * max(lengths)


def test_what_was_measured_is_known_by_its_name_its_code_and_its_tests():
    asked = [*covering.shares(), *covering.of_processes()]
    assert len({piece.digest() for piece in asked}) == len(asked)
    assert [piece.digest() for piece in covering.shares()] == [piece.digest() for piece in covering.shares()]


@pytest.mark.parametrize(
    ("numbers", "said"), [([], ""), ([3], "3"), ([9, 3, 7, 8], "3, 7-9"), ([1, 2, 4, 5], "1-2, 4-5")]
)
def test_lines_in_a_row_are_said_as_a_span(numbers: list[int], said: str):
    assert covering.spans(numbers) == said


def test_a_file_that_is_not_whole_is_one_line_and_a_gap_is_said_once():
    gaps = found((8, 10), (3, 6), [12, 13], [[12, 14], [20, -5], [30, 32]])
    told = covering.told_of("safety/x.py", gaps)
    assert told == "safety/x.py: 68.7 %, without lines 12-13; branches 20->end, 30->32"
    assert not covering.counted([gaps]).whole
    only = covering.told_of("safety/x.py", found((10, 10), (1, 2), [], [[3, 5]]))
    assert only == "safety/x.py: 91.6 %, without branches 3->5"


def test_sums_are_of_all_files_and_a_single_branch_is_enough_to_be_not_whole():
    whole = found((10, 10), (4, 4), [], [])
    assert covering.counted([whole, whole]) == covering.Counted(2, 20, 20, 8, 8)
    assert covering.counted([whole]).whole and covering.counted([whole]).pct == 100.0
    assert not covering.counted([whole, found((10, 10), (3, 4), [], [[1, 2]])]).whole
    nearly = covering.counted([found((99_999, 100_000), (0, 0), [1], [])])
    assert nearly.pct == 99.9 and not nearly.whole
    assert covering.counted([]).pct == 100.0


def test_the_floor_rises_by_tenths_and_never_falls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    floor = tmp_path / "coverage.toml"
    floor.write_text("# says why\nshell_pct = 50.0\n")
    monkeypatch.setattr(covering, "FLOOR", floor)
    for measured_pct in (0.0, 49.9, 50.0):
        assert covering.raised(50.0, measured_pct) == 50.0
    assert floor.read_text() == "# says why\nshell_pct = 50.0\n"
    assert covering.raised(50.0, 71.3) == 71.3
    assert floor.read_text() == "# says why\nshell_pct = 71.3\n"


def test_the_table_says_what_was_measured_and_what_was_left_out():
    core, shell = covering.Counted(70, 10, 10, 4, 4), covering.Counted(50, 700, 1_000, 100, 200)
    all_of_it, fewer_tests = (
        covering.table(core, shell, 60.0, without_processes=without) for without in (False, True)
    )
    assert "| decision core | 70 | 10 of 10 | 4 of 4 | 100.0 % | 100 % |" in all_of_it
    assert "| its shell | 50 | 700 of 1,000 | 100 of 200 | 66.6 % | 60.0 %, only rises |" in all_of_it
    assert "| its shell, without the tests of real processes | 50 |" in fewer_tests


def test_few_examples_and_the_same_in_each_run():
    many = fewer(settings(max_examples=5_000, derandomize=False))
    assert (many.max_examples, many.derandomize, many.deadline) == (EXAMPLES_MAX, True, None)
    assert many.phases == (Phase.explicit, Phase.generate)
    assert fewer(settings(max_examples=3)).max_examples == 3
