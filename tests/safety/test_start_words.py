"""An interlock that a person starts says in words why it does not start; a supervisor reads the line for programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def started(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    arguments = ["--limits", str(folder / "none.toml"), "--run-dir", str(folder / "run"), "--session-id", "s"]
    return subprocess.run(
        [sys.executable, "-m", "safety.start", *arguments, "--session-digest", "a" * 64, *more],
        input="",  # a pipe: what a supervisor holds the other end of
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"NOCILOOP_STATE_DIR": str(folder), "NOCILOOP_RUNTIME_DIR": str(folder)},
    )


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_refused_start(tmp_path: Path, by_hand: bool):
    done = started(tmp_path, *([] if by_hand else ["--parent-fd", "0"]))
    assert done.returncode == 3
    (line,) = json.loads(done.stdout)["refused"]
    assert "none.toml: No such file or directory; give the limits file" in line
    assert done.stderr == (f"nociloop: {line}\n" if by_hand else "")
