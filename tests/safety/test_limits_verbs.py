"""`limits show`, `check`, `sign`, `keygen` as they are typed: words, JSON, exit status, and what lies on the disk after."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from drivers.link import Opened
from safety import limits_verbs, people
from safety.acts import PassphraseError
from safety.admission import admit, signature_path
from safety.clocks import today
from safety.limits import load
from safety.limits_shown import Effective, effective, table_of
from safety.limits_verbs import limits
from safety.modalities import quantities_of
from safety.signature import fingerprint
from safety.signing import sign_file
from safety.site import state_directory
from safety.trust import TrustedKey, add, keys_of, store
from tests.safety.ledgers import write
from tests.safety.strategies import MODALITIES, caps_of, document, limits_of, to_toml
from tests.safety.world import World, rules_of

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
PHRASE = "correct horse battery staple"


@pytest.fixture(scope="module")
def officer() -> people.Person:
    return people.new_person("bob", "officer", PHRASE)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOCILOOP_TRUST_DIR", str(tmp_path / "trust"))
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "110")
    (tmp_path / "phrase").touch(mode=0o600)
    (tmp_path / "phrase").write_text(PHRASE)


def trusting(officer: people.Person, *, simulated_only: bool = False) -> None:
    key = TrustedKey(
        name=officer.name, public_key=officer.public_key, salt=officer.salt, simulated_only=simulated_only
    )
    add(store(), key)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is valid today."""
    return put(tmp_path / "limits.toml")


def put(path: Path, serial: int = 7, bend: Callable[[bytes], bytes] = lambda content: content) -> Path:
    doc = document("tacs")
    doc["file"] |= {"serial": serial}
    first, last = doc["file"]["valid_from"], doc["file"]["valid_until"]
    content = to_toml(doc).decode().replace(f"{first}", today()).replace(f"{last}", today())
    path.write_bytes(bend(content.replace("2026-01-02", today()).encode()))
    return path


def call(*arguments: object, input: str | None = None) -> Result:
    done = CliRunner().invoke(limits, [str(each) for each in arguments], input=input)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def sign(file: Path, *more: object) -> Result:
    return call("sign", file, "--key", "bob", "--passphrase-file", file.parent / "phrase", *more)


def refused(done: Result) -> str:
    """The one line of an error."""
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("nociloop: ")
    return line


# show


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_number_is_shown_with_who_set_it(tmp_path: Path, modality: str):
    path = tmp_path / "limits.toml"
    path.write_bytes(to_toml(document(modality)))
    told = json.loads(call("show", path, "--json").stdout)
    names = [row["quantity"] for row in told["effective"]]
    assert names == [
        *(each.name for each in quantities_of(modality)),
        *(each.name for each in limits_of(modality).budgets),
        *(each.name for each in limits_of(modality).spacing),
    ]
    sets = {"absolute", "site", "protocol", "participant", "device", "tissue formula", "budget"}
    assert {row["set_by"] for row in told["effective"]} <= sets
    assert (told["serial"], told["participant"], told["signed"]) == (7, "P001", None)
    assert told["digest"] == limits_of(modality).digest
    shown = call("show", path).stdout
    for row in told["effective"]:
        assert f"{row['quantity']} {row['scope']}".rstrip() in shown
        assert f"set by {row['set_by']}, {row['status']}: " in shown
    for line in shown.splitlines():
        assert len(line) <= 110
    for person in limits_of(modality).people:
        assert fingerprint(person.public_key) in shown
    assert "signed   unsigned: simulated endpoints only" in shown


def test_each_layer_is_named_where_it_is_the_least():
    def set_by(layer: str, high: float) -> str:
        doc = document("tacs")
        row = dict(doc["protocol_limits"]["amplitude_ma_pp"]) | {"max": high}
        doc[f"{layer}_limits"]["amplitude_ma_pp"] = row
        return next(row.set_by for row in effective(load(to_toml(doc))) if row.quantity == "amplitude_ma_pp")

    assert set_by("site", 1.0) == "site"
    assert set_by("participant", 1.0) == "participant"
    assert set_by("protocol", 1.0) == "protocol"
    assert set_by("protocol", 4.0) == "absolute"
    assert set_by("site", 2.0) == "site"  # of equal limits the outermost
    caps = caps_of("tacs")
    narrow = msgspec.structs.replace(caps.envelopes["amplitude_ma_pp"], high=0.5)
    caps = msgspec.structs.replace(caps, envelopes={**caps.envelopes, "amplitude_ma_pp": narrow})
    (row, *_) = effective(limits_of("tacs"), caps)
    assert (row.quantity, row.high, row.set_by) == ("amplitude_ma_pp", 0.5, "device")


