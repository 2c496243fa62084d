"""The signature of the limits after the session: same, changed, missing; by the ledger alone and by the file beside it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from safety.acts import public_key_hex
from safety.kept_signature import judge_signature
from safety.ledger_verbs import ledger
from safety.limit_values import Signed
from safety.limits import load
from safety.signature import encoded, fingerprint, sign
from safety.state import Rules
from tests.safety.ledgers import write
from tests.safety.strategies import document, to_toml
from tests.safety.world import PEOPLE, World, rules_of

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def content() -> bytes:
    doc = document("tacs")
    for name, key in PEOPLE.items():
        doc["people"][name]["public_key"] = public_key_hex(key)
    return to_toml(doc)


CONTENT = content()
FILE = encoded(sign(KEY, CONTENT))
SIGNED = Signed(
    by="bob", fingerprint=fingerprint(public_key_hex(KEY)), public_key=public_key_hex(KEY),
    signature=sign(KEY, CONTENT).signature, simulated_only=False, store="/trust",
)  # fmt: skip


def rules(signed: Signed | None) -> Rules:
    return msgspec.structs.replace(rules_of(), limits=load(CONTENT), signed=signed)


@pytest.mark.parametrize(
    ("signed", "file", "answer", "problems"),
    [
        (SIGNED, FILE, "the same", 0),
        (SIGNED, None, "not at hand", 0),
        (SIGNED, encoded(sign(OTHER, CONTENT)), "another", 1),
        (SIGNED, encoded(sign(KEY, CONTENT + b"\n")), "another", 1),
        (SIGNED, FILE + b"\n", "another", 1),
        (SIGNED, b"", "another", 1),
        (None, None, "unsigned", 0),
        (None, FILE, "another", 1),
        (msgspec.structs.replace(SIGNED, signature=sign(OTHER, CONTENT).signature), None, "not at hand", 1),
        (msgspec.structs.replace(SIGNED, public_key=public_key_hex(OTHER)), FILE, "the same", 1),
        (msgspec.structs.replace(SIGNED, fingerprint="0" * 32), FILE, "another", 2),
    ],
)
def test_what_is_said_of_it(signed: Signed | None, file: bytes | None, answer: str, problems: int):
    said, found = judge_signature(rules(signed), file)
    assert said == answer
    assert len(found) == problems


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The run folder of a short session under signed limits."""
    (tmp_path / "limits.toml").write_bytes(CONTENT)
    (tmp_path / "limits.toml.sig").write_bytes(FILE)
    world = World(rules(SIGNED)).armed()
    world.ask()
    world.run_ms(150)
    world.stop(ends=True)
    world.run_ms(300)
    write(tmp_path, world)
    return tmp_path


def verified(*arguments: object) -> tuple[int, dict[str, object], str]:
    told = CliRunner().invoke(ledger, ["verify", *map(str, arguments), "--json"])
    said = CliRunner().invoke(ledger, ["verify", *map(str, arguments)])
    assert told.exit_code == said.exit_code
    return told.exit_code, json.loads(told.stdout), said.stdout


def test_a_run_folder_is_verified_with_its_limits_and_their_signature(folder: Path):
    status, told, said = verified(folder)
    assert (told["limits"], told["signature"]) == ("the same", "the same")
    assert told["signed"] == f"signed by bob, key {SIGNED.fingerprint}"
    assert (
        f"  signed limits signed by bob, key {SIGNED.fingerprint}; the signature at hand is the same\n"
        in said
    )
    assert told["problems"] == [] and status == (0 if told["ok"] else 1)

    (folder / "limits.toml.sig").write_bytes(encoded(sign(OTHER, CONTENT)))
    status, told, said = verified(folder)
    assert (status, told["limits"], told["signature"]) == (1, "the same", "another")
    assert "problem       limits.toml.sig: not the signature that the ledger holds" in said

    (folder / "limits.toml.sig").unlink()
    (folder / "limits.toml").write_bytes(CONTENT.replace(b"2.0", b"2.5", 1))
    status, told, _ = verified(folder)
    assert (status, told["limits"], told["signature"]) == (1, "another", "not at hand")

    (folder / "limits.toml").unlink()
    _, told, said = verified(folder)
    assert (told["limits"], told["signature"]) == ("not at hand", "not at hand")
    assert "its file is not at hand" in said
    (folder / "limits.toml.sig").symlink_to(folder / "nowhere")
    assert CliRunner().invoke(ledger, ["verify", str(folder)]).exit_code == 2
    _, told, _ = verified(folder / "ledger.jsonl")  # a file alone: nothing beside it is looked at
    assert told["signature"] == "not at hand"


def test_the_signature_beside_a_limits_file_that_is_named(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
):
    elsewhere = tmp_path_factory.mktemp("kept") / "P001.toml"
    elsewhere.write_bytes(CONTENT)
    elsewhere.with_name("P001.toml.sig").write_bytes(FILE)
    _, told, _ = verified(folder / "ledger.jsonl", "--limits", elsewhere)
    assert (told["limits"], told["signature"]) == ("the same", "the same")
