"""Sessions of real processes: a world that can fail, two files, the command as it is typed, and nobody left behind."""

from __future__ import annotations

import csv
import datetime
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from string import Template

from controller.manifest import check_manifest
from safety.people import make_person, table_of
from safety.software import software
from safety.verify import verify
from sim import record
from sim.demo import FILES, PERSON, SERIAL
from tests.bounded import line_of
from tests.system.fresh import OFFICER, fresh_participant

ROOT = Path(__file__).resolve().parents[2]
TAG = "NOCILOOP_TEST_RIG"
PASSPHRASE = "only for the tests, and long enough"
COMMAND = str(Path(sys.executable).with_name("nociloop"))
WAIT_S = 20.0
SESSION_S = 60.0  # bound on a whole session of a test, far above what any needs

# Ask as early and as often as can be: any theta is above these, and the shortest windows there are.
EAGER = {
    "longest_s = 4.0": "longest_s = 2.0",
    "window_s = 4.0": "window_s = 2.0",
    "half_life_s = 2.0": "half_life_s = 1.0",
}
EAGER_TACS = {
    **EAGER,
    "hi = 0.29": "hi = 0.02",
    "lo = 0.25": "lo = 0.01",
    "rate_per_s = 0.1": "rate_per_s = 0.5",
}
EAGER_RTMS = {
    **EAGER,
    "hi = 0.26": "hi = 0.02",
    "lo = 0.22": "lo = 0.01",
    "refractory_s = 4.0": "refractory_s = 0.1",
    "n_pulses = 30": "n_pulses = 10",
}

Row = dict[str, str]


def until(condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
    """Wait for what another process does, no longer than the deadline."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.005)


@functools.cache
def person() -> str:
    """The operator's table, made once: deriving a key is slow on purpose."""
    return make_person(PERSON, "operator", PASSPHRASE)


def changed(text: str, changes: Mapping[str, str]) -> str:
    """`text` with each key replaced; a change that changes nothing is a mistake of the test."""
    for old, new in changes.items():
        assert old in text, f"{old!r} is not in the file"
        text = text.replace(old, new)
    return text


class Session:
    """One `nociloop run` or `demo`: its process, what it says, and the folder that it makes."""

    def __init__(self, popen: subprocess.Popen[bytes], out: Path, runs: Path) -> None:
        self.popen = popen
        self._out = out
        self._runs = runs

    @property
    def said(self) -> str:
        """Standard output and standard error together, as a person sees them."""
        return self._out.read_text(encoding="utf-8", errors="replace")

    @property
    def run_dir(self) -> Path:
        found = sorted(self._runs.glob("*")) if self._runs.is_dir() else []
        assert len(found) == 1, (found, self.said)
        return found[0]

    def wait(self, timeout_s: float = SESSION_S) -> int:
        return self.popen.wait(timeout_s)

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
        """As `until`; a session that ended instead says why."""

        def look() -> bool:
            if condition():
                return True
            assert self.popen.poll() is None, f"ended ({self.popen.poll()}) before: {what}\n{self.said}"
            return False

        until(look, f"{what}\n", timeout_s)

    def table(self, name: str) -> list[Row]:
        """The rows of a table of the run folder; a line that is just being written is left out."""
        try:
            text = (self.run_dir / name).read_text(encoding="utf-8")
        except (FileNotFoundError, AssertionError):
            return []
        return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))

    def phase(self) -> str:
        """The phase that the interlock last told."""
        told = [row["text"] for row in self.table("events.csv") if row["kind"] == "phase"]
        return told[-1].partition(":")[0] if told else ""

    def events(self, kind: str) -> list[Row]:
        return [row for row in self.table("events.csv") if row["kind"] == kind]

    def summary(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.run_dir / "summary.json").read_text())
        return found

    def signal_group(self, number: signal.Signals) -> None:
        """To the foreground process group, as a terminal does."""
        os.killpg(self.popen.pid, number)


