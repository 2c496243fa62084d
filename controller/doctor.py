"""doctor: what this machine can and cannot do, with the fix for each."""

from __future__ import annotations

import os
import platform
import pwd
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

Verdict = Literal["pass", "warn", "fail"]

WAKE_NS = 4_000_000  # the wake-up whose lateness this project quotes everywhere
WAKES = 250
LATE_WARN_MS, LATE_FAIL_MS = (
    5.0,
    50.0,
)  # own choice: 4 ms was seen on a loaded machine; 50 is the slack of a bound
FSYNC_WARN_MS, FSYNC_FAIL_MS = 20.0, 250.0  # the ledger trips when an entry is not durable in 250 ms
FREE_WARN_BYTES, FREE_FAIL_BYTES = 5_000_000_000, 500_000_000  # own choice: an hour of 64 channels has 1 GB
MEMLOCK_WARN_BYTES = 64 << 20  # own choice: less than the controller's resident memory cannot be locked
SUSPENDED_S = 1.0
LSL_S = 1.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One look at the machine: what was found, and what to do where that is not well."""

    name: str
    verdict: Verdict
    found: str
    fix: str = ""


def examine(out: Path, limits: Path | None = None) -> tuple[Finding, ...]:
    """Every check, in the order of the table. A check that fails itself is a finding too."""
    checks: Sequence[Callable[[], Finding]] = (
        python_version,
        packages,
        lsl_library,
        lsl_loopback,
        clock,
        timer,
        cores,
        locked_memory,
        lambda: disk_space(out),
        lambda: disk_sync(out),
        sockets,
        mosquitto,
        signatures,
        trust_store,
        participants,
        *((lambda: participant_of(limits),) if limits is not None else ()),
        account,
        rigs,
    )
    return tuple(_safely(check) for check in checks)


def _safely(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - the table shows what else works
        name = getattr(check, "__name__", "check").replace("_", " ")
        found = f"the check failed: {type(error).__name__}: {' '.join(str(error).split())}"
        return Finding(
            name=name, verdict="fail", found=found, fix="mend what the message names, then try again"
        )


def python_version() -> Finding:
    found = f"{platform.python_implementation()} {platform.python_version()} on {sys.platform}"
    if sys.platform != "linux" or sys.version_info < (3, 11):
        return Finding(name="python", verdict="fail", found=found, fix="use Python 3.11 or later on Linux")
    return Finding(name="python", verdict="pass", found=found)


def packages() -> Finding:
    """What nociloop needs, in the versions that it was tested with."""
    try:
        needed = metadata.requires("nociloop") or []
    except metadata.PackageNotFoundError:
        fix = "pip install nociloop, or pip install -e its folder"
        return Finding(name="packages", verdict="fail", found="nociloop is not installed", fix=fix)
    wrong, shown = [], []
    for line in needed:
        if ";" in line:
            continue  # an extra's
        name = line.split(">")[0].split("<")[0].split("=")[0].strip()
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        shown.append(f"{name} {version}")
        if not satisfies(version, line.removeprefix(name).strip()):
            wrong.append(f"{name} {version}, expected {line.removeprefix(name).strip()}")
    if wrong:
        return Finding(
            name="packages", verdict="fail", found="; ".join(wrong), fix="pip install nociloop again"
        )
    return Finding(name="packages", verdict="pass", found=", ".join(shown))


def satisfies(version: str, bounds: str) -> bool:
    """Whether a version keeps bounds such as `>=1.26,<3`; those it cannot read it does not judge."""
    have = _numbers(version)
    for bound in filter(None, bounds.split(",")):
        sign, limit = bound.rstrip("0123456789."), _numbers(bound.lstrip("<>=!~ "))
        width = max(len(have), len(limit))
        a, b = (tuple(list(n) + [0] * (width - len(n))) for n in (have, limit))
        if {">=": a < b, "<": a >= b, "<=": a > b, ">": a <= b}.get(sign.strip(), False):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def lsl_library() -> Finding:
    import pylsl

    version = int(pylsl.library_version())
    found = f"liblsl {version // 100}.{version % 100}, pylsl {metadata.version('pylsl')}"
    if version < 116:  # the oldest that pylsl 1.18 supports
        return Finding(name="liblsl", verdict="fail", found=found, fix="pip install --upgrade pylsl")
    return Finding(name="liblsl", verdict="pass", found=found)


def lsl_loopback() -> Finding:
    """An outlet of our own, found as an amplifier would be, and one sample read from it."""
    import pylsl

    ident = f"nociloop-doctor-{os.getpid()}-{time.monotonic_ns()}"
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo("nociloop doctor", "Test", 1, 0, "int32", ident))
    begin = time.monotonic()
    found = pylsl.resolve_byprop("source_id", ident, 1, LSL_S)
    if not found:
        fix = (
            "allow UDP and TCP 16572 to 16604 and multicast; or put KnownPeers = {127.0.0.1} into lsl_api.cfg"
        )
        return Finding(
            name="LSL loopback", verdict="fail", found=f"own stream not found in {LSL_S} s", fix=fix
        )
    resolved_ms = (time.monotonic() - begin) * 1e3
    inlet = pylsl.StreamInlet(found[0], max_buflen=1, recover=False)
    inlet.open_stream(timeout=LSL_S)
    outlet.push_sample([7])
    sample, _ = inlet.pull_sample(timeout=LSL_S)
    inlet.close_stream()
    if sample != [7]:
        fix = "allow TCP 16572 to 16604 on this machine"
        return Finding(name="LSL loopback", verdict="fail", found="found, but no sample came", fix=fix)
    return Finding(
        name="LSL loopback", verdict="pass", found=f"resolved in {resolved_ms:.0f} ms, sample read"
    )


def clock() -> Finding:
    """Boot time goes on while the machine sleeps, monotonic time does not."""
    import pylsl

    suspended_s = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    apart_s = min(abs(pylsl.local_clock() - time.monotonic()) for _ in range(5))
    if apart_s > 1e-3:
        found = f"LSL's clock is {apart_s:.3f} s off CLOCK_MONOTONIC"
        return Finding(
            name="clock", verdict="fail", found=found, fix="use Linux and the liblsl that pylsl brings"
        )
    if suspended_s > SUSPENDED_S:
        found = f"this machine slept {suspended_s:.0f} s since it was started"
        fix = "systemctl mask sleep.target suspend.target: a sleep in a session trips it"
        return Finding(name="clock", verdict="warn", found=found, fix=fix)
    return Finding(name="clock", verdict="pass", found="LSL on CLOCK_MONOTONIC; no sleep since the start")


def timer() -> Finding:
    late_ms = sorted(wake_lateness_ns(WAKES))
    p99, worst = late_ms[int(len(late_ms) * 0.99)] / 1e6, late_ms[-1] / 1e6
    found = f"4 ms wake-ups: {p99:.2f} ms late at p99, {worst:.2f} at most"
    if p99 > LATE_WARN_MS:
        fix = "end what loads this machine; set the CPU governor to performance"
        verdict: Verdict = "fail" if p99 > LATE_FAIL_MS else "warn"
        return Finding(name="timer", verdict=verdict, found=found, fix=fix)
    return Finding(name="timer", verdict="pass", found=found)


def wake_lateness_ns(n_wakes: int) -> list[int]:
    """How late each of so many wake-ups came, on absolute deadlines."""
    begin_ns = time.monotonic_ns()
    late_ns = []
    for index in range(1, n_wakes + 1):
        due_ns = begin_ns + index * WAKE_NS
        time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
        late_ns.append(time.monotonic_ns() - due_ns)
    return late_ns


def cores() -> Finding:
    n_cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    found = f"{n_cores} for us, load {load:.1f}"
    if n_cores < 2:
        fix = "give it two cores: interlock and controller must not wait for each other"
        return Finding(name="cores", verdict="warn", found=found, fix=fix)
    if load > n_cores:
        return Finding(name="cores", verdict="warn", found=found, fix="end what loads this machine")
    return Finding(name="cores", verdict="pass", found=found)


def locked_memory() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft == resource.RLIM_INFINITY or os.geteuid() == 0:
        return Finding(name="memlock", verdict="pass", found="unlimited")
    found = f"{soft / (1 << 20):.0f} MB may be locked"
    if soft < MEMLOCK_WARN_BYTES:
        fix = "in /etc/security/limits.d/nociloop.conf: @nociloop - memlock unlimited; log in again"
        return Finding(name="memlock", verdict="warn", found=found, fix=fix)
    return Finding(name="memlock", verdict="pass", found=found)


def disk_space(out: Path) -> Finding:
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    found = f"{free / 1e9:.1f} GB free at {there}"
    if free < FREE_WARN_BYTES:
        verdict: Verdict = "fail" if free < FREE_FAIL_BYTES else "warn"
        return Finding(
            name="disk space", verdict=verdict, found=found, fix="free space, or use --out elsewhere"
        )
    return Finding(name="disk space", verdict="pass", found=found)


def disk_sync(out: Path) -> Finding:
    """How long an entry of the ledger takes to be on the disk."""
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.is_dir())
    if not os.access(there, os.W_OK):
        fix = "name a folder that you may write with --out"
        return Finding(name="disk sync", verdict="fail", found=f"{there} may not be written", fix=fix)
    took_ms: list[float] = []
    with tempfile.TemporaryFile(dir=there) as file:
        begin = time.monotonic()
        while len(took_ms) < 30 and time.monotonic() - begin < 0.5:
            before = time.monotonic()
            file.write(b"x" * 500)
            file.flush()
            os.fdatasync(file.fileno())
            took_ms.append((time.monotonic() - before) * 1e3)
    took_ms.sort()
    median, worst = took_ms[len(took_ms) // 2], took_ms[-1]
    found = f"500 bytes: {median:.2f} ms (p50), {worst:.2f} at most, at {there}"
    if worst > FSYNC_WARN_MS:
        verdict: Verdict = "fail" if median > FSYNC_FAIL_MS else "warn"
        fix = "use a local SSD: the ledger trips when an entry is not durable within 250 ms"
        return Finding(name="disk sync", verdict=verdict, found=found, fix=fix)
    return Finding(name="disk sync", verdict="pass", found=found)


def sockets() -> Finding:
    """Where the rig's sockets will lie: ours alone, and a socket can be made in it."""
    from safety.rig import RigError, writable_directory

    try:
        directory = writable_directory()
    except RigError as error:
        return Finding(name="sockets", verdict="fail", found=str(error), fix="set NOCILOOP_RUNTIME_DIR")
    path = directory / f"doctor-{os.getpid()}.sock"
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
    except OSError as error:
        found = f"{path}: no socket can be made ({error.strerror or error})"
        return Finding(
            name="sockets", verdict="fail", found=found, fix="set NOCILOOP_RUNTIME_DIR to a short path"
        )
    finally:
        path.unlink(missing_ok=True)
    mode = directory.stat().st_mode & 0o777
    return Finding(name="sockets", verdict="pass", found=f"{directory}, mode {mode:04o}")


