"""The safety officer's verbs on a ledger: verify, show, sign. Heavy imports wait until a verb runs."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from safety.verbs import PassphraseFile

if TYPE_CHECKING:
    from safety.verify import Verdict

LEDGER, LIMITS = "ledger.jsonl", "limits.toml"
ANSWER_NO, USAGE = 1, 2
_HEAD = re.compile(r"[0-9a-f]{64}")

ledger = typer.Typer(
    help="What the interlock wrote: verify it, read it, report it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Signer = Annotated[
    str, typer.Option(help="who signs: a person of the session's limits, or the officer who signed those")
]
LedgerPath = Annotated[Path, typer.Argument(help="ledger.jsonl, or a run folder")]


@ledger.command("verify", short_help="Whether a ledger is whole, and each decision right.")
def verify_verb(
    path: LedgerPath,
    anchor: Annotated[
        list[str] | None,
        typer.Option(help="a head hash that was kept elsewhere; may be given more than once"),
    ] = None,
    limits: Annotated[
        Path | None,
        typer.Option(help="the limits file of the session; in a run folder, the one in it"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Re-hash the chain, decide every entry again, ask the second implementation of the limits.

    Exit status: 0 nothing speaks against it, 1 something does, 2 there is nothing to verify.
    """
    from safety.verdict_words import said_of
    from safety.verify import LedgerUnreadable

    try:
        verdict = verdict_on(path, tuple(anchor or ()), limits)
    except LedgerUnreadable as error:
        refuse(str(error), ANSWER_NO)
    if as_json:
        sys.stdout.write(json.dumps(told(verdict)) + "\n")
    else:
        sys.stdout.write(said_of(verdict))
    raise typer.Exit(0 if verdict.ok else ANSWER_NO)


@ledger.command("show", short_help="Its entries, one a line; filtered.")
def show_verb(
    path: LedgerPath,
    kind: Annotated[
        str,
        typer.Option(help="request, permit, refusal, trip, act, stop, delivery, device, phase or trouble"),
    ] = "",
    code: Annotated[
        str, typer.Option(help="entries with this code, or the start of one: ILK-203, ILK-1")
    ] = "",
    request: Annotated[int | None, typer.Option(help="the life of one request, by its id")] = None,
    person: Annotated[str, typer.Option(help="the acts of one person")] = "",
    word: Annotated[str, typer.Option(help="entries whose line has this text")] = "",
    since: Annotated[int, typer.Option(min=0, help="from this sequence number on")] = 0,
    from_s: Annotated[
        float | None, typer.Option("--from", help="from so many seconds after the first")
    ] = None,
    to_s: Annotated[float | None, typer.Option("--to", help="to so many seconds after the first")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="only the last so many of these")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the lines as they stand")] = False,
) -> None:
    """Print entries, one a line: sequence, seconds since the first, state, what happened, what was done.

    A damaged file is shown as far as it can be read, and what cannot be is named at the end. Exit status: 0 shown,
    also where no entry fits; 2 there is nothing to show.
    """
    from safety.show import KINDS, Wanted, shown
    from safety.verify import LedgerUnreadable

    if kind and kind not in KINDS:
        refuse(f"--kind: found {ascii(kind)[:80]}, expected one of {', '.join(KINDS)}; or use --word", USAGE)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal of another alphabet
    wanted = Wanted(
        kind=kind,
        code=code,
        request=request,
        person=person,
        word=word,
        since=since,
        from_s=from_s,
        to_s=to_s,
        last=last,
    )
    n_shown = 0
    try:
        for each in shown(ledger_file(path), wanted):
            n_shown += each.raw is not None
            if each.raw is None and as_json:
                sys.stderr.write(f"nociloop: {each.text}\n")
                continue
            text = each.raw.decode(errors="replace") if as_json and each.raw is not None else each.text
            sys.stdout.write(text + "\n")
        if not n_shown:
            sys.stderr.write("nociloop: no entry fits\n")
    except LedgerUnreadable as error:
        refuse(str(error), USAGE)
    except BrokenPipeError:
        sys.stderr.close()  # `show | head`: the reader has seen enough


