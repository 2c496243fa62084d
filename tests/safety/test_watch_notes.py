"""What a watch notes of each event, field by field, and what may come out at one instant: at every turn and beside it."""

from __future__ import annotations

import math

import msgspec
import pytest

from drivers.link import Status
from drivers.stimulation import amplitude
from drivers.stimulator import DeviceStatus
from safety import trips
from safety.events import Beat, Durable, Event, HostSaid, Now, RelaySaid, Tick
from safety.messages import Evidence, Heartbeat
from safety.state import Firing, Running, State, Watch
from safety.trips import TripKind
from safety.watchdogs import (
    ZERO_SLACK_NS,
    ceiling,
    clocks_apart,
    device_trouble,
    evidence_trouble,
    forget_status,
    observe,
)
from tests.safety.bench_device import MS
from tests.safety.strategies import hold
from tests.safety.world import World, rules_of
from tests.safety.worlds import armed, holding, in_hand

RULES = rules_of()  # data may be 250 ms old
AT_NS = 100_000 * MS
WATCH = Watch(
    beat_ns=1, beat_seq=10, progress=20, progress_ns=2, evidence_ns=3, crc_ns=4, clean_ns=5, anchor_samples=600,
    anchor_ns=AT_NS - 1_000 * MS, previous_samples=500, previous_ns=AT_NS - 5_000 * MS, durable=7, poll=-3, poll_ns=8,
    host_ns=9, relay_ns=11, tick_ns=12,
)  # fmt: skip
EVIDENCE = Evidence(
    stream_uid="u", n_samples=1000, newest_ns=AT_NS - 10 * MS, uncertainty_ns=0, crc=1, clean_fraction=1.0
)


def at(mono_ns: int) -> Now:
    return Now(mono_ns=mono_ns, boot_ns=mono_ns, wall_ns=mono_ns)


def noted(watch: Watch, event: Event, mono_ns: int = AT_NS) -> dict[str, object]:
    """The fields that an event has changed."""
    after = observe(RULES, watch, event, at(mono_ns))
    return {
        name: getattr(after, name)
        for name in Watch.__struct_fields__
        if getattr(after, name) != getattr(watch, name)
    }


def beaten(watch: Watch, evidence: Evidence, mono_ns: int = AT_NS) -> dict[str, object]:
    """What the evidence of a beat has changed."""
    beat = Heartbeat(seq=11, progress=20, evidence=evidence)
    found = noted(watch, Beat(heartbeat=beat), mono_ns)
    assert found.pop("beat_ns") == found.pop("evidence_ns") == mono_ns
    assert found.pop("beat_seq") == 11
    return found


def test_small_events_note_one_thing_each():
    assert noted(WATCH, Tick(behind_ns=44)) == {"tick_ns": AT_NS, "behind_ns": 44}
    assert noted(WATCH, RelaySaid(closed=False)) == {"relay_ns": AT_NS}
    assert noted(WATCH, Durable(seq=8)) == {"durable": 8}
    assert noted(WATCH, Durable(seq=6)) == {}


@pytest.mark.parametrize(("seq", "counts"), [(9, False), (10, False), (11, True), (2**40, True)])
def test_a_beat_counts_once_and_in_order(seq: int, counts: bool):
    found = noted(WATCH, Beat(heartbeat=Heartbeat(seq=seq, progress=99, evidence=EVIDENCE)))
    assert bool(found) is counts
    if counts:
        assert (found["beat_seq"], found["beat_ns"]) == (seq, AT_NS)


@pytest.mark.parametrize(
    ("progress", "moved"), [(19, {}), (20, {}), (21, {"progress": 21, "progress_ns": AT_NS})]
)
def test_progress_only_goes_on(progress: int, moved: dict[str, int]):
    found = noted(WATCH, Beat(heartbeat=Heartbeat(seq=11, progress=progress, evidence=EVIDENCE)))
    assert {name: value for name, value in found.items() if name in ("progress", "progress_ns")} == moved


@pytest.mark.parametrize("call", (2, 4, -3))
def test_only_the_answer_to_the_newest_poll_is_one(call: int):
    status = DeviceStatus(state="armed", at_ns=0, fault="", impedance_kohm=3.0, amplitude=0.5)
    assert noted(WATCH, HostSaid(message=Status(call=call, status=status))) == {}
    assert noted(WATCH, HostSaid(message=Status(call=3, status=status))) == {
        "host_ns": AT_NS,
        "poll_ns": 0,
        "host_state": "armed",
        "host_amplitude": 0.5,
        "impedance_kohm": 3.0,
    }


