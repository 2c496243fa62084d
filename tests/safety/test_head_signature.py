"""Heads that persons signed after the session: what fits, what was cut or rewritten since, and what is no signature."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from safety import trust
from safety.acts import derive_key, public_key_hex
from safety.head_signature import BYTES_MAX, LINE_BYTES_MAX, SignedHead, encoded, judge_heads, sign, signers
from safety.ledger_verbs import ledger
from safety.limit_values import Person, Signed
from safety.state import Rules
from safety.trust import TrustedKey
from safety.verify import judged, verify
from tests.safety.ledgers import SOFTWARE, rechained, session, write
from tests.safety.world import PEOPLE, World, rules_of

HEAD = "7" * 64
STRANGER = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
PHRASE = "a phrase that is long enough"
SALT = "2" * 32
TYPED = derive_key(PHRASE, SALT)


def signed(
    name: str = "ann",
    key: Ed25519PrivateKey | None = None,
    *,
    head: str = HEAD,
    entries: int = 9,
    reason: str = "read",
    wall_ns: int = 10**18,
) -> SignedHead:
    return sign(key or PEOPLE[name], head=head, entries=entries, person=name, reason=reason, wall_ns=wall_ns)


def head_at(number: int) -> str:
    return HEAD if number == 9 else "0" * 64


def judge(*lines: SignedHead | bytes) -> tuple[tuple[SignedHead, ...], list[str]]:
    content = b"".join(line if isinstance(line, bytes) else encoded(line) for line in lines)
    return judge_heads(rules_of(), head_at, content)


def test_signatures_that_fit_are_all_told():
    both = signed(), signed("bob", reason="and I")
    assert judge(*both) == (both, [])
    assert judge() == ((), [])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (signed(entries=8), "ann signed head 7777777777777777… as that of 8 lines, and the ledger has another there"),
        (signed(head="8" * 64), "ann signed head 8888888888888888… as that of 9 lines"),
        (signed(key=STRANGER), "signed by 'ann' with a key that the ledger's limits do not name"),
        (signed("bob", PEOPLE["ann"]), "signed by 'bob' with a key"),
        *(
            (msgspec.structs.replace(signed(), **changed), "the signature of 'ann' does not fit")
            for changed in (
                {"head": "8" * 64}, {"entries": 8}, {"reason": "rea"}, {"wall_ns": 10**18 + 1},
                {"signature": signed(reason="other").signature}, {"signature": ""},
            )
        ),
        (b"\n", "cannot be read as a signed head"),
        (b"{}\n", "cannot be read"),
        (b"\xff\n", "cannot be read"),
        (b"[" * 4000 + b"\n", "cannot be read"),
        (encoded(signed())[:-1], "cannot be read"),
        (b" " + encoded(signed()), "cannot be read"),
        (encoded(signed()).replace(b'"entries":9', b'"entries":9.0'), "cannot be read"),
        (encoded(signed()).replace(b'"entries":9', b'"entries":' + b"9" * 400), "cannot be read"),
        (encoded(signed()).replace(b'"entries":9', b'"entries":true'), "cannot be read"),
        *(
            (msgspec.structs.replace(signed(), **changed), "cannot be read")
            for changed in (
                {"schema": 2}, {"entries": 0}, {"entries": -1}, {"entries": 2**53}, {"wall_ns": -1},
                {"wall_ns": 2**63}, {"head": "7" * 63}, {"head": "A" * 64}, {"reason": ""}, {"reason": "\x1b[2J"},
                {"reason": "r" * 301}, {"person": "p" * LINE_BYTES_MAX},
            )
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_and_counts_for_nothing(line: SignedHead | bytes, said: str):
    good, problems = judge(signed("bob"), line)
    assert good == (signed("bob"),)
    assert len(problems) == 1 and problems[0].startswith(f".sig line 2: {said}")
    assert all(char.isprintable() for char in problems[0])


def test_the_greatest_numbers_that_fit():
    last = signed(entries=2**53 - 1, wall_ns=2**63 - 1)
    assert judge_heads(rules_of(), lambda _: HEAD, encoded(last)) == ((last,), [])


def test_a_file_without_end_is_not_read():
    line = encoded(signed())
    fits = line * (BYTES_MAX // len(line))
    assert len(judge(fits)[0]) == BYTES_MAX // len(line)
    assert judge(fits + b" " * (BYTES_MAX - len(fits) + 1)) == (
        (), [f".sig: more than {BYTES_MAX} bytes, expected a line a signature"]
    )  # fmt: skip


@given(st.binary(max_size=300), st.integers(0, 600))
def test_any_bytes_are_judged(junk: bytes, at: int):
    line = encoded(signed())
    bent = line[:at] + junk + line[at + len(junk) :]
    good, problems = judge(bent)
    assert (good == (signed(),) and not problems) if bent == line else (not good or problems or not junk)


def test_the_officer_who_signed_the_limits_may_sign():
    key = public_key_hex(STRANGER)
    by = Signed(by="eve", fingerprint="", public_key=key, signature="", simulated_only=False, store="")
    rules: Rules = msgspec.structs.replace(rules_of(), signed=by)
    assert [each.name for each in signers(rules)] == [*PEOPLE, "eve"]
    assert signers(rules)[-1] == Person(name="eve", role="officer", public_key=key, salt="")
    line = signed("eve", STRANGER)
    assert judge_heads(rules, head_at, encoded(line)) == ((line,), [])
    assert judge_heads(rules_of(), head_at, encoded(line))[0] == ()


def test_a_ledger_that_was_rewritten_since_lacks_what_was_signed(tmp_path: Path):
    path = write(tmp_path, session())
    whole = verify(path, SOFTWARE)
    heads = encoded(signed(head=whole.head, entries=whole.entries))
    again = verify(path, SOFTWARE, heads=heads)
    assert again.ok and [each.person for each in again.heads] == ["ann"]
    lines = path.read_bytes().splitlines()
    cut = rechained(lines[:-3])
    shorter = judged(path, cut, SOFTWARE, heads=heads)
    assert judged(path, cut, SOFTWARE).ok
    assert not shorter.ok and "it was cut or rewritten" in shorter.problems[0]
    assert shorter.chain and shorter.execution == "same"


# The verb

CALL = CliRunner()


def called(*arguments: object) -> tuple[int, str, str]:
    done = CALL.invoke(ledger, [str(each) for each in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger whose one person `zoe` has a pass-phrase; its limits were signed by `eve`, of the trust store."""
    monkeypatch.setattr("safety.software.software", lambda: SOFTWARE)
    zoe = Person(name="zoe", role="operator", public_key=public_key_hex(TYPED), salt=SALT)
    by = Signed(
        by="eve", fingerprint="", public_key=public_key_hex(TYPED), signature="", simulated_only=False, store=""
    )  # fmt: skip
    rules = rules_of()
    limits = msgspec.structs.replace(rules.limits, people=(*rules.limits.people, zoe))
    world = World(msgspec.structs.replace(rules, limits=limits))
    world.stop()
    world.run_ms(300)
    (tmp_path / "phrase").write_text(PHRASE)
    (tmp_path / "phrase").chmod(0o600)
    monkeypatch.setattr("safety.kept_signature.holds", lambda *_: True)
    world.rules = msgspec.structs.replace(world.rules, signed=by)
    return write(tmp_path, world)


