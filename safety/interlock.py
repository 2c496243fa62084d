"""State table; step(rules, state, event, now) -> state, effects. Pure: imports no time, os, socket, asyncio.

SAFE -> READY -> ARMED -> TRIPPED, and TRIPPED leads to SAFE only, by a named person's reset. There is no override.

Every event goes through `step`: first `observe` notes what is fresh (and alone touches the Watch), then the event's own
room decides. The rooms: arming (the way up), requests (permit or refuse), delivery (what came out), watchdogs
(freshness), safing (the ways down).
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from drivers.link import CallFailed, Delivered, Done, Fired, FromHost, Opened, Poll, Prepared, Status
from safety import arming, delivery, firing, requests, safing, trips, watchdogs
from safety.events import (
    ActPresented,
    Asked,
    BadFrame,
    Beat,
    Durable,
    EndAsked,
    Event,
    FireAsked,
    Gone,
    HostGone,
    HostSaid,
    Joined,
    LedgerTrouble,
    Now,
    PauseAsked,
    RelayGone,
    RelaySaid,
    StopPressed,
    Tick,
)
from safety.messages import PhaseChanged
from safety.modalities import rows
from safety.safing import Step, tell, trip
from safety.state import Arming, Effect, EndProcess, OpenRelay, PetRelay, Rules, State, ToDevice
from safety.storing import settlement

BAD_FRAMES_MAX = 20
END_NS = 2_000_000_000

FOLDABLE = (Tick, Beat, Durable, RelaySaid)


def step(rules: Rules, state: State, event: Event, now: Now) -> Step:
    """What the interlock becomes and does when `event` happens at `now`. Never raises on any event."""
    late_ns = now.mono_ns - (state.watch.tick_ns or now.mono_ns)
    watch = watchdogs.observe(rules, state.watch, event, now)
    seen = state if watch is state.watch else msgspec.structs.replace(state, watch=watch)
    decided = _decide_late(rules, seen, event, now, late_ns)
    if is_entry(state, event, decided):
        return Step(msgspec.structs.replace(decided.state, entries=state.entries + 1), decided.effects)
    return decided


def _decide_late(rules: Rules, state: State, event: Event, now: Now, late_ns: int) -> Step:
    """Whatever comes first after a sleep, a jump of the wall clock, or a time in which the interlock itself was late,
    finds it tripped: nothing overtakes the next tick, and no budget or age is judged by such a clock."""
    if state.phase != "ARMED" or isinstance(event, StopPressed):
        return _decide(rules, state, event, now)
    kind, detail = watchdogs.clocks_apart(state.watch, now), ""
    if kind is None and late_ns > watchdogs.LATE_NS:
        kind, detail = trips.LATE, f"a tick came after {late_ns // 1_000_000} ms"
    if kind is None:
        return _decide(rules, state, event, now)
    down = trip(rules, state, kind, detail, now)
    decided = _decide(rules, down.state, event, now)
    return Step(decided.state, down.effects + decided.effects)


def is_entry(before: State, event: Event, decided: Step) -> bool:
    """Whether this step stands in the ledger: all do but those foldable ones that decided nothing."""
    foldable = isinstance(event, FOLDABLE) or (
        isinstance(event, HostSaid) and isinstance(event.message, Status)
    )
    if not foldable:
        return True
    if any(not _is_upkeep(effect) for effect in decided.effects):
        return True
    return msgspec.structs.replace(decided.state, watch=before.watch) != before


def _is_upkeep(effect: Effect) -> bool:
    return isinstance(effect, PetRelay) or (isinstance(effect, ToDevice) and isinstance(effect.message, Poll))


def _decide(rules: Rules, state: State, event: Event, now: Now) -> Step:
    match event:
        case Tick():
            return _tick(rules, state, now)
        case Beat():
            return Step(state)
        case Durable():
            if state.arming is not None:
                return arming.recorded(state, state.arming, now)
            return requests.durable(rules, state, now)
        case Asked():
            return requests.ask(rules, state, event, now)
        case FireAsked():
            return firing.fire(rules, state, event, now)
        case HostSaid(message=message):
            return _host_said(rules, state, message, now)
        case RelaySaid(closed=closed):
            return _relay_said(rules, state, closed, now)
        case StopPressed(source=source, ends=ends):
            return safing.press_stop(rules, state, source, ends, now)
        case ActPresented():
            return arming.present(rules, state, event, now)
        case Joined():
            return arming.join(rules, state, event, now)
        case PauseAsked(pause=pause):
            armed = state.phase == "ARMED" or state.arming is not None
            return safing.stand_down(rules, state, "READY", pause.reason, now) if armed else Step(state)
        case EndAsked(end=end):
            return _end(rules, state, end.reason, now)
        case Gone(why=why):
            return _controller_gone(rules, state, why, now)
        case HostGone(why=why):
            return _host_gone(rules, state, why, now)
        case RelayGone(why=why):
            gone = msgspec.structs.replace(state, relay=False)
            return _unless_armed(rules, gone, trips.RELAY_OPEN, why, now)
        case LedgerTrouble(kind=kind, text=text):
            return _ledger_trouble(rules, state, kind, text, now)
        case BadFrame(source=source, text=text):
            return _bad_frame(rules, state, source, text, now)
        case _:
            assert_never(event)


def _host_said(rules: Rules, state: State, message: FromHost, now: Now) -> Step:
    match message:
        case Status():
            return _status(rules, state, message, now)
        case Prepared():
            return firing.prepared(rules, state, message, now)
        case Fired():
            return firing.fired(rules, state, message, now)
        case Delivered(delivery=slice_):
            return delivery.delivered(rules, state, slice_, now)
        case Opened():
            return _opened(rules, state, message, now)
        case Done(call=call):
            if state.arming is not None:
                return arming.device_armed(rules, state, state.arming, call, now)
            return safing.stop_taken(state, call)
        case CallFailed():
            return _call_failed(rules, state, message, now)
        case _:
            assert_never(message)


def _status(rules: Rules, state: State, said: Status, now: Now) -> Step:
    """Zero ends a stop; output while nothing is armed is nobody's; an impedance may make READY, or unmake it."""
    if safing.at_zero(state):
        return _settled(rules, safing.stopped_in_order(state), now)
    if state.phase == "ARMED" or state.stopping is not None or -said.call != state.watch.poll:
        return Step(state)
    if state.watch.host_amplitude != 0.0:
        detail = f"{said.status.amplitude:g} while {state.phase}"
        if state.phase == "TRIPPED":
            return safing.stop_device(rules, state, "cut", now)
        return trip(rules, state, trips.UNASKED, detail, now)
    return arming.settle(rules, state, now)


