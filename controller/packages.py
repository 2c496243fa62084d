"""The four packages that were imported are nociloop's own: PyPI has a `safety`, a `controller`, a `drivers`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

NAMES = ("controller", "drivers", "safety", "sim")
REMEDY = "install nociloop into an environment of its own"


def strangers() -> list[str]:
    """What is not ours, a line each. Nothing is imported for it."""
    root = Path(__file__).resolve().parent.parent
    lines = [line for name in NAMES if (line := _elsewhere(name, root))]
    try:
        recorded = metadata.distribution("nociloop").files or []
    except metadata.PackageNotFoundError:
        return lines
    sizes = {str(path): path.size for path in recorded if path.parts[0] in NAMES}
    # An editable installation records no module: there the place alone can be compared.
    return lines or (_mixed(root, sizes) if "controller/cli.py" in sizes else [])


def _elsewhere(name: str, root: Path) -> str:
    spec = find_spec(name)
    places = list(spec.submodule_search_locations or []) if spec else []
    if [Path(place).resolve() for place in places] == [root / name]:
        return ""
    where = ", ".join(places) or "nowhere"
    return f"package {name}: found in {where}, expected {root / name}; {REMEDY}"


def _mixed(root: Path, sizes: dict[str, int | None]) -> list[str]:
    """Files that another distribution has put among ours, or over them."""
    lines = []
    for path, size in sizes.items():
        try:
            found = os.stat(root / path).st_size
        except OSError as error:
            lines.append(f"{root / path}: {error.strerror}, expected it as installed; reinstall nociloop")
            continue
        if size is not None and found != size:
            lines.append(f"{root / path}: found {found} bytes, expected {size}; {REMEDY}")
    extra = [path for path in _modules(root) if path not in sizes]
    if extra:
        lines.append(f"{root / extra[0]}: found among nociloop's files ({len(extra)} such); {REMEDY}")
    return lines[:8]


def _modules(root: Path) -> Iterable[str]:
    for name in NAMES:
        for folder, _, files in os.walk(root / name):
            for file in sorted(files):
                if file.endswith(".py"):
                    yield str(Path(folder, file).relative_to(root))
