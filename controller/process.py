"""The controller's process: opens the stream, connects to the interlock, turns the loop, closes the files."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import sys
import time
import traceback
from dataclasses import asdict
from functools import partial
from pathlib import Path

from controller.eeg import StreamSpec
from controller.loop import Ended, Loop, Parts
from controller.lsl import LslSource
from controller.pulse import Pulse
from controller.quality import blanking
from controller.recorder import RecordError
from controller.session import Session, SessionErrors, load_session
from controller.source import Silence, SourceError
from controller.taps import Event, Taps
from controller.wiring import Measures, build_measures, hello, judge, start_taps
from safety.client import Heard, InterlockClient, InterlockLost
from safety.messages import DeliveryReport, Permit, Refusal, Trip
from safety.rig import CONTROLLER

CONNECT_S = 5.0
SAFE_S = 3.0
RAMP_S = 0.5
TAPS_S = 5.0
PAUSE_MAX_S = 120.0  # own choice: a cap that is off for two minutes is a new session
# The reader thread must get the interpreter's lock while the loop computes: well below a sample at 500 Hz.
SWITCH_S = 0.0005

DONE, USAGE, REFUSED, TRIPPED, INTERNAL = 0, 2, 3, 4, 70


class Running:
    """One session while it runs: what was heard from the interlock, and why it must end."""

    def __init__(self, session: Session, measures: Measures) -> None:
        self._session = session
        self._measures = measures
        self._loop: Loop | None = None
        self._taps: Taps | None = None
        self._interlock: InterlockClient | None = None
        self._begun_ns = time.monotonic_ns()
        self._silent_since_ns = 0
        self._waiting: list[Heard] = []
        self._told: set[str] = set()
        self.tripped: Trip | None = None
        self.asked_to_end = False

    def wire(self, loop: Loop, taps: Taps, interlock: InterlockClient) -> None:
        """From here on what is heard is passed on; what came before is passed on now."""
        self._loop, self._taps, self._interlock = loop, taps, interlock
        self._begun_ns = time.monotonic_ns()
        for message in self._waiting:
            self.heard(message)
        self._waiting.clear()

    def heard(self, message: Heard) -> None:
        """What the interlock says unasked."""
        if self._loop is None or self._taps is None:
            self._waiting.append(message)
            return
        match message:
            case Permit() | Refusal():
                self._loop.settle(message)
                return
            case Trip():
                self.tripped = message
            case DeliveryReport(delivery=delivery) if delivery.n_pulses:
                blank = blanking(delivery.start_ns, delivery.end_ns)
                self._measures.window.blank(blank.from_ns, blank.to_ns, blank.hold_until_ns)
        self._taps.offer(message)

    def over(self) -> Ended | None:
        """Why the loop must end now, if it must."""
        now_ns = time.monotonic_ns()
        self._tell_failures()
        if self.tripped is not None:
            return "tripped"
        if self.asked_to_end:
            return "stopped"
        if self._silent_since_ns and now_ns - self._silent_since_ns > PAUSE_MAX_S * 1e9:
            return "paused too long"
        return "duration" if now_ns - self._begun_ns > self._session.general.duration_s * 1e9 else None

    def _tell_failures(self) -> None:
        """A consumer that failed, as the recorder does on a full disk, is told while the session runs."""
        failures = () if self._taps is None else self._taps.failures()
        for failure in failures:
            if failure not in self._told:
                self._told.add(failure)
                self.note("failed", "", f"{failure}; the session goes on without it")

    def silent(self, silence: Silence) -> None:
        """No EEG. As configured: pause at once, or leave it to the interlock's own limit to trip."""
        since_s = (silence.now_ns - silence.since_ns) / 1e9
        if self._silent_since_ns == 0:
            self._silent_since_ns = silence.since_ns
            self.note("silence", self._session.source.lost, f"no EEG for {since_s:.2f} s")
            if self._session.source.lost == "pause" and self._interlock is not None:
                self._interlock.pause(f"no EEG for {since_s:.2f} s")

    def back(self) -> None:
        """EEG again after a silence."""
        if self._silent_since_ns:
            self._silent_since_ns = 0
            self.note(
                "silence", "over", "EEG is back; after a pause a named person arms again (nociloop arm)"
            )

    def note(self, kind: str, code: str, text: str) -> None:
        if self._taps is not None:
            self._taps.offer(Event(t_ns=time.monotonic_ns(), kind=kind, code=code, text=text))


