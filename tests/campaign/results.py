"""Results on disk: appended to a folder while they come, packed into `kept/` in the repository to outlive the machine."""

from __future__ import annotations

import fcntl
import gzip
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from tests.campaign.proof import Result

KEPT = Path(__file__).with_name("kept")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Result)


def append(folder: Path, result: Result) -> None:
    """One line more, whole even where two campaigns write at once."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{result.proof}.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # held for one short write
        file.write(_encoder.encode(result) + b"\n")


def load(folder: Path, name: str) -> list[Result]:
    """Everything known of a proof: what is kept, and what the folder has; the same trial once, the newest of it."""
    found: dict[tuple[str, int, str], Result] = {}
    for result in (*_packed(KEPT / f"{name}.jsonl.gz"), *_lines(folder / f"{name}.jsonl")):
        key = (result.case, result.seed, result.code)
        if key not in found or result.date >= found[key].date:
            found[key] = result
    return sorted(found.values(), key=lambda each: (each.case, each.code, each.seed))


def keep(folder: Path, name: str) -> int:
    """Pack everything known of a proof into the repository; how many results that are."""
    results = load(folder, name)
    if results:
        KEPT.mkdir(exist_ok=True)
        target = KEPT / f"{name}.jsonl.gz"
        partial = target.with_suffix(f".{os.getpid()}")
        body = b"".join(_encoder.encode(each) + b"\n" for each in results)
        partial.write_bytes(gzip.compress(body, mtime=0))  # the same results are the same file
        partial.replace(target)
    return len(results)


def _packed(path: Path) -> Iterator[Result]:
    if path.exists():
        yield from _decoded(gzip.decompress(path.read_bytes()).splitlines())


def _lines(path: Path) -> Iterator[Result]:
    if path.exists():
        data = path.read_bytes()
        yield from _decoded(data[: data.rfind(b"\n") + 1].splitlines())  # a torn last line was never a result


def _decoded(lines: Iterable[bytes]) -> Iterator[Result]:
    for line in lines:
        yield _decoder.decode(line)
