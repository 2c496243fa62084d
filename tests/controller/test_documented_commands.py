"""Every `nociloop` line of the documents is a call that the command takes: verb, arguments and options are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer

from controller.cli import GROUP

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("*/README.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"```\w*\n(.*?)```", re.DOTALL)


def calls(text: str) -> Iterator[str]:
    """Each call in a fenced block, without what stands before nociloop, and without its comment."""
    for block in FENCE.findall(text):
        for line in block.splitlines():
            call = re.search(r"(?:^|sudo (?:-u \S+ )?)\s*(nociloop [^#]*)", line)
            if call and not call.group(1).startswith(("nociloop ·", "nociloop VERB")):
                yield call.group(1).strip()


CALLS = [
    pytest.param(call, id=f"{path.relative_to(ROOT)}: {call[:60]}")
    for path in DOCUMENTS
    for call in calls(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("call", CALLS)
def test_a_documented_call_is_one_that_there_is(call: str) -> None:
    _, verb, *words = shlex.split(call.replace("[", " ").replace("]", " "))
    entry = next((each for each in entry_points(group=GROUP) if each.name == verb), None)
    assert entry is not None, f"no verb {verb}"
    if verb == "stop":  # reads its arguments itself
        assert words in ([], ["--json"])
        return
    found = entry.load()
    app = found if isinstance(found, typer.Typer) else typer.Typer()
    if app is not found:
        app.command()(found)
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name = words.pop(0).partition("|")[0]
        assert name in command.commands, f"no {name} in {sorted(command.commands)}"
        command = command.commands[name]
    if command.context_settings.get("ignore_unknown_options"):
        return  # hands its arguments on
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    assert unknown == []


def test_there_are_calls_in_each_place_that_an_officer_reads() -> None:
    for name in (
        "README.md",
        "safety/README.md",
        "docs/safety-officer.md",
        "docs/budgets.md",
        "docs/deploy/README.md",
    ):
        assert list(calls((ROOT / name).read_text(encoding="utf-8"))), name


def test_a_call_is_found_with_its_sudo_and_without_its_comment() -> None:
    text = (
        "```\nsudo -u x nociloop limits show A  # why --not\n  nociloop stop\nplain\n```\nnociloop outside\n"
    )
    assert list(calls(text)) == ["nociloop limits show A", "nociloop stop"]