def mosquitto() -> Finding:
    where = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if where is None:
        fix = "apt install mosquitto; only telemetry over MQTT on this machine needs it"
        return Finding(name="mosquitto", verdict="warn", found="no broker on this machine", fix=fix)
    return Finding(name="mosquitto", verdict="pass", found=where)


def signatures() -> Finding:
    """Ed25519, with which limits and acts are signed."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    key.public_key().verify(key.sign(b"nociloop"), b"nociloop")
    try:
        key.public_key().verify(key.sign(b"nociloop"), b"nocilooq")
    except InvalidSignature:
        return Finding(
            name="signatures", verdict="pass", found=f"cryptography {metadata.version('cryptography')}"
        )
    found = "a wrong signature was taken for a right one"
    return Finding(name="signatures", verdict="fail", found=found, fix="reinstall cryptography; trust no log")


def trust_store() -> Finding:
    """Whose signature under limits.toml counts here."""
    from safety.trust import TrustError, keys_of, store

    name = "trust store"
    try:
        where = store()
        if not os.path.lexists(where.path):
            found = f"{where.path}: none yet; limits run unsigned, simulated endpoints only"
            fix = "nociloop limits keygen NAME --role officer --trust"
            return Finding(name=name, verdict="warn", found=found, fix=fix)
        keys = keys_of(where)
    except TrustError as error:
        fix = "mend what the line names: nothing that is signed starts before"
        return Finding(name=name, verdict="fail", found=str(error), fix=fix)
    known = ", ".join(f"{key.name} {key.fingerprint}" for key in keys) or "no key in it"
    only = "; simulated endpoints only, for the site has another" if where.simulated_only else ""
    return Finding(name=name, verdict="pass", found=f"{where.path}: {known}{only}")


def participants() -> Finding:
    """Whether every participant's store here is whole, and the newest that this site knows."""
    from safety.participants import kept_by_another, site_directory
    from safety.site import SiteError
    from safety.store import PARTICIPANTS, read_store

    name = "participants"
    if kept_by_another():
        return Finding(
            name=name, verdict="pass", found="kept by the interlock's own account, which alone can tell"
        )
    directory = site_directory()
    found, broken = [], []
    for path in sorted((directory / PARTICIPANTS).glob("*.jsonl")):
        try:
            records, _ = read_store(directory, path.stem)
            found.append(f"{path.stem} ({len(records)} records)")
        except SiteError as error:
            broken.append(str(error))
    if broken:
        fix = "mend what each line names: their sessions do not start before"
        return Finding(name=name, verdict="fail", found="; ".join(broken), fix=fix)
    if not found:
        fix = "an officer makes one: nociloop participant new NAME --limits LIMITS.toml --person OFFICER"
        return Finding(name=name, verdict="warn", found=f"{directory}: none yet", fix=fix)
    return Finding(name=name, verdict="pass", found=f"{directory}: {', '.join(found)}")


