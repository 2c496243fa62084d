"""A rig for a test: simulated device, relay and the real interlock as processes; all of them ended in every case.

What came out is judged by the device's own record alone.
"""

from __future__ import annotations

import datetime
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from drivers.stimulation import Modality
from safety.acting import ActsLine
from safety.acts import derive_key, public_key_hex
from safety.entries import Entry, Genesis
from safety.messages import ActResult, Permit, StatusReport
from safety.people import table_of
from safety.software import software
from safety.verify import Verdict, read, replayed, verify
from sim.record import Record, Rx, State, load, zero_since
from tests.bounded import line_of
from tests.bounded import together as together
from tests.system.fresh import OFFICER, fresh_participant
from tests.system.played_controller import (
    SESSION_DIGEST,
    SESSION_ID,
    Controller,
    output_of,
)

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 6.0
RAMP_MS = 100
# The promised times to zero are percentiles of a quiet path, and are measured by the benchmarks. This much is
# added here, for a test runs on a machine that others share.
SLACK_MS = 120
OPERATOR = "operator"
ON_THE_COIL = {
    'driver = "null"': 'driver = "open_device"',
    'endpoint = "none"\nidentity = "none"': 'endpoint = "tcp:127.0.0.1:4000"\nidentity = "any"',
    '[relay]\nendpoint = "none"': '[relay]\nendpoint = "unix:/run/nociloop/demo/relay.sock"',
}
_SALT = "00112233445566778899aabbccddeeff"
_EXAMPLE_KEY = "ea7a8aeac3a9783893cc748b45341c25fdf35b42860416b07bb60fb30769968b"


