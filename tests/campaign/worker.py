"""`python -m tests.campaign.worker PROOF`: trials one after another, as told on standard input, one line each.

A process of its own: a trial that hangs or crashes takes no other with it, and whoever asked can end it.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
import traceback

import msgspec

from tests.campaign.proof import Outcome, Proof, Void, proof


class Task(msgspec.Struct, frozen=True):
    """One trial that is asked for."""

    case: str
    seed: int


class Answer(msgspec.Struct, frozen=True):
    """What it found."""

    verdict: str
    text: str
    measured: dict[str, int | float | str]


def main(name: str) -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a trial prints is no answer
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)  # where it hangs; no watching thread, for trials fork
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asked = proof(name)
    for line in sys.stdin.buffer:
        task = msgspec.json.decode(line, type=Task)
        outcome = _tried(asked, task)
        answer = Answer(outcome.verdict, outcome.text[:2000], dict(outcome.measured))
        answers.write(msgspec.json.encode(answer) + b"\n")


def _tried(asked: Proof, task: Task) -> Outcome:
    try:
        return asked.run(task.case, task.seed)
    except Void as error:
        return Outcome("void", str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the next trial is tried
        traceback.print_exc()
        return Outcome("failed", f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
