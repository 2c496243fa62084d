"""A light rig: device and relay stand while one session after another is made, disturbed and judged on them.

A trial is one modality, in one process without threads, so that a scripted controller and a person can be forked: a
session costs about a second. What came out is judged by the device's own record alone.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from drivers.stimulation import Modality
from safety.acting import NoAnswer
from safety.earlier import sessions_of
from safety.entries import Entry, Genesis
from safety.events import Asked
from safety.latch import LatchFile, trip_of
from safety.messages import Pending, Permit, PhaseChanged
from safety.store import read_store
from safety.verify import read, replayed
from sim.record import Record, amplitude_at, zero_since
from tests.campaign.proof import Void
from tests.system.fresh import fresh_participant
from tests.system.interlock_rig import Rig, alive, interlock_rig, until
from tests.system.played_controller import Controller, output_of

FORKED_S = 40.0  # nothing forked lives longer
HIGHEST = {"tacs": 0.1, "rtms": 40.0}  # what a scripted controller asks for
LATEST_S = 1.2  # beyond every bound, every lease and every ramp: whatever is on then stays on
NO_LATER_MS = 700  # a lease and its ramp: later than this is no lateness, but a failure


@dataclass(slots=True)
class Bench:
    """One rig whose world stands over many sessions; `session` makes one."""

    rig: Rig
    stack: ExitStack
    sessions: int = 0
    children: list[int] = field(default_factory=list)

    @contextmanager
    def session(self) -> Iterator[Rig]:
        """A session of its own: new run folder, new record. Whatever became of it, all of it has ended afterwards."""
        rig = self.rig
        self.sessions += 1
        rig.run_dir = rig.folder / f"run{self.sessions}"
        rig.run_dir.mkdir()
        rig.world.forget()
        rig.forget_latch()
        fresh_participant(rig.state, rig.limits)
        (rig.folder / "interlock.err").write_bytes(b"")
        ready = rig.start()
        if "ready" not in ready:
            raise Void(f"the interlock did not start: {ready}")
        try:
            yield rig
        finally:
            self._clear()

    def _clear(self) -> None:
        rig = self.rig
        for pid in self.children:
            end(pid)
        self.children.clear()
        interlock = rig.interlock
        if interlock is not None:
            for pid in (interlock.pid, rig.host):
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)
            interlock.wait(10.0)
        until(lambda: not alive(rig.host), "the device host to end")
        shutil.rmtree(rig.run_dir, ignore_errors=True)
        rig.forget_latch()

    def controller(self) -> int:
        """Fork a scripted controller: from ARMED on it keeps the output on, and notes what it is told."""
        path, modality, notes = self.rig.directory / "controller.sock", self.rig.modality, self.notes
        notes.unlink(missing_ok=True)
        return self.fork(lambda: _control(path, modality, notes))

    def fork(self, work: Callable[[], None]) -> int:
        """A child that does this and ends; bounded in time, and killed at the end of the session."""
        pid = forked(work)
        self.children.append(pid)
        return pid

    @property
    def notes(self) -> Path:
        return self.rig.folder / "heard"

    def promised(self) -> set[int]:
        """Requests that waited for the disk and were then permitted: their entries were durable by then."""
        waited: set[int] = set()
        done: set[int] = set()
        for line in self.notes.read_text().split("\n")[:-1] if self.notes.exists() else ():
            word, _, number = line.partition(" ")
            waited |= {int(number)} if word == "pending" else set()
            done |= {int(number)} & waited if word == "permit" else set()
        return done


def forked(work: Callable[[], None]) -> int:
    """Fork; the child keeps no descriptor but the standard ones, and never returns."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.closerange(3, 256)
            signal.alarm(round(FORKED_S))
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def end(pid: int) -> None:
    """Kill a forked child and reap it; it may be stopped, or reaped already."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def _control(path: Path, modality: Modality, notes: Path) -> None:
    controller = Controller(path, modality)
    note = os.open(notes, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    told, kept = 0, False
    while not controller.gone.is_set():
        heard = controller.heard
        for said in heard[told:]:
            if isinstance(said, Pending | Permit):
                word = "permit" if isinstance(said, Permit) else "pending"
                os.write(note, f"{word} {said.id}\n".encode())
            if isinstance(said, PhaseChanged) and said.phase == "ARMED" and not kept:
                controller.keep(output_of(modality))
                kept = True
            told += 1
        time.sleep(0.005)
    time.sleep(FORKED_S)  # the connection is gone, the process stays until it is ended


_benches: dict[Modality, Bench] = {}


def bench(modality: Modality) -> Bench:
    """This process's bench of a modality; made once."""
    if modality not in _benches:
        stack = ExitStack()
        _benches[modality] = Bench(stack.enter_context(interlock_rig(modality, start=False)), stack)
    return _benches[modality]


def discard(modality: Modality) -> None:
    """End this bench: something of its world was killed, and the next trial has a new one."""
    if modality in _benches:
        _benches.pop(modality).stack.close()


@atexit.register
def _discard_all() -> None:
    for modality in tuple(_benches):
        discard(modality)