def test_what_is_forgotten_is_asked_anew():
    told = msgspec.structs.replace(WATCH, poll=3, poll_ns=8, host_state="armed", host_amplitude=0.5)
    bent = msgspec.structs.replace(told, poll=4, poll_ns=0, host_state="", host_amplitude=0.0)
    assert forget_status(told) == bent


# Evidence, block after block

FIRST = {"evidence": EVIDENCE, "crc_ns": AT_NS, "clean_ns": AT_NS}
OLD = {"anchor_samples": 1000, "anchor_ns": AT_NS}


def after(newest_ns: int, **bent: object) -> Watch:
    """A watch that has seen evidence before."""
    before = msgspec.structs.replace(EVIDENCE, newest_ns=newest_ns, crc=2)
    return msgspec.structs.replace(WATCH, evidence=before, **bent)


def test_the_first_evidence_begins_the_count():
    began = {"previous_samples": 600, "previous_ns": AT_NS - 1_000 * MS}
    assert beaten(WATCH, EVIDENCE) == FIRST | OLD | began


@pytest.mark.parametrize(
    ("gap_ns", "counted_anew"),
    [(0, False), (-(10**12), False), (250 * MS, False), (250 * MS + 1, True), (10**12, True)],
)
def test_a_hole_as_long_as_data_may_be_old_is_none(gap_ns: int, counted_anew: bool):
    found = beaten(after(EVIDENCE.newest_ns - gap_ns), EVIDENCE)
    nothing_before = {"previous_samples": 0, "previous_ns": 0}
    assert found == FIRST | (OLD | nothing_before if counted_anew else {})


@pytest.mark.parametrize(("span_ns", "moves"), [(4_000 * MS - 1, False), (4_000 * MS, True)])
def test_the_count_goes_on_after_four_seconds(span_ns: int, moves: bool):
    watch = after(EVIDENCE.newest_ns, anchor_ns=AT_NS - span_ns)
    on = {"previous_samples": 600, "previous_ns": AT_NS - span_ns}
    assert beaten(watch, EVIDENCE) == FIRST | (OLD | on if moves else {})


def test_the_same_sum_is_the_same_data_and_what_is_unclean_is_noted_as_older():
    same = msgspec.structs.replace(WATCH, evidence=msgspec.structs.replace(EVIDENCE, n_samples=1))
    assert beaten(same, EVIDENCE) == {"evidence": EVIDENCE, "clean_ns": AT_NS}
    for fraction in (math.nextafter(0.8, 0.0), math.nextafter(1.0, 2.0), math.nan):
        bad = msgspec.structs.replace(EVIDENCE, clean_fraction=fraction)
        assert set(beaten(after(EVIDENCE.newest_ns), bad)) == {"evidence", "crc_ns"}


def test_a_sum_that_nobody_has_seen_change_yet_is_not_frozen():
    world = armed()
    for crc_ns, kind in ((0, None), (1, trips.EEG_FROZEN)):
        watch = msgspec.structs.replace(world.state.watch, crc_ns=crc_ns, previous_ns=0)
        state = msgspec.structs.replace(world.state, watch=watch)
        assert evidence_trouble(world.rules, state, world.evidence(), world.now) == kind


@pytest.mark.parametrize(
    ("n_samples", "kind"),
    [(-1, trips.EEG_RATE), (0, None), (2**53, None), (2**53 + 1, trips.EEG_RATE)],
)
def test_what_can_be_counted_before_any_rate_is_known(n_samples: int, kind: TripKind | None):
    world = armed()
    watch = msgspec.structs.replace(world.state.watch, previous_ns=0)
    state = msgspec.structs.replace(world.state, watch=watch)
    evidence = world.evidence(n_samples=n_samples)
    assert evidence_trouble(world.rules, state, evidence, world.now) == kind


@pytest.mark.parametrize("sign", (1, -1))
def test_each_clock_at_its_limit_and_a_nanosecond_over(sign: int):
    watch = Watch(boot_offset_ns=1_000, wall_offset_ns=5_000)

    def found(boot_ns: int, wall_ns: int) -> TripKind | None:
        now = Now(mono_ns=AT_NS, boot_ns=AT_NS + 1_000 + boot_ns, wall_ns=AT_NS + 5_000 + wall_ns)
        return clocks_apart(watch, now)

    assert found(sign * 500 * MS, sign * 2_000 * MS) is None
    assert found(sign * (500 * MS + 1), 0) == trips.SUSPENDED
    assert found(0, sign * (2_000 * MS + 1)) == trips.WALL_CLOCK


# What may come out


def state_of(world: World, **bent: object) -> State:
    return msgspec.structs.replace(world.state, **bent)