def test_the_threshold_of_the_day_is_a_tissue_formula():
    rows = {row.quantity: row for row in effective(limits_of("rtms"))}
    assert rows["amplitude_pct_mso"].set_by == "tissue formula"
    assert (rows["amplitude_pct_mso"].high, rows["gap_s"].high) == (60.0, None)
    assert rows["gap_s"].low is not None and rows["gap_s"].set_by == "budget"
    assert {row.scope for row in effective(limits_of("rtms")) if row.set_by == "budget"} >= {"session", "24h"}


def test_a_device_of_a_run_narrows_it_further(file: Path, tmp_path: Path):
    world = World(rules_of()).ready()
    opened = [
        entry.event.message
        for entry in world.entries
        if isinstance(getattr(entry.event, "message", None), Opened)
    ]
    assert len(opened) == 1
    folder = tmp_path / "run"
    folder.mkdir()
    write(folder, world)
    told = json.loads(call("show", file, "--device-of", folder, "--json").stdout)
    expected = effective(limits_of("tacs"), opened[0].capabilities)
    assert told["effective"] == json.loads(msgspec.json.encode(expected))
    none = tmp_path / "none"
    none.mkdir()
    write(none, World(rules_of()))
    assert "found no device that was opened" in refused(call("show", file, "--device-of", none))
    assert "No such file" in refused(call("show", file, "--device-of", tmp_path / "nowhere"))
    os.mkfifo(none / "pipe")
    for endless in (none / "pipe", Path("/dev/zero")):
        assert "not a regular file" in refused(call("show", file, "--device-of", endless))


def test_what_is_not_whole_is_not_shown(file: Path):
    put(file, bend=lambda content: content.replace(b"mA peak-to-peak", b"mA", 1).replace(b"Hz", b"kHz", 1))
    done = call("show", file)
    assert (done.exit_code, done.stdout) == (2, "") and len(done.stderr.splitlines()) == 2


# check


def test_check_of_a_file_that_a_session_starts_with(file: Path, officer: people.Person):
    done = call("check", file)
    assert done.exit_code == 0 and done.stdout.startswith(
        f"OK: {file}, serial 7, unsigned: simulated endpoints"
    )
    lines = done.stdout.splitlines()[1:]
    assert [line.startswith("  a real device would be refused (ILK-409): ") for line in lines[:2]] == [
        True,
        True,
    ]
    # The unverified numbers stand under it, a layer a line.
    names = limits_of("tacs").unverified
    assert f"{len(names)} numbers are unverified" in lines[1]
    layers = [line.strip().partition(": ")[::2] for line in lines[2:]]
    assert sorted(f"{layer}.{name}" for layer, found in layers for name in found.split(", ")) == sorted(names)
    trusting(officer)
    sign(file)
    done = call("check", file, "--participant", "P001")
    assert done.exit_code == 0
    assert done.stdout.startswith(
        f"OK: {file}, serial 7, signed by bob, key {fingerprint(officer.public_key)}\n"
    )
    assert done.stdout.count("would be refused") == 1 and "numbers are unverified" in done.stdout
    told = json.loads(call("check", file, "--json").stdout)
    assert told["ok"] and told["refusals"] == [] and len(told["real_device_refusals"]) == 1
    assert told["signed"]["by"] == "bob" and told["unverified"]


def test_a_long_table_is_told_in_columns(file: Path):
    """Of ultrasound, which has the longest units."""
    file.write_bytes(to_toml(document("tus")))
    lines = call("show", file).stdout.splitlines()
    head = next(line for line in lines if line.split() == ["quantity", "least", "most", "unit"])
    rows = [line for line in lines if line.startswith("  ") and line[2:3].strip() and line != head]
    numbers = rows[: rows.index(next(row for row in rows if row.startswith("  washout_s"))) + 1]
    unit = head.index("unit")
    assert all(row[unit - 1] == " " and row[unit] != " " for row in numbers)
    assert "unverified" not in "".join(row[unit:] for row in numbers)


