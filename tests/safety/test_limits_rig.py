"""limits.toml, what it says of the rig: contacts, motor threshold, people and their keys, device, relay."""

from __future__ import annotations

import pytest

from safety.limits import load
from safety.rig_tables import WEAK_PUBLIC_KEYS, is_simulated, is_weak
from tests.safety.documents import bent, key_lines, problems
from tests.safety.strategies import KEYS, document, to_toml


def test_the_number_of_contacts():
    one = document("tacs")
    del one["contacts"]["Oz"]
    assert problems(one) == ("limits.toml: key contacts: found 1 contacts, expected 2 to 64 for tacs",)
    many = document("tacs")
    many["contacts"] = {f"c{i}": {"area_cm2": 1.0} for i in range(65)}
    assert len(problems(many)) == 1
    del many["contacts"]["c64"]
    assert problems(many) == ()
    coils = document("rtms")
    coils["contacts"]["second"] = {"coil": "round"}
    assert len(problems(coils)) == 1


@pytest.mark.parametrize("area", [0.0, 0.499, 100.001, 3500.0, 0.0035, -25.0])
def test_an_area_in_another_unit_is_refused(area: float):
    path = ("contacts", "F3", "area_cm2")
    assert key_lines(bent("tacs", path, area), path)


@pytest.mark.parametrize("name", ["F 3", "F3:", "a,b", "x" * 17, "", "F3\n", "é"])
def test_names_of_contacts_fit_the_wire(name: str):
    doc = document("tacs")
    doc["contacts"][name] = {"area_cm2": 25.0}
    assert len(problems(doc)) == 1


@pytest.mark.parametrize("coil", ["H1", "deep", "", "Figure-8"])
def test_a_coil_that_the_tables_do_not_cover_is_refused(coil: str):
    path = ("contacts", "coil", "coil")
    assert len(key_lines(bent("rtms", path, coil), path)) == 1


@pytest.mark.parametrize("threshold", [0.0, 0.5, 14.9, 100.1, 5000.0])
def test_an_implausible_motor_threshold_is_refused(threshold: float):
    path = ("inputs", "motor_threshold_pct_mso")
    assert len(key_lines(bent("rtms", path, threshold), path)) == 1


def test_people():
    nobody = document("tacs")
    nobody["people"] = {}
    assert problems(nobody) == (
        'limits.toml: key people: found no operator, expected at least one person whose role is "operator"',
    )
    officers, operators = document("tacs"), document("tacs")
    officers["people"]["ann"]["role"] = "officer"
    operators["people"]["bob"]["role"] = "operator"
    assert len(problems(officers)) == 1 and problems(operators) == ()
    twins = document("tacs")
    twins["people"]["bob"]["public_key"] = KEYS["ann"]
    assert len(key_lines(twins, ("people", "bob", "public_key"))) == 1
    without = document("tacs")
    for name in ("ann", "bob"):
        without["people"][name]["public_key"] = "no key"
    assert [line for line in problems(without) if "another person" in line] == []
    for name in ("two words", "", "x" * 65, "a.b"):
        doc = document("tacs")
        doc["people"][name] = {**doc["people"]["bob"], "public_key": "c" * 64}
        assert len(problems(doc)) == 1, name
    for key in ("A" * 64, "a" * 63, "a" * 65, "g" * 64, "a" * 64 + "\n"):
        path = ("people", "ann", "public_key")
        assert key_lines(bent("tacs", path, key), path)


def test_a_key_that_anybody_can_sign_for_is_refused():
    for weak in WEAK_PUBLIC_KEYS:
        for key in (weak, f"{weak[:62]}{int(weak[62:], 16) | 0x80:02x}"):
            path = ("people", "ann", "public_key")
            assert len(key_lines(bent("tacs", path, key), path)) == 1
    assert not is_weak(KEYS["ann"])


