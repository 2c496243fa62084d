"""relative_theta: the share of 4-8 Hz in 1-45 Hz.

Higher in groups of chronic-pain patients than in controls, with no clear relation to pain intensity or relief
(Zebhauser 2023, Pain 164:1200): a research variable, never "pain".
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.biomarkers.spectral import Output, Span, SpectralConfig, check_band
from controller.eeg import Reading
from controller.montage import Montage
from controller.spectra import Spectrum
from controller.window import Epoch

THETA_HZ: Final = (4.0, 8.0)
BROAD_HZ: Final = (1.0, 45.0)


class RelativeTheta:
    """Mean over channels of P(4-8) / P(1-45), bands half-open."""

    class Config(SpectralConfig):
        """`channels = ["frontal"]` for the frontal form of the measure; all by default."""

    def __init__(self, name: str, config: Config, montage: Montage, sfreq_hz: float) -> None:
        check_band(*BROAD_HZ, sfreq_hz)
        self.name = name
        self._span = Span.build(config, montage)
        self._output = Output(name, "1", config, self._span)
        self.unit = self._output.unit
        self.window_s = self._span.window_s

    def measure(self, epoch: Epoch) -> Reading:
        return self._output.measure(epoch, _share)


def _share(spectrum: Spectrum, rows: NDArray[np.intp]) -> tuple[float, str]:
    broad = spectrum.power(*BROAD_HZ)[rows]
    if not (broad > 0).all():
        return math.nan, "no power from 1 to 45 Hz"
    return float(np.mean(spectrum.power(*THETA_HZ)[rows] / broad)), ""
