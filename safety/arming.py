"""The way up: who the controller is, what is missing for READY, a named person's act, the relay's proof test. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from drivers.link import ArmDevice, Opened
from safety import acts
from safety.events import ActPresented, Joined, Now
from safety.judging import allowed_now, facts_now
from safety.messages import PROTOCOL, ActResult, Hello, PhaseChanged, Welcome
from safety.modalities import check_facts
from safety.needs import unmet
from safety.safing import Step, tell, to_phase
from safety.state import (
    Arming,
    Effect,
    MarkArmed,
    OpenRelay,
    PetRelay,
    Rules,
    State,
    ToController,
    ToDevice,
    ToPerson,
    Unlatch,
)
from safety.trips import PERMISSIVES, REFUSALS
from safety.watchdogs import clocks_apart, evidence_trouble, forget_status
from safety.windows import clock_trouble

PROOF_STEP_NS = 200_000_000
RECORD_NS = 1_000_000_000  # own choice: two syncs of a disk under heavy load; nothing is energised yet
DEVICE_ARM_NS = (
    3_000_000_000  # a charging stimulator takes a second or two (wire-protocols, Magstim: about 1 s)
)
SIMULATED = "SIM-"  # own choice: the serial number of whatever only plays a device begins so
ARMING_MAX_NS = 90_000_000_000_000  # own choice: the longest session, a day, with an hour around it


def join(rules: Rules, state: State, event: Joined, now: Now) -> Step:
    """Take the one controller of this session, or refuse it and say why."""
    problem = _hello_problem(rules, state, event.hello)
    if problem:
        text = f"{REFUSALS[problem][0]}; {REFUSALS[problem][1]}"
        said = PhaseChanged(phase=state.phase, code=problem, text=text)
        return Step(state, (ToController(message=said),))
    taken = msgspec.structs.replace(state, hello=event.hello, controller=True)
    ready = settle(rules, taken, now)
    welcome = Welcome(
        phase=ready.state.phase,
        session_id=rules.session_id,
        allowed=allowed_now(rules, taken, now, with_rows=True),
    )
    return Step(ready.state, (ToController(message=welcome), *ready.effects))


def _hello_problem(rules: Rules, state: State, hello: Hello) -> str:
    if state.hello is not None:
        return "ILK-321"
    fits = (
        hello.protocol == PROTOCOL
        and hello.session_id == rules.session_id
        and hello.session_digest == rules.session_digest
        and hello.modality == rules.limits.modality
        and 1.0 <= hello.sfreq_hz <= 100_000.0
    )
    return "" if fits else "ILK-322"


def device_problem(rules: Rules, opened: Opened) -> str:
    """Why the opened device is not the one that the limits name; empty when it is."""
    device, caps = rules.limits.device, opened.capabilities
    if caps.driver != device.driver or opened.distribution != device.distribution:
        return f"driver {caps.driver} of {opened.distribution}, expected {device.driver} of {device.distribution}"
    if device.version != "any" and opened.version != device.version:
        return f"version {opened.version} of {opened.distribution}, expected {device.version}"
    if device.identity != "any" and caps.serial != device.identity:
        return f"identity {caps.serial}, expected {device.identity}"
    if rules.simulated and device.endpoint != "none" and not caps.serial.startswith(SIMULATED):
        return f"identity {caps.serial}, expected one of {SIMULATED}…: {device.endpoint} is for simulated devices"
    if rules.limits.modality not in caps.modalities:
        return f"modalities {', '.join(caps.modalities)}, expected {rules.limits.modality}"
    return ""


def missing(rules: Rules, state: State, now: Now) -> tuple[str, ...]:
    """Every permissive that is missing for READY, as `code text`."""
    facts = facts_now(rules, state, now)
    clocks = clock_trouble(rules.history, now)
    found = [
        ("ILK-401", "" if state.controller else " "),
        ("ILK-402", "" if state.host == "open" else state.host_text or " "),
        *_troubles(state),
        ("ILK-404", "" if rules.limits.valid_on(facts.today) else facts.today or " "),
        (
            "ILK-407",
            "" if state.relay or rules.limits.relay.endpoint == "none" else rules.limits.relay.endpoint,
        ),
        ("ILK-409", "" if rules.simulated else _untrusted(rules)),
        ("ILK-410", "; ".join(reason.text for reason in check_facts(rules.limits, facts))),
        (clocks, " " if clocks else ""),
        *(() if state.capabilities is None else unmet(rules.limits, state.capabilities, state.rows)),
    ]
    return tuple(f"{code} {PERMISSIVES[code][0]}: {text}".rstrip(": ") for code, text in found if text)


def _troubles(state: State) -> Iterator[tuple[str, str]]:
    """What the ledger's thread found before anything was armed."""
    for trouble in state.troubles:
        yield ("ILK-403" if trouble.kind == "disk_low" else "ILK-405"), trouble.text