def _settled(rules: Rules, step_: Step, now: Now) -> Step:
    settled = arming.settle(rules, step_.state, now)
    return Step(settled.state, step_.effects + settled.effects)


def _opened(rules: Rules, state: State, said: Opened, now: Now) -> Step:
    if state.host != "opening":
        text = "it opened a second time"
        again = msgspec.structs.replace(state, host="failed", host_text=text)
        return _unless_armed(rules, again, trips.DEVICE_FAILED, text, now)
    problem = arming.device_problem(rules, said)
    host = "failed" if problem else "open"
    held = msgspec.structs.replace(
        state,
        host=host,
        host_text=problem,
        capabilities=said.capabilities,
        rows=rows(rules.limits, said.capabilities),
    )
    return arming.settle(rules, held, now)


def _call_failed(rules: Rules, state: State, said: CallFailed, now: Now) -> Step:
    detail = f"{said.code}: {said.text}"
    if said.code == "superseded" and said.call < 0:
        return Step(state)  # a poll that a stop overtook; the next one tells
    if state.stopping is not None and state.stopping.call == said.call:
        return _stop_failed(rules, state, detail, now)
    if state.arming is not None and (state.arming.call == said.call or said.call <= 0):
        return _and_cut(rules, arming.arming_failed(state, state.arming, "ILK-336", detail), now)
    if state.phase == "ARMED":
        return firing.failed(rules, state, said, now)
    if state.host == "opening" or said.call <= 0:
        broken = msgspec.structs.replace(state, host="failed", host_text=detail)
        return arming.settle(rules, broken, now)
    return Step(state)


