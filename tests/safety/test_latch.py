"""The latch that outlives the process: when it is set and taken back, what a start makes of it, and its file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.link import ArmDevice, CallFailed
from safety import resetting, trips
from safety.entries import Close
from safety.events import EndAsked, HostGone, LedgerTrouble, PauseAsked, RelaySaid
from safety.latch import BYTES_MAX, Latched, LatchFile, after, clear, last_session, said, said_at, trip_of
from safety.ledger import Ledger
from safety.messages import End, Pause
from safety.site import SiteError, state_folder
from safety.start import Refused, _last_session, first_state_after, of_this_session
from safety.state import Latch, MarkArmed, PetRelay, Unlatch
from tests.safety.bench_device import MS
from tests.safety.ledgers import until, watched
from tests.safety.world import World, first_state, rules_of
from tests.safety.worlds import armed, ready, running, tripped_world

ARMED = Latched(
    schema=1, rig="rig-1", mark="armed", session_id="s-0", at_wall_ns=1_780_000_000 * 10**9, code="", text=""
)
TRIPPED = msgspec.structs.replace(
    ARMED, mark="tripped", code="ILK-203", text="the newest EEG sample is too old"
)


def marks(world: World) -> list[object]:
    return [each for each in world.effects if isinstance(each, MarkArmed | Latch | Unlatch)]


# When it is set and taken back


def test_the_device_is_armed_only_when_it_is_durable_that_the_rig_is():
    world = ready()
    world.disk_ns = 300 * MS
    world.present()
    assert marks(world) == [MarkArmed()]
    world.run_ms(299)
    assert not world.calls(ArmDevice)
    assert world.state.arming is not None
    assert world.state.arming.step == "record"
    assert world.effects.count(PetRelay()) > 10  # the relay stays closed meanwhile
    world.run_ms(20)
    assert world.phase == "ARMED"


@pytest.mark.parametrize("relay", (True, False))
def test_what_does_not_become_durable_in_a_second_is_given_up(relay: bool):
    world = World(rules_of(), first_state(relay=relay))
    if not relay:
        limits = msgspec.structs.replace(
            world.rules.limits, relay=msgspec.structs.replace(world.rules.limits.relay, endpoint="none")
        )
        world.rules = msgspec.structs.replace(world.rules, limits=limits)
    world.ready()
    world.disk_ns = None
    world.present()
    world.run_ms(990)
    assert not world.answered
    world.run_ms(30)
    assert [(result.ok, result.code) for result in world.answered] == [(False, "ILK-311")]
    assert marks(world) == [MarkArmed(), Unlatch(reset=False)]
    assert not world.calls(ArmDevice)
    assert (world.phase, world.state.marked) == ("READY", False)


def test_a_relay_that_opens_while_it_is_recorded_ends_the_arming():
    world = ready()
    world.disk_ns = None
    world.present()
    world.run_ms(50)
    world.take(RelaySaid(closed=False))
    assert [(result.ok, result.code) for result in world.answered] == [(False, "ILK-335")]
    assert marks(world)[-1] == Unlatch(reset=False)
    assert not world.calls(ArmDevice)


@pytest.mark.parametrize(
    "event", (EndAsked(end=End(reason="over")), PauseAsked(pause=Pause(reason="no EEG")))
)
def test_an_orderly_end_takes_it_back_when_zero_is_confirmed(event: EndAsked | PauseAsked):
    world = running()
    world.take(event)
    assert marks(world) == [MarkArmed()]
    assert world.state.marked
    world.run_ms(300)
    assert marks(world) == [MarkArmed(), Unlatch(reset=False)]
    assert not world.state.marked


def test_an_end_whose_zero_is_never_confirmed_is_none():
    world = running()
    world.host_answers = False
    world.take(EndAsked(end=End(reason="over")))
    world.run_ms(3_000)
    assert world.ended is not None
    assert marks(world) == [MarkArmed()]


def test_an_end_during_which_the_host_dies_is_none():
    world = running()
    world.take(EndAsked(end=End(reason="over")))
    world.take(HostGone(why="killed"))
    world.run_ms(3_000)
    assert marks(world) == [MarkArmed()]


def test_a_trip_is_kept_and_its_zero_does_not_take_it_back():
    world = tripped_world()
    assert [type(mark) for mark in marks(world)] == [MarkArmed, Latch]
    assert world.state.stopping is None
    assert world.state.marked


@pytest.mark.parametrize("make", (World, ready))
def test_a_trip_before_arming_is_kept_too(make: object):
    world = World(rules_of()) if make is World else ready()
    world.take(LedgerTrouble(kind="failed", text="EIO"))
    assert [type(mark) for mark in marks(world)] == [Latch]


def test_a_device_that_did_not_arm_takes_it_back_when_it_is_at_zero():
    world = ready()
    world.host_answers = False
    world.present()
    world.run_ms(20)
    world.host_answers = True
    world.host_says(CallFailed(call=world.calls(ArmDevice)[-1].call, code="refused", text="open"))
    assert marks(world) == [MarkArmed()]
    world.run_ms(200)
    assert marks(world) == [MarkArmed(), Unlatch(reset=False)]


def test_a_reset_takes_it_back_and_ends_the_session():
    world = tripped_world()
    world.present(world.act("reset"))
    assert marks(world)[-1] == Unlatch(reset=True)
    assert world.state.marked is False
    world.run_ms(100)
    assert world.ended == 4


# What a start makes of it


@pytest.mark.parametrize(("left", "code"), [(ARMED, "ILK-004"), (TRIPPED, "ILK-203")])
def test_the_next_start_is_tripped_until_a_reset_and_then_ends(left: Latched, code: str):
    world = World(rules_of(), first_state_after(left, relay=True, watch=first_state().watch))
    world.ready_or_not()
    assert (world.phase, world.state.trip) == ("TRIPPED", code)
    assert "session s-0" in world.state.trip_text
    assert "2026-05-28 20:26:40 UTC" in world.state.trip_text
    world.present()
    world.ask()
    world.present(world.act("reset", person="ann"))
    assert [result.code for result in world.answered] == ["ILK-334", ""]
    assert world.phase == "SAFE"
    world.present()
    world.run_ms(200)
    assert world.ended == 4
    assert not world.calls(ArmDevice)
    assert not world.permits()


@pytest.mark.parametrize("mark", ("reset", "clear"))
def test_after_a_reset_or_an_orderly_end_a_start_is_safe(mark: str):
    left = msgspec.structs.replace(TRIPPED, mark=mark)
    assert first_state_after(left, relay=True, watch=first_state().watch) == first_state()
    assert said(left) == ""
    assert said(clear("rig-1")) == ""


def test_one_line_says_what_when_and_how_to_reset():
    line = said(TRIPPED)
    assert "\n" not in line
    for part in (
        "rig-1",
        "TRIPPED",
        "ILK-203",
        "too old",
        "s-0",
        "2026-05-28 20:26:40 UTC",
        "nociloop reset",
    ):
        assert part in line


@pytest.mark.parametrize("wall_ns", (10**30, -(10**30), 2**63))
def test_a_time_that_is_none_is_said_as_it_stands(wall_ns: int):
    assert said_at(wall_ns) in (f"{wall_ns} ns", "2262-04-11 23:47:16 UTC")


def test_what_is_kept_after_each_effect():
    def kept(before: Latched, *effects: object) -> Latched | None:
        return after(before, "s-1", effects, 5)  # type: ignore[arg-type]

    assert kept(ARMED) is None
    assert kept(ARMED, PetRelay()) is None
    new = kept(clear("rig-1"), PetRelay(), MarkArmed())
    assert new == Latched(
        schema=1, rig="rig-1", mark="armed", session_id="s-1", at_wall_ns=5, code="", text=""
    )
    tripped = kept(ARMED, Latch(code="ILK-001", text="x" * 400))
    assert tripped is not None
    assert (tripped.mark, tripped.code, tripped.text, tripped.session_id) == (
        "tripped", "ILK-001", "x" * 300, "s-1",
    )  # fmt: skip
    reset = kept(TRIPPED, Unlatch(reset=True))
    assert reset is not None
    assert (reset.mark, reset.session_id, reset.code, reset.text) == ("reset", "s-0", "", "")
    assert kept(clear("rig-1"), Unlatch(reset=True)) == msgspec.structs.replace(reset, session_id="s-1")
    assert kept(ARMED, Unlatch(reset=False)) == msgspec.structs.replace(reset, mark="clear", session_id="s-1")


# The file


@pytest.fixture
def open_latch(tmp_path: Path) -> Iterator[Callable[..., LatchFile]]:
    """The rig's file as a start opens it, with `content` in it where there is any."""
    opened: list[LatchFile] = []

    def open_(content: bytes | None = None) -> LatchFile:
        if content is not None:
            (tmp_path / "rig-1.json").write_bytes(content)
        opened.append(LatchFile(tmp_path, "rig-1"))
        return opened[-1]

    yield open_
    for file in opened:
        file.close()


