"""The files of docs/deploy: what they promise is in them, and they fit the program that they start."""

from __future__ import annotations

import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from controller.cli import main as command
from safety.rig import SITE_DIRECTORY
from safety.site import SITE_STATE

DEPLOY = Path(__file__).resolve().parents[2] / "docs" / "deploy"
UNIT = DEPLOY / "nociloop-interlock.service"
ACCOUNT, GROUP = "nociloop-interlock", "nociloop"


def settings() -> dict[str, list[str]]:
    """The settings of the unit's [Service], each with all its values in order."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").partition("[Service]")[2].splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_it_runs_under_an_account_of_its_own_without_any_privilege():
    unit = settings()
    assert unit["User"] == [ACCOUNT]
    assert unit["SupplementaryGroups"] == [GROUP]
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == [""]
    for name in (
        "NoNewPrivileges",
        "RestrictRealtime",
        "RestrictSUIDSGID",
        "RestrictNamespaces",
        "ProtectHome",
    ):
        assert unit[name] == ["yes"]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["DevicePolicy"] == ["closed"]
    assert unit["ReadWritePaths"] == [str(SITE_DIRECTORY)]
    assert Path("/var/lib") / unit["StateDirectory"][0] == SITE_STATE


def test_there_is_no_real_time_priority_in_it():
    assert not [
        name
        for name in settings()
        if name.startswith(("CPUScheduling", "LimitRTPRIO", "IOScheduling", "Nice"))
    ]


def test_a_session_that_ended_stays_ended_and_an_end_is_stop():
    unit = settings()
    assert (unit["Restart"], unit["KillSignal"], unit["KillMode"]) == (["no"], ["SIGTERM"], ["mixed"])
    assert int(unit["TimeoutStopSec"][0]) > 5  # within which the interlock ends by itself


def test_what_it_starts_is_a_command_that_there_is(capsys: pytest.CaptureFixture[str]):
    _, verb, *words = shlex.split(settings()["ExecStart"][0])
    assert verb == "interlock"
    assert command([verb, "--help"]) == 0
    said = capsys.readouterr().out
    options = [word for word in words if word.startswith("--")]
    assert options == ["--limits", "--run-dir", "--session-id", "--session-digest"]
    assert all(option in said for option in options)


def test_the_interlock_may_do_what_it_does_under_its_filter():
    """Sockets are given to the group (chown), the size of core files is set (setrlimit): both in groups that are denied."""
    filters = settings()["SystemCallFilter"]
    assert filters[0] == "@system-service"
    assert "@privileged" in filters[1]
    assert {"@chown", "setrlimit", "prlimit64"} <= set(filters[-1].split())


def test_systemd_has_nothing_to_say_where_it_is(tmp_path: Path):
    """With a program that is there, for the one of the unit is installed by the site."""
    if shutil.which("systemd-analyze") is None:
        return
    unit = tmp_path / UNIT.name
    unit.write_text(
        UNIT.read_text(encoding="utf-8").replace("/opt/nociloop/bin/nociloop", sys.executable),
        encoding="utf-8",
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr.replace("\n", "")) == (0, "")


def test_the_site_s_directory_is_the_accounts_and_lets_its_group_in():
    (line,) = lines(DEPLOY / "nociloop.tmpfiles.conf")
    kind, path, mode, user, group, _ = line.split()
    assert (kind, path, user, group) == ("d", str(SITE_DIRECTORY), ACCOUNT, GROUP)
    bits = int(mode, 8)
    assert bits & 0o050 == 0o050 and not bits & (
        stat.S_IWGRP | 0o007
    )  # as safety.rig.group_of takes for meant


def test_account_and_group_are_made():
    made = [line.split()[:2] for line in lines(DEPLOY / "nociloop.sysusers.conf")]
    assert made == [["g", GROUP], ["u", ACCOUNT], ["m", ACCOUNT]]


def test_the_device_is_the_accounts_alone():
    rule = lines(DEPLOY / "60-nociloop.rules")[0]
    parts = dict(re.findall(r'(\w+(?:\{\w+\})?)\+?==?"([^"]*)"', rule))
    assert (parts["OWNER"], parts["MODE"]) == (ACCOUNT, "0600")
    assert "ATTRS{serial}" in parts


def test_the_readme_names_every_file():
    said = (DEPLOY / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in said for path in DEPLOY.iterdir() if path.name != "README.md")


def lines(path: Path) -> list[str]:
    """What is no comment."""
    return [
        line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")
    ]
