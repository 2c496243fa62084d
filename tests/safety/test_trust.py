"""The trust store: who may write it decides whose limits hold, so that nothing doubtful in it is taken."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safety.acts import public_key_hex
from safety.rig_tables import WEAK_PUBLIC_KEYS
from safety.trust import KEYS_MAX, Store, TrustedKey, TrustError, add, keys_of, store, written
from tests.safety.homeless import make_homeless

SALT = "00112233445566778899aabbccddeeff"


def key_of(number: int = 0, name: str = "bob", *, simulated_only: bool = False) -> TrustedKey:
    private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return TrustedKey(name=name, public_key=public_key_hex(private), salt=SALT, simulated_only=simulated_only)


@pytest.fixture
def where(tmp_path: Path) -> Store:
    return Store(path=tmp_path / "config" / "trust", simulated_only=False)


def problem(where: Store) -> str:
    with pytest.raises(TrustError) as error:
        keys_of(where)
    line = str(error.value)
    assert line.isprintable() and "found" in line and "expected" in line
    return line


def test_a_key_comes_back_as_it_was_put(where: Store):
    ann, bob = key_of(1, "ann", simulated_only=True), key_of()
    path = add(where, bob)
    assert add(where, ann).read_bytes() == written(ann)
    assert path == where.path / "bob.pub"
    assert path.read_text() == f"nociloop-key 1 ed25519 {bob.public_key} scrypt {SALT} any-endpoint\n"
    assert keys_of(where) == (ann, bob)
    assert where.path.stat().st_mode & 0o777 == 0o700 and path.stat().st_mode & 0o777 == 0o644
    stands_in = Store(path=where.path, simulated_only=True)
    assert keys_of(stands_in) == (ann, msgspec.structs.replace(bob, simulated_only=True))


def test_a_key_is_never_written_over_nor_put_twice(where: Store):
    add(where, key_of())
    with pytest.raises(TrustError, match=r"bob\.pub: found a key of that name"):
        add(where, key_of(1))
    with pytest.raises(TrustError, match=r"eve\.pub: found this key there under another name"):
        add(where, key_of(0, "eve"))
    assert keys_of(where) == (key_of(),)
    (where.path / "eve.pub").write_bytes(written(key_of()))
    assert problem(where).startswith(f"{where.path}/eve.pub: found the key of bob.pub")


def test_what_is_no_key_file_is_not_looked_at(where: Store):
    add(where, key_of())
    (where.path / "README").write_text("keys of the officers")
    (where.path / "bob.pub.old").write_text("x")
    assert keys_of(where) == (key_of(),)


@pytest.mark.parametrize(
    "bend",
    [
        lambda good: b"",
        lambda good: good[:-1],
        lambda good: good + b"\n",
        lambda good: good + good,
        lambda good: b" " + good,
        lambda good: good.replace(b"any-endpoint", b"any-endpoints"),
        lambda good: good.replace(b" any-endpoint", b""),
        lambda good: good.replace(b"any-endpoint", b"Any-Endpoint"),
        lambda good: good.replace(b"key 1", b"key 2"),
        lambda good: good.replace(b"scrypt", b"scrypt "),
        lambda good: good.replace(b"\n", b"\r\n"),
        lambda good: good.upper(),
        lambda good: good.decode().encode("utf-16"),
        lambda good: b"#" * 100_000,
        lambda good: good + b"\x00" * 200,
    ],
)
def test_a_file_that_is_not_whole_spoils_the_store(where: Store, bend: Callable[[bytes], bytes]):
    path = add(where, key_of())
    path.write_bytes(bend(written(key_of())))
    assert problem(where).startswith(f"{path}: found something else")


@pytest.mark.parametrize("name", ["b b.pub", ".pub", "é.pub", "x" * 65 + ".pub"])
def test_a_name_that_no_person_can_have(where: Store, name: str):
    add(where, key_of())
    (where.path / name).write_bytes(written(key_of(1)))
    assert "found something else" in problem(where)


def test_a_key_of_small_order_is_refused(where: Store):
    for weak in sorted(WEAK_PUBLIC_KEYS):
        add(where, key_of())
        path = where.path / "bob.pub"
        path.write_bytes(written(msgspec.structs.replace(key_of(), public_key=weak)))
        assert "anybody can sign for" in problem(where)
        path.unlink()


def test_a_link_a_folder_or_a_pipe_is_no_key(where: Store, tmp_path: Path):
    path = add(where, key_of())
    elsewhere = tmp_path / "bob.pub"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert problem(where).startswith(f"{path}: found ")
    path.unlink()
    path.mkdir()
    assert problem(where).startswith(f"{path}: found Is a directory")
    path.rmdir()
    os.mkfifo(path)
    assert problem(where).startswith(f"{path}: found not a regular file")  # and does not hang
    path.unlink()
    elsewhere.rename(path)
    assert keys_of(where) == (key_of(),)


@pytest.mark.parametrize("mode", [0o020, 0o002, 0o022])
def test_nobody_else_may_write_it(where: Store, mode: int):
    path = add(where, key_of())
    path.chmod(0o644 | mode)
    assert problem(where).startswith(f"{path}: found it writable by others")
    path.chmod(0o644)
    where.path.chmod(0o755 | mode)
    assert problem(where).startswith(f"{where.path}: found it writable by others")
    where.path.chmod(0o1755 | mode)  # the sticky bit lets others add files all the same
    assert problem(where).startswith(f"{where.path}: found it writable by others")
    where.path.chmod(0o755)
    above = where.path.parent
    above.chmod(0o755 | mode)
    assert problem(where).startswith(f"{above}: found it writable by others")
    assert keys_of(Store(path=where.path, simulated_only=False, named=True)) == (key_of(),)
    above.chmod(0o1755 | mode)  # as /tmp: others cannot rename what is ours
    assert keys_of(where) == (key_of(),)


def test_a_store_that_may_not_be_read(where: Store, monkeypatch: pytest.MonkeyPatch):
    add(where, key_of())

    def denied(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", denied)
    assert problem(where).startswith(f"{where.path}: found Permission denied, expected a store that")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_it_belongs_to_root_or_to_us(where: Store):
    path = add(where, key_of())
    os.chown(path, 65_534, 65_534)
    assert problem(where).startswith(f"{path}: found it writable by others or owned by another user")
    os.chown(path, 0, 0)
    os.chown(where.path, 65_534, 65_534)
    assert problem(where).startswith(f"{where.path}: found it writable by others or owned by another user")


def test_it_is_a_directory_and_no_link_to_one(where: Store, tmp_path: Path):
    assert problem(where).startswith(f"{where.path}: found No such file or directory")
    add(where, key_of())
    linked = Store(path=tmp_path / "linked", simulated_only=False)
    linked.path.symlink_to(where.path)
    assert problem(linked).startswith(f"{linked.path}: found no directory")
    (tmp_path / "above").symlink_to(
        where.path.parent
    )  # above it, links are followed and what they lead to is judged
    assert keys_of(Store(path=tmp_path / "above" / "trust", simulated_only=False)) == (key_of(),)
    plain = Store(path=tmp_path / "plain", simulated_only=False)
    plain.path.write_text("")
    assert problem(plain).startswith(f"{plain.path}: found no directory")
    with pytest.raises(TrustError, match="found no directory"):
        add(plain, key_of())
    inside = Store(path=plain.path / "trust", simulated_only=False)
    with pytest.raises(TrustError, match=r"bob\.pub: cannot be written \(Not a directory\)"):
        add(inside, key_of())


def test_what_is_made_above_it_is_not_open_to_a_group(tmp_path: Path):
    where = Store(path=tmp_path / "a" / "b" / "trust", simulated_only=False)
    before = os.umask(0o002)
    try:
        add(where, key_of())
    finally:
        os.umask(before)
    assert [each.stat().st_mode & 0o777 for each in (where.path, where.path.parent, where.path.parent.parent)] == [
        0o700, 0o755, 0o755,
    ]  # fmt: skip
    assert keys_of(where) == (key_of(),)


def test_the_number_of_keys_is_bounded(where: Store):
    for number in range(KEYS_MAX):
        where.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        (where.path / f"k{number}.pub").write_bytes(written(key_of(number)))
    assert len(keys_of(where)) == KEYS_MAX
    (where.path / "more.pub").write_bytes(written(key_of(KEYS_MAX)))
    assert problem(where).startswith(f"{where.path}: found {KEYS_MAX + 1} keys")


def test_which_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    site = tmp_path / "etc" / "trust"
    monkeypatch.delenv("NOCILOOP_TRUST_DIR", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert store(site) == Store(path=tmp_path / "xdg" / "nociloop" / "trust", simulated_only=False)
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert store(site).path == tmp_path / "home" / ".config" / "nociloop" / "trust"
    monkeypatch.setenv("NOCILOOP_TRUST_DIR", "own")
    assert store(site) == Store(path=Path("own").absolute(), simulated_only=False, named=True)
    # Where the site has one, no other stands beside it; one that is named instead is good for simulation.
    site.parent.mkdir()
    site.symlink_to(tmp_path / "nowhere")
    assert store(site) == Store(path=Path("own").absolute(), simulated_only=True, named=True)
    monkeypatch.delenv("NOCILOOP_TRUST_DIR")
    assert store(site) == Store(path=site, simulated_only=False)


def test_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    make_homeless(monkeypatch, "NOCILOOP_TRUST_DIR", "XDG_CONFIG_HOME")
    with pytest.raises(TrustError, match="NOCILOOP_TRUST_DIR"):
        store(tmp_path / "none")
