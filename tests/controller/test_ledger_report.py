"""The safety officer's page: from the ledger alone, whole or damaged; nothing runs, nothing is fetched, all is escaped."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from typer.testing import CliRunner

from controller.ledger_report.charts import POINTS_MAX, Curve, Level, Mark, chart, thinned, ticks
from controller.ledger_report.facts import acts_of, fired_trains, refused_by
from controller.ledger_report.page import render
from controller.ledger_report.reading import Material, material_of
from controller.ledger_report.sheet import NOT_PROVEN
from controller.ledger_report.timing import clocks_of, gaps_of, stops_of
from controller.ledger_report.verb import ledger
from safety.events import Asked, BadFrame, Now
from safety.limit_values import Signed
from safety.messages import Request
from safety.software import software
from safety.verdict_words import limits_said
from safety.verify import verify
from tests.controller.finished.virtual_run import Script, VirtualRun, rising
from tests.safety.damages import damages
from tests.safety.ledgers import rechained, session, write
from tests.safety.strategies import hold
from tests.safety.test_ledger_verbs import strayed
from tests.safety.world import World, rules_of

HOSTILE = '<script>alert(1)</script>"></table><img src=x onerror=alert(1)>\x1b[2J'
CALL = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rising holds, two refusals by limits, a STOP, and words that somebody put in."""
    path = tmp_path_factory.mktemp("runs") / "run"
    path.mkdir()
    asks = rising(4_000)
    asks[2_100] = hold(2.5, ramp_up_ms=200)
    asks[2_300] = hold(9.0, ramp_up_ms=200)
    virtual = VirtualRun(path, Script(asks=asks, duration_ms=5_000, stop_at_ms=3_500))
    virtual.take(BadFrame(source=HOSTILE, text=HOSTILE))
    return virtual.run()


@pytest.fixture(scope="module")
def material(folder: Path) -> Material:
    return of(folder / "ledger.jsonl")


@pytest.fixture(scope="module")
def html(material: Material) -> str:
    return render(material)


def of(path: Path) -> Material:
    return material_of(path, verify(path, software()))


