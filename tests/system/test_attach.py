"""A session by an interlock that was started by itself, as the unit file starts it: two commands, one session."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from sim.demo import PERSON
from tests.system.session_rig import COMMAND, EAGER_TACS, Rig, ledger_is_sound, rig

pytestmark = pytest.mark.system

WAITING = "a-session-that-waits"


def interlock(made: Rig, limits: Path) -> Path:
    """Start the interlock alone; its run folder. Its session's digest is the one that `check --json` tells."""
    said = made.call("check", str(made.folder / "session.toml"), "--limits", str(limits), "--json")
    folder = made.folder / "kept"
    folder.mkdir()
    digest = str(json.loads(said.stdout)["session_digest"])
    ready = made.helper(
        "interlock",
        [COMMAND, "interlock", "--limits", str(limits), "--run-dir", str(folder), "--session-id", WAITING,
         "--session-digest", digest],
    )  # fmt: skip
    assert "ready" in ready, ready
    return folder


def test_run_attaches_to_an_interlock_that_waits(tmp_path: Path) -> None:
    with rig(tmp_path) as made:
        made.world()
        _, limits = made.files(session={**EAGER_TACS, "duration_s = 30.0": "duration_s = 6.0"})
        kept = interlock(made, limits)
        session = made.run("--attach")
        assert session.wait() == 0, session.said
        assert made.parts["interlock"].wait(6.0) == 0
        ledger_is_sound(kept)
        assert '"permit 1 until ' in (kept / "ledger.jsonl").read_text(encoding="utf-8")
        assert not (session.run_dir / "ledger.jsonl").exists()  # it stays with the interlock
        assert WAITING in (kept / "ledger.jsonl").read_text(encoding="utf-8")
        assert "the ledger stays with the interlock" in session.said


def test_ctrl_c_stops_an_interlock_of_another(tmp_path: Path) -> None:
    with rig(tmp_path) as made:
        made.world()
        _, limits = made.files(session=EAGER_TACS)
        kept = interlock(made, limits)
        session = made.run("--attach")
        session.until(lambda: made.output() > 0, "output")
        session.signal_group(signal.SIGINT)
        assert session.wait() == 130, session.said
        assert "STOP confirmed, ledger entry" in session.said
        assert made.output() == 0.0
        # Tripped, it waits for a person: nobody of the lab ends it by ending their own command.
        assert made.parts["interlock"].poll() is None
        done = made.call(
            "reset", "--limits", str(limits), "--person", PERSON, "--reason", "it was I",
            "--passphrase-file", str(made.passphrase),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert made.parts["interlock"].wait(8.0) == 4
        ledger_is_sound(kept)


def test_where_none_waits_it_is_a_line(tmp_path: Path) -> None:
    with rig(tmp_path) as made:
        made.files()
        session = made.run("--attach")
        assert session.wait() == 3
        assert session.said == (
            f"nociloop: rig {made.name}: no interlock answers there; start it first (docs/deploy), "
            "or leave out --attach\n"
        )
        assert not made.runs.exists()
        session = made.run("--attach", "--shadow")
        assert session.wait() == 2
        assert "start the interlock itself with --shadow" in session.said
