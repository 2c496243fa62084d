"""Where a pass-phrase may come from, and what is no pass-phrase of that person."""

from __future__ import annotations

import getpass
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from safety.acts import PassphraseError, public_key_hex
from safety.passphrase import BYTES_MAX, read_passphrase, unlock_key
from safety.people import new_person, table_of

PHRASE = "correct horse battery staple"


def secret(folder: Path, content: bytes = PHRASE.encode() + b"\n", mode: int = 0o600) -> Path:
    path = folder / "phrase"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def problem(call: Callable[[], object]) -> str:
    with pytest.raises(PassphraseError) as error:
        call()
    line = str(error.value)
    assert line.startswith("pass-phrase of ann: ") and line.isprintable() and PHRASE not in line
    return line


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_file_of_its_owner_alone(tmp_path: Path, end: bytes):
    assert read_passphrase("ann", secret(tmp_path, PHRASE.encode() + end)) == PHRASE
    assert read_passphrase("ann", secret(tmp_path, mode=0o400)) == PHRASE


def test_the_longest_there_may_be(tmp_path: Path):
    longest = "x" * BYTES_MAX
    assert read_passphrase("ann", secret(tmp_path, longest.encode())) == longest
    theirs, ours = os.pipe()
    os.write(ours, longest.encode())
    os.close(ours)
    assert read_passphrase("ann", fd=theirs) == longest
    os.close(theirs)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o610, 0o601, 0o602, 0o620, 0o777])
def test_a_file_that_others_can_touch(tmp_path: Path, mode: int):
    path = secret(tmp_path, mode=mode)
    assert f"{path}: found mode {mode:04o}, expected" in problem(lambda: read_passphrase("ann", path))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else(tmp_path: Path):
    path = secret(tmp_path)
    os.chown(path, 65_534, 65_534)
    assert "expected a file that its owner" in problem(lambda: read_passphrase("ann", path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff" * 20, "not UTF-8"),
        (b"one\ntwo\n", "several lines"),
        (b"x" * (BYTES_MAX + 1), f"more than {BYTES_MAX} bytes"),
        (b"x" * 1_000_000, f"more than {BYTES_MAX} bytes"),
    ],
)
def test_a_file_that_holds_no_phrase(tmp_path: Path, content: bytes, said: str):
    path = secret(tmp_path, content)
    assert said in problem(lambda: read_passphrase("ann", path))


def test_a_file_that_is_none(tmp_path: Path):
    assert "No such file" in problem(lambda: read_passphrase("ann", tmp_path / "none"))
    assert "Is a directory" in problem(lambda: read_passphrase("ann", tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in problem(lambda: read_passphrase("ann", tmp_path / "pipe"))


def test_a_descriptor_is_read_to_its_end_or_a_line_s():
    for written, closed in ((PHRASE.encode(), True), (PHRASE.encode() + b"\n", False)):
        theirs, ours = os.pipe()
        os.write(ours, written)
        if closed:
            os.close(ours)
        assert read_passphrase("ann", fd=theirs) == PHRASE
        os.close(theirs)
        if not closed:
            os.close(ours)


def test_a_descriptor_that_gives_nothing_good():
    theirs, ours = os.pipe()
    os.write(ours, b"x" * (BYTES_MAX + 1))
    assert "more than" in problem(lambda: read_passphrase("ann", fd=theirs))
    for fd in (theirs, ours):
        os.close(fd)
    assert f"descriptor {theirs}: " in problem(lambda: read_passphrase("ann", fd=theirs))
    assert "descriptor -1: " in problem(lambda: read_passphrase("ann", fd=-1))
    assert "descriptor 9999999999999999999999: " in problem(
        lambda: read_passphrase("ann", fd=9999999999999999999999)
    )
    assert "expected one of them" in problem(lambda: read_passphrase("ann", Path("x"), 0))


def test_typed_once_or_twice(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def answers(*given: str) -> None:
        left = iter(given)

        def typed(prompt: str) -> str:
            asked.append(prompt)
            return next(left)

        monkeypatch.setattr(getpass, "getpass", typed)

    answers(PHRASE)
    assert read_passphrase("ann") == PHRASE and asked == ["pass-phrase of ann: "]
    answers(PHRASE, PHRASE)
    assert read_passphrase("ann", twice=True) == PHRASE and asked[1:] == [
        "pass-phrase of ann: ",
        "once more: ",
    ]
    answers(PHRASE, "another")
    assert "the two differ" in problem(lambda: read_passphrase("ann", twice=True))


@pytest.mark.parametrize("error", [EOFError(), OSError(6, "No such device"), getpass.GetPassWarning("seen")])
def test_without_a_terminal(monkeypatch: pytest.MonkeyPatch, error: Exception):
    def raises(prompt: str) -> str:
        raise error

    monkeypatch.setattr(getpass, "getpass", raises)
    assert "no terminal" in problem(lambda: read_passphrase("ann"))


def test_nothing_is_typed_where_it_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    """What getpass only warns of: a standard input that is no terminal. Nothing is read from it."""

    def falls_back(prompt: str) -> str:
        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=2)
        return PHRASE

    monkeypatch.setattr(getpass, "getpass", falls_back)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert "no terminal" in problem(lambda: read_passphrase("ann"))


def test_only_the_person_s_own_phrase_unlocks_the_key(tmp_path: Path):
    person = new_person("ann", "operator", PHRASE)
    assert table_of(person) == (
        f'[people.ann]\nrole = "operator"\npublic_key = "{person.public_key}"\nsalt = "{person.salt}"\n'
    )
    key = unlock_key("ann", person.salt, person.public_key, secret(tmp_path))
    assert public_key_hex(key) == person.public_key
    other = secret(tmp_path, PHRASE.upper().encode())
    assert "does not fit the key" in problem(lambda: unlock_key("ann", person.salt, person.public_key, other))
    short = secret(tmp_path, b"short")
    assert "has 5 characters" in problem(lambda: unlock_key("ann", person.salt, person.public_key, short))
