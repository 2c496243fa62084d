"""Everything that can happen to the interlock, right and wrong, as an alphabet for `exploring`; and time, as one event more.

A symbol is a function of the rules and the place: it lets time pass, and says what happens then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from drivers.link import CallFailed, Delivered, Done, Fired, FromHost, Prepared, Status
from drivers.stimulation import Delivery, Hold, Modality, Train, amplitude
from drivers.stimulator import DeviceStatus
from safety.acts import sign
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
)  # fmt: skip
from safety.interlock import step
from safety.messages import End, Evidence, FireRequest, Heartbeat, Pause, Request
from safety.modalities import Declared, quantities_of
from safety.state import Rules, State
from tests.safety.bench_device import MS
from tests.safety.strategies import caps_of, valid_train, with_quantity
from tests.safety.world import PEOPLE, SESSION, SFREQ_HZ, STRANGER, T0, UID, hello_of, opened_of


@dataclass(frozen=True, slots=True)
class Place:
    """Where the exploration is: the interlock, and the instant. `boot_ns` and `wall_ns` have jumped by so much."""

    state: State
    mono_ns: int
    boot_ns: int = 0
    wall_ns: int = 0

    @property
    def now(self) -> Now:
        return Now(
            mono_ns=self.mono_ns,
            boot_ns=self.mono_ns + T0.boot_ns - T0.mono_ns + self.boot_ns,
            wall_ns=self.mono_ns + T0.wall_ns - T0.mono_ns + self.wall_ns,
        )

    def later(self, ms: int) -> Place:
        return Place(self.state, self.mono_ns + ms * MS, self.boot_ns, self.wall_ns)


Symbol = Callable[[Rules, Place], tuple[Place, tuple[Event, ...]]]


def alphabet_of(modality: Modality) -> dict[str, Symbol]:
    """Everything that can happen, right and wrong, and time."""
    train = valid_train(modality)
    known: dict[str, Symbol] = {
        "a tick": partial(_tick, ms=10),
        "a tick after 60 ms": partial(_tick, ms=60),
        "a tick after 200 ms": partial(_tick, ms=200),
        "a tick after 1 s": partial(_tick, ms=1000),
        "the ledger is behind": partial(_tick, ms=10, behind_ms=300),
        "a suspend": partial(_tick, ms=10, boot_ms=600),
        "the wall clock jumps": partial(_tick, ms=10, wall_ms=3000),
        "the day is over": partial(_tick, ms=10, wall_ms=100_000_000),
        "all is well": partial(_well, times=1),
        "all is well for 200 ms": partial(_well, times=10),
        "a beat": partial(_event, _beat),
        "a beat with old data": partial(_event, partial(_beat, age_ms=300)),
        "a beat from the future": partial(_event, partial(_beat, age_ms=-60)),
        "a beat of another stream": partial(_event, partial(_beat, uid="other")),
        "an unclean beat": partial(_event, partial(_beat, clean=0.0)),
        "the controller comes": partial(_just, Joined(hello=hello_of(modality))),
        "a wrong controller comes": partial(
            _just, Joined(hello=msgspec.structs.replace(hello_of(), protocol=9))
        ),
        "the controller goes": partial(_just, Gone(why="x")),
        "the device opens": partial(_just, HostSaid(message=opened_of(caps_of(modality)))),
        "another device opens": partial(_just, HostSaid(message=opened_of(caps_of(modality), "other"))),
        "the host goes": partial(_just, HostGone(why="x")),
        "the relay closes": partial(_just, RelaySaid(closed=True)),
        "the relay opens": partial(_just, RelaySaid(closed=False)),
        "the relay goes": partial(_just, RelayGone(why="x")),
        "all is durable": partial(_event, lambda place: Durable(seq=place.state.entries)),
        "the ledger fails": partial(_just, LedgerTrouble(kind="failed", text="x")),
        "the limits change": partial(_just, LedgerTrouble(kind="limits_changed", text="x")),
        "a bad frame": partial(_just, BadFrame(source="controller", text="x")),
        "a bad frame of the host": partial(_just, BadFrame(source="host", text="x")),
        "STOP": partial(_just, StopPressed(source="x", ends=False)),
        "STOP and end": partial(_just, StopPressed(source="x", ends=True)),
        "a pause": partial(_just, PauseAsked(pause=Pause(reason="x"))),
        "an end": partial(_just, EndAsked(end=End(reason="x"))),
        "an arming": partial(_event, partial(_act, kind="arm")),
        "a stranger's arming": partial(_event, partial(_act, kind="arm", stranger=True)),
        "a reset": partial(_event, partial(_act, kind="reset")),
        "a request": partial(_event, partial(_asked, train=train)),
        "a lower request": partial(_event, partial(_asked, train=_less(modality))),
        "a request to be fired": partial(_event, partial(_asked, train=train, onset_at_ns=-1)),
        "a request above all limits": partial(_event, partial(_asked, train=_above(modality))),
        "a request with old data": partial(_event, partial(_asked, train=train, age_ms=300)),
        "a fire": partial(_event, _fire),
        "done": partial(_event, lambda place: _said(Done(call=place.state.call, at_ns=place.mono_ns))),
        "prepared": partial(_event, _prepared),
        "prepared otherwise": partial(_event, partial(_prepared, wrong=_above(modality))),
        "fired": partial(_event, _fired),
        "fired late": partial(_event, partial(_fired, off_ms=400)),
        "a slice": partial(_event, _slice),
        "the last slice": partial(_event, partial(_slice, ended=True)),
        "a slice that is too high": partial(_event, partial(_slice, times=2.0)),
        "a slice of nobody's": partial(_event, partial(_slice, token=7)),
        "the call fails": partial(_event, partial(_failed, code="failed")),
        "the call is late": partial(_event, partial(_failed, code="late")),
        "the call is superseded": partial(_event, partial(_failed, code="superseded")),
    }
    for state in ("idle", "armed", "running", "fault"):
        for times in (0.0, 1.0, 2.0):
            known[f"status {state} at {times:g}"] = partial(
                _event, partial(_status, host_state=state, times=times)
            )
    return known


def _amplitude_of(modality: Modality) -> Declared:
    """The quantity that says how much comes out: the first that is asked."""
    return next(declared for declared in quantities_of(modality) if declared.asked)


def _less(modality: Modality) -> Train:
    """Half of the valid train; of what cannot be lowered while it runs, the same again."""
    train = valid_train(modality)
    if not isinstance(train.waveform, Hold):
        return train
    return with_quantity(modality, _amplitude_of(modality).name, round(amplitude(train) / 2, 2))


def _above(modality: Modality) -> Train:
    """Above every limit, and no valid train's read-back."""
    declared = _amplitude_of(modality)
    return with_quantity(modality, declared.name, declared.high * 50)


