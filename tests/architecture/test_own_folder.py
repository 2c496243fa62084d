"""What a killed run leaves is taken away by the next one, and what a run that lives has is left alone."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.own_folder import PREFIX, YOUNG_S, own_folder


def made(above: Path, name: str, *, old: bool = True) -> Path:
    path = above / f"{PREFIX}{name}"
    (path / "state").mkdir(parents=True)
    if old:
        then_s = path.stat().st_mtime - YOUNG_S - 1
        os.utime(path, (then_s, then_s))
    return path


def test_only_what_nobody_holds_any_more_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = [made(tmp_path, "young", old=False), made(tmp_path, "held")]
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(outside)
    left = made(tmp_path, "left")
    held = os.open(kept[1], os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        own = own_folder()
    finally:
        os.close(held)
    assert not left.exists() and outside.is_dir()
    assert all(each.is_dir() for each in (*kept, own))


def test_a_run_takes_its_own_away_at_its_end(tmp_path: Path):
    code = "from tests.own_folder import own_folder; print(own_folder())"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    path = Path(ran.stdout.strip())
    assert path.parent == tmp_path and not path.exists()
