"""doctor on a machine that is well, and on ones that are not."""

from __future__ import annotations

import json
import os
import resource
import socket
import time
from pathlib import Path

import msgspec
import pytest
import typer
import typer.testing

from controller import doctor, doctor_verb
from controller.doctor import Finding, examine, satisfies
from safety.latch import LatchFile, clear
from safety.signature import fingerprint
from safety.site import state_folder
from safety.trust import Store


def test_this_machine_is_examined_in_time_and_each_trouble_has_its_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(tmp_path / "rig"))
    begin = time.monotonic()
    findings = examine(tmp_path / "not" / "yet" / "there")
    assert time.monotonic() - begin < 8.0  # 2 s on a quiet machine; asked for: 4
    by_name = {finding.name: finding for finding in findings}
    assert len(by_name) == len(findings) == 17
    for name in ("python", "liblsl", "LSL loopback", "signatures", "sockets"):
        assert by_name[name].verdict == "pass", by_name[name]
    assert all(finding.fix for finding in findings if finding.verdict != "pass")
    assert not list((tmp_path / "rig").iterdir())


def test_a_check_that_breaks_is_a_finding() -> None:
    def broken_check() -> Finding:
        raise OSError(5, "I/O\nerror")

    found = doctor._safely(broken_check)
    assert (found.name, found.verdict) == ("broken check", "fail")
    assert "\n" not in found.found


def test_sockets_need_a_folder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_to_all = tmp_path / "shared"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(open_to_all))
    assert doctor.sockets().verdict == "fail"
    monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(tmp_path / ("x" * 120)))
    assert doctor.sockets().verdict == "fail"  # a socket's path has 107 bytes at most


def test_a_rig_that_was_left_tripped_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(tmp_path / "run"))
    assert doctor.rigs() == Finding(name="rigs", verdict="pass", found="0 known, none left tripped")
    file = LatchFile(state_folder("rigs"), "rig-1")
    assert doctor.rigs().found == "1 known, none left tripped"
    file.put(msgspec.structs.replace(clear("rig-1"), mark="armed", session_id="s-1"))
    found = doctor.rigs()
    assert found.verdict == "warn"
    assert found.found.startswith("rig rig-1 is TRIPPED: ILK-004")
    assert "nociloop reset" in found.fix
    (tmp_path / "run" / "rig-1").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as door:  # a session runs: that it is armed is no remainder
        door.bind(str(tmp_path / "run" / "rig-1" / "acts.sock"))
        door.listen()
        assert doctor.rigs().verdict == "pass"
    file.path.write_bytes(b"{")  # torn
    assert doctor.rigs().verdict == "warn" and "cannot be understood" in doctor.rigs().found
    file.close()


def test_the_trust_store_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = tmp_path / "trust"
    monkeypatch.setenv("NOCILOOP_TRUST_DIR", str(where))
    assert doctor.trust_store().verdict == "warn" and "keygen" in doctor.trust_store().fix
    where.mkdir(mode=0o755)
    assert doctor.trust_store().verdict == "pass" and "no key in it" in doctor.trust_store().found
    (where / "ann.pub").write_text(
        f"nociloop-key 1 ed25519 {'7' * 64} scrypt {'0' * 32} any-endpoint\n", encoding="ascii"
    )
    assert doctor.trust_store().found == f"{where}: ann {fingerprint('7' * 64)}"
    monkeypatch.setattr("safety.trust.store", lambda: Store(path=where, simulated_only=True))
    assert doctor.trust_store().found.endswith("; simulated endpoints only, for the site has another")
    where.chmod(0o777)
    assert doctor.trust_store().verdict == "fail"


@pytest.mark.parametrize(
    ("late_ms", "verdict"), [(0.1, "pass"), (5.0, "pass"), (5.1, "warn"), (50.0, "warn"), (51.0, "fail")]
)
def test_the_timer_is_judged_by_its_lateness(
    monkeypatch: pytest.MonkeyPatch, late_ms: float, verdict: str
) -> None:
    monkeypatch.setattr(doctor, "wake_lateness_ns", lambda n: [round(late_ms * 1e6)] * n)
    assert doctor.timer().verdict == verdict


@pytest.mark.parametrize(("free", "verdict"), [(6e9, "pass"), (4e9, "warn"), (1e8, "fail")])
def test_disk_space(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: float, verdict: str) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": free}))
    assert doctor.disk_space(tmp_path).verdict == verdict


def test_limits_of_an_account_that_is_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("resource.getrlimit", lambda _: (0, 0))
    assert doctor.locked_memory().verdict == "warn"
    monkeypatch.setattr("resource.getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert doctor.locked_memory().verdict == "pass"


def test_a_machine_without_a_broker_is_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert doctor.mosquitto().verdict == "warn"


@pytest.mark.parametrize(
    ("version", "bounds", "answer"),
    [
        ("1.26.0", ">=1.26,<3", True),
        ("1.25.9", ">=1.26,<3", False),
        ("2.4.6", ">=1.26,<3", True),
        ("3.0", ">=1.26,<3", False),
        ("3.0.0b1", "<3", False),
        ("42", ">=42", True),
        ("41.9", ">=42", False),
        ("1.18.6", "", True),
        ("1.10.0", ">=1.9", True),
    ],
)
def test_versions_are_compared_by_number(version: str, bounds: str, answer: bool) -> None:
    assert satisfies(version, bounds) is answer


@pytest.mark.parametrize(("verdict", "status"), [("pass", 0), ("warn", 0), ("fail", 1)])
def test_exit_status_says_whether_something_fails(
    monkeypatch: pytest.MonkeyPatch, verdict: doctor.Verdict, status: int
) -> None:
    finding = Finding(name="x [bold]", verdict=verdict, found="[red]found", fix="fix it")
    monkeypatch.setattr(doctor, "examine", lambda out, limits: (finding,))
    app = typer.Typer()
    app.command()(doctor_verb.doctor_verb)
    run = typer.testing.CliRunner()
    told = run.invoke(app, ["--json"])
    assert told.exit_code == status
    assert json.loads(told.output) == {
        "ok": status == 0,
        "findings": [{"name": "x [bold]", "verdict": verdict, "found": "[red]found", "fix": "fix it"}],
    }
    shown = run.invoke(app, []).output
    assert verdict.upper() in shown
    assert "[red]found" in shown


def test_whether_the_interlock_has_an_account_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rigs = tmp_path / "rigs"
    (rigs / "demo").mkdir(parents=True)
    monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(rigs))
    monkeypatch.setattr("safety.rig.SITE_DIRECTORY", tmp_path / "nowhere")
    found = doctor.account()
    assert (found.verdict, found.found.startswith("same user (")) == ("warn", True)
    assert "docs/deploy" in found.fix
    (rigs / "demo" / "stop.sock").touch()
    assert doctor.account().verdict == "warn"  # a rig of our own
    me = os.getuid()
    monkeypatch.setattr("os.getuid", lambda: 64_323)
    found = doctor.account()
    assert (found.verdict, found.fix) == ("pass", "")
    assert found.found == f"own user: demo by {doctor._account(me)}; you are account 64323"
    (rigs / "demo" / "stop.sock").unlink()
    monkeypatch.setattr("safety.rig.SITE_DIRECTORY", rigs)
    assert doctor.account().found.startswith(f"own user: {rigs} belongs to ")
