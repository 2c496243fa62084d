"""One example a modality: the tests that hold for every modality run over all of them."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.stimulation import Modality
from tests.safety.examples.example import Example
from tests.safety.examples.rtms import RTMS
from tests.safety.examples.tacs import TACS

EXAMPLES: Mapping[Modality, Example] = {
    "tacs": TACS,
    "rtms": RTMS,
}
