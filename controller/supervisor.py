"""The foreground process of `run`: starts interlock and controller, turns Ctrl-C into STOP, reaps.

It sends STOP itself, on the stop socket: a controller that hangs in C never sees a Ctrl-C. Standard library only, and
nothing here decides: it starts, watches, and says in the end what became of each. A controller that outlives its
session's zero is ended.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from safety.messages import ActResult, StatusReport
from safety.needs import NEEDS
from safety.rig import ACTS, STOP
from safety.stop import press
from safety.trips import BY_CODE, PERMISSIVES

START_S = 10.0
POLL_S = 0.05
END_S = 5.0
HUNG_S = 6.0  # own choice: at zero, a controller needs a part of it to close its files
ASK_S = 0.5
JOIN_S = 150.0  # own choice: longer than a stream may be looked for
# Missing permissives that no waiting mends; the first of them only once it says what became of the device.
FINAL = ("ILK-402", "ILK-403", "ILK-404", "ILK-405", "ILK-409", *(need.code for need in NEEDS))
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

DONE, USAGE, REFUSED, TRIPPED, INTERNAL, INTERRUPTED = 0, 2, 3, 4, 70, 130


Arm = Callable[[Path], ActResult]
Ask = Callable[[Path], StatusReport | None]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one session is started with. `arm` is the named person's act; `ask` reads the status; `say` is for people;
    `quiet` keeps the progress off the terminal. `rig`: the directory of an interlock that runs already, under an account
    of its own; else one is started here."""

    session: Path
    limits: Path
    participant: str
    run_dir: Path
    session_id: str
    session_digest: str
    shadow: bool
    quiet: bool
    arm: Arm
    ask: Ask
    say: Say
    rig: Path | None = None


@dataclass(slots=True)
class Children:
    """The processes of a session, the pipe whose end tells them that we are gone, and one that signals write to."""

    interlock: subprocess.Popen[bytes] | None = None
    controller: subprocess.Popen[bytes] | None = None
    alive: int = -1
    woken: tuple[int, int] = field(default_factory=lambda: os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK))
    interrupts: int = 0

    def interrupt(self, *_: object) -> None:
        """A signal handler: counted here, pressed by `_watch`, which the pipe wakes at once."""
        self.interrupts += 1

    def rest(self) -> None:
        """Wait a little, or until a signal comes."""
        if select.select([self.woken[0]], [], [], POLL_S)[0]:
            os.read(self.woken[0], 64)


class RefusedToStart(Exception):
    """The interlock or the controller did not start; a line each for what is wrong."""


def supervise(plan: Plan) -> int:
    """Run one session to its end; its exit status. Leaves no process behind."""
    children = Children()
    before = signal.signal(signal.SIGINT, children.interrupt)
    before_term = signal.signal(signal.SIGTERM, children.interrupt)
    before_fd = signal.set_wakeup_fd(children.woken[1], warn_on_full_buffer=False)
    try:
        directory = _start(plan, children)
        return _watch(plan, children, directory)
    except RefusedToStart as refused:
        plan.say(str(refused))
        return REFUSED
    finally:
        _reap(children)
        signal.set_wakeup_fd(before_fd)
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, before_term)
        for fd in children.woken:
            os.close(fd)


