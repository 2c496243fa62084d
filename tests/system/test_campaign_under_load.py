"""The short forms of the proofs under load, what their judge is not content with, and that they leave nobody behind."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from safety.stop import press
from sim.record import Break, of
from tests.bounded import line_of
from tests.campaign import results
from tests.campaign.light_rig import bench, discard, end, judge_ledger, judge_output, until_zero
from tests.campaign.running import TAG, tagged
from tests.campaign.short_form import UNDER_LOAD, holds

pytestmark = pytest.mark.system


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", UNDER_LOAD)
def test_the_short_form_of_a_proof_holds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "KEPT", tmp_path / "kept")
    holds(name, tmp_path)


def test_the_judge_of_a_session_is_not_content_with_everything() -> None:
    """A session that STOP ended is fine; with a promise that was not kept, more output, or a lost latch it is not."""
    try:
        made = bench("tacs")
        with made.session() as rig:
            controller = made.controller()
            rig.until_ready()
            rig.arm()
            rig.until_output()
            since_ns = time.monotonic_ns()
            assert press(rig.stop_sock) is not None
            assert until_zero(rig, "tacs", since_ns)["zero_ms"]
            end(controller)
            rig.end()
            record = rig.world.record()
            assert judge_output(record, "tacs", since_ns) == ""
            assert made.promised()
            assert judge_ledger(rig, record, made.promised(), killed=False) == ""
            assert "lost" in judge_ledger(rig, record, {999}, killed=False)
            hour = of(
                [
                    *record.entries,
                    *(Break(t_ns=since_ns + s * 10**9, token=1, a_ma_pp=0.1) for s in (1, 3601)),
                ]
            )
            assert "on_time_s" in judge_ledger(rig, hour, set(), killed=False)
            assert "never ended" in judge_output(hour, "tacs", since_ns)
            higher = of(
                [Break(t_ns=since_ns - 1, token=1, a_ma_pp=0.2), Break(t_ns=since_ns, token=1, a_ma_pp=0.0)]
            )
            assert "0.2 came out" in judge_output(higher, "tacs", since_ns)
            late = of(
                [
                    Break(t_ns=since_ns, token=1, a_ma_pp=0.1),
                    Break(t_ns=since_ns + 10**9, token=1, a_ma_pp=0.0),
                ]
            )
            assert "1000 ms after" in judge_output(late, "tacs", since_ns)
            rig.forget_latch()
            (rig.state / "rigs").mkdir()
            assert "no trip" in judge_ledger(rig, record, set(), killed=False)
            rig.ledger.write_bytes(rig.ledger.read_bytes()[:-40])
            assert judge_ledger(rig, record, set(), killed=False)
    finally:
        discard("tacs")


def test_what_a_trial_leaves_behind_is_found_by_its_tag() -> None:
    environment = os.environ | {TAG: "here"}
    with subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
    ) as child:
        try:
            assert child.stdin is not None
            child.stdin.write(b"\n")
            child.stdin.flush()
            line_of(child.stdout)  # its environment stands from here on: Popen returns a little earlier
            assert tagged("here") == [child.pid] and tagged("her") == []
        finally:
            child.kill()
