"""limits.toml: what a whole file becomes, and that no half file becomes anything."""

from __future__ import annotations

import ast
import copy
import datetime
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.stimulation import Modality
from safety import limits as limits_module
from safety.limit_values import is_iso_date
from safety.limits import BYTES_MAX, Limits, LimitsErrors, load
from safety.modalities import budgets_of, formulas_of, quantities_of
from safety.rig_tables import WEAK_PUBLIC_KEYS, is_simulated, is_weak
from safety.strict_table import Problems, Table
from tests.safety.strategies import (
    KEYS,
    MODALITIES,
    Document,
    Raw,
    document,
    limits_bytes,
    limits_of,
    row,
    to_toml,
)

ROOT = Path(__file__).resolve().parents[2]
PURE = ("limits", "limit_values", "strict_table", "rig_tables", "modalities/__init__")
PURE += tuple(f"modalities/{name}" for name in ("bounds", "facts", "quantities", "reasons", "rtms", "tacs"))


def problems(doc: Document | bytes) -> tuple[str, ...]:
    """What the loader says of a document; a document that loads says nothing."""
    content = doc if isinstance(doc, bytes) else to_toml(doc)
    try:
        load(content)
    except LimitsErrors as error:
        assert str(error) == "\n".join(error.problems)
        return error.problems
    return ()


