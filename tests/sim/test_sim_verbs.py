"""The verbs of the simulated world hand their options on."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
from typer.testing import CliRunner

from sim import verbs


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint(name="open_device", value="sim.devices.open_device:main", group=verbs.GROUP)
    monkeypatch.setattr(verbs, "_emulators", lambda: {"open_device": point})


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["device"], 0, "NAME is one of: open_device"),
        (["device", "--help"], 0, "NAME is one of: open_device"),
        (["device", "nosuch"], 2, "no such emulator, expected open_device"),
        (["device", "open_device", "--help"], 0, "--contact PATH"),
        (["device", "open_device", "--pty"], 2, "--record"),
        (["relay", "--help"], 0, "--silence-ms"),
        (["--help"], 0, "patient"),
    ],
)
def test_verbs(arguments: list[str], status: int, told: str):
    done = CliRunner().invoke(verbs.app, arguments)
    assert done.exit_code == status and told in done.output
