"""What the device answers to a prepare and a fire: each number at the end of what is taken, and just beyond."""

from __future__ import annotations

import math

import msgspec
import pytest

from drivers.link import CallFailed, Fire, Prepared
from drivers.stimulation import Modality, Output, Train, amplitude, duration_ns
from safety import firing, trips
from safety.messages import FireRequest, Permit
from safety.modalities import check_slew, ramp_down_ns
from safety.state import AskedFor, Firing, Running
from tests.safety.bench_device import MS
from tests.safety.strategies import hold
from tests.safety.world import World
from tests.safety.worlds import armed, fired, holding, in_hand, prepared_only, read_back, running_rtms

SLACK_NS = 50 * MS


def shared(train: Train, *shares: float) -> Train:
    outputs = tuple(
        Output(name=output.name, share=share) for output, share in zip(train.outputs, shares, strict=True)
    )
    return msgspec.structs.replace(train, outputs=outputs)


def asked(world: World) -> AskedFor:
    assert world.state.asked is not None
    return world.state.asked


@pytest.mark.parametrize(("late_ns", "there"), [(0, True), (1, False)])
def test_a_hold_whose_end_was_told_first_is_taken_over_until_it_is_at_zero(late_ns: int, there: bool):
    world = holding(hold(0.5))
    before = world.state.running
    assert before is not None and firing._taken_over(world.state, 10**18) == before
    over = msgspec.structs.replace(world.state, running=None, before=before)
    assert (firing._taken_over(over, before.zero_ns + late_ns) == before) is there
    assert firing._taken_over(msgspec.structs.replace(over, before=None), 0) is None
    pulsed = running_rtms().state.running
    assert pulsed is not None and firing._taken_over(msgspec.structs.replace(over, before=pulsed), 0) is None


# Read-back


@pytest.mark.parametrize(
    ("name", "value", "off", "same"),
    [
        ("amplitude_ma_pp", 0.3, 0.9e-9, True), ("amplitude_ma_pp", 0.3, 1.2e-9, False),
        ("amplitude_ma_pp", 0.3, -0.9e-9, True), ("amplitude_ma_pp", 0.3, -1.2e-9, False),
        ("frequency_hz", 10.0, 0.9e-8, True), ("frequency_hz", 10.0, 1.2e-8, False),
        ("frequency_hz", 10.0, -0.9e-8, True), ("frequency_hz", 10.0, -1.2e-8, False),
        ("frequency_hz", 10.0, float("nan"), False), ("phase_rad", 0.0, 1e-9, True),
        ("phase_rad", 0.0, math.nextafter(1e-9, 1), False),
    ],
)  # fmt: skip
def test_how_far_a_number_may_be_read_back_off(name: str, value: float, off: float, same: bool):
    """One part in 10^9, of 1 at the least."""
    world = in_hand(hold(**{name: value}))  # type: ignore[arg-type]
    world.host_says(read_back(world, hold(**{name: value + off})))  # type: ignore[arg-type]
    assert (world.state.trip, world.state.firing is not None) == (("", True) if same else ("ILK-214", False))


def test_a_share_may_be_off_by_one_part_in_a_thousand_million_and_no_more():
    asked = shared(hold(0.5), 0.0, -1.0)
    assert firing._difference(asked, shared(hold(0.5), 1e-9, -1.0)) == ""
    assert "outputs" in firing._difference(asked, shared(hold(0.5), math.nextafter(1e-9, 1), -1.0))


@pytest.mark.parametrize(("off", "same"), [(0.9e-9, True), (1.2e-9, False), (-1.2e-9, False), (2.0, False)])
def test_how_far_a_share_may_be_read_back_off(off: float, same: bool):
    world = in_hand(hold(0.5))
    first, *rest = (output.share for output in hold(0.5).outputs)
    world.host_says(read_back(world, shared(hold(0.5), first + off, *rest)))
    assert (world.state.trip == "") is same
    assert ("outputs" in world.state.trip_text) is not same


