"""The interlock's start with signed limits, as processes: what it says in the ledger, and what it does not start with."""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safety import signature, trust
from safety.acts import public_key_hex
from safety.admission import signature_path
from safety.entries import Genesis
from safety.latch import Latched, clear
from safety.show import Wanted
from safety.show import shown as shown_lines
from safety.verify import read
from tests.system.interlock_rig import RAMP_MS, SLACK_MS, WAIT_S, Rig, interlock_rig, until
from tests.system.refusals import said_in_words

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def with_store(rig: Rig) -> trust.Store:
    """A trust store and a place for serials of this rig's own."""
    store = trust.Store(path=rig.folder / "trust", simulated_only=False)
    for name, key in (("officer", KEY), ("second", OTHER)):
        trust.add(
            store,
            trust.TrustedKey(name=name, public_key=public_key_hex(key), salt="0" * 32, simulated_only=name == "second"),
        )  # fmt: skip
    rig.world.environment = dict(rig.world.environment) | {
        "NOCILOOP_TRUST_DIR": str(store.path),
        "NOCILOOP_STATE_DIR": str(rig.folder / "state"),
    }
    return store


def signed(rig: Rig, name: str = "limits.toml", key: Ed25519PrivateKey = KEY, **edits: str) -> Path:
    """A limits file of the rig with lines replaced, and the officer's signature beside it."""
    text = rig.limits.read_text()
    for old, new in edits.items():
        old = {"serial": "serial = 1 "}.get(old, old)
        assert old in text
        text = text.replace(old, new)
    path = rig.folder / name
    path.write_text(text)
    signature_path(path).write_bytes(signature.encoded(signature.sign(key, path.read_bytes())))
    return path


def refused(rig: Rig, limits: Path, *more: str) -> str:
    """The one line with which it does not start; exit status 3, and nothing is left of it."""
    said = rig.start(*more, limits=limits)
    assert rig.interlock is not None and rig.interlock.stdout is not None
    assert rig.interlock.wait(WAIT_S) == 3
    assert not rig.ledger.exists()
    lines = said["refused"]
    assert isinstance(lines, list) and len(lines) == 1, lines
    line = str(lines[0])
    said_in_words(rig, [line])
    assert "found" in line and "expected" in line and "; " in line and "\n" not in line
    return line


def genesis(rig: Rig) -> Genesis:
    held = read(rig.ledger)[0][0].held
    assert isinstance(held, Genesis)
    return held


def ran(rig: Rig, limits: Path) -> Genesis:
    """Start with a file, end in order; the ledger's first line."""
    assert "ready" in rig.start(limits=limits), rig.ready
    rig.ended_in_order()
    held = genesis(rig)
    rig.run_dir = rig.run_dir.with_name(f"{rig.run_dir.name}+")
    rig.run_dir.mkdir()
    return held


def test_what_it_does_not_start_with() -> None:
    with interlock_rig(start=False) as rig:
        with_store(rig)
        good = signed(rig)
        beside = signature_path(good)
        sealed = beside.read_bytes()

        beside.write_bytes(sealed.replace(b'"signature":"', b'"signature":"0')[:-4] + b'"}\n')
        assert "does not fit" in refused(rig, good)
        good.write_text(good.read_text().replace("max = 1.5", "max = 1.6"))
        beside.write_bytes(sealed)
        assert "found a signature of officer that does not fit" in refused(rig, good)

        stranger = signed(rig, key=Ed25519PrivateKey.from_private_bytes(bytes(32)))
        assert "expected one of the trust store" in refused(rig, stranger)
        beside.unlink()
        beside.symlink_to(rig.folder / "nowhere")
        assert f"{beside}: found a link" in refused(rig, good)
        beside.unlink()

        today = datetime.datetime.now().astimezone().date()
        tomorrow = today + datetime.timedelta(days=1)
        later = rig.folder / "later.toml"
        later.write_text(
            rig.limits.read_text().replace(
                f"valid_from = {today - datetime.timedelta(days=1)}", f"valid_from = {tomorrow}"
            ).replace(f"consent_on = {today}", f"consent_on = {tomorrow}")
        )  # fmt: skip
        assert f"found it valid from {tomorrow}" in refused(rig, later)
        assert "found the limits of participant P001, expected those of P002" in refused(
            rig, rig.limits, "--participant", "P002"
        )

        signed(rig)
        (rig.folder / "trust").chmod(0o777)
        assert "writable by others" in refused(rig, good)


