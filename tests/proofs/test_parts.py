"""The parts of the campaign: mutants are what they are called, guards are taken out everywhere, what is fuzzed is sound."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest

from tests.campaign.fuzzing.targets import TARGETS, seeds, words
from tests.campaign.mutating import putting, trying
from tests.campaign.mutating.mutants import mutants
from tests.campaign.mutating.trying import files, mutants_of
from tests.campaign.proof import ROOT, Result
from tests.campaign.proofs import mutation
from tests.campaign.running import counted
from tests.campaign.unguarded.removing import around, neutral

SOURCE = '''
LATE = 5

class C:
    def m(self, a, b=2):
        """1 < 2 is text."""
        if a < b and not self.x:
            raise ValueError(f"{a + 1}")
        self.go(a)
        return min(a, -b) + 0.5 if a in self.all else None
'''


def test_every_family_is_made_and_texts_are_left_alone() -> None:
    found = [mutant.name for mutant in mutants(SOURCE)]
    assert found == [
        "module: `5` -> 6",
        "module: `5` -> 4",
        "C.: `2` -> 3",
        "C.: `2` -> 1",
        "C.m(): `if a < b and (not self.x): raise ValueError(f'{a + 1}')` condition negated",
        "C.m(): `a < b and (not self.x)` -> Or",
        "C.m(): `a < b and (not self.x)` without operand 0",
        "C.m(): `a < b and (not self.x)` without operand 1",
        "C.m(): `a < b` -> GtE at 0",
        "C.m(): `a < b` -> LtE at 0",
        "C.m(): `not self.x` without its sign",
        "C.m(): `raise ValueError(f'{a + 1}')` removed",
        "C.m(): `self.go(a)` removed",
        "C.m(): `return min(a, -b) + 0.5 if a in self.all else None` -> return None",
        "C.m(): `min(a, -b) + 0.5 if a in self.all else None` condition negated",
        "C.m(): `a in self.all` -> NotIn at 0",
        "C.m(): `min(a, -b) + 0.5` -> Sub",
        "C.m(): `min(a, -b)` -> max",
        "C.m(): `-b` without its sign",
        "C.m(): `0.5` -> 0.5005",
        "C.m(): `0.5` -> 0.4995",
    ]


def test_each_changes_one_place_and_compiles() -> None:
    tree = ast.parse(SOURCE)
    sources = {ast.unparse(mutant.applied(ast.parse(SOURCE))) for mutant in mutants(SOURCE)}
    assert len(sources) == len(mutants(SOURCE)) and ast.unparse(tree) not in sources
    for source in sources:
        compile(source, "mutant", "exec")


def test_every_mutant_of_the_core_finds_its_function() -> None:
    """The code object that is exchanged is there for each; without this a mutant would be tried that is none."""
    assert len(files()) > 25 and "safety/judging.py" in files() and "drivers/link.py" in files()
    for file in files():
        code = compile((ROOT / file).read_text(encoding="utf-8"), file, "exec")
        known = {found.co_qualname for found in putting._codes(code)}
        assert {mutant.function.removesuffix("()") for mutant in mutants_of(file, True)} <= known


def held(x: int, *, y: int = 1) -> int:
    return x + y


def test_a_function_is_taken_out_wherever_it_is_held() -> None:
    table = {"held": held}
    around(held, lambda original, *args, **kwargs: original(*args, **kwargs) * 10)
    assert table["held"](1, y=2) == 30 and held(1) == 20
    neutral(held, lambda *_, **__: 7)
    assert table["held"](1, y=2) == 7

    def outer(n: int) -> Callable[[], int]:
        def inner() -> int:
            return n

        return inner

    with pytest.raises(TypeError, match="closure"):
        neutral(outer(1), lambda: 2)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_fuzzed_takes_its_own_beginnings_and_their_ruins(target: str) -> None:
    """Without the fuzzer: each beginning, cut and bent at some places, raises nothing."""
    assert len(words(target)) > 10
    for content in seeds(target):
        TARGETS[target](content)
        for at in range(0, len(content), max(1, len(content) // 40)):
            TARGETS[target](content[:at])
            TARGETS[target](content[:at] + b"\xff" + content[at + 1 :])


def test_of_a_list_only_what_stands_in_it_now_is_counted() -> None:
    asked = mutation.PROOF
    case = next(each for each in asked.cases() if each.name == "safety/response.py")
    first, *_ = trying.by_seed(case.name, True)

    def result(seed: int) -> Result:
        return Result(proof="mutation", case=case.name, seed=seed, commit="", date="", outcome="failed")

    gone = max(trying.by_seed(case.name, True)) + 1
    assert counted(asked, case, [result(gone), result(first)]) == [result(first)]
