"""A run folder is new, private, and never over an old one."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from controller.runfolder import RUNS_A_SECOND_MAX, RunFolderError, new_run_folder, write_new

NOON = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


def test_runs_of_one_second_are_counted(tmp_path: Path) -> None:
    names = [new_run_folder(tmp_path / "a" / "runs", NOON).name for _ in range(3)]
    assert names == ["2026-01-31T12-00-00Z", "2026-01-31T12-00-00Z-2", "2026-01-31T12-00-00Z-3"]
    assert (tmp_path / "a" / "runs" / names[0]).stat().st_mode & 0o777 == 0o700


def test_the_name_is_in_utc_wherever_the_lab_is(tmp_path: Path) -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    assert new_run_folder(tmp_path, tokyo).name == "2026-01-31T12-00-00Z"


def test_many_at_once_each_get_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: new_run_folder(tmp_path, NOON), range(40)))
    assert len(set(folders)) == 40


def test_a_runaway_script_is_stopped(tmp_path: Path) -> None:
    for _ in range(RUNS_A_SECOND_MAX):
        new_run_folder(tmp_path, NOON)
    with pytest.raises(RunFolderError, match="has 99 runs"):
        new_run_folder(tmp_path, NOON)


def test_a_dangling_link_is_no_free_name(tmp_path: Path) -> None:
    (tmp_path / "2026-01-31T12-00-00Z").symlink_to(tmp_path / "elsewhere")
    assert new_run_folder(tmp_path, NOON).name.endswith("Z-2")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EACCES, "a folder that you may write"),
        (errno.EROFS, "a disk that may be written"),
        (errno.ENOSPC, "free some disk space"),
        (errno.EIO, "name another folder"),
    ],
)
def test_each_trouble_is_one_line_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, remedy: str
) -> None:
    def refuse(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(RunFolderError, match=remedy) as caught:
        new_run_folder(tmp_path, NOON)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.exit_status == 3


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="file"):
        new_run_folder(tmp_path / "file" / "runs", NOON)


def test_a_file_is_written_once(tmp_path: Path) -> None:
    write_new(tmp_path / "limits.toml", b"a")
    with pytest.raises(RunFolderError, match="nothing is written over"):
        write_new(tmp_path / "limits.toml", b"b")
    assert (tmp_path / "limits.toml").read_bytes() == b"a"
    assert (tmp_path / "limits.toml").stat().st_mode & 0o777 == 0o600
