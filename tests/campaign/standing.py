"""What a result stands on: a file and all that it imports of this repository, known by a digest of what they say.

Comments, docstrings and layout are left out: they change nothing that was tried.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator

from tests.campaign.proof import ROOT

PACKAGES = ("safety", "drivers", "controller", "sim", "tests")


def digest(files: Iterable[str]) -> str:
    """Of these files, paths from the root, and all that they import, at any depth."""
    found = hashlib.sha256()
    for name in sorted(closure(files)):
        found.update(f"{name} {_meaning(name)}\n".encode())
    return found.hexdigest()[:16]


def closure(files: Iterable[str]) -> set[str]:
    """These files and all that they import of the five packages, functions' own imports too."""
    found, waiting = set[str](), list(files)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imports(name)
    return found


@functools.cache
def _tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_bytes())


@functools.cache
def imports(name: str) -> tuple[str, ...]:
    """The files of this repository that a file itself imports."""
    return tuple({file for module in _modules(_tree(name)) for file in _files(module)})


def _modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"a relative import of {node.module}: its file is not known here")
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(module: str) -> Iterator[str]:
    """The file of a module and of each package above it; nothing where it is none of ours, or a name in one."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return
    for count in range(1, len(parts) + 1):
        stem = "/".join(parts[:count])
        yield from (file for file in (f"{stem}/__init__.py", f"{stem}.py") if (ROOT / file).is_file())


@functools.cache
def _meaning(name: str) -> str:
    tree = ast.parse((ROOT / name).read_bytes())  # not that of `_tree`: it is changed here
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body[0] = ast.Pass()
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
