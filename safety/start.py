"""`python -m safety.start`: judge what was given, take the locks, open what must be open before arming, and run.

One line of JSON on standard output when it is ready, or when it refuses to start; nothing else is ever printed there.
"""

from __future__ import annotations

import argparse
import os
import resource
import secrets
import stat
import sys
from pathlib import Path

import msgspec

from safety import clocks, serials
from safety.admission import Admitted, Refused, admit
from safety.device import DeviceHost
from safety.device_lock import lock_device
from safety.entries import Genesis
from safety.history import History
from safety.latch import Latched, LatchFile, said, trip_of
from safety.ledger import Ledger, Watched
from safety.limit_values import AllowedDevice, Limits, RelayLink
from safety.modalities import stop_how
from safety.officers import officer_keys
from safety.peers import Door
from safety.process import Doors, Process
from safety.relay import Relay, RelayError
from safety.rig import (
    ACTS,
    CONTROLLER,
    OPEN,
    PRIVATE,
    SHARED,
    STOP,
    RigError,
    claim,
    forget,
    group_of,
    is_alone,
    note,
    writable_directory,
)
from safety.site import RIGS, SiteError, check_for_real, state_directory, state_folder
from safety.software import software
from safety.state import Rules, State, Watch
from safety.store import Store, open_store
from safety.trips import PERMISSIVES
from safety.windows import clock_trouble

REFUSED = 3
SWITCH_S = 0.0002  # the deciding thread waits no longer than this for the ledger's thread to let go
WORD_CHARS_MAX = 300  # own choice: the name of a run folder, and more
SHADOW = AllowedDevice(
    driver="null", distribution="nociloop", version="any", endpoint="none", identity="any", simulated=True
)


def main(argv: list[str] | None = None) -> int:
    """Start the interlock; its exit status (3: refused to start)."""
    arguments = _arguments(argv)
    os.umask(0o077)
    sys.setswitchinterval(SWITCH_S)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        process, table, ready = _make(arguments)
    except Refused as refused:
        lines = str(refused).splitlines()
        sys.stdout.write(msgspec.json.encode({"refused": lines}).decode() + "\n")
        sys.stdout.flush()
        if arguments.parent_fd < 0:  # a person, or systemd, started it: the line above is for programs
            sys.stderr.write("".join(f"nociloop: {line}\n" for line in lines))
        return REFUSED
    process.listen()
    sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
    sys.stdout.flush()
    status = process.run(table)
    forget(Path(str(ready["ready"])))
    return status


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="nociloop interlock", description="The interlock alone, for one session."
    )
    parser.add_argument("--limits", type=Path, required=True, help="limits.toml of the responsible person")
    parser.add_argument(
        "--run-dir", type=Path, required=True, help="the run folder; the ledger is made there"
    )
    parser.add_argument(
        "--participant", default="", help="the participant's code: other limits than theirs are refused"
    )
    parser.add_argument("--session-id", required=True)
    parser.add_argument("--session-digest", required=True)
    parser.add_argument("--parent-fd", type=int, default=-1, help="a pipe whose end means STOP and end")
    parser.add_argument(
        "--shadow", action="store_true", help="verdicts are made and recorded, the null device delivers"
    )
    return parser.parse_args(argv)


