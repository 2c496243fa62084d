"""The foreground process of `run`: starts interlock and controller, turns Ctrl-C into STOP, reaps.

It sends STOP itself, on the stop socket: a controller that hangs in C never sees a Ctrl-C. Standard library only, and
nothing here decides: it starts, watches, and says in the end what became of each.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from safety.messages import ActResult, StatusReport
from safety.rig import ACTS, STOP
from safety.stop import press

START_S = 10.0
POLL_S = 0.05
END_S = 5.0
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

DONE, USAGE, REFUSED, TRIPPED, INTERNAL, INTERRUPTED = 0, 2, 3, 4, 70, 130


Arm = Callable[[Path], ActResult]
Ask = Callable[[Path], StatusReport | None]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one session is started with. `arm` is the named person's act; `ask` reads the status; `say` is for people;
    `quiet` keeps the progress off the terminal."""

    session: Path
    limits: Path
    run_dir: Path
    session_id: str
    session_digest: str
    shadow: bool
    quiet: bool
    arm: Arm
    ask: Ask
    say: Say


@dataclass(slots=True)
class Children:
    """The processes of a session, and the pipe whose end tells them that we are gone."""

    interlock: subprocess.Popen[bytes] | None = None
    controller: subprocess.Popen[bytes] | None = None
    alive: int = -1
    interrupts: list[float] = field(default_factory=list)


class RefusedToStart(Exception):
    """The interlock or the controller did not start; a line each for what is wrong."""


def supervise(plan: Plan) -> int:
    """Run one session to its end; its exit status. Leaves no process behind."""
    children = Children()
    before = signal.signal(signal.SIGINT, lambda *_: children.interrupts.append(time.monotonic()))
    before_term = signal.signal(signal.SIGTERM, lambda *_: children.interrupts.append(time.monotonic()))
    try:
        directory = _start(plan, children)
        return _watch(plan, children, directory)
    except RefusedToStart as refused:
        plan.say(str(refused))
        return REFUSED
    finally:
        _reap(children)
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, before_term)


def _start(plan: Plan, children: Children) -> Path:
    """Interlock first, then the controller; returns the rig's directory. Raises RefusedToStart."""
    theirs, children.alive = os.pipe2(os.O_CLOEXEC)
    common = [
        "--run-dir", str(plan.run_dir), "--session-id", plan.session_id, "--session-digest", plan.session_digest,
        "--parent-fd", str(theirs),
    ]  # fmt: skip
    shadow = ["--shadow"] if plan.shadow else []
    with (plan.run_dir / "interlock.err").open("wb") as errors:
        children.interlock = subprocess.Popen(
            [sys.executable, "-m", "safety.start", "--limits", str(plan.limits), *common, *shadow],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=(theirs,),
            start_new_session=True,
        )
    ready = _ready_line(children.interlock, plan.run_dir / "interlock.err")
    if "refused" in ready:
        raise RefusedToStart("\n".join(str(line) for line in ready["refused"]))
    directory = Path(str(ready["ready"]))
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
    armed, pressed, missing = False, 0, ""
    deadline = time.monotonic() + START_S * 3
    while children.controller is not None and children.controller.poll() is None:
        if len(children.interrupts) > pressed:
            pressed += 1
            _stop(plan, directory / STOP, again=pressed > 1)
        if not armed and not pressed:
            status = plan.ask(directory / ACTS)
            if status is not None and status.phase == "READY":
                result = plan.arm(directory / ACTS)
                armed = result.ok
                missing = "" if result.ok else f"{result.code} {result.text}"
            elif status is not None:
                missing = "; ".join(status.missing)
            if not armed and time.monotonic() > deadline:
                plan.say(f"not armed: {missing or 'the interlock does not answer'}")
                children.controller.terminate()
                children.controller.wait(END_S)
                return REFUSED
        time.sleep(POLL_S)
    return _status(children, interrupted=pressed > 0)


def _stop(plan: Plan, path: Path, *, again: bool) -> None:
    plan.say("STOP again: cut" if again else "STOP: ramping down (once more cuts at once)")
    sequence = press(path)
    plan.say(
        f"STOP confirmed, ledger entry {sequence}"
        if sequence is not None
        else "STOP NOT CONFIRMED: use the hardware stop"
    )


def _status(children: Children, *, interrupted: bool) -> int:
    """The session's exit status out of how its processes ended."""
    ended = children.controller.returncode if children.controller is not None else INTERNAL
    interlock = _end_interlock(children)
    if interlock < 0 or ended < 0:
        return INTERRUPTED if interrupted and interlock >= 0 else INTERNAL
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


def _reap(children: Children) -> None:
    """Leave nobody behind. Closing the pipe tells them, too, were we killed instead."""
    if children.alive >= 0:
        os.close(children.alive)
    if children.controller is not None and children.controller.poll() is None:
        children.controller.terminate()
        try:
            children.controller.wait(END_S)
        except subprocess.TimeoutExpired:
            children.controller.kill()
            children.controller.wait()
    if children.interlock is not None and children.interlock.poll() is None:
        _end_interlock(children)
