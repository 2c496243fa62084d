"""`ledger verify` and `ledger show` as they are typed: words for a stranger, JSON, exit status; file, interlock and device
told apart."""

from __future__ import annotations

import io
import json
import os
import sys
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from drivers.link import Delivered
from drivers.stimulation import Delivery
from safety.entries import GENESIS_HASH, Software
from safety.ledger_verbs import ledger, show_verb
from safety.limits import load
from safety.software import software
from safety.verdict_words import answer_of, oracle_said, said_of
from safety.verify import _same_limits, judged, verify
from tests.safety.damages import head_of, judge
from tests.safety.ledgers import OTHER, SOFTWARE, genesis_of, rechained, session, write
from tests.safety.strategies import document, to_toml
from tests.safety.world import STRANGER, World, rules_of
from tests.safety.worlds import holding

CALL = CliRunner()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("ledger"), session())


def called(*arguments: object) -> tuple[int, str, str]:
    done = CALL.invoke(ledger, [str(each) for each in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def test_what_is_no_file_is_called_what_it_is(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "odd" / "ledger.jsonl").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name, said in (
        ("pipe", "pipe: not a regular file; give"),
        ("loop", "loop: Too many levels of symbolic links; give"),
        ("odd", "odd/ledger.jsonl: not a regular file; give"),
        ("empty", "empty/ledger.jsonl: No such file or directory; give"),
        ("none", "none: No such file or directory; give"),
    ):
        for verb in ("verify", "show"):
            status, out, err = called(verb, tmp_path / name)
            assert (status, out, err.count("\n")) == (2, "", 1)
            assert said in err


def strayed(amplitude: float = 1.5) -> World:
    """A device that says that it gave more than was permitted."""
    world = holding()
    running = world.state.running
    assert running is not None
    at_ns = world.mono_ns
    told = Delivery(
        token=running.token, start_ns=at_ns - 1_000_000, end_ns=at_ns, amplitude=amplitude, n_pulses=0,
        ended=False, confirmed=True,
    )  # fmt: skip
    world.host_says(Delivered(delivery=told))
    world.run_ms(300)
    world.present(world.act("reset"))
    world.run_ms(50)
    return world


def test_a_whole_ledger(path: Path):
    status, out, err = called("verify", path)
    assert (status, err) == (0, "")
    assert out.startswith(f"VERIFIED: {path}\n")
    for words in (
        "chain         whole",
        "2 acts of named persons",
        "same: every decision",
        "2 permits checked",
    ):
        assert words in out
    assert "compare the head with one kept elsewhere" in out


def test_for_programs(path: Path):
    status, out, _ = called("verify", path, "--json")
    told = json.loads(out)
    assert status == 0
    assert (told["ok"], told["answer"], told["execution"], told["acts"]) == (True, "VERIFIED", "same", 2)
    assert told["head"] == head_of(path.read_bytes())
    assert (told["problems"], told["oracle"], told["strays"], told["limits"]) == ([], [], [], "not at hand")


def test_an_anchor_that_fits_and_one_that_does_not(path: Path):
    head = head_of(path.read_bytes())
    status, out, _ = called("verify", path, "--anchor", head)
    assert (status, "1 of 1 found in the file" in out) == (0, True)
    status, out, _ = called("verify", path, "--anchor", head, "--anchor", "0" * 64)
    assert (status, "1 of 2 found in the file" in out) == (1, True)
    assert "problem       anchor 0000000000000000: no line has this hash" in out


def test_a_ledger_cannot_write_over_the_verdict_on_it(path: Path, tmp_path: Path):
    """Whoever forges a ledger makes its hashes anew, and may put into it what a terminal takes for a command."""
    lines = path.read_bytes().splitlines()
    forged = tmp_path / "forged.jsonl"
    for found, put, known in (
        (b'"before":"SAFE"', b'"before":"\\u001b[2J\\u001b[HVERIFIED: all is well"', "NOT VERIFIED"),
        (b'"before":"SAFE"', '"before":"\x9b2J\u202eDEIFIREV"'.encode(), "NOT VERIFIED"),
        (b'"digest":"' + b"a" * 64, b'"digest":"\\u001b[2J', "VERIFIED"),
    ):
        bent = [*lines]
        at = next(n for n, line in enumerate(lines) if found in line)
        bent[at] = lines[at].replace(found, put)
        forged.write_bytes(rechained(bent))
        _, out, _ = called("verify", forged)
        assert out.startswith(f"{known}: {forged}\n")
        assert all(char.isprintable() or char == "\n" for char in out)


@pytest.mark.parametrize("anchor", ("", "abc", "0" * 63, "0" * 65, "G" * 64, "A" * 64))
def test_an_anchor_that_is_none(path: Path, anchor: str):
    status, out, err = called("verify", path, "--anchor", anchor)
    assert (status, out) == (2, "")
    assert "expected a head of 64 hex digits" in err


def test_what_is_damaged_and_what_is_not_there(path: Path, tmp_path: Path):
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(path.read_bytes()[:-9])
    status, out, _ = called("verify", torn)
    assert (status, "tail          torn" in out, "lines may be missing at the end" in out) == (0, True, True)
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(path.read_bytes().replace(b"ann", b"bob", 1))
    status, out, _ = called("verify", bad)
    assert (status, out.splitlines()[0]) == (1, f"NOT VERIFIED: {bad}")
    bad.write_bytes(b"nonsense\n")
    status, out, err = called("verify", bad)
    assert (status, out) == (1, "")
    assert err.startswith(f"nociloop: {bad}: the first line is no ledger's")
    status, _, err = called("verify", tmp_path / "nowhere")
    assert (status, err.count("\n")) == (2, 1)
    os.mkfifo(tmp_path / "fifo")  # nobody writes to it: to read it would wait for ever
    for strange in (tmp_path / "fifo", "/dev/zero", "/dev/null"):
        for verb in ("verify", "show"):
            assert called(verb, strange)[0] == 2
    status, _, err = called("verify", tmp_path)  # a folder without a ledger
    assert (status, "give a ledger.jsonl, or a run folder" in err) == (2, True)


def test_other_code_is_no_tampering(path: Path, tmp_path: Path):
    """What another version wrote and this one decides otherwise: neither a yes nor a forgery."""
    edited = [line.replace(b'"device Fire ', b'"device Fire 1', 1) for line in path.read_bytes().splitlines()]
    file = tmp_path / "other.jsonl"
    file.write_bytes(rechained(edited))
    verdict = verify(file, OTHER)
    assert verdict.execution == "differs under other code"
    assert answer_of(verdict) in (
        "NOT VERIFIED",
        "NOT REPRODUCED BY THIS CODE: verify it with the version that wrote it",
    )
    assert f"{'a' * 64} (other code; here {'b' * 64})" in said_of(verdict)
    assert answer_of(verify(file, SOFTWARE)) == "NOT VERIFIED"
    assert "TAMPERED" in said_of(verify(file, SOFTWARE))


def test_a_ledger_of_another_version_is_no_rubbish(path: Path, tmp_path: Path):
    """Its first line has other fields: who wrote it is told, so that that version can be asked."""
    lines = path.read_bytes().splitlines(keepends=True)
    held = msgspec.json.decode(lines[0])
    held["software"]["nociloop"] = "9.9"
    held["a field of tomorrow"] = 1
    del held["rules"]
    file = tmp_path / "later.jsonl"
    file.write_bytes(msgspec.json.encode(held) + b"\n" + b"".join(lines[1:]))
    status, out, err = called("verify", file)
    assert (status, out) == (1, "")
    assert "it says that nociloop '9.9', digest 'aaaa" in err
    assert "verify it with that version" in err


def test_other_code_alone_is_said_so(path: Path, tmp_path: Path):
    lines = path.read_bytes().splitlines()
    edited = [line.replace(b'"effects":["pet"]', b'"effects":["pet","pet"]', 1) for line in lines]
    file = tmp_path / "other.jsonl"
    file.write_bytes(rechained(edited))
    verdict = verify(file, OTHER)
    assert (verdict.other_code, verdict.ok) == (True, False)
    assert answer_of(verdict).startswith("NOT REPRODUCED BY THIS CODE")
    assert not verify(file, SOFTWARE).other_code
    assert not verify(path, OTHER).other_code  # nothing differs


def test_a_device_that_strayed_is_told_from_a_wrong_permit(tmp_path: Path):
    verdict = verify(write(tmp_path, strayed()), SOFTWARE)
    assert verdict.ok
    assert verdict.oracle == ()
    assert len(verdict.strays) == 1
    assert "delivered 1.5, permitted were" in verdict.strays[0]
    said = said_of(verdict)
    assert said.startswith("VERIFIED; THE DEVICE STRAYED, and the interlock tripped on it: ")
    assert "device        STRAYED: 1 finding" in said
    assert "stray         entry " in said
    assert "agrees with all" in oracle_said(verdict)


def test_a_stray_that_the_interlock_let_pass_speaks_against_it(tmp_path: Path):
    """The same words of the device, in a ledger whose states were bent as if nothing had tripped."""
    content = write(tmp_path, strayed()).read_bytes()
    lines = [line.replace(b'"after":"TRIPPED"', b'"after":"ARMED"') for line in content.splitlines()]
    verdict = judged(tmp_path, rechained(lines), SOFTWARE)
    assert not verdict.ok
    assert any("delivered 1.5, permitted were" in text for text in verdict.oracle)
    assert verdict.strays == ()


def test_a_signature_that_does_not_fit_is_found_whoever_took_it(path: Path):
    """As code that does not check would have written it: re-execution under other code alone would not say so."""
    lines = path.read_bytes().splitlines()
    n = next(n for n, line in enumerate(lines) if b'"act":"arm"' in line)
    act = session().act(key=STRANGER)
    held = msgspec.json.decode(lines[n])
    held["event"][3]["signature"] = act.signature
    forged = [*lines[:n], msgspec.json.encode(held), *lines[n + 1 :]]
    verdict = judged(path, rechained(forged), OTHER)
    assert (
        verdict.problems[0] == f"line {n + 1}: an act by 'ann' was accepted, and its signature does not fit"
    )
    assert verdict.chain  # it was made anew: the signature alone tells
    assert not verdict.ok
    assert not verdict.other_code


def test_an_act_that_was_refused_need_not_be_signed(tmp_path: Path):
    world = World(rules_of()).ready()
    world.present(world.act(key=STRANGER))
    world.present(world.act(person="nobody"))
    world.stop(ends=True)
    world.run_ms(100)
    verdict = verify(write(tmp_path, world), SOFTWARE)
    assert (verdict.ok, verdict.acts) == (True, 0)


def test_an_act_for_another_session_is_found(path: Path):
    lines = path.read_bytes().splitlines()
    other = lines[0].replace(b'"session_id":"s-1"', b'"session_id":"s-2"', 1)
    verdict = judged(path, rechained([other, *lines[1:]]), OTHER)
    assert any("signed for another session" in problem for problem in verdict.problems)


def test_the_limits_file_is_hashed_and_read_again(tmp_path: Path):
    world = World(rules_of())
    world.stop(ends=True)
    world.run_ms(100)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "limits.toml").write_text("limits", encoding="utf-8")
    write(folder, world)
    status, out, _ = called("verify", folder)
    assert status == 1
    assert "problem       limits.toml: not the file that the ledger holds" in out
    assert "NOT VERIFIED" in out
    # Another file beside it says nothing of the ledger itself.
    assert "chain         whole" in out
    assert "not run" not in out
    (folder / "limits.toml").unlink()
    status, out, _ = called("verify", folder / "ledger.jsonl", "--limits", tmp_path / "none.toml")
    assert (status, out) == (2, "")
    assert "limits file   not at hand" in called("verify", folder)[1]


def test_limits_that_are_the_ledgers_own():
    """The bytes that the rules came from; and with one number bent in the ledger, its digest kept."""
    world = World(rules_of())
    content = to_toml(document("tacs"))
    world.rules = msgspec.structs.replace(world.rules, limits=load(content))
    first = msgspec.json.encode(msgspec.structs.replace(genesis_of(world), prev=GENESIS_HASH)) + b"\n"
    assert judged(Path("x"), first, SOFTWARE, limits=content).limits == "the same"
    assert judged(Path("x"), first, SOFTWARE, limits=content + b"\n").limits == "another"
    bent = first.replace(b'"high":2.0', b'"high":2.5', 1)
    assert bent != first
    assert judged(Path("x"), bent, SOFTWARE, limits=content).limits == "another"
    digest = world.rules.limits.digest.encode()
    unreadable = b"nonsense"
    own = first.replace(digest, sha256(unreadable).hexdigest().encode())
    assert judged(Path("x"), own, SOFTWARE, limits=unreadable).limits == "another"
    held = msgspec.structs.replace(world.rules.limits, digest=sha256(unreadable).hexdigest())
    assert _same_limits(unreadable, held) is False and _same_limits(content, held) is False


def test_numbers_that_the_oracle_cannot_reckon_with_are_an_objection(path: Path):
    lines = path.read_bytes().splitlines()
    n = next(n for n, line in enumerate(lines) if b'["host",{"type":"delivered"' in line)
    held = msgspec.json.decode(lines[n])
    held["event"][1]["delivery"]["end_ns"] = 10**4000
    content = rechained([*lines[:n], json.dumps(held, separators=(",", ":")).encode(), *lines[n + 1 :]])
    verdict = judged(path, content, OTHER)
    assert not verdict.ok
    assert verdict.oracle
    assert judge(content) == "tampered"


def test_many_problems_are_not_all_printed(path: Path):
    verdict = verify(path, SOFTWARE)
    many = type(verdict)(**{n: getattr(verdict, n) for n in verdict.__slots__} | {"oracle": ("x",) * 61})
    said = said_of(many)
    assert said.count("objection     x") == 50
    assert "objection     and 11 more" in said
    assert "61 objections" in said


def test_show_as_it_is_typed(path: Path, tmp_path: Path):
    status, out, _ = called("show", path, "--kind", "act", "--person", "ann", "--last", "1")
    assert (status, out.count("\n"), "act reset by ann" in out) == (0, 1, True)
    status, out, _ = called("show", path, "--code", "ILK-001", "--json")
    assert all(json.loads(line)["seq"] for line in out.splitlines())
    status, out, err = called("show", path, "--word", "nothing like it")
    assert (status, out, err) == (0, "", "nociloop: no entry fits\n")
    status, _, err = called("show", path, "--kind", "stopp")
    assert (status, "expected one of request, permit" in err) == (2, True)
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(path.read_bytes()[:-9])
    status, out, err = called("show", torn, "--json")
    assert (status, err.startswith("nociloop: torn tail")) == (0, True)
    assert all(json.loads(line) for line in out.splitlines())
    status, out, err = called("show", tmp_path / "nowhere")
    assert (status, out) == (2, "")


def test_the_code_at_hand_is_the_one_that_judges(path: Path):
    assert isinstance(software(), Software)
    assert json.loads(called("verify", path, "--json")[1])["ours"] == software().digest


def edited(content: bytes, old: bytes, new: bytes, n: int = 0) -> bytes:
    """One line of a ledger bent, every hash made anew; the seal too."""
    lines = content.splitlines()
    where = [index for index, line in enumerate(lines) if old in line][n]
    lines[where] = lines[where].replace(old, new, 1)
    return rechained(lines)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"seq":3,', b'"seq":4,', "line 4: sequence 4, expected 3"),
        (b'"status":4', b'"status":0', "closed with 0, which nothing before it decided"),
    ],
)
def test_what_breaks_the_chain_is_said(path: Path, old: bytes, new: bytes, said: str):
    verdict = judged(path, edited(path.read_bytes(), old, new), SOFTWARE)
    assert [said in problem for problem in verdict.problems] == [True]
    assert (verdict.chain, verdict.execution) == (False, "not run")


