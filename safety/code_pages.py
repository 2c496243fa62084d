"""`python -m safety.code_pages`: docs/codes.md and the table of watchdogs in safety/README.md, made from the code.

A number that stands here is read from where it decides, and the file of a code is found by who names it: neither can
say anything else than what runs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from drivers.stimulation import Value
from safety import arming, delivery, firing, interlock, ledger, process, requests, trips, watchdogs
from safety.modalities import REASONS
from safety.needs import IN_WORDS, NEEDS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "codes.md"
README = ROOT / "safety" / "README.md"
BEGIN, END = "<!-- watchdogs: made by `python -m safety.code_pages` -->", "<!-- end of watchdogs -->"
# Not where a code is decided: where it is declared, told, or judged a second time.
NO_DECIDERS = ("trips.py", "code_pages.py", "verbs.py", "show.py")
_IMPORT = re.compile(r"^(from \S+ import (\([^)]*\)|[^(\n]*)|import .*)$", re.MULTILINE)
TESTS = "tests/safety/"
EDGES = f"{TESTS}test_watchdog_edges.py::"
AGE = f"{EDGES}test_an_age_at_its_limit_and_a_nanosecond_over"

Kind = Literal["trip", "refusal by a limit", "refusal", "missing permissive"]


def _ms(ns: int) -> str:
    return f"{ns / 1e6:g} ms"


class Watchdog(Value, frozen=True):
    """One watched thing: when it is content, which code it raises, and the test that stands on its edge."""

    watched: str
    limit: str
    code: str
    test: str


def _dog(kind: trips.TripKind, watched: str, limit: str, test: str) -> Watchdog:
    return Watchdog(watched=watched, limit=limit, code=kind.code, test=test)


WATCHDOGS: tuple[Watchdog, ...] = (
    _dog(trips.HEARTBEAT, "controller: its heartbeat", "`watch.heartbeat_ms`", AGE),
    _dog(trips.HEARTBEAT, "controller: progress of its loop in the heartbeat",
         "`watch.data_age_ms` + `watch.heartbeat_ms` without a new block", AGE),
    _dog(trips.CONTROLLER_GONE, "controller: its connection", "open",
         f"{TESTS}test_interlock_codes.py::test_each_trip_is_produced_by_what_it_names"),
    _dog(trips.FRAMES, "controller: what it sends can be read",
         f"fewer than {interlock.BAD_FRAMES_MAX} frames that cannot",
         f"{EDGES}test_how_many_frames_may_be_unreadable"),
    _dog(trips.EEG_STALE, "EEG: age of the newest sample, its uncertainty added",
         "`watch.data_age_ms`", f"{TESTS}test_watchdogs.py::test_the_age_of_evidence_is_judged_from_both_sides"),
    _dog(trips.EEG_FUTURE, "EEG: stamp of the newest sample",
         f"at most {_ms(watchdogs.FUTURE_NS)} and its uncertainty ahead",
         f"{TESTS}test_watchdogs.py::test_the_age_of_evidence_is_judged_from_both_sides"),
    _dog(trips.EEG_FROZEN, "EEG: raw samples change (CRC)", "`watch.data_age_ms` since the last change", AGE),
    _dog(trips.EEG_RATE, "EEG: count of samples against elapsed time x rate, both sides, over 4 to 8 s",
         "`watch.rate_tolerance_pct`, at least 0.25 s of samples", f"{EDGES}test_the_count_of_samples_against_time"),
    _dog(trips.EEG_CHANGED, "EEG: uid of the stream", "as in the hello",
         f"{TESTS}test_watchdogs.py::test_another_stream_is_another_stream"),
    _dog(trips.EEG_UNCLEAN, "EEG: fraction of clean channels",
         f"`watch.clean_fraction_min`; below it no increase, and output for at most {_ms(watchdogs.UNCLEAN_NS)}",
         f"{EDGES}test_bad_quality_lasts_two_seconds_and_no_longer"),
    _dog(trips.RESPONSE, "response: its sign under stimulation", "`response.windows_trip` windows",
         f"{TESTS}test_response.py::test_more_windows_of_the_wrong_sign_trip_by_a_ramp"),
    _dog(trips.HOST_SILENT, "device host: answers a poll, a prepare, a fire", "`watch.host_ms`", AGE),
    _dog(trips.HOST_GONE, "device host: its process", "alive",
         f"{TESTS}test_interlock_codes.py::test_each_trip_is_produced_by_what_it_names"),
    _dog(trips.DEVICE_STATE, "device: its own state", "armed, running or stopping",
         f"{TESTS}test_watchdogs.py::test_a_device_that_left_armed_by_itself"),
    _dog(trips.READ_BACK, "device: settings read back before a fire; onset told after it",
         f"every number as permitted; onset within {_ms(firing.ONSET_SLACK_NS)} before and "
         f"{_ms(2 * firing.ONSET_SLACK_NS)} after",
         f"{TESTS}test_requests_answers.py::test_a_read_back_that_differs_in_anything_trips"),
    _dog(trips.OVER_DELIVERY, "device: amplitude, count and time of each delivery, amplitude of each status",
         f"as permitted, to 0.01 %; times to {_ms(delivery.TIME_SLACK_NS)}",
         f"{TESTS}test_delivery.py::test_the_amplitude_of_a_slice"),
    _dog(trips.UNASKED, "device: output that nobody permitted", "none",
         f"{TESTS}test_watchdogs.py::test_output_while_nothing_runs"),
    _dog(trips.NOT_ENDED, "device: end of a lease is told",
         f"{_ms(delivery.END_SLACK_NS)} after lease and ramp", f"{EDGES}test_an_end_that_is_not_told"),
    _dog(trips.LAPSES, "hold: lapses within 60 s", "fewer than `watch.lapses_max`",
         f"{EDGES}test_three_lapses_within_a_minute"),
    _dog(trips.RELAY_SILENT, "relay: answers to its pets", _ms(watchdogs.RELAY_NS), AGE),
    _dog(trips.RELAY_OPEN, "relay: its feedback contact", "closed while armed",
         f"{TESTS}test_interlock_codes.py::test_each_trip_is_produced_by_what_it_names"),
    _dog(trips.LEDGER_LATE, "ledger: age of the oldest entry that is not durable", _ms(watchdogs.LEDGER_NS),
         f"{TESTS}test_watchdogs.py::test_how_far_the_ledger_may_be_behind"),
    _dog(trips.LEDGER_FAILED, "ledger: write, fsync and queue; that it and the store are the files that are written",
         f"no error; at most {ledger.QUEUE_MAX} entries waiting",
         f"{EDGES}test_how_many_entries_may_wait_for_the_disk"),
    _dog(trips.DISK_LOW, "disk: space beside the ledger",
         f"{ledger.DISK_FREE_MIN // 1_000_000} MB, looked at each {ledger.WATCH_EVERY_S:g} s",
         f"{EDGES}test_how_much_space_the_disk_must_have"),
    _dog(trips.LIMITS_CHANGED, "limits file and its signature: their digests",
         f"unchanged, looked at each {ledger.WATCH_EVERY_S:g} s",
         f"{TESTS}test_ledger.py::test_the_limits_file_is_watched"),
    _dog(trips.LATE, "interlock: lateness of its own tick",
         f"{_ms(watchdogs.LATE_NS)}, ticks each {_ms(process.TICK_NS)}",
         f"{EDGES}test_lateness_is_found_by_whatever_comes_first"),
    _dog(trips.SUSPENDED, "clocks: boot time against monotonic time", _ms(watchdogs.SUSPEND_NS),
         f"{TESTS}test_watchdogs.py::test_a_suspend_shows_between_two_clocks"),
    _dog(trips.WALL_CLOCK, "clocks: wall time against monotonic time", _ms(watchdogs.WALL_NS),
         f"{TESTS}test_watchdogs.py::test_a_jump_of_the_wall_clock_trips_either_way"),
    _dog(trips.ARMING_EXPIRED, "arming: until when it was signed", "the time in the act",
         f"{EDGES}test_the_arming_ends_when_it_ends"),
)  # fmt: skip

# What a refusal or permissive holds against, where it is a number of the code; limits.toml has the rest.
HELD: dict[str, str] = {
    "ILK-310": "at most 1 s ahead",
    "ILK-311": f"{_ms(requests.DURABLE_NS)} for a reservation, {_ms(arming.RECORD_NS)} for an arming",
    "ILK-335": f"{_ms(arming.PROOF_STEP_NS)} for each step of the proof test; its silence and the longest ramp besides",
    "ILK-336": _ms(arming.DEVICE_ARM_NS),
    **{need.code: "in its place: " + " and ".join(IN_WORDS[by] for by in need.by) for need in NEEDS},
}


# By the first digit; every code is in one.
GROUPS = (
    ("0", "STOP, and sessions without an orderly end"),
    ("1", "A request beyond a limit"),
    ("2", "What is watched while armed"),
    ("3", "A request or a person's act that does not fit now"),
    ("4", "What a rig still needs to be READY"),
)


class Page(Value, frozen=True):
    """All that is said of one code."""

    code: str
    kind: Kind
    text: str
    remedy: str
    how: str
    limit: str
    files: tuple[str, ...]


def pages() -> tuple[Page, ...]:
    """Every code there is, in order."""
    sources = _sources()
    names = {kind.code: name for name, kind in vars(trips).items() if isinstance(kind, trips.TripKind)}
    held = HELD | {code: "; ".join(dict.fromkeys(_limits_of(code))) for code in trips.BY_CODE}
    found: list[tuple[Kind, str, str, str, str]] = [
        *(("trip", kind.code, kind.text, kind.remedy, kind.how) for kind in trips.TRIPS),
        *(("refusal by a limit", code, each.text, each.remedy, "") for code, each in REASONS.items()),
        *(("refusal", code, text, remedy, "") for code, (text, remedy) in trips.REFUSALS.items()),
        *(("missing permissive", code, text, remedy, "") for code, (text, remedy) in trips.PERMISSIVES.items()),
    ]  # fmt: skip
    return tuple(
        Page(
            code=code,
            kind=kind,
            text=text,
            remedy=remedy,
            how=how,
            limit=held.get(code, ""),
            files=tuple(_deciders(sources, code, names.get(code, ""))),
        )
        for kind, code, text, remedy, how in sorted(found, key=lambda each: each[1])
    )


def _limits_of(code: str) -> Iterator[str]:
    for dog in WATCHDOGS:
        if dog.code == code:
            yield f"{dog.watched}: {dog.limit}"


def _sources() -> dict[str, str]:
    """Each file that may decide, without its imports."""
    paths = [*(ROOT / "safety").glob("*.py"), *(ROOT / "safety" / "modalities").glob("*.py")]
    return {
        path.relative_to(ROOT).as_posix(): _IMPORT.sub("", path.read_text(encoding="utf-8"))
        for path in sorted(paths)
        if path.name not in NO_DECIDERS and not path.name.startswith("oracle")
    }


def _deciders(sources: dict[str, str], code: str, name: str) -> Iterator[str]:
    """The files that name a code, or its constant."""
    constants = [rf"trips\.{name}"] if name else []
    declared = re.compile(rf'^([A-Z_]+) = "{code}"$', re.MULTILINE)
    for text in sources.values():
        constants += declared.findall(text)
    named = re.compile(rf'"{code}"' + "".join(rf"|\b{constant}\b" for constant in constants))
    for path, text in sources.items():
        if not path.endswith("reasons.py") and named.search(text):
            yield path


def _so(page: Page) -> str:
    """What happens, in a word."""
    return f"trips: {page.how}" if page.how else {"missing permissive": "not READY"}.get(page.kind, "refused")


def markdown() -> str:
    """docs/codes.md."""
    lines = [
        "# Codes",
        "",
        "Made by `python -m safety.code_pages` from `safety/trips.py` and the files that decide; do not edit.",
        "A code is never used for another meaning. A trip latches until a named person's reset, over a restart, too;",
        "a refusal changes nothing that runs; a missing permissive keeps a rig from READY.",
        "",
    ]
    every = pages()
    for first, title in GROUPS:
        of = [page for page in every if page.code.startswith(f"ILK-{first}")]
        lines += [f"**{title}**", "", "| code | says | so |", "|---|---|---|"]
        lines += [f"| [{page.code}](#{page.code.lower()}) | {page.text} | {_so(page)} |" for page in of]
        lines.append("")
    for page in every:
        lines += [
            f"## {page.code}",
            "",
            f"**{page.text}**",
            "",
            f"- kind: {page.kind}" + (f", output ends by a {page.how}" if page.how else ""),
            f"- what to do: {page.remedy}",
            *([f"- watched: {page.limit}"] if page.limit else []),
            f"- decided in: {', '.join(f'`{path}`' for path in page.files)}",
            "",
        ]
    return "\n".join(lines).rstrip("\n") + "\n"


def table() -> str:
    """The table of watchdogs, as it stands in safety/README.md."""
    rows = ["| watched | content while | code | else | test |", "|---|---|---|---|---|"]
    for dog in WATCHDOGS:
        kind = trips.BY_CODE[dog.code]
        test = dog.test.rpartition("::")[2]
        rows.append(f"| {dog.watched} | {dog.limit} | {dog.code} | {kind.how} | `{test}` |")
    return "\n".join(rows)


def readme(text: str) -> str:
    """The README with the table of now between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Write both."""
    PAGE.write_text(markdown(), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}, {README.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