def test_what_was_put_is_read(open_latch: Callable[..., LatchFile], tmp_path: Path):
    file = open_latch()
    assert file.read() == open_latch().read() == clear("rig-1")
    for latched in (TRIPPED, ARMED, clear("rig-1")):
        file.put(latched)
        assert file.read() == open_latch().read() == latched
    assert [path.name for path in tmp_path.iterdir()] == ["rig-1.json"]
    assert file.path.stat().st_mode & 0o137 == 0
    assert file.path.stat().st_size == BYTES_MAX


@pytest.mark.parametrize("cut", range(0, 4097, 128))
def test_a_torn_write_is_the_old_or_a_latch_and_never_arms(
    open_latch: Callable[..., LatchFile], tmp_path: Path, cut: int
):
    """Armed over clear: until it is whole nothing is armed. Tripped over armed: either way it is a latch."""
    images = []
    for latched in (clear("rig-1"), ARMED, TRIPPED):
        open_latch().put(latched)
        images.append((tmp_path / "rig-1.json").read_bytes())
    clean, armed_, tripped_ = images
    torn = open_latch(armed_[:cut] + clean[cut:]).read()
    assert torn.mark in ("clear", "armed") or trip_of(torn)[0] == "ILK-004"
    assert trip_of(open_latch(tripped_[:cut] + armed_[cut:]).read())[0]