def _untrusted(rules: Rules) -> str:
    """What a real endpoint would not run on: no signature, a key for simulation, numbers that nobody has checked."""
    found = []
    if rules.signed is None:
        found.append("unsigned")
    elif rules.signed.simulated_only:
        found.append(f"the key of {rules.signed.by} is for simulated endpoints only")
    if not rules.limits.all_verified:
        found.append(f"unverified: {', '.join(rules.limits.unverified)}")
    return "; ".join(found)


def settle(rules: Rules, state: State, now: Now) -> Step:
    """SAFE becomes READY when nothing is missing, and READY becomes SAFE when something is."""
    lacks = missing(rules, state, now)
    if state.phase == "SAFE" and not lacks and not state.ending and state.stopping is None:
        return to_phase(state, "READY", "", "ready to be armed")
    if state.phase == "READY" and lacks and state.arming is None:
        return to_phase(state, "SAFE", lacks[0][:7], "; ".join(lacks))
    return Step(state)


def present(rules: Rules, state: State, event: ActPresented, now: Now) -> Step:
    """A named person's act: refused with a reason, or begun."""
    problem = _act_problem(rules, state, event, now)
    spent = msgspec.structs.replace(
        state, nonces=state.nonces + 1
    )  # a nonce is good for one act, valid or not
    if problem:
        text = f"{REFUSALS[problem][0]}; {REFUSALS[problem][1]}"
        return Step(spent, _answer(event.peer, ok=False, code=problem, text=text, state=state))
    if event.act.act == "reset":
        reset = msgspec.structs.replace(spent, ending=True)
        safe = to_phase(reset, "SAFE", "", f"reset by {event.act.person}: {event.act.reason}")
        return Step(
            msgspec.structs.replace(safe.state, marked=False),
            (
                Unlatch(reset=True),
                *_answer(event.peer, ok=True, code="", text="reset", state=safe.state),
                *safe.effects,
            ),
        )
    return _begin(spent, event, now)


def nonce_of(rules: Rules, state: State) -> str:
    """The nonce that the next act must sign."""
    return f"{rules.nonce}-{state.nonces}"


def _act_problem(rules: Rules, state: State, event: ActPresented, now: Now) -> str:
    act = event.act
    person = rules.limits.person(act.person)
    if person is None:
        return "ILK-331"
    if not acts.verify(act, person.public_key):
        return "ILK-332"
    if act.session_id != rules.session_id or act.nonce != nonce_of(rules, state):
        return "ILK-333"
    if not now.wall_ns < act.expires_wall_ns:
        return "ILK-333"
    if act.act == "arm" and not act.expires_wall_ns - now.wall_ns <= ARMING_MAX_NS:
        return "ILK-338"
    fits = state.phase == ("READY" if act.act == "arm" else "TRIPPED")
    if not fits or state.arming is not None or state.stopping is not None:
        return "ILK-334"
    if act.act == "arm" and clocks_apart(state.watch, now) is not None:
        return "ILK-337"
    if act.act == "arm" and evidence_trouble(rules, state, state.watch.evidence, now) is not None:
        return "ILK-306"
    return ""


def _answer(peer: int, *, ok: bool, code: str, text: str, state: State) -> tuple[Effect, ...]:
    return (ToPerson(peer=peer, result=ActResult(ok=ok, code=code, text=text, phase=state.phase)),)


