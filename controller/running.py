"""One session from its two files to its run folder: check, supervise, summarise. The engine of `run` and `demo`."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller import lsl_log
from controller.runfolder import RunFolderError, new_run_folder, write_new
from controller.session import Session, SessionErrors, load_session
from controller.supervisor import REFUSED, USAGE, Plan, supervise
from safety import clocks
from safety.acting import ActsLine, NoAnswer
from safety.admission import Admitted, Refused, admit, signature_path
from safety.entry_words import plain
from safety.limit_values import Limits
from safety.messages import ActResult, StatusReport
from safety.rig import ACTS, rig_directories

ARM_SLACK_S = 300.0  # an arming lasts as long as the session and five minutes more


class NotStarted(Exception):
    """Nothing was started; every reason in a line of its own, and the exit status."""

    def __init__(self, lines: tuple[str, ...], exit_status: int = USAGE) -> None:
        super().__init__("\n".join(lines))
        self.exit_status = exit_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The two files of a session, read and found whole. `admitted`: what was said of the limits and their signature."""

    session_path: Path
    session: Session
    limits_path: Path
    limits: Limits
    admitted: Admitted
    participant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """The named person at the keyboard, and the key that the pass-phrase gave."""

    person: str
    key: Ed25519PrivateKey
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A session that has run: how it ended, and where it is."""

    status: int
    run_dir: Path


def read_files(session_path: Path, limits_path: Path, participant: str = "") -> Files:
    """Read both files; raises NotStarted with every error of both at once."""
    lines: list[str] = []
    session, admitted = None, None
    try:
        session = load_session(session_path)
    except SessionErrors as errors:
        lines += errors.errors
    try:
        admitted = admit(limits_path, clocks.today(), participant)
    except Refused as refused:
        lines += str(refused).splitlines()
    if session is not None and admitted is not None and session.train.modality != admitted.limits.modality:
        lines.append(
            f"{session_path}: key train.modality: found {session.train.modality}, "
            f"expected {admitted.limits.modality} as in {limits_path}"
        )
    if session is None or admitted is None or lines:
        raise NotStarted(tuple(lines))
    return Files(
        session_path=session_path,
        session=session,
        limits_path=limits_path,
        limits=admitted.limits,
        admitted=admitted,
        participant=participant,
    )


def refuse_unless_admitted(files: Files) -> None:
    """Raises NotStarted where no session starts with these limits: before a pass-phrase is asked for, or a folder made."""
    if files.admitted.refusals:
        raise NotStarted(files.admitted.refusals, REFUSED)


def run_session(
    files: Files,
    signer: Signer,
    out: Path,
    *,
    shadow: bool = False,
    quiet: bool = False,
    attach: bool = False,
) -> Ended:
    """Run a session to its end in a new run folder. Raises NotStarted when not even that could be made, or when no
    session starts with these limits. `attach`: by the interlock that waits at the rig already."""
    refuse_unless_admitted(files)
    rig, waiting = _waiting(files, shadow=shadow) if attach else (None, "")
    lsl_log.quiet()
    try:
        run_dir = new_run_folder(out)
        write_new(run_dir / "session.toml", files.session.resolved_toml.encode())
        write_new(run_dir / "limits.toml", files.admitted.content)
        if files.admitted.signature is not None:
            write_new(signature_path(run_dir / "limits.toml"), files.admitted.signature)
    except RunFolderError as error:
        raise NotStarted((str(error),), error.exit_status) from error
    plan = Plan(
        session=run_dir / "session.toml",
        limits=files.limits_path,
        participant=files.participant,
        run_dir=run_dir,
        session_id=waiting or f"{run_dir.name}-{secrets.token_hex(4)}",
        session_digest=files.session.digest,
        shadow=shadow,
        quiet=quiet,
        arm=_arm(signer, files.session.general.duration_s + ARM_SLACK_S),
        ask=_ask,
        say=_say,
        rig=rig,
    )
    return Ended(status=supervise(plan), run_dir=run_dir)


def _waiting(files: Files, *, shadow: bool) -> tuple[Path, str]:
    """The rig whose interlock was started by itself, and the session that it waits for; raises NotStarted."""
    name = files.limits.rig
    if shadow:
        raise NotStarted(("--shadow: found --attach as well; start the interlock itself with --shadow",))
    found = ((each, _ask(each / ACTS)) for each in rig_directories(ACTS) if each.name == name)
    directory, status = next((each for each in found if each[1] is not None), (None, None))
    if directory is None or status is None:
        line = f"rig {name}: no interlock answers there; start it first (docs/deploy), or leave out --attach"
        raise NotStarted((line,), REFUSED)
    if status.phase == "TRIPPED":
        line = f"rig {name}: tripped, {status.code} {status.text}; a named person resets it first (nociloop reset)"
        raise NotStarted((line,), REFUSED)
    if status.controller or status.phase != "SAFE":
        line = f"rig {name}: its interlock has a controller already; one controller per session, ever"
        raise NotStarted((line,), REFUSED)
    return directory, status.session_id


def _arm(signer: Signer, valid_s: float) -> Callable[[Path], ActResult]:
    def arm(path: Path) -> ActResult:
        try:
            line = ActsLine(path)
        except NoAnswer as error:
            return ActResult(ok=False, code="", text=str(error), phase="SAFE")
        try:
            return line.act("arm", signer.person, signer.key, signer.reason, valid_s)
        except NoAnswer as error:
            return ActResult(ok=False, code="", text=str(error), phase="SAFE")
        finally:
            line.close()

    return arm


def _ask(path: Path) -> StatusReport | None:
    try:
        line = ActsLine(path)
    except NoAnswer:
        return None
    try:
        return line.status()
    except NoAnswer:
        return None
    finally:
        line.close()


def _say(text: str) -> None:
    """For people: a device, or a file of the site's, may have chosen some of the words."""
    sys.stderr.write("".join(f"nociloop: {plain(line)}\n" for line in text.splitlines()))
    sys.stderr.flush()
