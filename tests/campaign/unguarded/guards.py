"""Every guard that can be taken out: found in the code as it stands, so that a new one is tried without being named here.

A *question* is a function of the deciding code whose answer lets something pass: its name, and the answer that it always
gives from then on. Beside them: each trip, refusal and permissive by its code, and all that a modality declares.
"""

from __future__ import annotations

import dis
import importlib
import inspect
import re
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import msgspec

from drivers.stimulation import Modality
from safety.events import FireAsked
from safety.limit_values import Limits
from safety.state import State
from tests.campaign.unguarded.removing import around, neutral, widen

MODALITIES: tuple[Modality, ...] = get_args(Modality)
WIDE = 1e15
# Files that say what something is, and decide nothing by a function of their own.
SAY_ONLY = {"trips", "state", "events", "messages", "entries"}


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard: its name, words of the tests that should notice first, and how it is removed."""

    name: str
    near: tuple[str, ...]
    remove: Callable[[], None]


def guards() -> list[Guard]:
    """All of them, those of the core first."""
    found = [
        Guard("stub: everything is permitted", ("judging", "requests"), _permit_everything),
        *_trips(),
        *_refusals(),
        *_permissives(),
        *_questions(),
        *(guard for modality in MODALITIES for guard in _of_modality(modality)),
    ]
    names = [guard.name for guard in found]
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
    return found


def _function(path: str) -> types.FunctionType:
    module, _, name = path.rpartition(".")
    found = getattr(importlib.import_module(f"safety.{module}"), name)
    assert isinstance(found, types.FunctionType), path
    return found


def _permit_everything() -> None:
    for path in ("judging.judge", "judging.judge_start", "judging.judge_again"):
        neutral(_function(path), lambda *_, **__: ())
    for name in ("check", "check_facts", "check_slew"):
        neutral(_function(f"modalities.{name}"), lambda *_, **__: ())


# By code


def _trips() -> Iterator[Guard]:
    trips = importlib.import_module("safety.trips")
    for kind in trips.TRIPS:
        yield Guard(
            f"trip {kind.code}: {kind.text}",
            ("interlock", "watchdogs"),
            partial(_without_trip, kind),
        )


def _without_trip(kind: object) -> None:
    safing = importlib.import_module("safety.safing")
    unfinished = importlib.import_module("safety.trips").UNFINISHED
    if kind is unfinished:  # what is found at a start, and by no step
        around(
            _function("latch.trip_of"),
            lambda original, *args: ("", "") if (found := original(*args))[0] == unfinished.code else found,
        )
        return

    def trip(
        original: Callable[..., object], rules: object, state: object, asked: object, *more: object
    ) -> object:
        return safing.Step(state) if asked == kind else original(rules, state, asked, *more)

    around(_function("safing.trip"), trip)
    for path in ("watchdogs.overdue", "watchdogs.device_trouble"):
        around(_function(path), lambda original, *args: None if (found := original(*args)) == kind else found)


def _refusals() -> Iterator[Guard]:
    trips = importlib.import_module("safety.trips")
    reasons = importlib.import_module("safety.modalities").REASONS
    for code in (*reasons, *trips.REFUSALS):
        near = (
            ("modalities", "judging")
            if code in reasons
            else ("judging", "requests", "arming", "interlock_codes")
        )
        yield Guard(f"refusal {code}", near, partial(_without_refusal, code))


def _without_refusal(code: str) -> None:
    """No list of reasons, and no answer that is a code, holds it any more; nor does a fire that lacks its request."""

    def fewer(original: Callable[..., object], *args: object, **kwargs: object) -> object:
        answer = original(*args, **kwargs)
        if isinstance(answer, tuple | list):
            return type(answer)(each for each in answer if getattr(each, "code", "") != code)
        return "" if answer == code else answer

    for function in _functions_of_core():
        returns = str(function.__annotations__.get("return", ""))
        lists = "Reason" in returns and returns.startswith(("tuple", "list"))
        if lists or function.__name__ in ("_act_problem", "_hello_problem"):
            around(function, fewer)
    if code == "ILK-309":
        around(_function("firing.fire"), _fire_anything)
    if code in ("ILK-311", "ILK-308", "ILK-335", "ILK-336"):
        around(
            _function("judging.refuse"), lambda original, *args: () if code in str(args) else original(*args)
        )
        around(_function("arming.arming_failed"), _unfailing(code))


def _fire_anything(
    original: Callable[..., object], rules: object, state: State, event: FireAsked, now: object
) -> object:
    if state.asked is not None:
        request = msgspec.structs.replace(event.request, id=state.asked.request.id)
        event = msgspec.structs.replace(event, request=request)
    return original(rules, state, event, now)


def _unfailing(code: str) -> Callable[..., object]:
    safing = importlib.import_module("safety.safing")

    def arming_failed(
        original: Callable[..., object], state: object, failed: object, said: str, *more: object
    ) -> object:
        return safing.Step(state) if said == code else original(state, failed, said, *more)

    return arming_failed


def _permissives() -> Iterator[Guard]:
    for code in importlib.import_module("safety.trips").PERMISSIVES:
        yield Guard(f"permissive {code}", ("arming",), partial(_without_permissive, code))


def _without_permissive(code: str) -> None:
    around(
        _function("arming.missing"),
        lambda original, *args: tuple(line for line in original(*args) if not line.startswith(code)),
    )


# By what a function answers


def _deciding() -> list[str]:
    software = importlib.import_module("safety.software")
    found = [name for name in software.DECIDING if not name.startswith("..") and name not in SAY_ONLY]
    return [*found, "verify", "wire", "ledger"] if "wire" not in found else [*found, "verify", "ledger"]


def _module(name: str) -> types.ModuleType:
    return importlib.import_module("safety." + name.replace("/__init__", "").replace("/", "."))


def _functions_of_core() -> list[types.FunctionType]:
    return [function for name in _deciding() for _, function in _functions(_module(name))]


def _functions(module: types.ModuleType) -> Iterator[tuple[str, types.FunctionType]]:
    """Functions and methods that this module itself defines, by their names in it."""
    for name, found in vars(module).items():
        if inspect.isclass(found) and found.__module__ == module.__name__:
            for inner, method in vars(found).items():
                plain = method.fget if isinstance(method, property) else method
                if isinstance(plain, types.FunctionType) and not inner.startswith("__"):
                    yield f"{name}.{inner}", plain
        elif isinstance(found, types.FunctionType) and found.__module__ == module.__name__:
            yield name, found


def _questions() -> Iterator[Guard]:
    for name in _deciding():
        module = _module(name)
        for inner, function in _functions(module):
            if function.__code__.co_freevars or function.__code__.co_filename != module.__file__:
                continue
            short = module.__name__.removeprefix("safety.")
            for word, answer in _neutral_answers(function):
                if word in ("empty", "nothing") and _says(function, answer()):
                    continue
                near = tuple(short.split("."))
                yield Guard(f"question {short}.{inner} is {word}", near, partial(neutral, function, answer))


def _says(function: object, answer: object) -> bool:
    """Whether a function says nothing but this, whatever it is asked: then it guards nothing."""
    if not isinstance(function, types.FunctionType) or function.__code__.co_names:
        return False
    steps = [each.opname for each in dis.get_instructions(function)]
    if steps not in (["RESUME", "LOAD_CONST", "RETURN_VALUE"], ["RESUME", "BUILD_LIST", "RETURN_VALUE"]):
        return False
    return bool(function(*(None for _ in inspect.signature(function).parameters)) == answer)


def _neutral_answers(function: types.FunctionType) -> Iterator[tuple[str, Callable[..., object]]]:
    """What a guard says that lets everything pass, by the type of its answer."""
    returns = str(function.__annotations__.get("return", ""))
    names = list(inspect.signature(function).parameters)
    if returns == "bool" or returns.startswith("TypeGuard"):
        yield "always true", lambda *_, **__: True
        yield "always false", lambda *_, **__: False
    elif returns == "str":
        yield "empty", lambda *_, **__: ""
    elif re.fullmatch(r"tuple\[list\[\w+\], list\[\w+\]\]", returns):
        yield "empty", lambda *_, **__: ([], [])
    elif (
        re.match(r"(tuple|list|Iterator)\[.*(Reason|Effect|Budget|str)\b", returns)
        and "| None" not in returns
    ):
        yield "empty", (lambda *_, **__: []) if returns.startswith("list") else (lambda *_, **__: ())
    elif returns.endswith("| None"):
        yield "nothing", lambda *_, **__: None
    elif returns == "Step" and "state" in names:
        at = names.index("state")
        step = importlib.import_module("safety.safing").Step
        yield "no step", lambda *args, **__: step(args[at])
    elif returns in ("State", "Watch", "Dose") and returns.lower() in names:
        same = names.index(returns.lower())
        yield "the same", lambda *args, **__: args[same]


# What a modality declares


def _of_modality(modality: Modality) -> Iterator[Guard]:
    rules = importlib.import_module("safety.modalities").rules_of(modality)
    near = (modality, "modalities", "oracle")
    for declared in rules.quantities:
        yield Guard(
            f"{modality} {declared.name}: no absolute bound", near,
            partial(widen, declared, low=-WIDE, high=WIDE),
        )  # fmt: skip
        yield Guard(f"{modality} {declared.name}: no layer", near, partial(_unlimited, declared))
    for budget in rules.budgets:
        label = f"{modality} budget {budget.name} a {budget.scope}"
        yield Guard(f"{label}: no absolute bound", (modality, "limits"), partial(widen, budget, high=WIDE))
        yield Guard(
            f"{label}: never over",
            ("windows", modality, "dose"),
            partial(_unbudgeted, modality, budget.name, budget.scope),
        )
    for spacing in rules.spacing:
        yield Guard(
            f"{modality} spacing {spacing.name}: no absolute bound", (modality, "limits"), partial(widen, spacing, low=0.0)
        )  # fmt: skip
        yield Guard(
            f"{modality} spacing {spacing.name}: over at once",
            ("windows", modality),
            partial(_unspaced, modality, spacing.name),
        )
    for fact in rules.inputs:
        yield Guard(
            f"{modality} input {fact.name}: no bound", (modality, "limits"), partial(widen, fact, low=-WIDE, high=WIDE)
        )  # fmt: skip
    if not _says(rules.interval_after_ns, 0):
        yield Guard(
            f"{modality} interval: none",
            (*near, "requests"),
            partial(widen, rules, interval_after_ns=lambda *_: 0),
        )
    for question in ("check", "check_facts", "check_slew"):
        said = getattr(rules, question)
        if not any(_says(said, nothing) for nothing in ((), [])):
            yield Guard(
                f"{modality} {question}: empty", near, partial(widen, rules, **{question: lambda *_: ()})
            )


def _unlimited(declared: object) -> None:
    """No layer of code or file refuses this quantity any more."""
    for name in ("check_value", "check_exact"):
        around(
            _function(f"modalities.bounds.{name}"),
            lambda original, asked, *args, **kwargs: (
                [] if asked is declared else original(asked, *args, **kwargs)
            ),
        )


def _unbudgeted(modality: str, name: str, scope: str) -> None:
    """One budget of one modality is never exceeded."""

    def exceeded(original: Callable[..., Any], limits: Limits, *more: object) -> object:
        found = original(limits, *more)
        mine = limits.modality == modality
        return tuple(e for e in found if not (mine and (e.budget.name, e.budget.scope) == (name, scope)))

    around(_function("windows.exceeded"), exceeded)


def _unspaced(modality: str, name: str) -> None:
    """One gap or wash-out of one modality is over at once."""

    def waits(original: Callable[..., Any], limits: Limits, *more: object) -> object:
        found = original(limits, *more)
        return tuple(e for e in found if not (limits.modality == modality and e[0].name == name))

    around(_function("windows.waits"), waits)
