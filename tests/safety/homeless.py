"""A user without a home directory."""

from __future__ import annotations

from pathlib import Path

import pytest


def make_homeless(monkeypatch: pytest.MonkeyPatch, *variables: str) -> None:
    """No home, and none of the variables that would stand in for it."""
    for name in variables:
        monkeypatch.delenv(name, raising=False)

    def nowhere() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", nowhere)
