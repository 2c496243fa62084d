"""The verbs interlock, arm and reset. Heavy imports wait until a verb runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from safety.acting import ActsLine
    from safety.limit_values import Limits, Person

PassphraseFile = Annotated[
    Path | None,
    typer.Option(help="file with the pass-phrase, mode 0600; else it is asked for at the terminal"),
]


def interlock(
    limits: Annotated[Path, typer.Option(help="limits.toml of the responsible person")],
    run_dir: Annotated[Path, typer.Option(help="an empty folder; the ledger is made there")],
    session_id: Annotated[str, typer.Option(help="the id that the controller will say")],
    session_digest: Annotated[str, typer.Option(help="the digest of the session's content")],
    participant: Annotated[
        str, typer.Option(help="the participant's code; other limits than theirs are refused")
    ] = "",
    shadow: Annotated[bool, typer.Option(help="the null device instead of the real one")] = False,
) -> None:
    """Run the interlock alone, for one session, until it is at zero and ended.

    Exit status: 0 ended in order, 2 a wrong call, 3 refused to start, 4 ended by a trip. SIGTERM and Ctrl-C are STOP.
    """
    from safety.start import main

    arguments = ["--limits", str(limits), "--run-dir", str(run_dir), "--session-id", session_id]
    arguments += ["--session-digest", session_digest, f"--participant={participant}"]
    raise typer.Exit(main([*arguments, "--shadow"] if shadow else arguments))


def arm(
    limits: Annotated[Path, typer.Option(help="the limits file of the session: it names the persons")],
    person: Annotated[str, typer.Option(help="who arms")],
    reason: Annotated[str, typer.Option(help="why; it goes into the ledger")] = "session",
    minutes: Annotated[float, typer.Option(min=0.1, max=480, help="how long the arming lasts")] = 60.0,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Arm a rig that is READY: a named person's signed act.

    Exit status: 0 armed, 2 nobody could be asked (file, person, pass-phrase, no session), 3 the interlock refused.
    """
    _act("arm", limits, person, reason, minutes * 60.0, passphrase_file)


def reset(
    limits: Annotated[Path, typer.Option(help="the limits file of the session: it names the persons")],
    person: Annotated[str, typer.Option(help="who resets")],
    reason: Annotated[str, typer.Option(help="what was found and done; it goes into the ledger")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Reset a tripped rig: a named person's signed act, whether a session runs or not. It arms nothing; a new one must.

    Exit status: 0 reset, 2 nobody could be asked (file, person, pass-phrase, nothing to reset), 3 the interlock refused.
    """
    _act("reset", limits, person, reason, 60.0, passphrase_file)


def _act(
    kind: Literal["arm", "reset"],
    path: Path,
    name: str,
    reason: str,
    valid_s: float,
    passphrase_file: Path | None,
) -> None:
    from safety.acting import ActsLine, NoAnswer
    from safety.acts import reason_problem
    from safety.admission import Refused, read_limits
    from safety.entry_words import plain
    from safety.resetting import NotReset, interlock_for_reset, is_kept

    try:
        problem = reason_problem(reason)
        if problem:
            raise Refused(problem)  # before anybody types a pass-phrase
        limits = read_limits(path)
        person = named(limits, path, name)
        key = unlock(person, passphrase_file)
        line = _line_to(limits.rig)
        if line is not None:
            result = line.act(kind, person.name, key, reason, valid_s)
        elif kind == "reset":
            with interlock_for_reset(path, limits.rig) as acts:
                result = ActsLine(acts).act(kind, person.name, key, reason, valid_s)
        else:
            raise Refused(f"rig {limits.rig}: no session runs for this user; start one with `nociloop run`")
        if kind == "reset" and result.ok and not is_kept(limits.rig):
            raise NotReset(f"rig {limits.rig}: the reset was taken but is not on the disk; look at the disk")
    except (Refused, NoAnswer, NotReset) as error:
        sys.stderr.write("".join(f"nociloop: {plain(line)}\n" for line in str(error).splitlines()))
        raise typer.Exit(2) from error
    said = f"{result.phase}: {result.code} {result.text}".replace(":  ", ": ")
    sys.stdout.write(plain(said) + "\n")
    raise typer.Exit(0 if result.ok else 3)


def _line_to(rig: str) -> ActsLine | None:
    """A line to the interlock that runs for a rig, None where none does: a socket may be left of one that was killed."""
    from safety.acting import ActsLine, NoAnswer
    from safety.rig import ACTS, rig_directories

    for path in (each / ACTS for each in rig_directories(ACTS) if each.name == rig):
        try:
            return ActsLine(path)
        except NoAnswer:
            continue
    return None


def named(limits: Limits, path: Path, name: str) -> Person:
    """The person whom a limits file names; raises Refused where it names none so."""
    from safety.admission import Refused

    person = limits.person(name)
    if person is None:
        known = ", ".join(each.name for each in limits.people)
        raise Refused(f"{path}: found no person {name}, expected one of {known}")
    return person


def unlock(person: Person, passphrase_file: Path | None) -> Ed25519PrivateKey:
    """The person's key from the pass-phrase; raises Refused when it is not theirs."""
    from safety.acts import PassphraseError
    from safety.admission import Refused
    from safety.passphrase import unlock_key

    try:
        return unlock_key(person.name, person.salt, person.public_key, passphrase_file)
    except PassphraseError as error:
        raise Refused(str(error)) from error