def sign_as(path: Path, name: str, *more: str) -> tuple[int, str, str]:
    return called("sign", path, "--person", name, "--passphrase-file", path.parent / "phrase", *more)


def test_a_person_signs_and_verify_says_so(path: Path):
    status, out, err = sign_as(path, "zoe", "--reason", "read it all")
    head, beside = verify(path, SOFTWARE).head, path.with_name("ledger.jsonl.sig")
    assert (status, err) == (0, "")
    assert out.startswith("VERIFIED: ") and out.endswith(f"{beside}: head {head} signed by zoe\n")
    _, said, _ = called("verify", path)
    assert "signed head   the whole ledger, by zoe on 20" in said and ": read it all\n" in said
    assert sign_as(path, "zoe")[0] == 0  # another time: a line more
    told = json.loads(called("verify", path, "--json")[1])
    assert [each["reason"] for each in told["heads"]] == ["read it all", "reviewed"]
    assert beside.stat().st_mode & 0o777 == 0o644


def test_an_unsigned_ledger_says_so(path: Path):
    assert "signed head   none of it is signed (nociloop ledger sign)\n" in called("verify", path)[1]


def test_what_was_signed_while_it_still_ran_is_told_by_its_lines(path: Path):
    content = path.read_bytes()
    path.write_bytes(b"".join(content.splitlines(keepends=True)[:2]))
    assert sign_as(path, "zoe")[0] == 0
    path.write_bytes(content)
    n = content.count(b"\n")
    assert f"signed head   lines 1 to 2 of {n}, by zoe" in called("verify", path)[1]