@contextmanager
def setting_up() -> Iterator[None]:
    """What keeps a session from coming as far as the trial needs it is no answer to what the trial asks."""
    try:
        yield
    except (AssertionError, NoAnswer) as error:
        raise Void(f"the session did not come to the trial: {error}") from error


# Judging


def is_on(record: Record, modality: Modality, at_ns: int) -> bool:
    """Whether output was on at an instant, by the device's own record."""
    if modality == "tacs":
        return amplitude_at(record, at_ns) > 0.0
    before = [pulse.t_ns for pulse in record.pulses if pulse.t_ns <= at_ns]
    return bool(before) and at_ns - before[-1] <= 100_000_000  # a train of 10 Hz is under way


def delivered(record: Record) -> dict[str, float]:
    """What came out, in the quantities of the budgets: from rest to rest, and the charge at the peak."""
    on_ns, charge = 0, 0.0
    for here, after in zip(record.breaks, record.breaks[1:], strict=False):
        top = max(here.a_ma_pp, after.a_ma_pp)
        if top > 0.0:
            span_ns = after.t_ns - here.t_ns
            on_ns += span_ns
            charge += (
                (here.a_ma_pp + after.a_ma_pp) / 4 * 1e-3 * span_ns / 1e9
            )  # peak is half of peak to peak
    return {"on_time_s": on_ns / 1e9, "charge_c": charge, "n_pulses": float(len(record.pulses))}


def until_zero(
    rig: Rig, modality: Modality, since_ns: int, latest_s: float = LATEST_S
) -> dict[str, float | str]:
    """Wait until the output is at zero and stays there; how long it took, where it was on at all."""

    def over() -> bool:
        record = rig.world.record()
        zero_ns = zero_since(record, since_ns)
        return zero_ns is not None and time.monotonic_ns() > zero_ns + 250_000_000

    try:
        until(over, "zero", latest_s)
    except AssertionError:
        pass  # judged below, by the record
    record = rig.world.record()
    zero_ns = zero_since(record, since_ns)
    if zero_ns is None or not is_on(record, modality, since_ns):
        return {}
    return {"zero_ms": round((zero_ns - since_ns) / 1e6, 2)}


def judge_output(record: Record, modality: Modality, since_ns: int, no_later_ms: int = NO_LATER_MS) -> str:
    """What speaks against the output after a signal or a STOP, in a few words; empty: nothing."""
    zero_ns = zero_since(record, since_ns)
    if zero_ns is None:
        return f"output never ended: {record.breaks[-4:]}"
    if zero_ns - since_ns > no_later_ms * 1_000_000:
        return f"output came {(zero_ns - since_ns) / 1e6:.0f} ms after the signal"
    highest = max([e.a_ma_pp for e in record.breaks] + [e.p_pct for e in record.pulses], default=0.0)
    return f"{highest} came out, {HIGHEST[modality]} was asked" if highest > HIGHEST[modality] else ""


def judge_ledger(rig: Rig, record: Record, promised: set[int], *, killed: bool) -> str:
    """What speaks against the ledger of a session that has ended, in a few words; empty: nothing."""
    verdict = rig.verdict()
    if not verdict.chain or verdict.execution != "same" or verdict.problems or verdict.oracle:
        return f"the ledger does not verify: {verdict}"
    if not killed and (verdict.torn or not verdict.closed):
        return f"the ledger was not closed in order: {verdict}"
    lines, _, _ = read(rig.ledger)
    asked = {
        line.held.event.request.id
        for line in lines
        if isinstance(line.held, Entry) and isinstance(line.held.event, Asked)
    }
    if promised - asked:
        return f"requests {promised - asked} were durable by the interlock's word, and are lost"
    first = lines[0].held
    assert isinstance(first, Genesis)
    states = [state for _, state, _ in replayed(first.rules, first.state, lines[1:])]
    dose = states[-1].dose if states else first.state.dose
    budgets: set[str] = {budget.name for budget in first.rules.limits.budgets}
    came = {name: value for name, value in delivered(record).items() if name in budgets}
    less = _less(
        {name: float(getattr(dose.reserved, name) + getattr(dose.coming, name)) for name in came}, came
    )
    if less:
        return f"the ledger reserved too little: {less}"
    if states and (states[-1].phase == "ARMED" or states[-1].trip) and not _latched(rig):
        return (
            f"the next start would find no trip, and this session ended {states[-1].phase} {states[-1].trip}"
        )
    sessions = sessions_of(read_store(rig.state, first.rules.limits.participant)[0])
    kept = {name: sum(float(getattr(each.spent, name)) for each in sessions) for name in came}
    less = _less(kept, came)
    return f"the participant's store holds too little: {less}" if less else ""


def _latched(rig: Rig) -> bool:
    """Whether the rig's state on the disk trips the next start."""
    latch = LatchFile(rig.state / "rigs", rig.directory.name)
    try:
        return bool(trip_of(latch.read())[0])
    finally:
        latch.close()


def _less(accounted: dict[str, float], came: dict[str, float]) -> str:
    """Where less is accounted than came out by more than a microsecond or a microcoulomb."""
    return ", ".join(
        f"{name} {accounted[name]:g} of {came[name]:g}"
        for name in came
        if came[name] > accounted[name] + 1e-6
    )
