"""Transcranial alternating current by the second hand: density, slew, charge, contacts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from drivers.stimulation import Hold, Output, Sine, Train, Waveform
from safety.limit_values import Limits
from safety.oracle_carriers import held
from safety.oracle_numbers import Circumstances, F, Numbers, Part, Span, exact, known, said

HOLD_MS_MAX = 500  # own choice: the lease of a hold
SHARES_SUM = F(1, 10**9)  # own choice: thirds have no decimal; far below what any device can set

# Bikson 2016 (4 mA), and the same number read peak to peak, which is stricter. 0.1 to 640 Hz: the widest alternating
# current in use. 6.3 A/m2: the least density that injured animals' brains, here already at the skin. 20 kohm: an open
# contact.
BOUNDS: Mapping[str, Span] = {
    "amplitude_ma_pp": (F(0), F(4)),
    "frequency_hz": (F(1, 10), F(640)),
    "duration_ms": (F(1), F(HOLD_MS_MAX)),
    "impedance_kohm": (F(0), F(20)),
    "density_ma_cm2": (F(0), F(63, 100)),
}
# 40 min and 7.2 C, all of them at once (Bikson 2016).
SESSION: Mapping[str, Fraction] = {"on_time_s": F(2400), "charge_c": F(72, 10)}


def asked(wave: Waveform) -> Numbers | None:
    """The numbers of a held sine, exactly; None for each that is no number, or no whole one where it has to be."""
    return held(wave) if isinstance(wave, Hold) and isinstance(wave.carrier, Sine) else None


def derived(train: Train, numbers: Numbers, given: Circumstances) -> Numbers:
    """Impedance, density, slew."""
    amplitude = numbers["amplitude_ma_pp"]
    return {
        "impedance_kohm": exact(given.impedance_kohm),
        "density_ma_cm2": density_ma_cm2(
            None if amplitude is None else amplitude / 2, train.outputs, given.limits
        ),
        "slew_ma_per_s": slew_ma_per_s(amplitude, given.least_ma_pp, numbers["ramp_up_ms"]),
    }


def density_ma_cm2(peak_ma: Fraction | None, outputs: tuple[Output, ...], limits: Limits) -> Fraction | None:
    """The greatest peak density of any contact; None where an area is missing."""
    share = share_per_cm2(outputs, limits)
    return None if peak_ma is None or share is None else peak_ma * share


def share_per_cm2(outputs: tuple[Output, ...], limits: Limits) -> Fraction | None:
    """The greatest share of the amplitude that a square centimetre of a contact has; None where an area is missing."""
    greatest: Fraction | None = None
    for output in outputs:
        contact, share = limits.contact(output.name), exact(output.share)
        area = None if contact is None else exact(contact.area_cm2)
        if share is None or area is None or area <= 0:
            return None
        here = abs(share) / area
        greatest = here if greatest is None or here > greatest else greatest
    return greatest


def slew_ma_per_s(to: Fraction | None, least: Fraction, ramp_up_ms: Fraction | None) -> Fraction | None:
    """How fast the output rises when it begins at `least`; 0 where it does not rise."""
    if to is None:
        return None
    if to <= least:
        return F(0)
    return None if ramp_up_ms is None or ramp_up_ms <= 0 else (to - least) / (ramp_up_ms / 1000)


def contacts(outputs: tuple[Output, ...], given: Circumstances) -> Iterator[str]:
    """Shares sum to zero, and what goes in is not more than the amplitude says."""
    yield from known(outputs, given)
    shares = [share for output in outputs if (share := exact(output.share)) is not None]
    if len(shares) != len(outputs) or len(shares) < 2:
        yield "outputs: at least two, each with a finite share"
    elif abs(sum(shares, F(0))) > SHARES_SUM:
        yield f"outputs: the shares sum to {said(sum(shares, F(0)))}, not to zero"
    elif sum((share for share in shares if share > 0), F(0)) > 1 + SHARES_SUM:
        yield "outputs: more current than the amplitude says"


def _more(train: Train, numbers: Numbers, given: Circumstances) -> Iterator[str]:
    yield from contacts(train.outputs, given)


PART = Part(bounds=BOUNDS, session=SESSION, asked=asked, derived=derived, more=_more)