@settings(max_examples=60)
@given(content=st.binary(max_size=200))
def test_a_file_that_cannot_be_understood_is_a_latch(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
):
    folder = tmp_path_factory.mktemp("rig")
    (folder / "rig-1.json").write_bytes(content)
    file = LatchFile(folder, "rig-1")
    assert trip_of(file.read())[0] == "ILK-004"
    assert "cannot be understood" in said(file.read())
    file.close()


@pytest.mark.parametrize(
    "bent", [{"rig": "rig-2"}, {"schema": 2}, {"mark": "fine"}, {"extra": 1}, {"at_wall_ns": "now"}], ids=str
)
def test_a_file_of_another_rig_or_schema_is_a_latch(
    open_latch: Callable[..., LatchFile], bent: dict[str, object]
):
    cleared = msgspec.to_builtins(clear("rig-1"))
    assert trip_of(open_latch(msgspec.json.encode(cleared | bent)).read())[0] == "ILK-004"


def test_a_cut_or_a_huge_file_is_a_latch(open_latch: Callable[..., LatchFile]):
    whole = msgspec.json.encode(clear("rig-1"))
    for content in (whole[:-1], whole.ljust(BYTES_MAX + 1), b"", b"null", b"[" * 3000, b"\0" * BYTES_MAX):
        assert trip_of(open_latch(content).read())[0] == "ILK-004"
    assert trip_of(open_latch(whole.ljust(BYTES_MAX)).read())[0] == ""


@pytest.mark.parametrize("what", ("directory", "pipe", "link"))
def test_what_is_no_file_refuses_the_start(tmp_path: Path, what: str):
    path = tmp_path / "rig-1.json"
    if what == "directory":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SiteError, match=r"rig-1.json: .*expected the rig's last state"):
        LatchFile(tmp_path, "rig-1")


def test_a_session_id_that_was_reset_is_never_used_again(open_latch: Callable[..., LatchFile]):
    file = open_latch()
    file.put(msgspec.structs.replace(TRIPPED, mark="reset"))
    with pytest.raises(Refused, match="s-0, which has been reset; expected a new one"):
        _last_session(file, "s-0")
    assert _last_session(file, "s-1").mark == "reset"
    file.put(TRIPPED)
    assert _last_session(file, "s-0") == TRIPPED


def test_a_state_that_cannot_be_kept_refuses_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = LatchFile(tmp_path, "rig-1")
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", lambda *_: 0)
        with pytest.raises(Refused, match="set NOCILOOP_STATE_DIR"):
            _last_session(file, "s-1")
    file.close()
    with pytest.raises(SiteError, match=r"rig-1\.json: found .*, expected the rig's last state"):
        _last_session(file, "s-1")


def test_a_state_that_is_too_long_is_not_cut(open_latch: Callable[..., LatchFile]):
    file = open_latch()
    with pytest.raises(OSError, match=r"rig-1\.json"):
        file.put(msgspec.structs.replace(ARMED, session_id="x" * BYTES_MAX))


