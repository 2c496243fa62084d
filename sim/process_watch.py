"""CPU and memory of every process below this one, by the kernel's own counts: for benchmarks."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

EVERY_S = 0.5


@dataclass(slots=True)
class Seen:
    """One process: CPU seconds and resident kB when first and last seen."""

    name: str
    first_s: float
    last_s: float
    cpu_first_s: float
    cpu_last_s: float
    rss_first_kb: int
    rss_last_kb: int

    @property
    def cpu(self) -> float:
        """Share of one core while it was watched."""
        return (self.cpu_last_s - self.cpu_first_s) / max(self.last_s - self.first_s, 1e-9)


class ProcessWatch:
    """Looks twice a second, in a thread, at the descendants of this process; `settle_s` of each are left out."""

    def __init__(self, settle_s: float = 3.0) -> None:
        self._settle_s = settle_s
        self._born: dict[int, float] = {}
        self._seen: dict[int, Seen] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="process-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> list[Seen]:
        """What was seen of each process that lived longer than `settle_s`."""
        self._stop.set()
        self._thread.join(2.0)
        return [seen for seen in self._seen.values() if seen.last_s > seen.first_s]

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            for pid in _descendants(os.getpid()):
                self._look(pid)

    def _look(self, pid: int) -> None:
        now_s = time.monotonic()
        try:
            cpu_s, rss_kb, name = _read(pid)
        except (OSError, ValueError, IndexError):
            return  # it ended between the two looks
        if now_s - self._born.setdefault(pid, now_s) < self._settle_s:
            return
        seen = self._seen.get(pid)
        if seen is None:
            self._seen[pid] = Seen(name, now_s, now_s, cpu_s, cpu_s, rss_kb, rss_kb)
        else:
            seen.last_s, seen.cpu_last_s, seen.rss_last_kb = now_s, cpu_s, rss_kb


def _descendants(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
            except (OSError, ValueError, IndexError):
                continue
    found, frontier = [], [root]
    while frontier:
        frontier = [pid for pid, parent in parents.items() if parent in frontier]
        found += frontier
    return found


def _read(pid: int) -> tuple[float, int, str]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    name = next(
        (words[i + 1].decode() for i, word in enumerate(words[:-1]) if word == b"-m"), words[0].decode()
    )
    rss_kb = int(fields[21]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return (int(fields[11]) + int(fields[12])) / ticks, rss_kb, name
