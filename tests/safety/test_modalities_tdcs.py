"""Direct current: all of it flows, charge binds before time, and a contact's share of the session's charge is bounded."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from drivers.stimulation import Output, Train
from safety.limits import Limits, load
from safety.modalities import amplitude_ceiling, check, check_slew, exposure, quantities_of, rows
from safety.modalities.tdcs import CURRENT
from tests.safety.examples.tdcs import direct
from tests.safety.modality_limits import codes, over_session, without_layers
from tests.safety.strategies import FACTS, caps_of, document, limits_of, quantity_of, row, to_toml

CAPS = caps_of("tdcs")
WIDE = msgspec.structs.replace(
    CAPS, envelopes={name: msgspec.structs.replace(e, step=0.0) for name, e in CAPS.envelopes.items()}
)
MIN_NS = 60 * 10**9


def limits_with(name: str, layer: str = "protocol", **ends: float) -> Limits:
    doc = document("tdcs")
    doc[f"{layer}_limits"][name] = row(quantity_of("tdcs", name), ends)
    return load(to_toml(doc))


def refused(train: Train, limits: Limits | None = None) -> list[tuple[str, str, str]]:
    return [(r.code, r.quantity, r.set_by) for r in check(train, limits or limits_of("tdcs"), WIDE, FACTS)]


def with_charge(doc: dict[str, Any], charge_c: float) -> dict[str, Any]:
    doc["budgets"]["session"]["charge_c"]["max"] = charge_c
    return doc


# The joint limits


def test_all_of_the_current_flows():
    assert exposure(direct(2.0), 10**9, 2.0).charge_c == 0.002
    assert exposure(direct(2.0), 20 * MIN_NS, 2.0).charge_c == 2.4
    # 1.4 mA on 25 cm2 is 0.056 mA/cm2, not half of it
    assert refused(direct(1.4), limits_with("density_ma_cm2", max=0.056)) == []
    tight = limits_with("density_ma_cm2", max=math.nextafter(0.056, 0.0))
    assert refused(direct(1.4), tight) == [("ILK-109", "density_ma_cm2", "protocol")]


def test_four_mA_for_forty_minutes_is_ended_by_the_charge_after_thirty():
    doc = with_charge(document("tdcs"), 7.2)
    doc["budgets"]["session"]["on_time_s"]["max"] = 2400.0
    limits = load(to_toml(doc))
    for minutes, over in ((29, ()), (30, ()), (31, ("charge_c",)), (40, ("charge_c",))):
        spent = exposure(direct(4.0), minutes * MIN_NS, 4.0)
        assert over_session(limits, spent) == over, minutes
    assert exposure(direct(4.0), 40 * MIN_NS, 4.0).charge_c == 9.6
    just = exposure(direct(4.0), 30 * MIN_NS + 1_000, 4.0)
    assert over_session(limits, just) == ("charge_c",)
    weak = exposure(direct(1.0), 40 * MIN_NS + 1_000, 1.0)  # weaker, time binds
    assert over_session(limits, weak) == ("on_time_s",)


@pytest.mark.parametrize("bad", ["charge_c", "on_time_s"])
def test_no_file_widens_a_part_of_the_joint_limit(bad: str):
    doc = document("tdcs")
    absolute = {"charge_c": 7.2, "on_time_s": 2400.0}[bad]
    doc["budgets"]["session"][bad]["max"] = math.nextafter(absolute, math.inf)
    with pytest.raises(Exception, match=f"budgets.session.{bad}.max"):
        load(to_toml(doc))


# The charge of a session under a contact


def test_the_session_s_whole_charge_stays_below_the_density_of_charge():
    # 2.5 C through 25 cm2 are 0.1 C/cm2, whatever the amplitude
    at = load(to_toml(with_charge(document("tdcs"), 2.5)))
    over = load(to_toml(with_charge(document("tdcs"), math.nextafter(2.5, 3.0))))
    under = load(to_toml(with_charge(document("tdcs"), math.nextafter(2.5, 0.0))))
    for amplitude_ma in (0.0, 0.1, 1.0):
        assert refused(direct(amplitude_ma), at) == refused(direct(amplitude_ma), under) == []
        assert refused(direct(amplitude_ma), over) == [("ILK-109", "charge_density_c_cm2", "protocol")]
    (reason,) = check(direct(), load(to_toml(with_charge(document("tdcs"), 5.0))), WIDE, FACTS)
    assert (reason.value, reason.limit) == (0.2, 0.1)
    assert "under 'Fp2' when the session's charge is spent" in reason.text


def test_the_contact_with_the_greatest_share_of_it_a_cm2_is_named():
    doc = document("tdcs")
    doc["contacts"] = {"C3": {"area_cm2": 25.0}, "Fp2": {"area_cm2": 25.0}, "F4": {"area_cm2": 5.0}}
    split = tuple(Output(name=n, share=s) for n, s in (("C3", 1.0), ("Fp2", -0.75), ("F4", -0.25)))
    found = check(direct(outputs=split), load(to_toml(doc)), WIDE, FACTS)
    # 2.4 C: 0.096 C/cm2 under C3, 0.12 under F4; 1 mA: 0.04 mA/cm2 and 0.05
    assert [(r.quantity, r.value, "'F4'" in r.text) for r in found] == [("charge_density_c_cm2", 0.12, True)]


@pytest.mark.parametrize("layer", ["absolute", "site", "protocol", "participant"])
def test_the_density_of_charge_of_every_layer(layer: str):
    doc = with_charge(document("tdcs"), 5.24)
    doc["protocol_limits"]["charge_density_c_cm2"]["max"] = 0.524
    doc["protocol_limits"]["density_ma_cm2"]["max"] = 0.63
    for contact in doc["contacts"].values():
        contact["area_cm2"] = 10.0
    if layer != "absolute":
        declared = quantity_of("tdcs", "charge_density_c_cm2")
        doc[f"{layer}_limits"]["charge_density_c_cm2"] = row(declared, {"max": 0.5})
    at, over = (5.24, 5.2401) if layer == "absolute" else (5.0, 5.0001)
    assert refused(direct(), load(to_toml(with_charge(doc, at)))) == []
    named = {set_by for _, _, set_by in refused(direct(), load(to_toml(with_charge(doc, over))))}
    assert named == ({"absolute", "protocol"} if layer == "absolute" else {layer})


def test_without_a_budget_nothing_can_be_spent_and_without_an_area_nothing_passes():
    limits = limits_of("tdcs")
    none = msgspec.structs.replace(limits, budgets=())
    assert codes(check(direct(), none, WIDE, FACTS)) == []  # the budget itself, 0, refuses every dose
    assert over_session(limits_of("tdcs"), exposure(direct(), 10**15, 1.0))
    bare = tuple(msgspec.structs.replace(c, area_cm2=None) for c in limits.contacts)
    found = check(direct(), msgspec.structs.replace(limits, contacts=bare), WIDE, FACTS)
    assert [(r.code, r.quantity) for r in found] == [("ILK-105", "area_cm2")]


# The ramp


def test_four_mA_rise_in_ten_seconds_and_no_faster():
    wide = without_layers("tdcs")
    assert check_slew(direct(4.0, ramp_up_ms=10_000), 0.0, wide) == ()
    (first, *_) = check_slew(direct(4.0, ramp_up_ms=9_999), 0.0, wide)
    assert (first.code, first.quantity, first.set_by, first.limit) == (
        "ILK-111",
        "slew_ma_per_s",
        "absolute",
        0.4,
    )
    assert check_slew(direct(4.0, ramp_up_ms=1_000), 3.6, wide) == ()
    assert check_slew(direct(4.0, ramp_up_ms=1_000), math.nextafter(3.6, 0.0), wide)
    assert check_slew(direct(0.0, ramp_up_ms=10), 4.0, wide) == ()  # down is never too fast


def test_the_ceiling_is_one_ramp_away():
    limits = limits_of("tdcs")
    for now, ramp_ms, ceiling in ((0.0, 5000, 1.0), (0.5, 5000, 1.5), (1.5, 5000, 2.0), (0.0, 0, 0.08)):
        assert amplitude_ceiling("tdcs", rows(limits, CAPS), now, ramp_ms) == ceiling


def test_what_the_table_says_of_itself():
    assert [d.name for d in quantities_of("tdcs")] == [
        *("amplitude_ma", "ramp_up_ms", "ramp_down_ms", "duration_ms", "slew_ma_per_s"),
        *("impedance_kohm", "density_ma_cm2", "charge_density_c_cm2"),
    ]
    assert {d.name: d.down for d in CURRENT.asked} == {
        "amplitude_ma": "less",
        "ramp_up_ms": "same",
        "ramp_down_ms": "same",
        "duration_ms": "less",
    }
    assert replace(CURRENT, derived=()).quantities == CURRENT.quantities[:-1]
