"""Montage: names as recordings write them, regions, references, and every way to ask for what is not there."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from controller.montage import REGIONS, Montage, MontageConfig, canonical, clean_name

NAMES = ("Fp1", "Fz", "FCz", "C3", "Cz", "C4", "T3", "A1", "A2", "ECG")


def build(names: tuple[str, ...] = NAMES, **table: object) -> Montage:
    return Montage.build(MontageConfig.model_validate(table), names)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("EEG Fp1-LE", "Fp1"),
        ("EEG Fp1-REF", "Fp1"),
        ("EEG FP1", "FP1"),
        ("Fc5.", "Fc5"),
        ("C3..", "C3"),
        (" Cz ", "Cz"),
        ("EEG_O2-A1", "O2"),
        ("EEG A2-A1", "A2"),
        ("ECOG_RIGHT_0", "ECOG_RIGHT_0"),
        ("LFP_RIGHT_1", "LFP_RIGHT_1"),
        ("Fp1-F7", "Fp1-F7"),
        ("-REF", "-REF"),
        ("", ""),
    ],
)
def test_labels_are_cleaned(label: str, name: str):
    assert clean_name(label) == name


def test_one_electrode_many_labels():
    assert canonical("EEG T3-LE") == canonical("T7") == canonical("t7")
    assert canonical("T6") == canonical("P8")
    assert canonical("A1") != canonical("M1")  # the ear is not the mastoid
    assert canonical("TP9") != canonical("M1")


def test_by_default_all_eeg_and_nothing_else():
    montage = build()
    assert montage.ch_names == ("Fp1", "Fz", "FCz", "C3", "Cz", "C4", "T3")
    assert montage.picks == tuple(range(7))
    names = ("EEG Fp1", "EEG A2-A1", "ECG ECG", "STI 014", "Status", "EOG1", "ACC_X", "MOV_RIGHT", "ACC1")
    assert build(names).ch_names == ("Fp1", "ACC1")  # the cingulate is no accelerometer


def test_channels_are_matched_by_any_of_their_names_in_the_streams_order():
    montage = build(("EEG C4-LE", "EEG T3-LE", "EEG C3-LE"), channels=["c3", "T7"])
    assert montage.ch_names == ("T3", "C3")
    assert montage.picks == (1, 2)
    assert montage.resolve(["t3"]) == (0,)


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (["all"], ["Fp1", "Fz", "FCz", "C3", "Cz", "C4", "T3"]),
        (["frontal"], ["Fz", "FCz"]),
        (["Sensorimotor"], ["FCz", "C3", "Cz", "C4"]),
        (["sensorimotor_left", "sensorimotor_right"], ["C3", "C4"]),
        (["temporal", "cz"], ["Cz", "T3"]),
        (["C3", "C3"], ["C3"]),
    ],
)
def test_names_and_regions(selection: list[str], names: list[str]):
    montage = build()
    assert [montage.ch_names[row] for row in montage.resolve(selection)] == names


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        (["C9"], r'^channels: found "C9", not among the channels Fp1, .*; (did you mean|expected one of)'),
        (["frontl"], 'did you mean "frontal"'),
        (["occipital"], "channels: found occipital, of which the montage has none"),
        ([], "an empty list"),
        (["A1"], 'channels: found "A1"'),
        (["ECG"], 'channels: found "ECG"'),
    ],
)
def test_what_is_not_there_is_one_line(selection: list[str], text: str):
    with pytest.raises(ValueError, match=text) as caught:
        build().resolve(selection)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "table", "text"),
    [
        (NAMES, {"channels": ["C3", "c3"]}, 'montage.channels: found "c3" twice'),
        (NAMES, {"channels": ["Pz"]}, 'montage.channels: found "Pz", not among'),
        (NAMES, {"reference": ["M1"]}, 'montage.reference: found "M1", not among'),
        (NAMES, {"reference": []}, "montage.reference: found an empty list"),
        (("T3", "T7", "C3"), {}, "expected distinct labels"),
        (("T3", "T7", "C3"), {"channels": ["T3"]}, "expected distinct labels"),
        (("ECG", "EOG"), {}, "looks like EEG"),
        ((), {}, "no channel"),
        (("C3", "Foo"), {"reference": "laplacian"}, "Foo has no place"),
        (("C3",), {"reference": "laplacian"}, "at least 2"),
        (("A1", "A2"), {"reference": ["A1", "A2"]}, "looks like EEG"),
    ],
)
def test_an_impossible_montage_is_one_line(names: tuple[str, ...], table: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text) as caught:
        build(names, **table)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "table", [{"reference": "avg"}, {"channels": "C3"}, {"channels": [1]}, {"ref": "none"}]
)
def test_a_wrong_table_is_refused(table: dict[str, object]):
    with pytest.raises(ValidationError):
        MontageConfig.model_validate(table)


def test_average_is_of_the_good_channels_only():
    montage = build(("F3", "F4", "C3"))
    good = np.array([True, False, True])
    weights, usable = montage.weights(good)
    np.testing.assert_array_equal(weights, [0.5, 0.0, 0.5])
    np.testing.assert_array_equal(usable, good)
    _, usable = montage.weights(np.array([True, False, False]))  # against itself a channel is nothing
    assert not usable.any()
    assert not montage.weights(np.zeros(3, dtype=np.bool_))[1].any()


def test_linked_ears_are_whole_or_nothing_and_are_not_measured():
    montage = build(reference=["A1", "A2"])
    assert montage.ch_names[-2:] == ("A1", "A2")
    assert montage.resolve(["all"]) == tuple(range(7))
    weights, usable = montage.weights(np.ones(9, dtype=np.bool_))
    np.testing.assert_array_equal(weights, [0] * 7 + [0.5, 0.5])
    assert usable.all()
    good = np.ones(9, dtype=np.bool_)
    good[8] = False
    assert not montage.weights(good)[1].any()


def test_a_reference_that_is_listed_is_measured_as_well():
    montage = build(("C3", "Cz", "C4"), channels=["C3", "Cz", "C4"], reference=["Cz"])
    assert montage.resolve(["all"]) == (0, 1, 2)


def test_laplacian_is_the_four_nearest_without_bads():
    names = ("Fz", "FC1", "FCz", "FC2", "C1", "Cz", "C2", "CPz", "Pz", "O1")
    montage = build(names, reference="laplacian")
    weights, usable = montage.weights(np.ones(10, dtype=np.bool_))
    assert weights is not None
    row = dict(zip(names, weights[names.index("Cz")], strict=True))
    assert {name for name, w in row.items() if w} == {"FCz", "C1", "C2", "CPz"}
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert usable.all()
    good = np.ones(10, dtype=np.bool_)
    good[names.index("C1")] = False
    weights, usable = montage.weights(good)
    assert weights is not None
    assert weights[names.index("Cz"), names.index("C1")] == 0.0
    assert weights[names.index("Cz"), names.index("CPz")] == pytest.approx(1 / 3)
    assert not usable[names.index("C1")]


def test_a_laplacian_removes_what_is_common():
    montage = build(("C3", "FC3", "CP3", "C1", "C5"), reference="laplacian")
    weights, _ = montage.weights(np.ones(5, dtype=np.bool_))
    assert weights is not None
    np.testing.assert_allclose(np.ones(5) - weights @ np.ones(5), 0.0, atol=1e-12)


def test_the_digest_tells_montages_apart():
    digests = {
        build().digest(),
        build(channels=["C3", "C4"]).digest(),
        build(reference="none").digest(),
        build(reference=["A1", "A2"]).digest(),
        build(reference=["A1"]).digest(),
        build(NAMES[::-1]).digest(),
    }
    assert len(digests) == 6
    assert build().digest() == build().digest()


def test_regions_name_each_electrode_once():
    for names in REGIONS.values():
        assert len({canonical(name) for name in names}) == len(names)
