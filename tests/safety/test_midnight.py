"""Midnight, while a session is there: what was measured today is then of yesterday, and a file's last day is over."""

from __future__ import annotations

import datetime

import msgspec
import pytest

from drivers.stimulation import MODALITIES, Modality
from safety.history import date_of
from safety.judging import today_of
from safety.oracle_ledger import check_ledger
from safety.oracle_windows import day_at
from tests.safety.histories import history_with
from tests.safety.ledgers import genesis_of
from tests.safety.strategies import TODAY
from tests.safety.world import T0, World, bend_rules, first_state, rules_of

S = 1_000_000_000
DAYS = (datetime.date.fromisoformat(TODAY) - datetime.date(1970, 1, 1)).days
MIDNIGHT_NS = (DAYS + 1) * 86_400 * S
OF_THE_DAY = ("rtms", "tbs", "ctbs", "tus")  # a threshold, or a screening, of this very day
TOMORROW = (datetime.date.fromisoformat(TODAY) + datetime.timedelta(days=1)).isoformat()


def before_midnight(
    modality: Modality, left_ms: int, *, utc_offset_s: int = 0, valid_until: str = TOMORROW
) -> World:
    """A session that starts on the day of the facts, so long before the site's midnight."""
    offset_ns = MIDNIGHT_NS - utc_offset_s * S - left_ms * 1_000_000 - T0.mono_ns
    rules = bend_rules(rules_of(modality), valid_until=valid_until)
    first = first_state()
    watch = msgspec.structs.replace(first.watch, wall_offset_ns=offset_ns)
    return World(
        rules=msgspec.structs.replace(rules, history=history_with(utc_offset_s=utc_offset_s)),
        state=msgspec.structs.replace(first, watch=watch),
        wall_offset_ns=offset_ns,
    )


@pytest.mark.parametrize("utc_offset_s", (0, 7_200, -43_200, 50_400), ids=str)
def test_the_day_is_the_sites_own(utc_offset_s: int):
    history = history_with(utc_offset_s=utc_offset_s)
    at_ns = MIDNIGHT_NS - utc_offset_s * S
    assert [date_of(history, at_ns - 1), date_of(history, at_ns)] == [TODAY, TOMORROW]
    assert [day_at(history, at_ns - 1), day_at(history, at_ns)] == [TODAY, TOMORROW]
    assert (date_of(history, 10**30), date_of(history, -(10**30))) == ("", "")
    assert (day_at(history, 10**30), day_at(history, -(10**30))) == ("9999-12-31", "0001-01-01")


def test_the_day_never_goes_back():
    rules, earlier = rules_of(), msgspec.structs.replace(T0, wall_ns=0)
    assert today_of(rules, earlier) == TODAY
    for no_day in ("", "today", "2026-6-1"):
        assert today_of(msgspec.structs.replace(rules, today=no_day), earlier) == ""
    assert today_of(rules, msgspec.structs.replace(T0, wall_ns=10**30)) == ""


@pytest.mark.parametrize("utc_offset_s", (0, -18_000), ids=str)
@pytest.mark.parametrize("modality", MODALITIES)
def test_a_rig_that_is_ready_at_midnight_needs_the_facts_of_the_new_day(
    modality: Modality, utc_offset_s: int
):
    world = before_midnight(modality, 1_000, utc_offset_s=utc_offset_s).ready()
    world.run_ms(800)
    assert world.phase == "READY"
    world.run_ms(200)
    assert world.phase == ("SAFE" if modality in OF_THE_DAY else "READY")
    world.present()
    world.run_ms(100)
    assert world.answered[-1].ok is (modality not in OF_THE_DAY)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_file_whose_last_day_is_over_arms_nothing(modality: Modality):
    world = before_midnight(modality, 1_000, valid_until=TODAY).ready()
    world.run_ms(1_000)
    assert world.phase == "SAFE"
    world.present()
    assert world.answered[-1].code == "ILK-334"


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_session_that_midnight_finds_armed(modality: Modality):
    """It ends no output, and nothing more is permitted on a threshold of yesterday; a held current goes on."""
    world = before_midnight(modality, 1_000).armed()
    assert world.codes(world.ask()) == set()
    world.run_ms(50)
    world.run_ms((MIDNIGHT_NS - world.now.wall_ns) / 1e6 - 1)
    world.run_ms(2)
    assert world.now.wall_ns > MIDNIGHT_NS
    codes = world.codes(world.ask())
    assert ("ILK-113" in codes) is (modality in OF_THE_DAY)
    assert check_ledger((genesis_of(world), *world.entries)) == ()


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_was_prepared_before_midnight_is_fired_by_the_facts_of_the_new_day(modality: Modality):
    world = before_midnight(modality, 1_000).armed()
    world.run_ms((MIDNIGHT_NS - world.now.wall_ns) / 1e6 - 50)
    prepared = world.ask(onset_at_ns=-1)
    world.run_ms(100)
    assert world.now.wall_ns > MIDNIGHT_NS
    world.fire(prepared)
    assert world.codes(prepared) == ({"ILK-113"} if modality in OF_THE_DAY else set())
    assert check_ledger((genesis_of(world), *world.entries)) == ()


def test_days_are_counted_from_the_first_of_january_1970():
    history = history_with(utc_offset_s=0)
    day_ns = 86_400 * 10**9
    for days, date in ((0, "1970-01-01"), (-1, "1969-12-31"), (1, "1970-01-02"), (20_000, "2024-10-04")):
        assert date_of(history, days * day_ns) == date_of(history, (days + 1) * day_ns - 1) == date
    east = history_with(utc_offset_s=3600)
    assert (
        date_of(east, day_ns - 3600 * 10**9) == "1970-01-02"
        and date_of(east, day_ns - 3600 * 10**9 - 1) == "1970-01-01"
    )
