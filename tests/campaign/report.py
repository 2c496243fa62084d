"""The table of the campaign, made of its results alone, and its place in safety/README.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.campaign import results
from tests.campaign.proof import ROOT, Case, Proof, Result, commit, proof
from tests.campaign.running import bar_of, counted

README = ROOT / "safety" / "README.md"
BEGIN, END = "<!-- campaign -->", "<!-- /campaign -->"
HEAD = (
    "| proof | case | tried / bar | failed, void | measured: p50 / p99 / greatest (bound) | commits | last | answer |\n"
    "|---|---|---|---|---|---|---|---|"
)


def quantile(figures: Sequence[float], share: float) -> float:
    """The smallest figure that at least this share is not above."""
    ordered = sorted(figures)
    return ordered[max(0, -(-round(share * 1000) * len(ordered) // 1000) - 1)]


def table(names: Sequence[str], folder: Path) -> str:
    """One row a case that has a bound; where the cases of a proof are many and alike, one for all, and each odd one."""
    lines = [HEAD]
    for name in names:
        asked = proof(name)
        known = results.load(folder, name)
        rows = [(case, counted(asked, case, known)) for case in asked.cases()]
        lines += _rows(asked, [(case, found) for case, found in rows if bar_of(asked, case, "long")])
    return "\n".join(lines)


def _rows(asked: Proof, rows: list[tuple[Case, list[Result]]]) -> list[str]:
    told = [(case, bar_of(asked, case, "long"), found) for case, found in rows]
    if len(rows) <= 4 or any(case.bound is not None for case, _ in rows):
        return [_row(asked, case.name, case, bar, found, _units(found)) for case, bar, found in told]
    every = sum(bar for _, bar, _ in told)
    tried = sum(min(bar, _units(found)) for _, bar, found in told)  # one case's more is not another's
    one = Case(name="all", short=0, long=every, unit=rows[0][0].unit)
    lines = [
        _row(asked, f"all {len(rows)}", one, every, [each for _, found in rows for each in found], tried)
    ]
    amiss = ("failed", "void") if asked.seeds is None else ("failed",)  # of a list, void is to be tried again
    odd = [(case, bar, found) for case, bar, found in told if any(each.outcome in amiss for each in found)]
    return lines + [_row(asked, case.name, case, bar, found, _units(found)) for case, bar, found in odd]


def _units(found: Sequence[Result]) -> int:
    return sum(each.n for each in found if each.outcome != "void")


def _row(asked: Proof, label: str, case: Case, bar: int, found: list[Result], tried: int) -> str:
    valid = [each for each in found if each.outcome != "void"]
    failed = sum(each.outcome == "failed" for each in found)
    here = sum(each.n for each in valid if each.commit == commit())
    commits = sorted(
        {each.commit for each in found}, key=lambda c: max(e.date for e in found if e.commit == c)
    )
    cells = [
        asked.name,
        label,
        f"{tried:,} / {bar:,} {case.unit}",
        f"{failed}, {len(found) - len(valid)}",
        _measured(case, valid),
        f"{_span(commits)}{f' ({here:,} of this one)' if here not in (0, tried) else ''}",
        max((each.date[:10] for each in found), default=""),
        _answer(case, valid, tried >= bar, bool(failed), len(found) - len(valid)),
    ]
    return "| " + " | ".join(cells) + " |"


def _span(commits: Sequence[str]) -> str:
    return "" if not commits else commits[0] if len(commits) == 1 else f"{commits[0]} to {commits[-1]}"


def figures_of(case: Case, found: Sequence[Result]) -> list[float]:
    """What was measured of a case, trial by trial."""
    return [float(each.measured[case.measure]) for each in found if case.measure in each.measured]


def _measured(case: Case, found: Sequence[Result]) -> str:
    figures = figures_of(case, found)
    if not figures:
        return ""
    bound = "" if case.bound is None else f" ({case.bound:g})"
    return f"{quantile(figures, 0.5):.1f} / {quantile(figures, 0.99):.1f} / {max(figures):.1f}{bound}"


def _answer(case: Case, found: Sequence[Result], enough: bool, failed: bool, void: int) -> str:
    figures = figures_of(case, found)
    if failed:
        return "**no**"
    if figures and case.bound is not None and quantile(figures, 0.99) > case.bound:
        return "**late**"
    if void and not found:
        return "**void**"
    return "yes" if enough else "not enough yet" if found else "not run yet"


def failures(names: Sequence[str], folder: Path) -> Iterator[str]:
    """Each result that counts and is no answer in favour, a line each."""
    for name in names:
        asked = proof(name)
        known = results.load(folder, name)
        for case in asked.cases():
            for each in counted(asked, case, known):
                if each.outcome in ("failed", "void"):
                    text = " ".join(each.text.split())
                    yield f"{name} {case.name} seed {each.seed}: {each.outcome}: {text}"


def into_readme(text: str, opens: str = BEGIN, closes: str = END) -> None:
    """Put a table between its marks."""
    page = README.read_text(encoding="utf-8")
    before, begin, rest = page.partition(opens)
    _, end, after = rest.partition(closes)
    if not begin or not end:
        raise ValueError(f"{README}: expected the marks {opens} and {closes}")
    README.write_text(f"{before}{opens}\n{text}\n{closes}{after}", encoding="utf-8")
