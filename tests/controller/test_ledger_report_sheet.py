"""The first sheet of the safety officer's page, its numbers in words, and what it looks like on paper."""

from __future__ import annotations

import math
import os
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from controller.finished.page import page
from controller.ledger_report.doses import DoseLine, doses_of
from controller.ledger_report.page import render
from controller.ledger_report.reading import Material, material_of
from controller.ledger_report.sheet import NOT_PROVEN
from controller.ledger_report.verb import ledger
from controller.ledger_report.words import ROWS_MAX, drifted, few, shortened, utc
from safety.limit_values import Budget
from safety.software import software
from safety.verify import verify
from tests.controller.test_ledger_report import words_of
from tests.safety.after_sessions import HOUR_NS, SECOND_DAY, WALL_NS
from tests.safety.histories import history_with, past
from tests.safety.ledgers import session, write
from tests.safety.strategies import hold
from tests.safety.world import World, bend_rules, rules_of

CALL = CliRunner()
WEEK = Budget(name="on_time_s", scope="7d", unit="s", high=10.0, source="s", edition="1", status="verified")


def of(path: Path) -> Material:
    return material_of(path, verify(path, software()))


def earlier_sessions(folder: Path, *budgets: Budget) -> Material:
    """One holds of a participant who had 4 s an hour ago, and 20 s eight days ago."""
    history = history_with(
        past(WALL_NS - HOUR_NS, on_time_s=4.0), past(WALL_NS - 192 * HOUR_NS, on_time_s=20.0)
    )
    rules = bend_rules(
        msgspec.structs.replace(rules_of(), history=history), budgets=(*rules_of().limits.budgets, *budgets)
    )
    world = World(rules).armed()
    world.ask()
    world.run_ms(100)
    world.stop()
    world.run_ms(300)
    return of(write(folder, world))


def by_scope(found: tuple[DoseLine, ...]) -> dict[tuple[str, str], DoseLine]:
    return {(each.budget.scope, each.budget.name): each for each in found}


def test_earlier_sessions_count_against_their_windows(tmp_path: Path):
    found = by_scope(doses_of(earlier_sessions(tmp_path, WEEK, SECOND_DAY)))
    week = found["7d", "on_time_s"]
    assert week.earlier == 4.0  # what ended eight days ago has left the window
    assert week.reserved == 5.0
    assert (week.total, week.share, week.beyond) == (9.0, 0.9, False)
    assert found["session", "on_time_s"].earlier == 0.0
    days = found["in_a_row", "n_days"]
    assert (days.total, days.beyond) == (1.0, False)


def test_a_budget_that_was_overrun_is_told_first(tmp_path: Path):
    material = earlier_sessions(tmp_path, WEEK)
    rules = bend_rules(material.genesis.rules, budgets=(msgspec.structs.replace(WEEK, high=8.5),))
    material = replace(material, genesis=msgspec.structs.replace(material.genesis, rules=rules))
    assert by_scope(doses_of(material))["7d", "on_time_s"].beyond
    words, _ = words_of(render(material))
    assert "Did the dose stay within its budgets? NO: time of output, 7 days" in words


def test_the_course_is_named_with_who_began_it_and_when(tmp_path: Path):
    material = earlier_sessions(tmp_path, WEEK)
    assert "This is course 1. Earlier sessions:" in words_of(render(material))[0]
    rules = material.genesis.rules
    (course,) = rules.history.courses
    second = msgspec.structs.replace(course, number=2, since_wall_ns=WALL_NS, begun_by="<eve>")
    other = msgspec.structs.replace(second, modality="rtms", number=7)
    for courses, said in (
        ((other, second), "This is course 2, begun by <eve> on 2026-05-28. Earlier sessions:"),
        ((other,), "reproduced"),
    ):
        history = msgspec.structs.replace(rules.history, courses=courses)
        genesis = msgspec.structs.replace(
            material.genesis, rules=msgspec.structs.replace(rules, history=history)
        )
        words = words_of(render(replace(material, genesis=genesis)))[0]
        assert said in words and "course 7" not in words
        assert ("This is course" in words) is (courses != (other,))