def told(state: State, amplitude: float, word: str = "delivering") -> State:
    watch = msgspec.structs.replace(state.watch, host_amplitude=amplitude, host_state=word, host_ns=1)
    return msgspec.structs.replace(state, watch=watch)


def ran(world: World, **bent: object) -> Running:
    assert world.state.running is not None
    return msgspec.structs.replace(world.state.running, **bent)


def test_a_hold_that_took_over_may_have_what_was_before_until_it_has_settled():
    world = holding(hold(0.2))
    running = ran(world, ceiling=0.4, settled_ns=world.mono_ns)
    assert ceiling(state_of(world, running=running, before=None), world.now) == 0.4
    settled = ran(world, ceiling=0.4, settled_ns=world.mono_ns - 1)
    assert ceiling(state_of(world, running=settled, before=None), world.now) == 0.2


def test_what_ran_before_counts_until_it_is_surely_zero():
    world = holding(hold(0.2))
    before = ran(world, ceiling=0.4, zero_ns=world.mono_ns - ZERO_SLACK_NS)
    assert ceiling(state_of(world, before=before, running=None), world.now) == 0.4
    over = msgspec.structs.replace(before, zero_ns=before.zero_ns - 1)
    assert ceiling(state_of(world, before=over, running=None), world.now) == 0.0
    for running in (
        ran(world, ceiling=0.3, settled_ns=world.mono_ns),
        ran(world, ceiling=0.5, settled_ns=world.mono_ns),
    ):
        both = state_of(world, before=before, running=running)
        assert ceiling(both, world.now) == max(0.4, running.ceiling)


def test_what_is_fired_counts_at_once():
    world = in_hand(hold(0.2), prepared=True)
    assert world.calls and world.state.firing is not None and world.state.running is None
    high = amplitude(world.state.firing.request.train)
    assert ceiling(world.state, world.now) == high == 0.2
    assert device_trouble(told(world.state, 0.2), world.now) is None
    assert device_trouble(told(world.state, 0.3), world.now) == trips.OVER_DELIVERY


@pytest.mark.parametrize("word", ("idle", "fault", "closed", "unknown"))
def test_a_state_of_the_device_that_ends_output(word: str):
    world = holding()
    assert device_trouble(told(world.state, 0.0, word), world.now) == trips.DEVICE_STATE
    assert device_trouble(told(world.state, 0.0, "armed"), world.now) is None


def test_how_much_of_what_is_permitted_may_be_told_to_come_out():
    world = holding(hold(0.2))
    state = state_of(world, running=ran(world, settled_ns=0), before=None)
    most = 0.2 * 1.0001 + 1e-9
    for value, kind in (
        (0.2, None),
        (most, None),
        (math.nextafter(most, 1.0), trips.OVER_DELIVERY),
        (math.nextafter(0.0, 1.0), None),
        (-0.1, trips.OVER_DELIVERY),
        (math.nan, trips.OVER_DELIVERY),
    ):
        assert device_trouble(told(state, value), world.now) == kind, value


def test_output_of_nobody_is_told_from_too_much():
    world = armed()
    assert device_trouble(told(world.state, 0.1), world.now) == trips.UNASKED
    ended = holding(hold(0.2))
    before = ran(ended, ceiling=0.2, zero_ns=ended.mono_ns)
    over = state_of(ended, running=None, before=before)
    assert device_trouble(told(over, 0.2), ended.now) is None
    assert device_trouble(told(over, 0.3), ended.now) == trips.OVER_DELIVERY
    none = msgspec.structs.replace(before, ceiling=0.0)
    assert device_trouble(told(state_of(ended, running=None, before=none), 0.1), ended.now) == trips.UNASKED
    least = msgspec.structs.replace(before, ceiling=5e-324)
    assert (
        device_trouble(told(state_of(ended, running=None, before=least), 0.1), ended.now)
        == trips.OVER_DELIVERY
    )
    zero = state_of(ended, running=ran(ended, train=hold(0.0), settled_ns=0), before=None)
    assert device_trouble(told(zero, 0.1), ended.now) == trips.OVER_DELIVERY


def test_output_while_nothing_is_fired_is_more_than_was_permitted():
    """A hold of zero is something that was asked for."""
    world = armed()
    firing = Firing(request=world.request(hold(0.0)), call=1, token=2, since_ns=world.mono_ns, onset_at_ns=0)
    bare = state_of(world, running=None, before=None, firing=firing)
    assert device_trouble(told(bare, 0.1), world.now) == trips.OVER_DELIVERY
    assert device_trouble(told(state_of(world, running=None, before=None), 0.1), world.now) == trips.UNASKED
