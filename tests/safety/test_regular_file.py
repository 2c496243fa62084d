"""Files read at once and put in place in one step: bounded, never waited for, and either the old or the new."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from safety.regular_file import put_durably, read_regular, read_with_status


@pytest.mark.parametrize(("size", "read"), [(0, 0), (9, 9), (10, 10), (11, 11), (12, 11), (1_000_000, 11)])
def test_no_more_than_one_byte_beyond_the_bound_is_read(tmp_path: Path, size: int, read: int):
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    assert read_regular(path, 10) == bytes(read)


def test_a_link_is_followed_only_where_it_may_be(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 10) == b"x"
    with pytest.raises(OSError) as error:
        read_regular(tmp_path / "link", 10, follow=False)
    assert error.value.errno == errno.ELOOP
    assert (
        read_with_status(tmp_path / "file", 10, follow=False)[1].st_ino == (tmp_path / "file").stat().st_ino
    )


def test_what_is_no_file_is_an_error_and_keeps_nothing_open(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    before = set(os.listdir("/proc/self/fd"))
    for path, code in (
        (tmp_path, errno.EISDIR),
        (tmp_path / "pipe", errno.EINVAL),
        (Path("/dev/null"), errno.EINVAL),
    ):
        with pytest.raises(OSError) as error:
            read_regular(path, 10)
        assert (error.value.errno, error.value.filename) == (code, str(path))
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_file_is_put_with_its_mode_over_an_older_one(tmp_path: Path):
    path = tmp_path / "file"
    for content, mode in ((b"one", 0o640), (b"two", 0o604)):
        put_durably(path, content, mode)
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (content, mode)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("failing", ["fsync", "fchmod"])
def test_what_fails_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str):
    path = tmp_path / "file"
    put_durably(path, b"one", 0o644)

    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, fails)
    with pytest.raises(OSError):
        put_durably(path, b"two", 0o644)
    assert path.read_bytes() == b"one" and [each.name for each in tmp_path.iterdir()] == ["file"]


def test_file_and_directory_are_synced_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[str] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd)))
    put_durably(tmp_path / "file", b"one", 0o644)
    assert synced == [str(tmp_path / f".file.{os.getpid()}"), str(tmp_path)]
