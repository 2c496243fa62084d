"""Finds the verbs that the four packages register (entry points `nociloop.verbs`); imports none of them itself.

Only what every command needs is imported above: `stop` has to act before anything heavy is loaded, and no
verb pays for another.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "nociloop.verbs"
ANSWER_NO, USAGE, INTERNAL, CLOSED_PIPE, INTERRUPTED = 1, 2, 70, 141, 130
# In this order in the help; others follow by name.
ORDER = (
    *("demo", "run", "check", "streams", "stop", "measure", "interlock", "arm", "reset", "participant"),
    *(
        "replay",
        "simulate",
        "sim",
        "trial",
        "ledger",
        "limits",
        "drivers",
        "export",
        "report",
        "bench",
        "doctor",
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """The command `nociloop`; returns the exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args[:1] == ["stop"]:
        return _stop(args[1:])
    try:
        status = _command(args)
        sys.stdout.flush()  # here, where a closed pipe can still be told from a failure
        return status
    except KeyboardInterrupt:
        _say("nociloop: interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except Exception as error:  # noqa: BLE001 - a traceback shown to a user is a defect; it goes into a file
        return _internal(error, args)


def _stop(args: list[str]) -> int:
    """STOP comes before any check, and Ctrl-C does not take it back: it ends by itself, within about a second."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # in a thread, where no signal is taken
        return _pressed(args)
    try:
        return _pressed(args)
    finally:
        signal.signal(signal.SIGINT, before)


def _pressed(args: list[str]) -> int:
    """Whatever goes wrong, it is said that nothing is confirmed."""
    try:
        from safety.stop import main as stop

        return stop(args)
    except Exception as error:  # noqa: BLE001 - the operator must read what to do, not a traceback
        _say(f"nociloop stop: NOT CONFIRMED ({type(error).__name__}: {error}); use the hardware stop")
        return ANSWER_NO


def _command(args: list[str]) -> int:
    if not sys.stdout.isatty():
        os.environ.setdefault("NO_COLOR", "1")
    from controller.packages import strangers

    wrong = strangers()
    if wrong:
        for line in wrong:
            _say(f"nociloop: {line}")
        return USAGE
    if args[:1] == ["--version"]:
        return _version()
    try:
        verbs = find_verbs(_installed())
    except ValueError as error:
        _say(f"nociloop: {error}")
        return USAGE
    if not verbs:
        _say(
            "nociloop: it is not installed here, so it has no verbs; pip install it, or pip install -e its folder"
        )
        return USAGE
    if not args or args[0] in ("--help", "-h", "help"):
        sys.stdout.write(overview(verbs))
        return 0 if args else USAGE
    name, *rest = args
    if name not in verbs:
        import difflib

        close = difflib.get_close_matches(name, verbs, n=1)
        hint = f'did you mean "{close[0]}"?' if close else '"nociloop --help" lists the verbs'
        _say(f'nociloop: found "{name}", expected a verb; {hint}')
        return USAGE
    return run_verb(verbs[name], rest)


def _installed() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


def _version() -> int:
    from importlib import metadata

    try:
        version = metadata.version("nociloop")
    except metadata.PackageNotFoundError:
        version = "(not installed)"
    sys.stdout.write(f"nociloop {version}; research software, not a medical device\n")
    return 0


def find_verbs(entries: Iterable[EntryPoint]) -> dict[str, EntryPoint]:
    """The verbs by name, in the order of the help. ValueError where two distributions claim one name."""
    verbs: dict[str, EntryPoint] = {}
    for entry in entries:
        known = verbs.setdefault(entry.name, entry)
        if known.value != entry.value:
            raise ValueError(
                f'verb "{entry.name}" is registered twice, as {known.value} and {entry.value}; uninstall one'
            )
    rank = {name: index for index, name in enumerate(ORDER)}
    return dict(sorted(verbs.items(), key=lambda item: (rank.get(item[0], len(ORDER)), item[0])))


def overview(verbs: dict[str, EntryPoint]) -> str:
    """The help: a line a verb, read out of the sources, so that it cannot differ from what the verb says."""
    from controller.verb_help import first_line

    width = max(map(len, verbs))
    lines = [f"  {name:<{width}}  {first_line(entry.value)}".rstrip() for name, entry in verbs.items()]
    return "\n".join(
        [
            "usage: nociloop VERB [ARGUMENTS]      nociloop VERB --help",
            "",
            "Closed-loop neurofeedback stimulation for chronic-pain research. Not a medical device.",
            "",
            *lines,
            "",
        ]
    )


def run_verb(entry: EntryPoint, args: list[str]) -> int:
    """Load this one verb, and run it. Every operating error ends in lines and its exit status."""
    try:
        verb = entry.load()
    except (ImportError, AttributeError) as error:
        _say(f"nociloop {entry.name}: {entry.value} cannot be loaded ({error}); reinstall what provides it")
        return USAGE
    import typer

    app = verb
    if not isinstance(verb, typer.Typer):
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command()(verb)
    command = typer.main.get_command(app)
    try:
        status = command.main(args=args, prog_name=f"nociloop {entry.name}", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except SystemExit as error:
        status = error.code
    except Exception as error:  # noqa: BLE001 - what is no operating error is raised again
        return _operating(error, entry.name)
    return status if isinstance(status, int) and not isinstance(status, bool) else 0


def _operating(error: Exception, verb: str) -> int:
    """The exit status of an error that says what to do; anything else is raised again."""
    message = getattr(error, "format_message", None)  # typer's and click's usage errors
    if callable(message):
        called = getattr(getattr(error, "ctx", None), "command_path", None) or f"nociloop {verb}"
        said = str(message()).replace(
            " is not readable.", " is not readable by this user; check its owner and mode"
        )
        if "\n" in said:  # a group without its verb: its help
            sys.stdout.write(f"{said}\n")
        else:
            _say(f'{called}: {said} ("{called} --help" tells more)')
        return USAGE
    status = getattr(error, "exit_status", None)
    if not isinstance(status, int):
        raise error
    for line in str(error).splitlines():
        _say(line)
    return status


def _internal(error: Exception, args: list[str]) -> int:
    """One line, and the whole story in a file of its own."""
    if os.environ.get("NOCILOOP_DEBUG") == "1":
        _reraise(error)
    from controller.diagnostics import write_diagnostics

    where = write_diagnostics(error, args)
    _say(
        f"nociloop: internal failure: {type(error).__name__}: {' '.join(str(error).split())}; please report {where}"
    )
    return INTERNAL


def _reraise(error: Exception) -> NoReturn:
    raise error


def _say(line: str) -> None:
    try:
        sys.stderr.write(line + "\n")
    except OSError:
        return  # nobody can be told; the exit status still says it
