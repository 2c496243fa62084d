"""Resumable: what is still to be tried of each case is tried, in processes of its own, until the bar or the deadline."""

from __future__ import annotations

import datetime
import itertools
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, cast

import msgspec

from sim.load import under
from tests.campaign import results
from tests.campaign.proof import ROOT, Case, Outcome, Proof, Result, Verdict, commit, proof
from tests.campaign.worker import Answer, Task

Form = Literal["short", "long"]
TAG = "NOCILOOP_CAMPAIGN"  # in the environment of everything that a worker starts
FAILURES_MAX = 50  # of a proof: enough to see what is wrong; of a list each failure is a piece of work
PROGRESS_S = 10.0
END_S = 20.0


class Worker:
    """One process that tries, one trial at a time."""

    def __init__(self, name: str) -> None:
        self._name, self._tag = name, uuid.uuid4().hex
        self._process: subprocess.Popen[bytes] | None = None

    def tried(self, task: Task, timeout_s: float) -> Outcome:
        """One trial; a process that does not answer in time, or ends, has failed, and the next trial has a new one."""
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(task) + b"\n")
            process.stdin.flush()
        except OSError:
            pass  # it has ended: nothing will be read
        line = _line(process.stdout.fileno(), timeout_s)
        if line is None:
            process.send_signal(signal.SIGUSR1)  # it writes where it is
            time.sleep(0.2)
            self.kill()
            return Outcome("failed", f"no answer within {timeout_s:g} s: it hangs")
        if not line:
            status = process.wait(END_S)
            self.kill()
            return Outcome("failed", f"its process ended with {status}")
        answer = msgspec.json.decode(line, type=Answer)
        return Outcome(cast(Verdict, answer.verdict), answer.text, answer.measured)

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.campaign.worker", self._name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=os.environ | {TAG: self._tag},
        )  # fmt: skip
        return self._process

    def end(self) -> None:
        """Let it end in order, and then make sure of it."""
        if self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.close()
                self._process.wait(END_S)
            except (OSError, subprocess.TimeoutExpired):
                pass
        self.kill()

    def kill(self) -> None:
        """Kill it and all that it started, stopped processes too."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(END_S)
            for pipe in (process.stdin, process.stdout):
                try:
                    if pipe is not None:
                        pipe.close()
                except OSError:
                    pass  # what was not read by it is lost with it
        for pid in tagged(self._tag):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it ended between the two


def tagged(tag: str) -> list[int]:
    """Every process that carries a tag in its environment."""
    mark, found = f"{TAG}={tag}\0".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes() + b"\0":
                found.append(int(entry.name))
        except OSError:
            continue  # gone meanwhile, or another user's
    return found


def _line(descriptor: int, timeout_s: float) -> bytes | None:
    """One line, empty at the end of the file, None when the time is over."""
    end_s, data = time.monotonic() + timeout_s, b""
    while not data.endswith(b"\n"):
        readable, _, _ = select.select([descriptor], [], [], max(0.0, end_s - time.monotonic()))
        if not readable:
            return None
        more = os.read(descriptor, 1_000_000)
        if not more:
            return b""
        data += more
    return data


def code_of(asked: Proof, case: Case) -> str:
    """The digest of what a case is tried on, where results depend on it."""
    return asked.code(case.name) if asked.code is not None else ""


def counted(asked: Proof, case: Case, known: Sequence[Result]) -> list[Result]:
    """The results that count for a case; where it is a list, those of what stands in it now."""
    code = code_of(asked, case)
    stands = asked.stands or (lambda _: True)
    listed = None if asked.seeds is None else set(asked.seeds(case.name))
    return [
        each
        for each in known
        if each.case == case.name
        and each.code == code
        and (listed is None or each.seed in listed)
        and stands(each)
    ]


def bar_of(asked: Proof, case: Case, form: Form) -> int:
    """Units to be tried: a list to its end, or the bar of this form."""
    bar = case.long if form == "long" else case.short
    return min(bar, len(asked.seeds(case.name))) if asked.seeds is not None else bar


def _pending(asked: Proof, case: Case, known: Sequence[Result], form: Form) -> Iterator[Task]:
    """Trials of a case that are still to be made, one after another; the caller stops at the bar."""
    tried = {each.seed for each in counted(asked, case, known)}
    if asked.seeds is not None:
        held = {each.seed for each in counted(asked, case, known) if each.outcome not in ("void", "failed")}
        listed = sorted((seed for seed in asked.seeds(case.name) if seed not in held), key=tried.__contains__)
        yield from (Task(case.name, seed) for seed in listed[: bar_of(asked, case, form)])
        return
    for seed in itertools.count():
        if seed not in tried:
            yield Task(case.name, seed)


class Campaign:
    """One proof, being tried."""

    def __init__(
        self,
        asked: Proof,
        form: Form,
        folder: Path,
        deadline_s: float,
        say: Callable[[str], None],
        only: str = "",
    ) -> None:
        self._proof, self._form, self._folder, self._say = asked, form, folder, say
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        words = only.split(",")
        self._cases = {case.name: case for case in asked.cases() if any(word in case.name for word in words)}
        self._done: Counter[str] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._flying: Counter[str] = Counter()
        self._size: dict[str, int] = {}  # units that a trial of this case counted last
        known = results.load(folder, asked.name)
        for case in self._cases.values():
            for each in counted(asked, case, known):
                again = (
                    ("void",) if asked.seeds is None else ("void", "failed")
                )  # of a list these are tried again
                self._done[case.name] += each.n if each.outcome not in again else 0
        self._sources = {name: _pending(asked, case, known, form) for name, case in self._cases.items()}
        self._said_s = time.monotonic()

    def run(self, jobs: int) -> bool:
        """Try until the bar of each case, or the deadline; whether nothing failed now."""
        trouble: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
        threads = [threading.Thread(target=self._serve, args=(trouble,), daemon=True) for _ in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:  # a trial in hand is bounded by its own time-out
            thread.join(max(0.0, self._deadline_s - time.monotonic()) + self._proof.timeout_s + 3 * END_S)
        self._say(self._progress())
        if not trouble.empty():
            raise trouble.get()
        return not self._verdicts["failed"] and not any(thread.is_alive() for thread in threads)

    def _serve(self, trouble: queue.SimpleQueue[BaseException]) -> None:
        worker = Worker(self._proof.name)
        try:
            while (task := self._next()) is not None:
                self._note(task, worker.tried(task, self._proof.timeout_s))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            trouble.put(error)
        finally:
            worker.end()

    def _next(self) -> Task | None:
        """The next trial of the case that is farthest from its bar."""
        with self._lock:
            enough = self._proof.seeds is None and self._verdicts["failed"] >= FAILURES_MAX
            if time.monotonic() >= self._deadline_s or enough:
                return None
            open_ = [name for name in self._sources if self._share(name) < 1.0]
            while open_:
                name = min(open_, key=self._share)
                task = next(self._sources[name], None)
                if task is not None:
                    self._flying[name] += 1
                    return task
                open_.remove(name)
                del self._sources[name]
            return None

    def _share(self, name: str) -> float:
        expected = self._flying[name] * self._size.get(name, 1)
        return (self._done[name] + expected) / max(1, bar_of(self._proof, self._cases[name], self._form))

    def _note(self, task: Task, outcome: Outcome) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        case = self._cases[task.case]
        result = Result(
            proof=self._proof.name, case=task.case, seed=task.seed, commit=commit(), date=now, outcome=outcome.verdict,
            text=outcome.text, code=code_of(self._proof, case), measured=dict(outcome.measured),
        )  # fmt: skip
        with self._lock:
            results.append(self._folder, result)
            self._flying[task.case] -= 1
            self._verdicts[outcome.verdict] += 1
            if (
                outcome.verdict != "void" or self._proof.seeds is not None
            ):  # of a list the next is tried in any case
                self._done[task.case] += result.n
                self._size[task.case] = result.n
            if outcome.verdict in ("failed", "void"):
                self._say(
                    f"{self._proof.name} {task.case} seed {task.seed}: {outcome.verdict}: {outcome.text[:300]}"
                )
            if time.monotonic() - self._said_s >= PROGRESS_S:
                self._said_s = time.monotonic()
                self._say(self._progress())

    def _progress(self) -> str:
        bars = sum(bar_of(self._proof, case, self._form) for case in self._cases.values())
        done = sum(
            min(self._done[name], bar_of(self._proof, case, self._form)) for name, case in self._cases.items()
        )
        told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self._verdicts.items()))
        return f"{self._proof.name}: {done} of {bars} over {len(self._cases)} cases; now {told or 'nothing to do'}"


def run(
    names: Sequence[str],
    form: Form,
    folder: Path,
    *,
    jobs: int,
    budget_s: float,
    say: Callable[[str], None],
    only: str = "",
) -> bool:
    """Run these proofs one after another, each under its load, within the budget; whether nothing failed. `only`: the
    cases whose names have these words, or one of them where commas part them."""
    deadline_s = time.monotonic() + budget_s
    fine = True
    for name in names:
        if time.monotonic() >= deadline_s:
            say(f"{name}: no time left")
            continue
        asked = proof(name)
        say(f"{name}: {asked.title}; load: {asked.load}")
        with under(asked.load):
            fine = Campaign(asked, form, folder, deadline_s, say, only).run(jobs) and fine
    return fine