@pytest.mark.parametrize("n", (0, 1, 3))
def test_other_outputs_are_other_settings(n: int):
    world = in_hand(hold(0.5))
    outputs = tuple(Output(name=f"o{i}", share=0.5) for i in range(n))
    some = (*hold(0.5).outputs[:1], *outputs)
    world.host_says(read_back(world, msgspec.structs.replace(hold(0.5), outputs=some)))
    assert world.state.trip == "ILK-214"


def test_what_was_prepared_is_fired_with_its_token():
    world = in_hand(hold(0.5))
    call = world.state.call
    world.host_says(read_back(world, token=77))
    (fire,) = world.calls(Fire)
    assert (fire.call, fire.token, fire.onset_at_ns) == (call + 1, 77, 0)
    assert world.state.call == call + 1 and world.state.asked is None
    under_way = world.state.firing
    assert under_way is not None
    assert (under_way.call, under_way.token, under_way.since_ns) == (call + 1, 77, world.mono_ns)
    assert not under_way.renews and under_way.pulses == 0


@pytest.mark.parametrize("stage", ("durable", "ready"))
def test_a_read_back_out_of_its_stage_is_nothing(stage: str):
    world = in_hand(hold(0.5))
    waiting = msgspec.structs.replace(asked(world), stage=stage)
    state = msgspec.structs.replace(world.state, asked=waiting)
    said = read_back(world)
    assert firing.prepared(world.rules, state, said, world.now) == firing.Step(state)
    other = msgspec.structs.replace(said, call=said.call + 1)
    assert firing.prepared(world.rules, world.state, other, world.now) == firing.Step(world.state)
    nothing = msgspec.structs.replace(world.state, asked=None)
    assert firing.prepared(world.rules, nothing, said, world.now) == firing.Step(nothing)


def test_what_waits_for_its_fire_keeps_token_and_instant():
    world = armed("rtms")
    world.host_answers = False
    world.ask(onset_at_ns=-1)
    world.run_ms(20)
    said: Prepared = read_back(world, token=77)
    world.host_says(said)
    assert (asked(world).stage, asked(world).token, asked(world).since_ns) == ("ready", 77, world.mono_ns)
    assert not world.calls(Fire)


# Fired


@pytest.mark.parametrize(
    ("off_ns", "told_us"),
    [
        (0, ""), (-SLACK_NS, ""), (-SLACK_NS - 1, "-50001"), (2 * SLACK_NS, ""), (2 * SLACK_NS + 1, "100000"),
    ],
)  # fmt: skip
def test_how_far_an_onset_may_be_off(off_ns: int, told_us: str):
    world = in_hand(hold(0.5), prepared=True)
    assert world.state.firing is not None
    begun_ns = world.state.firing.since_ns
    world.host_says(fired(world, onset_ns=begun_ns + off_ns))
    assert (world.state.trip, world.state.running is None) == (("ILK-214", True) if told_us else ("", False))
    assert world.state.trip_text.endswith(f": token 55, onset off by {told_us} us" if told_us else "")


def test_an_onset_is_held_to_the_instant_that_was_asked_for():
    world = in_hand(hold(0.5), prepared=True)
    under_way = world.state.firing
    assert under_way is not None
    onset_ns = world.mono_ns + 300 * MS
    ahead = msgspec.structs.replace(
        world.state, firing=msgspec.structs.replace(under_way, onset_at_ns=onset_ns)
    )
    for off_ns, code in ((-SLACK_NS - 1, "ILK-214"), (0, "")):
        said = fired(world, onset_ns=onset_ns + off_ns)
        assert firing.fired(world.rules, ahead, said, world.now).state.trip == code


