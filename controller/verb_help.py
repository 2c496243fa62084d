"""A verb's help in one line, read out of its source without importing it."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

IMPORTS_MAX = 4  # a verb may be imported from elsewhere, but not in a circle


def first_line(value: str, imports_left: int = IMPORTS_MAX) -> str:
    """The first line of what `package.module:name` says of itself; empty where it cannot be read.

    A function has its docstring; a typer.Typer has the text of its `help=`, else its module's docstring.
    """
    module, _, name = value.partition(":")
    tree = _tree(module)
    if tree is None:
        return ""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return _first(ast.get_docstring(node))
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in _targets(node):
            return _first(_help(node.value) or ast.get_docstring(tree))
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0 and imports_left:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return first_line(f"{node.module}:{alias.name}", imports_left - 1)
    return ""


@cache
def _tree(module: str) -> ast.Module | None:
    """The syntax tree of a module; several verbs may stand in one."""
    try:
        spec = find_spec(module)  # imports the packages above the module, which are empty
        if spec is None or spec.origin is None:
            return None
        return ast.parse(Path(spec.origin).read_bytes())
    except (ImportError, AttributeError, SyntaxError, ValueError, OSError):
        return None


def _targets(node: ast.Assign | ast.AnnAssign) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _help(value: ast.expr | None) -> str | None:
    if isinstance(value, ast.Call):
        for keyword in value.keywords:
            if keyword.arg == "help" and isinstance(keyword.value, ast.Constant):
                return str(keyword.value.value)
    return None


def _first(text: str | None) -> str:
    return text.strip().splitlines()[0].strip() if text and text.strip() else ""
