"""The short way through the bounds says yes exactly where the long one finds nothing to refuse."""

from __future__ import annotations

import dataclasses
import math
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.capabilities import Envelope
from drivers.stimulation import Modality
from safety.modalities import Declared, bounds, quantities_of
from safety.modalities.contacts import is_share
from tests.safety.strategies import MODALITIES, caps_of, limits_of, quantity_of, valid_train

TACS = limits_of("tacs")
CAPS = caps_of("tacs")
ASKED = [declared for declared in quantities_of("tacs") if declared.asked and not declared.integer]
EVERY = [
    (modality, declared)
    for modality in MODALITIES
    for declared in quantities_of(modality)
    if declared.asked and not declared.integer
]
COMPUTED = [(m, declared) for m in MODALITIES for declared in quantities_of(m) if not declared.asked]


def edges(modality: Modality, name: str) -> list[float]:
    """Every number at which an answer may turn, and its neighbours."""
    envelope = caps_of(modality).envelopes[name]
    rows = [row for row in limits_of(modality).rows if row.quantity == name]
    numbers = [envelope.low, envelope.high, *(end for row in rows for end in (row.low, row.high))]
    near = [number + k * envelope.step for number in numbers for k in (-1, 0, 1)]
    return [x for n in near for x in (n, math.nextafter(n, -math.inf), math.nextafter(n, math.inf))]


def test_a_number_that_is_none_neither_falls_nor_stays():
    amplitude = quantity_of("tacs", "amplitude_ma_pp")
    for before, after in ((math.nan, 0.5), (1.0, math.nan), (True, False), ("2", "1"), (None, None)):
        assert bounds.falls_or_stays(amplitude, before, after) is False
    assert bounds.falls_or_stays(amplitude, 1.0, 0.5) is True


@pytest.mark.parametrize(("modality", "declared"), EVERY, ids=lambda it: getattr(it, "name", it))
def test_both_ways_agree_at_every_edge(modality: Modality, declared: Declared):
    limits, caps = limits_of(modality), caps_of(modality)
    for value in edges(modality, declared.name):
        short = bounds.passes(declared, value, limits, caps)
        with mock.patch.object(bounds, "passes", return_value=False):
            assert short == (bounds.check_value(declared, value, limits, caps) == []), value


def ends(modality: Modality, declared: Declared) -> list[float]:
    rows = [row for row in limits_of(modality).rows if row.quantity == declared.name]
    numbers = [declared.low, declared.high, *(end for row in rows for end in (row.low, row.high))]
    return [x for n in numbers for x in (n, math.nextafter(n, -math.inf), math.nextafter(n, math.inf))]


@pytest.mark.parametrize("layer", ("site", "protocol", "participant", "absolute"))
@pytest.mark.parametrize(("modality", "declared"), COMPUTED, ids=lambda it: getattr(it, "name", it))
def test_both_ways_agree_at_every_end_of_what_is_computed(modality: Modality, declared: Declared, layer: str):
    """Whichever layers the file has: without one of the protocol, nothing is allowed."""
    limits = limits_of(modality)
    kept = tuple(row for row in limits.rows if row.quantity != declared.name or row.layer == layer)
    for some in (limits, msgspec.structs.replace(limits, rows=kept)):
        for value in ends(modality, declared):
            number = bounds.exact(value)
            short = bounds.inside(declared, number, some)
            assert short == bounds.inside_layers(declared, value, some), value
            with mock.patch.object(bounds, "inside", return_value=False):
                assert short == (bounds.check_exact(declared, number, some) == []), value


@given(
    value=st.floats(allow_nan=False, allow_infinity=False), step=st.sampled_from([0.0, 0.01, 0.1, 0.25, 1.0])
)
def test_both_ways_agree_anywhere(value: float, step: float):
    declared = ASKED[0]
    held = CAPS.envelopes[declared.name]
    envelopes = CAPS.envelopes | {declared.name: Envelope(low=held.low, high=held.high, step=step)}
    caps = bounds.Capabilities(
        **{f: getattr(CAPS, f) for f in CAPS.__struct_fields__} | {"envelopes": envelopes}
    )
    for x in (value, math.fmod(value, 4.0), round(math.fmod(value, 4.0), 2)):
        short = bounds.passes(declared, x, TACS, caps)
        with mock.patch.object(bounds, "passes", return_value=False):
            assert short == (bounds.check_value(declared, x, TACS, caps) == []), x


def test_no_row_of_the_protocol_and_no_envelope_pass_nothing():
    declared = ASKED[0]
    middle = TACS.rows[0].high / 2
    bare = msgspec.structs.replace(TACS, rows=tuple(r for r in TACS.rows if r.layer != "protocol"))
    assert not bounds.passes(declared, middle, bare, CAPS)
    dumb = msgspec.structs.replace(CAPS, envelopes={})
    assert not bounds.passes(declared, middle, TACS, dumb)
    for number in (math.nan, math.inf, -math.inf):
        assert not bounds.passes(declared, number, TACS, CAPS)


