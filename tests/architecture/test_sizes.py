"""One noun a file, and one thought a function: sizes, first lines, and what belongs nowhere in the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("controller", "drivers", "safety", "sim")
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60


def modules(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert found
    return found


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", modules(*PACKAGES, "tests"), ids=relative)
def test_no_file_is_longer_than_a_reader_s_patience(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_LINES_MAX


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=relative)
def test_functions_are_short_and_the_module_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    long = {
        f"{node.name} ({node.end_lineno - node.lineno + 1} lines)"
        for node in functions(tree)
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    }
    assert not long
    if tree.body:  # an empty __init__.py says nothing
        first = (ast.get_docstring(tree) or "").partition("\n")[0]
        assert first, "the module has no docstring"


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=relative)
def test_arguments_are_named_and_globals_are_not_rebound(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kwargs = [node.name for node in functions(tree) if node.args.kwarg is not None]
    assert not kwargs, "**kwargs"
    rebound = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Global)]
    assert not rebound, "global"


def test_the_top_level_packages_and_drivers_are_empty() -> None:
    """Whoever imports one module of them loads nothing else."""
    for name in PACKAGES:
        assert (ROOT / name / "__init__.py").read_text(encoding="utf-8").strip() == ""