def _make(
    arguments: argparse.Namespace,
) -> tuple[Process, dict[str, str | int | float | bool], dict[str, object]]:
    _check_words(arguments)
    today = clocks.today()
    admitted = _admitted(arguments, today)
    simulated = _is_simulated(admitted.limits.device)
    directory, lock, group = _claim_rig(admitted.limits.rig, simulated=simulated or arguments.shadow)
    _claim_device(admitted.limits, simulated=simulated, shadow=arguments.shadow)
    _take_serial(admitted)
    store, history = _claim_store(admitted.limits, arguments.session_id, simulated=simulated)
    rules = _rules(arguments, admitted, history, today, simulated=simulated)
    limits = rules.limits
    try:
        relay = None if limits.relay.endpoint == "none" else Relay(limits.relay.endpoint)
        latch = LatchFile(state_folder(RIGS), limits.rig)
        latched = of_this_session(_last_session(latch, arguments.session_id), rules)
        ledger = Ledger(
            arguments.run_dir / "ledger.jsonl",
            Watched(path=arguments.limits, digest=limits.digest, signature=admitted.signature_digest),
            latch,
            None if arguments.shadow else store,  # what the null device puts out nobody was given
        )
    except (RelayError, SiteError) as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(
            f"{error.filename}: {error.strerror}; expected a run folder of this session's own"
        ) from error
    try:
        host = DeviceHost(
            stop_how(limits.modality)
        )  # it ends with its link, wherever the start may break off
        doors = Doors(
            controller=Door(directory / CONTROLLER, PRIVATE if group is None else SHARED, group),
            acts=Door(directory / ACTS, PRIVATE if group is None else SHARED, group),
            stop=Door(directory / STOP, OPEN),
            group=group,
        )
    except OSError as error:
        raise Refused(f"{directory}: sockets and device host could not be made: {error.strerror}") from error
    now = clocks.now()
    watch = Watch(boot_offset_ns=now.boot_ns - now.mono_ns, wall_offset_ns=now.wall_ns - now.mono_ns)
    state = first_state_after(latched, relay=relay is not None, watch=watch)
    ledger.start(apart=True)
    ledger.append(
        Genesis(
            prev="", seq=0, kind="opened", now=now, utc=clocks.utc(), boot_id=clocks.boot_id(), rules=rules, state=state,
            software=software(),
        )
    )  # fmt: skip
    ready: dict[str, object] = {
        "ready": str(directory),
        "pid": os.getpid(),
        "host": host.pid,
        "simulated": rules.simulated,
        "latched": said(latched),
    }
    process = Process(rules, state, doors, host, relay, ledger, latched, lock, arguments.parent_fd)
    return process, _device_table(limits), ready


def _check_words(arguments: argparse.Namespace) -> None:
    """What goes into every file that outlives the session can be read again, and printed; the pipe is one. Raises
    Refused."""
    for name, text in (("session-id", arguments.session_id), ("session-digest", arguments.session_digest)):
        if not (0 < len(text) <= WORD_CHARS_MAX and text.isprintable()):
            raise Refused(
                f"--{name}: found {ascii(text)[:80]}, expected 1 to {WORD_CHARS_MAX} printable characters"
            )
    fd = arguments.parent_fd
    if fd >= 0 and not _is_pipe(fd):
        raise Refused(f"--parent-fd: found {fd}, expected a pipe that is open for reading")