def until(condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
    """Wait until something holds, no longer than the deadline."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.002)


@functools.cache
def operators_key() -> Ed25519PrivateKey:
    return derive_key("a pass-phrase of the tests", _SALT)


def limits_text(modality: Modality, edits: Mapping[str, str]) -> str:
    """The example's limits, valid today, with the tests' operator and officer; each edit must find what it replaces."""
    text = (ROOT / f"docs/examples/limits-{modality}.toml").read_text(encoding="utf-8")
    today = datetime.datetime.now().astimezone().date()
    base = {
        "valid_from = 2026-01-01": f"valid_from = {today - datetime.timedelta(days=1)}",
        "valid_until = 2026-12-31": f"valid_until = {today + datetime.timedelta(days=1)}",
        "consent_on = 2026-01-01": f"consent_on = {today}",
        _EXAMPLE_KEY: public_key_hex(operators_key()),
    }
    if modality == "ctbs":  # its example is of the null device; here the coil plays it
        base |= {"measured_on = 2026-01-05": f"measured_on = {today}", **ON_THE_COIL}
    else:
        base['identity = "SIM-0001"'] = 'identity = "any"'
    if modality == "rtms":
        base["measured_on = 2026-06-01"] = f"measured_on = {today}"
    for old, new in (base | dict(edits)).items():
        assert old in text, old
        text = text.replace(old, new)
    return f"{text}\n{table_of(OFFICER)}"


def alive(pid: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def processes_of(folder: Path) -> list[int]:
    """Every process that was started with this rig's runtime directory."""
    mark = f"NOCILOOP_RUNTIME_DIR={folder}/".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return [pid for pid in found if alive(pid)]


@dataclass(slots=True)
class World:
    """The device and the relay: they stand while anything else is killed."""

    folder: Path
    environment: Mapping[str, str]
    device: subprocess.Popen[bytes]
    relay: subprocess.Popen[bytes] | None
    endpoint: str = ""

    @property
    def record_path(self) -> Path:
        return self.folder / "device.jsonl"

    def record(self) -> Record:
        return load(self.record_path)

    def forget(self) -> None:
        """Begin the record anew, between two sessions: what was read of it before has been judged."""
        os.truncate(self.record_path, 0)

    def inject(self, fault: str) -> None:
        """A fault of the device, from now on."""
        assert self.device.stdin is not None
        self.device.stdin.write(f"fault {fault}\n".encode())
        self.device.stdin.flush()

    def tell_relay(self, line: str) -> None:
        """A line to the relay: `fault NAME`, or `clear`."""
        assert self.relay is not None and self.relay.stdin is not None
        self.relay.stdin.write(f"{line}\n".encode())
        self.relay.stdin.flush()


def _world(
    folder: Path,
    environment: Mapping[str, str],
    faults: tuple[str, ...],
    relay_fault: str | None,
    serial: str,
) -> World:
    contact = ["--contact", str(folder / "contact"), "--die-with-stdin"]
    device = _spawn(
        "sim.devices.open_device",
        ["--tcp", "127.0.0.1:0", "--record", str(folder / "device.jsonl"), "--serial", serial, *contact]
        + [word for fault in faults for word in ("--fault", fault)],
        environment,
    )
    relay = _spawn(
        "sim.relay",
        ["--listen", str(folder / "relay"), "--record", str(folder / "relay.jsonl"), *contact]
        + ["--silence-ms", "100", "--ramp-ms", str(RAMP_MS)]
        + (["--fault", relay_fault] if relay_fault else []),
        environment,
    )
    world = World(folder, environment, device, relay)
    world.endpoint = str(_ready(device)["endpoint"])
    _ready(relay)
    return world


def _spawn(module: str, arguments: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT,
    )  # fmt: skip


def _ready(process: subprocess.Popen[bytes]) -> dict[str, object]:
    found = json.loads(line_of(process.stdout))
    assert isinstance(found, dict)
    return found


@dataclass(slots=True)
class Rig:
    """One session on a world of its own. `interlock_rig` makes it."""

    folder: Path
    modality: Modality
    world: World
    limits: Path
    run_dir: Path
    starter: tuple[str, ...] = ("-m", "safety.start")
    interlock: subprocess.Popen[bytes] | None = None
    ready: dict[str, object] = field(default_factory=dict)
    start_s: float = 0.0
    controllers: list[Controller] = field(default_factory=list)
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    # the interlock

    @property
    def state(self) -> Path:
        """Where this rig's stores lie."""
        return Path(self.world.environment["NOCILOOP_STATE_DIR"])

    def start(
        self, *more: str, limits: Path | None = None, pass_fds: tuple[int, ...] = ()
    ) -> dict[str, object]:
        """Start the interlock; its first line, be it ready or refused."""
        if self.interlock is not None and self.interlock.stdout is not None:
            self.interlock.stdout.close()  # of the session before
        begun_s = time.monotonic()
        session = [
            "--run-dir",
            str(self.run_dir),
            "--session-id",
            SESSION_ID,
            "--session-digest",
            SESSION_DIGEST,
        ]
        with (self.folder / "interlock.err").open("ab") as errors:
            self.interlock = subprocess.Popen(
                [sys.executable, *self.starter, "--limits", str(limits or self.limits), *session, *more],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=self.world.environment, cwd=ROOT,
                start_new_session=True, pass_fds=pass_fds,
            )  # fmt: skip
        self.ready = _ready(self.interlock)
        self.start_s = time.monotonic() - begun_s
        return self.ready

    @property
    def pid(self) -> int:
        assert self.interlock is not None
        return self.interlock.pid

    @property
    def host(self) -> int:
        return int(str(self.ready["host"]))

    @property
    def directory(self) -> Path:
        return self.folder / "rt" / "demo"

    @property
    def stop_sock(self) -> Path:
        return self.directory / "stop.sock"

    def status(self) -> StatusReport:
        line = ActsLine(self.directory / "acts.sock")
        try:
            return line.status()
        finally:
            line.close()

    def act(self, kind: Literal["arm", "reset"], valid_s: float = 600.0) -> ActResult:
        """The operator's signed act."""
        line = ActsLine(self.directory / "acts.sock")
        try:
            return line.act(kind, OPERATOR, operators_key(), "a test", valid_s)
        finally:
            line.close()

    def end(self) -> int:
        """Tell the interlock to end by SIGTERM; its exit status."""
        assert self.interlock is not None
        self.interlock.send_signal(signal.SIGTERM)
        return self.interlock.wait(WAIT_S)

    def forget_latch(self) -> None:
        """As if nothing had ever tripped here."""
        shutil.rmtree(self.folder / "state" / "rigs", ignore_errors=True)

    def next_session(self) -> None:
        """End this session, and start another on the same world, in a run folder of its own."""
        self.ended_in_order()
        self.forget_latch()
        fresh_participant(self.state, self.limits)
        while self.controllers:
            self.controllers.pop().close()
        self.run_dir = self.run_dir.with_name(f"{self.run_dir.name}+")
        self.run_dir.mkdir()
        assert "ready" in self.start(), self.ready

    # the session

    def controller(self) -> Controller:
        """A controller in a thread; ready to be armed."""
        controller = self.controller_unready()
        self.until_ready()
        return controller

    def controller_unready(self) -> Controller:
        """A controller in a thread."""
        controller = Controller(self.directory / "controller.sock", self.modality)
        self.controllers.append(controller)
        return controller

    def controller_process(self) -> subprocess.Popen[bytes]:
        """A controller that is a process, so that the kernel closes its socket; it keeps the output on."""
        child = _spawn(
            "tests.system.played_controller",
            [str(self.directory / "controller.sock"), self.modality],
            self.world.environment,
        )
        self.children.append(child)
        self.until_ready()
        return child

    def until_ready(self) -> None:
        until(lambda: self.status().phase == "READY", "READY")

    def arm(self) -> None:
        """Armed by the operator; refused again only until the first evidence has come."""
        results: list[ActResult] = []

        def settled() -> bool:
            results.append(self.act("arm"))
            return results[-1].code != "ILK-306"

        until(settled, "evidence")
        assert results[-1].ok, results[-1]

    def running(self) -> Controller:
        """Armed, and the output on: a hold that is renewed, or a train."""
        controller = self.controller()
        self.arm()
        controller.keep(output_of(self.modality))
        controller.wait(lambda said: isinstance(said, Permit))
        self.until_output()
        return controller

    # what came out

    def until_output(self) -> None:
        """Wait until the device's record shows output."""
        until(self._puts_out, "output")

    def _puts_out(self) -> bool:
        record = self.world.record()
        return bool(record.pulses) or any(entry.a_ma_pp > 0 for entry in record.breaks)

    def zero_ms(self, since_ns: int, bound_ms: float) -> float:
        """Milliseconds to zero output. Waits until the device has disarmed, or for well more than the bound."""
        end_ns = since_ns + round((bound_ms + 250) * 1e6)
        until(lambda: time.monotonic_ns() > end_ns or self._disarmed(since_ns), "the bound to pass")
        return self.judged_ms(since_ns, bound_ms)

    def judged_ms(self, since_ns: int, bound_ms: float) -> float:
        """Milliseconds to zero output by the record as it is; more than the bound, or no zero at all, fails."""
        record = self.world.record()
        zero_ns = zero_since(record, since_ns)
        assert zero_ns is not None, f"output never ended: {record.breaks[-4:]} {record.entries[-8:]}"
        took_ms = (zero_ns - since_ns) / 1e6
        assert took_ms <= bound_ms, f"{took_ms:.1f} ms, promised {bound_ms}: {record.entries[-8:]}"
        return took_ms

    def _disarmed(self, since_ns: int) -> bool:
        states = [entry for entry in self.world.record().entries if isinstance(entry, State)]
        return states[-1].t_ns >= since_ns and states[-1].state in ("idle", "fault", "off")

    def heard(self, word: str, since_ns: int) -> float:
        """Milliseconds until the device has read a command of this word; waits for it."""
        until(lambda: self._commands(word, since_ns), f"{word} at the device")
        return (self._commands(word, since_ns)[0] - since_ns) / 1e6

    def _commands(self, word: str, since_ns: int) -> list[int]:
        lines = [entry for entry in self.world.record().entries if isinstance(entry, Rx)]
        return [entry.t_ns for entry in lines if entry.t_ns >= since_ns and word in entry.line]

    def highest(self) -> float:
        """The highest amplitude that ever came out, mA peak to peak or % MSO."""
        record = self.world.record()
        levels = [entry.a_ma_pp for entry in record.breaks] + [entry.p_pct for entry in record.pulses]
        return max(levels, default=0.0)

    # the ledger

    @property
    def ledger(self) -> Path:
        return self.run_dir / "ledger.jsonl"

    def entries(self) -> list[Entry]:
        """The ledger's entries as far as they are written."""
        lines, _, problems = read(self.ledger) if self.ledger.stat().st_size else ([], False, [])
        assert not problems
        return [line.held for line in lines if isinstance(line.held, Entry)]

    def said(self) -> str:
        """Every event and effect in the ledger, as text."""
        return self.ledger.read_text(encoding="utf-8")

    def trip(self) -> str:
        """The code of the trip that the ledger leads to, by re-execution; empty before one."""
        lines, _, problems = read(self.ledger)
        first = lines[0].held
        assert isinstance(first, Genesis) and not problems
        codes = [state.trip for _, state, _ in replayed(first.rules, first.state, lines[1:])]
        return next((code for code in codes if code), "")

    def until_tripped(self, *codes: str) -> str:
        """Wait for a trip; one of `codes`, where any are given."""
        until(self.trip, "a trip")
        assert not codes or self.trip() in codes, f"{self.trip()}, expected {codes}"
        return self.trip()

    def verdict(self) -> Verdict:
        return verify(self.ledger, software())

    def ended_in_order(self, *, device_strayed: bool = False) -> int:
        """End the interlock if it still runs; the ledger must be closed and re-execute the same. Where the device did
        what nobody permitted, the second hand says so of the device, and objects to no permit."""
        assert self.interlock is not None
        status = self.end() if self.interlock.poll() is None else self.interlock.returncode
        verdict = self.verdict()
        assert verdict.chain and verdict.execution == "same" and not verdict.problems, verdict
        assert verdict.closed and not verdict.torn and verdict.ok, verdict
        assert bool(verdict.strays) == device_strayed, verdict.strays
        assert "Traceback" not in self.errors(), self.errors()
        return status

    def errors(self) -> str:
        """What interlock and device host wrote to their standard error."""
        return (self.folder / "interlock.err").read_text(errors="replace")

    def nobody_left(self) -> None:
        """No process but device and relay is left within the deadline."""
        kept = {self.world.device.pid, self.world.relay.pid if self.world.relay is not None else 0}
        kept |= {child.pid for child in self.children if child.poll() is None}
        until(lambda: not set(processes_of(self.folder)) - kept, "no process left over")


@contextmanager
def interlock_rig(
    modality: Modality = "tacs",
    *,
    faults: tuple[str, ...] = (),
    relay_fault: str | None = None,
    serial: str = "SIM-0001",
    edits: Mapping[str, str] | None = None,
    run_dir: Path | None = None,
    start: bool = True,
) -> Iterator[Rig]:
    """A rig whose interlock runs (unless told otherwise), for the length of a test."""
    folder = Path(tempfile.mkdtemp(prefix="ilk-"))
    environment = os.environ | {
        "NOCILOOP_RUNTIME_DIR": str(folder / "rt"),
        "NOCILOOP_RUNTIME_ALONE": "1",
        "NOCILOOP_STATE_DIR": str(folder / "state"),
    }
    run = run_dir or folder / "run"
    run.mkdir(exist_ok=True)
    world: World | None = None
    rig: Rig | None = None
    try:
        world = _world(folder, environment, faults, relay_fault, serial)
        known = {
            "tcp:127.0.0.1:4000": world.endpoint,
            "/run/nociloop/demo/relay.sock": str(folder / "relay"),
        }
        limits = folder / "limits.toml"
        limits.write_text(limits_text(modality, known | dict(edits or {})), encoding="utf-8")
        rig = Rig(folder, modality, world, limits, run)
        fresh_participant(rig.state, limits)
        if start:
            assert "ready" in rig.start(), rig.ready
        yield rig
    finally:
        _end_all(folder, world, rig)


def _end_all(folder: Path, world: World | None, rig: Rig | None) -> None:
    """Kill and reap everything that this rig started, stopped processes too."""
    for controller in rig.controllers if rig is not None else ():
        controller.close()
    own = [] if rig is None else [*rig.children, *([rig.interlock] if rig.interlock is not None else [])]
    own += [] if world is None else [world.device, *([world.relay] if world.relay is not None else [])]
    for process in own:
        if process.poll() is None:
            process.kill()
    for pid in processes_of(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended between the two
    for process in own:
        process.wait(WAIT_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
    until(lambda: not processes_of(folder), "every process of the rig to end")
    shutil.rmtree(folder, ignore_errors=True)