def _just(event: Event, rules: Rules, place: Place) -> tuple[Place, tuple[Event, ...]]:
    return place.later(1), (event,)


def _event(make: Callable[[Place], Event], rules: Rules, place: Place) -> tuple[Place, tuple[Event, ...]]:
    there = place.later(1)
    return there, (make(there),)


def _tick(
    rules: Rules, place: Place, *, ms: int, behind_ms: int = 0, boot_ms: int = 0, wall_ms: int = 0
) -> tuple[Place, tuple[Event, ...]]:
    there = place.later(ms)
    jumped = Place(there.state, there.mono_ns, there.boot_ns + boot_ms * MS, there.wall_ns + wall_ms * MS)
    return jumped, (Tick(behind_ns=behind_ms * MS),)


def _well(rules: Rules, place: Place, *, times: int) -> tuple[Place, tuple[Event, ...]]:
    """So many times 20 ms in which everybody says that they are well; the last round is what the explorer follows."""
    there = place
    for _ in range(times - 1):
        there = there.later(20)
        for event in _round(there):
            there = Place(
                step(rules, there.state, event, there.now).state, there.mono_ns, there.boot_ns, there.wall_ns
            )
    last = there.later(20)
    return last, tuple(_round(last))


def _round(place: Place) -> tuple[Event, ...]:
    state = place.state
    on = state.running is not None and place.mono_ns <= state.running.zero_ns
    name = "idle" if state.phase != "ARMED" else "running" if on else "armed"
    return (
        _beat(place), _status(place, host_state=name, times=1.0 if on and state.phase == "ARMED" else 0.0),
        RelaySaid(closed=state.relay_closed), Durable(seq=state.entries + 1), Tick(behind_ns=0),
    )  # fmt: skip


