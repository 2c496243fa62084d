"""Where rigs are looked for: STOP finds every rig of this user from any shell, and no socket of anybody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from safety import rig
from safety.rig import STOP, directories, stop_sockets


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The directories of a machine of its own: a rig in each, and an environment without a word of them."""
    uid = str(os.getuid())
    found = {
        "site": tmp_path / "run" / "nociloop",
        "login": tmp_path / "run" / "user" / uid / "nociloop",
        "tmp": tmp_path / "tmp" / f"nociloop-{uid}",
    }
    monkeypatch.setattr(rig, "SITE_DIRECTORY", found["site"])
    monkeypatch.setattr(rig, "USERS", found["login"].parents[1])
    monkeypatch.setattr(rig, "SHARED_TMP", found["tmp"].parent)
    monkeypatch.delenv("NOCILOOP_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    for name, directory in found.items():
        (directory / name).mkdir(parents=True)
        (directory / name / STOP).touch()
    return found


def _rigs() -> list[str]:
    return [path.parent.name for path in stop_sockets()]


def test_stop_finds_a_rig_from_a_shell_without_its_environment(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    """A rig of the desktop's session, stopped over ssh or by cron; and one that cron started, from the desktop."""
    assert _rigs() == ["site", "tmp", "login"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(places["login"].parent))
    assert directories()[1] == places["login"]
    assert _rigs() == ["site", "login", "tmp"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(places["login"].parents[2] / "elsewhere"))
    assert _rigs() == ["site", "login", "tmp"]


def test_a_named_directory_replaces_all_others(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(places["tmp"]))
    assert _rigs() == ["tmp"]


def test_nobody_else_can_confirm_a_stop(
    places: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Everybody may make a directory of that name where all may write, or a link to one of their own."""
    away = tmp_path / "away"
    places["tmp"].rename(away)
    places["tmp"].symlink_to(away)
    assert _rigs() == ["site", "login"]
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (rig.SHARED_TMP / "nociloop-12345" / "theirs").mkdir(parents=True)
    (rig.SHARED_TMP / "nociloop-12345" / "theirs" / STOP).touch()
    assert _rigs() == ["site"]
