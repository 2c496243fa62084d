"""sensorimotor_alpha: 8-13 Hz over the sensorimotor cortex, as log power or as change from a baseline.

Falls on the side opposite to a noxious stimulus (event-related desynchronisation); solid for acute pain, absent
in chronic (May 2019, Hum Brain Mapp 40:293).
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from controller.biomarkers.spectral import Channels, Output, Span, SpectralConfig, check_band
from controller.eeg import Reading
from controller.montage import Montage
from controller.spectra import Spectrum
from controller.window import Epoch

ALPHA_HZ: Final = (8.0, 13.0)


class SensorimotorAlpha:
    """log10 of the mean power over channels (µV²); with `baseline_uv2`, 100 * (P - Pb) / Pb instead."""

    class Config(SpectralConfig):
        channels: Channels = ("sensorimotor_left", "sensorimotor_right")
        baseline_uv2: Annotated[float, Field(gt=0)] | None = None

    def __init__(self, name: str, config: Config, montage: Montage, sfreq_hz: float) -> None:
        check_band(*ALPHA_HZ, sfreq_hz)
        self.name = name
        self._baseline_uv2 = config.baseline_uv2
        self._span = Span.build(config, montage)
        unit = "log10(µV²)" if config.baseline_uv2 is None else "%"
        self._output = Output(name, unit, config, self._span)
        self.unit = self._output.unit
        self.window_s = self._span.window_s

    def measure(self, epoch: Epoch) -> Reading:
        return self._output.measure(epoch, self._of)

    def _of(self, spectrum: Spectrum, rows: NDArray[np.intp]) -> tuple[float, str]:
        power_uv2 = float(np.mean(spectrum.power(*ALPHA_HZ)[rows]))
        if not power_uv2 > 0:
            return math.nan, "no power from 8 to 13 Hz"
        if self._baseline_uv2 is None:
            return math.log10(power_uv2), ""
        return 100.0 * (power_uv2 - self._baseline_uv2) / self._baseline_uv2, ""
