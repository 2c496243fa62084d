"""Put a mutant in the place of the code: of a function that is loaded, or of a module that is yet to be imported."""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Iterator, Sequence

from tests.campaign.mutating.mutants import Mutant
from tests.campaign.proof import ROOT


def module_name(file: str) -> str:
    """`safety/modalities/__init__.py` -> `safety.modalities`."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def into_function(file: str, mutant: Mutant) -> None:
    """Exchange the code of the loaded function: whoever holds the function runs the mutant from now on."""
    path = ROOT / file
    tree = mutant.applied(ast.parse(path.read_text(encoding="utf-8")))
    name = mutant.function.removesuffix("()")
    at = mutant.path[0][1]
    tree.body = [each for each in tree.body[:at] if _is_of_the_future(each)] + [tree.body[at]]
    code = next(found for found in _codes(compile(tree, str(path), "exec")) if found.co_qualname == name)
    module = importlib.import_module(module_name(file))
    function = _function(module, name)
    if len(code.co_freevars) == len(function.__code__.co_freevars):
        function.__code__ = code
        return
    # The only use of `super()` is gone: the method stands in its class, and nobody holds it elsewhere.
    owner, _, last = name.rpartition(".")
    setattr(
        vars(module)[owner], last, types.FunctionType(code, function.__globals__, last, function.__defaults__)
    )


def _is_of_the_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _codes(inner)


def _function(module: types.ModuleType, name: str) -> types.FunctionType:
    found: object = module
    for part in name.split("."):
        found = vars(found)[part]
    while not isinstance(found, types.FunctionType):  # a property, a class method, a cache, a context manager
        found = next(
            inner
            for inner in (getattr(found, at, None) for at in ("fget", "__func__", "__wrapped__"))
            if inner is not None
        )
    while hasattr(found, "__wrapped__"):
        found = found.__wrapped__
    assert isinstance(found, types.FunctionType)
    return found


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, and makes it of a changed tree."""

    def __init__(self, file: str, mutant: Mutant) -> None:
        self._file, self._mutant, self._name = file, mutant, module_name(file)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        where = str(ROOT / self._file)
        loader = _Loader(fullname, where, self._mutant)
        return importlib.util.spec_from_file_location(fullname, where, loader=loader)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, mutant: Mutant) -> None:
        super().__init__(name, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> types.CodeType:
        source = self.get_data(self.path).decode("utf-8")
        code: types.CodeType = compile(self._mutant.applied(ast.parse(source)), self.path, "exec")
        return code


def into_module(file: str, mutant: Mutant) -> None:
    """From now on an import of this file's module is one of the mutant; it must not be loaded yet."""
    if module_name(file) in sys.modules:
        raise RuntimeError(f"{file} is loaded already")
    sys.meta_path.insert(0, _Finder(file, mutant))
