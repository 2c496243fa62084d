"""The short forms of the long proofs that need no machine to themselves, and the campaign itself: it goes on, keeps,
reports, and overlooks nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign import results
from tests.campaign.proof import PROOFS, Case, Result, proof
from tests.campaign.report import HEAD, failures, into_readme, quantile, table
from tests.campaign.running import run
from tests.campaign.short_form import PURE, holds


@pytest.fixture
def nothing_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "KEPT", tmp_path / "kept")


@pytest.mark.timeout(400)  # all safety tests are collected in it
@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("name", PURE)
def test_the_short_form_of_a_proof_holds(name: str, tmp_path: Path) -> None:
    holds(name, tmp_path)


@pytest.mark.usefixtures("nothing_kept")
def test_what_fails_hangs_or_crashes_is_told_and_stops_nobody(tmp_path: Path) -> None:
    said: list[str] = []
    assert not run(["example"], "short", tmp_path, jobs=3, budget_s=60.0, say=said.append)
    found = results.load(tmp_path, "example")
    told = {
        case: [each.outcome for each in found if each.case == case] for case in {each.case for each in found}
    }
    assert told == {
        "holds": ["held"] * 2, "fails": ["failed"] * 2, "raises": ["failed"] * 2, "hangs": ["failed"] * 2,
        "crashes": ["failed"] * 2, "void": ["void"] * 3 + ["held"] * 2,
    }  # fmt: skip
    texts = {each.case: each.text for each in found if each.outcome == "failed"}
    assert texts["raises"] == "ValueError: what nobody expected" and "it hangs" in texts["hangs"]
    assert "ended with -6" in texts["crashes"]
    lines = list(failures(["example"], tmp_path))
    assert len(lines) == 11 and "example raises seed 0: failed: ValueError: what nobody expected" in lines
    text = table(["example"], tmp_path)
    assert text.startswith(HEAD)
    assert [line.split("|")[-2].strip() for line in text.splitlines()[2:]] == [
        "not enough yet", "**no**", "**no**", "**late**", "**no**", "**no**",
    ]  # fmt: skip


@pytest.mark.usefixtures("nothing_kept")
def test_it_goes_on_from_what_is_kept_and_from_what_is_not(tmp_path: Path) -> None:
    kept, other = tmp_path / "a", tmp_path / "b"
    for seed in (0, 1, 4):
        results.append(kept, _held(seed))
    assert results.keep(kept, "example") == 3 and results.keep(kept, "example") == 3
    for seed in (1, 2):
        results.append(other, _held(seed))
    with (other / "example.jsonl").open("ab") as file:
        file.write(b'{"proof":"exam')  # the machine went down here
    assert [each.seed for each in results.load(other, "example")] == [0, 1, 2, 4]
    assert results.keep(other, "example") == 4
    for path in tmp_path.glob("[ab]/*"):
        path.unlink()
    assert [each.seed for each in results.load(other, "example")] == [0, 1, 2, 4]
    assert [path.name for path in results.KEPT.iterdir()] == ["example.jsonl.gz"]


def _held(seed: int) -> Result:
    return Result(
        proof="example", case="holds", seed=seed, commit="c", date=f"2026-01-01T00:00:0{seed}+00:00", outcome="held",
        measured={"ms": 1.0},
    )  # fmt: skip


def test_every_proof_states_its_bars() -> None:
    for name in PROOFS:
        cases = list(proof(name).cases())
        assert cases and len({case.name for case in cases}) == len(cases)
        assert all(case.long > 0 and case.short >= 0 for case in cases)
        assert all(isinstance(case, Case) for case in cases)


def test_a_quantile_is_a_figure_that_was_measured() -> None:
    assert [quantile([3.0, 1.0, 2.0], share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 2.0, 3.0, 3.0]
    assert quantile([float(n) for n in range(1, 1001)], 0.99) == 990.0


def test_the_table_has_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "README.md"
    page.write_text("a\n<!-- campaign -->\nold\n<!-- /campaign -->\nb\n")
    monkeypatch.setattr("tests.campaign.report.README", page)
    into_readme("new")
    assert page.read_text() == "a\n<!-- campaign -->\nnew\n<!-- /campaign -->\nb\n"
    page.write_text("a\n<!-- campaign -->\n")
    with pytest.raises(ValueError, match="marks"):
        into_readme("new")
