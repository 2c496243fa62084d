"""`nociloop run` while its processes are interrupted, killed and frozen: zero output, files closed, nobody left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest

from sim import record
from tests.bounded import Side
from tests.system.session_rig import EAGER_TACS, Rig, Session, ledger_is_sound, rig, run_folder_is_whole

pytestmark = pytest.mark.system

AT_ONCE = 3  # sessions side by side: more would measure this machine
ENOUGH_MA = 0.2
RAMP_MS = 200
NS_PER_S = 1_000_000_000
# Bounds here are of an everyday machine that also starts other sessions; the gates are measured by the benchmarks.
ZERO_S = 0.6
SLOW_DOWN = {**EAGER_TACS, "ramp_down_ms = 100": f"ramp_down_ms = {RAMP_MS}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A session that was hit while it stimulated: when, what it was, and how it ended."""

    rig: Rig
    session: Session
    hit_ns: int
    status: int
    left: dict[int, str]
    level_ma: float

    def zero_after_s(self) -> float:
        """From the blow to zero, by the device's own record."""
        zero_ns = record.zero_since(self.rig.truth(), self.hit_ns)
        assert zero_ns is not None, "the record never shows zero"
        return (zero_ns - self.hit_ns) / NS_PER_S


Blow = Callable[[Rig, Session], None]


def interrupt(_: Rig, session: Session) -> None:
    session.signal_group(signal.SIGINT)


def interrupt_twice(rig: Rig, session: Session) -> None:
    session.signal_group(signal.SIGINT)
    session.until(
        lambda: any("STOP how=ramp" in line for line in rig.device_record.read_text().splitlines()[-40:]),
        "the device ramps",
    )
    session.signal_group(signal.SIGINT)


def kill_supervisor(_: Rig, session: Session) -> None:
    session.popen.kill()


def kill_controller(rig: Rig, _: Session) -> None:
    os.kill(rig.pid_of("controller.process"), signal.SIGKILL)


def freeze_controller(rig: Rig, _: Session) -> None:
    os.kill(rig.pid_of("controller.process"), signal.SIGSTOP)


def kill_interlock(rig: Rig, _: Session) -> None:
    os.kill(rig.pid_of("safety.start"), signal.SIGKILL)


def nothing(_: Rig, session: Session) -> None:
    """It breaks by itself."""


BROKEN = """\
from controller.biomarkers.relative_theta import RelativeTheta

class Broken(RelativeTheta):
    def measure(self, epoch):
        reading = super().measure(epoch)
        self.turns = getattr(self, "turns", 0) + 1
        return reading if self.turns < 15 else reading / 0
"""


def plug_in(made: Rig) -> None:
    """A biomarker of somebody else's, installed beside ours, that raises after a while."""
    folder = made.folder / "site"
    (folder / "broken-1.0.dist-info").mkdir(parents=True)
    (folder / "broken.py").write_text(BROKEN)
    (folder / "broken-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n"
    )
    (folder / "broken-1.0.dist-info" / "entry_points.txt").write_text(
        "[nociloop.biomarkers]\nbroken = broken:Broken\n"
    )
    made.env = made.env | {
        "PYTHONPATH": os.pathsep.join((str(folder), made.env.get("PYTHONPATH", ""))).rstrip(":")
    }


BLOWS: dict[str, Blow] = {
    "freeze_controller": freeze_controller,
    "interrupt": interrupt,
    "interrupt_twice": interrupt_twice,
    "kill_supervisor": kill_supervisor,
    "kill_controller": kill_controller,
    "kill_interlock": kill_interlock,
    "broken_plug_in": nothing,
}


def struck(folder: Path, blow: Blow) -> Done:
    """One session, hit while it stimulates."""
    with rig(folder) as made:
        made.world()
        if blow is nothing:
            plug_in(made)
        made.files(SLOW_DOWN | ({'kind = "relative_theta"': 'kind = "broken"'} if blow is nothing else {}))
        session = made.run()
        session.until(lambda: made.output() >= ENOUGH_MA, "output")
        level_ma = made.output()
        hit_ns = time.monotonic_ns()
        blow(made, session)
        status = session.wait()
        deadline_s = time.monotonic() + 8.0
        while made.session_processes() and time.monotonic() < deadline_s:
            time.sleep(0.02)
        return Done(
            rig=made, session=session, hit_ns=hit_ns, status=status,
            left=made.session_processes(), level_ma=level_ma,
        )  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Done]]]:
    """Every blow, two sessions at a time."""
    with Side(AT_ONCE) as pool:
        yield {name: pool.submit(struck, tmp_path_factory.mktemp(name), blow) for name, blow in BLOWS.items()}