class Attendant:
    """Asks the interlock for its status, and arms once, in a thread of its own: no question holds up a Ctrl-C."""

    def __init__(self, plan: Plan, path: Path) -> None:
        self.armed = False
        self.phase = ""
        self.missing: tuple[str, ...] = ("the interlock does not answer",)
        self._until_s = time.monotonic() + JOIN_S
        self._joined = self._final = False
        self._plan = plan
        self._path = path
        self._over = threading.Event()
        threading.Thread(target=self._attend, name="attendant", daemon=True).start()

    def stand_back(self) -> None:
        """Arm no more."""
        self._over.set()

    def hopeless(self) -> bool:
        """Whether there is no sense in waiting for READY any longer."""
        return not self.armed and (self._final or time.monotonic() > self._until_s)

    def _attend(self) -> None:
        while not self._over.wait(ASK_S if self.armed else POLL_S):
            status = self._plan.ask(self._path)
            if status is None:
                continue
            self.phase = status.phase
            if not self.armed:
                self._note(status)
            if not self.armed and status.phase == "READY" and not self._over.is_set():
                result = self._plan.arm(self._path)
                self.armed = result.ok
                self.missing = () if result.ok else (f"{result.code} {result.text}",)

    def _note(self, status: StatusReport) -> None:
        """What is missing, each with its remedy; what is final, alone. A trip before arming is final, too."""
        if status.phase == "TRIPPED":
            self._final = True
            remedy = BY_CODE[status.code].remedy if status.code in BY_CODE else ""
            self.missing = ("; ".join(part for part in (f"{status.code} {status.text}", remedy) if part),)
            return
        final = tuple(item for item in status.missing if item.startswith(FINAL) and ": " in item)
        self._final = bool(final)
        if status.missing:
            self.missing = tuple(
                f"{item}; {PERMISSIVES[item[:7]][1]}" if item[:7] in PERMISSIVES else item
                for item in final or status.missing
            )
        if status.controller and not self._joined:
            self._joined = True
            self._until_s = time.monotonic() + START_S


def _start(plan: Plan, children: Children) -> Path:
    """Interlock first, then the controller; returns the rig's directory. Raises RefusedToStart."""
    theirs, children.alive = os.pipe2(os.O_CLOEXEC)
    common = [
        "--run-dir", str(plan.run_dir), "--session-id", plan.session_id, "--session-digest", plan.session_digest,
        "--parent-fd", str(theirs),
    ]  # fmt: skip
    directory = plan.rig or _start_interlock(plan, children, common, theirs)
    children.controller = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "controller.process",
            "--session",
            str(plan.session),
            "--rig",
            str(directory),
            *common,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if plan.quiet else None,
        env=os.environ | dict.fromkeys(THREADS, "1"),
        pass_fds=(theirs,),
    )
    os.close(theirs)
    return directory


def _start_interlock(plan: Plan, children: Children, common: list[str], theirs: int) -> Path:
    """Start the interlock and wait for its word; its rig's directory. Raises RefusedToStart."""
    more = [f"--participant={plan.participant}", *(["--shadow"] if plan.shadow else [])]
    with (plan.run_dir / "interlock.err").open("wb") as errors:
        children.interlock = subprocess.Popen(
            [sys.executable, "-m", "safety.start", "--limits", str(plan.limits), *common, *more],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=(theirs,),
            start_new_session=True,
        )
    ready = _ready_line(children.interlock, plan.run_dir / "interlock.err")
    if "refused" in ready:
        raise RefusedToStart("\n".join(str(line) for line in ready["refused"]))
    if ready.get("latched"):
        raise RefusedToStart(str(ready["latched"]).replace("LIMITS.toml", str(plan.limits)))
    return Path(str(ready["ready"]))


def _ready_line(interlock: subprocess.Popen[bytes], errors: Path) -> dict[str, list[object] | str]:
    """The interlock's one line; raises RefusedToStart when none comes."""
    if interlock.stdout is None:
        raise RefusedToStart("the interlock has no output")
    readable, _, _ = select.select([interlock.stdout], [], [], START_S)
    line = interlock.stdout.readline() if readable else b""
    try:
        said = json.loads(line)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        lines = errors.read_text(errors="replace").strip().splitlines()
        last = lines[-1] if lines else "it said nothing"
        raise RefusedToStart(f"the interlock did not start within {START_S:g} s: {last}; see {errors}")
    return said