def test_what_runs_is_what_was_fired():
    world = in_hand(hold(0.5), prepared=True)
    under_way = world.state.firing
    assert under_way is not None
    state = msgspec.structs.replace(world.state, firing=msgspec.structs.replace(under_way, pulses=3))
    onset_ns = under_way.since_ns + 7
    train = under_way.request.train
    after = firing.fired(world.rules, state, fired(world, onset_ns=onset_ns), world.now).state
    until_ns = onset_ns + duration_ns(train)
    assert after.firing is None
    assert after.running == Running(
        id=under_way.request.id,
        token=under_way.token,
        train=train,
        onset_ns=onset_ns,
        until_ns=until_ns,
        zero_ns=until_ns + ramp_down_ns(train),
        ceiling=amplitude(train),
        settled_ns=onset_ns + ramp_down_ns(train) + SLACK_NS,
        pulses=3,
    )


def test_a_hold_at_nothing_that_takes_over_from_nothing_puts_nothing_out():
    world = in_hand(hold(0.0), prepared=True)
    world.host_says(fired(world))
    assert world.state.running is not None
    assert (world.state.running.ceiling, world.state.running.least) == (0.0, 0.0)


def test_a_hold_that_takes_over_may_have_what_was_before_until_it_settles():
    world = holding(hold(0.2))
    running = world.state.running
    assert running is not None
    higher = msgspec.structs.replace(running, ceiling=0.4)
    under_way = Firing(
        request=world.request(hold(0.3)), call=99, token=5, since_ns=world.mono_ns, onset_at_ns=0
    )
    state = msgspec.structs.replace(world.state, running=higher, firing=under_way)
    said = msgspec.structs.replace(fired(world), call=99, token=5, onset_ns=world.mono_ns)
    after = firing.fired(world.rules, state, said, world.now).state
    assert after.running is not None and after.before == higher
    assert after.running.ceiling == 0.4
    lower = msgspec.structs.replace(state, running=running)
    after = firing.fired(world.rules, lower, said, world.now).state
    assert after.running is not None and after.running.ceiling == 0.3


@pytest.mark.parametrize(("left_ns", "trip"), [(0, ""), (1, ""), (-1, trips.LATE.code)])
def test_a_rise_was_judged_from_the_hold_before_and_trips_where_that_was_over(left_ns: int, trip: str):
    """How far it had come when it was judged and when it began differ by what an onset may be off."""
    world = holding(hold(0.5))
    running = world.state.running
    assert running is not None
    steep = hold(2.0, ramp_up_ms=1)
    assert check_slew(steep, 0.5, world.rules.limits)
    under_way = Firing(request=world.request(steep), call=99, token=5, since_ns=world.mono_ns, onset_at_ns=0)
    before = msgspec.structs.replace(running, until_ns=world.mono_ns + left_ns)
    state = msgspec.structs.replace(world.state, running=before, firing=under_way)
    said = msgspec.structs.replace(fired(world), call=99, token=5, onset_ns=world.mono_ns)
    assert firing.fired(world.rules, state, said, world.now).state.trip == trip


def test_what_ran_last_is_known_until_something_runs_after_it():
    world = in_hand(hold(0.5), prepared=True)
    last = holding(hold(0.2)).state.running
    assert last is not None
    long_ago = msgspec.structs.replace(last, until_ns=1, zero_ns=2, ended=True)
    state = msgspec.structs.replace(world.state, before=long_ago)
    assert firing.fired(world.rules, state, fired(world), world.now).state.before == long_ago


@pytest.mark.parametrize("bent", [{"token": 1}, {"call": 1}])
def test_another_token_or_call_is_not_what_was_fired(bent: dict[str, int]):
    world = in_hand(hold(0.5), prepared=True)
    world.host_says(fired(world, **bent))
    assert world.phase == "TRIPPED"


# Failures


@pytest.mark.parametrize(
    ("code", "trip"),
    [("read_back", "ILK-214"), ("silent", "ILK-211"), ("refused", "ILK-213"), ("internal", "ILK-213")],
)
def test_a_failure_is_told_by_its_kind(code: str, trip: str):
    world = in_hand(hold(0.5))
    world.host_says(CallFailed(call=asked(world).call, code=code, text="why"))
    assert world.state.trip == trip
    assert f"{code}: why" in world.state.trip_text


