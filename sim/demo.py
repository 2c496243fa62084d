"""`nociloop demo`: patient, device and relay as processes of their own, and a session that runs on them."""

from __future__ import annotations

import datetime
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.running import Ended, Files, Signer, read_files, run_session
from safety import signature, trust
from safety.acts import derive_key, public_key_hex
from safety.admission import signature_path
from safety.limit_values import Person
from safety.participants import new_participant, site_directory
from safety.people import SALT_BYTES, make_person
from safety.rig import directories
from sim.parts import part

PERSON = "demo"
OFFICER = "demo-officer"
SERIAL = "SIM-0001"
FILES = Path(__file__).parent / "demo_files"
LSL_CONFIG = "[lab]\nKnownPeers = {127.0.0.1}\n[multicast]\nResolveScope = machine\n[log]\nlevel = -2\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The simulated world while it runs: its folder, and what the session needs to know of it."""

    folder: Path
    source_id: str
    endpoint: str
    relay: Path


def run_demo(
    modality: str, duration_s: float, seed: int, out: Path, changes: Mapping[str, str] | None = None
) -> Ended:
    """Run one demonstration; raises NotStarted. The device's own record is copied into the run folder."""
    with tempfile.TemporaryDirectory(prefix="nociloop-demo-") as name:
        folder = Path(name)
        with private(folder), world(folder, seed) as made:
            files = demo_files(made, modality, duration_s, seed, changes)
            try:
                ended = run_session(*files, out)
            finally:
                clear_away(files[0].limits.rig)
        for record in ("device.jsonl", "relay.jsonl", "patient.jsonl"):
            shutil.copyfile(folder / record, ended.run_dir / record)
    return ended


def clear_away(rig: str) -> None:
    """Its sockets would stay if its interlock was killed, and every later STOP would find a rig that does not confirm."""
    for directory in directories():
        shutil.rmtree(directory / rig, ignore_errors=True)


@contextmanager
def private(folder: Path) -> Iterator[None]:
    """LSL on this machine alone, unless whoever runs us has decided otherwise; a trust store, and a state
    directory with serials and participant, of this demonstration's own, for as long as it runs."""
    if "LSLAPICFG" not in os.environ:
        path = folder / "lsl_api.cfg"
        path.write_text(LSL_CONFIG, encoding="ascii")
        os.environ["LSLAPICFG"] = str(path)
    own = {"NOCILOOP_TRUST_DIR": str(folder / "trust"), "NOCILOOP_STATE_DIR": str(folder / "state")}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def sign_limits(path: Path) -> tuple[Person, Ed25519PrivateKey]:
    """Sign as an officer who is made for this one run, and who they are: the key goes with the run, and is good for
    simulated endpoints only."""
    key = Ed25519PrivateKey.generate()
    officer = trust.TrustedKey(
        name=OFFICER,
        public_key=public_key_hex(key),
        salt=secrets.token_hex(SALT_BYTES),
        simulated_only=True,
    )
    trust.add(trust.store(), officer)
    signature_path(path).write_bytes(signature.encoded(signature.sign(key, path.read_bytes())))
    return Person(name=officer.name, role="officer", public_key=officer.public_key, salt=officer.salt), key


@contextmanager
def world(folder: Path, seed: int, *, block_samples: int = 10) -> Iterator[World]:
    """Start the simulated world in `folder`; it ends with the context, or when this process ends."""
    source_id = f"nociloop-demo-{secrets.token_hex(4)}"
    with ExitStack() as stack:
        stack.enter_context(
            part(
                "sim.amplifier", "--seed", str(seed), "--preset", "demo", "--name", "nociloop-demo",
                "--source-id", source_id, "--block-samples", str(block_samples),
                "--field", str(folder / "field"), "--truth", str(folder / "patient.jsonl"),
            )
        )  # fmt: skip
        endpoint, relay = stack.enter_context(rig(folder))
        yield World(folder=folder, source_id=source_id, endpoint=endpoint, relay=relay)


@contextmanager
def rig(folder: Path) -> Iterator[tuple[str, Path]]:
    """The simulated device and its relay alone: the device's endpoint and the relay's socket."""
    field, contact, relay = folder / "field", folder / "contact", folder / "relay"
    with ExitStack() as stack:
        device = stack.enter_context(
            part(
                "sim.devices.open_device", "--tcp", "127.0.0.1:0", "--serial", SERIAL,
                "--record", str(folder / "device.jsonl"), "--field", str(field), "--contact", str(contact),
            )
        )  # fmt: skip
        stack.enter_context(
            part(
                "sim.relay", "--listen", str(relay), "--contact", str(contact),
                "--silence-ms", "100", "--ramp-ms", "100", "--record", str(folder / "relay.jsonl"),
            )
        )  # fmt: skip
        yield str(device["endpoint"]), relay


def demo_files(
    made: World, modality: str, duration_s: float, seed: int, changes: Mapping[str, str] | None = None
) -> tuple[Files, Signer]:
    """Session, limits and a throw-away key, good for simulated endpoints only; `changes` replaces lines of either."""
    passphrase = secrets.token_urlsafe(24)
    person = make_person(PERSON, "operator", passphrase)
    salt = json.loads(person.rsplit("salt = ", 1)[1])
    values = {
        "endpoint": made.endpoint,
        "serial": SERIAL,
        "relay": str(made.relay),
        "people": person,
        "today": datetime.datetime.now().astimezone().date().isoformat(),
        "rig": f"demo-{os.getpid()}",
        "source_id": made.source_id,
        "duration_s": f"{duration_s:.1f}",
        "seed": str(seed),
    }
    for kind in ("session", "limits"):
        template = Template((FILES / f"{kind}-{modality}.toml").read_text(encoding="utf-8"))
        text = template.substitute(values)
        for line, other in (changes or {}).items():
            text = text.replace(line, other)
        (made.folder / f"{kind}.toml").write_text(text, encoding="utf-8")
    officer, key = sign_limits(made.folder / "limits.toml")
    files = read_files(made.folder / "session.toml", made.folder / "limits.toml")
    new_participant(site_directory(), files.limits, officer, key, "demonstration")
    return files, Signer(person=PERSON, key=derive_key(passphrase, salt), reason="demonstration")
