"""What an interlock is started with, before anything is opened: words that go into files which outlive the session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from safety.start import WORD_CHARS_MAX, Refused, _arguments, _make

WORDS = {
    "none": "",
    "long": "x" * (WORD_CHARS_MAX + 1),
    "huge": "x" * 100_000,
    "lines": "s-1\n",
    "escape": "\x1b[2J",
    "half": "\udcff",
    "bidi": "\u202e1-s",
}


def _started(tmp_path: Path, session_id: str, session_digest: str, *more: str) -> str:
    """The line with which it refuses to start; it would not get as far as the limits, which are not there."""
    limits = str(tmp_path / "none.toml")
    words = ["--session-id", session_id, "--session-digest", session_digest]
    with pytest.raises(Refused) as found:
        _make(_arguments(["--limits", limits, "--run-dir", str(tmp_path), *words, *more]))
    return str(found.value)


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_words_that_no_file_can_hold_start_nothing(tmp_path: Path, word: str):
    """A huge one made the list of the whole site unreadable; half a character was a traceback."""
    expected = f"expected 1 to {WORD_CHARS_MAX} printable characters"
    for name, words in (("session-id", (word, "d")), ("session-digest", ("s", word))):
        said = _started(tmp_path, *words)
        assert said.startswith(f"--{name}: found ")
        assert said.endswith(expected)
        assert len(said) < 200
        assert said.isprintable()
    assert not any(tmp_path.iterdir())


def test_the_longest_words_are_taken(tmp_path: Path):
    assert "none.toml" in _started(tmp_path, "ü" * WORD_CHARS_MAX, "d" * WORD_CHARS_MAX)


def test_a_supervisor_s_pipe_is_a_pipe(tmp_path: Path):
    with (tmp_path / "file").open("wb") as file:
        for fd in (file.fileno(), 10_000, 2**40):
            said = _started(tmp_path, "s", "d", "--parent-fd", str(fd))
            assert said == f"--parent-fd: found {fd}, expected a pipe that is open for reading"
    reading, writing = os.pipe()
    assert "none.toml" in _started(tmp_path, "s", "d", "--parent-fd", str(reading))
    os.close(reading)
    os.close(writing)
