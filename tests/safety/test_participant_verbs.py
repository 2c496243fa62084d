"""The verbs of a participant as they are typed, and what check and doctor say of them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from controller import doctor
from safety import clocks, trust
from safety.acts import derive_key, public_key_hex
from safety.limits import load
from safety.participant_verbs import app
from safety.store import read_store, store_path
from safety.windows import DAY_NS
from tests.safety.stores import crashed, let_go, opened
from tests.safety.strategies import document, to_toml

PASSPHRASE = "twelve letters and some more"
SALT = "1" * 32


@pytest.fixture
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A limits file whose officer bob has a pass-phrase, and a state directory with nobody in it."""
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(tmp_path / "state"))
    doc = document("tacs")
    doc["people"]["bob"] |= {"public_key": public_key_hex(derive_key(PASSPHRASE, SALT)), "salt": SALT}
    path = tmp_path / "limits.toml"
    path.write_bytes(to_toml(doc))
    (tmp_path / "passphrase").write_text(PASSPHRASE, encoding="utf-8")
    (tmp_path / "passphrase").chmod(0o600)
    return path


def typed(limits: Path, verb: str, *more: str, name: str = "P001") -> tuple[int, str]:
    result = CliRunner().invoke(app, [verb, name, "--limits", str(limits), *more])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def signing(limits: Path, person: str = "bob") -> tuple[str, ...]:
    return ("--person", person, "--passphrase-file", str(limits.parent / "passphrase"))


def test_a_participant_is_made_shown_and_not_made_again(limits: Path):
    state = limits.parent / "state"
    code, said = typed(limits, "show")
    assert code == 2 and "found no store, expected that of participant P001" in said
    code, said = typed(limits, "new", *signing(limits))
    assert code == 0 and said == f"participant P001: {store_path(state, 'P001')}\n"
    code, said = typed(limits, "new", *signing(limits))
    assert code == 2 and "found participant P001 here already" in said
    code, said = typed(limits, "show")
    assert code == 0 and said.endswith("the next session may begin now\n")
    code, said = typed(limits, "show", "--json")
    assert code == 0 and json.loads(said)["sessions"] == 0


@pytest.mark.parametrize(
    ("more", "name", "expected"),
    [
        (("--person", "eve"), "P001", "found no person eve, expected one of ann, bob"),
        (("--person", "bob"), "P002", "found the limits of participant P001, expected those of P002"),
        (("--person", "ann"), "P001", "ann is an operator, expected an officer"),
    ],
)
def test_nobody_else_makes_one(limits: Path, more: tuple[str, ...], name: str, expected: str):
    code, said = typed(
        limits, "new", *more, "--passphrase-file", str(limits.parent / "passphrase"), name=name
    )
    assert code == 2 and expected in said and said.startswith("nociloop: ")
    assert not (limits.parent / "state").exists()


def test_another_s_pass_phrase_signs_nothing(limits: Path):
    typed(limits, "new", *signing(limits))
    code, said = typed(limits, "confirm-date", *signing(limits, "ann"), "--reason", "the radio clock")
    assert code == 2 and "pass-phrase of ann: it does not fit the key" in said
    assert len(read_store(limits.parent / "state", "P001")[0]) == 1