def _evidence(place: Place, *, age_ms: int = 5, uid: str = UID, clean: float = 1.0) -> Evidence:
    return Evidence(
        stream_uid=uid, n_samples=round((place.mono_ns - T0.mono_ns) / 1e9 * SFREQ_HZ),
        newest_ns=place.mono_ns - age_ms * MS, uncertainty_ns=100_000, crc=place.mono_ns % 2**32, clean_fraction=clean,
    )  # fmt: skip


def _beat(place: Place, *, age_ms: int = 5, uid: str = UID, clean: float = 1.0) -> Event:
    watch = place.state.watch
    evidence = _evidence(place, age_ms=age_ms, uid=uid, clean=clean)
    return Beat(heartbeat=Heartbeat(seq=watch.beat_seq + 1, progress=watch.progress + 1, evidence=evidence))


def _act(place: Place, *, kind: str, stranger: bool = False) -> Event:
    act = sign(
        STRANGER if stranger else PEOPLE["ann"], act="reset" if kind == "reset" else "arm", person="ann",
        session_id=SESSION, nonce=f"nonce-{place.state.nonces}", reason="a test",
        expires_wall_ns=place.now.wall_ns + 3600 * 10**9,
    )  # fmt: skip
    return ActPresented(peer=1, uid=1000, act=act)


def _asked(place: Place, *, train: Train, onset_at_ns: int = 0, age_ms: int = 5) -> Event:
    evidence = _evidence(place, age_ms=age_ms)
    return Asked(
        request=Request(
            id=place.state.last_id + 1, train=train, onset_at_ns=onset_at_ns, response=0.5, evidence=evidence
        )
    )


def _fire(place: Place) -> Event:
    return FireAsked(request=FireRequest(id=place.state.last_id, onset_at_ns=0, evidence=_evidence(place)))


def _said(message: FromHost) -> Event:
    return HostSaid(message=message)


def _prepared(place: Place, *, wrong: Train | None = None) -> Event:
    asked = place.state.asked
    train = asked.request.train if asked is not None else valid_train("tacs")
    call = asked.call if asked is not None else place.state.call
    return _said(
        Prepared(call=call, token=place.state.call + 100, read_back=wrong or train, at_ns=place.mono_ns)
    )


def _fired(place: Place, *, off_ms: int = 0) -> Event:
    firing = place.state.firing
    call, token = (firing.call, firing.token) if firing is not None else (place.state.call, 1)
    return _said(Fired(call=call, token=token, onset_ns=place.mono_ns + off_ms * MS, at_ns=place.mono_ns))


def _slice(place: Place, *, ended: bool = False, times: float = 1.0, token: int = 0) -> Event:
    running = place.state.running or place.state.before
    level = amplitude(running.train) if running is not None else 0.1
    start_ns = place.mono_ns - MS if running is None else max(running.onset_ns, place.mono_ns - 20 * MS)
    return _said(
        Delivered(
            delivery=Delivery(
                token=token or (running.token if running is not None else 1), start_ns=min(start_ns, place.mono_ns),
                end_ns=place.mono_ns, amplitude=level * times, n_pulses=0, ended=ended, confirmed=True,
            )
        )
    )  # fmt: skip


def _status(place: Place, *, host_state: str, times: float) -> Event:
    running = place.state.running or place.state.before
    level = amplitude(running.train) if running is not None else 0.1
    status = DeviceStatus(
        state=host_state,  # type: ignore[arg-type]
        at_ns=place.mono_ns, amplitude=level * times, fault="", impedance_kohm=5.0,
    )  # fmt: skip
    return _said(Status(call=-place.state.watch.poll, status=status))


def _failed(place: Place, *, code: str) -> Event:
    return _said(CallFailed(call=place.state.call, code=code, text="x"))