def _is_pipe(fd: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except (OSError, OverflowError):
        return False


def _admitted(arguments: argparse.Namespace, today: str) -> Admitted:
    """The limits, whole and with nothing against them; raises Refused with every line."""
    admitted = admit(arguments.limits, today, arguments.participant)
    if admitted.refusals:
        raise Refused("\n".join(admitted.refusals))
    return admitted


def _rules(
    arguments: argparse.Namespace, admitted: Admitted, history: History, today: str, *, simulated: bool
) -> Rules:
    """What holds for the session, as it will be read again: a whole number in the file comes back from the ledger as the
    float it means."""
    limits = admitted.limits
    if arguments.shadow:
        limits = msgspec.structs.replace(
            limits, device=SHADOW, relay=RelayLink(endpoint="none", silence_ms=100)
        )
    rules = Rules(
        session_id=arguments.session_id,
        session_digest=arguments.session_digest,
        limits=limits,
        simulated=simulated or arguments.shadow,
        today=today,
        nonce=secrets.token_hex(8),
        history=history,
        signed=admitted.signed,
    )
    return msgspec.json.decode(msgspec.json.encode(rules), type=Rules)


def _claim_rig(rig: str, *, simulated: bool) -> tuple[Path, int, int | None]:
    """The rig's directory, its lock, and the group that may reach it; STOP finds it from any shell. Raises Refused."""
    try:
        site = writable_directory()
        directory, lock = claim(site, rig)
        if not (simulated and is_alone()):
            note(directory)
        return directory, lock, group_of(site)
    except RigError as error:
        raise Refused(str(error)) from error


def _claim_device(limits: Limits, *, simulated: bool, shadow: bool) -> None:
    """The device, for this session alone, and a real one where its state is; raises Refused."""
    if shadow:
        return
    try:
        if not simulated:
            check_for_real()
        lock_device(limits.device.endpoint, limits.rig)
    except SiteError as error:
        raise Refused(str(error)) from error


def _claim_store(limits: Limits, session_id: str, *, simulated: bool) -> tuple[Store, History]:
    """The participant's store, locked for this session, and what stands in it; raises Refused."""
    try:
        store, history = open_store(
            state_directory(),
            limits,
            session_id,
            clocks.stamp(),
            clocks.utc_offset_s(),
            officer_keys(limits),
            officer_keys(limits, simulated=simulated),
        )
    except SiteError as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(
            f"{error.filename}: found {error.strerror}, expected the site's state directory; mend it"
        ) from error
    trouble = clock_trouble(history, clocks.now())
    if trouble:
        text, remedy = PERMISSIVES[trouble]
        raise Refused(f"{trouble} participant {limits.participant}: {text}; {remedy}")
    return store, history


def _take_serial(admitted: Admitted) -> None:
    """An older signed file is never taken again; raises Refused. The rig is locked by now."""
    limits, signed = admitted.limits, admitted.signed
    if signed is None:
        return
    try:
        serials.take(limits, admitted.path, signed.fingerprint, simulated_only=signed.simulated_only)
    except serials.SerialError as error:
        raise Refused(str(error)) from error


def _last_session(latch: LatchFile, session_id: str) -> Latched:
    """What the rig's last session left, kept once more: what cannot be kept is found now. Raises Refused, SiteError."""
    latch.hold()
    latched = latch.read()
    if latched.mark == "reset" and latched.session_id == session_id:
        raise Refused(f"--session-id: found {session_id}, which has been reset; expected a new one")
    try:
        latch.put(latched)
    except OSError as error:
        raise Refused(
            f"{latch.path}: {error.strerror}; set NOCILOOP_STATE_DIR to a directory of your own"
        ) from error
    return latched


def of_this_session(latched: Latched, rules: Rules) -> Latched:
    """The latch as this session goes on with it. What a real device left tripped is reset under limits that an officer
    signed, and by nobody whom anybody could have written into a file; raises Refused."""
    left = bool(trip_of(latched)[0]) and latched.real
    if left and (rules.signed is None or rules.signed.simulated_only):
        raise Refused(
            f"rig {latched.rig}: found it tripped with a real device, expected limits that an officer signed, by a key "
            "that is good for real endpoints; give those to reset it"
        )
    return msgspec.structs.replace(latched, real=left or not rules.simulated)


def first_state_after(latched: Latched, *, relay: bool, watch: Watch) -> State:
    """SAFE, or TRIPPED as the last session left the rig, until a named person's reset."""
    code, text = trip_of(latched)
    state = State(entries=1, relay=relay, watch=watch)
    if not code:
        return state
    return msgspec.structs.replace(state, phase="TRIPPED", trip=code, trip_text=text, marked=True)


def _is_simulated(device: AllowedDevice) -> bool:
    """The endpoint's name says so, and where it is a path, the file system agrees: a pty is where the kernel puts it."""
    if not device.simulated:
        return False
    kind, _, rest = device.endpoint.partition(":")
    if kind != "serial":
        return True
    return os.path.realpath(rest.partition("@")[0]).startswith("/dev/pts/")


def _device_table(limits: Limits) -> dict[str, str | int | float | bool]:
    """What the driver is told: where its device is; the null device: which contacts it stands for."""
    if limits.device.driver == "null":
        return {"outputs": ",".join(contact.name for contact in limits.contacts)}
    return {"endpoint": limits.device.endpoint}


if __name__ == "__main__":
    sys.exit(main())
