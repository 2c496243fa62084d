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
from controller.supervisor import USAGE, Plan, supervise
from safety.acting import ActsLine, NoAnswer
from safety.limit_values import Limits
from safety.limits import LimitsErrors, load
from safety.messages import ActResult, StatusReport

ARM_SLACK_S = 300.0  # an arming lasts as long as the session and five minutes more


class NotStarted(Exception):
    """Nothing was started; every reason in a line of its own, and the exit status."""

    def __init__(self, lines: tuple[str, ...], exit_status: int = USAGE) -> None:
        super().__init__("\n".join(lines))
        self.exit_status = exit_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The two files of a session, read and found whole."""

    session_path: Path
    session: Session
    limits_path: Path
    limits: Limits


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


def read_files(session_path: Path, limits_path: Path) -> Files:
    """Read both files; raises NotStarted with every error of both at once."""
    lines: list[str] = []
    session, limits = None, None
    try:
        session = load_session(session_path)
    except SessionErrors as errors:
        lines += errors.errors
    try:
        limits = load(limits_path.read_bytes())
    except OSError as error:
        lines.append(f"{limits_path}: {error.strerror}; give the limits file of the responsible person")
    except LimitsErrors as errors:
        lines += [problem.replace("limits.toml", str(limits_path), 1) for problem in errors.problems]
    if session is not None and limits is not None and session.train.modality != limits.modality:
        lines.append(
            f"{session_path}: key train.modality: found {session.train.modality}, "
            f"expected {limits.modality} as in {limits_path}"
        )
    if session is None or limits is None or lines:
        raise NotStarted(tuple(lines))
    return Files(session_path=session_path, session=session, limits_path=limits_path, limits=limits)


def run_session(
    files: Files, signer: Signer, out: Path, *, shadow: bool = False, quiet: bool = False
) -> Ended:
    """Run a session to its end in a new run folder. Raises NotStarted when not even that could be made."""
    lsl_log.quiet()
    try:
        run_dir = new_run_folder(out)
        write_new(run_dir / "session.toml", files.session.resolved_toml.encode())
        write_new(run_dir / "limits.toml", files.limits_path.read_bytes())
    except RunFolderError as error:
        raise NotStarted((str(error),), error.exit_status) from error
    plan = Plan(
        session=run_dir / "session.toml",
        limits=files.limits_path,
        run_dir=run_dir,
        session_id=f"{run_dir.name}-{secrets.token_hex(4)}",
        session_digest=files.session.digest,
        shadow=shadow,
        quiet=quiet,
        arm=_arm(signer, files.session.general.duration_s + ARM_SLACK_S),
        ask=_ask,
        say=_say,
    )
    return Ended(status=supervise(plan), run_dir=run_dir)


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
    sys.stderr.write("".join(f"nociloop: {line}\n" for line in text.splitlines()))
    sys.stderr.flush()
