"""Guards taken out, one at a time, in forks of one collected run: what is told apart, and for how long a result holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign import standing
from tests.campaign.mutating.reached import Known, Reached
from tests.campaign.proof import Result
from tests.campaign.proofs import unguarded
from tests.campaign.running import counted
from tests.campaign.unguarded import removing
from tests.campaign.unguarded.choosing import Fails, control, ordered
from tests.campaign.unguarded.serving import Held, Removal

TESTS = """
import os, tempfile, time
from safety.acts import public_key_hex

def test_first(tmp_path):
    assert "REMOVED" not in os.environ

def test_second():
    end = time.process_time() + float(os.environ.get("LONG", 0))
    while time.process_time() < end:
        pass

def test_third():
    if "FALLS" in os.environ:
        public_key_hex(None)

def test_last():
    assert os.environ.get("REMOVED") != "2" and tempfile.gettempdir().startswith(os.environ["TMPDIR"])
"""


def _removal(name: str) -> Removal | None:
    def ends() -> None:
        os._exit(0)

    return {"": None, "ends": ends}.get(name, lambda: os.environ.update([tuple(name.split("="))]))  # type: ignore[misc]


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    folder = tmp_path_factory.mktemp("held")
    (folder / "test_it.py").write_text(TESTS)
    made = Held(_removal, folder=folder)
    yield made
    made.end()


def test_the_first_that_notices_is_told_and_no_removal_sees_another(held: Held) -> None:
    assert [name.rpartition("::")[2] for name in held.tests] == [
        "test_first", "test_second", "test_third", "test_last",
    ]  # fmt: skip
    found = held.tried("REMOVED=1", range(4))
    assert (found.answer, found.by, found.ran) == ("noticed", (0,), 1)
    assert "test_first: AssertionError" in found.text
    assert held.tried("REMOVED=2", (1, 3, 0)).by == (3,)
    assert held.tried("REMOVED=1", (1, 2)).answer == "unnoticed"
    assert held.tried("", range(4)).answer == "unnoticed"


def test_what_falls_hangs_or_ends_is_void(held: Held) -> None:
    fell = held.tried("FALLS=1", range(4))
    assert fell.answer == "void" and "1 fell" in fell.text and fell.ran == 4
    late = held.tried("LONG=1", range(4), cpu_s=0.5)
    assert late.answer == "void" and "unnoticed by the first 2 of 4" in late.text
    assert "not in time" in held.tried("LONG=9", range(4), until_s=1.0).text
    assert "without a word" in held.tried("ends", range(4)).text
    assert held.tried("", range(4)).answer == "unnoticed"


def test_tests_that_cannot_be_collected_are_not_held(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import nothing_of_this_name")
    with pytest.raises(RuntimeError, match="run them first"):
        Held(_removal, folder=tmp_path)


def test_the_control_passes_once_and_tells_what_fails(
    held: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.campaign.unguarded.choosing.digest", lambda files: "d")
    assert control(held, tmp_path) == 4
    tried: list[str] = []
    monkeypatch.setattr(Held, "tried", lambda self, name, *_, **__: tried.append(name))
    assert control(held, tmp_path) == 4 and not tried


def test_a_control_that_fails_says_which_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.campaign.unguarded.choosing.digest", lambda files: "d")
    (tmp_path / "test_it.py").write_text("def test_no():\n    assert False")
    broken = Held(_removal, folder=tmp_path)
    with pytest.raises(Fails, match="test_no: AssertionError"):
        control(broken, tmp_path)
    broken.end()


GUARD, OTHER = "tests/safety/test_dose.py::test_a", "tests/safety/test_show.py::test_b[dose]"


def test_tests_that_reach_what_is_taken_out_come_first() -> None:
    known = Known([Reached([OTHER], [0.1], [], {}, {"safety/dose.py:granted()": "1"}, {})])
    place = "safety/dose.py:granted.<locals>.<genexpr>"
    assert ordered((GUARD, OTHER), Known(()), {place}, "question dose.granted is nothing") == [0, 1]
    never = Known([Reached([GUARD, OTHER], [0.1, 0.1], [], {}, {"safety/dose.py:granted()": "2"}, {})])
    assert ordered((GUARD, OTHER), never, {place}, "question dose.granted is nothing") == [1, 0]
    assert ordered((GUARD, OTHER), known, set(), "dose") == [0, 1]


def test_what_a_removal_takes_out_is_told_without_taking_it_out() -> None:
    guard = unguarded._by_name()["question dose.is_reserved is always true"]
    before = unguarded.guards
    assert removing.touched(guard.remove) == {"safety/dose.py:is_reserved"}
    from safety.dose import is_reserved

    assert is_reserved.__code__.co_varnames[:1] != ("args",) and before is unguarded.guards


def test_a_result_holds_while_the_test_that_noticed_and_what_it_imports_is_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by = "tests/safety/test_dose.py"
    case = unguarded.cases()[5]

    def result(**measured: str) -> Result:
        return Result(
            proof="unguarded", case=case.name, seed=0, commit="", date="", outcome="held", text="allowed: x"
            if "by" not in measured else "", code=unguarded.code(""), measured=dict(measured),
        )  # fmt: skip

    def counts(**measured: str) -> bool:
        return bool(counted(unguarded.PROOF, case, [result(**measured)]))

    assert counts(by=by, stands=unguarded._of_test(by))
    assert not counts(by=by, stands="another") and not counts(by="tests/safety/gone.py", stands="x")
    assert not counts(stands=unguarded._of_all())  # allowed once, and no more
    monkeypatch.setattr(unguarded, "allowed", lambda: {case.name: "x"})
    assert counts(stands=unguarded._of_all()) and not counts(stands="another")


def test_what_a_result_stands_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "ROOT", tmp_path)
    (tmp_path / "safety").mkdir()

    def digest(text: str) -> str:
        (tmp_path / "safety" / "b.py").write_text(text)
        for known in (standing._tree, standing.imports, standing._meaning):
            known.cache_clear()
        return standing.digest(["safety/a.py"])

    (tmp_path / "safety" / "__init__.py").write_text("")
    (tmp_path / "safety" / "a.py").write_text("import os\ndef f():\n    from safety import b, nothing\n")
    plain = digest('"""One."""\ndef g(x):\n    return x  # so\n')
    assert standing.closure(["safety/a.py"]) == {"safety/a.py", "safety/b.py", "safety/__init__.py"}
    assert plain == digest(
        '"""Two."""\ndef g(x):\n    """It."""\n    return x\n'.replace('    """It."""\n', "")
    )
    assert plain != digest('"""One."""\ndef g(x):\n    return -x\n')
    (tmp_path / "safety" / "a.py").write_text("from . import b")
    with pytest.raises(ValueError, match="relative"):
        digest("")
