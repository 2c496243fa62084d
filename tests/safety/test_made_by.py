"""Who made a participant: a person of the limits, or an officer whom the site trusts, or no session starts."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from safety import clocks, trust
from safety.acts import public_key_hex
from safety.admission import Refused
from safety.earlier import stranger_of
from safety.limit_values import Limits, Person
from safety.officers import officer_keys
from safety.participants import new_participant, standing
from safety.site_list import StoreError, site_list
from safety.store import open_store, store_path
from tests.safety.stores import LIMITS, START, let_go, made, person, reserved
from tests.safety.world import STRANGER

EVE = Person(name="eve", role="officer", public_key=public_key_hex(STRANGER), salt="1" * 32)
EVES = msgspec.structs.replace(LIMITS, people=(EVE,))  # a file that anybody can write


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOCILOOP_TRUST_DIR", str(tmp_path / "trust"))


def trusted(who: Person, *, simulated_only: bool = False) -> None:
    key = trust.TrustedKey(
        name=who.name, public_key=who.public_key, salt=who.salt, simulated_only=simulated_only
    )
    trust.add(trust.store(), key)


def opens(state: Path, limits: Limits) -> None:
    makers = officer_keys(limits, simulated=limits.device.simulated)
    let_go(open_store(state, limits, "s-1", clocks.stamp(), 0, officer_keys(limits), makers)[0])


@pytest.fixture
def eves(tmp_path: Path) -> Path:
    """A state directory in which the stranger made the participant."""
    new_participant(tmp_path / "state", EVES, EVE, STRANGER, "r")
    return tmp_path / "state"


def test_a_store_that_a_stranger_made_starts_no_session(eves: Path):
    for _ in range(2):  # and the store is let go
        with pytest.raises(StoreError) as refused:
            opens(eves, LIMITS)
    said = str(refused.value)
    assert "\n" not in said and said.startswith(
        f"{store_path(eves, 'P001')}: found participant P001 made by eve, key "
    )
    assert (
        EVE.public_key[:16] in said
        and "expected an officer of the trust store or a person of these limits; " in said
    )
    assert [each.kind for each in site_list(eves)[1]] == ["new"]  # no session was opened
    assert standing(eves, LIMITS).trouble in said
    assert standing(eves, LIMITS).trouble
    opens(eves, EVES)  # the file's own persons count; what it may run is judged elsewhere
    assert standing(eves, EVES).trouble == ""


def test_a_stranger_s_name_in_a_line_can_be_printed(tmp_path: Path):
    odd = msgspec.structs.replace(EVE, name="e\x1b[2J\n" + "v" * 200)
    limits = msgspec.structs.replace(LIMITS, people=(odd,))
    new_participant(tmp_path / "state", limits, odd, STRANGER, "r")
    with pytest.raises(StoreError) as refused:
        opens(tmp_path / "state", LIMITS)
    assert str(refused.value).isprintable() and "v" * 81 not in str(refused.value)


def test_an_officer_of_the_trust_store_suffices(eves: Path):
    """Persons come and go between the files; who was trusted by the site made the participant rightly."""
    trusted(EVE)
    opens(eves, LIMITS)


def test_a_key_for_simulated_endpoints_makes_a_participant_of_those_alone(eves: Path, tmp_path: Path):
    trusted(EVE, simulated_only=True)
    assert LIMITS.device.simulated
    opens(eves, LIMITS)
    new_participant(tmp_path / "simulated", LIMITS, EVE, STRANGER, "r")
    real = msgspec.structs.replace(LIMITS, device=msgspec.structs.replace(LIMITS.device, simulated=False))
    with pytest.raises(StoreError, match="made by eve"):
        opens(eves, real)
    assert "made by eve" in standing(eves, real).trouble
    with pytest.raises(
        Refused, match=r"a key of eve, expected that of an officer .*, good for this endpoint; an"
    ):
        new_participant(tmp_path / "real", real, EVE, STRANGER, "r")
    assert not (tmp_path / "real").exists()


@pytest.mark.parametrize("simulated", [True, False])
def test_a_trust_store_that_is_spoiled_makes_nobody(eves: Path, simulated: bool):
    trusted(EVE)
    assert EVE.public_key in officer_keys(LIMITS, simulated=simulated)
    (trust.store().path / "eve.pub").write_text("?")
    assert officer_keys(LIMITS, simulated=simulated) == officer_keys(LIMITS)
    with pytest.raises(StoreError, match="made by eve"):
        opens(eves, LIMITS)


@pytest.mark.parametrize("role", ["operator", "officer"])
def test_a_person_of_the_limits_may_have_made_it(tmp_path: Path, role: str):
    """The officer of then may be the operator of now."""
    state = made(tmp_path)
    bob = msgspec.structs.replace(person("bob"), role=role)  # type: ignore[arg-type]
    opens(state, msgspec.structs.replace(LIMITS, people=(person("ann"), bob)))
    with pytest.raises(StoreError, match="made by bob"):
        opens(state, msgspec.structs.replace(LIMITS, people=(person("ann"),)))


def test_another_s_key_under_the_name_is_a_stranger(tmp_path: Path):
    state = made(tmp_path)
    other = msgspec.structs.replace(person("bob"), public_key=EVE.public_key)
    with pytest.raises(StoreError, match="made by bob, key "):
        opens(state, msgspec.structs.replace(LIMITS, people=(other,)))


def test_of_records_that_begin_with_no_making_nobody_is_the_maker():
    assert stranger_of((reserved(START, 1.0),), LIMITS, frozenset()) == ""