class Words(HTMLParser):
    """The words of a page, and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def words_of(html: str) -> tuple[str, set[str]]:
    parser = Words()
    parser.feed(html)
    return " ".join(" ".join(parser.words).split()), parser.tags


def test_nothing_runs_and_nothing_is_fetched(html: str):
    _, tags = words_of(html)
    assert not tags & {"script", "img", "link", "iframe", "object", "base", "form"}
    assert "default-src 'none'" in html
    assert "url(" not in html
    assert set(re.findall(r"https?://[^\"'\s<)]+", html)) <= {"http://www.w3.org/2000/svg"}


def test_every_picture_is_whole(html: str):
    found = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(found) >= 3
    for svg in found:
        assert ElementTree.fromstring(svg).get("aria-label")


def test_what_an_officer_asks_is_answered(html: str):
    words, _ = words_of(html)
    for heading in (
        "Is this ledger what the interlock wrote?", "Trips, by cause", "Refusals, by limit",
        "Time to zero of each stop", "Greatest output, against the limits", "Dose, against the budgets",
        "The log and its clocks", "People and acts", "Digests", "What this ledger cannot prove",
    ):  # fmt: skip
        assert heading in words
    assert "ILK-001 1 STOP was pressed ramp 3.500" in words
    assert "amplitude_ma_pp, set by protocol 9 2 7 mA peak-to-peak 2.100" in words
    assert "Limits “A test”, serial" in words
    assert "UNSIGNED" in words
    assert "The limits are UNSIGNED" in words
    assert all(each in words for each in NOT_PROVEN)


def test_digests_stand_in_full(material: Material, html: str):
    genesis = material.genesis
    for digest in (
        material.verdict.head,
        genesis.rules.limits.digest,
        genesis.rules.session_digest,
        genesis.software.digest,
    ):
        assert len(digest) == 64
        assert digest in html


def test_refusals_by_limit_with_the_worst_case(material: Material):
    found = {
        (each.code, each.quantity, each.set_by): each
        for each in refused_by(material.genesis, material.entries)
    }
    worst = found["ILK-101", "amplitude_ma_pp", "protocol"]
    assert (worst.count, worst.value, worst.limit, worst.margin) == (2, 9.0, 2.0, 7.0)
    assert worst.first_s == pytest.approx(2.1, abs=0.01)
    assert found["ILK-101", "amplitude_ma_pp", "absolute"].count == 1


def test_acts_and_what_became_of_them(tmp_path: Path):
    world = session()
    path = write(tmp_path, world)
    found = acts_of(of(path).genesis, world.entries)
    assert [(each.act, each.person, each.account, each.outcome) for each in found] == [
        ("arm", "ann", 1000, "accepted"),
        ("reset", "ann", 1000, "accepted"),
    ]
    world = World(rules_of()).ready()
    world.present(world.act(person="eve"))
    genesis = of(write(tmp_path, world, name="refused.jsonl")).genesis
    assert [each.outcome for each in acts_of(genesis, world.entries)] == ["refused, ILK-331"]


def test_what_was_permitted_and_delivered_lies_within(material: Material):
    found = {each.limit.quantity: each for each in material.greatest}
    amplitude = found["amplitude_ma_pp"]
    assert amplitude.fired_high == max(
        train.waveform.carrier.amplitude_ma_pp for train in fired_trains(material.entries)
    )
    assert amplitude.fired_high < 2.5  # what was refused is not among them
    assert amplitude.delivered <= amplitude.limit.high
    assert not any(each.above for each in found.values())
    assert math.isnan(found["frequency_hz"].delivered)
    density = found["density_ma_cm2"]  # computed: half of the peak-to-peak amplitude over 25 cm2
    assert density.fired_high == pytest.approx(amplitude.fired_high / 2 / 25, rel=1e-9)
    assert amplitude.left == pytest.approx(1.0 - amplitude.fired_high / amplitude.limit.high)
    assert found["duration_ms"].left == 0.0


def test_a_maximum_above_its_limit_is_told(material: Material):
    bent = [
        replace(each, high=0.5) if each.quantity == "amplitude_ma_pp" else each for each in material.limits
    ]
    found = {each.limit.quantity: each for each in replace(material, limits=bent).greatest}
    assert found["amplitude_ma_pp"].above
    bent = [replace(each, low=11.0) if each.quantity == "frequency_hz" else each for each in material.limits]
    found = {each.limit.quantity: each for each in replace(material, limits=bent).greatest}
    assert found["frequency_hz"].above


def test_the_way_to_zero_is_timed_by_the_ledger(material: Material):
    (stop,) = stops_of(material.genesis, material.entries, material.ledger.slices)
    assert (stop.code, stop.why) == ("ILK-001", "STOP was pressed: stop.sock")
    assert stop.at_s == pytest.approx(3.5, abs=0.01)
    assert 20.0 <= stop.zero_ms <= 60.0  # taken after 20 ms, asked by a later poll
    assert stop.relay_ms == pytest.approx(stop.zero_ms + 1.0, abs=0.6)
    assert stop.output > 0


def test_a_second_stop_and_one_that_nobody_confirms_have_lines_of_their_own(tmp_path: Path):
    world = World(rules_of()).armed()
    world.ask()
    world.run_ms(60)
    world.host_answers = False
    world.stop()
    world.run_ms(20)
    world.stop()
    world.run_ms(400)
    found = of(write(tmp_path, world))
    first, second = stops_of(found.genesis, found.entries, found.ledger.slices)
    assert (first.code, second.code) == ("ILK-001", "ILK-002")
    assert [code for _, code, _ in found.trips] == ["ILK-001", "ILK-002"]
    assert math.isnan(first.zero_ms)
    assert second.relay_ms == pytest.approx(1.0)  # a cut opens at once
    page = render(found)
    assert "2 without a confirmed zero" in page


def test_a_gap_in_the_log_is_told(tmp_path: Path):
    world = World(rules_of()).ready()
    assert gaps(tmp_path, world, "whole.jsonl") == []
    world.ticking = False
    world.run_ms(2_000)
    world.ticking = True
    world.stop()
    ((at_s, span_s, missing),) = gaps(tmp_path, world, "gap.jsonl")
    assert (at_s, span_s, missing) == (pytest.approx(0.0, abs=0.15), pytest.approx(2.05, abs=0.15), True)


def gaps(folder: Path, world: World, name: str) -> list[tuple[float, float, bool]]:
    genesis = of(write(folder, world, closed=False, name=name)).genesis
    return [(gap.at_s, gap.span_s, gap.ticks < gap.expected // 2) for gap in gaps_of(genesis, world.entries)]


def test_clocks_that_stepped(material: Material):
    genesis, entries = material.genesis, list(material.entries)
    assert clocks_of(genesis, entries).steps == ()

    def moved(n: int, **by: int) -> None:
        now = entries[n].now
        entries[n] = msgspec.structs.replace(
            entries[n], now=msgspec.structs.replace(now, **{k: getattr(now, k) + v for k, v in by.items()})
        )

    moved(-1, wall_ns=-3_600_000_000_000)
    moved(-2, boot_ns=500_000_000)
    found = clocks_of(genesis, entries)
    assert {(step.clock, round(step.step_s, 3)) for step in found.steps} == {
        ("boot", 0.5), ("boot", -0.5), ("wall", -3600.0),
    }  # fmt: skip
    assert found.wall_drift_s == pytest.approx(-3600.0)
    moved(-1, mono_ns=-10_000_000_000)
    assert "monotonic, backwards" in {step.clock for step in clocks_of(genesis, entries).steps}
    entries[-1] = msgspec.structs.replace(entries[-1], now=Now(mono_ns=10**400, boot_ns=0, wall_ns=0))
    assert clocks_of(genesis, entries).steps == ()


@pytest.mark.parametrize("field", ("responsible", "title", "participant", "site"))
def test_hostile_words_are_only_words(folder: Path, field: str, tmp_path: Path):
    lines = (folder / "ledger.jsonl").read_bytes().splitlines()
    held = msgspec.json.decode(lines[0])
    held["rules"]["limits"][field] = HOSTILE
    held["rules"]["limits"]["people"][0]["name"] = HOSTILE
    held["rules"]["limits"]["rows"][0]["source"] = HOSTILE
    held["rules"]["session_id"] = held["boot_id"] = HOSTILE
    file = tmp_path / "hostile.jsonl"
    file.write_bytes(rechained([msgspec.json.encode(held), *lines[1:]]))
    page = render(of(file))
    _, tags = words_of(page)
    assert not tags & {"script", "img"}
    assert "\x1b" not in page
    assert "NOT VERIFIED" in page


def test_no_damage_makes_a_traceback(tmp_path: Path):
    content = write(tmp_path, session()).read_bytes()
    file = tmp_path / "damaged.jsonl"
    for damage in islice(damages(content, content, stride=4001), 0, None, 7):
        file.write_bytes(damage.content)
        done = CALL.invoke(ledger, ["report", str(file), "--out", str(tmp_path / "x.html")])
        assert done.exit_code in (0, 1, 2), (damage.name, done.exception)
        assert done.exception is None or isinstance(done.exception, SystemExit), (damage.name, done.exception)


def test_the_verb_writes_beside_and_never_into_a_closed_folder(
    folder: Path, material: Material, tmp_path: Path
):
    before = sorted(path.name for path in folder.iterdir())
    done = CALL.invoke(ledger, ["report", str(folder)])
    beside = folder.with_name("run-ledger-report.html")
    assert (done.exit_code, done.stdout) == (0, f"VERIFIED\nReport  {beside}\n")
    assert sorted(path.name for path in folder.iterdir()) == before
    assert beside.stat().st_mode & 0o777 == 0o600
    out = tmp_path / "page.html"
    assert CALL.invoke(ledger, ["report", str(folder / "ledger.jsonl"), "--out", str(out)]).exit_code == 0
    at_hand, alone = (
        f"<td>{limits_said(replace(material.verdict, limits=each))}</td>"
        for each in ("the same", "not at hand")
    )
    assert at_hand in beside.read_text(encoding="utf-8")
    assert out.read_text(encoding="utf-8") == beside.read_text(encoding="utf-8").replace(at_hand, alone)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: No such file"),
        (["FOLDER", "--out", "/nowhere/x.html"], "no place for a file"),
        (["FOLDER", "--out", "FOLDER"], "no place for a file"),
        (["FOLDER", "--anchor", "abc"], "expected a head of 64 hex digits"),
    ],
)
def test_what_cannot_be_written_is_one_line(folder: Path, arguments: list[str], said: str):
    done = CALL.invoke(ledger, ["report", *(str(folder) if each == "FOLDER" else each for each in arguments)])
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_head_that_does_not_fit_is_on_the_page_and_in_the_status(folder: Path, tmp_path: Path):
    out = tmp_path / "page.html"
    done = CALL.invoke(ledger, ["report", str(folder), "--anchor", "0" * 64, "--out", str(out)])
    assert done.exit_code == 1
    assert "no line has this hash" in out.read_text(encoding="utf-8")


# Charts


def test_a_chart_of_nothing_is_nothing():
    for points in ([], [(0.0, math.nan)], [(math.inf, 1.0)], [(0.0, 1e300)]):
        assert chart("x", "x", "y", [Curve(name="c", points=points)], span=(0.0, 1.0)) == ""
    assert chart("x", "x", "y", [Curve(name="c", points=[(0.0, 1.0)])], span=(0.0, math.nan)) == ""


def test_a_chart_escapes_and_stays_in_its_frame():
    svg = chart(
        HOSTILE, HOSTILE, HOSTILE, [Curve(name=HOSTILE, points=[(-5.0, -1.0), (0.5, math.nan), (9.0, 3.0)])],
        span=(0.0, 1.0), levels=[Level(value=2.0, text=HOSTILE), Level(value=math.nan, text="no")],
        marks=[Mark(at=0.5, text=HOSTILE), Mark(at=math.inf, text="no")],
    )  # fmt: skip
    root = ElementTree.fromstring(svg)
    assert {node.tag.partition("}")[2] for node in root.iter()} == {"svg", "line", "text", "path"}
    numbers = [float(n) for n in re.findall(r'(?:x1|x2|y1|y2|x|y)="([-\d.]+)"', svg)]
    assert min(numbers) >= 0
    assert max(numbers) <= 960


def test_a_step_chart_goes_across_then_up():
    svg = chart("l", "x", "y", [Curve(name="c", points=[(0.0, 0.0), (1.0, 1.0)])], span=(0.0, 1.0))
    assert re.search(r'd="M[\d. ]+H[\d.]+V[\d.]+"', svg)
    svg = chart(
        "l", "x", "y", [Curve(name="c", points=[(0.0, 0.0), (1.0, 1.0)], steps=False)], span=(0.0, 1.0)
    )
    assert re.search(r'd="M[\d. ]+L[\d. ]+"', svg)


def test_ticks_are_round_and_inside():
    assert ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-1.0, 1.0) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    for low, high in ((0.0, 1e-9), (0.0, 1e12), (-3.0, 7.1)):
        found = ticks(low, high)
        assert 3 <= len(found) <= 11
        assert low <= found[0]
        assert found[-1] <= high * (1 + 1e-9)


def test_thinning_keeps_every_peak():
    points = [(float(n), 0.0) for n in range(10 * POINTS_MAX)]
    points[12_345] = (12_345.0, 7.0)
    points[9_999] = (9_999.0, -7.0)
    found = thinned(points)
    assert len(found) <= POINTS_MAX
    assert (12_345.0, 7.0) in found
    assert (9_999.0, -7.0) in found
    assert found == sorted(found)
    assert thinned(points[:POINTS_MAX]) == points[:POINTS_MAX]
    assert all(math.isnan(y) for _, y in thinned([(float(n), math.nan) for n in range(2 * POINTS_MAX)]))


# The page of other ledgers


def test_a_permitted_number_beyond_all_floats_is_above_every_limit(material: Material):
    entries = [
        msgspec.structs.replace(entry, event=Asked(request=_with_ramp(entry.event.request, 10**400)))
        if isinstance(entry.event, Asked)
        else entry
        for entry in material.entries
    ]
    found = {each.limit.quantity: each for each in replace(material, entries=entries).greatest}
    assert found["ramp_up_ms"].above
    assert math.isinf(found["ramp_up_ms"].fired_high)


def _with_ramp(request: Request, ramp_up_ms: int) -> Request:
    wave = msgspec.structs.replace(request.train.waveform, ramp_up_ms=ramp_up_ms)  # type: ignore[type-var]
    return msgspec.structs.replace(request, train=msgspec.structs.replace(request.train, waveform=wave))


def test_trains_of_pulses_have_their_page(tmp_path: Path):
    world = World(rules_of("rtms")).armed()
    world.ask()
    world.run_ms(300)
    world.stop()
    world.run_ms(300)
    page = render(of(write(tmp_path, world)))
    words, _ = words_of(page)
    assert "amplitude_pct_mso, %MSO" in words
    assert "n_pulses, pulses" in words
    assert words.count("amplitude, %MSO") == 1


def test_clocks_and_gaps_are_on_the_page(tmp_path: Path):
    world = World(rules_of()).ready()
    world.wall_offset_ns += 1_500_000_000
    world.run_ms(50)
    world.ticking = False
    world.run_ms(3_000)
    world.ticking = True
    world.stop(ends=True)
    world.run_ms(50)
    words, _ = words_of(render(of(write(tmp_path, world))))
    assert "wall +1.500" in words
    assert "Drift of the wall clock" in words
    assert "Gaps: spans" in words
    assert "the wall clock drifted +1,500.0 ms" in words


def test_nothing_at_all_has_its_page(tmp_path: Path):
    world = World(rules_of())
    world.stop(ends=True)
    world.run_ms(50)
    words, _ = words_of(render(of(write(tmp_path, world))))
    for said in (
        "No trip.",
        "Nothing was refused.",
        "Nothing was permitted",
        "Nobody acted.",
        "reported no output",
    ):
        assert said in words


def test_who_signed_is_named(tmp_path: Path):
    world = World(rules_of())
    signed = Signed(
        by="ann", fingerprint="f" * 32, public_key="a" * 64, signature="b" * 128, simulated_only=True, store="/etc",
    )  # fmt: skip
    world.rules = msgspec.structs.replace(world.rules, signed=signed)
    world.stop(ends=True)
    world.run_ms(50)
    page = render(of(write(tmp_path, world)))
    assert "ann" in words_of(page)[0]
    assert "b" * 128 in page
    assert "UNSIGNED" not in page


def test_a_device_that_strayed_is_on_the_page(tmp_path: Path):
    material = of(write(tmp_path, strayed()))
    words, _ = words_of(render(material))
    assert "THE DEVICE STRAYED" in words
    assert "device entry " in words
    assert "Nothing speaks against" not in words


def test_a_full_disk_is_one_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("controller.finished.summary.put_file", full)
    done = CALL.invoke(ledger, ["report", str(folder), "--out", str(tmp_path / "x.html")])
    assert done.exit_code == 2
    assert done.stderr.endswith("cannot be written: No space left on device; give another place with --out\n")


def test_times_that_no_clock_says_are_left_out(tmp_path: Path):
    """Numbers beyond all floats, hashes made anew: the page is made, and says what it cannot."""
    lines = write(tmp_path, session()).read_bytes().splitlines()
    for n, giant in ((5, 10**400), (5, -(10**400)), (-4, 10**400)):
        held = [msgspec.json.decode(line) for line in lines]
        held[n]["now"] = [giant, giant, giant]
        file = tmp_path / "giant.jsonl"
        file.write_bytes(rechained([json.dumps(each, separators=(",", ":")).encode() for each in held]))
        assert "LEDGER NOT " in render(of(file))
