"""Transcranial direct current by the second hand: density, slew, and the charge that a contact could be given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from drivers.stimulation import Direct, Hold, Train, Waveform
from safety.limit_values import Limits
from safety.oracle_carriers import held
from safety.oracle_numbers import Circumstances, F, Numbers, Part, Span, exact
from safety.oracle_tacs import BOUNDS as OF_CONTACTS
from safety.oracle_tacs import SESSION, contacts, density_ma_cm2, share_per_cm2, slew_ma_per_s

# Bikson 2016: 4 mA. The usual ramp at a session's ends lasts 10 to 30 s: 4 mA in the shortest. Liebetanz 2009: 5.24 C/cm2
# injured rat cortex; a tenth of it is held here, at the skin.
BOUNDS: Mapping[str, Span] = {
    **{name: OF_CONTACTS[name] for name in ("duration_ms", "impedance_kohm", "density_ma_cm2")},
    "amplitude_ma": (F(0), F(4)),
    "slew_ma_per_s": (F(0), F(4, 10)),
    "charge_density_c_cm2": (F(0), F(524, 1000)),
}


def asked(wave: Waveform) -> Numbers | None:
    """The numbers of a held direct current, exactly."""
    return held(wave) if isinstance(wave, Hold) and isinstance(wave.carrier, Direct) else None


def derived(train: Train, numbers: Numbers, given: Circumstances) -> Numbers:
    """Impedance, density, slew, and the charge through a cm2 were the session's charge spent to the last."""
    amplitude = numbers["amplitude_ma"]
    return {
        "impedance_kohm": exact(given.impedance_kohm),
        "density_ma_cm2": density_ma_cm2(amplitude, train.outputs, given.limits),
        "slew_ma_per_s": slew_ma_per_s(amplitude, given.least_ma_pp, numbers["ramp_up_ms"]),
        "charge_density_c_cm2": charge_density_c_cm2(train, given.limits),
    }


def charge_density_c_cm2(train: Train, limits: Limits) -> Fraction | None:
    """The least of the session's rows of charge, all of it, through the contact with the greatest share of it a cm2."""
    rows = [exact(row.high) for row in limits.budgets if row.name == "charge_c" and row.scope == "session"]
    share = share_per_cm2(train.outputs, limits)
    found = [row for row in rows if row is not None]
    if share is None or len(found) != len(rows):
        return None
    return share * min(found, default=F(0))


def _more(train: Train, numbers: Numbers, given: Circumstances) -> Iterator[str]:
    yield from contacts(train.outputs, given)


PART = Part(bounds=BOUNDS, session=SESSION, asked=asked, derived=derived, more=_more)
