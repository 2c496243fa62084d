"""Where a site keeps what outlives a session, and where what a real device left is looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from safety.site import SITE_STATE, SiteError, check_for_real, state_directory, state_folder
from tests.safety.homeless import make_homeless


def test_the_site_s_directory_else_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NOCILOOP_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert state_directory(tmp_path) == tmp_path
    assert state_directory(tmp_path / "none") == tmp_path / "xdg" / "nociloop"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_directory(tmp_path / "none") == tmp_path / ".local" / "state" / "nociloop"
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(tmp_path / "own"))
    assert state_directory() == tmp_path / "own"
    assert state_folder("rigs") == tmp_path / "own" / "rigs"
    assert Path("/var/lib/nociloop") == SITE_STATE


def test_what_a_real_device_left_is_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Tripped there, it would start untripped beside it."""
    site, home = tmp_path / "site", tmp_path / "home"
    own = home / ".local" / "state" / "nociloop"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("NOCILOOP_STATE_DIR", raising=False)
    check_for_real(site)
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(own))
    check_for_real(site)
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(tmp_path / "other"))
    with pytest.raises(
        SiteError, match=f"found {tmp_path}/other, expected {own}: any other is good for simulated"
    ):
        check_for_real(site)
    monkeypatch.delenv("NOCILOOP_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    with pytest.raises(SiteError, match=f"found {tmp_path}/other/nociloop, expected {own}: "):
        check_for_real(site)
    site.mkdir()
    check_for_real(site)
    monkeypatch.delenv("XDG_STATE_HOME")
    for wrong in (own, tmp_path / "other"):
        monkeypatch.setenv("NOCILOOP_STATE_DIR", str(wrong))
        with pytest.raises(SiteError, match=f"found {wrong}, expected {site}: "):
            check_for_real(site)
    (tmp_path / "link").symlink_to(site)
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(tmp_path / "link"))
    check_for_real(site)
    monkeypatch.delenv("NOCILOOP_STATE_DIR")
    monkeypatch.setattr(os, "access", lambda *_: False)  # another account's: ours would be beside it
    with pytest.raises(
        SiteError, match=f"found {own}, expected {site}: .* under an account that may write {site}$"
    ):
        check_for_real(site)


def test_a_user_without_a_home_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_homeless(monkeypatch, "NOCILOOP_STATE_DIR", "XDG_STATE_HOME")
    with pytest.raises(SiteError, match="no home directory"):
        state_directory(tmp_path / "none")


def test_state_where_anybody_may_put_an_older_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whose latch and stores are in it: a directory that all may write may be given others, sticky or not."""
    monkeypatch.delenv("NOCILOOP_STATE_DIR", raising=False)
    own = tmp_path / "nociloop"
    own.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for mode in (0o703, 0o702, 0o1777):
        own.chmod(mode)
        for site in (own, tmp_path / "none"):
            with pytest.raises(SiteError, match=f"^{own}: anybody may write it, expected .*; chmod o-w$"):
                state_directory(site)
    own.chmod(0o770)
    assert state_directory(tmp_path / "none") == state_directory(own) == own
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(own))
    own.chmod(0o777)
    with pytest.raises(SiteError, match="anybody may write it"):
        state_directory()


def test_a_folder_that_anybody_may_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(tmp_path))
    (tmp_path / "rigs").mkdir()
    os.chmod(tmp_path / "rigs", 0o777)
    with pytest.raises(SiteError, match="anybody may write it"):
        state_folder("rigs")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(tmp_path / "file"))
    with pytest.raises(SiteError, match="set NOCILOOP_STATE_DIR"):
        state_folder("rigs")
