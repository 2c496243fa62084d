"""Bad input at the command line: a line for each mistake, the right exit status, no traceback, nothing half-started."""

from __future__ import annotations

import itertools
import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bounded import Side
from tests.system.session_rig import COMMAND, EAGER_TACS, Rig, ledger_is_sound, permits, rig

pytestmark = pytest.mark.system

AT_ONCE = 3
FSIZE = 300_000  # bytes that any file of a session may have, where the disk is "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came of one call."""

    rig: Rig
    status: int
    out: str
    err: str

    def lines(self) -> list[str]:
        return self.err.splitlines()


Call = Callable[[Rig], Said]


def of(made: Rig, done: subprocess.CompletedProcess[str]) -> Said:
    return Said(rig=made, status=done.returncode, out=done.stdout, err=done.stderr)


def run(made: Rig, *more: str) -> Said:
    arguments = ("--limits", "limits.toml", "--passphrase-file", "passphrase", "--out", str(made.runs))
    return of(made, made.call("run", "session.toml", *arguments, *more))


def with_files(
    session: Mapping[str, str] | None = None, limits: Mapping[str, str] | None = None, *more: str
) -> Call:
    """`run` on the demonstration's files, changed."""

    def call(made: Rig) -> Said:
        made.files(session, limits)
        return run(made, *more)

    return call


def call(*arguments: str) -> Call:
    """The command with these arguments, in a folder that has good files."""

    def plainly(made: Rig) -> Said:
        made.files()
        return of(made, made.call(*arguments))

    return plainly


def written(name: str, content: bytes | None) -> Call:
    """`run` where one of the files holds this; None: is not there."""

    def wrong(made: Rig) -> Said:
        made.files()
        (made.folder / name).unlink()
        if content is not None:
            (made.folder / name).write_bytes(content)
        return run(made)

    return wrong


def a_folder_for_a_file(made: Rig) -> Said:
    made.files()
    for name in ("session.toml", "limits.toml"):
        (made.folder / name).unlink()
        (made.folder / name).mkdir()
    return run(made)


def another_modality(made: Rig) -> Said:
    other = Rig(made.folder, "rtms")
    other.files()
    (made.folder / "limits.toml").rename(made.folder / "rtms.toml")
    made.files()
    (made.folder / "rtms.toml").replace(made.folder / "limits.toml")
    return run(made)


def a_file_in_the_way(made: Rig) -> Said:
    made.files()
    return run(made, "--out", str(made.folder / "session.toml" / "runs"))


def no_right_to_write(made: Rig) -> Said:
    made.files()
    return run(made, "--out", "/proc/runs")


def another_pass_phrase(made: Rig) -> Said:
    made.files()
    made.passphrase.write_text("not the one that was agreed upon")
    return run(made)


def on_device(change: Callable[[Rig], Mapping[str, str]], taken: bool = False) -> Call:
    """`run` with a world around it, on a device that is not as the limits say."""

    def call(made: Rig) -> Said:
        made.world(patient=False)
        made.files(None, change(made))
        if not taken:
            return run(made)
        _, host, port = made.endpoint.split(":")
        with socket.create_connection((host, int(port)), 5.0):
            return run(made)

    return call


def a_rig_in_use(made: Rig) -> Said:
    """A second session on a rig: refused, and the first goes on."""
    made.world()
    made.files({**EAGER_TACS, "duration_s = 30.0": "duration_s = 6.0"})
    first = made.run()
    first.until(lambda: first.phase() == "ARMED", "armed")
    second = run(made, "--out", str(made.folder / "second"))
    assert first.wait() == 0, first.said
    ledger_is_sound(first.run_dir)
    return second