def leaves(doc: Document, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in doc.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def tables(doc: Document, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for key, value in doc.items():
        if isinstance(value, dict):
            yield from tables(value, (*path, key))


def inside(doc: Document, path: tuple[str, ...]) -> Document:
    for key in path:
        doc = doc[key]
    return doc


def bent(modality: Modality, path: tuple[str, ...], value: object) -> Document:
    doc = document(modality)
    inside(doc, path[:-1])[path[-1]] = value
    return doc


def key_lines(doc: Document, path: tuple[str, ...]) -> list[str]:
    """The problems of this very key; every problem must be one printable line."""
    found = problems(doc)
    assert all(line.isprintable() and line.startswith("limits.toml: ") for line in found)
    return [line for line in found if line.startswith(f"limits.toml: key {'.'.join(path)}: found ")]


EVERY_LEAF = [(modality, path) for modality in MODALITIES for path in leaves(document(modality))]
EVERY_TABLE = [(modality, path) for modality in MODALITIES for path in tables(document(modality))]
NUMBERS = [
    (modality, path)
    for modality, path in EVERY_LEAF
    if type(inside(document(modality), path[:-1])[path[-1]]) in (int, float)
]
ids = [f"{modality}-{'.'.join(path)}" for modality, path in EVERY_LEAF]
number_ids = [f"{modality}-{'.'.join(path)}" for modality, path in NUMBERS]


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
    assert limits.budget("charge_c") == 1.2
    assert limits.budget("n_pulses") == 0.0


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
    assert is_iso_date("2026-06-01")
    assert not is_iso_date(None) and not is_iso_date(20260601) and not is_iso_date("2026-W01-1")


@pytest.mark.parametrize("modality", MODALITIES)
def test_unverified_numbers_of_file_and_code_are_all_named(modality: Modality):
    doc = document(modality)
    named = set(load(to_toml(doc)).unverified)
    assert {f"protocol.{d.name}" for d in quantities_of(modality)} <= named
    assert {f"session.{b.name}" for b in budgets_of(modality)} <= named
    for name in doc["protocol_limits"].values():
        name["status"] = "verified"
    for name in doc["budgets"]["session"].values():
        name["status"] = "verified"
    limits = load(to_toml(doc))
    in_code = {f"absolute.{d.name}" for d in quantities_of(modality) if d.status == "unverified"}
    in_code |= {f"absolute.{b.name}" for b in budgets_of(modality) if b.status == "unverified"}
    in_code |= {f"tissue.{f.name}" for f in formulas_of(modality) if f.status == "unverified"}
    assert set(limits.unverified) == in_code != set()
    assert not limits.all_verified
    assert msgspec.structs.replace(limits, unverified=()).all_verified


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
    assert limits.budget("charge_c") == 0.0


@pytest.mark.parametrize("modality", MODALITIES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_every_narrowing_of_the_absolute_bounds_loads(modality: Modality, data: st.DataObject):
    limits = load(data.draw(limits_bytes(modality)))
    for found in limits.rows:
        declared = next(d for d in quantities_of(modality) if d.name == found.quantity)
        assert declared.low <= found.low <= found.high <= declared.high


# What is no whole file


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
        if path in {
            ("people", "bob"),
            ("people", "ann"),
            ("contacts", "F3"),
            ("contacts", "Oz"),
            ("contacts", "coil"),
        }:
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
    *(-1, 0, 1.5, datetime.date(2026, 1, 1), Raw("2026-01-01T00:00:00"), Raw("2026-01-01T00:00:00Z")),
    *(Raw("12:00:00"), Raw("nan"), Raw("+inf"), Raw("-inf"), Raw("1e999"), Raw("-0.0"), Raw("1" + "0" * 400)),
    *(Raw("9223372036854775808"), Raw("-1e-300"), Raw("1e300")),
)


GOOD_NUMBERS: dict[tuple[str, ...], tuple[object, ...]] = {
    ("area_cm2",): (1.5,),
    ("rate_tolerance_pct",): (1.5,),
    ("phase_rad", "min"): (-1, 0, 1.5, "-1e-300"),
    ("phase_rad", "max"): (-1, 0, 1.5, "-1e-300"),
    ("session", "on_time_s", "max"): (0, 1.5),
    ("session", "charge_c", "max"): (0, 1.5),
    ("session", "n_pulses", "max"): (0,),
    ("frequency_hz", "min"): (1.5,),
    ("frequency_hz", "max"): (1.5,),
    ("rate_hz", "min"): (1.5,),
    ("rate_hz", "max"): (1.5,),
    ("impedance_kohm", "min"): (0, 1.5),
    ("impedance_kohm", "max"): (0, 1.5),
    ("amplitude_ma_pp", "max"): (0, 1.5),
    ("slew_ma_per_s", "max"): (0, 1.5),
    ("density_ma_cm2", "max"): (0,),
    ("amplitude_pct_mso", "max"): (0, 1.5),
    ("pct_rmt", "max"): (0, 1.5),
    ("train_s", "max"): (0, 1.5),
}


def fits(path: tuple[str, ...], right: object, value: object) -> bool:
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
            "driver",
        )
        short = type(value) is str and value in ("2", "nan", "2026-01-01")
        return short and (path[-1] in words or path == ("site", "name"))
    good = next((GOOD_NUMBERS[path[-n:]] for n in (1, 2, 3) if path[-n:] in GOOD_NUMBERS), ())
    return type(value) is not bool and any(value == one for one in good)


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("value", WRONG, ids=range(len(WRONG)))
def test_a_wrong_value_is_refused_at_every_key_at_once(modality: Modality, value: object):
    doc = document(modality)
    expected = []
    for path in leaves(document(modality)):
        right = inside(doc, path[:-1])[path[-1]]
        if path[0] == "modality" or (right == {} and isinstance(value, dict)) or fits(path, right, value):
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
    budget = {b.name: b for b in budgets_of(modality)}.get(path[-2])  # type: ignore[call-overload]
    if path[0] == "protocol_limits" and declared is not None:
        low, high, integer = declared.low, declared.high, declared.integer
        inside(doc, path[:-1]).update(
            {"min": low, "max": high} if declared.sides == "both" else {path[-1]: high}
        )
    elif path[0] == "budgets" and budget is not None:
        low, high, integer = 0.0, budget.high, budget.integer
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


def test_what_was_found_is_cut_and_what_is_known_is_listed():
    (line,) = key_lines(bent("tacs", ("file", "title"), "x" * 201), ("file", "title"))
    assert f'found "{"x" * 60}", expected' in line
    (line,) = key_lines(bent("tacs", ("site_limits", "tail"), 1), ("site_limits", "tail"))
    assert line.endswith("expected no such key here (known: none)")
    (line,) = key_lines(bent("tacs", ("participant", "name"), "x"), ("participant", "name"))
    assert line.endswith("expected no such key here (known: code)")


def test_a_file_that_is_no_toml_says_where():
    assert problems(b"a = \n") == (
        "limits.toml: found text that is not TOML: Invalid value (at line 1, column 5)",
    )
    assert problems(b"a = \xff")[0] == (
        "limits.toml: found a byte at 4 that is not UTF-8, expected UTF-8 text"
    )


def test_a_line_says_key_found_expected_and_bound():
    assert problems(bent("tacs", ("protocol_limits", "amplitude_ma_pp", "max"), "2")) == (
        'limits.toml: key protocol_limits.amplitude_ma_pp.max: found "2", expected a finite number from 0 to 4 '
        "mA peak-to-peak (absolute bound: Antal et al. 2026, PMC7618810: well established up to 4 mA; tACS is "
        "quoted peak to peak, 2017-2025 update)",
    )


def test_every_error_at_once():
    doc = document("rtms")
    doc["file"]["serial"] = 0
    doc["device"]["driver"] = "NOT ONE"
    doc["inputs"]["motor_threshold_pct_mso"] = 5.0
    del doc["protocol_limits"]["rate_hz"]
    doc["watch"]["lapses_max"] = 9
    doc["surprise"] = 1
    assert len(problems(doc)) == 6


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("layer", ["site", "protocol", "participant"])
def test_no_layer_may_be_wider_than_the_absolute_bound(modality: Modality, layer: str):
    for declared in quantities_of(modality):
        for end, wide in (("max", declared.high * 1000 + 1), ("min", declared.low - 1)):
            if declared.sides not in (end, "both"):
                continue
            doc = document(modality)
            good = {"min": declared.low, "max": declared.high} if declared.sides == "both" else {}
            bound = {**good, end: int(wide) if declared.integer else float(wide)}
            doc[f"{layer}_limits"][declared.name] = row(declared, bound)
            assert key_lines(doc, (f"{layer}_limits", declared.name, end))


@pytest.mark.parametrize("modality", MODALITIES)
def test_only_the_unit_of_the_quantity_itself_is_taken(modality: Modality):
    units = {d.unit for d in quantities_of(modality)} | {
        "mA",
        "A",
        "uA",
        "µA",
        "kHz",
        "s ",
        "S",
        "%",
        "kΩ",
        "ohm",
        "",
    }
    for declared in quantities_of(modality):
        for unit in units - {declared.unit}:
            path = ("protocol_limits", declared.name, "unit")
            assert key_lines(bent(modality, path, unit), path), (declared.name, unit)


def test_a_quantity_of_the_other_modality_is_unknown():
    doc = document("tacs")
    doc["site_limits"]["rate_hz"] = {"max": 1}
    assert len(key_lines(doc, ("site_limits", "rate_hz"))) == 1


def test_min_above_max_is_refused_and_min_at_max_is_not():
    doc = document("tacs")
    doc["protocol_limits"]["frequency_hz"] |= {"min": 10.0, "max": 10.0}
    assert problems(doc) == ()
    doc["protocol_limits"]["frequency_hz"] |= {"min": math.nextafter(10.0, 11.0)}
    assert len(problems(doc)) == 1


@pytest.mark.parametrize(
    ("first", "last", "good"),
    [
        ("2026-01-01", "2026-01-01", True),
        ("2026-01-02", "2026-01-01", False),
        ("2026-01-01", "2027-01-02", True),
        ("2026-01-01", "2027-01-03", False),
    ],
)
def test_a_file_is_valid_for_a_year_at_most(first: str, last: str, good: bool):
    doc = document("tacs")
    doc["inputs"]["consent_on"] = datetime.date(2025, 1, 1)
    doc["file"]["valid_from"] = datetime.date.fromisoformat(first)
    doc["file"]["valid_until"] = datetime.date.fromisoformat(last)
    assert (problems(doc) == ()) is good
    assert bool(key_lines(doc, ("file", "valid_until"))) is not good


@pytest.mark.parametrize(
    ("name", "on"), [("consent_on", "2027-01-01"), ("motor_threshold_measured_on", "2025-12-31")]
)
def test_dates_that_can_never_hold_are_refused(name: str, on: str):
    path = ("inputs", name)
    assert len(key_lines(bent("rtms", path, datetime.date.fromisoformat(on)), path)) == 1
    for held in ("2026-01-01", "2026-12-31"):
        assert problems(bent("rtms", path, datetime.date.fromisoformat(held))) == ()


@pytest.mark.parametrize("name", ["tdcs", "TACS", "", "rtms "])
def test_a_wrong_modality_is_one_problem_and_hides_no_other(name: str):
    doc = document("tacs")
    doc["modality"]["name"] = name
    doc["file"]["serial"] = -4
    assert len(problems(doc)) == 2


def test_a_file_of_the_one_modality_under_the_name_of_the_other_is_refused():
    for modality, other in (("tacs", "rtms"), ("rtms", "tacs")):
        doc = document(modality)  # type: ignore[arg-type]
        doc["modality"]["name"] = other
        assert len(problems(doc)) > 10


# Contacts, people, device, relay


def test_the_number_of_contacts():
    one = document("tacs")
    del one["contacts"]["Oz"]
    assert problems(one) == ("limits.toml: key contacts: found 1 contacts, expected 2 to 64 for tacs",)
    many = document("tacs")
    many["contacts"] = {f"c{i}": {"area_cm2": 1.0} for i in range(65)}
    assert len(problems(many)) == 1
    del many["contacts"]["c64"]
    assert problems(many) == ()
    coils = document("rtms")
    coils["contacts"]["second"] = {"coil": "round"}
    assert len(problems(coils)) == 1


@pytest.mark.parametrize("area", [0.0, 0.499, 100.001, 3500.0, 0.0035, -25.0])
def test_an_area_in_another_unit_is_refused(area: float):
    path = ("contacts", "F3", "area_cm2")
    assert key_lines(bent("tacs", path, area), path)


@pytest.mark.parametrize("name", ["F 3", "F3:", "a,b", "x" * 17, "", "F3\n", "é"])
def test_names_of_contacts_fit_the_wire(name: str):
    doc = document("tacs")
    doc["contacts"][name] = {"area_cm2": 25.0}
    assert len(problems(doc)) == 1


@pytest.mark.parametrize("coil", ["H1", "deep", "", "Figure-8"])
def test_a_coil_that_the_tables_do_not_cover_is_refused(coil: str):
    path = ("contacts", "coil", "coil")
    assert len(key_lines(bent("rtms", path, coil), path)) == 1


@pytest.mark.parametrize("threshold", [0.0, 0.5, 14.9, 100.1, 5000.0])
def test_an_implausible_motor_threshold_is_refused(threshold: float):
    path = ("inputs", "motor_threshold_pct_mso")
    assert len(key_lines(bent("rtms", path, threshold), path)) == 1


def test_people():
    nobody = document("tacs")
    nobody["people"] = {}
    assert problems(nobody) == (
        'limits.toml: key people: found no operator, expected at least one person whose role is "operator"',
    )
    officers, operators = document("tacs"), document("tacs")
    officers["people"]["ann"]["role"] = "officer"
    operators["people"]["bob"]["role"] = "operator"
    assert len(problems(officers)) == 1 and problems(operators) == ()
    twins = document("tacs")
    twins["people"]["bob"]["public_key"] = KEYS["ann"]
    assert len(key_lines(twins, ("people", "bob", "public_key"))) == 1
    for name in ("two words", "", "x" * 65, "a.b"):
        doc = document("tacs")
        doc["people"][name] = {**doc["people"]["bob"], "public_key": "c" * 64}
        assert len(problems(doc)) == 1, name
    for key in ("A" * 64, "a" * 63, "a" * 65, "g" * 64, "a" * 64 + "\n"):
        path = ("people", "ann", "public_key")
        assert key_lines(bent("tacs", path, key), path)


def test_a_key_that_anybody_can_sign_for_is_refused():
    for weak in WEAK_PUBLIC_KEYS:
        for key in (weak, f"{weak[:62]}{int(weak[62:], 16) | 0x80:02x}"):
            path = ("people", "ann", "public_key")
            assert len(key_lines(bent("tacs", path, key), path)) == 1
    assert not is_weak(KEYS["ann"])


def test_the_weak_keys_are_the_points_of_small_order():
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p
    root = pow(2, (p - 1) // 4, p)
    order_8 = {
        y
        for text in WEAK_PUBLIC_KEYS
        if (y := int.from_bytes(bytes.fromhex(text), "little")) not in (0, 1, p - 1, p, p + 1)
    }
    # y of a point of order 8: doubling it gives y = 0, that is x2 = -y2 on the curve -x2 + y2 = 1 + d x2 y2.
    assert len(order_8) == 2 and all((2 * y * y - 1 + d * pow(y, 4, p)) % p == 0 for y in order_8)
    assert root * root % p == p - 1


@pytest.mark.parametrize(
    ("endpoint", "good", "simulated"),
    [
        ("tcp:127.0.0.1:4000", True, True),
        ("tcp:127.9.9.9:1", True, True),
        ("tcp:[::1]:65535", True, True),
        ("serial:/dev/pts/3@115200", True, True),
        ("tcp:192.168.0.9:4000", True, False),
        ("tcp:localhost:4000", True, False),
        ("tcp:127.0.0.1.example.org:4000", True, False),
        ("tcp:[fe80::1]:4000", True, False),
        ("tcp:[::::]:4000", True, False),
        ("serial:/dev/ttyACM0@115200", True, False),
        ("serial:/dev/pts/../ttyACM0@115200", True, False),
        ("serial:/dev/pts/3x@115200", True, False),
        ("none", False, True),
        ("tcp:127.0.0.1", False, False),
        ("tcp:127.0.0.1:0", False, False),
        ("tcp:127.0.0.1:65536", False, True),
        ("tcp:127.0.0.1:4000 ", False, False),
        ("serial:ttyACM0@9600", False, False),
        ("serial:/dev/ttyACM0", False, False),
        ("http://127.0.0.1:4000", False, False),
        ("any", False, False),
    ],
)
def test_endpoints(endpoint: str, good: bool, simulated: bool):
    path = ("device", "endpoint")
    assert bool(key_lines(bent("tacs", path, endpoint), path)) is not good
    assert is_simulated(endpoint) is simulated
    if good:
        assert load(to_toml(bent("tacs", path, endpoint))).device.simulated is simulated


def test_any_identity_is_for_simulated_endpoints():
    doc = bent("tacs", ("device", "identity"), "any")
    assert problems(doc) == ()
    doc["device"]["endpoint"] = "serial:/dev/ttyACM0@115200"
    assert len(key_lines(doc, ("device", "identity"))) == 1


def test_only_the_null_driver_has_no_endpoint_and_no_relay():
    doc = document("tacs")
    doc["device"] |= {"driver": "null", "endpoint": "none"}
    doc["relay"]["endpoint"] = "none"
    assert problems(doc) == ()
    doc["device"]["driver"] = "open_device"
    assert len(problems(doc)) == 2
    doc["device"]["endpoint"] = "tcp:127.0.0.1:4000"
    assert len(key_lines(doc, ("relay", "endpoint"))) == 1
    doc["device"]["driver"] = "null"
    assert len(key_lines(doc, ("device", "endpoint"))) == 1


@pytest.mark.parametrize(
    "endpoint", ["unix:relay", "unix:", "tcp:127.0.0.1:1", "unix:/" + "a" * 107, "/tmp/x"]
)
def test_the_path_of_the_relay_fits_a_socket(endpoint: str):
    path = ("relay", "endpoint")
    assert len(key_lines(bent("tacs", path, endpoint), path)) == 1


def test_the_longest_path_of_a_relay():
    assert problems(bent("tacs", ("relay", "endpoint"), "unix:/" + "a" * 106)) == ()


# Bytes that are no file of ours


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"\x00",
        b"\xef\xbb\xbf[file]\n",
        b"[file",
        b"a = 1\na = 2\n",
        b"a = " + b"9" * 5000,
        b"a = " + b"[" * 30_000,
        b"[" + b"a." * 5_000 + b"a]",
        b'a = "\x1b"',
        b"a = 2026-02-30",
        b"a = 1e5_",
        b"#" * (BYTES_MAX + 1),
        b"[[file]]\n[[people]]\n[[budgets]]\n",
    ],
    ids=range(14),
)
def test_bytes_that_are_no_limits_are_refused_in_lines(content: bytes):
    found = problems(content)
    assert found and all(line.startswith("limits.toml: ") and line.isprintable() for line in found)


