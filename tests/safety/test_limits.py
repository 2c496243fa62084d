"""limits.toml: what a whole file becomes, and that what reads it knows no clock and no input or output."""

from __future__ import annotations

import ast
import datetime
import hashlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.stimulation import Modality
from safety import limits as limits_file
from safety.limit_values import Checked, is_iso_date
from safety.limits import Limits, LimitsErrors, load
from safety.modalities import budgets_of, formulas_of, quantities_of, spacing_of
from safety.strict_table import Problems, Table
from tests.safety.strategies import KEYS, MODALITIES, Document, document, limits_bytes, limits_of, to_toml

ROOT = Path(__file__).resolve().parents[2]
PURE = ("limits", "limit_values", "strict_table", "rig_tables")
PURE += tuple(f"modalities/{path.stem}" for path in (ROOT / "safety" / "modalities").glob("*.py"))


# What a whole file becomes


def test_a_whole_file_becomes_its_values():
    content = to_toml(document("tacs"))
    limits = load(content)
    assert limits.digest == hashlib.sha256(content).hexdigest()
    assert (limits.schema, limits.serial, limits.participant, limits.rig) == (1, 7, "P001", "rig-1")
    assert (limits.valid_from, limits.valid_until) == ("2026-01-01", "2026-12-31")
    assert (limits.title, limits.responsible, limits.site) == ("A test", "Dr Test", "Test site")
    assert (limits.device.driver, limits.device.distribution) == ("open_device", "nociloop")
    assert (limits.device.endpoint, limits.device.identity) == ("tcp:127.0.0.1:4000", "SIM-1")
    assert limits.device.simulated
    assert (limits.relay.endpoint, limits.relay.silence_ms) == ("unix:/tmp/relay.sock", 100)
    assert [(p.name, p.role, p.public_key, p.salt) for p in limits.people] == [
        ("ann", "operator", KEYS["ann"], "0" * 32),
        ("bob", "officer", KEYS["bob"], "1" * 32),
    ]
    assert [(c.name, c.area_cm2, c.coil) for c in limits.contacts] == [("F3", 25.0, None), ("Oz", 35.0, None)]
    assert limits.inputs.consent_on == "2026-01-02"
    assert limits.inputs.motor_threshold_pct_mso is limits.inputs.motor_threshold_measured_on is None
    watch = limits.watch
    assert (watch.data_age_ms, watch.heartbeat_ms, watch.host_ms, watch.off_min_ms) == (250, 100, 100, 1000)
    assert (watch.clean_fraction_min, watch.rate_tolerance_pct, watch.lapses_max) == (0.8, 5.0, 3)
    frequency = next(r for r in limits.rows if r.quantity == "frequency_hz")
    assert (frequency.low, frequency.high, frequency.unit, frequency.layer) == (4.0, 40.0, "Hz", "protocol")
    assert (frequency.source, frequency.edition, frequency.status) == ("protocol 4.2", "1", "unverified")


def test_a_side_that_a_row_does_not_have_holds_the_absolute_bound():
    rtms = {r.quantity: r for r in limits_of("rtms").rows}
    assert (rtms["pct_rmt"].low, rtms["pct_rmt"].high) == (0.0, 120.0)
    assert (rtms["interval_s"].low, rtms["interval_s"].high) == (6.0, 3600.0)


def test_rtms_inputs_and_coil():
    limits = limits_of("rtms")
    assert limits.inputs.motor_threshold_pct_mso == 50.0
    assert limits.inputs.motor_threshold_measured_on == "2026-06-01"
    assert [(c.name, c.area_cm2, c.coil) for c in limits.contacts] == [("coil", None, "figure-8")]


