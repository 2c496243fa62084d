"""A participant's store: what it tells of a crash, and everything for which a session does not start."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safety import clocks
from safety.admission import Refused
from safety.chained import FIRST, LINE_BYTES_MAX, BrokenChain, LongLine, next_line, read_chain
from safety.earlier import LAST_OUT_NS, PAST_NS, history_of, sessions_of
from safety.history import Course, History, Past, Stamp
from safety.modalities import Exposure
from safety.participants import confirm_date
from safety.site_list import StoreError, site_list
from safety.store import claim_store, read_store, store_path
from safety.store_records import Created, Record, body_of, records_of, signed_bytes
from tests.safety.stores import (
    LIMITS,
    S,
    after,
    crashed,
    let_go,
    made,
    opened,
    person,
    put,
    reserved,
    settled,
    spent,
)
from tests.safety.world import PEOPLE, STRANGER


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return made(tmp_path)


def refusal(state: Path, now: Stamp | None = None) -> str:
    """The one line with which no session starts."""
    with pytest.raises(StoreError) as refused:
        opened(state, now or clocks.stamp())
    said = str(refused.value)
    assert "\n" not in said and "; " in said
    assert "has a session already" in said or ("found" in said and "expected" in said)
    return said


def file_of(state: Path) -> Path:
    return store_path(state, "P001")


def first_course(state: Path, total: Exposure, n_sessions: int) -> Course:
    """The course that began when the participant was made."""
    made_ns = read_store(state, "P001")[0][0].stamp.wall_ns
    return Course(
        modality="tacs", spent=total, n_sessions=n_sessions, number=1, since_wall_ns=made_ns, begun_by="bob"
    )


# What stands in it


def test_a_new_participant_has_spent_nothing(state: Path):
    now = clocks.stamp()
    store, history = opened(state, now)
    (record,), chain = read_store(state, "P001")
    assert isinstance(record, Created)
    assert history == History(
        participant="P001",
        past=(),
        courses=(),
        last=record.stamp,
        boot_id=clocks.boot_id(),
        vouched=True,
        utc_offset_s=0,
        store_seq=1,
        store_head=chain.head,
        site_head=site_list(state)[0].head,
        latest_wall_ns=record.stamp.wall_ns,
    )
    assert (record.act.person, record.act.participant, record.act.reason) == ("bob", "P001", "course begins")
    assert file_of(state).stat().st_mode & 0o777 == 0o600
    let_go(store)


def test_after_a_crash_all_that_was_reserved_counts_as_spent(state: Path):
    now = crashed(state, 5.0, 10.0)
    store, history = opened(state, after(now, 100), "s-2")
    assert history.past == (
        Past(
            modality="tacs",
            first_wall_ns=now.wall_ns,
            last_wall_ns=now.wall_ns + S + LAST_OUT_NS,
            spent=spent(10.0),
        ),
    )
    assert history.courses == (first_course(state, spent(10.0), 1),)
    assert history.store_seq == 3
    let_go(store)


def test_a_settlement_counts_what_was_confirmed_and_what_is_outstanding(state: Path):
    now = clocks.stamp()
    store, _ = opened(state, now)
    put(store, reserved(now, 5.0), settled(after(now, 20), 2.0, 0.5))
    store.close("e" * 64)
    store, history = opened(state, after(now, 30), "s-2")
    assert history.past == (
        Past(
            modality="tacs",
            first_wall_ns=now.wall_ns + 10 * S,
            last_wall_ns=now.wall_ns + 19 * S,
            spent=spent(2.5),
        ),
    )
    assert history.last == after(now, 20)
    kinds = [(each.kind, each.session_id, each.ledger_head) for each in site_list(state)[1]]
    assert kinds == [
        ("new", "", ""),
        ("opened", "s-1", ""),
        ("closed", "s-1", "e" * 64),
        ("opened", "s-2", ""),
    ]
    let_go(store)


def test_a_session_without_output_is_none(state: Path):
    now = clocks.stamp()
    store, _ = opened(state, now)
    put(store, reserved(now, 5.0), settled(after(now, 20), 0.0))
    store.close("")
    assert opened(state, after(now, 30))[1].past == ()


def test_old_sessions_are_left_out_of_the_windows_but_not_of_the_course(state: Path):
    now = clocks.stamp()
    store, _ = opened(state, now)
    for n in range(3):
        put(
            store,
            reserved(after(now, n), 1.0, f"s-{n}"),
            settled(after(now, n), 1.0, session_id=f"s-{n}"),
        )
    store.close("")
    ended_ns = now.wall_ns - S  # of s-0; the newest of a modality is always known, for gap and wash-out
    for wait_ns, known in ((PAST_NS - 1, 3), (PAST_NS, 2), (PAST_NS * 2, 1)):
        later = msgspec.structs.replace(now, wall_ns=ended_ns + wait_ns)
        records, chain = read_store(state, "P001")
        history = history_of(records, chain, LIMITS, later, 0, "")
        assert len(history.past) == known
        assert history.courses == (first_course(state, spent(3.0), 3),)


def test_a_total_that_falls_is_not_believed():
    now = clocks.stamp()
    found = sessions_of((reserved(now, 5.0), reserved(after(now, 1), 3.0)))
    assert [each.spent for each in found] == [spent(5.0)]


@pytest.mark.parametrize(
    "records",
    [
        (settled(Stamp(boot_id="b", boot_ns=0, wall_ns=0), 1.0),),
        (
            reserved(Stamp(boot_id="b", boot_ns=0, wall_ns=0), 1.0),
            settled(Stamp(boot_id="b", boot_ns=0, wall_ns=0), 1.0),
            reserved(Stamp(boot_id="b", boot_ns=0, wall_ns=0), 1.0),
        ),
        (
            reserved(Stamp(boot_id="b", boot_ns=0, wall_ns=0), 1.0),
            settled(Stamp(boot_id="b", boot_ns=0, wall_ns=0), 1.0),
            settled(Stamp(boot_id="b", boot_ns=0, wall_ns=0), 0.0),
        ),
        (
            reserved(Stamp(boot_id="b", boot_ns=0, wall_ns=0), 1.0),
            msgspec.structs.replace(reserved(Stamp(boot_id="b", boot_ns=0, wall_ns=0), 1.0), modality="rtms"),
        ),
    ],
    ids=["settled first", "reserved after", "settled twice", "two modalities"],
)
def test_records_out_of_their_place_are_no_store(records: tuple[Record, ...]):
    with pytest.raises(BrokenChain, match=f"out of its place on line {len(records)}"):
        sessions_of(records)


# What is refused


def test_an_unknown_participant_is_refused(tmp_path: Path):
    assert "found no store, expected that of participant P001; an officer makes one" in refusal(
        tmp_path / "state"
    )


def test_a_store_that_is_gone_is_refused(state: Path):
    file_of(state).unlink()
    assert (
        "found no store, expected the one that the site knows of participant P001; bring it back"
        in refusal(state)
    )


def test_an_older_copy_is_refused(state: Path, tmp_path: Path):
    shutil.copy(file_of(state), tmp_path / "old")
    now = clocks.stamp()
    store, _ = opened(state, now)
    put(store, reserved(now, 5.0))
    store.close("")
    shutil.copy(tmp_path / "old", file_of(state))
    assert "found 1 lines, expected the 2 that the site knows: an older copy" in refusal(state)


def test_a_forked_copy_is_refused(state: Path, tmp_path: Path):
    now = crashed(state, 5.0)
    shutil.copy(file_of(state), tmp_path / "fork")
    store, _ = opened(state, after(now, 100), "s-2")
    put(store, reserved(after(now, 100), 7.0, "s-2"))
    store.close("")
    fork = (tmp_path / "fork").read_bytes()
    other, _ = next_line(read_chain(fork).head, body_of(reserved(after(now, 100), 0.1, "s-3")))
    file_of(state).write_bytes(fork + other)
    assert "found another line 3 than the site knows, expected that one: a forked copy" in refusal(
        state, after(now, 200)
    )


def test_a_store_that_the_site_does_not_know_is_refused(state: Path):
    (state / "site.jsonl").unlink()
    assert "site.jsonl does not know, expected one that was made here" in refusal(state)


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_store_that_others_may_write_is_refused(state: Path, mode: int):
    file_of(state).chmod(mode)
    assert f"with mode {mode:o}, expected one of user" in refusal(state)


def test_a_store_of_another_user_is_refused(state: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "getuid", lambda: 123_456)
    assert "expected one of user 123456 that nobody else may write" in refusal(state)


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_regular_file_is_refused(state: Path, tmp_path: Path, kind: str):
    path = file_of(state)
    path.rename(tmp_path / "real")
    if kind == "link":
        path.symlink_to(tmp_path / "real")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path, 0o600)
    assert str(path) in refusal(state)


def test_a_store_beyond_all_size_is_refused(state: Path, monkeypatch: pytest.MonkeyPatch):
    size = file_of(state).stat().st_size
    monkeypatch.setattr("safety.store.BYTES_MAX", size)
    let_go(opened(state, clocks.stamp())[0])
    monkeypatch.setattr("safety.store.BYTES_MAX", size - 1)
    assert f"found more than {size - 1} bytes, expected fewer" in refusal(state)


def test_a_store_whose_records_are_out_of_place_is_refused_and_let_go(state: Path):
    lines, _, _ = claim_store(state, "P001")
    lines.write([body_of(settled(clocks.stamp(), 1.0))])
    lines.close()
    for _ in range(2):
        assert "found Settled out of its place on line 2, expected a whole store" in refusal(state)


def test_a_line_that_could_not_be_read_again_is_not_written(state: Path):
    """One line of too many bytes would make all of a store, or the list of a whole site, read as tampered with."""
    lines, _, chain = claim_store(state, "P001")
    spare = LINE_BYTES_MAX - len(next_line(chain.head, b"")[0]) + 1
    before = (lines.head, lines.seq, file_of(state).read_bytes())
    with pytest.raises(
        StoreError, match=f"P001.jsonl: found a line of {LINE_BYTES_MAX + 1} bytes, expected at most"
    ):
        lines.write([b"1", b"1" * (spare + 1)])
    assert (lines.head, lines.seq, file_of(state).read_bytes()) == before
    lines.write([b"1" * spare])
    lines.close()
    assert len(read_chain(file_of(state).read_bytes()).bodies) == 2


def test_a_disk_that_fails_is_one_line(state: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("safety.store.open", fails, raising=False)
        assert "found Input/output error, expected a store; check the disk" in refusal(state)
        with pytest.raises(StoreError, match="found Input/output error, expected a store; check the disk"):
            read_store(state, "P001")
    let_go(opened(state, clocks.stamp())[0])


def test_one_participant_has_one_session_and_a_refusal_holds_no_lock(state: Path):
    now = clocks.stamp()
    store, _ = opened(state, now)
    assert "participant P001 has a session already" in refusal(state)
    with pytest.raises(Refused, match="has a session already"):
        confirm_date(state, LIMITS, person("ann"), PEOPLE["ann"], "by the radio clock")
    let_go(store)
    content = file_of(state).read_bytes()
    file_of(state).write_bytes(b"x" + content)
    refusal(state)
    file_of(state).write_bytes(content)
    let_go(opened(state, now)[0])


@pytest.mark.parametrize("wrong", ["unsigned", "other key", "other participant", "other act", "other stamp"])
def test_a_first_line_that_no_officer_signed_is_refused(state: Path, wrong: str):
    (record,), _ = read_store(state, "P001")
    assert isinstance(record, Created)
    act = record.act
    if wrong == "unsigned":
        act = msgspec.structs.replace(act, signature="0" * 128)
    if wrong == "other key":
        act = msgspec.structs.replace(act, signature=STRANGER.sign(signed_bytes(act)).hex())
    if wrong == "other participant":
        act = msgspec.structs.replace(act, participant="P002")
    if wrong == "other act":
        act = msgspec.structs.replace(act, act="confirm-date")
    if wrong not in ("unsigned", "other key"):
        act = msgspec.structs.replace(act, signature=PEOPLE["bob"].sign(signed_bytes(act)).hex())
    stamp = after(record.stamp, 1) if wrong == "other stamp" else record.stamp
    line, _ = next_line(FIRST, body_of(Created(stamp=stamp, act=act)))
    with pytest.raises(BrokenChain, match="line 1 that bob did not sign for P001"):
        records_of(read_chain(line), "P001")


def test_the_first_line_alone_makes_the_participant(state: Path):
    (record,), _ = read_store(state, "P001")
    first, head = next_line(FIRST, body_of(record))
    again, _ = next_line(head, body_of(record))
    with pytest.raises(BrokenChain, match="Created on line 2, expected Created on line 1 alone"):
        records_of(read_chain(first + again), "P001")
    with pytest.raises(BrokenChain, match="Reserved on line 1"):
        records_of(read_chain(next_line(FIRST, body_of(reserved(clocks.stamp(), 1.0)))[0]), "P001")
    with pytest.raises(BrokenChain, match="no line, expected"):
        records_of(read_chain(b""), "P001")
    with pytest.raises(BrokenChain, match="line 1 that is no record"):
        records_of(read_chain(next_line(FIRST, b"7")[0]), "P001")


# Every byte


def test_every_flipped_bit_and_every_line_taken_out_is_found(state: Path):
    crashed(state, 5.0, 10.0)
    content = file_of(state).read_bytes()
    for at in range(len(content)):
        bent = bytearray(content)
        bent[at] ^= 1
        if at == len(content) - 1:
            assert read_chain(bytes(bent)).torn  # its newline: as if it had not been written whole
            continue
        with pytest.raises(BrokenChain):
            read_chain(bytes(bent))
    lines = content.splitlines(keepends=True)
    for at in range(2):
        with pytest.raises(BrokenChain, match=f"line {at + 1} that does not follow"):
            read_chain(b"".join(lines[:at] + lines[at + 1 :]))
    with pytest.raises(BrokenChain, match="line 2 that does not follow"):
        read_chain(lines[0] + lines[2] + lines[1])


def test_a_line_beyond_all_length_is_refused():
    fits = b"7" * (LINE_BYTES_MAX - len(next_line(FIRST, b"")[0]) + 1)
    line = next_line(FIRST, fits)[0]
    assert len(read_chain(line).bodies) == 1
    with pytest.raises(
        LongLine, match=f"a line of {LINE_BYTES_MAX + 1} bytes, expected at most {LINE_BYTES_MAX}"
    ):
        next_line(FIRST, fits + b"7")
    held = line[: line.rindex(b'7,"sum"')] + b"77"
    longer = held + b',"sum":"' + sha256(held).hexdigest().encode() + b'"}\n'
    with pytest.raises(BrokenChain):
        read_chain(longer)


def test_a_store_that_is_cut_anywhere_tells_no_less_than_was_delivered(state: Path):
    """What a crash leaves is a prefix of what was written; output rests only on whole lines. Cut at any byte, the store
    is refused, or tells at least what could have come out when it was that long; and the next line follows."""
    now = crashed(state, 5.0, 10.0, 15.0)
    content, path = file_of(state).read_bytes(), file_of(state)
    ends = [at for at, byte in enumerate(content, start=1) if byte == 10]
    delivered = dict(zip(ends, (0.0, 5.0, 10.0, 15.0), strict=True))
    site = (state / "site.jsonl").read_bytes()
    for cut in range(len(content) + 1):
        could = max((total for end, total in delivered.items() if end <= cut), default=0.0)
        try:
            told = sessions_of(records_of(read_chain(content[:cut]), "P001"))
        except BrokenChain:
            assert cut < ends[0]
            continue
        assert sum(each.spent.on_time_s for each in told) >= could
    for cut in (*ends, *(end - 1 for end in ends[1:]), *range(ends[0], len(content), 211)):
        path.write_bytes(content[:cut])
        (state / "site.jsonl").write_bytes(site)
        shutil.rmtree(state / "heads")  # of the sessions of this test, each of which found another store
        store, history = opened(state, after(now, 100), "s-2")
        could = max(total for end, total in delivered.items() if end <= cut)
        assert sum(each.spent.on_time_s for each in history.past) >= could
        put(store, reserved(after(now, 100), 1.0, "s-2"))
        let_go(store)
        (*_, last), _ = read_store(state, "P001")
        assert last == reserved(after(now, 100), 1.0, "s-2")


def test_a_torn_site_list_is_mended_and_a_changed_one_refused(state: Path):
    path = state / "site.jsonl"
    with path.open("ab") as file:
        file.write(b'{"prev":"')
    let_go(opened(state, clocks.stamp())[0])
    assert len(site_list(state)[1]) == 2
    content = path.read_bytes()
    path.write_bytes(content.replace(b"P001", b"P002"))
    assert "tampered with" in refusal(state)
    path.write_bytes(next_line(FIRST, b"{}")[0])
    assert "tampered with" in refusal(state)


def test_a_site_list_that_cannot_be_read_or_locked_is_refused(state: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("safety.site_list.LOCK_S", 0.02)
    path = state / "site.jsonl"
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "found it locked for 0.02 s" in refusal(state)
    path.rename(state / "other")
    path.mkdir()
    assert "expected the site's list of heads" in refusal(state)
    path.rmdir()
    os.mkfifo(path)
    assert "not a regular file, expected the site's list of heads" in refusal(state)
    path.unlink()
    path.symlink_to(state / "other")
    assert "expected the site's list of heads" in refusal(state)


def test_a_site_list_beyond_all_size_is_refused(state: Path, monkeypatch: pytest.MonkeyPatch):
    size = (state / "site.jsonl").stat().st_size
    monkeypatch.setattr("safety.site_list.BYTES_MAX", size)
    assert len(site_list(state)[1]) == 1
    monkeypatch.setattr("safety.site_list.BYTES_MAX", size - 1)
    assert f"site.jsonl: found more than {size - 1} bytes, expected fewer" in refusal(state)


Steps = st.lists(
    st.tuples(st.sampled_from(["reserve", "settle", "crash"]), st.floats(0.001, 9.0)), min_size=1, max_size=12
)


@given(steps=Steps)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_accounted_is_never_less_than_delivered(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, float]]
):
    """Sessions that deliver all that they have reserved, and end in order or by a crash."""
    state = made(tmp_path_factory.mktemp("p"))
    now, store, delivered, total, number = clocks.stamp(), None, 0.0, 0.0, 0
    for kind, amount in steps:
        now = after(now, 1)
        if store is None:
            number, total = number + 1, 0.0
            store, history = opened(state, now, f"s-{number}")
            assert sum(each.spent.on_time_s for each in history.courses) >= delivered - 1e-9
        if kind == "reserve":
            total += amount
            put(store, reserved(now, total, f"s-{number}"))
            delivered += amount
        elif kind == "settle" and total:
            put(store, settled(now, total, session_id=f"s-{number}"))
            store.close("")
            store = None
        elif kind == "crash":
            let_go(store)
            store = None
    if store is not None:
        let_go(store)
    store, history = opened(state, after(now, 1), "last")
    assert sum(each.spent.on_time_s for each in history.courses) >= delivered - 1e-9
    let_go(store)
