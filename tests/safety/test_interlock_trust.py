"""ILK-409: a real endpoint runs on limits that an officer signed and whose every number was checked, on nothing less."""

from __future__ import annotations

import msgspec
import pytest

from safety.admission import Refused
from safety.arming import missing
from safety.latch import Latched, Mark
from safety.limit_values import Signed
from safety.messages import PhaseChanged
from safety.oracle import objections
from safety.oracle_numbers import Circumstances
from safety.start import of_this_session
from safety.state import Rules
from tests.safety.strategies import TODAY, caps_of, limits_of, valid_train
from tests.safety.world import World, bend_rules, rules_of

SIGNED = Signed(
    by="bob", fingerprint="f" * 32, public_key="a" * 64, signature="b" * 128, simulated_only=False, store="/trust"
)  # fmt: skip
DEMO = msgspec.structs.replace(SIGNED, by="demo", simulated_only=True)


def rules(*, simulated: bool, signed: Signed | None, verified: bool) -> Rules:
    bent = msgspec.structs.replace(rules_of(), simulated=simulated, signed=signed)
    return bend_rules(bent, unverified=()) if verified else bent


def lacking(held: Rules) -> str:
    """What keeps it from READY, as the controller is told in its welcome or after; empty when it is READY."""
    world = World(held).open().join().run_ms(100)
    if world.phase == "READY":
        return ""
    assert world.phase == "SAFE"
    world.present()
    assert [(result.ok, result.code) for result in world.answered] == [(False, "ILK-334")]
    assert not any(isinstance(said, PhaseChanged) and said.phase != "SAFE" for said in world.heard)
    return "\n".join(
        found for found in missing(world.rules, world.state, world.now) if found.startswith("ILK-409")
    )


@pytest.mark.parametrize("verified", [False, True])
@pytest.mark.parametrize("signed", [None, DEMO, SIGNED], ids=["unsigned", "demo", "signed"])
def test_a_simulated_endpoint_runs_on_anything_that_is_whole(signed: Signed | None, verified: bool):
    assert lacking(rules(simulated=True, signed=signed, verified=verified)) == ""


@pytest.mark.parametrize(
    ("signed", "verified", "expected"),
    [
        (None, True, ": unsigned"),
        (DEMO, True, ": the key of demo is for simulated endpoints only"),
        (SIGNED, False, ": unverified: "),
        (None, False, ": unsigned; unverified: "),
        (DEMO, False, ": the key of demo is for simulated endpoints only; unverified: "),
    ],
)
def test_a_real_endpoint_names_each_reason(signed: Signed | None, verified: bool, expected: str):
    found = lacking(rules(simulated=False, signed=signed, verified=verified))
    assert found.startswith(f"ILK-409 unverified or unsigned limits run only simulated endpoints{expected}")
    if not verified:
        assert found.endswith(", ".join(limits_of("tacs").unverified))
    else:
        assert found.endswith(expected)


def test_a_real_endpoint_runs_on_signed_and_verified_limits():
    held = rules(simulated=False, signed=SIGNED, verified=True)
    assert lacking(held) == ""
    world = World(held).armed()
    request = world.ask()
    world.run_ms(150)
    assert not world.codes(request) and world.permits()


@pytest.mark.parametrize(
    ("simulated", "signed", "good"),
    [(True, False, True), (True, True, True), (False, True, True), (False, False, False)],
)
def test_the_second_hand_says_the_same(simulated: bool, signed: bool, good: bool):
    limits = limits_of("tacs")
    checked = msgspec.structs.replace(
        limits,
        unverified=(),
        rows=tuple(msgspec.structs.replace(row, status="verified") for row in limits.rows),
        budgets=tuple(msgspec.structs.replace(row, status="verified") for row in limits.budgets),
    )
    given = Circumstances(
        limits=checked, capabilities=caps_of("tacs"), today=TODAY, simulated=simulated, impedance_kohm=5.0, signed=signed
    )  # fmt: skip
    found = objections(valid_train("tacs"), given)
    assert found == () if good else found == ("unsigned limits on a real device",)
    unverified = msgspec.structs.replace(checked, unverified=("protocol.x",))
    bent = Circumstances(
        limits=unverified, capabilities=caps_of("tacs"), today=TODAY, simulated=False, impedance_kohm=5.0, signed=True
    )  # fmt: skip
    assert objections(valid_train("tacs"), bent) == ("unverified numbers on a real device",)


@pytest.mark.parametrize("mark", ["armed", "tripped", "reset", "clear"])
@pytest.mark.parametrize("was_real", [False, True])
@pytest.mark.parametrize("signed", [None, DEMO, SIGNED], ids=["unsigned", "demo", "signed"])
@pytest.mark.parametrize("simulated", [False, True])
def test_what_a_real_device_left_tripped_needs_signed_limits(
    mark: Mark, was_real: bool, signed: Signed | None, simulated: bool
):
    left = Latched(
        schema=1, rig="r", mark=mark, session_id="s", at_wall_ns=1, code="ILK-001", text="x", real=was_real
    )
    held = rules(simulated=simulated, signed=signed, verified=False)
    tripped = mark in ("armed", "tripped") and was_real
    if tripped and signed is not SIGNED:
        with pytest.raises(Refused, match="rig r: found it tripped with a real device, expected limits"):
            of_this_session(left, held)
        return
    assert of_this_session(left, held) == msgspec.structs.replace(left, real=tripped or not simulated)