def test_what_is_no_sum_is_no_number(tmp_path: Path):
    each_train = msgspec.structs.replace(WEEK, scope="train")
    line = by_scope(doses_of(earlier_sessions(tmp_path, each_train)))["train", "on_time_s"]
    assert math.isnan(line.total)
    assert not line.beyond


def test_what_could_not_be_decided_again_is_not_known(tmp_path: Path):
    material = earlier_sessions(tmp_path)
    unknown = replace(material, ledger=replace(material.ledger, dose=()))
    words, _ = words_of(render(unknown))
    assert "Did the dose stay within its budgets? not known: the decisions could not be reproduced" in words


def test_page_one_has_the_answers_what_is_not_proven_and_the_place_to_sign(tmp_path: Path):
    material = of(write(tmp_path, session()))
    html = render(material)
    sheet = html[html.index('<div class="sheet">') : html.index("Is this ledger what the interlock wrote?")]
    words, _ = words_of(sheet)
    for said in (
        "What tripped? ILK-001 STOP was pressed", "Did output stay within its limits? yes; greatest amplitude",
        "Did the dose stay within its budgets? yes; nearest is", "ann: arm, accepted; ann: reset, accepted",
        "☐ no objection", "Safety officer: name, date, signature", *NOT_PROVEN, material.verdict.head,
    ):  # fmt: skip
        assert said in words
    assert ".sheet { break-after: page; }" in html
    assert f'content: "ledger head {material.verdict.head}"' in html


def asked_of_the_end(world: World, folder: Path) -> str:
    folder.mkdir()
    words, _ = words_of(render(of(write(folder, world, closed=world.ended is not None))))
    answer = words[words.index("Was output at zero at the end?") :]
    return answer[: answer.index("What was refused")].removeprefix("Was output at zero at the end? ").strip()


def test_whether_output_was_at_zero_at_the_end(tmp_path: Path):
    world = session()
    assert asked_of_the_end(world, tmp_path / "a").startswith("yes; the device said so ")
    killed = World(rules_of()).armed()
    killed.ask()
    killed.run_ms(100)
    assert asked_of_the_end(killed, tmp_path / "b") == "NOT KNOWN: the ledger ends ARMED, without a stop"
    (tmp_path / "c").mkdir()
    words, _ = words_of(render(of(write(tmp_path / "c", killed, closed=False))))
    assert "its interlock was killed, or its end was cut off" in words
    assert "the device was never opened" not in words
    deaf = World(rules_of()).armed()
    deaf.ask()
    deaf.run_ms(60)
    deaf.host_answers = False
    deaf.stop()
    deaf.run_ms(20)
    deaf.stop()
    deaf.run_ms(400)
    assert "NOT CONFIRMED by the device; the relay was open" in asked_of_the_end(deaf, tmp_path / "d")
    never = World(rules_of())
    never.stop(ends=True)
    never.run_ms(50)
    assert asked_of_the_end(never, tmp_path / "e") == "nothing could come out: the device was never opened"


def test_what_another_code_wrote_is_not_called_altered(tmp_path: Path):
    material = of(write(tmp_path, session()))
    other = replace(
        material.verdict, execution="differs under other code", problems=("line 2: state digest",)
    )
    words, _ = words_of(render(replace(material, verdict=other)))
    assert "file, or the code at hand line 2: state digest" in words


def test_what_several_layers_refused_is_counted_once_in_brief(tmp_path: Path):
    """And a value off the device's step is not beyond anything by its distance from that step."""
    world = World(rules_of()).armed()
    world.ask(hold(9.0, ramp_up_ms=30_000))
    world.ask(hold(0.123456))
    world.stop()
    world.run_ms(300)
    words, _ = words_of(render(of(write(tmp_path, world))))
    brief = words[words.index("What was refused, and by which limit?") :]
    brief = brief[: brief.index("Did output stay")]
    assert brief.count("ILK-101 amplitude_ma_pp ×1") == 1
    assert words.count("ILK-101 1 amplitude_ma_pp, set by") == 3  # protocol, absolute, device
    assert "ILK-104 1 amplitude_ma_pp, set by device 0.1235 0.01 – mA peak-to-peak" in words


def test_output_above_its_limit_is_told_first(tmp_path: Path):
    material = of(write(tmp_path, session()))
    bent = [
        replace(each, high=0.001) if each.quantity == "amplitude_ma_pp" else each for each in material.limits
    ]
    words, _ = words_of(render(replace(material, limits=bent)))
    assert "Did output stay within its limits? NO: amplitude_ma_pp" in words