def test_the_weak_keys_are_the_points_of_small_order():
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p
    root = pow(2, (p - 1) // 4, p)
    order_8 = {
        y
        for text in WEAK_PUBLIC_KEYS
        if (y := int.from_bytes(bytes.fromhex(text), "little")) not in (0, 1, p - 1, p, p + 1)
    }
    # y of a point of order 8: doubling it gives y = 0, that is x2 = -y2 on the curve -x2 + y2 = 1 + d x2 y2.
    assert len(order_8) == 2 and all((2 * y * y - 1 + d * pow(y, 4, p)) % p == 0 for y in order_8)
    assert root * root % p == p - 1


@pytest.mark.parametrize(
    ("endpoint", "good", "simulated"),
    [
        ("tcp:127.0.0.1:4000", True, True),
        ("tcp:127.9.9.9:1", True, True),
        ("tcp:[::1]:65535", True, True),
        ("serial:/dev/pts/3@115200", True, True),
        ("tcp:192.168.0.9:4000", True, False),
        ("tcp:localhost:4000", True, False),
        ("tcp:127.0.0.1.example.org:4000", True, False),
        ("tcp:[fe80::1]:4000", True, False),
        ("tcp:[::::]:4000", True, False),
        ("serial:/dev/ttyACM0@115200", True, False),
        ("serial:/dev/pts/../ttyACM0@115200", True, False),
        ("serial:/dev/pts/3x@115200", True, False),
        ("none", False, True),
        ("tcp:127.0.0.1", False, False),
        ("tcp:127.0.0.1:0", False, False),
        ("tcp:127.0.0.1:65536", False, True),
        ("tcp:127.0.0.1:4000 ", False, False),
        ("serial:ttyACM0@9600", False, False),
        ("serial:/dev/ttyACM0", False, False),
        ("http://127.0.0.1:4000", False, False),
        ("any", False, False),
    ],
)
def test_endpoints(endpoint: str, good: bool, simulated: bool):
    path = ("device", "endpoint")
    assert bool(key_lines(bent("tacs", path, endpoint), path)) is not good
    assert is_simulated(endpoint) is simulated
    if good:
        assert load(to_toml(bent("tacs", path, endpoint))).device.simulated is simulated


@pytest.mark.parametrize("key", ["identity", "version"])
def test_any_identity_and_any_version_are_for_simulated_endpoints(key: str):
    doc = bent("tacs", ("device", key), "any")
    assert problems(doc) == ()
    doc["device"]["endpoint"] = "serial:/dev/ttyACM0@115200"
    assert len(problems(doc)) == len(key_lines(doc, ("device", key))) == 1


@pytest.mark.parametrize(
    ("version", "good"),
    [
        ("0.1.0", True),
        ("1!2.0rc1+local-1_2", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        ("1 2", False),
    ],
)
def test_versions(version: str, good: bool):
    path = ("device", "version")
    assert bool(key_lines(bent("tacs", path, version), path)) is not good


def test_only_the_null_driver_has_no_endpoint_and_no_relay():
    doc = document("tacs")
    doc["device"] |= {"driver": "null", "endpoint": "none"}
    doc["relay"]["endpoint"] = "none"
    assert problems(doc) == ()
    doc["device"]["driver"] = "open_device"
    assert len(problems(doc)) == 2
    doc["device"]["endpoint"] = "tcp:127.0.0.1:4000"
    assert len(key_lines(doc, ("relay", "endpoint"))) == 1
    doc["device"]["driver"] = "null"
    assert len(key_lines(doc, ("device", "endpoint"))) == 1


@pytest.mark.parametrize(
    "endpoint", ["unix:relay", "unix:", "tcp:127.0.0.1:1", "unix:/" + "a" * 107, "/tmp/x"]
)
def test_the_path_of_the_relay_fits_a_socket(endpoint: str):
    path = ("relay", "endpoint")
    assert len(key_lines(bent("tacs", path, endpoint), path)) == 1


def test_the_longest_path_of_a_relay():
    assert problems(bent("tacs", ("relay", "endpoint"), "unix:/" + "a" * 106)) == ()