def participant_of(limits: Path) -> Finding:
    """What is left to the participant of a limits file, and when the next session may begin."""
    from safety.admission import Refused, read_limits
    from safety.participants import said_of, site_directory, standing

    name = "budgets"
    try:
        held = read_limits(limits)
        stands = standing(site_directory(), held)
    except Refused as refused:
        fix = "mend what the line names: no session of this file starts before"
        return Finding(name=name, verdict="fail", found=str(refused), fix=fix)
    said = "; ".join(" ".join(line.split()) for line in said_of(stands, held))
    if stands.trouble:
        return Finding(name=name, verdict="fail", found=said, fix=stands.trouble)
    now = stands.next_wall_ns is not None and stands.next_wall_ns <= stands.now_wall_ns
    fix = "" if now else "wait, or have the limits' owner look at the budgets"
    return Finding(name=name, verdict="pass" if now else "warn", found=said, fix=fix)


def rigs() -> Finding:
    """Rigs that a session before left TRIPPED, and on which no session runs."""
    from safety.latch import last_session
    from safety.rig import ACTS, rig_directories
    from safety.site import RIGS, state_directory

    names = sorted(path.stem for path in (state_directory() / RIGS).glob("*.json"))
    busy = {each.name for each in rig_directories(ACTS) if _answers(each / ACTS)}
    idle = [name for name in names if name not in busy]
    left = [text for text in map(last_session, idle) if text]
    if not left:
        return Finding(name="rigs", verdict="pass", found=f"{len(names)} known, none left tripped")
    fix = "find out why; then a named person: nociloop reset --limits LIMITS.toml --person NAME --reason WHY"
    return Finding(
        name="rigs", verdict="warn", found="; ".join(text.partition(";")[0] for text in left), fix=fix
    )