def test_the_size_is_capped_inclusively():
    assert BYTES_MAX == 65_536
    content = to_toml(document("tacs"))
    load(content + b"\n#" + b"x" * (BYTES_MAX - len(content) - 2))
    assert problems(content + b"\n#" + b"x" * (BYTES_MAX - len(content) - 1)) == (
        f"limits.toml: found {BYTES_MAX + 1} bytes, expected at most {BYTES_MAX}",
    )


@given(content=st.binary(max_size=400))
@settings(max_examples=80, deadline=None)
def test_arbitrary_bytes_only_ever_raise_limits_errors(content: bytes):
    assert problems(content)


_VALID = to_toml(document("tacs"))


@given(at=st.integers(0, len(_VALID) - 1), bit=st.integers(0, 7), cut=st.booleans())
@settings(max_examples=80, deadline=None)
def test_a_damaged_file_loads_within_bounds_or_says_why(at: int, bit: int, cut: bool):
    content = bytearray(_VALID)
    content[at] ^= 1 << bit
    damaged = bytes(content[:at] if cut else content)
    try:
        limits = load(damaged)
    except LimitsErrors as error:
        assert error.problems
        return
    assert limits.digest != load(_VALID).digest
    for found in limits.rows:
        declared = next(d for d in quantities_of("tacs") if d.name == found.quantity)
        assert declared.low <= found.low <= found.high <= declared.high


def test_odd_keys_are_shown_on_one_line():
    doc: dict[str, Any] = document("tacs")
    doc["a\nb\x1b"] = 1
    (line,) = problems(doc)
    assert line.isprintable()


def test_a_modality_without_a_rule_for_its_contacts_is_a_broken_invariant():
    with pytest.raises(AssertionError):
        limits_module._read_contact(Table({}, "", Problems()), "F3", "tus")  # type: ignore[arg-type]


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
