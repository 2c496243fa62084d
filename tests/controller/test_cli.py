"""The command line: finds verbs without importing them, and ends every error in lines and an exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from controller import cli, packages, verb_help
from controller.diagnostics import write_diagnostics

ROOT = Path(__file__).resolve().parents[2]
VERBS = "tests.controller.verbs_for_cli"
ENTRIES = (
    EntryPoint("zeta", "no.such.module:verb", cli.GROUP),
    EntryPoint("fails", f"{VERBS}:fails", cli.GROUP),
    EntryPoint("group", f"{VERBS}:app", cli.GROUP),
    EntryPoint("bare", f"{VERBS}:bare", cli.GROUP),
    EntryPoint("doctor", f"{VERBS}:hello", cli.GROUP),
    EntryPoint("stop", "safety.stop:main", cli.GROUP),
)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli, "_installed", lambda: ENTRIES)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("NOCILOOP_DEBUG", raising=False)


def python(code: str, *path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    places = os.pathsep.join(map(str, (*path, ROOT)))
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd="/",
        env=os.environ | {"PYTHONPATH": places} | env,
    )


def test_help_lists_every_verb_with_the_line_that_it_says_of_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sys.modules.pop(VERBS, None)
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()[4:]
    assert [line.split() for line in lines[1:]] == [
        ["doctor", "Say", "hello,", "so", "often."],
        ["bare", "A", "group", "that", "helps."],
        ["fails", "Fail", "in", "a", "chosen", "way."],
        ["group", "A", "group", "of", "verbs."],
        ["zeta"],
    ]
    assert lines[0].startswith("  stop    Press STOP on every rig")
    assert VERBS not in sys.modules


def test_help_is_quick_though_every_verb_is_listed() -> None:
    verb_help._tree.cache_clear()
    begin = time.perf_counter()
    cli.overview(cli.find_verbs(ENTRIES))
    assert time.perf_counter() - begin < 0.3


def test_no_verb_is_a_wrong_call_that_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "usage: nociloop VERB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "status", "out", "err"),
    [
        (["doctor", "--count", "2"], 0, "hello\nhello\n", ""),
        (["group", "inner", "x"], 0, "inner x\n", ""),
        (["doktor"], 2, "", 'nociloop: found "doktor", expected a verb; did you mean "doctor"?\n'),
        (["qqq"], 2, "", 'nociloop: found "qqq", expected a verb; "nociloop --help" lists the verbs\n'),
        (["fails", "operating"], 3, "", "a.toml: key x: found 1, expected 2\na.toml: key y: missing\n"),
        (["fails", "exit"], 4, "", ""),
        (["fails", "return"], 1, "", ""),
        (["fails", "system"], 2, "", ""),
        (["fails", "abort"], 130, "", "nociloop: interrupted\n"),
    ],
)
def test_exit_status_and_lines(
    capsys: pytest.CaptureFixture[str], argv: list[str], status: int, out: str, err: str
) -> None:
    assert cli.main(argv) == status
    said = capsys.readouterr()
    assert (said.out, said.err) == (out, err)


def test_an_interrupted_verb_ends_with_130() -> None:
    assert cli.main(["fails", "interrupt"]) == 130


def test_ctrl_c_does_not_take_a_stop_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is ignored for the second that STOP may take, and means what it did thereafter."""
    before = signal.getsignal(signal.SIGINT)

    def main(args: list[str]) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        sys.stdout.write("pressed\n")
        return 0

    monkeypatch.setattr("safety.stop.main", main)
    assert cli.main(["stop"]) == 0
    assert capsys.readouterr().out == "pressed\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_file_that_may_not_be_read_says_what_to_look_at(tmp_path: Path) -> None:
    """Root may read every file: the words alone are tried."""
    import typer

    said: list[str] = []
    error = typer.BadParameter("path 'x' is not readable.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_say", said.append)
        assert cli._operating(error, "ledger") == 2
    assert said[0].startswith("nociloop ledger: ")
    assert "path 'x' is not readable by this user; check its owner and mode" in said[0]


@pytest.mark.parametrize(
    "argv", [["doctor", "--cuont", "2"], ["doctor", "--count", "many"], ["fails"], ["group", "inn"], ["zeta"]]
)
def test_a_wrong_call_is_one_line_and_exit_status_two(
    capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    assert cli.main(argv) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"nociloop {argv[0]}: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_group_without_its_verb_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bare"]) == 2
    said = capsys.readouterr()
    assert said.out.startswith("Usage: nociloop bare")
    assert "tells more" not in said.out
    assert said.err == ""


def test_a_wrong_call_names_the_verb_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["group", "inner"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("nociloop group inner: ")
    assert said.endswith('("nociloop group inner --help" tells more)\n')


def test_a_verb_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--help"]) == 0
    out = capsys.readouterr().out
    assert "nociloop doctor" in out
    assert "how often" in out
    assert "\x1b" not in out


def test_an_internal_failure_is_one_line_and_a_file_with_the_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["fails", "bug"]) == 70
    said = capsys.readouterr().err
    assert said.startswith(
        "nociloop: internal failure: ZeroDivisionError: a bug in two lines; please report "
    )
    assert said.count("\n") == 1
    file = Path(said.rsplit(" ", 1)[1].strip())
    assert file.parent == tmp_path / "state" / "nociloop"
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert "Traceback" in text
    assert "['fails', 'bug']" in text


