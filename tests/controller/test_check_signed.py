"""`check` and `run` on limits that are signed, unsigned, or signed wrongly: said before anything is asked for or made."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template

import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from controller.running import Signer, read_files, run_session
from controller.verbs import check, run
from safety import clocks, serials, trust
from safety.acts import public_key_hex
from safety.admission import admit, signature_path
from safety.people import table_of
from safety.signature import encoded, fingerprint, sign
from sim.demo import FILES
from tests.system.fresh import OFFICER, fresh_participant

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OPERATOR = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PRINT = fingerprint(public_key_hex(KEY))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Session and limits of today, a trust store with one officer, and nothing that was seen before."""
    monkeypatch.setenv("NOCILOOP_TRUST_DIR", str(tmp_path / "trust"))
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    salt = "0" * 32
    person = f'[people.demo]\nrole = "operator"\npublic_key = "{public_key_hex(OPERATOR)}"\nsalt = "{salt}"\n'
    values = {
        "endpoint": "tcp:127.0.0.1:9", "serial": "SIM-0001", "relay": "/tmp/relay", "people": person + table_of(OFFICER),
        "today": clocks.today(), "rig": "demo", "source_id": "x", "duration_s": "30.0", "seed": "1",
    }  # fmt: skip
    for kind in ("session", "limits"):
        text = Template((FILES / f"{kind}-tacs.toml").read_text(encoding="utf-8")).substitute(values)
        (tmp_path / f"{kind}.toml").write_text(text, encoding="utf-8")
    officer = trust.TrustedKey(
        name="officer", public_key=public_key_hex(KEY), salt=salt, simulated_only=False
    )
    trust.add(trust.store(), officer)
    fresh_participant(tmp_path / "state", tmp_path / "limits.toml")
    return tmp_path


def put_signature(folder: Path, key: Ed25519PrivateKey = KEY) -> None:
    path = folder / "limits.toml"
    signature_path(path).write_bytes(encoded(sign(key, path.read_bytes())))


def called(folder: Path, verb: object, *more: str) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command()(verb)  # type: ignore[type-var]
    arguments = [str(folder / "session.toml"), "--limits", str(folder / "limits.toml"), *more]
    done = CliRunner().invoke(app, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def test_who_signed_is_said(folder: Path) -> None:
    status, out, _ = called(folder, check)
    assert status == 0 and "\nsigned   unsigned: simulated endpoints only\n" in out
    put_signature(folder)
    status, out, _ = called(folder, check)
    assert status == 0 and f"\nsigned   signed by officer, key {PRINT}\n" in out
    assert called(folder, check, "--participant", "SIM-demo")[0] == 0
    assert called(folder, check, "--participant", "P999")[0] == 1
    told = json.loads(called(folder, check, "--json")[1])
    assert (told["ok"], told["refusals"]) == (True, [])
    assert (told["signed"]["by"], told["signed"]["fingerprint"]) == ("officer", PRINT)


def test_a_signature_that_does_not_fit_is_a_no(folder: Path) -> None:
    put_signature(folder)
    with (folder / "limits.toml").open("a") as file:
        file.write("# one line more\n")
    status, out, _ = called(folder, check)
    assert status == 1 and "\nsigned   NOT AS IT MUST BE\n" in out
    assert f"REFUSED no session starts: {folder}/limits.toml.sig: found a signature of officer that" in (
        " ".join(out.split())
    )
    status, out, _ = called(folder, check, "--json")
    assert status == 1 and not json.loads(out)["ok"] and len(json.loads(out)["refusals"]) == 1


def test_a_serial_that_was_replaced_is_a_no(folder: Path) -> None:
    put_signature(folder)
    admitted = admit(folder / "limits.toml", clocks.today())
    newer = folder / "newer.toml"
    newer.write_text((folder / "limits.toml").read_text().replace("serial = 1 ", "serial = 2 "))
    serials.take(admit(newer, clocks.today()).limits, newer, PRINT, simulated_only=False)
    status, out, _ = called(folder, check)
    assert status == 1 and "found serial 1, expected 2 or higher" in " ".join(out.split())
    assert admitted.limits.serial == 1


def test_run_refuses_before_it_asks_for_anything(folder: Path) -> None:
    put_signature(folder, OPERATOR)
    status, out, err = called(folder, run, "--out", str(folder / "runs"))
    assert (status, out) == (3, "")
    assert "expected one of the trust store" in err and len(err.splitlines()) == 1
    signature_path(folder / "limits.toml").unlink()
    status, _, err = called(folder, run, "--out", str(folder / "runs"), "--participant", "P999")
    assert status == 3 and "expected those of P999" in err
    assert not (folder / "runs").exists()


def test_what_the_interlock_refuses_ends_the_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The serial is the interlock's to judge, under its locks; what was given lies in the run folder all the same."""
    put_signature(folder)
    files = read_files(folder / "session.toml", folder / "limits.toml")
    newer = folder / "newer.toml"
    newer.write_text((folder / "limits.toml").read_text().replace("serial = 1 ", "serial = 2 "))
    serials.take(admit(newer, clocks.today()).limits, newer, PRINT, simulated_only=False)
    ended = run_session(
        files, Signer(person="demo", key=OPERATOR, reason="a test"), folder / "runs", quiet=True
    )
    assert ended.status == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"nociloop: {folder}/limits.toml: found serial 1, expected 2 or higher: ")
    for name in ("limits.toml", "limits.toml.sig"):
        assert (ended.run_dir / name).read_bytes() == (folder / name).read_bytes()
    assert not (ended.run_dir / "ledger.jsonl").exists()