@pytest.mark.parametrize(
    ("high", "said"),
    [(1e6, "1,000,000"), (12_000.0, "12,000"), (6.283185307, "6.28319"), (0.06, "0.06"), (None, "–")],
)
def test_an_end_is_told_as_people_write_it(high: float | None, said: str):
    row = Effective(
        quantity="x_us",
        scope="",
        unit="us",
        low=-1.0,
        high=high,
        set_by="site",
        source="s",
        status="verified",
    )
    assert table_of((row,), 80).splitlines()[1].split() == ["x_us", "-1", said, "us"]


@pytest.mark.parametrize("name", ["", ".", "..", "/"])
def test_what_has_no_name_is_a_line(name: str):
    done = call("check", name)
    assert done.exit_code == 2
    assert "Is a directory; give the limits file" in done.stderr


def test_a_name_that_is_taken_is_told_before_a_pass_phrase_is_asked_for(
    officer: people.Person, tmp_path: Path
):
    trusting(officer)
    done = call("keygen", "bob", "--role", "officer", "--trust", "--passphrase-file", tmp_path / "none")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "bob.pub: found a key of that name, expected none" in done.stderr


def test_check_of_a_file_that_none_starts_with(file: Path, officer: people.Person):
    trusting(officer)
    sign(file)
    with file.open("ab") as more:
        more.write(b"# more\n")
    done = call("check", file, "--participant", "P002")
    assert done.exit_code == 1 and done.stdout.startswith(f"NO: {file}, serial 7, NOT AS IT MUST BE\n")
    assert done.stdout.count("  no session starts: ") == 2 and "does not fit" in done.stdout
    assert "is unsigned" not in done.stdout
    told = call("check", file, "--json")
    assert told.exit_code == 1 and not json.loads(told.stdout)["ok"]


def test_check_names_every_mistake_of_the_file_and_of_its_signature(file: Path, officer: people.Person):
    trusting(officer)
    sign(file)
    put(file, bend=lambda content: content.replace(b"mA peak-to-peak", b"mA", 1).replace(b"Hz", b"kHz", 1))
    done = call("check", file)
    assert (done.exit_code, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 3 and ".sig: found a signature of bob that does not fit" in lines[2]
    told = call("check", file, "--json")
    assert told.exit_code == 2 and len(json.loads(told.stdout)["errors"]) == 3
    signature_path(file).unlink()
    assert len(call("check", file).stderr.splitlines()) == 2
    file.unlink()
    assert "No such file" in refused(call("check", file))


def test_check_holds_the_serial_against_what_was_seen(file: Path, tmp_path: Path, officer: people.Person):
    trusting(officer)
    sign(file)
    folder = state_directory() / "serials" / "seen"
    folder.mkdir()
    last = '{"schema":1,"participant":"P001","rig":"rig-1","serial":8,"digest":"","key":""}'
    (folder / "P001.rig-1.json").write_text(last)
    done = call("check", file)
    assert done.exit_code == 1 and "found serial 7, expected 8 or higher: that one was seen" in done.stdout
    (folder / "P001.rig-1.json").write_text("")
    done = call("check", file)
    assert done.exit_code == 1 and "found something else, expected the last serial" in done.stdout
    assert (folder / "P001.rig-1.json").read_text() == ""


# sign


def test_signing_puts_the_signature_beside_the_file(file: Path, officer: people.Person):
    trusting(officer)
    before = file.read_bytes()
    done = sign(file)
    key = fingerprint(officer.public_key)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{file}.sig: serial 7, signed by bob, key {key}\n"
    beside = signature_path(file)
    assert stat.S_IMODE(beside.stat().st_mode) == 0o644 and file.read_bytes() == before
    signed = admit(file, today()).signed
    assert signed is not None and (signed.by, signed.simulated_only) == ("bob", False)
    sealed = beside.read_bytes()
    assert sign(file).exit_code == 0 and beside.read_bytes() == sealed  # once more, the same
    assert sorted(each.name for each in file.parent.iterdir()) == [
        "limits.toml", "limits.toml.sig", "phrase", "state", "trust",
    ]  # fmt: skip


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("limits-*.toml")))
def test_every_example_is_shown_and_can_be_signed(
    example: str, tmp_path: Path, officer: people.Person, monkeypatch: pytest.MonkeyPatch
):
    trusting(officer)
    path = tmp_path / example
    path.write_bytes((EXAMPLES / example).read_bytes())
    monkeypatch.setattr("safety.signing.today", lambda: "2026-06-01")
    assert sign(path).exit_code == 0
    admitted = admit(path, "2026-06-01")
    assert admitted.signed is not None and admitted.refusals == ()
    assert call("show", path).exit_code == 0


