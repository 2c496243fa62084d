"""What a device lacks: every combination against an expectation written by hand, and the edges of its numbers."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from drivers.capabilities import Capabilities
from safety.effective import rows_of_file
from safety.limit_values import Limits
from safety.messages import Row
from safety.needs import COARSE_NS, NEEDS, SHORT_LEASE_MS, needs_of, unmet, would_refuse
from safety.trips import PERMISSIVES
from tests.safety.strategies import caps_of, limits_of

LACKS = ("ends", "stops", "reads", "confirms", "impedance", "onset")


def device(modality: str, lacks: tuple[str, ...]) -> Capabilities:
    return msgspec.structs.replace(
        caps_of("rtms" if modality == "rtms" else "tacs"),
        ends_by_itself="ends" not in lacks,
        stops_on_link_loss="stops" not in lacks,
        reads_back="reads" not in lacks,
        confirms="confirms" not in lacks,
        measures_impedance="impedance" not in lacks,
        onset_latency_ns=COARSE_NS + ("onset" in lacks),
    )


def given(modality: str, *, relay: bool, lease_ms: float = 400.0) -> tuple[Limits, tuple[Row, ...]]:
    limits = limits_of("rtms" if modality == "rtms" else "tacs")
    endpoint = "unix:/tmp/relay.sock" if relay else "none"
    limits = msgspec.structs.replace(limits, relay=msgspec.structs.replace(limits.relay, endpoint=endpoint))
    rows = tuple(
        msgspec.structs.replace(row, high=lease_ms) if row.quantity == "duration_ms" else row
        for row in rows_of_file(limits)
    )
    return limits, rows


# By hand: for tACS with the longest lease, with a short one, and for pulses; without and with a relay.
#             tacs 400 ms       tacs 250 ms       rtms
#             alone   relay     alone   relay     alone   relay
EXPECTED = {
    "ends":      (True, True,   True, False,      True, True),
    "stops":     (True, False,  True, False,      True, False),
    "reads":     (True, False,  True, False,      True, False),
    "confirms":  (True, True,   True, False,      True, True),
    "impedance": (True, True,   True, True,       False, False),
    "onset":     (True, True,   True, True,       True, True),
}  # fmt: skip
CODES = {
    "ends": "ILK-421",
    "stops": "ILK-422",
    "reads": "ILK-423",
    "confirms": "ILK-424",
    "impedance": "ILK-425",
    "onset": "ILK-426",
}
CASES = [("tacs", False, 400.0), ("tacs", True, 400.0), ("tacs", False, 250.0), ("tacs", True, 250.0),
         ("rtms", False, 400.0), ("rtms", True, 400.0)]  # fmt: skip


@pytest.mark.parametrize(("column", "case"), list(enumerate(CASES)), ids=str)
def test_every_combination_of_what_a_device_lacks(column: int, case: tuple[str, bool, float]):
    modality, relay, lease_ms = case
    limits, rows = given(modality, relay=relay, lease_ms=lease_ms)
    seen = 0
    for n in range(len(LACKS) + 1):
        for lacks in itertools.combinations(LACKS, n):
            found = [code for code, _ in unmet(limits, device(modality, lacks), rows)]
            assert found == [CODES[lack] for lack in lacks if EXPECTED[lack][column]], lacks
            seen += 1
    assert seen == 2 ** len(LACKS)


def test_a_row_says_what_would_have_to_be():
    limits, rows = given("tacs", relay=False)
    told = dict(unmet(limits, device("tacs", ("ends", "impedance", "onset")), rows))
    assert told["ILK-421"] == "needs a watchdog relay with feedback and holds of at most 250 ms"
    assert told["ILK-425"] == "needs a modality without a limit of impedance"
    assert told["ILK-426"] == "needs another device: nothing stands in"
    limits, rows = given("tacs", relay=True)
    assert dict(unmet(limits, device("tacs", ("ends",)), rows)) == {
        "ILK-421": "needs holds of at most 250 ms"
    }


@pytest.mark.parametrize(
    ("onset_ns", "refused"), [(0, False), (COARSE_NS, False), (COARSE_NS + 1, True), (-1, True)]
)
def test_how_coarse_an_onset_may_be(onset_ns: int, refused: bool):
    limits, rows = given("tacs", relay=True)
    caps = msgspec.structs.replace(caps_of("tacs"), onset_latency_ns=onset_ns)
    assert [code for code, _ in unmet(limits, caps, rows)] == (["ILK-426"] if refused else [])


@pytest.mark.parametrize(("lease_ms", "refused"), [(SHORT_LEASE_MS, False), (SHORT_LEASE_MS + 1, True)])
def test_how_short_a_lease_must_be(lease_ms: float, refused: bool):
    limits, rows = given("tacs", relay=True, lease_ms=lease_ms)
    assert bool(list(unmet(limits, device("tacs", ("confirms",)), rows))) is refused


def test_what_puts_nothing_out_needs_nothing():
    limits, rows = given("tacs", relay=False)
    null = msgspec.structs.replace(device("tacs", LACKS), driver="null")
    assert list(unmet(limits, null, rows)) == []


def test_without_a_row_of_the_lease_it_is_not_short():
    limits, _ = given("tacs", relay=True)
    assert [code for code, _ in unmet(limits, device("tacs", ("ends",)), ())] == ["ILK-421"]


def test_what_check_shows_is_what_the_table_refuses():
    for modality, relay, lease_ms in CASES:
        limits, rows = given(modality, relay=relay, lease_ms=lease_ms)
        refused = {code for code, _ in unmet(limits, device(modality, LACKS), rows)}
        assert {need.code for need, open_ in would_refuse(limits, rows) if open_} == refused


def test_every_need_is_a_permissive_with_a_code_of_its_own():
    codes = [need.code for need in NEEDS]
    assert len(set(codes)) == len(codes) == len(LACKS)
    assert set(codes) <= set(PERMISSIVES)


def test_the_rows_of_what_a_driver_says_that_its_devices_lack():
    assert needs_of(()) == ()
    for need in NEEDS:
        assert needs_of((need.lack,)) == (need,)
    assert needs_of(tuple(need.lack for need in reversed(NEEDS))) == NEEDS
