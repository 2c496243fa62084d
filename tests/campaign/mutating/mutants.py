"""Every mutant of a source file, in order: comparison, boundary, arithmetic, negation, constant, boolean, removal.

Strings are left alone, and with them all that is computed for a text: an f-string's insides, an annotation, a docstring.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

NEGATED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
AT_THE_BOUNDARY: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}  # fmt: skip
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}
SKIPPED = (ast.JoinedStr, ast.Import, ast.ImportFrom, ast.TypeAlias) if hasattr(ast, "TypeAlias") else (
    ast.JoinedStr, ast.Import, ast.ImportFrom,
)  # fmt: skip

Edit = Callable[[ast.AST], ast.AST]


@dataclass(frozen=True, slots=True)
class Mutant:
    """`path` leads to the node in the tree of the file; `function` is "" where it stands outside of any. `seed` is of the
    change and of the function that it is in, or of the statement outside of any: the same until one of them changes."""

    name: str
    line: int
    function: str
    path: tuple[tuple[str, int], ...]
    edit: Edit
    seed: int = 0

    def applied(self, changed: ast.Module) -> ast.Module:
        """The file's tree, which is now one with this change."""
        *way, (name, at) = self.path
        parent: ast.AST = changed
        for step, index in way:
            parent = _child(parent, step, index)
        new = ast.copy_location(self.edit(_child(parent, name, at)), _child(parent, name, at))
        if at < 0:
            setattr(parent, name, new)
        else:
            getattr(parent, name)[at] = new
        return ast.fix_missing_locations(changed)


def _child(node: ast.AST, name: str, at: int) -> ast.AST:
    found = getattr(node, name)
    child = found if at < 0 else found[at]
    assert isinstance(child, ast.AST)
    return child


def mutants(source: str) -> list[Mutant]:
    """Every mutant of a file; two of the same words in the same function are told apart by a number."""
    names: Counter[str] = Counter()
    found = []
    tree = ast.parse(source)
    around = _Around(tree)
    for mutant in _walk(tree, (), ""):
        names[mutant.name] += 1
        again = f" #{names[mutant.name]}" if names[mutant.name] > 1 else ""
        name = mutant.name + again
        seed = int(hashlib.sha256(f"{around.of(mutant.path)}\n{name}".encode()).hexdigest()[:12], 16)
        found.append(replace(mutant, name=name, seed=seed))
    return found


