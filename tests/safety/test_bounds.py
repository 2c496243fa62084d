"""The short way through the bounds says yes exactly where the long one finds nothing to refuse."""

from __future__ import annotations

import math
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.capabilities import Envelope
from safety.modalities import Declared, bounds, quantities_of
from tests.safety.strategies import caps_of, limits_of

TACS = limits_of("tacs")
CAPS = caps_of("tacs")
ASKED = [declared for declared in quantities_of("tacs") if declared.asked and not declared.integer]


def edges(name: str) -> list[float]:
    """Every number at which an answer may turn, and its neighbours."""
    envelope = CAPS.envelopes[name]
    numbers = [
        envelope.low,
        envelope.high,
        *(x for r in TACS.rows if r.quantity == name for x in (r.low, r.high)),
    ]
    steps = (-1, 0, 1)
    near = [n + k * envelope.step for n in numbers for k in steps]
    return [x for n in near for x in (n, math.nextafter(n, -math.inf), math.nextafter(n, math.inf))]


@pytest.mark.parametrize("declared", ASKED, ids=lambda d: d.name)
def test_both_ways_agree_at_every_edge(declared: Declared):
    for value in edges(declared.name):
        short = bounds.passes(declared, value, TACS, CAPS)
        with mock.patch.object(bounds, "passes", return_value=False):
            assert short == (bounds.check_value(declared, value, TACS, CAPS) == []), value


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
