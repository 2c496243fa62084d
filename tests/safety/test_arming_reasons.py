"""Why a rig is not ready, in the words that a person reads: each reason by itself, and none where nothing is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec
import pytest

from drivers.link import Opened
from safety import trips
from safety.acts import sign
from safety.arming import device_problem, missing
from safety.judging import today_of
from safety.limit_values import Signed
from safety.messages import Act, ActResult
from safety.state import Rules
from safety.trips import PERMISSIVES
from safety.watchdogs import evidence_trouble
from tests.safety.strategies import caps_of
from tests.safety.world import PEOPLE, SESSION, World, bend_rules, opened_of, rules_of
from tests.safety.worlds import armed, ready

RULES = rules_of()


def lacks(rules: Rules, world: World, **bent: object) -> tuple[str, ...]:
    return missing(rules, msgspec.structs.replace(world.state, **bent), world.now)


def test_nothing_is_missing_where_all_is_there():
    assert lacks(RULES, ready()) == ()


@pytest.mark.parametrize(
    ("bent", "code", "end"),
    [
        ({"controller": False}, "ILK-401", ""),
        ({"host": "opening"}, "ILK-402", ""),
        ({"host": "failed", "host_text": "no port"}, "ILK-402", ": no port"),
        ({"host": "open", "host_text": "no port"}, "", ""),
        ({"relay": False}, "ILK-407", f": {RULES.limits.relay.endpoint}"),
    ],
    ids=str,
)
def test_each_part_that_is_not_there(bent: dict[str, object], code: str, end: str):
    found = lacks(RULES, ready(), **bent)
    assert [text[:7] for text in found] == ([code] if code else [])
    for text in found:
        assert text.endswith(end) and text == text.strip(": ")
        assert ("no port" in text) is ("no port" in end)


def test_no_relay_is_missed_where_the_limits_name_none():
    none = bend_rules(RULES, relay=msgspec.structs.replace(RULES.limits.relay, endpoint="none"))
    for relay in (True, False):
        assert not [text for text in lacks(none, ready(), relay=relay) if text.startswith("ILK-407")]


@pytest.mark.parametrize(("today", "end"), [("2031-02-03", ": 2031-02-03"), ("never", "")])
def test_a_day_on_which_the_file_does_not_hold_is_named(today: str, end: str):
    rules = msgspec.structs.replace(RULES, today=today)
    (text,) = (text for text in lacks(rules, ready()) if text.startswith("ILK-404"))
    assert text == f"ILK-404 {PERMISSIVES['ILK-404'][0]}{end}"


def test_the_day_is_of_both_clocks_or_of_none():
    world = ready()
    assert today_of(RULES, world.now) == RULES.today
    later = msgspec.structs.replace(world.now, wall_ns=world.now.wall_ns + 30 * 86_400 * 10**9)
    assert today_of(RULES, later) > RULES.today
    nowhere = msgspec.structs.replace(world.now, wall_ns=10**30)
    never = msgspec.structs.replace(RULES, today="never")
    assert today_of(RULES, nowhere) == today_of(never, world.now) == today_of(never, nowhere) == ""


def signed(simulated_only: bool) -> Signed:
    fields: dict[str, Any] = {f.name: "ab" for f in msgspec.structs.fields(Signed)}
    return msgspec.convert(fields | {"by": "eve", "simulated_only": simulated_only}, Signed)


@pytest.mark.parametrize(
    ("by", "unverified", "words"),
    [
        (None, ("x", "y"), "unsigned; unverified: x, y"),
        (None, (), "unsigned"),
        (signed(True), (), "the key of eve is for simulated endpoints only"),
        (signed(True), ("x",), "the key of eve is for simulated endpoints only; unverified: x"),
        (signed(False), ("x",), "unverified: x"),
        (signed(False), (), ""),
    ],
)
def test_what_a_real_endpoint_would_not_run_on(by: Signed | None, unverified: tuple[str, ...], words: str):
    real = msgspec.structs.replace(bend_rules(RULES, unverified=unverified), simulated=False, signed=by)
    found = [text for text in lacks(real, ready()) if text.startswith("ILK-409")]
    assert [text.endswith(f": {words}") for text in found] == ([True] if words else [])
    assert lacks(msgspec.structs.replace(real, simulated=True), ready()) == ()


def opened(distribution: str = "nociloop", **bent: object) -> Opened:
    return opened_of(msgspec.structs.replace(caps_of("tacs"), **bent), distribution)


def test_the_device_of_the_limits_is_no_problem():
    assert device_problem(RULES, opened()) == ""


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (opened(driver="other"), "driver other of nociloop"),
        (opened("elsewhere"), "of elsewhere, expected"),
        (opened(modalities=("tdcs", "trns")), "modalities tdcs, trns, expected tacs"),
    ],
)
def test_another_device_is_told_from_it(found: Opened, words: str):
    assert words in device_problem(RULES, found)


@pytest.mark.parametrize(
    ("asked", "found", "fits"), [("any", "2", True), ("1", "1", True), ("1", "1.0", False)]
)
def test_a_version_is_asked_for_where_the_limits_name_one(asked: str, found: str, fits: bool):
    rules = bend_rules(RULES, device=msgspec.structs.replace(RULES.limits.device, version=asked))
    said = msgspec.structs.replace(opened(), version=found)
    assert device_problem(rules, said) == ("" if fits else f"version {found} of nociloop, expected {asked}")


def test_a_serial_number_is_asked_for_where_the_limits_name_one():
    device = RULES.limits.device
    for identity, serial, problem in (
        ("any", "S-2", ""),
        ("S-1", "S-1", ""),
        ("S-1", "S-2", "identity S-2, expected S-1"),
        ("S-1", "any", "identity any, expected S-1"),
    ):
        rules = bend_rules(RULES, device=msgspec.structs.replace(device, identity=identity))
        real = msgspec.structs.replace(rules, simulated=False)
        assert device_problem(real, opened(serial=serial)) == problem


@pytest.mark.parametrize("serial", ["4711", "", "sim-1", "SIM", "XSIM-1", " SIM-1"])
def test_a_real_device_behind_a_simulated_endpoint_is_told_from_a_simulated_one(serial: str):
    """A forwarder of a loopback port, or of a pseudo-terminal, would take it past the officer's signature."""
    rules = bend_rules(RULES, device=msgspec.structs.replace(RULES.limits.device, identity="any"))
    assert rules.simulated and device_problem(rules, opened(serial="SIM-2")) == ""
    assert device_problem(rules, opened(serial=serial)) == (
        f"identity {serial}, expected one of SIM-…: {rules.limits.device.endpoint} is for simulated devices"
    )
    nothing = msgspec.structs.replace(rules.limits.device, endpoint="none")
    assert device_problem(bend_rules(rules, device=nothing), opened(serial=serial)) == ""