def test_look_ups_allow_nothing_that_is_not_there():
    limits = limits_of("tacs")
    ann, oz = limits.person("ann"), limits.contact("Oz")
    assert ann is not None and ann.role == "operator" and limits.person("eve") is None
    assert oz is not None and oz.area_cm2 == 35.0 and limits.contact("oz") is None
    assert limits.budget("charge_c", "session") == 1.2
    assert limits.budget("charge_c", "24h") == limits.budget("n_pulses", "session") == 0.0
    assert limits.budget("on_time_s", "24h") == 3600.0


@pytest.mark.parametrize("modality", MODALITIES)
def test_limits_survive_the_ledger_and_cannot_be_changed(modality: Modality):
    limits = limits_of(modality)
    assert msgspec.json.decode(msgspec.json.encode(limits), type=Limits) == limits
    with pytest.raises(AttributeError):
        limits.serial = 8  # type: ignore[misc]


@pytest.mark.parametrize(
    ("today", "holds"),
    [
        ("2025-12-31", False),
        ("2026-01-01", True),
        ("2026-12-31", True),
        ("2027-01-01", False),
        ("2026-6-1", False),
        ("20260601", False),
        ("2026-02-30", False),
        ("2026-06-01T00:00", False),
        ("", False),
    ],
)
def test_validity_is_inclusive_and_takes_iso_dates_only(today: str, holds: bool):
    assert limits_of("tacs").valid_on(today) is holds


def test_iso_dates_are_texts():
    assert is_iso_date("2026-06-01") and not is_iso_date("2026-06-010") and not is_iso_date("20260601")
    assert not is_iso_date(None) and not is_iso_date(20260601) and not is_iso_date("2026-W01-1")
    assert is_iso_date(None) is False and is_iso_date("x") is False


CHECKED = {"status": "verified", "checked_by": "bob", "checked_on": datetime.date(2026, 5, 1)}


@pytest.mark.parametrize("modality", MODALITIES)
def test_unverified_numbers_of_file_and_code_are_all_named(modality: Modality):
    doc = document(modality)
    named = set(load(to_toml(doc)).unverified)
    assert {f"protocol.{d.name}" for d in quantities_of(modality)} <= named
    assert {f"{b.scope}.{b.name}" for b in budgets_of(modality)} <= named
    assert {f"spacing.{s.name}" for s in spacing_of(modality)} <= named
    for table in (doc["protocol_limits"], *doc["budgets"].values(), doc["spacing"]):
        for row in table.values():
            row |= CHECKED
    limits = load(to_toml(doc))
    in_code = {f"absolute.{d.name}" for d in quantities_of(modality) if d.status == "unverified"}
    in_code |= {f"absolute.{b.scope}.{b.name}" for b in budgets_of(modality) if b.status == "unverified"}
    in_code |= {f"absolute.{s.name}" for s in spacing_of(modality) if s.status == "unverified"}
    in_code |= {f"tissue.{f.name}" for f in formulas_of(modality) if f.status == "unverified"}
    assert set(limits.unverified) == in_code != set()
    rows = (*limits.rows, *limits.budgets, *limits.spacing)
    assert {row.checked for row in rows} == {Checked(by="bob", on="2026-05-01")}
    assert limits.last_checked_on == "2026-05-01"
    assert not limits.all_verified
    assert msgspec.structs.replace(limits, unverified=()).all_verified


def tables(doc: Document) -> list[Document]:
    """A row of the limits, a budget, a spacing."""
    return [
        doc["protocol_limits"]["amplitude_ma_pp"], doc["budgets"]["session"]["on_time_s"], doc["spacing"]["gap_s"],
    ]  # fmt: skip


@pytest.mark.parametrize("at", range(3))
def test_a_verified_number_says_who_compared_it_and_when(at: int):
    for bent, said in (
        ({"status": "verified"}, ("checked_by", "checked_on")),
        (CHECKED | {"checked_by": ""}, ("checked_by",)),
        (CHECKED | {"checked_by": 7}, ("checked_by",)),
        (CHECKED | {"checked_on": "2026-05-01"}, ("checked_on",)),
        (CHECKED | {"checked_on": datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)}, ("checked_on",)),
        (CHECKED | {"status": "unverified"}, ("checked_by", "checked_on")),
    ):
        doc = document("tacs")
        tables(doc)[at].update(bent)
        with pytest.raises(LimitsErrors) as caught:
            load(to_toml(doc))
        assert [line.partition(": found")[0].rpartition(".")[2] for line in caught.value.problems] == list(
            said
        )
    plain = load(to_toml(document("tacs")))
    assert plain.last_checked_on == ""


