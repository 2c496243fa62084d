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
from safety.messages import Evidence
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


def trouble(world: World, evidence: Evidence | None, **bent: object) -> TripKind | None:
    """What is wrong with this evidence, where nothing was counted before it."""
    watch = msgspec.structs.replace(fresh(world), **{"previous_ns": 0, "previous_samples": 0} | bent)
    state = msgspec.structs.replace(world.state, watch=watch)
    return watchdogs.evidence_trouble(world.rules, state, evidence, world.now)


def test_of_nobody_and_of_nothing_nothing_is_known():
    world = World(rules_of()).armed()
    assert trouble(world, world.evidence()) is None
    assert trouble(world, None) == trips.EEG_STALE
    world.state = msgspec.structs.replace(world.state, hello=None)
    assert trouble(world, world.evidence()) == trouble(world, None) == trips.EEG_STALE


@pytest.mark.parametrize(
    ("unsure_ns", "age_ns", "kind"),
    [
        (DATA_AGE_MS * MS, 0, None), (DATA_AGE_MS * MS, 1, trips.EEG_STALE), (DATA_AGE_MS * MS + 1, -1, trips.EEG_STALE),
        (0, DATA_AGE_MS * MS, None), (0, DATA_AGE_MS * MS + 1, trips.EEG_STALE), (-1, 0, trips.EEG_STALE),
    ],
)  # fmt: skip
def test_an_uncertainty_is_known_up_to_the_greatest_age(unsure_ns: int, age_ns: int, kind: TripKind | None):
    world = World(rules_of()).armed()
    told = world.evidence(uncertainty_ns=unsure_ns, newest_ns=world.mono_ns - age_ns)
    assert trouble(world, told) == kind


def test_a_crc_that_never_changed_yet_stands_not_still():
    world = World(rules_of()).armed()
    assert trouble(world, world.evidence(), crc_ns=0) is None
    assert trouble(world, world.evidence(), crc_ns=1) == trips.EEG_FROZEN


@pytest.mark.parametrize(
    ("n", "kind"),
    [(0, None), (-1, trips.EEG_RATE), (watchdogs.COUNT_MAX, None), (watchdogs.COUNT_MAX + 1, trips.EEG_RATE)],
)
def test_a_count_is_none_below_nothing_and_beyond_what_can_be_counted(n: int, kind: TripKind | None):
    world = World(rules_of()).armed()
    assert trouble(world, world.evidence(n_samples=n)) == kind
    assert trouble(world, world.evidence(), previous_samples=n) == kind


def test_what_passes_hides_nothing_that_does_not():
    world = World(rules_of()).armed()
    assert trouble(world, world.evidence(clean_fraction=0.0)) == trips.EEG_UNCLEAN
    assert trouble(world, world.evidence(clean_fraction=0.0, n_samples=-1)) == trips.EEG_RATE


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
        (80, 2000, None), (80, 2001, trips.EEG_RATE),
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


@pytest.mark.parametrize(("off", "kind"), [(5_000, None), (5_001, trips.EEG_RATE)])
def test_a_quarter_of_a_second_of_a_fast_amplifier(off: int, kind: TripKind | None):
    world = World(rules_of()).armed()
    hello = msgspec.structs.replace(world.state.hello, sfreq_hz=20_000.0)
    world.state = msgspec.structs.replace(world.state, watch=fresh(world), hello=hello)
    bent = world.evidence(n_samples=10_000 + 80_000 + off)
    since_ns = world.mono_ns - 4_000 * MS
    assert seen(world, evidence=bent, previous_ns=since_ns, previous_samples=10_000) == kind


def test_a_relay_that_is_not_there_is_not_silent():
    world = World(rules_of()).armed()
    world.state = msgspec.structs.replace(world.state, watch=fresh(world))
    assert seen(world, relay_ns=0) == trips.RELAY_SILENT
    world.state = msgspec.structs.replace(world.state, relay=False)
    assert seen(world, relay_ns=0) is None


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