def test_a_ledger_that_is_not_verified_gets_no_name(path: Path):
    path.write_bytes(path.read_bytes().replace(b'"stop"', b'"st0p"', 1))
    status, out, err = sign_as(path, "zoe")
    assert (status, out) == (1, "")
    assert err == f"nociloop: {path}: NOT VERIFIED: nobody's name is put to it; see ledger verify\n"
    assert not path.with_name("ledger.jsonl.sig").exists()


def test_nor_one_whose_signed_head_is_gone(path: Path):
    assert sign_as(path, "zoe")[0] == 0
    path.write_bytes(rechained(path.read_bytes().splitlines()[:-1]))
    assert sign_as(path, "zoe")[0] == 1


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("nobody", (), "--person: found 'nobody', expected somebody whom the ledger's limits name (ann, bob, zoe, eve)"),
        ("ann", (), "pass-phrase of ann: it does not fit the key"),
        ("zoe", ("--reason", ""), "--reason: found 0 characters"),
        ("zoe", ("--reason", "\x1b[2J"), "--reason: found 4 characters"),
        ("eve", (), "--person: the key of eve, who signed the limits, is not in the trust store of this machine"),
    ],
)  # fmt: skip
def test_who_cannot_sign_is_told_why(path: Path, name: str, more: tuple[str, ...], said: str):
    status, _, err = sign_as(path, name, *more)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"nociloop: {said}")
    assert not path.with_name("ledger.jsonl.sig").exists()


@pytest.mark.parametrize("theirs", [True, False])
def test_the_officer_signs_with_the_key_of_the_trust_store(
    path: Path, monkeypatch: pytest.MonkeyPatch, theirs: bool
):
    key = public_key_hex(TYPED if theirs else STRANGER)
    kept = TrustedKey(name="eve", public_key=key, salt=SALT, simulated_only=False)
    monkeypatch.setattr("safety.officers._trusted", lambda: (kept,))
    assert sign_as(path, "eve")[0] == (0 if theirs else 2)


def test_a_trust_store_that_cannot_be_used_is_a_line(path: Path, monkeypatch: pytest.MonkeyPatch):
    def fall() -> None:
        raise trust.TrustError("trust: no")

    monkeypatch.setattr("safety.officers._trusted", fall)
    assert sign_as(path, "eve")[1:] == ("", "nociloop: trust: no\n")


def test_a_place_that_cannot_be_read_or_is_full_is_a_line(path: Path, monkeypatch: pytest.MonkeyPatch):
    beside = path.with_name("ledger.jsonl.sig")
    beside.mkdir()
    status, _, err = sign_as(path, "zoe")
    assert (status, err) == (
        2,
        f"nociloop: {beside}: Is a directory; expected the signed heads themselves, or none\n",
    )
    beside.rmdir()
    assert sign_as(path, "zoe")[0] == 0
    size = beside.stat().st_size
    monkeypatch.setattr("safety.head_signing.BYTES_MAX", 2 * size - 1)
    status, _, err = sign_as(path, "zoe")
    assert (status, beside.stat().st_size) == (2, size)
    assert f"{beside}: found no room in {2 * size - 1} bytes" in err


def test_a_folder_that_nobody_may_write_is_a_line(path: Path, monkeypatch: pytest.MonkeyPatch):
    def fall(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("safety.head_signing.put_durably", fall)
    status, _, err = sign_as(path, "zoe")
    assert (status, err.count("\n")) == (2, 1)
    assert "cannot be written (Permission denied)" in err


def test_a_file_that_turns_unreadable_in_between_is_a_line(path: Path, monkeypatch: pytest.MonkeyPatch):
    reads = iter((b"",))  # it was there when it was verified

    def fall(*_: object, **__: object) -> bytes:
        for content in reads:
            return content
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("safety.head_signing.read_regular", fall)
    status, _, err = sign_as(path, "zoe")
    assert (status, err.count("\n")) == (2, 1)
    assert "cannot be read (Permission denied)" in err