def test_the_traceback_is_shown_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOCILOOP_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["fails", "bug"])


def test_a_failure_is_told_even_where_no_file_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    monkeypatch.setenv("HOME", str(blocked))
    monkeypatch.setattr("tempfile.tempdir", str(blocked))
    assert "no file could be written" in write_diagnostics(ValueError("x"), ["run"])


def test_two_distributions_may_not_share_a_verb(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_installed", lambda: (*ENTRIES, EntryPoint("doctor", "evil:verb", cli.GROUP)))
    assert cli.main(["doctor"]) == 2
    assert 'verb "doctor" is registered twice' in capsys.readouterr().err


def test_a_closed_pipe_is_no_failure() -> None:
    code = f"""
        import sys
        from importlib.metadata import EntryPoint
        from controller import cli
        cli._installed = lambda: (EntryPoint("fails", "{VERBS}:fails", cli.GROUP),)
        sys.exit(cli.main(["fails", "pipe"]))
    """
    done = python(code)
    assert (done.returncode, done.stderr) == (141, "")


# --- stop -------------------------------------------------------------------------------------------------------


def test_stop_acts_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    code = """
        import json, sys
        from controller import cli
        status = cli.main(["stop"])
        print(json.dumps([status, sorted(sys.modules)]))
    """
    done = python(code, NOCILOOP_RUNTIME_DIR=str(tmp_path))
    assert done.stderr == ""
    status, modules = json.loads(done.stdout.splitlines()[-1])
    assert status == 1  # no rig found: nothing is confirmed
    heavy = {
        "typer",
        "rich",
        "numpy",
        "pylsl",
        "pydantic",
        "importlib.metadata",
        "asyncio",
        "controller.packages",
    }
    assert not heavy & set(modules)


def test_stop_is_not_held_up_by_the_check_of_packages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(packages, "strangers", lambda: ["package safety: found elsewhere"])
    monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(tmp_path))
    assert cli.main(["stop"]) == 1
    assert "no rig found" in capsys.readouterr().out
    assert cli.main(["doctor"]) == 2
    assert capsys.readouterr().err == "nociloop: package safety: found elsewhere\n"


def test_a_stop_that_cannot_be_loaded_says_that_it_is_not_confirmed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "safety.stop", None)
    assert cli.main(["stop"]) == 1
    said = capsys.readouterr().err
    assert "NOT CONFIRMED" in said
    assert "use the hardware stop" in said
    assert said.count("\n") == 1


# --- our own packages -------------------------------------------------------------------------------------------


def test_this_checkout_has_its_own_packages() -> None:
    assert packages.strangers() == []


def test_a_foreign_package_of_the_same_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "safety").mkdir()
    (tmp_path / "safety" / "__init__.py").write_text("raise SystemExit('foreign code ran')")
    code = """
        import sys
        from controller import cli
        sys.exit(cli.main(["--help"]))
    """
    done = python(code, tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        f"nociloop: package safety: found in {tmp_path}/safety, expected {ROOT}/safety; "
        "install nociloop into an environment of its own\n"
    )


def test_files_of_others_among_ours_are_found(tmp_path: Path) -> None:
    for name in packages.NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    sizes: dict[str, int | None] = {f"{name}/__init__.py": 0 for name in packages.NAMES}
    assert packages._mixed(tmp_path, sizes) == []
    (tmp_path / "safety" / "cli.py").write_text("x")
    (tmp_path / "drivers" / "__init__.py").write_text("overwritten")
    (tmp_path / "sim" / "__init__.py").unlink()
    lines = "\n".join(packages._mixed(tmp_path, sizes))
    assert "drivers/__init__.py: found 11 bytes, expected 0" in lines
    assert "safety/cli.py: found among nociloop's files" in lines
    assert "sim/__init__.py: No such file" in lines


# --- help out of sources ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def verb():\n    '''One.\n\n    Two.'''", "One."),
        ("async def verb(): 'One.'", "One."),
        ("def verb(): pass", ""),
        ("'''Module.'''\nimport typer\nverb = typer.Typer()", "Module."),
        ("import typer\nverb: typer.Typer = typer.Typer(help='Many.')", "Many."),
        ("from verb_of_other import verb", ""),
        ("from circular_verb import verb", ""),
        ("def verb(:", ""),
        ("raise SystemExit('was imported')", ""),
    ],
)
def test_help_is_read_and_never_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, line: str
) -> None:
    verb_help._tree.cache_clear()
    (tmp_path / "circular_verb.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert verb_help.first_line("circular_verb:verb") == line
    assert "circular_verb" not in sys.modules
