"""Any event at all that the interlock may meet, with the numbers at which code breaks."""

from __future__ import annotations

from hypothesis import strategies as st

from drivers.link import CallFailed, Delivered, Done, Fired, Prepared, Status
from drivers.stimulation import Delivery
from drivers.stimulator import DeviceStatus
from safety.events import (
    Asked,
    BadFrame,
    Beat,
    Durable,
    EndAsked,
    FireAsked,
    Gone,
    HostGone,
    HostSaid,
    LedgerTrouble,
    PauseAsked,
    RelayGone,
    RelaySaid,
    StopPressed,
    Tick,
)
from safety.messages import End, FireRequest, Heartbeat, Pause
from tests.safety.bench_device import MS
from tests.safety.strategies import NASTY, hold, pulses
from tests.safety.world import World

NUMBERS = st.sampled_from(
    [0, 1, -1, 7, 10**9, 2**31, 2**53 + 1, 2**63, -(2**63), 10**30, 10**320, -(10**320)]
)
FLOATS = st.sampled_from([*NASTY, 0.5, 1.0, 1.0001, 2.0, 100.0, -0.5])
TEXTS = st.sampled_from(
    ["", "x", "host", "controller", "failed", "superseded", "late", "silent", "read_back", "é" * 50]
)


@st.composite
def host_messages(draw: st.DrawFn, world: World) -> object:
    state = world.state
    call = draw(st.sampled_from([state.call, state.call - 1, 0, -1, -state.watch.poll, 10**30]))
    running = state.running or state.before
    token = draw(
        st.sampled_from([running.token if running else 1, state.firing.token if state.firing else 2, 999])
    )
    now_ns = world.mono_ns
    at_ns = draw(st.sampled_from([now_ns, now_ns - 40 * MS, now_ns + 40 * MS, 0, -1, 10**320, 2**63]))
    train = hold(amplitude_ma_pp=draw(FLOATS), ramp_up_ms=draw(NUMBERS))
    match draw(st.integers(0, 6)):
        case 0:
            return Done(call=call, at_ns=at_ns)
        case 1:
            return Prepared(
                call=call,
                token=token,
                read_back=draw(st.sampled_from([train, pulses(), hold()])),
                at_ns=at_ns,
            )
        case 2:
            return Fired(call=call, token=token, onset_ns=at_ns, at_ns=at_ns)
        case 3:
            state_ = draw(
                st.sampled_from(["closed", "idle", "armed", "running", "stopping", "fault", "unknown"])
            )
            kohm = draw(st.one_of(st.none(), FLOATS))
            status = DeviceStatus(
                state=state_, at_ns=at_ns, amplitude=draw(FLOATS), fault="", impedance_kohm=kohm
            )
            return Status(call=call, status=status)
        case 4:
            return CallFailed(call=call, code=draw(TEXTS), text=draw(TEXTS))
        case _:
            start_ns = draw(st.sampled_from([at_ns, now_ns - 100 * MS, now_ns]))
            return Delivered(
                delivery=Delivery(
                    token=token, start_ns=start_ns, end_ns=at_ns, amplitude=draw(FLOATS), n_pulses=draw(NUMBERS),
                    ended=draw(st.booleans()), confirmed=draw(st.booleans()),
                )
            )  # fmt: skip


@st.composite
def any_events(draw: st.DrawFn, world: World) -> object:
    """Any event at all, with the numbers at which code breaks."""
    evidence = world.evidence(
        n_samples=draw(NUMBERS), newest_ns=world.mono_ns - draw(NUMBERS), uncertainty_ns=draw(NUMBERS),
        clean_fraction=draw(FLOATS),
    ) if draw(st.booleans()) else world.evidence()  # fmt: skip
    trains = st.sampled_from(
        [
            hold(), hold(amplitude_ma_pp=0.5), hold(amplitude_ma_pp=draw(FLOATS)), pulses(), hold(duration_ms=draw(NUMBERS)),
            pulses(rate_hz=draw(FLOATS), n_pulses=draw(NUMBERS)), hold(ramp_up_ms=draw(NUMBERS)), hold(outputs=()),
        ]
    )  # fmt: skip
    onset = st.sampled_from(
        [0, -1, -2, world.mono_ns + 10 * MS, world.mono_ns, world.mono_ns + 2**31, 10**320]
    )
    match draw(st.integers(0, 19)):
        case 0:
            return StopPressed(source=draw(TEXTS), ends=draw(st.booleans()))
        case 1:
            return Gone(why="x")
        case 2:
            return HostGone(why="x")
        case 3:
            return RelayGone(why="x")
        case 4 | 5:
            return RelaySaid(closed=draw(st.booleans()))
        case 6:
            return LedgerTrouble(kind=draw(TEXTS), text="x")
        case 7:
            return BadFrame(source=draw(TEXTS), text="x")
        case 8:
            return Durable(seq=draw(st.sampled_from([0, world.state.entries, 2**63, -1])))
        case 9 | 10:
            return Tick(behind_ns=draw(st.sampled_from([0, 0, 0, 10**320, -1])))
        case 11:
            return (
                PauseAsked(pause=Pause(reason="x")) if draw(st.booleans()) else EndAsked(end=End(reason="x"))
            )
        case 12:
            return Beat(heartbeat=Heartbeat(seq=draw(NUMBERS), progress=draw(NUMBERS), evidence=evidence))
        case 13 | 14:
            request = world.request(
                draw(trains), onset_at_ns=draw(onset), evidence=evidence, response=draw(st.sampled_from([0.5, 0.5, *NASTY])),
                id=draw(st.sampled_from([world.ids + 1, world.ids + 1, 0, -1, 10**320])),
            )  # fmt: skip
            return Asked(request=request)
        case 15:
            request_id = draw(st.sampled_from([world.state.last_id, 0, 10**320]))
            return FireAsked(request=FireRequest(id=request_id, onset_at_ns=draw(onset), evidence=evidence))
        case _:
            return HostSaid(message=draw(host_messages(world)))