def test_signing_from_a_descriptor_and_with_a_key_of_simulation(file: Path, officer: people.Person):
    trusting(officer, simulated_only=True)
    theirs, ours = os.pipe()
    os.write(ours, PHRASE.encode() + b"\n")
    done = call("sign", file, "--key", "bob", "--passphrase-fd", theirs)
    for fd in (theirs, ours):
        os.close(fd)
    assert done.exit_code == 0 and done.stdout.endswith(", good for simulated endpoints only\n")
    signed = admit(file, today()).signed
    assert signed is not None and signed.simulated_only


def test_a_serial_is_signed_once(file: Path, officer: people.Person):
    trusting(officer)
    sign(file)
    sealed = signature_path(file).read_bytes()
    put(file, bend=lambda content: content + b"# changed\n")
    assert "found serial 7 with other content than was signed" in refused(sign(file))
    put(file, 6)
    assert "found serial 6, expected 7 or higher: that one was signed" in refused(sign(file))
    assert signature_path(file).read_bytes() == sealed
    put(file, 8)
    assert sign(file).exit_code == 0 and signature_path(file).read_bytes() != sealed
    seen = state_directory() / "serials" / "seen"
    seen.mkdir()
    last = '{"schema":1,"participant":"P001","rig":"rig-1","serial":10,"digest":"","key":""}'
    (seen / "P001.rig-1.json").write_text(last)
    put(file, 9)
    assert "expected 10 or higher: that one was seen" in refused(sign(file))


def test_what_is_not_signed(file: Path, officer: people.Person, monkeypatch: pytest.MonkeyPatch):
    assert "found No such file or directory, expected the trust store" in refused(sign(file))
    trusting(officer)
    assert f"expected an officer of the trust store {store().path} (bob)" in refused(
        call("sign", file, "--key", "eve", "--passphrase-file", file.parent / "phrase")
    )
    (file.parent / "phrase").chmod(0o644)
    assert "found mode 0644" in refused(sign(file))
    (file.parent / "phrase").chmod(0o600)
    (file.parent / "phrase").write_text("another pass-phrase")
    assert "does not fit the key" in refused(sign(file))
    put(file, bend=lambda content: content.replace(b"Hz", b"kHz", 1))
    assert "frequency_hz.unit" in refused(sign(file))
    put(file, bend=lambda content: content.replace(today().encode(), b"2020-01-01"))
    assert "found it valid until 2020-01-01" in refused(sign(file))
    put(file)
    (store().path / "bob.pub").unlink()
    assert "(none there)" in refused(sign(file))
    assert not signature_path(file).exists() and not state_directory().exists()


def test_a_signature_that_cannot_be_written_is_told(file: Path, officer: people.Person):
    trusting(officer)
    signature_path(file).mkdir()
    assert f"{signature_path(file)}: cannot be written" in refused(sign(file))
    assert [each.name for each in file.parent.iterdir() if each.name.startswith(".")] == []
    signature_path(file).rmdir()
    assert sign(file).exit_code == 0  # its serial is known, and its content is the same


def test_nothing_is_asked_for_where_it_would_be_in_vain(
    file: Path, officer: people.Person, monkeypatch: pytest.MonkeyPatch
):
    trusting(officer)
    sign(file)
    put(file, 6)

    def asked(*_: object) -> str:
        raise AssertionError("it asked")

    monkeypatch.setattr("safety.passphrase.read_passphrase", asked)
    refused(sign(file))
    with pytest.raises(AssertionError, match="it asked"):
        sign_file(put(file, 8), "bob", None, None)