def _stop_failed(rules: Rules, state: State, text: str, now: Now) -> Step:
    """The device did not say that it is at zero: the relay opens, nobody arms this device again, and somebody is told."""
    over = safing.stop_over(state)
    failed = msgspec.structs.replace(over.state, host="failed", host_text=text)
    words = f"zero is NOT CONFIRMED ({text}): use the hardware stop"
    told = tell(failed, PhaseChanged(phase=failed.phase, code="", text=words))
    return _settled(rules, Step(failed, over.effects + told), now)


def _relay_said(rules: Rules, state: State, closed: bool, now: Now) -> Step:
    noted = msgspec.structs.replace(state, relay=True, relay_closed=closed)
    if state.arming is not None:
        tested = arming.relay_said(rules, noted, state.arming, closed, now)
        opened = state.arming.step == "device" and tested.state.arming is None
        return tested if not opened else _and_cut(rules, tested, now)
    if state.phase == "ARMED" and not closed:
        return trip(rules, noted, trips.RELAY_OPEN, "its feedback contact says open", now)
    return Step(noted)


def _unless_armed(rules: Rules, state: State, kind: trips.TripKind, why: str, now: Now) -> Step:
    """A trip where something may be running; else a permissive that is missing."""
    if state.phase in ("ARMED", "TRIPPED") or state.arming is not None:
        return trip(rules, state, kind, why, now)
    return arming.settle(rules, state, now)


def _host_gone(rules: Rules, state: State, why: str, now: Now) -> Step:
    # A device that failed has said why; that its host then ended says less.
    text = state.host_text if state.host == "failed" else why
    gone = msgspec.structs.replace(state, host="gone", host_text=text)
    down = _unless_armed(rules, gone, trips.HOST_GONE, why, now)
    # Nobody is left to confirm a stop: the relay is the way to zero, and it is opened whatever the phase.
    return Step(msgspec.structs.replace(down.state, stopping=None), (*down.effects, OpenRelay()))


def _controller_gone(rules: Rules, state: State, why: str, now: Now) -> Step:
    gone = msgspec.structs.replace(state, controller=False)
    if state.phase == "ARMED" or state.arming is not None:
        return trip(rules, gone, trips.CONTROLLER_GONE, why, now)
    if state.phase == "TRIPPED":
        return Step(gone)
    safe = safing.to_phase(gone, "SAFE", "", why)
    return Step(msgspec.structs.replace(safe.state, ending=True), safe.effects)


def _end(rules: Rules, state: State, reason: str, now: Now) -> Step:
    if state.phase == "TRIPPED":
        return Step(state)
    armed = state.phase == "ARMED" or state.arming is not None
    down = (
        safing.stand_down(rules, state, "SAFE", reason, now)
        if armed
        else safing.to_phase(state, "SAFE", "", reason)
    )
    return Step(msgspec.structs.replace(down.state, ending=True), down.effects)


def _ledger_trouble(rules: Rules, state: State, kind: str, text: str, now: Now) -> Step:
    """What makes a record impossible trips in any phase; what may not be armed with is a permissive until it is."""
    row = {"failed": trips.LEDGER_FAILED, "disk_low": trips.DISK_LOW}.get(kind, trips.LIMITS_CHANGED)
    if kind == "failed" or state.phase in ("ARMED", "TRIPPED") or state.arming is not None:
        return trip(rules, state, row, text, now)
    trouble = LedgerTrouble(kind=kind, text=text)
    return arming.settle(rules, msgspec.structs.replace(state, troubles=(*state.troubles, trouble)), now)