class _Around:
    """The code that a change stands in, without what is no code: the innermost function of a module or class, or the
    statement of the module."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._known: dict[int, str] = {}

    def of(self, path: Sequence[tuple[str, int]]) -> str:
        node: ast.AST = self._tree
        for name, at in path:
            node = _child(node, name, at)
            if not isinstance(node, ast.ClassDef):
                break
        if id(node) not in self._known:
            self._known[id(node)] = ast.dump(ast.parse(ast.unparse(_bare(node))))
        return self._known[id(node)]


def _bare(node: ast.AST) -> ast.AST:
    """Without its docstring."""
    bare = copy.deepcopy(node)
    if isinstance(bare, ast.FunctionDef) and ast.get_docstring(bare) is not None:
        bare.body = bare.body[1:] or [ast.Pass()]
    return bare


def _walk(node: ast.AST, path: tuple[tuple[str, int], ...], function: str) -> Iterator[Mutant]:
    if isinstance(node, SKIPPED):
        return
    for what, edit in _edits(node):
        before = " ".join(ast.unparse(node).split())[:70]
        yield Mutant(
            f"{function or 'module'}: `{before}` {what}", getattr(node, "lineno", 0), function, path, edit
        )
    for name, at, child in _children(node):
        yield from _walk(child, (*path, (name, at)), _within(node, name, child, function))


def _within(node: ast.AST, field: str, child: ast.AST, function: str) -> str:
    """The function whose code a child is part of: the outermost, for its code object holds the inner ones."""
    if (
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and field == "body"
        and not function.endswith("()")
    ):
        return f"{function}{node.name}()"
    if isinstance(node, ast.ClassDef) and isinstance(child, ast.FunctionDef) and not function.endswith("()"):
        return f"{function}{node.name}."
    return function


def _children(node: ast.AST) -> Iterator[tuple[str, int, ast.AST]]:
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_comment"):
            continue
        if isinstance(value, ast.AST):
            yield name, -1, value
        elif isinstance(value, list):
            for at, child in enumerate(value):
                if isinstance(child, ast.AST):
                    yield name, at, child


def _edits(node: ast.AST) -> Iterator[tuple[str, Edit]]:
    match node:
        case ast.Compare():
            yield from _comparisons(node)
        case ast.BinOp(op=op, left=left, right=right) if type(op) in ARITHMETIC and not (
            _is_text(left) or _is_text(right)
        ):
            yield _said(ARITHMETIC[type(op)]), _with(op=ARITHMETIC[type(op)])
        case ast.AugAssign(op=op) if type(op) in ARITHMETIC:
            yield "removed", lambda _: ast.Pass()
        case ast.BoolOp(op=op, values=values):
            other = ast.Or if isinstance(op, ast.And) else ast.And
            yield _said(other), _with(op=other)
            for at in range(len(values)):
                yield f"without operand {at}", _without_operand(at)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield "without its sign", lambda old: old.operand  # type: ignore[attr-defined]
        case ast.If() | ast.IfExp():
            yield "condition negated", _negated
        case ast.Constant(value=value):
            yield from _constants(value)
        case ast.Call(func=ast.Name(id=name)) if name in CALLS:
            yield f"-> {CALLS[name]}", _called(CALLS[name])
        case ast.Raise():
            yield "removed", lambda _: ast.Pass()
        case ast.Expr(value=ast.Call(func=ast.Name(id="assert_never"))):
            return  # mypy proves that nothing comes here
        case ast.Expr(value=ast.Call()):
            yield "removed", lambda _: ast.Pass()
        case ast.Return(value=ast.AST() as value) if not (
            isinstance(value, ast.Constant) and value.value is None
        ):
            yield "-> return None", lambda _: ast.Return(value=ast.Constant(value=None))


def _comparisons(node: ast.Compare) -> Iterator[tuple[str, Edit]]:
    for at, op in enumerate(node.ops):
        for table in (NEGATED, AT_THE_BOUNDARY):
            if type(op) in table:
                yield f"{_said(table[type(op)])} at {at}", _compared(at, table[type(op)])


def _constants(value: object) -> Iterator[tuple[str, Edit]]:
    if isinstance(value, bool):
        yield f"-> {not value}", _constant(not value)
    elif isinstance(value, int):
        yield f"-> {value + 1}", _constant(value + 1)
        if value > 1:
            yield f"-> {value - 1}", _constant(value - 1)
    elif isinstance(value, float):
        for new in (value * 1.001 if value else 1e-3, value * 0.999):
            if new != value:
                yield f"-> {new:g}", _constant(new)


def _said(kind: type[ast.AST]) -> str:
    return f"-> {kind.__name__}"


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


def _with(**fields: type[ast.AST]) -> Edit:
    def edit(old: ast.AST) -> ast.AST:
        for name, kind in fields.items():
            setattr(old, name, kind())
        return old

    return edit


def _compared(at: int, kind: type[ast.cmpop]) -> Edit:
    def edit(old: ast.AST) -> ast.AST:
        assert isinstance(old, ast.Compare)
        old.ops[at] = kind()
        return old

    return edit


def _without_operand(at: int) -> Edit:
    def edit(old: ast.AST) -> ast.AST:
        assert isinstance(old, ast.BoolOp)
        kept = [value for number, value in enumerate(old.values) if number != at]
        return kept[0] if len(kept) == 1 else ast.BoolOp(op=old.op, values=kept)

    return edit


def _negated(old: ast.AST) -> ast.AST:
    assert isinstance(old, ast.If | ast.IfExp)
    old.test = ast.UnaryOp(op=ast.Not(), operand=old.test)
    return old


def _constant(value: object) -> Edit:
    return lambda _: ast.Constant(value=value)  # type: ignore[arg-type]


def _called(name: str) -> Edit:
    def edit(old: ast.AST) -> ast.AST:
        assert isinstance(old, ast.Call)
        old.func = ast.Name(id=name, ctx=ast.Load())
        return old

    return edit
