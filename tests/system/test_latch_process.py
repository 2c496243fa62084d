"""The latch over real processes: killed while armed, tripped, ended in order; reset as a person types it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

from safety.acting import NoAnswer
from safety.latch import LatchFile
from sim.record import Rx
from tests.system.interlock_rig import OPERATOR, ROOT, Rig, interlock_rig, together, until
from tests.system.session_rig import rig

COMMAND = str(Path(sys.executable).with_name("nociloop"))


def again(rig: Rig, session_id: str = "") -> dict[str, object]:
    """Another interlock on the same world, in a run folder of its own."""
    while rig.controllers:
        rig.controllers.pop().close()
    rig.run_dir = rig.run_dir.with_name(f"{rig.run_dir.name}+")
    rig.run_dir.mkdir()
    return rig.start(*(("--session-id", session_id) if session_id else ()))


def kept(rig: Rig) -> str:
    return LatchFile(rig.folder / "state" / "rigs", "demo").read().mark


def typed_reset(rig: Rig) -> subprocess.CompletedProcess[str]:
    phrase = rig.folder / "phrase"
    phrase.touch(mode=0o600)
    phrase.write_text("a pass-phrase of the tests\n", encoding="utf-8")
    words = ["reset", "--limits", str(rig.limits), "--person", OPERATOR, "--reason", "looked at it"]
    return subprocess.run(
        [COMMAND, *words, "--passphrase-file", str(phrase)],
        capture_output=True, text=True, env=dict(rig.world.environment), cwd=ROOT, timeout=30, check=False,
    )  # fmt: skip


def test_killed_while_armed_it_starts_tripped_until_a_reset() -> None:
    with interlock_rig() as rig:
        rig.running()
        assert kept(rig) == "armed"
        assert rig.interlock is not None
        rig.interlock.send_signal(signal.SIGKILL)
        rig.interlock.wait(6)
        line = str(again(rig)["latched"])
        assert "ILK-004" in line and "nociloop reset" in line and "\n" not in line
        status = rig.status()
        assert (status.phase, status.code) == ("TRIPPED", "ILK-004")
        assert not rig.act("arm").ok
        done = typed_reset(rig)  # through the interlock that runs
        assert (done.returncode, done.stderr) == (0, ""), done
        assert "SAFE" in done.stdout
        assert rig.interlock.wait(6) == 4
        verdict = rig.verdict()
        assert verdict.ok and verdict.closed, verdict
        assert kept(rig) == "reset"
        refused = again(rig)  # the same session id once more
        assert "expected a new one" in str(refused["refused"])
        assert rig.interlock.wait(6) == 3
        assert again(rig, "s-new")["latched"] == ""


def tripped_then_reset_without_a_session() -> None:
    with interlock_rig() as rig:
        rig.controller()
        rig.arm()
        rig.controllers.pop().close()
        rig.until_tripped("ILK-202")
        assert rig.end() == 4
        assert kept(rig) == "tripped"
        done = typed_reset(rig)
        assert (done.returncode, done.stderr) == (0, ""), done
        ledgers = list((rig.folder / "state" / "rigs").glob("resets-of-demo/*/ledger.jsonl"))
        assert len(ledgers) == 1
        assert "looked at it" in ledgers[0].read_text(encoding="utf-8")
        assert kept(rig) == "reset"
        nothing = typed_reset(rig)
        assert nothing.returncode == 2
        assert "nothing to reset" in nothing.stderr and "Traceback" not in nothing.stderr
        rig.nobody_left()


def ended_in_order_starts_safe() -> None:
    with interlock_rig() as rig:
        controller = rig.controller()
        rig.arm()
        assert kept(rig) == "armed"
        controller.end()
        assert rig.interlock is not None
        assert rig.interlock.wait(6) == 0
        assert kept(rig) == "clear"
        assert again(rig)["latched"] == ""


def test_a_trip_is_reset_without_a_session_and_an_orderly_end_leaves_nothing() -> None:
    together(tripped_then_reset_without_a_session, ended_in_order_starts_safe)


def killed_while_arming(after_ms: float, seen: list[bool]) -> None:
    """Wherever the kill falls: a device that was told to arm is one that the next start knows of."""
    with interlock_rig() as rig:
        rig.controller()
        until(lambda: rig.status().missing == () and rig.act("reset").code == "ILK-334", "readiness")
        since_ns = time.monotonic_ns()
        arming = threading.Thread(target=lambda: _ignored(rig), daemon=True)
        arming.start()
        time.sleep(after_ms / 1000)
        assert rig.interlock is not None
        rig.interlock.kill()
        rig.interlock.wait(6)
        arming.join(8)
        energised = any(
            isinstance(entry, Rx) and entry.t_ns >= since_ns and " ARM" in entry.line
            for entry in rig.world.record().entries
        )
        mark = kept(rig)
        assert mark in (("armed",) if energised else ("armed", "clear")), (after_ms, energised, mark)
        assert bool(again(rig)["latched"]) is (mark == "armed")
        seen.append(energised)


def _ignored(rig: Rig) -> None:
    """The act of a person whose interlock dies meanwhile."""
    try:
        rig.act("arm")
    except NoAnswer:
        return


def test_killed_anywhere_in_arming_a_device_that_was_armed_is_never_forgotten() -> None:
    seen: list[bool] = []
    together(*(partial(killed_while_arming, after_ms, seen) for after_ms in (2, 15, 150)))
    together(*(partial(killed_while_arming, after_ms, seen) for after_ms in (40, 80, 1_500)))
    assert any(seen), "no device was ever told to arm: nothing was tried"


def test_an_interrupt_before_arming_trips_nothing(tmp_path: Path) -> None:
    """Ctrl-C while the stream is looked for: nobody has to reset what was never armed."""
    with rig(tmp_path) as made:
        made.world(patient=False)
        made.files()
        session = made.run()
        acts = made.sockets / "rigs" / made.name / "acts.sock"
        session.until(acts.exists, "the interlock")
        session.signal_group(signal.SIGINT)
        assert session.wait() == 130, session.said
        assert "ended before it was armed" in session.said
        assert "TRIPPED" not in session.said and "Traceback" not in session.said
        assert LatchFile(made.state / "rigs", made.name).read().mark == "clear"
        assert not made.session_processes()
