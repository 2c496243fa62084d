"""Every modality has its unit, its amplitude's quantity and its way of being told."""

from __future__ import annotations

import pytest

from controller.finished.values import AMPLITUDE_QUANTITY, AMPLITUDE_UNIT, PULSED
from controller.train import TRAINS
from drivers.stimulation import MODALITIES, Modality, amplitude_quantity, n_pulses
from tests.safety.strategies import valid_train


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_modality_is_told_by_its_own_amplitude(modality: Modality) -> None:
    assert AMPLITUDE_UNIT[modality]
    assert AMPLITUDE_QUANTITY[modality] == amplitude_quantity(valid_train(modality))
    assert (modality in PULSED) == (n_pulses(valid_train(modality)) > 0)


def test_no_table_names_a_modality_that_there_is_not() -> None:
    assert set(AMPLITUDE_UNIT) == set(AMPLITUDE_QUANTITY) == set(TRAINS) == set(MODALITIES)