def main(argv: list[str] | None = None) -> int:
    """Run the controller of one session; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m controller.process", description="The controller of one session."
    )
    parser.add_argument("--session", type=Path, required=True)
    parser.add_argument("--rig", type=Path, required=True, help="the directory of the interlock's sockets")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--session-id", required=True)
    parser.add_argument("--session-digest", required=True)
    parser.add_argument("--parent-fd", type=int, default=-1)
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's: it presses STOP
    sys.setswitchinterval(SWITCH_S)
    try:
        return asyncio.run(_session(arguments))
    except SessionErrors as errors:
        return _say(str(errors), USAGE)
    except (SourceError, InterlockLost, RecordError) as error:
        return _say(str(error), getattr(error, "exit_status", REFUSED))
    except Exception as error:  # noqa: BLE001 - the interlock has seen us go; the story belongs into a file
        return _fail(error, arguments.run_dir)


def _say(text: str, status: int) -> int:
    sys.stderr.write("".join(f"nociloop: {line}\n" for line in text.splitlines()))
    return status


def _fail(error: Exception, run_dir: Path) -> int:
    """A defect: its story into the run folder, one line for the person."""
    path = run_dir / "controller.err"
    try:
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError as other:
        return _say(f"internal failure: {error!r}, and {path}: {other.strerror}", INTERNAL)
    text = " ".join(str(error).split())
    return _say(
        f"internal failure of the controller: {type(error).__name__}: {text}; please report {path}", INTERNAL
    )


async def _session(arguments: argparse.Namespace) -> int:
    session = load_session(arguments.session)
    source = LslSource(session.source, judge=partial(judge, session))
    spec = await source.open()
    try:
        return await _connected(arguments, session, source, spec)
    finally:
        await source.close()


async def _connected(
    arguments: argparse.Namespace, session: Session, source: LslSource, spec: StreamSpec
) -> int:
    measures = build_measures(session, spec)
    running = Running(session, measures)
    said = hello(session, spec, arguments.session_id, arguments.session_digest)
    interlock = await InterlockClient.connect(arguments.rig / CONTROLLER, said, running.heard, CONNECT_S)
    taps = start_taps(session, spec, measures, arguments.run_dir, arguments.rig, sys.stdout)
    parts = Parts(
        source=source,
        window=measures.window,
        biomarkers=measures.biomarkers,
        policy=measures.policy,
        interlock=interlock,
        pulse=Pulse(interlock),
        taps=taps,
    )
    loop = Loop(parts, running.over, running.silent, running.back)
    running.wire(loop, taps, interlock)
    _listen(arguments.parent_fd, running)
    gc.collect()
    gc.freeze()
    status = TRIPPED
    try:
        ended = await loop.run()
        running.note("end", "", ended)
        status = TRIPPED if ended == "tripped" else DONE
        await _stand_down(interlock, ended)
    except (SourceError, InterlockLost) as error:
        running.note("end", getattr(error, "code", "interlock"), str(error))
        _say(str(error), TRIPPED)
        await _stand_down(interlock, str(error))
    finally:
        parts.pulse.stop()
        interlock.close()
        loop.leave()
        await asyncio.to_thread(_close, taps, arguments.run_dir, measures)
    return TRIPPED if running.tripped is not None else status


def _listen(parent_fd: int, running: Running) -> None:
    """SIGTERM, and the end of the supervisor, are requests to end in order."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        running.asked_to_end = True
        if parent_fd >= 0:
            loop.remove_reader(parent_fd)

    loop.add_signal_handler(signal.SIGTERM, end)
    if parent_fd >= 0:
        loop.add_reader(parent_fd, end)


async def _stand_down(interlock: InterlockClient, reason: str) -> None:
    """Ask for zero and wait until the interlock has confirmed it by closing the connection, or for a bounded time."""
    try:
        interlock.end(reason)
    except InterlockLost:
        return
    # After a trip the connection stays until a person resets: wait for the last slices of the ramp only.
    await interlock.ended(RAMP_S if interlock.phase == "TRIPPED" else SAFE_S)


def _close(taps: Taps, run_dir: Path, measures: Measures) -> None:
    """Drain the taps, and leave beside the tables what only this process knows."""
    taps.close(TAPS_S)
    told = {
        "taps": [asdict(status) for status in taps.status()],
        "hops_skipped": measures.window.hops_skipped,
        "blocks_refused": measures.window.blocks_refused,
    }
    try:
        (run_dir / "controller.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
    except OSError as error:
        _say(f"{run_dir}/controller.json: {error.strerror}", DONE)
    for failure in taps.failures():
        _say(failure, DONE)


if __name__ == "__main__":
    sys.exit(main())
