"""liblsl is kept quiet, and a configuration of the user's own is never touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller import lsl_log


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("LSLAPICFG", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


def test_without_a_configuration_only_the_log_is_changed(bare: Path):
    lsl_log.quiet()
    path = Path(os.environ["LSLAPICFG"])
    assert path.read_text() == lsl_log.QUIET
    assert "SessionID" not in lsl_log.QUIET
    assert "ResolveScope" not in lsl_log.QUIET


@pytest.mark.parametrize("place", ["lsl_api.cfg", "lsl_api/lsl_api.cfg"])
def test_the_users_own_file_holds(bare: Path, place: str):
    path = bare / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("[lab]\nSessionID = ours\n")
    lsl_log.quiet()
    assert "LSLAPICFG" not in os.environ
    assert lsl_log.config_file()


def test_the_users_own_variable_holds(bare: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LSLAPICFG", "elsewhere.cfg")
    lsl_log.quiet()
    assert os.environ["LSLAPICFG"] == "elsewhere.cfg"


def test_a_directory_that_cannot_be_written_costs_only_some_lines_of_log(
    bare: Path, monkeypatch: pytest.MonkeyPatch
):
    (bare / "run").write_text("a file, not a directory")
    lsl_log.quiet()
    assert "LSLAPICFG" not in os.environ
