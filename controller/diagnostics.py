"""Diagnostics: the traceback of an internal failure, in a file instead of on the screen."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path


def write_diagnostics(error: BaseException, args: Sequence[str]) -> str:
    """Write what happened to a new file that only its owner may read; where it is, or why it is nowhere."""
    text = "".join(
        [
            f"nociloop {_version()}, Python {sys.version}, {platform.platform()}\n",
            f"arguments: {list(args)!r}\n\n",
            *traceback.format_exception(error),
        ]
    )
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    problem = "no folder to write to"
    for folder in _folders():
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd, name = tempfile.mkstemp(prefix=f"failure-{now}-", suffix=".txt", dir=folder)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
            return name
        except OSError as why:
            problem = f"{folder}: {why.strerror}"
    return f"it with NOCILOOP_DEBUG=1 (no file could be written: {problem})"


def _folders() -> Iterator[Path]:
    state = os.environ.get("XDG_STATE_HOME")
    if state:
        yield Path(state) / "nociloop"
    try:
        yield Path.home() / ".local" / "state" / "nociloop"
    except RuntimeError:
        pass  # an account without a home
    yield Path(tempfile.gettempdir())


def _version() -> str:
    try:
        return metadata.version("nociloop")
    except metadata.PackageNotFoundError:
        return "(not installed)"