def _bad_frame(rules: Rules, state: State, source: str, text: str, now: Now) -> Step:
    detail = f"{source}: {text}"
    if source == "host":
        return _unless_armed(rules, state, trips.DEVICE_FAILED, detail, now)
    if source != "controller":
        return Step(state)  # a person, or a second controller: refused, recorded, and no fault of this one
    counted = msgspec.structs.replace(state, bad_frames=state.bad_frames + 1)
    too_many = counted.bad_frames >= BAD_FRAMES_MAX and state.phase == "ARMED"
    return trip(rules, counted, trips.FRAMES, detail, now) if too_many else Step(counted)


def _tick(rules: Rules, state: State, now: Now) -> Step:
    """What is due by the clock: watchdogs, deadlines, pets and polls, the end."""
    if state.phase == "ARMED":
        found = _armed_trouble(rules, state, now)
        if found is not None:
            return found
    if state.arming is not None and now.mono_ns > state.arming.deadline_ns:
        return _arming_overdue(rules, state, state.arming, now)
    if state.stopping is not None and now.mono_ns > state.stopping.deadline_ns:
        return _stop_failed(rules, state, "the stop was not confirmed", now)
    if state.ending and state.stopping is None:
        return _ending(rules, state, now)
    return _upkeep(state, now)


def _armed_trouble(rules: Rules, state: State, now: Now) -> Step | None:
    kind = watchdogs.overdue(rules, state, now) or watchdogs.device_trouble(state, now)
    if kind is not None:
        return trip(rules, state, kind, "", now)
    return requests.overdue_stage(rules, state, now) or delivery.not_ended(rules, state, now)


def _arming_overdue(rules: Rules, state: State, overdue: Arming, now: Now) -> Step:
    if overdue.step == "record":
        return arming.arming_failed(state, overdue, "ILK-311", "that the rig is armed")
    if overdue.step != "device":
        lacks = (
            "it did not open by its own silence"
            if overdue.step == "open_2"
            else f"no answer at {overdue.step}"
        )
        return arming.arming_failed(state, overdue, "ILK-335", lacks)
    return _and_cut(rules, arming.arming_failed(state, overdue, "ILK-336", "no answer in time"), now)


def _and_cut(rules: Rules, failed: Step, now: Now) -> Step:
    """Whether a device that did not arm is armed is not known: it is told to stop."""
    down = safing.stop_device(rules, failed.state, "cut", now)
    return Step(down.state, failed.effects + down.effects)


def _upkeep(state: State, now: Now) -> Step:
    """Pet the relay while armed or in the last steps of arming, and ask the host for its status."""
    effects: tuple[Effect, ...] = ()
    watch = state.watch
    petting = state.phase == "ARMED" or (
        state.arming is not None and state.arming.step in ("close_2", "record", "device")
    )
    if state.relay and petting:
        effects += (PetRelay(),)
        watch = msgspec.structs.replace(watch, pet_ns=now.mono_ns)
    if state.host == "open" and watch.poll_ns == 0 and now.mono_ns - watch.host_ns >= watchdogs.POLL_NS:
        watch = msgspec.structs.replace(watch, poll=watch.poll + 1, poll_ns=now.mono_ns)
        effects += (ToDevice(message=Poll(call=-watch.poll)),)
    return Step(msgspec.structs.replace(state, watch=watch), effects)


def _ending(rules: Rules, state: State, now: Now) -> Step:
    """Output is zero: the process ends when the ledger is durable, or when that takes too long."""
    if state.done_ns == 0:
        settled = settlement(rules, state.dose, now)
        return Step(msgspec.structs.replace(state, done_ns=now.mono_ns), settled)
    durable = state.watch.durable >= state.entries or state.trip == trips.LEDGER_FAILED.code
    if durable or now.mono_ns - state.done_ns > END_NS:
        return Step(state, (EndProcess(status=4 if state.trip else 0),))
    return _upkeep(state, now)
