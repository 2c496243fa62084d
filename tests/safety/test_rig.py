"""Where rigs are looked for: STOP finds every rig of this user from any shell, and no socket of anybody else's."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from safety import rig
from safety.rig import (
    NOTED,
    STOP,
    SUN_PATH_MAX,
    RigError,
    claim,
    directories,
    forget,
    note,
    noted,
    places,
    rig_directories,
    stop_sockets,
    writable_directory,
)
from safety.start import _claim_rig
from safety.stop import main
from tests.safety.test_stop_verb import rig as listening


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The directories of a machine of its own: a rig in each, and an environment without a word of them."""
    uid = str(os.getuid())
    found = {
        "site": tmp_path / "run" / "nociloop",
        "login": tmp_path / "run" / "user" / uid / "nociloop",
        "tmp": tmp_path / "tmp" / f"nociloop-{uid}",
    }
    monkeypatch.setattr(rig, "SITE_DIRECTORY", found["site"])
    monkeypatch.setattr(rig, "USERS", found["login"].parents[1])
    monkeypatch.setattr(rig, "SHARED_TMP", found["tmp"].parent)
    monkeypatch.delenv("NOCILOOP_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("NOCILOOP_RUNTIME_ALONE", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    for name, directory in found.items():
        (directory / name).mkdir(parents=True)
        (directory / name / STOP).touch()
    return found


def _rigs() -> list[str]:
    return [path.parent.name for path in stop_sockets()]


def test_stop_finds_a_rig_from_a_shell_without_its_environment(
    machine: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    """A rig of the desktop's session, stopped over ssh or by cron; and one that cron started, from the desktop."""
    assert _rigs() == ["site", "tmp", "login"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(machine["login"].parent))
    assert directories()[1] == machine["login"]
    assert _rigs() == ["site", "login", "tmp"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(machine["login"].parents[2] / "elsewhere"))
    assert _rigs() == ["site", "login", "tmp"]


def test_a_named_directory_hides_no_rig_from_stop(
    machine: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(machine["tmp"]))
    assert directories() == (machine["tmp"],)
    assert _rigs() == ["tmp", "site", "login"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", "here")
    assert directories() == (tmp_path / "here",)  # what is noted of it holds from everywhere


def test_a_world_of_its_own_presses_no_other_and_is_pressed_by_none(
    machine: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What a test starts. A real device is none of it: its rig is noted whatever was declared."""
    monkeypatch.setenv("NOCILOOP_RUNTIME_ALONE", "1")
    assert _rigs() == ["site", "tmp", "login"]  # nothing was named that could be alone
    monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(tmp_path / "a"))
    assert places() == (tmp_path / "a",)
    for rig_name, simulated in (("played", True), ("real", False)):
        directory, _, _ = _claim_rig(rig_name, simulated=simulated)
        (directory / STOP).touch()
    assert _rigs() == ["played", "real"]
    monkeypatch.delenv("NOCILOOP_RUNTIME_DIR")
    assert _rigs() == ["site", "tmp", "login", "real"]


# Noted rigs


def rig_of(directory: Path, name: str = "away") -> Path:
    """A rig in a directory that only its own shell knows, noted, its socket there."""
    path, _ = claim(directory, name)
    note(path)
    (path / STOP).touch()
    return path


def test_a_rig_in_a_directory_of_its_own_is_found_from_any_shell(
    machine: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert noted() == []
    path = rig_of(tmp_path / "a")
    other = rig_of(tmp_path / "b")  # of the same name, elsewhere
    assert _rigs() == ["site", "tmp", "login", "away", "away"]
    assert stop_sockets()[-2:] == [path / STOP, other / STOP]
    assert rig_directories()[-1] == other
    monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(tmp_path / "c"))
    assert _rigs() == ["site", "login", "tmp", "away", "away"]
    note(path)  # the next session on it
    forget(other)
    forget(other)
    assert _rigs() == ["site", "login", "tmp", "away"]
    (path / STOP).unlink()  # it has ended, or has not yet begun
    assert _rigs() == ["site", "login", "tmp"]
    assert noted() == [path, path]  # in both places


def test_stop_presses_once_whatever_ways_lead_to_a_rig(
    machine: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """Named, noted in both places, and by a link: a second connection would cut."""
    for path in machine.values():
        shutil.rmtree(path)
    assert main([]) == 1
    said = capsys.readouterr().out
    assert all(str(path) in said for path in machine.values()), said
    (tmp_path / "a").mkdir()
    with listening(tmp_path / "a", "away", b'{"seq":7}') as taken:
        note(tmp_path / "a" / "away")
        assert main([]) == 0
        assert capsys.readouterr().out == "away: STOP taken, it goes to zero (ledger entry 7)\n"
        assert len(taken) == 1
        (tmp_path / "link").symlink_to(tmp_path / "a")
        monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(tmp_path / "link"))
        assert main([]) == 0
        assert len(taken) == 2


def test_notes_of_others_are_not_believed(
    machine: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = rig_of(tmp_path / "a")
    notes = [machine[name] / NOTED for name in ("login", "tmp")]
    (notes[0] / "no link").touch()
    (notes[0] / "nowhere").symlink_to(tmp_path / "nowhere")
    assert noted() == [path, path]
    for guarded in (lambda each: each, lambda each: each.parent):
        for mode in (0o720, 0o702, 0o777):
            for each in notes:
                guarded(each).chmod(mode)
            assert noted() == []
            assert "away" not in _rigs()
        for each in notes:
            guarded(each).chmod(0o711)
    assert noted() == [path, path]
    away = tmp_path / "their notes"
    for each in notes:
        each.rename(away)
        each.symlink_to(away)
        assert path not in rig._read_notes(each)
        each.unlink()
        away.rename(each)
    real, of_others = os.lstat, set[Path]()

    def told(name: str | Path) -> os.stat_result:
        found = real(name)
        return os.stat_result([*found[:4], 12345, *found[5:10]]) if Path(name) in of_others else found

    monkeypatch.setattr(Path, "lstat", told)
    for each in (
        [link for place in notes for link in place.iterdir()],
        [path],
        notes,
        [n.parent for n in notes],
    ):
        of_others.update(each)
        assert noted() == []
        of_others.clear()
    assert noted() == [path, path]


def test_what_is_noted_of_a_rig_that_is_gone_goes(machine: dict[str, Path], tmp_path: Path):
    shutil.rmtree(rig_of(tmp_path / "gone"))
    path = rig_of(tmp_path / "a")
    for name in ("login", "tmp"):
        assert [os.readlink(each) for each in (machine[name] / NOTED).iterdir()] == [str(path)]


def test_a_rig_that_was_killed_elsewhere_is_forgotten_when_it_is_started_again(
    machine: dict[str, Path], tmp_path: Path
):
    """STOP says of it NOT CONFIRMED, then nociloop reset; and that starts an interlock, maybe from another shell."""
    path, held = claim(tmp_path / "a", "away")
    note(path)
    (path / STOP).touch()
    other = rig_of(tmp_path / "b", "other")
    again = machine["tmp"] / "away"
    note(again)  # while the first one runs
    assert _rigs() == ["site", "tmp", "login", "away", "other"]
    os.close(held)
    note(path)  # the next session of its own
    assert set(noted()) == {path, other}
    note(again)
    assert set(noted()) == {other}
    assert _rigs() == ["site", "tmp", "login", "other"]


def test_nothing_is_noted_of_a_rig_where_stop_looks_anyway(machine: dict[str, Path]):
    for directory in machine.values():
        note(directory / "rig")
        assert not (directory / NOTED).exists()


def test_a_rig_that_can_be_noted_nowhere_does_not_start(machine: dict[str, Path], tmp_path: Path):
    """One place is enough: a user who is not logged in has no other."""
    machine["login"].parent.rename(tmp_path / "logged out")
    path = rig_of(tmp_path / "a")
    assert noted() == [path]
    assert not machine["login"].parent.exists()
    shutil.rmtree(machine["tmp"])
    machine["tmp"].symlink_to(tmp_path / "a")  # made by whoever came first
    with pytest.raises(RigError, match=r"STOP from another shell would not find this rig: .*remove it"):
        note(path)
    machine["tmp"].unlink()
    machine["tmp"].mkdir()
    (machine["tmp"] / NOTED).touch()
    with pytest.raises(RigError, match="STOP from another shell would not find this rig"):
        note(path)


def test_the_longest_path_has_a_note(
    machine: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with tempfile.TemporaryDirectory() as short:
        name = "r" * (SUN_PATH_MAX - len(os.fsencode(Path(short) / "a" / "r" / "controller.sock")) + 1)
        path = rig_of(Path(short) / "a", name)
        assert path.name == name
        assert noted() == [path, path]
        monkeypatch.setenv("NOCILOOP_RUNTIME_DIR", str(Path(short) / "a"))
        assert writable_directory() / name == path


def test_nobody_else_can_confirm_a_stop(
    machine: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Everybody may make a directory of that name where all may write, or a link to one of their own."""
    away = tmp_path / "away"
    machine["tmp"].rename(away)
    machine["tmp"].symlink_to(away)
    assert _rigs() == ["site", "login"]
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (rig.SHARED_TMP / "nociloop-12345" / "theirs").mkdir(parents=True)
    (rig.SHARED_TMP / "nociloop-12345" / "theirs" / STOP).touch()
    assert _rigs() == ["site"]