def test_an_officer_of_the_trust_store_makes_one(limits: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NOCILOOP_TRUST_DIR", str(limits.parent / "trust"))
    (limits.parent / "trust").mkdir(mode=0o755)
    code, said = typed(limits, "new", *signing(limits, "eve"))
    assert code == 2 and "found no person eve" in said
    key = trust.TrustedKey(
        name="eve", public_key=public_key_hex(derive_key(PASSPHRASE, SALT)), salt=SALT, simulated_only=False
    )
    trust.add(trust.store(), key)
    code, said = typed(limits, "new", *signing(limits, "eve"))
    assert code == 0, said
    (record,), _ = read_store(limits.parent / "state", "P001")
    assert record.act.person == "eve"  # type: ignore[union-attr]
    for each in (limits.parent / "trust").iterdir():
        each.write_text("?")
    code, said = typed(limits, "new", *signing(limits, "zoe"))
    assert code == 2 and said.startswith("nociloop: ") and "Traceback" not in said


def test_a_named_person_confirms_the_date(limits: Path):
    typed(limits, "new", *signing(limits))
    code, said = typed(limits, "confirm-date", *signing(limits), "--reason", "the radio clock")
    assert code == 0 and said == "participant P001: the date is confirmed by bob\n"
    records, _ = read_store(limits.parent / "state", "P001")
    assert records[-1].act.reason == "the radio clock"  # type: ignore[union-attr]
    store, _ = opened(limits.parent / "state", clocks.stamp(), limits=load(limits.read_bytes()))
    code, said = typed(limits, "confirm-date", *signing(limits), "--reason", "again")
    assert code == 2 and "has a session already" in said
    let_go(store)


def test_show_says_why_no_session_starts(limits: Path):
    typed(limits, "new", *signing(limits))
    limits.write_bytes(to_toml(document("tacs")))  # the same name, another key
    code, said = typed(limits, "show")
    assert code == 0 and "\n  no session starts: found participant P001 made by bob, key " in said
    assert doctor.participant_of(limits).verdict == "fail"


def test_doctor_looks_into_every_store_and_tells_what_is_left(limits: Path):
    state = limits.parent / "state"
    assert (doctor.participants().verdict, doctor.participant_of(limits).verdict) == ("warn", "fail")
    typed(limits, "new", *signing(limits))
    assert doctor.participants().found == f"{state}: P001 (1 records)"
    left = doctor.participant_of(limits)
    assert left.verdict == "pass" and "24h on_time_s 0 of 3600 s 3600 left" in left.found
    crashed(state, 600.0, limits=load(limits.read_bytes()))
    left = doctor.participant_of(limits)
    assert left.verdict == "warn" and "3000 left" in left.found and "may begin on" in left.found and left.fix
    store_path(state, "P001").write_bytes(b"?\n")
    assert doctor.participants().verdict == "fail" and doctor.participants().fix
    assert doctor.participant_of(limits).verdict == "fail"


def test_an_officer_begins_another_course(limits: Path, monkeypatch: pytest.MonkeyPatch):
    state = limits.parent / "state"
    typed(limits, "new", *signing(limits))
    begin = (*signing(limits), "--reason", "after the assessment")
    code, said = typed(limits, "new-course", *begin)
    assert code == 2 and said.startswith(
        "nociloop: participant P001: found a course of tacs without a session"
    )
    crashed(state, 600.0, limits=load(limits.read_bytes()))
    code, said = typed(limits, "new-course", *begin)
    assert code == 2 and "7 days) before a new course; wait until 20" in said
    held, now, moved_ns = clocks.stamp(), clocks.now(), 8 * DAY_NS
    later = msgspec.structs.replace(held, wall_ns=held.wall_ns + moved_ns, boot_ns=held.boot_ns + moved_ns)
    monkeypatch.setattr(clocks, "stamp", lambda: later)
    monkeypatch.setattr(
        clocks, "now", lambda: msgspec.structs.replace(now, wall_ns=later.wall_ns, boot_ns=later.boot_ns)
    )
    code, said = typed(limits, "new-course", *begin)
    assert code == 0 and said == "participant P001: course 2 of tacs begins, by bob\n"
    code, said = typed(limits, "show")
    assert code == 0 and "course 1 of tacs" in said and "course 2 of tacs" in said
    assert [each["number"] for each in json.loads(typed(limits, "show", "--json")[1])["courses"]] == [1, 2]


@pytest.mark.parametrize(
    ("verb", "more", "said"),
    [
        ("new", ("--person", "ann"), "ann is an operator, expected an officer"),
        ("new", ("--person", "nobody"), "found no person nobody, expected one of ann, bob"),
        ("new", ("--person", "bob", "--reason", ""), "--reason: found 0 characters"),
        ("confirm-date", ("--person", "ann", "--reason", "two\nlines"), "--reason: found 9 characters"),
        ("confirm-date", ("--person", "nobody", "--reason", "r"), "found no person nobody"),
        ("new-course", ("--person", "ann", "--reason", "r"), "ann is an operator, expected an officer"),
        ("new-course", ("--person", "bob", "--reason", "x" * 301), "--reason: found 301 characters"),
    ],
)
def test_name_role_and_reason_are_judged_before_anything_is_asked(
    limits: Path, monkeypatch: pytest.MonkeyPatch, verb: str, more: tuple[str, ...], said: str
):
    def asked(*_: object, **__: object) -> str:
        pytest.fail("the pass-phrase was asked for")

    monkeypatch.setattr("safety.passphrase.read_passphrase", asked)
    code, found = typed(limits, verb, *more)
    assert code == 2 and said in found and found.count("\n") == 1


def test_a_course_that_no_budget_is_of_is_refused_before_anything_is_asked(
    limits: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("safety.passphrase.read_passphrase", lambda *_, **__: pytest.fail("asked"))
    limits.write_bytes(to_toml(document("tens")))
    code, said = typed(limits, "new-course", "--person", "bob", "--reason", "r")
    assert code == 2 and "without a budget of the course, expected one" in said
