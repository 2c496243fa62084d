"""Every watchdog exactly at its limit, where it is content, and one step over, where it trips: nothing in between."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from safety import delivery, ledger, trips, watchdogs
from safety.events import BadFrame, LedgerTrouble, RelaySaid
from safety.interlock import BAD_FRAMES_MAX
from safety.ledger import QUEUE_MAX, Ledger, LedgerFull
from safety.state import Watch
from safety.trips import TripKind
from tests.safety.bench_device import MS
from tests.safety.ledgers import genesis_of, until, watched
from tests.safety.world import SFREQ_HZ, World, rules_of
from tests.safety.worlds import holding

DATA_AGE_MS, HEARTBEAT_MS, HOST_MS = 250, 100, 100  # as the limits of the tests have them


def seen(world: World, **bent: object) -> TripKind | None:
    """What the watchdogs say of an armed world whose watch is bent so."""
    watch = msgspec.structs.replace(world.state.watch, **bent)
    return watchdogs.overdue(world.rules, msgspec.structs.replace(world.state, watch=watch), world.now)


def fresh(world: World) -> Watch:
    """A watch in which everything was heard at this very instant."""
    now_ns = world.mono_ns
    return msgspec.structs.replace(
        world.state.watch,
        beat_ns=now_ns,
        progress_ns=now_ns,
        crc_ns=now_ns,
        clean_ns=now_ns,
        relay_ns=now_ns,
        evidence=world.evidence(),
    )


# The watched thing, the field that holds when it was last well, its limit, and the trip.
AGES = [
    ("beat_ns", HEARTBEAT_MS, trips.HEARTBEAT),
    ("progress_ns", DATA_AGE_MS + HEARTBEAT_MS, trips.HEARTBEAT),
    ("poll_ns", HOST_MS, trips.HOST_SILENT),
    ("relay_ns", 150, trips.RELAY_SILENT),
    ("crc_ns", DATA_AGE_MS, trips.EEG_FROZEN),
]


@pytest.mark.parametrize(("field", "limit_ms", "kind"), AGES, ids=[each[0] for each in AGES])
def test_an_age_at_its_limit_and_a_nanosecond_over(field: str, limit_ms: int, kind: TripKind):
    world = World(rules_of()).armed()
    world.state = msgspec.structs.replace(world.state, watch=fresh(world))
    at_ns = world.mono_ns - limit_ms * MS
    assert seen(world, **{field: world.mono_ns}) is None
    assert seen(world, **{field: at_ns}) is None
    assert seen(world, **{field: at_ns - 1}) == kind


def test_a_beat_of_the_future_is_none():
    world = World(rules_of()).armed()
    world.state = msgspec.structs.replace(world.state, watch=fresh(world))
    assert seen(world, beat_ns=world.mono_ns + 1) == trips.HEARTBEAT


def test_bad_quality_lasts_two_seconds_and_no_longer():
    world = World(rules_of()).armed()
    world.state = msgspec.structs.replace(world.state, watch=fresh(world))
    bad = world.evidence(clean_fraction=0.79)
    at_ns = world.mono_ns - watchdogs.UNCLEAN_NS
    assert watchdogs.UNCLEAN_NS == 2_000 * MS
    assert seen(world, evidence=bad, clean_ns=at_ns) is None
    assert seen(world, evidence=bad, clean_ns=at_ns - 1) == trips.EEG_UNCLEAN
    assert seen(world, evidence=world.evidence(clean_fraction=0.8), clean_ns=at_ns - 1) is None


@pytest.mark.parametrize(
    ("span_s", "off", "kind"),
    [
        (8, 200, None), (8, 201, trips.EEG_RATE), (8, -200, None), (8, -201, trips.EEG_RATE),
        (4, 125, None), (4, 126, trips.EEG_RATE), (4, -125, None), (4, -126, trips.EEG_RATE),
    ],
)  # fmt: skip
def test_the_count_of_samples_against_time(span_s: int, off: int, kind: TripKind | None):
    """5 % of what was expected, and never less than a quarter of a second of samples."""
    world = World(rules_of()).armed()
    world.state = msgspec.structs.replace(world.state, watch=fresh(world))
    count = 10_000 + round(span_s * SFREQ_HZ) + off
    since_ns = world.mono_ns - span_s * 1_000 * MS
    bent = world.evidence(n_samples=count)
    assert seen(world, evidence=bent, previous_ns=since_ns, previous_samples=10_000) == kind


@pytest.mark.parametrize(("over_ns", "kind"), [(0, None), (1, trips.ARMING_EXPIRED)])
def test_the_arming_ends_when_it_ends(over_ns: int, kind: TripKind | None):
    world = World(rules_of()).armed()
    until_ns = world.now.wall_ns - over_ns
    world.state = msgspec.structs.replace(world.state, armed_until_wall_ns=until_ns, watch=fresh(world))
    assert seen(world) == kind


@pytest.mark.parametrize(("late_ns", "code"), [(150 * MS, ""), (150 * MS + 1, "ILK-241")])
def test_lateness_is_found_by_whatever_comes_first(late_ns: int, code: str):
    world = World(rules_of()).armed()
    world.mono_ns = world.state.watch.tick_ns + late_ns
    world.take(RelaySaid(closed=True))
    assert world.state.trip == code


@pytest.mark.parametrize(("n", "code"), [(BAD_FRAMES_MAX - 1, ""), (BAD_FRAMES_MAX, "ILK-261")])
def test_how_many_frames_may_be_unreadable(n: int, code: str):
    world = World(rules_of()).armed()
    for _ in range(n):
        world.take(BadFrame(source="controller", text="rubbish"))
    assert world.state.trip == code


@pytest.mark.parametrize(("over_ns", "trips_"), [(0, False), (1, True)])
def test_an_end_that_is_not_told(over_ns: int, trips_: bool):
    world = holding()
    running = world.state.running
    assert running is not None
    world.mono_ns = running.zero_ns + delivery.END_SLACK_NS + over_ns
    found = delivery.not_ended(world.rules, world.state, world.now)
    assert (found is not None) is trips_


@pytest.mark.parametrize(("apart_ns", "trips_"), [(60_000 * MS, True), (60_000 * MS + 1, False)])
def test_three_lapses_within_a_minute(apart_ns: int, trips_: bool):
    world = World(rules_of()).armed()
    first_ns = world.mono_ns - apart_ns
    world.state = msgspec.structs.replace(world.state, lapses=(first_ns, world.mono_ns - 1))
    after = delivery.lapse(world.rules, world.state, world.now).state
    assert (after.trip == "ILK-251") is trips_


@pytest.mark.parametrize(("free", "low"), [(ledger.DISK_FREE_MIN, False), (ledger.DISK_FREE_MIN - 1, True)])
def test_how_much_space_the_disk_must_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, low: bool
):
    class Space:
        f_bavail, f_frsize = free, 1

    monkeypatch.setattr(os, "statvfs", lambda path: Space)
    looked = Ledger(tmp_path / "ledger.jsonl", watched(tmp_path))
    looked.start()
    looked.append(genesis_of(World(rules_of())))
    said: list[object] = []

    def heard() -> bool:
        said.extend(looked.news())
        return 1 in said

    until(heard)
    looked.close(5.0)
    assert [item.kind for item in said if isinstance(item, LedgerTrouble)] == ["disk_low"] * low


def test_how_many_entries_may_wait_for_the_disk(tmp_path: Path):
    full = Ledger(tmp_path / "ledger.jsonl", watched(tmp_path))
    line = genesis_of(World(rules_of()))
    for _ in range(QUEUE_MAX):
        full.append(line)
    with pytest.raises(LedgerFull):
        full.append(line)
    full.start()
    full.close(10.0)
