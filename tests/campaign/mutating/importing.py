"""Which functions of the core are called while its modules load: a change of their code comes too late once they are loaded.

A call outside of functions by a plain name, or of a method of an object made there; and whatever such a function calls in
turn, by a plain name or as a property.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Sequence

from tests.campaign.proof import ROOT

Function = tuple[str, str]  # file, and the name as mutants have it


@functools.cache
def at_import(files: Sequence[str]) -> frozenset[Function]:
    """Every such function."""
    trees = {file: ast.parse((ROOT / file).read_text(encoding="utf-8")) for file in files}
    functions = {key: node for file, tree in trees.items() for key, node in _functions(file, tree.body, "")}
    found: set[Function] = set()
    new = {key for file, tree in trees.items() for key in _called(file, "", tree, trees, functions)}
    while new:
        found |= new
        bodies = [(file, name.rpartition(".")[0], functions[file, name]) for file, name in new]
        new = {key for file, of, node in bodies for key in _called(file, of, node, trees, functions)} - found
    return frozenset(found)


def _functions(
    file: str, body: Iterable[ast.stmt], before: str
) -> Iterator[tuple[Function, ast.FunctionDef]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(file, node.body, f"{before}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            yield (file, f"{before}{node.name}()"), node


def _called(
    file: str,
    of: str,
    node: ast.Module | ast.FunctionDef,
    trees: dict[str, ast.Module],
    functions: dict[Function, ast.FunctionDef],
) -> Iterator[Function]:
    for each in _run_in(node):
        match each:
            case ast.Call(func=ast.Name(id=name)):
                for key in ((file, f"{name}()"), (_home(trees[file], name), f"{name}()")):
                    if key in functions:
                        yield key
            case ast.Call(func=ast.Attribute(value=ast.Call(), attr=method)):
                yield from (key for key in functions if key[1].endswith(f".{method}()"))
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if _is_property(
                functions.get((file, f"{of}.{name}()"))
            ):
                yield file, f"{of}.{name}()"


def _is_property(node: ast.FunctionDef | None) -> bool:
    return node is not None and any(
        isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list
    )


def _run_in(node: ast.Module | ast.FunctionDef) -> Iterator[ast.AST]:
    """What runs when a module loads or a function is called: no inside of the functions that it defines."""
    left: list[ast.AST] = list(node.body)
    while left:
        each = left.pop()
        if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield each
            left.extend(ast.iter_child_nodes(each))


def _home(tree: ast.Module, name: str) -> str:
    """The file that a name was imported from."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any((a.asname or a.name) == name for a in node.names):
            return f"{(node.module or '').replace('.', '/')}.py"
    return ""
