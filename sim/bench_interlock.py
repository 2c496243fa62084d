"""`nociloop bench interlock`: the deciding core by itself, the interlock's process with its ledger on, and time to zero.

Everything is real but the device: the interlock, its device host, the relay and the simulated device are processes, the
controller is played. Time to zero is read from the simulated device's own record.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from controller.finished.latency import spreads
from controller.finished.values import Spread
from controller.running import Files, NotStarted, Signer
from safety.acting import ActsLine, NoAnswer
from safety.entries import Entry, Genesis, entry_of
from safety.events import Asked
from safety.interlock import step
from safety.rig import ACTS, CONTROLLER
from safety.rig import STOP as STOP_SOCKET
from safety.verify import read
from sim.demo import World, demo_files, private, rig
from sim.load import under
from sim.parts import ready_line
from sim.played_controller import SESSION_DIGEST, SESSION_ID
from sim.record import Record, amplitude_at, zero_since
from sim.record import load as load_record

READY_S = 10.0
ZERO_S = 3.0
RATE_HZ = 200.0  # the rate of requests at which reading and answering is timed
TRIAL_HZ = 5.0
ARMED_S = 3600.0
SETTLED_NS = (
    20_000_000  # an output that fell within this time before the cause was on its way to zero already
)
TRIES = 5  # sessions a trial may take until one has an output to end

Made = tuple[Files, Signer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """Re-executed from a ledger on one core: verdicts a second with their entries made and encoded."""

    verdicts: int
    verdicts_per_s: float
    entry_bytes: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All that the benchmark finds. `zero`: ms from a STOP or a hung controller to zero, by load."""

    core: Core
    stages: tuple[Spread, ...]
    refused: dict[str, int]
    zero: tuple[Spread, ...]


def measure_interlock(seconds: float, trials: int) -> Figures:
    """Run it all; raises NotStarted."""
    with tempfile.TemporaryDirectory(prefix="nociloop-bench-") as name, private(Path(name)):
        folder = Path(name)
        Path(os.environ["NOCILOOP_STATE_DIR"]).mkdir(exist_ok=True)
        with rig(folder) as (endpoint, relay):
            world = World(folder=folder, source_id="played", endpoint=endpoint, relay=relay)
            made = demo_files(world, "tacs", 600.0, 1)
            with under("awake"), session(world, made, RATE_HZ) as awake:
                time.sleep(seconds)
            with session(world, made, RATE_HZ) as live:
                time.sleep(seconds)
            zero: dict[str, list[float]] = {}
            for load in ("none", "load", "heavy"):
                with under(load):
                    for what in ("STOP", "hung"):
                        zero[f"{what}, {load}"] = _times_to_zero(world, made, what, trials)
            core = measure_core(live.run_dir / "ledger.jsonl")
    refused = Counter(str(code) for each in (awake, live) for code in each.told["refused"])
    return Figures(
        core=core,
        stages=_stages(awake, ", awake") + _stages(live, ""),
        refused=dict(refused),
        zero=spreads(zero),
    )


def _stages(live: Live, cores: str) -> tuple[Spread, ...]:
    """What an answer took, by how the cores were kept between two requests."""
    names = {
        "read → sent on": "sent_ms",
        "read → reply written": "written_ms",
        "read → answered": "answered_ms",
    }
    return spreads({f"{name}{cores}": _ms(live.told[key]) for name, key in names.items()})