@pytest.mark.parametrize(
    "end", ({"low": -math.inf}, {"high": math.inf}, {"low": math.nan}, {"high": math.nan})
)
@pytest.mark.parametrize("layer", ("site", "protocol"))
def test_an_end_that_is_no_number_lets_nothing_through(layer: str, end: dict[str, float]):
    declared = ASKED[0]
    row = next(row for row in TACS.rows if row.quantity == declared.name)
    endless = msgspec.structs.replace(row, layer=layer, **end)
    limits = msgspec.structs.replace(TACS, rows=(*TACS.rows, endless))
    assert bounds.inside_layers(declared, 0.5, TACS) and not bounds.inside_layers(declared, 0.5, limits)
    assert not bounds.passes(declared, 0.5, limits, CAPS)


@pytest.mark.parametrize("order", (("protocol", "participant"), ("site", "protocol"), ("protocol",)))
def test_the_row_of_the_protocol_may_stand_anywhere_among_the_others(order: tuple[str, ...]):
    declared = ASKED[0]
    row = next(row for row in TACS.rows if row.quantity == declared.name)
    rows = tuple(msgspec.structs.replace(row, layer=layer) for layer in order)
    limits = msgspec.structs.replace(TACS, rows=rows)
    assert bounds.inside_layers(declared, row.high, limits)
    assert bounds.inside(declared, bounds.exact(row.high), limits)


@pytest.mark.parametrize("side", ("low", "high"))
def test_a_row_that_is_wider_than_the_code_widens_nothing(side: str):
    declared = ASKED[0]
    row = next(row for row in TACS.rows if row.quantity == declared.name and row.layer == "protocol")
    end = math.nextafter(getattr(declared, side), math.inf if side == "high" else -math.inf)
    wide = msgspec.structs.replace(row, low=declared.low - 1, high=declared.high + 1)
    limits = msgspec.structs.replace(TACS, rows=(wide,))
    for value, inside in ((getattr(declared, side), True), (end, False)):
        assert bounds.inside_layers(declared, value, limits) is inside
        assert bounds.inside(declared, bounds.exact(value), limits) is inside


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_train_of_the_file_s_own_kind_has_nothing_against_its_kind(modality: Modality):
    train, limits, caps = valid_train(modality), limits_of(modality), caps_of(modality)
    assert bounds.check_kind(train, limits, caps) == ()
    for elsewhere in (limits_of("rtms" if modality != "rtms" else "tacs"), None):
        device = caps if elsewhere is not None else msgspec.structs.replace(caps, modalities=())
        (reason,) = bounds.check_kind(train, elsewhere or limits, device)
        assert reason.code == bounds.WRONG_KIND


@pytest.mark.parametrize(
    ("value", "codes"),
    [
        (1e-9, []), (math.nextafter(1e-9, 0), [bounds.NOT_A_NUMBER]), (5e-324, [bounds.NOT_A_NUMBER]), (0.0, []),
        (1e9, []), (math.nextafter(1e9, math.inf), [bounds.NOT_A_NUMBER]), (1e300, [bounds.NOT_A_NUMBER]),
    ],
)  # fmt: skip
def test_a_number_with_a_huge_exponent_is_none_though_every_layer_had_room_for_it(
    value: float, codes: list[str]
):
    declared = dataclasses.replace(ASKED[0], high=1e301)
    rows = tuple(
        msgspec.structs.replace(row, high=1e301) if row.quantity == declared.name else row
        for row in TACS.rows
    )
    limits = msgspec.structs.replace(TACS, rows=rows)
    wide = CAPS.envelopes | {declared.name: Envelope(low=0.0, high=1e301, step=0.0)}
    caps = msgspec.structs.replace(CAPS, envelopes=wide)
    assert [each.code for each in bounds.check_value(declared, value, limits, caps)] == codes
    assert bounds.passes(declared, value, limits, caps) is not bool(codes)


def test_a_number_that_a_layer_refuses_is_told_so_whatever_its_exponent():
    declared = ASKED[0]
    codes = {each.code for each in bounds.check_value(declared, 1e300, TACS, CAPS)}
    assert bounds.ABOVE in codes and bounds.NOT_A_NUMBER not in codes
    (reason,) = bounds.check_value(declared, math.nan, TACS, CAPS)
    assert reason.code == bounds.NOT_A_NUMBER


@pytest.mark.parametrize(("low", "above"), [(0.0, ""), (0.5, ""), (0.25, " above 0.25")])
def test_a_step_is_told_with_the_low_end_that_it_counts_from(low: float, above: str):
    declared = ASKED[0]
    envelopes = CAPS.envelopes | {declared.name: Envelope(low=low, high=4.0, step=0.5)}
    caps = msgspec.structs.replace(CAPS, envelopes=envelopes)
    (reason,) = bounds.check_value(declared, 0.6, TACS, caps)
    assert reason.code == bounds.OFF_STEP
    assert reason.text.endswith(f"{declared.name} 0.6 {declared.unit} is no multiple of 0.5{above}")


def test_what_a_number_would_be_is_told_by_its_kind():
    whole = next(each for each in quantities_of("tacs") if each.integer)
    for declared, kind in ((whole, "an integer"), (ASKED[0], "0 or a number from 1e-09 to 1e+09")):
        told = bounds.not_a_number(declared, math.nan)
        assert told.text.endswith(f"{declared.name} is nan, expected {kind} of {declared.unit}")


@pytest.mark.parametrize(
    ("share", "is_one"), [(0.5, True), (-1, True), (0, False), (0.0, False), (-0.0, False), (True, False)]
)
def test_nothing_is_no_share(share: float, is_one: bool):
    assert is_share(share) is is_one
