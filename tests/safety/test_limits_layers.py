"""limits.toml, its layers and dates: units, ends, the absolute bound, validity, the modality that it is for."""

from __future__ import annotations

import datetime
import itertools
import math

import pytest

from drivers.stimulation import Modality
from safety.modalities import quantities_of
from tests.safety.documents import bent, key_lines, problems
from tests.safety.strategies import MODALITIES, document, row


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


@pytest.mark.parametrize("name", ["tdc", "TACS", "", "rtms "])
def test_a_wrong_modality_is_one_problem_and_hides_no_other(name: str):
    doc = document("tacs")
    doc["modality"]["name"] = name
    doc["file"]["serial"] = -4
    assert len(problems(doc)) == 2


def test_a_file_of_the_one_modality_under_the_name_of_the_other_is_refused():
    for modality, other in itertools.permutations(MODALITIES, 2):
        doc = document(modality)
        if {each.name for each in quantities_of(modality)} == {each.name for each in quantities_of(other)}:
            continue  # told apart by its name alone: that is what the file says
        doc["modality"]["name"] = other
        assert len(problems(doc)) > 3