def _answers(path: Path) -> bool:
    """Whether somebody listens at a socket."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(0.2)
        try:
            line.connect(str(path))
        except OSError:
            return False
    return True


def account() -> Finding:
    """Whether the interlock runs under an account of its own: on one account it guards against accidents only."""
    from safety.rig import SITE_DIRECTORY, stop_sockets

    me = os.getuid()
    owners = {path.parent.name: owner for path in stop_sockets() if (owner := _owner(path)) not in (None, me)}
    if owners:
        rigs = ", ".join(f"{rig} by {_account(owner)}" for rig, owner in sorted(owners.items()))
        return Finding(name="interlock", verdict="pass", found=f"own user: {rigs}; you are {_account(me)}")
    owner = _owner(SITE_DIRECTORY)
    if owner not in (None, me):
        found = f"own user: {SITE_DIRECTORY} belongs to {_account(owner)}, you are {_account(me)}"
        return Finding(name="interlock", verdict="pass", found=found)
    found = f"same user ({_account(me)}): guards against accidents, not against malice"
    fix = "for more, run the interlock under an account of its own: docs/deploy/README.md"
    return Finding(name="interlock", verdict="warn", found=found, fix=fix)


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None


def _account(uid: int | None) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})" if uid is not None else "nobody"
    except KeyError:
        return f"account {uid}"