class Rig:
    """A folder and an environment of its own. Whatever is started here carries a tag by which it is found again."""

    def __init__(self, folder: Path, modality: str = "tacs") -> None:
        self.folder = folder
        self.modality = modality
        self.name = f"t{uuid.uuid4().hex[:8]}"
        self.sockets = Path(tempfile.mkdtemp(prefix="nl-"))  # short: a socket's path may have 107 bytes
        self.runs = folder / "runs"
        self.device_record = folder / "device.jsonl"
        self.tag = uuid.uuid4().hex
        self.env = os.environ | {
            TAG: self.tag,
            "NOCILOOP_RUNTIME_DIR": str(self.sockets / "rigs"),
            "NOCILOOP_RUNTIME_ALONE": "1",
            "NOCILOOP_STATE_DIR": str(self.sockets / "state"),
            "NO_COLOR": "1",
            "COLUMNS": "200",
        }
        self.parts: dict[str, subprocess.Popen[bytes]] = {}
        self.endpoint = "tcp:127.0.0.1:9"  # nobody listens on the discard port
        self._started = 0

    def world(self, *amplifier: str, patient: bool = True) -> None:
        """Device, relay and patient; `amplifier`: more of its options, such as faults."""
        contact = self.sockets / "contact"
        if patient:
            self.patient(*amplifier)
        ready = self.part(
            "device", "sim.devices.open_device", "--tcp", "127.0.0.1:0", "--serial", SERIAL,
            "--record", str(self.device_record), "--field", str(self.field()), "--contact", str(contact),
        )  # fmt: skip
        self.endpoint = str(ready["endpoint"])
        self.part(
            "relay", "sim.relay", "--listen", str(self.relay), "--contact", str(contact),
            "--silence-ms", "100", "--ramp-ms", "100", "--record", str(self.folder / "relay.jsonl"),
        )  # fmt: skip

    def field(self, part: str = "patient") -> Path:
        """Where a patient feels what a device puts out."""
        return self.sockets / f"{part}.field"

    def patient(self, *options: str, part: str = "patient") -> dict[str, object]:
        """A patient over LSL, under this rig's name; its ready line."""
        return self.part(
            part, "sim.amplifier", "--seed", "1", "--name", self.name, "--source-id", self.name,
            "--field", str(self.field(part)), "--truth", str(self.folder / f"{part}.jsonl"), *options,
        )  # fmt: skip

    def fault(self, *faults: str) -> None:
        """Break the patient's amplifier, from now on: `gap:0:1.5` and the like."""
        stdin = self.parts["patient"].stdin
        assert stdin is not None
        stdin.write("".join(f"fault {fault}\n" for fault in faults).encode())
        stdin.flush()

    def fault_ns(self) -> int:
        """When the first fault that was asked for began, by the patient's own record."""
        rows = map(json.loads, (self.folder / "patient.jsonl").read_text(encoding="utf-8").splitlines())
        return next(int(row["t_ns"]) for row in rows if row["e"] == "fault")

    @property
    def relay(self) -> Path:
        return self.sockets / "relay"

    def part(self, name: str, module: str, *arguments: str) -> dict[str, object]:
        """Start a simulated process; its ready line."""
        return self.helper(name, [sys.executable, "-m", module, *arguments, "--die-with-stdin"])

    def helper(
        self, name: str, command: list[str], env: Mapping[str, str] | None = None
    ) -> dict[str, object]:
        """Start any process that says a line of JSON when it is ready, and ends with its standard input."""
        popen = subprocess.Popen(
            command,
            env=env or self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.parts[name] = popen
        assert popen.stdout is not None
        ready: dict[str, object] = json.loads(line_of(popen.stdout))
        return ready

    def files(
        self, session: Mapping[str, str] | None = None, limits: Mapping[str, str] | None = None
    ) -> tuple[Path, Path]:
        """session.toml and limits.toml of today for this rig, changed; and the pass-phrase beside them."""
        values = {
            "endpoint": self.endpoint,
            "serial": SERIAL,
            "relay": str(self.relay),
            "people": f"{person()}\n{table_of(OFFICER)}",
            "today": datetime.datetime.now().astimezone().date().isoformat(),
            "rig": self.name,
            "source_id": self.name,
            "duration_s": "30.0",
            "seed": "1",
        }
        paths = []
        for kind, changes in (("session", session), ("limits", limits)):
            text = (FILES / f"{kind}-{self.modality}.toml").read_text(encoding="utf-8")
            path = self.folder / f"{kind}.toml"
            path.write_text(changed(Template(text).substitute(values), changes or {}), encoding="utf-8")
            paths.append(path)
        self.passphrase.touch(mode=0o600)
        self.passphrase.write_text(PASSPHRASE, encoding="utf-8")
        fresh_participant(self.state, paths[1])
        return paths[0], paths[1]

    @property
    def state(self) -> Path:
        return Path(self.env["NOCILOOP_STATE_DIR"])

    @property
    def passphrase(self) -> Path:
        return self.folder / "passphrase"

    def run(self, *more: str, program: tuple[str, ...] = (COMMAND,)) -> Session:
        """`nociloop run` on this rig's files, in a process group of its own."""
        return self.start(
            "run", str(self.folder / "session.toml"), "--limits", str(self.folder / "limits.toml"),
            "--out", str(self.runs), "--passphrase-file", str(self.passphrase), *more, program=program,
        )  # fmt: skip

    def start(self, *arguments: str, program: tuple[str, ...] = (COMMAND,)) -> Session:
        """The command with these arguments, in the background."""
        self._started += 1
        said = self.folder / f"said-{self._started}.txt"
        with said.open("wb") as file:
            popen = subprocess.Popen(
                [*program, *arguments],
                env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self.parts[f"command-{self._started}"] = popen
        return Session(popen, said, self.runs)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command with these arguments, to its end."""
        return command(*arguments, env=self.env, cwd=self.folder)

    def processes(self) -> dict[int, str]:
        """Whoever carries this rig's tag in the environment: process id and command line; none that has ended."""
        found: dict[int, str] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{TAG}={self.tag}\0".encode() in (folder / "environ").read_bytes() + b"\0":
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # gone meanwhile, a zombie, or another user's
        return found

    def pid_of(self, words: str) -> int:
        """The one process of this rig whose command line has these words."""
        found = [pid for pid, line in self.processes().items() if words in line]
        assert len(found) == 1, (words, self.processes())
        return found[0]

    def session_processes(self) -> dict[int, str]:
        """Processes of a session: not of the world, which stands whatever is killed."""
        ours = ("nociloop run", "nociloop demo", "controller.", "safety.", "drivers.")
        return {pid: line for pid, line in self.processes().items() if any(word in line for word in ours)}

    def truth(self) -> record.Record:
        """The device's own record."""
        return record.load(self.device_record)

    def output(self) -> float:
        """The amplitude of the device's newest breakpoint, by its own record."""
        truth = self.truth()
        return truth.breaks[-1].a_ma_pp if truth.breaks else 0.0

    def end_part(self, name: str) -> None:
        """End one part of the world in order."""
        _end(self.parts.pop(name))

    def close(self) -> dict[int, str]:
        """End the world; who is still there of all that was ever started here is killed and returned."""
        for name in list(self.parts):
            if name.startswith("command-") and self.parts[name].poll() is None:
                self.parts[name].kill()
            self.end_part(name)
        left = self.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.sockets, ignore_errors=True)
        return left


def _end(popen: subprocess.Popen[bytes]) -> None:
    for pipe in (popen.stdin, popen.stdout):
        if pipe is not None:
            pipe.close()
    try:
        popen.wait(5.0)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait(5.0)


@contextmanager
def rig(folder: Path, modality: str = "tacs") -> Iterator[Rig]:
    """A rig that is cleared away, and that fails the test which leaves a process of its session behind."""
    made = Rig(folder, modality)
    try:
        yield made
        deadline_s = time.monotonic() + 3.0
        while made.session_processes() and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert not made.session_processes(), "left behind"
    finally:
        made.close()


def command(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The command as it is typed, to its end."""
    return subprocess.run(
        [COMMAND, *arguments],
        env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SESSION_S, check=False,
    )  # fmt: skip


def run_folder_is_whole(run_dir: Path) -> None:
    """Every file that a run leaves, its MANIFEST, and a ledger that proves itself."""
    wanted = {
        "session.toml", "limits.toml", "eeg.xdf", "ledger.jsonl", "readings.csv", "requests.csv", "deliveries.csv",
        "events.csv", "summary.json", "report.html", "MANIFEST",
    }  # fmt: skip
    assert wanted <= {path.name for path in run_dir.iterdir()}
    assert check_manifest(run_dir) == ()
    ledger_is_sound(run_dir)


def ledger_is_sound(run_dir: Path, *, closed: bool = True) -> None:
    verdict = verify(run_dir / "ledger.jsonl", software())
    assert (verdict.ok, verdict.execution, verdict.closed) == (True, "same", closed), verdict.problems


def permits(run_dir: Path) -> dict[int, float]:
    """Amplitude by id of each request that was permitted, by the ledger alone, in the order of the permits."""
    permitted: dict[int, float] = {}
    asked: dict[int, float] = {}
    for line in (run_dir / "ledger.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        kind, *event = entry.get("event", [""])
        if kind == "asked":
            _, request_id, train, *_ = event[0]
            asked[request_id] = _amplitude(train)
        for effect in entry.get("effects", ()):
            if found := re.match(r"permit (\d+) ", effect):
                permitted[int(found[1])] = asked[int(found[1])]
    return permitted


def _amplitude(train: object) -> float:
    """Of a train as the ledger holds it: read here by hand, not by the code that wrote it."""
    found = re.search(r'\["(?:sine|magnetic_pulse)", ([0-9.e-]+)', json.dumps(train))
    assert found is not None, train
    return float(found[1])