def _ms(values: list[object]) -> list[float]:
    """Without the first tenth, in which caches and files are still cold."""
    return [float(str(value)) for value in values[len(values) // 10 :]]


def measure_core(ledger: Path) -> Core:
    """Every entry of a ledger decided again; what the requests among them took, with their entries."""
    lines, _, _ = read(ledger)
    first = lines[0].held
    if not isinstance(first, Genesis):
        raise NotStarted((f"{ledger}: no genesis",), 70)
    state, spent_ns, verdicts = first.state, 0, 0
    encoder, sizes = msgspec.json.Encoder(), []
    for line in lines[1:]:
        entry = line.held
        if not isinstance(entry, Entry):
            break
        if entry.fold is not None:
            state = msgspec.structs.replace(state, watch=entry.fold.after(state.watch))
        begun_ns = time.perf_counter_ns()
        decided = step(first.rules, state, entry.event, entry.now)
        encoder.encode(entry_of(state, entry.event, decided, entry.now, entry.fold))
        if isinstance(entry.event, Asked):
            spent_ns += time.perf_counter_ns() - begun_ns
            verdicts += 1
        if any(effect.startswith("permit ") for effect in entry.effects):
            sizes.append(float(len(line.raw)))
        state = decided.state
    return Core(
        verdicts=verdicts,
        verdicts_per_s=verdicts / spent_ns * 1e9 if spent_ns else 0.0,
        entry_bytes=spreads({"bytes of a Permit's entry": sizes})[0],
    )


class Live:
    """A session that runs: its processes, and at its end what the played controller has seen."""

    def __init__(self, run_dir: Path, directory: Path, controller: subprocess.Popen[str]) -> None:
        self.run_dir = run_dir
        self.directory = directory
        self.controller = controller
        self.told: dict[str, list[object]] = {}


@contextmanager
def session(world: World, made: Made, rate_hz: float) -> Iterator[Live]:
    """Interlock, device host and played controller, armed and running; all of them ended afterwards."""
    files, signer = made
    run_dir = Path(tempfile.mkdtemp(prefix="run-", dir=world.folder))
    # What a session leaves of itself (its latch, its dose) is not the next one's: each begins with the first one's.
    state = shutil.copytree(os.environ["NOCILOOP_STATE_DIR"], run_dir / "state")
    alive, theirs = os.pipe2(os.O_CLOEXEC)[::-1]
    with (run_dir / "interlock.err").open("wb") as errors:
        interlock = subprocess.Popen(
            [
                *(sys.executable, "-m", "safety.start", "--limits", str(files.limits_path)),
                *("--run-dir", str(run_dir), "--session-id", SESSION_ID, "--session-digest", SESSION_DIGEST),
                *("--parent-fd", str(theirs)),
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, pass_fds=(theirs,), start_new_session=True,
            env=os.environ | {"NOCILOOP_STATE_DIR": str(state)},
        )  # fmt: skip
    os.close(theirs)
    try:
        said = ready_line(interlock, "safety.start")
        if "ready" not in said:
            raise NotStarted((f"the interlock did not start: {said}",), 3)
        directory = Path(str(said["ready"]))
        controller = subprocess.Popen(
            [
                *(sys.executable, "-m", "sim.played_controller", str(directory / CONTROLLER)),
                *("--rate", str(rate_hz)),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        live = Live(run_dir, directory, controller)
        try:
            _arm(directory / ACTS, signer)
            _await(controller, "running")
            yield live
        finally:
            live.told = _end(controller)
    finally:
        os.close(alive)
        try:
            interlock.wait(READY_S)
        except subprocess.TimeoutExpired:
            interlock.kill()
            interlock.wait()
        if interlock.stdout is not None:
            interlock.stdout.close()


def _arm(path: Path, signer: Signer) -> None:
    end_s, text = time.monotonic() + READY_S, ""
    while time.monotonic() < end_s:
        try:
            line = ActsLine(path)
            try:
                if line.status().phase == "READY":
                    result = line.act("arm", signer.person, signer.key, "benchmark", ARMED_S)
                    if result.ok:
                        return
                    text = f"{result.code} {result.text}"
            finally:
                line.close()
        except NoAnswer as error:
            text = str(error)
        time.sleep(0.02)
    raise NotStarted((f"not armed within {READY_S:g} s: {text}",), 3)


def _await(controller: subprocess.Popen[str], word: str) -> None:
    pipe = controller.stdout
    if pipe is None or not select.select([pipe], [], [], READY_S)[0] or pipe.readline().strip() != word:
        raise NotStarted((f"nothing was permitted within {READY_S:g} s",), 3)


def _end(controller: subprocess.Popen[str]) -> dict[str, list[object]]:
    controller.send_signal(signal.SIGCONT)
    try:
        out, _ = controller.communicate("", timeout=READY_S)
    except subprocess.TimeoutExpired:
        controller.kill()
        out, _ = controller.communicate()
    lines = [line for line in out.splitlines() if line.startswith("{")]
    told: dict[str, list[object]] = json.loads(lines[-1]) if lines else {}
    return told


def _times_to_zero(world: World, made: Made, what: str, trials: int) -> list[float]:
    """ms from the cause to zero by the device's own record, a value a trial; each try is a session of its own."""
    return [_time_to_zero(world, made, what) for _ in range(trials)]


def _time_to_zero(world: World, made: Made, what: str) -> float:
    for _ in range(TRIES):
        with session(world, made, TRIAL_HZ) as live:
            time.sleep(0.5 + secrets.randbelow(200) / 1000)
            since_ns = time.monotonic_ns()
            if what == "STOP":
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as pressed:
                    pressed.connect(str(live.directory / STOP_SOCKET))
            else:
                live.controller.send_signal(signal.SIGSTOP)
            record, zero_ns = _until_zero(world.folder / "device.jsonl", since_ns)
        if was_on(record, since_ns):
            return float("inf") if zero_ns is None else (zero_ns - since_ns) / 1e6
    raise NotStarted((f"{what}: in {TRIES} sessions the output had ended before its cause came",), 3)


def _until_zero(path: Path, since_ns: int) -> tuple[Record, int | None]:
    end_s, zero_ns, record = time.monotonic() + ZERO_S, None, load_record(path)
    while zero_ns is None and time.monotonic() < end_s:
        time.sleep(0.05)
        record = load_record(path)
        zero_ns = zero_since(record, since_ns)
    return record, zero_ns


def was_on(record: Record, t_ns: int) -> bool:
    """Was there a current at `t_ns` that was not on its way to zero? Else its end would be credited to the wrong cause."""
    return amplitude_at(record, t_ns) >= amplitude_at(record, t_ns - SETTLED_NS) > 0