def test_what_comes_at_the_end_is_said(path: Path):
    content = path.read_bytes()
    lines = content.splitlines()
    for bent, said in (
        (content.replace(b'"seal":"', b'"seal":"0', 1), f"line {len(lines)}: does not fit its seal"),
        (content + b"x", "the end: something follows the closing line"),
        (rechained([*lines, lines[-1]]), f"line {len(lines)}: closed, but lines follow"),
        (content.replace(b'"prev":"', b'"prev":"1', 1), "line 1: does not follow the line before it (hash)"),
    ):
        assert judged(path, bent, SOFTWARE).problems[0] == said


def test_an_oracle_that_falls_speaks_against_the_ledger(path: Path, monkeypatch: pytest.MonkeyPatch):
    def fall(_: object) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr("safety.verify.judge", fall)
    verdict = verify(path, SOFTWARE)
    assert (verdict.ok, verdict.oracle, verdict.permits) == (False, ("cannot be judged (too large)",), 0)


def test_a_decision_that_falls_speaks_against_the_ledger(path: Path, monkeypatch: pytest.MonkeyPatch):
    def fall(*_: object) -> None:
        raise LookupError("no such thing")

    monkeypatch.setattr("safety.verify.step", fall)
    for ours, execution in ((SOFTWARE, "tampered"), (OTHER, "differs under other code")):
        verdict = verify(path, ours)
        assert verdict.execution == execution
        assert verdict.problems == ("after line 1: cannot be re-executed (no such thing)",)


def test_a_signature_that_is_no_file_of_its_own_is_a_line(tmp_path: Path, path: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "ledger.jsonl").write_bytes(path.read_bytes())
    (folder / "limits.toml.sig").symlink_to(path)
    status, _, err = called("verify", folder)
    assert (status, "expected the signature itself, or none" in err) == (2, True)


def test_show_of_what_is_no_ledger_is_a_line(tmp_path: Path):
    (tmp_path / "x").write_text("x\n")
    status, out, err = called("show", tmp_path / "x")
    assert (status, out, err.count("\n")) == (2, "", 1)


def test_who_reads_no_further_is_no_failure(path: Path, monkeypatch: pytest.MonkeyPatch):
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Closed())
    monkeypatch.setattr("sys.stderr", io.StringIO())
    show_verb(path)
    assert sys.stderr.closed
