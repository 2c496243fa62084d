"""Transcranial random noise by the second hand: as alternating current, in a band with its ends in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from drivers.stimulation import Hold, Noise, Train, Waveform
from safety.oracle_carriers import held
from safety.oracle_numbers import Circumstances, Numbers, Part, Span
from safety.oracle_tacs import BOUNDS as OF_SINES
from safety.oracle_tacs import SESSION, contacts, derived

# Antal 2026: 4 mA, here peak to peak, which is stricter. 0.1 to 640 Hz: the band in use.
BOUNDS: Mapping[str, Span] = {
    **{name: span for name, span in OF_SINES.items() if name != "frequency_hz"},
    "low_hz": OF_SINES["frequency_hz"],
    "high_hz": OF_SINES["frequency_hz"],
}


def asked(wave: Waveform) -> Numbers | None:
    """The numbers of a held noise, exactly."""
    return held(wave) if isinstance(wave, Hold) and isinstance(wave.carrier, Noise) else None


def _more(train: Train, numbers: Numbers, given: Circumstances) -> Iterator[str]:
    yield from contacts(train.outputs, given)
    low, high = numbers["low_hz"], numbers["high_hz"]
    if low is None or high is None or not low < high:
        yield "high_hz: not above low_hz"


PART = Part(bounds=BOUNDS, session=SESSION, asked=asked, derived=derived, more=_more)
