"""The safety officer's verbs on limits.toml: show, check, sign, keygen. Heavy imports wait until a verb runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from drivers.capabilities import Capabilities
    from safety.admission import Admitted
    from safety.limit_values import Person

ANSWER_NO, USAGE = 1, 2

limits = typer.Typer(
    help="The responsible person's limits.toml: show, check, sign; make a person's key.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

LimitsFile = Annotated[Path, typer.Argument(metavar="LIMITS.toml", help="the responsible person's file")]
AsJson = Annotated[bool, typer.Option("--json", help="for programs")]
PassphraseFile = Annotated[
    Path | None, typer.Option(help="file with the pass-phrase, mode 0600; else it is asked for")
]
PassphraseFd = Annotated[int | None, typer.Option(help="an open descriptor to read the pass-phrase from")]


@limits.command("show", short_help="Each effective limit, and which layer set it.")
def show_verb(
    file: LimitsFile,
    run_dir: Annotated[
        Path | None,
        typer.Option("--device-of", metavar="RUN_DIR", help="narrow by the device that this run had opened"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Each effective limit, and which layer set it: absolute, site, protocol, participant, device, tissue formula or budget.

    Exit status: 0 the file is whole, 2 it is not.
    """
    from safety.limits_shown import effective, foot_of, head_of, table_of

    admitted = _admitted(file, "")
    shown = effective(admitted.limits, None if run_dir is None else _device_of(run_dir))
    if as_json:
        import msgspec

        told = _told(admitted, admitted.refusals) | {"effective": shown}
        _out(msgspec.json.encode(told).decode())
        return
    columns = get_terminal_size().columns
    _out("\n".join((head_of(admitted, columns), table_of(shown, columns), foot_of(admitted, columns))))


@limits.command("check", short_help="Every mistake of a file at once.")
def check_verb(
    file: LimitsFile,
    participant: Annotated[str, typer.Option(help="who is to be stimulated")] = "",
    as_json: AsJson = False,
) -> None:
    """Every mistake at once; what no session starts with; and what a real device would still refuse.

    Exit status: 0 a session starts with it, 1 none does, 2 the file is not whole.
    """
    from safety.admission import Refused, admit, serial_refusal, signature_refusal
    from safety.clocks import today
    from safety.limits_shown import real_words, signed_words

    try:
        admitted = admit(file, today(), participant)
    except Refused as refused:
        beside = signature_refusal(file)
        errors = [*str(refused).splitlines(), *([beside] if beside else [])]
        if as_json:
            _out(json.dumps({"ok": False, "errors": errors}))
            raise typer.Exit(USAGE) from refused
        _refuse("\n".join(errors))
    serial = serial_refusal(admitted)
    refusals = (*admitted.refusals, *((serial,) if serial else ()))
    if as_json:
        import msgspec

        _out(msgspec.json.encode(_told(admitted, refusals)).decode())
        raise typer.Exit(ANSWER_NO if refusals else 0)
    held = admitted.limits
    _out(f"{'NO' if refusals else 'OK'}: {file}, serial {held.serial}, {signed_words(admitted)}")
    _out("".join(f"  no session starts: {line}\n" for line in refusals), end="")
    _out("".join(f"  {line}\n" for line in real_words(admitted)), end="")
    raise typer.Exit(ANSWER_NO if refusals else 0)