def test_a_rig_has_one_session_whatever_directory_its_sockets_lie_in(tmp_path: Path):
    """Each took the lock of its own directory; the end of the one would say of both that they are clear."""
    first, second = LatchFile(tmp_path, "rig-1"), LatchFile(tmp_path, "rig-1")
    _last_session(first, "s-1")
    first.put(ARMED)
    with pytest.raises(
        SiteError, match=r"^rig rig-1: found it in use by another session, expected it free; "
    ):
        _last_session(second, "s-2")
    first.close()
    assert _last_session(second, "s-2") == ARMED  # as the other left it, not as it was when this was opened
    second.close()


def test_it_is_kept_before_its_entry_counts_as_durable(open_latch: Callable[..., LatchFile], tmp_path: Path):
    file = open_latch()
    ledger = Ledger(tmp_path / "ledger.jsonl", watched(tmp_path), file)
    ledger.start()
    for seq, latched in enumerate((ARMED, TRIPPED, None)):
        line = Close(prev="", seq=seq, kind="closed", now=armed().now, status=0)
        ledger.append(line, latched)
        until(lambda at=seq + 1: at in ledger.news())  # type: ignore[misc]
        assert open_latch().read() == (latched or TRIPPED)
    ledger.keep(ARMED)
    until(lambda: file.read() == ARMED)
    assert ledger.close(5.0)
    assert (tmp_path / "ledger.jsonl").read_bytes().count(b"\n") == 3


def test_a_latch_that_cannot_be_kept_is_a_ledger_that_failed(tmp_path: Path):
    file = LatchFile(tmp_path, "rig-1")
    ledger = Ledger(tmp_path / "ledger.jsonl", watched(tmp_path), file)
    file.close()
    ledger.start()
    ledger.append(Close(prev="", seq=0, kind="closed", now=armed().now, status=0), ARMED)
    said_: list[object] = []

    def heard() -> bool:
        said_.extend(ledger.news())
        return bool(said_)

    until(heard)
    assert isinstance(said_[0], LedgerTrouble)
    assert said_[0].kind == "failed"
    assert "rig-1.json" in said_[0].text
    assert not ledger.close(5.0)


def test_the_code_of_a_crash_is_no_code_of_a_step():
    assert trips.UNFINISHED.code == "ILK-004"


def test_what_is_left_of_a_session_can_be_said_without_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(tmp_path))
    assert last_session("rig-1") == ""
    file = LatchFile(state_folder("rigs"), "rig-1")
    assert last_session("rig-1") == ""
    file.put(TRIPPED)
    assert last_session("rig-1") == said(TRIPPED)
    file.put(clear("rig-1"))
    assert last_session("rig-1") == ""
    for content, why in (
        (b"{", "no state of a rig"),
        (b" " * (BYTES_MAX + 1), f"longer than {BYTES_MAX} bytes"),
    ):
        file.path.write_bytes(content)
        assert last_session("rig-1").startswith("rig rig-1 is TRIPPED: ILK-004 ")
        assert f"rig-1.json cannot be understood, it is {why} (unknown when)" in last_session("rig-1")
    file.close()
    file.path.unlink()
    os.mkfifo(file.path)
    assert "cannot be understood, not a regular file" in last_session("rig-1")
    tmp_path.chmod(0o707)
    assert "anybody may write it" in last_session("rig-1")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b" " * (BYTES_MAX + 1), b"\0" * BYTES_MAX])
def test_what_cannot_be_understood_may_have_been_a_real_device(
    open_latch: Callable[..., LatchFile], content: bytes
):
    """So unsigned limits, into which anybody may write a name, do not reset it."""
    rules = rules_of()
    assert rules.signed is None
    torn = open_latch(content).read()
    assert torn.real
    with pytest.raises(
        Refused, match="found it tripped with a real device, expected limits that an officer signed"
    ):
        of_this_session(torn, rules)


def test_a_reset_is_done_when_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NOCILOOP_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(resetting, "KEPT_S", 0.06)
    file = LatchFile(state_folder("rigs"), "rig-1")
    file.put(TRIPPED)
    assert not resetting.is_kept("rig-1")
    for content in (b"{", msgspec.json.encode(clear("rig-1"))):
        file.path.write_bytes(content)
        assert not resetting.is_kept("rig-1")  # it was not this that was kept
    file.put(msgspec.structs.replace(TRIPPED, mark="reset"))
    assert resetting.is_kept("rig-1")
    file.path.unlink()
    assert resetting.is_kept("rig-1")  # of another account: that one's interlock has said it
    file.close()
