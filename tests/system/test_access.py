"""Who may reach a rig: real sockets, accounts and groups. Modes say who enters, the kernel says who is at the far end."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from safety.events import BadFrame
from safety.peers import Door, Peer
from safety.rig import RigError, group_of, writable_directory
from tests.system.interlock_rig import ROOT, WAIT_S, Rig, interlock_rig, until

MEMBERS, OTHERS, SOMEBODY = 64_321, 64_322, 64_323
AS_ROOT = os.getuid() == 0
# Another account, in these groups: what each socket does when it knocks, and what it can list.
KNOCK = """
import os, socket, sys
account, primary, more = int(sys.argv[1]), int(sys.argv[2]), [int(g) for g in sys.argv[3].split(",") if g]
os.setgroups(more); os.setgid(primary); os.setuid(account)
for path in sys.argv[4:]:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(0.4)
    try:
        line.connect(path)
        if path.endswith("acts.sock"):
            line.sendall(b'\\0\\0\\0\\x15{"type":"ask_status"}')
        print("answered" if line.recv(64) else "closed")
    except ConnectionError:
        print("closed")
    except PermissionError:
        print("refused")
    except TimeoutError:
        print("heard")
"""


def knock(rig: Rig, primary: int, more: str, *names: str) -> list[str]:
    """As an account of those groups."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", KNOCK, str(SOMEBODY), str(primary), more]
        + [str(rig.directory / name) for name in names],
        capture_output=True, text=True, timeout=WAIT_S, cwd=ROOT, check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.stdout.split()


def site(rig: Rig) -> Path:
    """The rig's directory made as docs/deploy makes /run/nociloop: its user's and its group's."""
    path = rig.directory.parent
    path.mkdir()
    path.chmod(0o750)
    if AS_ROOT:
        os.chown(path, -1, MEMBERS)
        path.chmod(0o2750)
    rig.folder.chmod(0o711)
    return path


def test_the_group_of_a_site_may_ask_and_act_and_nobody_else_may_enter() -> None:
    """With an interlock of another account, a controller and a person of the group reach it; a stranger not even STOP."""
    if not AS_ROOT:
        return  # only root can be somebody else: the modes alone are tried below
    with interlock_rig(start=False) as rig:
        site(rig)
        assert "ready" in rig.start(), rig.ready
        for name, mode in (("controller.sock", 0o660), ("acts.sock", 0o660), ("stop.sock", 0o666)):
            found = (rig.directory / name).stat()
            assert stat.S_IMODE(found.st_mode) == mode
            assert (found.st_gid == MEMBERS) == (mode == 0o660)
        asked = ("controller.sock", "acts.sock")
        assert knock(rig, OTHERS, "", *asked, "stop.sock") == ["refused"] * 3
        assert knock(rig, OTHERS, str(MEMBERS), "acts.sock") == ["answered"]
        assert knock(rig, MEMBERS, "", "acts.sock") == ["answered"]
        assert knock(rig, OTHERS, str(MEMBERS), "stop.sock") == ["answered"]
        until(lambda: rig.status().phase == "TRIPPED", "STOP by a member of the group")
        assert knock(rig, OTHERS, str(MEMBERS), "controller.sock") == ["heard"]
        assert not [e.event for e in rig.entries() if isinstance(e.event, BadFrame)]
        assert rig.ended_in_order() == 4


def test_credentials_are_asked_for_where_the_modes_were_loosened() -> None:
    """A member only by the modes of the files is none by the kernel's word."""
    if not AS_ROOT:
        return
    with interlock_rig(start=False) as rig:
        path = site(rig)
        assert "ready" in rig.start(), rig.ready
        path.chmod(0o755)
        for name in ("controller.sock", "acts.sock"):
            (rig.directory / name).chmod(0o666)
        assert knock(rig, OTHERS, "", "controller.sock", "acts.sock") == ["closed", "closed"]
        refusals = [e.event for e in rig.entries() if isinstance(e.event, BadFrame)]
        assert [each.source for each in refusals] == [f"uid {SOMEBODY}"]
        assert knock(rig, OTHERS, "", "stop.sock") == ["answered"]
        until(lambda: rig.status().phase == "TRIPPED", "STOP of whoever was let in")
        assert rig.ended_in_order() == 4


def test_without_a_group_that_was_meant_the_user_alone_may_ask() -> None:
    with interlock_rig() as rig:
        for name, mode in (("controller.sock", 0o600), ("acts.sock", 0o600), ("stop.sock", 0o666)):
            assert stat.S_IMODE((rig.directory / name).stat().st_mode) == mode
        if AS_ROOT:
            rig.folder.chmod(0o711)
            assert knock(rig, OTHERS, str(MEMBERS), "controller.sock", "acts.sock") == ["refused", "refused"]
        assert rig.ended_in_order() == 0


@pytest.mark.parametrize(
    ("mode", "meant"),
    [
        (0o750, True), (0o2750, True), (0o770, True), (0o700, False), (0o711, False), (0o755, False),
        (0o710, False), (0o740, False), (0o751, False), (0o754, False),
    ],
)  # fmt: skip
def test_a_group_is_meant_where_it_is_let_in_and_others_are_not(
    tmp_path: Path, mode: int, meant: bool
) -> None:
    path = tmp_path / "site"
    path.mkdir()
    if AS_ROOT:
        os.chown(path, -1, MEMBERS)
    path.chmod(mode)
    gid = path.stat().st_gid
    assert group_of(path) == (gid if meant and gid else None)
    if AS_ROOT:
        os.chown(path, -1, 0)
        path.chmod(mode)
        assert group_of(path) is None  # the group of root is no group of a lab


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (0o750, ""),
        (0o2750, ""),
        (0o1770, ""),
        (0o770, "chmod g-w, or chmod +t"),
        (0o757, "chmod o-w"),
        (0o1777, "chmod o-w"),
    ],
)
def test_who_may_write_the_site_s_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, said: str
) -> None:
    monkeypatch.delenv("NOCILOOP_RUNTIME_DIR")
    path = tmp_path / "site"
    path.mkdir()
    path.chmod(mode)
    monkeypatch.setattr("safety.rig.SITE_DIRECTORY", path)
    if not said:
        assert writable_directory() == path
        return
    with pytest.raises(RigError, match=said.replace("+", r"\+")) as caught:
        writable_directory()
    assert str(path) in str(caught.value)


def test_the_kernel_s_word_on_the_far_end(tmp_path: Path) -> None:
    door = Door(tmp_path / "door", 0o600)
    line = socket.socket(socket.AF_UNIX)
    line.connect(str(tmp_path / "door"))
    taken = door.accept()
    assert taken is not None
    peer = Peer(taken, 1024)
    assert (peer.pid, peer.uid) == (os.getpid(), os.getuid())
    assert {os.getgid(), *os.getgroups()} <= peer.groups
    assert peer.trusted(None)
    peer.uid = SOMEBODY
    assert not peer.trusted(None)
    assert not peer.trusted(MEMBERS)
    assert peer.trusted(os.getgid())
    peer.uid = 0
    assert peer.trusted(None)
    peer.close()
    line.close()
    door.close()


def test_a_kernel_that_names_no_groups_makes_nobody_a_member(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = socket.socketpair(socket.AF_UNIX)
    monkeypatch.setattr("safety.peers.SO_PEERGROUPS", 9_999)
    peer = Peer(left, 1024)
    assert peer.groups == frozenset({os.getgid()})
    peer.close()
    right.close()