def test_an_interrupt_ramps_down_and_closes_everything(done: dict[str, Future[Done]]) -> None:
    this = done["interrupt"].result()
    assert this.status == 130, this.session.said
    assert not this.left
    assert this.zero_after_s() < ZERO_S
    assert "STOP: ramping down" in this.session.said and "STOP confirmed, ledger entry" in this.session.said
    latched = f"is TRIPPED: ILK-001 STOP was pressed: stop.sock (session {this.session.run_dir.name}"
    assert latched in this.session.said
    assert f"nociloop reset --limits {this.rig.folder / 'limits.toml'} --person NAME" in this.session.said
    assert "Traceback" not in this.session.said
    run_folder_is_whole(this.session.run_dir)
    assert this.session.summary()["exit_status"] == 130
    assert [row["code"] for row in this.session.events("trip")] == ["ILK-001"]
    down = [each for each in this.rig.truth().breaks if each.t_ns > this.hit_ns and each.to_ma_pp == 0.0]
    zero_ns = record.zero_since(this.rig.truth(), this.hit_ns)
    assert zero_ns is not None
    assert (zero_ns - down[0].t_ns) / 1e6 == pytest.approx(RAMP_MS, abs=RAMP_MS * 0.1)
    deliveries = this.session.table("deliveries.csv")
    assert deliveries[-1]["ended"] == "1"


def test_a_second_interrupt_cuts_at_once(done: dict[str, Future[Done]]) -> None:
    this = done["interrupt_twice"].result()
    assert this.status == 130, this.session.said
    assert "STOP again: cut" in this.session.said and "NOT CONFIRMED" not in this.session.said
    zero_ns = record.zero_since(this.rig.truth(), this.hit_ns)
    stops = [
        each
        for each in this.rig.truth().entries
        if isinstance(each, record.Rx) and each.t_ns >= this.hit_ns and " STOP how=" in each.line
    ]
    assert "how=ramp" in stops[0].line
    cut_ns = next(each.t_ns for each in stops if "how=cut" in each.line)
    assert zero_ns is not None
    assert zero_ns - cut_ns < 5_000_000  # the device's own time to stop is 0.5 ms
    assert zero_ns - stops[0].t_ns < RAMP_MS * 1_000_000 * 0.95  # it did not wait for the ramp
    run_folder_is_whole(this.session.run_dir)


def test_a_killed_supervisor_takes_everybody_with_it(done: dict[str, Future[Done]]) -> None:
    this = done["kill_supervisor"].result()
    assert this.status == -signal.SIGKILL
    assert not this.left
    assert this.zero_after_s() < ZERO_S
    ledger_is_sound(this.session.run_dir)
    assert not (this.session.run_dir / "summary.json").exists()  # nobody was left to write it
    told = this.rig.call("report", str(this.session.run_dir), "--device-record", str(this.rig.device_record))
    assert told.returncode == 0, told.stderr
    assert this.session.summary()["ledger"]["ok"] is True  # type: ignore[index]


def test_a_killed_controller_is_an_internal_failure_at_zero(done: dict[str, Future[Done]]) -> None:
    this = done["kill_controller"].result()
    assert this.status == 70, this.session.said
    assert not this.left
    assert this.zero_after_s() < ZERO_S
    ledger_is_sound(this.session.run_dir)
    summary = this.session.summary()
    assert [trip["code"] for trip in summary["trips"]] == ["ILK-202"]  # type: ignore[attr-defined]
    assert summary["exit_status"] == 70 and (this.session.run_dir / "report.html").is_file()
    assert "the controller" in this.session.said and "Traceback" not in this.session.said


def test_a_frozen_controller_is_noticed_by_its_heartbeat_and_ended(done: dict[str, Future[Done]]) -> None:
    this = done["freeze_controller"].result()
    assert this.status == 70, this.session.said
    assert not this.left
    assert this.zero_after_s() < ZERO_S
    ledger_is_sound(this.session.run_dir)
    summary = this.session.summary()
    assert [trip["code"] for trip in summary["trips"]] == ["ILK-201"]  # type: ignore[attr-defined]
    assert summary["exit_status"] == 70
    assert "does not answer" in this.session.said or "hung" in this.session.said


def test_a_killed_interlock_leaves_no_output_behind(done: dict[str, Future[Done]]) -> None:
    this = done["kill_interlock"].result()
    assert this.status == 70, this.session.said
    assert not this.left
    assert this.zero_after_s() < ZERO_S
    ledger_is_sound(this.session.run_dir, closed=False)
    assert "interlock" in this.session.said and "Traceback" not in this.session.said
    assert this.session.summary()["exit_status"] == 70


def test_a_plug_in_that_raises_ends_the_session_in_a_line(done: dict[str, Future[Done]]) -> None:
    this = done["broken_plug_in"].result()
    assert this.status == 70, this.session.said
    assert not this.left
    assert this.zero_after_s() < 2.0  # the session breaks some turns after it was looked at
    said = [line for line in this.session.said.splitlines() if line.startswith("nociloop: ")]
    line, tripped = said
    assert "TRIPPED" in tripped and "nociloop reset" in tripped
    story = this.session.run_dir / "controller.err"
    assert "internal failure of the controller: TypeError" in line and str(story) in line
    assert "Traceback" not in this.session.said and "in measure" in story.read_text()
    ledger_is_sound(this.session.run_dir)
    assert this.session.summary()["exit_status"] == 70


def test_what_was_hit_was_stimulating(done: dict[str, Future[Done]]) -> None:
    """Else none of the above says anything."""
    for future in done.values():
        assert future.result().level_ma >= ENOUGH_MA
