"""What `run --attach` finds at the rig, and what it says where it cannot take part."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from controller import running
from controller.running import NotStarted
from safety.messages import Phase, StatusReport

FILES = SimpleNamespace(limits=SimpleNamespace(rig="demo"))


def status(
    phase: Phase = "SAFE", *, controller: bool = False, code: str = "", text: str = ""
) -> StatusReport:
    return StatusReport(
        phase=phase, code=code, text=text, session_id="s-7", nonce="n", simulated=True, controller=controller, missing=()
    )  # fmt: skip


def waiting(
    found: dict[Path, StatusReport], monkeypatch: pytest.MonkeyPatch, *, shadow: bool = False
) -> tuple[Path, str]:
    places = (Path("/site/demo"), Path("/site/another"), Path("/own/demo"))
    monkeypatch.setattr(running, "rig_directories", lambda _: places)
    monkeypatch.setattr(running, "_ask", lambda path: found.get(path.parent.parent))
    return running._waiting(FILES, shadow=shadow)  # type: ignore[arg-type]


def test_the_first_rig_that_answers_names_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waiting({Path("/own"): status()}, monkeypatch) == (Path("/own/demo"), "s-7")
    both = {Path("/own"): status(), Path("/site"): status()}
    assert waiting(both, monkeypatch) == (Path("/site/demo"), "s-7")


@pytest.mark.parametrize(
    ("found", "shadow", "exit_status", "said"),
    [
        ({}, False, 3, "no interlock answers there; start it first (docs/deploy)"),
        ({Path("/own"): status()}, True, 2, "start the interlock itself with --shadow"),
        ({Path("/own"): status(controller=True)}, False, 3, "has a controller already"),
        ({Path("/own"): status("READY", controller=True)}, False, 3, "has a controller already"),
        ({Path("/own"): status("ARMED", controller=True)}, False, 3, "has a controller already"),
        (
            {Path("/own"): status("TRIPPED", code="ILK-001", text="STOP was pressed")}, False, 3,
            "tripped, ILK-001 STOP was pressed; a named person resets it first (nociloop reset)",
        ),
    ],
)  # fmt: skip
def test_where_it_cannot_take_part_it_says_why(
    found: dict[Path, StatusReport],
    shadow: bool,
    exit_status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(NotStarted, match=r"^(rig demo|--shadow): ") as caught:
        waiting(found, monkeypatch, shadow=shadow)
    assert said in str(caught.value)
    assert caught.value.exit_status == exit_status
