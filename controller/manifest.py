"""MANIFEST: SHA-256 and size of each file of a run folder, sorted by name, and the check of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

MANIFEST = "MANIFEST"


class ManifestError(ValueError):
    """The run folder cannot be listed, or its MANIFEST cannot be read as one."""


def write_manifest(run_dir: Path) -> None:
    """List every regular file; replaces an earlier MANIFEST in one step."""
    text = "".join(f"{digest}  {size}  {name}\n" for name, (digest, size) in _listing(run_dir).items())
    partial = run_dir / f".{MANIFEST}.{os.getpid()}"
    try:
        with partial.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(run_dir / MANIFEST)
    finally:
        partial.unlink(missing_ok=True)


def check_manifest(run_dir: Path) -> tuple[str, ...]:
    """One line for each difference between the folder and its MANIFEST; empty when it holds."""
    path = run_dir / MANIFEST
    try:
        expected = dict(_parse(path))
    except OSError as error:
        return (f"{path}: {error.strerror}; a finished session has one",)
    except (ManifestError, UnicodeDecodeError) as error:
        return (f"{path}: {error}",)
    found = _listing(run_dir)
    problems = [f"{run_dir / name}: missing" for name in expected if name not in found]
    problems += [f"{run_dir / name}: not in MANIFEST" for name in found if name not in expected]
    for name, (digest, size) in expected.items():
        now = found.get(name)
        if now is not None and now[1] != size:
            problems.append(f"{run_dir / name}: {now[1]} bytes, MANIFEST says {size}")
        elif now is not None and now[0] != digest:
            problems.append(f"{run_dir / name}: content differs from MANIFEST")
    return tuple(sorted(problems))


def _listing(run_dir: Path) -> dict[str, tuple[str, int]]:
    listing: dict[str, tuple[str, int]] = {}
    files = {path.relative_to(run_dir).as_posix(): path for path in _regular_files(run_dir)}
    for name, path in sorted(files.items()):
        if "\n" in name:
            raise ManifestError(f"{name!r}: a file name with a line break cannot be listed; rename it")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            listing[name] = (digest, file.tell())
    return listing


def _regular_files(run_dir: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(run_dir, followlinks=False):
        for name in names:
            path = Path(folder) / name
            if path.is_symlink() or not path.is_file():  # a link is no content, a socket has none
                continue
            if path.parent == run_dir and (name == MANIFEST or name.startswith(f".{MANIFEST}.")):
                continue
            yield path


def _parse(path: Path) -> Iterator[tuple[str, tuple[str, int]]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], start=1):
        match line.split("  ", 2):
            case [digest, size, name] if len(digest) == 64 and size.isdecimal():
                yield name, (digest, int(size))
            case _:
                raise ManifestError(f"line {number}: expected 'sha256  size  name'")
