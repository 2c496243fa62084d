"""The pages of codes are those of the code of now, and everything that they name is there."""

from __future__ import annotations

import re

import pytest

from safety import code_pages
from safety.code_pages import BEGIN, END, PAGE, README, ROOT, WATCHDOGS, Page, markdown, pages, readme
from safety.modalities import REASONS
from safety.trips import BY_CODE, PERMISSIVES, REFUSALS

PAGES = pages()
TEXT = markdown()
STALE = "stale: run `python -m safety.code_pages`"


def test_the_pages_are_those_of_now():
    assert PAGE.read_text(encoding="utf-8") == TEXT, STALE
    text = README.read_text(encoding="utf-8")
    assert text == readme(text), STALE
    assert text.count(BEGIN) == text.count(END) == 1


def test_every_code_has_a_page():
    codes = [page.code for page in PAGES]
    assert codes == sorted({*BY_CODE, *REASONS, *REFUSALS, *PERMISSIVES})
    assert [line.removeprefix("## ") for line in TEXT.splitlines() if line.startswith("## ")] == codes


def test_every_code_stands_once_in_the_index():
    rows = re.findall(r"^\| \[(ILK-\d{3})\]\(#(ilk-\d{3})\) \| (.+) \| (.+) \|$", TEXT, re.MULTILINE)
    assert [code for code, *_ in rows] == [page.code for page in PAGES]
    assert all(anchor == code.lower() for code, anchor, *_ in rows)
    assert {(page.kind, so) for page, (*_, so) in zip(PAGES, rows, strict=True)} == {
        ("trip", "trips: ramp"), ("trip", "trips: cut"), ("refusal", "refused"), ("refusal by a limit", "refused"),
        ("missing permissive", "not READY"),
    }  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.code)
def test_a_page_says_everything(page: Page):
    assert page.text and page.remedy
    assert page.files, "no file names it: is it ever decided?"
    for path in page.files:
        assert (ROOT / path).is_file()
    assert (page.how in ("ramp", "cut")) == (page.kind == "trip")


def test_every_trip_of_a_watchdog_says_what_is_watched():
    persons = {"ILK-001", "ILK-002", "ILK-003", "ILK-004"}
    failures = {"ILK-213"}  # the device's own word, of which there is no limit
    assert {dog.code for dog in WATCHDOGS} == set(BY_CODE) - persons - failures
    for page in PAGES:
        if page.code in {dog.code for dog in WATCHDOGS}:
            assert page.limit


def test_the_decider_is_found_by_whom_names_it():
    found = {page.code: page.files for page in PAGES}
    assert found["ILK-201"] == ("safety/watchdogs.py",)
    assert found["ILK-004"] == ("safety/latch.py",)
    assert "safety/needs.py" in found["ILK-421"]
    assert any(path.startswith("safety/modalities/") for path in found["ILK-101"])


def test_no_constant_has_the_name_of_a_code_s():
    """A file is found by the name of the constant: another thing of that name would be a file that decides nothing."""
    reasons = ROOT / "safety" / "modalities" / "reasons.py"
    names = re.findall(r'^([A-Z_]+) = "ILK-\d{3}"$', reasons.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) == len(REASONS)
    bound = re.compile(rf"^({'|'.join(names)})\b[^=\n]*=", re.MULTILINE)
    files = [*(ROOT / "safety").glob("*.py"), *(ROOT / "safety" / "modalities").glob("*.py")]
    found = {path.name: bound.findall(path.read_text(encoding="utf-8")) for path in files if path != reasons}
    assert {name: constants for name, constants in found.items() if constants} == {}
    assert {page.code: page.files for page in PAGES}["ILK-112"] == ("safety/modalities/held.py",)


@pytest.mark.parametrize("dog", WATCHDOGS, ids=lambda dog: f"{dog.code} {dog.watched[:20]}")
def test_the_test_of_a_watchdog_is_there(dog: code_pages.Watchdog):
    path, _, name = dog.test.partition("::")
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_a_changed_number_makes_the_pages_stale(monkeypatch: pytest.MonkeyPatch):
    dog = WATCHDOGS[0]
    other = type(dog)(watched=dog.watched, limit="another", code=dog.code, test=dog.test)
    monkeypatch.setattr(code_pages, "WATCHDOGS", (other, *WATCHDOGS[1:]))
    assert markdown() != TEXT
    text = README.read_text(encoding="utf-8")
    assert readme(text) != text


def test_writing_them_twice_changes_nothing(capsys: pytest.CaptureFixture[str]):
    before = PAGE.read_bytes(), README.read_bytes()
    assert code_pages.main() == 0
    assert (PAGE.read_bytes(), README.read_bytes()) == before
    assert capsys.readouterr().out == "docs/codes.md, safety/README.md\n"