def _watch(plan: Plan, children: Children, directory: Path) -> int:
    """Arm when ready, pass on STOP, until the controller has ended; the exit status."""
    attendant = Attendant(plan, directory / ACTS)
    pressed, over_s = 0, 0.0
    try:
        while children.controller is not None and children.controller.poll() is None:
            now_s = time.monotonic()
            while pressed < children.interrupts:
                pressed += 1
                if attendant.armed or children.interlock is None:
                    _stop(plan, directory / STOP, again=pressed > 1)
                else:
                    _end_unarmed(plan, children.interlock)
                if not attendant.armed:
                    children.controller.terminate()  # it may still look for its stream
            if not pressed and attendant.hopeless():
                plan.say("\n".join(f"not armed: {item}" for item in attendant.missing))
                _end_controller(children)
                return REFUSED
            if attendant.phase == "TRIPPED" or (children.interlock and children.interlock.poll() is not None):
                over_s = over_s or now_s
                if now_s - over_s > HUNG_S:
                    plan.say(f"the controller does not answer {HUNG_S:g} s after the end: it is ended")
                    _end_controller(children)
            children.rest()
    finally:
        attendant.stand_back()
    if not (attendant.armed or pressed) and children.controller and children.controller.returncode == DONE:
        plan.say("\n".join(f"never armed: {item}" for item in attendant.missing))
        _end_interlock(children)
        return REFUSED
    return _status(plan, children, interrupted=pressed > 0)


def _end_unarmed(plan: Plan, interlock: subprocess.Popen[bytes]) -> None:
    """SIGTERM is STOP and an end. Where nothing is armed it trips nothing, so that nobody has to reset the rig."""
    interlock.terminate()
    plan.say("ended before it was armed")


def _stop(plan: Plan, path: Path, *, again: bool) -> None:
    plan.say("STOP again: cut" if again else "STOP: ramping down (once more cuts at once)")
    sequence = press(path)
    plan.say(
        f"STOP confirmed, ledger entry {sequence}"
        if sequence is not None
        else "STOP NOT CONFIRMED: use the hardware stop"
    )


def _status(plan: Plan, children: Children, *, interrupted: bool) -> int:
    """The session's exit status out of how its processes ended."""
    ended = children.controller.returncode if children.controller is not None else INTERNAL
    # An interlock of another account ends by itself, and what it ended with stands in its ledger.
    interlock = DONE if plan.rig is not None else _end_interlock(children)
    for name, status in (("controller", ended), ("interlock", interlock)):
        if status < 0 and not interrupted:
            plan.say(f"the {name} was killed ({signal.Signals(-status).name}); see {plan.run_dir}")
    if interlock > 0 and interlock != TRIPPED:
        plan.say(f"internal failure of the interlock; please report {plan.run_dir / 'interlock.err'}")
    if interlock not in (DONE, TRIPPED):
        return INTERNAL
    if ended < 0:
        return INTERRUPTED if interrupted else INTERNAL
    if interrupted:
        return INTERRUPTED
    return ended if ended != DONE else (TRIPPED if interlock == TRIPPED else DONE)


def _end_interlock(children: Children) -> int:
    """Give the interlock its time to confirm zero and to end by itself; then tell it; the exit status."""
    interlock = children.interlock
    if interlock is None:
        return INTERNAL
    for wait_s, tell in ((END_S / 5, interlock.terminate), (END_S, interlock.kill)):
        try:
            return interlock.wait(wait_s)
        except subprocess.TimeoutExpired:
            tell()
    return interlock.wait()


def _end_controller(children: Children) -> None:
    """Tell the controller to end in order; one that does not is killed."""
    controller = children.controller
    if controller is None:
        return
    controller.terminate()
    try:
        controller.wait(END_S)
    except subprocess.TimeoutExpired:
        controller.kill()
        controller.wait()


def _reap(children: Children) -> None:
    """Leave nobody behind. Closing the pipe tells them, too, were we killed instead."""
    if children.alive >= 0:
        os.close(children.alive)
    if children.controller is not None and children.controller.poll() is None:
        _end_controller(children)
    if children.interlock is not None and children.interlock.poll() is None:
        _end_interlock(children)
    if children.interlock is not None and children.interlock.stdout is not None:
        children.interlock.stdout.close()
