"""What an interlock that does not start says to whoever started it by hand."""

from __future__ import annotations

from tests.system.interlock_rig import Rig


def said_in_words(rig: Rig, lines: list[str]) -> None:
    """A refusal stands in words on standard error, after those of earlier starts alone."""
    said = rig.errors().splitlines()
    assert said[-len(lines) :] == [f"nociloop: {line}" for line in lines], said
    assert all(line.startswith("nociloop: ") for line in said), said