SESSION_MISTAKES = {
    "duration_s = 30.0": 'duration_s = "long"',
    "longest_s = 4.0": "longest_s = -4.0",
    "hop_ms = 100": "hop_ms = 100\nhops = 3",
    'kind = "dual_threshold"': 'kind = "dual_treshold"',
    "frequency_hz = 10.0": "frequency_hz = nan",
}
LIMITS_MISTAKES = {
    'unit = "mA/s peak-to-peak"': 'unit = "A/s"',
    "heartbeat_ms = 100\n": "",
    "valid_until = ": "valid_util = ",
    "max = 15.0": "max = 1500.0",
}
# Name: the call, its status, and for each line on standard error what it must have, split at |.
CASES: dict[str, tuple[Call, int, tuple[str, ...]]] = {
    "not toml": (written("session.toml", b"[session\n"), 2, ("session.toml | line 1",)),
    "no text": (written("limits.toml", b"\xff\xfe\x00"), 2, ("limits.toml | UTF-8",)),
    "too long": (written("limits.toml", b"#" * 2_000_000), 2, ("limits.toml | bytes",)),
    "no session": (written("session.toml", None), 2, ("session.toml | No such file",)),
    "no limits": (written("limits.toml", None), 2, ("limits.toml | No such file | responsible person",)),
    "folders": (a_folder_for_a_file, 2, ("session.toml | directory", "limits.toml | directory")),
    "modality": (another_modality, 2, ("train.modality | found tacs | expected rtms",)),
    "pass-phrase": (another_pass_phrase, 2, ("pass-phrase of demo | does not fit the key",)),
    "no pass-phrase": (
        with_files(None, None, "--passphrase-file", "nowhere"),
        2,
        ("pass-phrase of demo | nowhere",),
    ),
    "nobody": (
        with_files(None, None, "--person", "mallory"),
        2,
        ("--person | mallory | expected one of demo",),
    ),
    "file in the way": (a_file_in_the_way, 3, ("session.toml | --out",)),
    "no right": (no_right_to_write, 3, ("/proc/runs | --out",)),
    "no relay": (with_files(), 3, ("relay at unix: | start it, or correct [relay]",)),
    "closed port": (
        on_device(lambda made: {made.endpoint: "tcp:127.0.0.1:9"}),
        3,
        ("not armed: ILK-402 | tcp:127.0.0.1:9 | check [device] in limits.toml",),
    ),
    "device in use": (
        on_device(lambda _: {}, taken=True),
        3,
        ("not armed: ILK-402 | lost: open_device tcp:",),
    ),
    "another device": (
        on_device(lambda _: {'identity = "SIM-0001"': 'identity = "SIM-0002"'}),
        3,
        ("not armed: ILK-402 | identity SIM-0001, expected SIM-0002",),
    ),
    "no such driver": (
        on_device(lambda _: {'driver = "open_device"': 'driver = "opendevice"'}),
        3,
        ("not armed: ILK-402 | 'opendevice' is not installed | null, open_device",),
    ),
    "rig in use": (a_rig_in_use, 3, ("is in use by another session | nociloop stop",)),
    "verb": (call("runn"), 2, ('found "runn" | did you mean "run"?',)),
    "no verb": (call("stimulate-at-once"), 2, ('found "stimulate-at-once" | --help',)),
    "option": (call("run", "session.toml", "--limit", "limits.toml"), 2, ("run | --limit",)),
    "no argument": (call("run"), 2, ("run | SESSION.toml",)),
    "short demo": (call("demo", "--duration", "1"), 2, ("--duration",)),
    "strange demo": (call("demo", "--modality", "ect"), 2, ("--modality | tacs",)),
    "nothing to arm": (
        call("arm", "--limits", "limits.toml", "--person", "demo", "--passphrase-file", "passphrase"),
        2,
        ("no session runs | nociloop run",),
    ),
    "stop with a word": (call("stop", "now"), 2, ("found now | expected nothing or --json",)),
    "no ledger": (call("ledger", "verify", "nowhere"), 2, ("nowhere | No such file",)),
    "no ledger either": (call("ledger", "show", "session.toml"), 2, ("session.toml | no line",)),
    "no such kind": (
        call("ledger", "show", "session.toml", "--kind", "stopp"),
        2,
        ("--kind | expected one of",),
    ),
    "no head": (call("ledger", "verify", "session.toml", "--anchor", "abc"), 2, ("--anchor | 64 hex",)),
    "report of nothing": (call("report", "nowhere"), 2, ("nowhere",)),
}


def called(folder: Path, case: Call) -> Said:
    with rig(folder) as made:
        return case(made)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Said]]]:
    """Every case, a few side by side."""
    with Side(AT_ONCE) as pool:
        yield {
            name: pool.submit(called, tmp_path_factory.mktemp("bad"), case)
            for name, (case, _, _) in CASES.items()
        }


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_a_line_that_says_what_to_do(said: dict[str, Future[Said]], name: str) -> None:
    found, (_, status, lines) = said[name].result(), CASES[name]
    assert found.status == status, (found.out, found.err)
    assert "Traceback" not in found.err
    for line, parts in itertools.zip_longest(found.lines(), lines, fillvalue="-"):
        assert line.startswith("nociloop") and all(part in line for part in parts.split(" | ")), found.err
    if status == 2:
        assert not found.rig.runs.exists()


def test_every_mistake_of_both_files_is_told_at_once(tmp_path: Path) -> None:
    with rig(tmp_path) as made:
        found = with_files(SESSION_MISTAKES, LIMITS_MISTAKES)(made)
        told = of(made, made.call("check", "session.toml", "--limits", "limits.toml"))
        as_json = made.call("check", "session.toml", "--limits", "limits.toml", "--json")
    keys = (
        "session.duration_s", "window.longest_s", "window.hops", "policy.kind", "train.frequency_hz",
        "slew_ma_per_s", "heartbeat_ms", "valid_util", "valid_until", "impedance_kohm",
    )  # fmt: skip
    assert found.status == 2
    for key in keys:
        (line,) = [
            line
            for line in found.lines()
            if re.search(rf"\b{re.escape(key)}\b(?! =)", line.partition(";")[0])
        ][:1]
        assert line.startswith("nociloop: "), line
    assert len(found.lines()) == len(set(found.lines())) <= len(keys) + 1
    assert not made.runs.exists() and not (made.sockets / "rigs").exists()
    assert (told.status, told.lines()) == (2, found.lines())
    assert as_json.returncode == 2 and as_json.stderr == ""
    assert [f"nociloop: {line}" for line in json.loads(as_json.stdout)["errors"]] == found.lines()


def test_a_full_disk_is_told_while_the_session_goes_on(tmp_path: Path) -> None:
    """No file may grow beyond some size: the raw EEG meets that first, the ledger does not."""
    with rig(tmp_path) as made:
        made.world()
        made.files({**EAGER_TACS, "duration_s = 30.0": "duration_s = 6.0"})
        session = made.run(program=("prlimit", f"--fsize={FSIZE}", COMMAND))
        status = session.wait()
        assert status == 0, session.said
        told = [line for line in session.said.splitlines() if "eeg.xdf" in line]
        assert "File too large" in told[0] and "the session goes on without it" in told[0]
        assert told[0].index("failed") < told[0].index("recorder:")
        assert session.said.index(told[0]) < session.said.index("end   duration")
        ledger_is_sound(session.run_dir)
        assert len(permits(session.run_dir)) > len(session.table("requests.csv"))
        summary = session.summary()
        assert isinstance(summary["asked"], dict) and summary["asked"]["permitted"] == len(
            permits(session.run_dir)
        )
        assert any("recorder" in note for note in summary["notes"])  # type: ignore[attr-defined]