def test_the_ledger_says_who_signed_and_an_older_file_is_not_taken_again() -> None:
    with interlock_rig(start=False) as rig:
        store = with_store(rig)
        unsigned = ran(rig, rig.limits)
        assert unsigned.rules.signed is None and "unsigned" in shown(rig)

        first = signed(rig, "first.toml")
        held = ran(rig, first).rules
        assert held.signed is not None
        assert (held.signed.by, held.signed.store) == ("officer", str(store.path))
        assert held.signed.fingerprint == signature.fingerprint(public_key_hex(KEY))
        assert not held.signed.simulated_only
        assert signature.holds(held.signed, held.limits.digest)
        assert f"serial 1, signed by officer, key {held.signed.fingerprint}" in shown(rig)
        ran(rig, first)  # once more, the same

        second = signed(rig, "second.toml", serial="serial = 2 ")
        other = signed(rig, "other.toml", **{"max = 1.5": "max = 1.4"})
        assert "found serial 1 with other content than was seen" in refused(rig, other)
        ran(rig, second)
        assert "found serial 1, expected 2 or higher" in refused(rig, first)
        ran(rig, rig.limits)  # unsigned: it claims no serial, and runs the simulated endpoint alone

        demo = signed(rig, "demo.toml", key=OTHER)
        rules = ran(rig, demo).rules  # counted apart
        assert rules.signed is not None and rules.signed.simulated_only
        assert "demo keys, simulated endpoints only" in shown(rig)

        rig.world.environment = dict(rig.world.environment) | {"NOCILOOP_STATE_DIR": str(first)}
        assert "NOCILOOP_STATE_DIR" in refused(rig, second)


def shown(rig: Rig) -> str:
    """The first line of `ledger show` of the session that ended last."""
    folders = sorted(rig.folder.glob("run*"), key=lambda each: len(each.name))
    path = next(each for each in reversed(folders) if (each / "ledger.jsonl").exists()) / "ledger.jsonl"
    return next(shown_lines(path, Wanted())).text


def test_a_real_endpoint_is_never_ready_on_limits_that_are_not_signed_and_verified() -> None:
    """Signed for good, for simulation, and not at all: each time what is missing is named, and nobody arms."""
    with interlock_rig(start=False) as rig:
        with_store(rig)
        real = {
            f'"{rig.world.endpoint}"': '"serial:/dev/ttyS99@115200"',
            'identity = "any"': 'identity = "SIM-0001"',
            'version = "any"': 'version = "0.1.0"',
        }
        home = rig.folder / "home"
        rig.world.environment = dict(rig.world.environment) | {"HOME": str(home), "XDG_STATE_HOME": ""}
        own = home / ".local" / "state" / "nociloop"
        line = refused(
            rig, signed(rig, "elsewhere.toml", **real)
        )  # what a real device left must not be left behind
        assert line.startswith(f"state directory: found {rig.state}, expected {own}: ")
        own.parent.mkdir(parents=True)
        own.symlink_to(rig.state)
        for key, said in (
            (KEY, ": unverified: "),
            (OTHER, ": the key of second is for simulated endpoints only; unverified: "),
            (None, ": unsigned; unverified: "),
        ):
            limits = signed(rig, key=key or KEY, name=f"real-{said.count(' ')}.toml", **real)
            if key is None:
                signature_path(limits).unlink()
            assert rig.start(limits=limits)["simulated"] is False, rig.ready
            rig.controller_unready()
            until(lambda: "ILK-402" in str(rig.status().missing), "the device to fail")
            status = rig.status()
            (missing,) = [line for line in status.missing if line.startswith("ILK-409")]
            assert status.phase == "SAFE" and said in missing
            assert rig.act("arm").code == "ILK-334"
            rig.ended_in_order()
            rig.controllers.pop().close()
            rig.run_dir = rig.run_dir.with_name(f"{rig.run_dir.name}+")
            rig.run_dir.mkdir()


def test_what_a_real_device_left_tripped_is_reset_under_signed_limits_alone() -> None:
    with interlock_rig(start=False) as rig:
        with_store(rig)
        left = clear("demo")
        path = rig.folder / "state" / "rigs" / "demo.json"
        path.parent.mkdir(parents=True)
        left = msgspec.structs.replace(left, mark="armed", session_id="s-0", at_wall_ns=1, real=True)
        path.write_bytes(msgspec.json.encode(left))
        expected = "rig demo: found it tripped with a real device, expected limits that an officer signed"
        assert refused(rig, rig.limits).startswith(expected)
        assert refused(rig, signed(rig, "demo.toml", key=OTHER), "--shadow").startswith(expected)
        assert msgspec.json.decode(path.read_bytes(), type=Latched).real  # and nothing of it was forgotten
        limits = signed(rig, "good.toml")
        assert "ILK-004" in str(rig.start("--shadow", limits=limits)["latched"]), rig.ready
        assert rig.act("reset").ok
        assert rig.interlock is not None and rig.interlock.wait(WAIT_S) == 4
        assert msgspec.json.decode(path.read_bytes(), type=Latched).mark == "reset"
        rig.run_dir = rig.run_dir.with_name("run+")
        rig.run_dir.mkdir()
        ran(rig, rig.limits)  # once it is reset, anything may be simulated on it


def test_a_signature_that_changes_trips() -> None:
    with interlock_rig(start=False) as rig:
        with_store(rig)
        limits = signed(rig)
        assert "ready" in rig.start(), rig.ready
        rig.running()
        since_ns = time.monotonic_ns()
        os.unlink(signature_path(limits))
        rig.zero_ms(since_ns, 1000 + RAMP_MS + 2 * SLACK_MS)  # it looks once a second
        rig.until_tripped("ILK-234")
        assert rig.ended_in_order() == 4
        assert "limits.toml.sig: gone" in rig.said()