@limits.command("sign", short_help="Sign a file: LIMITS.toml.sig beside it.")
def sign_verb(
    file: LimitsFile,
    key: Annotated[str, typer.Option(metavar="NAME", help="the officer's name in the trust store")],
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Sign a limits file: writes LIMITS.toml.sig beside it. Exit status: 0 signed, 2 not."""
    from safety.acts import PassphraseError
    from safety.admission import Refused
    from safety.serials import SerialError
    from safety.signing import sign_file
    from safety.trust import TrustError

    try:
        done = sign_file(file, key, passphrase_file, passphrase_fd)
    except (Refused, TrustError, SerialError, PassphraseError) as error:
        _refuse(str(error))
    _out(done)


@limits.command("keygen", short_help="Make a person's key from a pass-phrase.")
def keygen_verb(
    name: Annotated[str, typer.Argument(help="the person's name, as it stands in limits.toml")],
    role: Annotated[
        Literal["operator", "officer"], typer.Option(help="an operator arms; an officer signs limits, too")
    ],
    trust: Annotated[
        bool | None,
        typer.Option("--trust/--no-trust", help="write an officer's public key into the trust store"),
    ] = None,
    simulated_only: Annotated[
        bool, typer.Option("--simulated-only", help="what this officer signs runs simulated endpoints alone")
    ] = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Make a person's key from a pass-phrase: prints the table for limits.toml, and the fingerprint of the key.

    The private key is kept nowhere: the pass-phrase and the salt in that table make it anew. Exit status: 0 made, 2 not.
    """
    from safety.acts import PassphraseError
    from safety.passphrase import read_passphrase
    from safety.people import judge_name, new_person, table_of
    from safety.signature import fingerprint
    from safety.trust import TrustError, store, unused

    if role == "operator" and (trust or simulated_only):
        _refuse(
            "--trust and --simulated-only: found an operator, expected an officer: operators sign no limits"
        )
    try:
        judge_name(name)
        if trust:
            unused(store(), name)
        person = new_person(name, role, read_passphrase(name, passphrase_file, passphrase_fd, twice=True))
        _out(f"# fingerprint of the key: {fingerprint(person.public_key)}\n{table_of(person)}", end="")
        if role == "officer":
            _out(_trusted(person, trust, simulated_only=simulated_only))
    except (PassphraseError, TrustError) as error:
        _refuse(str(error))


def _trusted(person: Person, trust: bool | None, *, simulated_only: bool) -> str:
    """Put an officer's key into the trust store, or say what to put there; raises TrustError."""
    from safety.trust import SUFFIX, TrustedKey, add, store, written

    where = store()
    key = TrustedKey(
        name=person.name, public_key=person.public_key, salt=person.salt, simulated_only=simulated_only
    )
    if trust is None and asks():
        trust = typer.confirm(f"trust this key: write it into {where.path}?", err=True)
    if trust:
        return f"# the trust store has it: {add(where, key)}"
    line = written(key).decode("ascii").rstrip("\n")
    return f"# not trusted yet; this line is its file {where.path / person.name}{SUFFIX}:\n# {line}"


def asks() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


def _admitted(file: Path, participant: str) -> Admitted:
    from safety.admission import Refused, admit
    from safety.clocks import today

    try:
        return admit(file, today(), participant)
    except Refused as refused:
        _refuse(str(refused))


def _told(admitted: Admitted, refusals: tuple[str, ...]) -> dict[str, object]:
    """What there is to say of a file that is whole, for programs."""
    from safety.limits_shown import real_lines

    held = admitted.limits
    return {
        "ok": not refusals,
        "file": str(admitted.path),
        "title": held.title,
        "serial": held.serial,
        "valid_from": held.valid_from,
        "valid_until": held.valid_until,
        "participant": held.participant,
        "rig": held.rig,
        "modality": held.modality,
        "digest": held.digest,
        "signed": admitted.signed,
        "refusals": refusals,
        "real_device_refusals": real_lines(admitted),
        "unverified": held.unverified,
    }


def _device_of(run_dir: Path) -> Capabilities:
    """What the device of a run said that it can; ends with 2 where none was opened."""
    from drivers.link import Opened
    from safety.entries import Entry
    from safety.events import HostSaid
    from safety.verify import LedgerUnreadable, read

    path = run_dir / "ledger.jsonl" if run_dir.is_dir() else run_dir
    try:
        lines, _, _ = read(path)
    except LedgerUnreadable as error:
        _refuse(str(error))
    said = [line.held.event for line in lines if isinstance(line.held, Entry)]
    for event in said:
        if isinstance(event, HostSaid) and isinstance(event.message, Opened):
            return event.message.capabilities
    return _refuse(f"{path}: found no device that was opened, expected the run of one; give another run")


def _out(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)


def _refuse(text: str) -> NoReturn:
    from safety.entry_words import plain

    sys.stderr.write("".join(f"nociloop: {plain(line)}\n" for line in text.splitlines()))
    raise typer.Exit(USAGE)
