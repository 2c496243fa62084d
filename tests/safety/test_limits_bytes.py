"""limits.toml as bytes: what is no file of ours is refused in printable lines that say where and why."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safety.limits import BYTES_MAX, LINE_BYTES_MAX, LimitsErrors, load
from safety.modalities import quantities_of
from tests.safety.documents import bent, key_lines, problems
from tests.safety.strategies import document, to_toml


def test_what_was_found_is_cut_and_what_is_known_is_listed():
    (line,) = key_lines(bent("tacs", ("file", "title"), "x" * 201), ("file", "title"))
    assert f'found "{"x" * 60}", expected' in line
    (line,) = key_lines(bent("tacs", ("site_limits", "tail"), 1), ("site_limits", "tail"))
    assert line.endswith("expected no such key here (known: none)")
    (line,) = key_lines(bent("tacs", ("participant", "name"), "x"), ("participant", "name"))
    assert line.endswith("expected no such key here (known: code)")


def test_a_file_that_is_no_toml_says_where():
    assert problems(b"a = \n") == (
        "limits.toml: found text that is not TOML: Invalid value (at line 1, column 5); correct that place",
    )
    assert problems(b"a = \xff")[0] == (
        "limits.toml: found a byte at 4 that is not UTF-8, expected UTF-8 text; save it as UTF-8"
    )
    assert problems(b"\xef\xbb\xbf" + _VALID) == (
        "limits.toml: found a byte-order mark before the text, expected none; save it as UTF-8 without one",
    )


def test_a_line_says_key_found_expected_and_bound():
    assert problems(bent("tacs", ("protocol_limits", "amplitude_ma_pp", "max"), "2")) == (
        'limits.toml: key protocol_limits.amplitude_ma_pp.max: found "2", expected a finite number from 0 to 4 '
        "mA peak-to-peak (absolute bound: Antal et al. 2026, PMC7618810: well established up to 4 mA; tACS is "
        "quoted peak to peak, 2017-2025 update)",
    )


def test_every_error_at_once():
    doc = document("rtms")
    doc["file"]["serial"] = 0
    doc["device"]["driver"] = "NOT ONE"
    doc["inputs"]["motor_threshold_pct_mso"] = 5.0
    del doc["protocol_limits"]["rate_hz"]
    doc["watch"]["lapses_max"] = 9
    doc["surprise"] = 1
    assert len(problems(doc)) == 6


# Bytes that are no file of ours


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"\x00",
        b"\xef\xbb\xbf[file]\n",
        b"[file",
        b"a = 1\na = 2\n",
        b"a = " + b"9" * 5000,
        b"a = " + b"[" * 30_000,
        b"a = " + b"[\n" * 30_000,
        b"[" + b"a." * 5_000 + b"a]",
        b'a = "\x1b"',
        b"a = 2026-02-30",
        b"a = 1e5_",
        b"#" * (BYTES_MAX + 1),
        b"[[file]]\n[[people]]\n[[budgets]]\n",
    ],
    ids=range(15),
)
def test_bytes_that_are_no_limits_are_refused_in_lines(content: bytes):
    found = problems(content)
    assert found and all(line.startswith("limits.toml: ") and line.isprintable() for line in found)


def test_the_size_is_capped_inclusively():
    assert BYTES_MAX == 65_536
    content = to_toml(document("tacs"))
    load(content + b"\n#" + b"x" * (BYTES_MAX - len(content) - 2))
    assert problems(content + b"\n#" + b"x" * (BYTES_MAX - len(content) - 1)) == (
        f"limits.toml: found more than {BYTES_MAX} bytes, expected fewer; is it the right file?",
    )


@pytest.mark.parametrize("start", [b"", b"[", b"a = {"], ids=("key", "table", "inline"))
def test_a_key_of_thousands_of_parts_takes_no_minutes(start: bytes):
    """A reader's time grows with the square of them: a file of 60 kB took one and a half minutes."""
    assert LINE_BYTES_MAX == 1024
    said = problems(_VALID + start + b"a." * 30_000 + b"a = 1")
    assert len(said) == 1 and re.fullmatch(
        r"limits\.toml: found a line \d+ of 600\d\d bytes, expected at most 1024; break it", said[0]
    )
    for spare in (0, 1):
        line = b"title = '" + b"x" * (LINE_BYTES_MAX - 10 + spare) + b"'"
        found = problems(line + b"\n")
        assert ("break it" in found[0]) is bool(spare)
    for number, before in ((1, b""), (3, b"\n\n")):
        (found_at,) = problems(before + b"a" * (LINE_BYTES_MAX + 1))
        assert f"found a line {number} of 1025 bytes" in found_at
    begun_s = time.process_time()
    problems(b"\n".join(b"k%d." % n + b"a." * 500 + b"a = 1" for n in range(64)))
    assert time.process_time() - begun_s < 5.0


@given(content=st.binary(max_size=400))
@settings(max_examples=80, deadline=None)
def test_arbitrary_bytes_only_ever_raise_limits_errors(content: bytes):
    assert problems(content)


_VALID = to_toml(document("tacs"))


@given(at=st.integers(0, len(_VALID) - 1), bit=st.integers(0, 7), cut=st.booleans())
@settings(max_examples=80, deadline=None)
def test_a_damaged_file_loads_within_bounds_or_says_why(at: int, bit: int, cut: bool):
    content = bytearray(_VALID)
    content[at] ^= 1 << bit
    damaged = bytes(content[:at] if cut else content)
    try:
        limits = load(damaged)
    except LimitsErrors as error:
        assert error.problems
        return
    assert limits.digest != load(_VALID).digest
    for found in limits.rows:
        declared = next(d for d in quantities_of("tacs") if d.name == found.quantity)
        assert declared.low <= found.low <= found.high <= declared.high


def test_odd_keys_are_shown_on_one_line():
    doc: dict[str, Any] = document("tacs")
    doc["a\nb\x1b"] = 1
    (line,) = problems(doc)
    assert line.isprintable()
