"""A demonstration leaves no rig behind that a later STOP would have to ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from safety.rig import STOP, stop_sockets
from sim.demo import clear_away


def test_its_sockets_go_and_those_of_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(tmp_path))
    for name in ("demo-1", "demo-12", "rig"):
        (tmp_path / name).mkdir()
        (tmp_path / name / STOP).touch()
    clear_away("demo-1")
    clear_away("never-was")
    assert stop_sockets() == [tmp_path / "demo-12" / STOP, tmp_path / "rig" / STOP]