def test_the_last_day_on_which_a_number_was_checked_is_told():
    doc = document("tacs")
    for n, table in enumerate(tables(doc)):
        table |= CHECKED | {"checked_on": datetime.date(2026, 5, (3, 9, 1)[n])}
    assert load(to_toml(doc)).last_checked_on == "2026-05-09"


@pytest.mark.parametrize("made", ["all", None])
def test_after_a_choice_that_is_none_its_own_numbers_are_no_mistakes(made: str | None):
    doc = document("tus")
    doc["inputs"]["thermal"] = made
    if made is None:
        del doc["inputs"]["thermal"]
    with pytest.raises(LimitsErrors) as caught:
        load(to_toml(doc))
    (line,) = caught.value.problems
    assert line.startswith("limits.toml: key inputs.thermal: ")
    doc["inputs"]["cooling_s"] = -1.0
    with pytest.raises(LimitsErrors) as caught:
        load(to_toml(doc))
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("part", ["contacts", "budgets", "spacing"])
def test_of_a_modality_that_is_none_nothing_is_read(part: str):
    problems = Problems()
    read = getattr(limits_file, f"_read_{part}")
    assert read(Table({"x": 1}, part, problems), None) == ()
    assert problems.lines == ()


@pytest.mark.parametrize("at", range(3))
def test_no_number_is_checked_after_the_file_has_ended(at: int):
    doc = document("tacs")
    last = doc["file"]["valid_until"]
    tables(doc)[at].update(CHECKED | {"checked_on": last})
    assert load(to_toml(doc)).last_checked_on == last.isoformat()
    tables(doc)[at]["checked_on"] = last + datetime.timedelta(days=1)
    with pytest.raises(LimitsErrors, match="when a number was checked") as caught:
        load(to_toml(doc))
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_examples_of_the_documents_load(modality: Modality):
    content = (ROOT / "docs" / "examples" / f"limits-{modality}.toml").read_bytes()
    assert load(content).modality == modality


def test_limits_of_exactly_zero_are_limits():
    doc = document("tacs")
    doc["protocol_limits"]["amplitude_ma_pp"]["max"] = 0
    doc["budgets"]["session"]["charge_c"]["max"] = 0
    limits = load(to_toml(doc))
    assert next(r for r in limits.rows if r.quantity == "amplitude_ma_pp").high == 0.0
    assert limits.budget("charge_c", "session") == 0.0


@pytest.mark.parametrize("modality", MODALITIES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_every_narrowing_of_the_absolute_bounds_loads(modality: Modality, data: st.DataObject):
    limits = load(data.draw(limits_bytes(modality)))
    for found in limits.rows:
        declared = next(d for d in quantities_of(modality) if d.name == found.quantity)
        assert declared.low <= found.low <= found.high <= declared.high


# The files of this room


@pytest.mark.parametrize("name", PURE)
def test_the_limits_know_no_clock_and_no_io(name: str):
    tree = ast.parse((ROOT / "safety" / f"{name}.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {module.split(".")[0] for module in imported}
    assert not roots & {
        "time",
        "os",
        "socket",
        "asyncio",
        "pathlib",
        "random",
        "threading",
        "subprocess",
        "numpy",
    }
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    methods = {function.attr for function in called if isinstance(function, ast.Attribute)}
    functions = {function.id for function in called if isinstance(function, ast.Name)}
    assert not methods & {"today", "now", "utcnow"}  # a date is handed in
    assert not functions & {"open", "eval", "exec", "print", "input"}
