"""Take one guard out of the code that is loaded: a function's own code is replaced, so that every reference to it goes."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path

from tests.campaign.proof import ROOT

_noted: list[set[str]] = []  # where it is only asked what would be taken out


def touched(remove: Callable[[], None]) -> set[str]:
    """The functions that a removal takes out, `file:name`; none of them is. Empty where it widens values only."""
    _noted.append(set())
    try:
        remove()
    finally:
        found = _noted.pop()
    return found


def neutral(function: Callable[..., object], answer: Callable[..., object]) -> None:
    """From now on the function answers what `answer` says of its arguments; it is called by its own name still."""
    around(function, lambda _, *args, **kwargs: answer(*args, **kwargs))


def around(function: Callable[..., object], wrapper: Callable[..., object]) -> None:
    """From now on a call is `wrapper(original, *args, **kwargs)`; tables and names that hold the function hold this."""
    assert isinstance(function, types.FunctionType)
    if _noted:
        code = function.__code__
        _noted[-1].add(f"{Path(code.co_filename).relative_to(ROOT)}:{code.co_qualname}")
        return
    original = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    original.__kwdefaults__ = function.__kwdefaults__
    number = len([name for name in function.__globals__ if name.startswith("__unguarded_")])
    name = f"__unguarded_{number}"
    function.__globals__[name] = lambda *args, **kwargs: wrapper(original, *args, **kwargs)
    free = function.__code__.co_freevars
    source = f"def {function.__name__}(*args, **kwargs):\n    return {name}(*args, **kwargs)\n"
    if free:  # a code of as many free variables is taken only
        raise TypeError(f"{function.__qualname__} is a closure over {', '.join(free)}")
    namespace: dict[str, object] = {}
    exec(compile(source, function.__code__.co_filename, "exec"), namespace)
    made = namespace[function.__name__]
    assert isinstance(made, types.FunctionType)
    function.__defaults__ = None
    function.__kwdefaults__ = None
    function.__code__ = made.__code__


def widen(value: object, **fields: object) -> None:
    """Set fields of a frozen value in place: whoever holds it holds the wider one."""
    if _noted:
        return
    for name, content in fields.items():
        object.__setattr__(value, name, content)