def test_without_a_hello_no_evidence_is_good():
    world = armed()
    assert evidence_trouble(world.rules, world.state, world.evidence(), world.now) is None
    deaf = msgspec.structs.replace(world.state, hello=None)
    assert evidence_trouble(world.rules, deaf, world.evidence(), world.now) == trips.EEG_STALE
    assert evidence_trouble(world.rules, world.state, None, world.now) == trips.EEG_STALE


# Which act, in which phase


def act_of(world: World, kind: Literal["arm", "reset"]) -> Act:
    return sign(
        PEOPLE["ann"],
        act=kind,
        person="ann",
        session_id=SESSION,
        nonce=f"nonce-{world.state.nonces}",
        reason="because",
        expires_wall_ns=world.now.wall_ns + 10**12,
    )


def answer(world: World, kind: Literal["arm", "reset"]) -> ActResult:
    before = len(world.answered)
    world.present(act_of(world, kind))
    assert len(world.answered) == before + 1
    return world.answered[-1]


def test_a_reset_waits_for_the_end_of_the_stop():
    world = armed()
    world.stop()
    assert world.state.stopping is not None
    assert answer(world, "reset").code == "ILK-334"
    world.run_ms(1_000)
    assert world.state.stopping is None and world.phase == "TRIPPED"
    assert answer(world, "arm").code == "ILK-334"
    assert answer(world, "reset").ok
    assert world.phase == "SAFE"


@pytest.mark.parametrize("make", (lambda: World(RULES), ready, armed), ids=("safe", "ready", "armed"))
def test_only_what_is_tripped_is_reset(make: Callable[[], World]):
    world = make()
    assert answer(world, "reset").code == "ILK-334"