def _begin(state: State, event: ActPresented, now: Now) -> Step:
    arming = Arming(
        peer=event.peer,
        person=event.act.person,
        until_wall_ns=event.act.expires_wall_ns,
        step="open_1" if state.relay else "record",
        deadline_ns=now.mono_ns + (PROOF_STEP_NS if state.relay else RECORD_NS),
        call=0,
        after=state.entries + 1,
    )
    begun = msgspec.structs.replace(state, arming=arming, marked=True)
    return Step(begun, (MarkArmed(), OpenRelay()) if state.relay else (MarkArmed(),))


def relay_said(rules: Rules, state: State, arming: Arming, closed: bool, now: Now) -> Step:
    """One step of the proof test, at zero output, each seen on the feedback contact: told to open, petted, opened by its own
    silence, which is what it is there for, and petted again."""
    if closed != arming.step.startswith("close"):
        return Step(state)
    if arming.step in ("record", "device"):
        return arming_failed(state, arming, "ILK-335", "it opened while the device armed")
    if arming.step == "close_2":
        waiting = msgspec.structs.replace(arming, step="record", deadline_ns=now.mono_ns + RECORD_NS)
        return recorded(msgspec.structs.replace(state, arming=waiting), waiting, now)
    following = {"open_1": "close_1", "close_1": "open_2", "open_2": "close_2"}[arming.step]
    alone = following == "open_2"  # nothing is sent: it is not petted any more
    within_ns = PROOF_STEP_NS + (silence_ns(rules, state) if alone else 0)
    onward = msgspec.structs.replace(arming, step=following, deadline_ns=now.mono_ns + within_ns)
    return Step(msgspec.structs.replace(state, arming=onward), () if alone else (PetRelay(),))


def silence_ns(rules: Rules, state: State) -> int:
    """When a relay that is not petted opens at the latest: its silence, and the longest ramp, which it leaves to a stop."""
    ramp_ms = next((row.high for row in state.rows if row.quantity == "ramp_down_ms"), 0.0)
    return round((rules.limits.relay.silence_ms + ramp_ms) * 1_000_000)


def recorded(state: State, waiting: Arming, now: Now) -> Step:
    """The device is armed once it is durable that the rig is: a crash from here on is noticed at the next start."""
    if waiting.step != "record" or state.watch.durable < waiting.after:
        return Step(state)
    call = state.call + 1
    arming = msgspec.structs.replace(
        waiting, step="device", call=call, deadline_ns=now.mono_ns + DEVICE_ARM_NS
    )
    return Step(
        msgspec.structs.replace(state, call=call, arming=arming), (ToDevice(message=ArmDevice(call=call)),)
    )


def device_armed(rules: Rules, state: State, arming: Arming, call: int, now: Now) -> Step:
    """The device confirmed that it is armed at zero: ARMED."""
    if arming.step != "device" or arming.call != call:
        return Step(state)
    armed = msgspec.structs.replace(
        state,
        arming=None,
        armed_by=arming.person,
        armed_until_wall_ns=arming.until_wall_ns,
        watch=forget_status(state.watch),
    )
    changed = to_phase(armed, "ARMED", "", f"armed by {arming.person}")
    said = _answer(arming.peer, ok=True, code="", text="armed", state=changed.state)
    allowed = tell(changed.state, allowed_now(rules, changed.state, now, with_rows=True))
    return Step(changed.state, said + changed.effects + allowed)


def arming_failed(state: State, failed: Arming, code: str, text: str) -> Step:
    """Give up an arming: the relay opens, nothing was put out."""
    full = f"{REFUSALS[code][0]} ({text}); {REFUSALS[code][1]}"
    effects = _answer(failed.peer, ok=False, code=code, text=full, state=state)
    given_up = msgspec.structs.replace(state, arming=None)
    if failed.step == "device":
        return Step(
            given_up, (OpenRelay(), *effects)
        )  # whether it armed is not known: the stop's end unmarks
    unmarked = msgspec.structs.replace(given_up, marked=False)
    return Step(unmarked, (OpenRelay(), Unlatch(reset=False), *effects))