@pytest.mark.parametrize("code", ("late", "superseded"))
def test_a_failure_of_another_call_excuses_nothing(code: str):
    world = in_hand(hold(0.5), prepared=True)
    assert world.state.firing is not None
    step = firing.failed(
        world.rules, world.state, CallFailed(call=world.state.firing.call + 1, code=code, text=""), world.now
    )
    assert step.state.trip
    waiting = in_hand(hold(0.5))
    step = firing.failed(
        waiting.rules,
        waiting.state,
        CallFailed(call=asked(waiting).call + 1, code=code, text=""),
        waiting.now,
    )
    assert step.state.trip


def test_a_late_fire_is_refused_and_a_superseded_prepare_forgotten():
    world = in_hand(hold(0.5), prepared=True)
    under_way = world.state.firing
    assert under_way is not None
    world.host_says(CallFailed(call=under_way.call, code="late", text="by 3 ms"))
    assert (world.state.trip, world.state.firing) == ("", None)
    assert world.codes(under_way.request.id) == {"ILK-310"}
    waiting = in_hand(hold(0.5))
    said = CallFailed(call=asked(waiting).call, code="superseded", text="")
    assert firing.failed(waiting.rules, waiting.state, said, waiting.now) == firing.Step(waiting.state)


# A fire of what is prepared


@pytest.mark.parametrize(
    ("ahead_ns", "codes"),
    [
        (1, set()), (1_000 * MS, set()), (1_000 * MS + 1, {"ILK-310"}), (0, {"ILK-310"}), (-1, {"ILK-310"}),
    ],
)  # fmt: skip
def test_how_far_ahead_an_instant_may_lie(ahead_ns: int, codes: set[str]):
    world, request = prepared_only()
    world.fire(request, onset_at_ns=world.mono_ns + ahead_ns)
    assert world.codes(request) == codes
    assert len(world.calls(Fire)) == (0 if codes else 1)


@pytest.mark.parametrize("modality", ("rtms", "tbs"))
def test_a_permit_of_a_fire_says_until_when(modality: Modality):
    world, request = prepared_only(modality)
    train = asked(world).request.train
    for onset_ns in (0, world.mono_ns + 5 * MS):
        event = FireRequest(id=request, onset_at_ns=onset_ns, evidence=world.evidence())
        step = firing.fire(world.rules, world.state, firing.FireAsked(request=event), world.now)
        (permit,) = (
            each.message for each in step.effects if isinstance(getattr(each, "message", None), Permit)
        )
        begin_ns = onset_ns or world.mono_ns
        assert (permit.id, permit.token) == (request, step.state.call)
        assert permit.lease_until_ns == begin_ns + duration_ns(train)
        assert (permit.read_ns, permit.sent_ns) == (world.mono_ns, 0)


def test_only_what_waits_for_a_fire_is_fired():
    world, request = prepared_only()
    waiting = asked(world)
    event = firing.FireAsked(request=FireRequest(id=request, onset_at_ns=0, evidence=world.evidence()))

    def codes(**bent: object) -> list[str]:
        state = msgspec.structs.replace(world.state, **bent)
        step = firing.fire(world.rules, state, event, world.now)
        assert (step.state.firing is not None) is (step.state != state)
        world.heard.clear()
        for effect in step.effects:
            world._carry(effect)
        return sorted(world.codes(request))

    assert codes() == []
    assert codes(asked=None) == ["ILK-309"]
    assert codes(asked=msgspec.structs.replace(waiting, stage="preparing")) == ["ILK-309"]
    now = msgspec.structs.replace(waiting.request, onset_at_ns=0)
    assert codes(asked=msgspec.structs.replace(waiting, request=now)) == ["ILK-309"]
    other = msgspec.structs.replace(waiting.request, id=request + 1)
    assert codes(asked=msgspec.structs.replace(waiting, request=other)) == ["ILK-309"]
    assert codes(phase="READY") == ["ILK-301"]