# keygen


def keygen(folder: Path, *more: object, input: str | None = None) -> Result:
    return call("keygen", *more, "--passphrase-file", folder / "phrase", input=input)


def test_a_person_s_table_for_limits_toml(tmp_path: Path):
    done = keygen(tmp_path, "ann", "--role", "operator")
    assert (done.exit_code, done.stderr) == (0, "")
    person = tomllib.loads(done.stdout)["people"]["ann"]
    assert person["role"] == "operator" and person.keys() == {"role", "public_key", "salt"}
    assert done.stdout.startswith(f"# fingerprint of the key: {fingerprint(person['public_key'])}\n")
    assert PHRASE not in done.stdout and not (tmp_path / "trust").exists()
    again = keygen(tmp_path, "ann", "--role", "operator")
    assert tomllib.loads(again.stdout)["people"]["ann"]["salt"] != person["salt"]


@pytest.mark.parametrize("simulated", [False, True])
def test_an_officer_who_is_trusted_signs(tmp_path: Path, file: Path, simulated: bool):
    done = keygen(
        tmp_path, "bob", "--role", "officer", "--trust", *(["--simulated-only"] if simulated else [])
    )
    assert done.exit_code == 0
    person = tomllib.loads(done.stdout)["people"]["bob"]
    (key,) = keys_of(store())
    assert (key.name, key.public_key, key.salt) == ("bob", person["public_key"], person["salt"])
    assert key.simulated_only is simulated
    assert done.stdout.endswith(f"# the trust store has it: {tmp_path}/trust/bob.pub\n")
    assert sign(file).exit_code == 0
    assert "found a key of that name" in keygen(tmp_path, "bob", "--role", "officer", "--trust").stderr


def test_an_officer_who_is_not_trusted_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for more in (("--no-trust",), ()):  # nobody is there to be asked
        done = keygen(tmp_path, "bob", "--role", "officer", *more)
        assert (
            done.exit_code == 0 and "# not trusted yet" in done.stdout and not (tmp_path / "trust").exists()
        )
    line = done.stdout.splitlines()[-1].removeprefix("# ")
    (tmp_path / "trust").mkdir(mode=0o700)
    (tmp_path / "trust" / "bob.pub").write_text(line + "\n")
    assert [key.name for key in keys_of(store())] == ["bob"]

    monkeypatch.setattr(limits_verbs, "asks", lambda: True)
    done = keygen(tmp_path, "eve", "--role", "officer", input="n\n")
    assert done.exit_code == 0 and "# not trusted yet" in done.stdout and "trust this key" in done.stderr
    done = keygen(tmp_path, "eve", "--role", "officer", input="y\n")
    assert done.exit_code == 0 and [key.name for key in keys_of(store())] == ["bob", "eve"]


def test_what_keygen_refuses(tmp_path: Path):
    for more in ("--trust", "--simulated-only"):
        assert "operators sign no limits" in refused(keygen(tmp_path, "ann", "--role", "operator", more))
    assert "expected A-Z a-z 0-9" in refused(keygen(tmp_path, "../ann", "--role", "officer", "--trust"))
    assert keygen(tmp_path, "ann", "--role", "king").exit_code == 2
    (tmp_path / "phrase").write_text("short")
    assert "has 5 characters" in refused(keygen(tmp_path, "ann", "--role", "operator"))
    with pytest.raises(PassphraseError):
        people.new_person("x" * 65, "operator", PHRASE)
    assert not (tmp_path / "trust").exists()


@pytest.mark.parametrize("name", ["../ann", "", "a b", "x" * 65])
@pytest.mark.parametrize("more", [(), ("--role", "officer", "--trust")])
def test_keygen_judges_the_name_before_it_asks(
    name: str, more: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    def asked(*_: object, **__: object) -> str:
        pytest.fail("the pass-phrase was asked for")

    monkeypatch.setattr("safety.passphrase.read_passphrase", asked)
    assert "expected A-Z a-z 0-9" in refused(call("keygen", "--role", "operator", *more, "--", name))
