"""The verbs of `nociloop participant`: new, show, confirm-date, new-course. Heavy imports wait until a verb runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safety.verbs import PassphraseFile

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from safety.limit_values import Limits, Person
    from safety.participants import Kind

app = typer.Typer(
    help="Who may be stimulated: make a participant, see what is left, confirm the date, begin another course.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="the participant's code, as the limits name it")]
LimitsFile = Annotated[Path, typer.Option(help="the participant's limits.toml: it names the persons")]


@app.command("new", short_help="Make a participant, with nothing spent.")
def new_verb(
    name: Name,
    limits: LimitsFile,
    person: Annotated[
        str, typer.Option(help="the officer who does it: of the limits, or of the trust store")
    ],
    reason: Annotated[str, typer.Option(help="why; it goes into the store")] = "course begins",
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a participant: the course begins, with nothing spent. An officer's signed act.

    Exit status: 0 made, 2 not.
    """

    def make(found: Limits, who: Person, key: Ed25519PrivateKey) -> str:
        from safety.participants import new_participant, site_directory

        return f"participant {name}: {new_participant(site_directory(), found, who, key, reason)}"

    _signed("new", name, limits, person, reason, passphrase_file, make)


@app.command("confirm-date", short_help="Vouch for this machine's date since its start.")
def confirm_verb(
    name: Name,
    limits: LimitsFile,
    person: Annotated[str, typer.Option(help="who compared the date and time with another clock")],
    reason: Annotated[str, typer.Option(help="what it was compared with; it goes into the store")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Vouch for the date and time of this machine since it started. A named person's signed act.

    Exit status: 0 confirmed, 2 not.
    """

    def confirm(found: Limits, who: Person, key: Ed25519PrivateKey) -> str:
        from safety.participants import confirm_date, site_directory

        confirm_date(site_directory(), found, who, key, reason)
        return f"participant {name}: the date is confirmed by {who.name}"

    _signed("confirm-date", name, limits, person, reason, passphrase_file, confirm)


@app.command("new-course")
def new_course_verb(
    name: Name,
    limits: LimitsFile,
    person: Annotated[
        str, typer.Option(help="the officer who does it: of the limits, or of the trust store")
    ],
    reason: Annotated[str, typer.Option(help="why another course may begin; it goes into the store")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Close the course of the limits' modality and begin the next one. An officer's signed act. What counts over 24 hours
    and 7 days goes on to count."""

    def begin(found: Limits, who: Person, key: Ed25519PrivateKey) -> str:
        from safety.participants import new_course, site_directory

        number = new_course(site_directory(), found, who, key, reason)
        return f"participant {name}: course {number} of {found.modality} begins, by {who.name}"

    _signed("new-course", name, limits, person, reason, passphrase_file, begin)


@app.command("show", short_help="What is left of each budget, and when to go on.")
def show_verb(
    name: Name,
    limits: LimitsFile,
    anchor: Annotated[
        list[str] | None,
        typer.Option(help="a head of the store that was kept elsewhere; may be given more than once"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """The courses so far, what is left of each budget over each window, and when the next session may begin."""
    from safety.admission import Refused
    from safety.participants import said_of, site_directory, standing

    try:
        found = _limits_of(name, limits)
        stands = standing(site_directory(), found, tuple(anchor or ()))
    except Refused as error:
        raise _refused(error) from error
    if as_json:
        import dataclasses

        import msgspec

        sys.stdout.write(msgspec.json.encode(dataclasses.asdict(stands)).decode() + "\n")
    else:
        none = (f"  no session starts: {stands.trouble}",) if stands.trouble else ()
        sys.stdout.write("\n".join((*said_of(stands, found), *none)) + "\n")


def _signed(
    kind: Kind,
    name: str,
    path: Path,
    person: str,
    reason: str,
    passphrase_file: Path | None,
    act: Callable[[Limits, Person, Ed25519PrivateKey], str],
) -> None:
    from safety.admission import Refused
    from safety.participants import judge_act
    from safety.verbs import named, unlock

    try:
        limits = _limits_of(name, path)
        beside = _trusted(person) if kind != "confirm-date" and limits.person(person) is None else None
        who = beside or named(limits, path, person)
        judge_act(kind, limits, who, reason)
        said = act(limits, who, unlock(who, passphrase_file))
    except Refused as error:
        raise _refused(error) from error
    sys.stdout.write(said + "\n")


def _trusted(name: str) -> Person | None:
    """The officer of that name in the trust store, None where there is none; raises Refused."""
    from safety.admission import Refused
    from safety.officers import trusted_officer
    from safety.trust import TrustError

    try:
        return trusted_officer(name)
    except TrustError as error:
        raise Refused(str(error)) from error


def _limits_of(name: str, path: Path) -> Limits:
    from safety.admission import Refused, read_limits

    limits = read_limits(path)
    if limits.participant != name:
        raise Refused(
            f"{path}: found the limits of participant {limits.participant}, expected those of {name}"
        )
    return limits


def _refused(error: Exception) -> typer.Exit:
    from safety.entry_words import plain

    sys.stderr.write("".join(f"nociloop: {plain(line)}\n" for line in str(error).splitlines()))
    return typer.Exit(2)