@ledger.command("sign", short_help="Put your name to its head, when you have read it.")
def sign_verb(
    path: LedgerPath,
    person: Signer,
    reason: Annotated[str, typer.Option(help="what was looked at; it is signed, too")] = "reviewed",
    passphrase_file: PassphraseFile = None,
) -> None:
    """Verify a ledger and sign its head: whoever cuts or rewrites it afterwards lacks your key. Others may sign it, too.

    Exit status: 0 signed, 1 not, for something speaks against the ledger, 2 not, for another reason.
    """
    from safety.admission import Refused
    from safety.entry_words import plain
    from safety.head_signing import judge_signing, sign_head
    from safety.verbs import unlock
    from safety.verdict_words import answer_of
    from safety.verify import LedgerUnreadable

    try:
        verdict = verdict_on(path)
        if not verdict.ok:
            refuse(
                f"{verdict.path}: {answer_of(verdict)}: nobody's name is put to it; see ledger verify",
                ANSWER_NO,
            )
        who = judge_signing(verdict.signers, person, reason)
        sys.stdout.write(f"{answer_of(verdict)}: {verdict.entries} lines, head {verdict.head}\n")
        sys.stdout.flush()  # before a pass-phrase is asked for
        said = sign_head(verdict, who, unlock(who, passphrase_file), reason)
    except (LedgerUnreadable, Refused) as error:
        refuse(plain(str(error)), USAGE)
    sys.stdout.write(said + "\n")


def verdict_on(path: Path, anchors: tuple[str, ...] = (), limits: Path | None = None) -> Verdict:
    """Verify a file or a run folder by the code at hand; raises LedgerUnreadable, and ends with 2 on a wrong call."""
    from safety.admission import LIMITS_BYTES_MAX, signature_path
    from safety.regular_file import read_regular
    from safety.signature import BYTES_MAX
    from safety.software import software
    from safety.verify import verify

    for each in anchors:
        if not _HEAD.fullmatch(each):
            refuse(f"--anchor: found {ascii(each)[:80]}, expected a head of 64 hex digits", USAGE)
    file = ledger_file(path)
    if limits is None and path.is_dir() and (path / LIMITS).is_file():
        limits = path / LIMITS
    content, signature = None, None
    if limits is not None:
        try:
            content = read_regular(limits, LIMITS_BYTES_MAX)
        except OSError as error:
            refuse(f"{limits}: {error.strerror}; give the limits file of the session", USAGE)
    beside = signature_path(limits if limits is not None else file.with_name(LIMITS))
    if limits is not None or path.is_dir():
        try:
            signature = read_regular(beside, BYTES_MAX, follow=False)
        except FileNotFoundError:
            pass  # the verdict says that it is not at hand
        except OSError as error:
            refuse(f"{beside}: {error.strerror}; expected the signature itself, or none", USAGE)
    return verify(file, software(), anchors, content, signature, heads_of(file))


def heads_of(file: Path) -> bytes:
    """What persons signed of a ledger, beside it; ends with 2 where it cannot be read."""
    from safety.head_signing import beside_of, kept_heads

    try:
        return kept_heads(file)
    except OSError as error:
        refuse(f"{beside_of(file)}: {error.strerror}; expected the signed heads themselves, or none", USAGE)


def told(verdict: Verdict) -> dict[str, object]:
    """A verdict for programs."""
    import dataclasses

    import msgspec

    from safety.verdict_words import answer_of

    answers = {"ok": verdict.ok, "answer": answer_of(verdict), "other_code": verdict.other_code}
    fields: dict[str, object] = msgspec.to_builtins(dataclasses.asdict(verdict) | {"path": str(verdict.path)})
    return answers | fields


def ledger_file(path: Path) -> Path:
    """The ledger of a run folder, or the file itself; ends with 2 where there is none that this user may reach."""
    file = path / LEDGER if os.path.isdir(path) else path  # never raises, where Path.is_dir may
    try:
        regular = stat.S_ISREG(file.stat().st_mode)
    except OSError as error:
        refuse(f"{file}: {error.strerror}; give a ledger.jsonl, or a run folder", USAGE)
    if not regular:
        refuse(f"{file}: not a regular file; give a ledger.jsonl, or a run folder", USAGE)
    return file


def refuse(line: str, status: int) -> NoReturn:
    """One line on standard error, and the end."""
    sys.stderr.write(f"nociloop: {line}\n")
    raise typer.Exit(status)