@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
def test_a_report_puts_away_nothing_but_a_report(tmp_path: Path, kind: str):
    """It is renamed into place: what stands there and is no file would be gone."""
    target = tmp_path / "out.html"
    if kind == "pipe":
        os.mkfifo(target)
    else:
        target.symlink_to("/dev/null" if kind == "device" else tmp_path / "elsewhere.html")
    run = write(tmp_path, session())
    done = CALL.invoke(ledger, ["report", str(run), "--out", str(target)])
    assert done.exit_code == 2
    assert (
        done.stderr
        == f"nociloop: {target}: cannot be written: not a regular file; give another place with --out\n"
    )
    assert target.is_symlink() or target.is_fifo()
    assert list(tmp_path.glob(".out.html.*")) == []


@pytest.mark.parametrize("content", [b"", None, b"schema = 1\n", b"x", b"<!doctyp"])
def test_a_report_takes_the_place_of_no_ledger_and_of_no_other_file(tmp_path: Path, content: bytes | None):
    run = write(tmp_path, session())
    target = run if content is None else tmp_path / "limits.toml"
    if content is not None:
        target.write_bytes(content)
    before = target.read_bytes()
    done = CALL.invoke(ledger, ["report", str(run), "--out", str(target)])
    if content == b"":  # nothing is lost with it
        assert done.exit_code == 0 and target.read_bytes().startswith(b"<!doctype html>")
        return
    said = f"nociloop: {target}: cannot be written: a file of another kind is there; give another place with --out\n"
    assert (done.exit_code, done.stderr, target.read_bytes()) == (2, said, before)


def test_a_report_replaces_a_report(tmp_path: Path):
    target = tmp_path / "out.html"
    target.write_text("<!doctype html>older")
    done = CALL.invoke(ledger, ["report", str(write(tmp_path, session())), "--out", str(target)])
    assert done.stdout.endswith(f"Report  {target}\n")
    assert "Read and judged" in target.read_text(encoding="utf-8")


def test_the_foot_of_a_page_cannot_leave_its_quotes():
    html = page("t", "b", simulated=True, body=[], foot='"; } body { display: none } \\22 </style><script>')
    (said,) = re.findall(r'@bottom-left \{ font-size: 7pt; content: "([^"]*)"', html)
    assert not set(said) & set('"\\<>')
    assert "<script" not in html


def test_a_wide_table_is_not_cut_off_on_paper():
    print_rules = page("t", "b", simulated=True, body=[]).partition("@media print {")[2]
    assert ".scroll { overflow: visible; }" in print_rules
    assert "td.n, th.n { white-space: normal; }" in print_rules


@pytest.mark.parametrize(
    ("value", "against", "said"),
    [
        (0.00142136, math.nan, "0.001421"),
        (1.5, 1.5, "1.5"),
        (1.50004, 1.5, "1.50004"),  # four digits would say that it is at its limit
        (math.nan, 1.5, "–"),
        (math.nan, math.nan, "–"),
        (12_345.678, math.nan, "12,346"),
        (12_000.4, 12_000.0, "12000.4"),
    ],
)
def test_numbers_are_short_and_never_hide_a_difference(value: float, against: float, said: str):
    assert shortened(value, against) == said


def test_a_long_table_says_how_much_is_left_out():
    rows = [(str(n), "x", "y") for n in range(ROWS_MAX + 7)]
    assert few(rows[:ROWS_MAX]) == rows[:ROWS_MAX]
    assert few(rows)[-1] == ("…", "and 7 more: nociloop ledger show", "")
    assert few([]) == []


def test_times_of_day():
    assert utc(0, 61.5) == "00:01:01"
    assert utc(10**40, 0.0) == "–"
    assert utc(0, math.nan) == "–"


@pytest.mark.parametrize(
    ("drift_s", "said"),
    [(-1e-9, "+0.0 ms"), (0.0012, "+1.2 ms"), (-3600.0, "-3,600,000.0 ms"), (math.nan, "–")],
)
def test_a_drift_that_rounds_to_nothing_has_no_sign(drift_s: float, said: str):
    assert drifted(drift_s) == said
