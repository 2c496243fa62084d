"""A finished run folder -> Summary: what was asked, permitted, refused, delivered, and what the ledger proves."""

from __future__ import annotations

import errno
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from controller.finished.device import truth_between
from controller.finished.latency import quantile, spreads, stage_times_ms
from controller.finished.ledger import RunLedger, limits_in_force, said_of
from controller.finished.run import Run, read_run, read_table
from controller.finished.screen import print_summary
from controller.finished.tables import drops_of, kind_of, skipped_hops
from controller.finished.values import (
    AMPLITUDE_QUANTITY,
    OTHERS,
    PULSED,
    Ask,
    Asked,
    BiomarkerLine,
    Delivered,
    DeviceTruth,
    Digests,
    DoseLine,
    LimitLine,
    PhaseSpan,
    Refused,
    Slice,
    Summary,
    Tripped,
)
from safety.signature import said_of as signed_words

__all__ = ["Run", "print_summary", "read_run", "summarise", "summarise_run", "write_summary"]

SUMMARY: Final = "summary.json"
# What a page ("<!doctype") and a summary begin with, and no ledger or limits file.
KIND_BYTES: Final = 9
TAIL_NS: Final = (
    2_000_000_000  # how long after its last entry a session's output is still its own (own choice)
)
THRESHOLDS: Final = ("hi", "lo", "threshold", "target", "setpoint")
REASONS_MAX: Final = (
    8  # reasons of missing values that are told apart; a page has room for no more (own choice)
)
AT_ODDS: Final = 0.05  # share by which the device's own record may differ from its reports (own choice)


def summarise(run_dir: Path, device_record: Path | None = None, *, exit_status: int | None = None) -> Summary:
    """Sum up a run folder. `exit_status` is the whole session's where it is known, else the interlock's."""
    return summarise_run(read_run(run_dir, device_record), exit_status=exit_status)


def summarise_run(run: Run, *, exit_status: int | None = None) -> Summary:
    """The Summary of what was read; pure."""
    genesis, ledger = run.ledger.genesis, run.ledger
    rules = None if genesis is None else genesis.rules
    modality = rules.limits.modality if rules is not None else run.tables.modality
    phases = tuple(_phases(run))
    limits = limits_in_force(ledger)
    delivered = _delivered(run.slices, run.asks)
    truth = None if run.device is None else truth_between(run.device, run.start_ns, run.end_ns + TAIL_NS)
    commands = () if run.device is None else run.device.commands
    return Summary(
        run_dir=str(run.run_dir),
        session_id=rules.session_id if rules is not None else run.run_dir.resolve().name,
        title=_title(run),
        participant=rules.limits.participant if rules is not None else "",
        modality=modality,
        started_utc=genesis.utc if genesis is not None else "",
        duration_s=(run.end_ns - run.start_ns) / 1e9,
        armed_s=sum(span.end_s - span.start_s for span in phases if span.phase == "ARMED"),
        armed_by=ledger.armed_by,
        simulated=None if rules is None else rules.simulated,
        shadow=_shadow(run),
        device=_device(ledger),
        exit_status=ledger.exit_status if exit_status is None else exit_status,
        source=run.source,
        asked=_asked(run.asks),
        refusals=_refusals(run.asks),
        trips=tuple(_trips(run)),
        delivered=delivered,
        device_truth=truth,
        latency=spreads(stage_times_ms(run.tables.stamps, commands)),
        skipped_hops=max(skipped_hops(run.tables.readings), run.told.hops_skipped),
        drops=_drops(run),
        amplitude_limit=_limit_of(limits, AMPLITUDE_QUANTITY.get(modality, "")),
        dose=tuple(_dose(ledger)),
        biomarkers=tuple(_biomarkers(run)),
        ledger=ledger.line,
        phases=phases,
        limits=limits,
        digests=_digests(ledger),
        notes=(*run.notes, *_odds(delivered, truth, modality)),
    )


def write_summary(run_dir: Path, summary: Summary) -> Path:
    """summary.json, put in place in one step."""
    fields = msgspec.to_builtins(summary)
    fields.pop("run_dir")  # a folder may be moved
    ordered = {"schema": fields.pop("schema"), **fields}
    path = run_dir / SUMMARY
    put_file(path, msgspec.json.format(msgspec.json.encode(ordered), indent=2) + b"\n")
    return path


def put_file(path: Path, content: bytes) -> None:
    """Put a file in place in one step, readable by its owner alone: it tells of a participant. Raises OSError, also
    where a link, a device, a pipe, or a file of another kind stands there, which would be put away with it."""
    if os.path.lexists(path):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        with path.open("rb") as there:
            if there.read(KIND_BYTES) not in (b"", content[:KIND_BYTES]):
                raise OSError(errno.EEXIST, "a file of another kind is there", str(path))
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _drops(run: Run) -> Mapping[str, int]:
    """What each tap lost, by its own last word or by events.csv, whichever is more."""
    found = drops_of(run.tables.events)
    for tap in run.told.taps:
        if tap.dropped:
            found[tap.name] = max(tap.dropped, found.get(tap.name, 0))
    return found


def _title(run: Run) -> str:
    for table in (run.session, run.session.get("session")):
        found = table.get("title") if isinstance(table, Mapping) else None
        if isinstance(found, str) and found:
            return found
    return run.ledger.genesis.rules.limits.title if run.ledger.genesis is not None else ""


def _shadow(run: Run) -> bool | None:
    """Whether the null device stood in for the one that limits.toml names."""
    if run.ledger.genesis is None:
        return None
    if run.ledger.genesis.rules.limits.device.driver != "null":
        return False
    device = read_table(run.run_dir / "limits.toml", []).get("device")
    named = device.get("driver") if isinstance(device, Mapping) else None
    return None if named is None else named != "null"


def _device(ledger: RunLedger) -> str:
    caps = ledger.capabilities
    if caps is not None:
        return f"{caps.model}, serial {caps.serial}, firmware {caps.firmware} (driver {caps.driver})"
    return (
        "" if ledger.genesis is None else f"driver {ledger.genesis.rules.limits.device.driver}, never opened"
    )


def _phases(run: Run) -> Iterator[PhaseSpan]:
    """The ledger's phases, else those that events.csv tells: its text begins with the phase."""
    changes = [(at.t_ns, at.phase, at.code or at.text) for at in run.ledger.phases] or [
        (row.t_ns, row.text.partition(":")[0], row.code or row.text.partition(":")[2].strip())
        for row in run.tables.events
        if row.kind == "phase"
    ]
    for index, (t_ns, phase, why) in enumerate(changes):
        end_ns = changes[index + 1][0] if index + 1 < len(changes) else run.end_ns
        yield PhaseSpan(
            phase=phase, start_s=(t_ns - run.start_ns) / 1e9, end_s=(end_ns - run.start_ns) / 1e9, why=why
        )


def _trips(run: Run) -> Iterator[Tripped]:
    found = [(at.t_ns, at.code, at.text) for at in run.ledger.phases if at.phase == "TRIPPED"]
    if run.ledger.genesis is None:
        found = [(row.t_ns, row.code, row.text) for row in run.tables.events if row.kind == "trip"]
    for t_ns, code, text in found:
        meaning, remedy = said_of(code)
        yield Tripped(code=code or "?", text=text or meaning, remedy=remedy, at_s=(t_ns - run.start_ns) / 1e9)


def _asked(asks: Sequence[Ask]) -> Asked:
    count = Counter(ask.verdict for ask in asks)
    return Asked(
        asked=len(asks),
        permitted=count["permit"],
        refused=count["refusal"],
        tripped=count["trip"],
        unanswered=len(asks) - count["permit"] - count["refusal"] - count["trip"],
    )


def _refusals(asks: Sequence[Ask]) -> tuple[Refused, ...]:
    """By code, the most frequent first. A request that several limits refused counts under each."""
    count: Counter[str] = Counter()
    first: dict[str, str] = {}
    for ask in asks:
        if ask.verdict != "refusal":
            continue
        count.update(set(ask.codes))
        for code, text in zip(ask.codes, ask.texts, strict=True):
            first.setdefault(code, text)
    return tuple(
        Refused(code=code, text=said_of(code)[0], remedy=said_of(code)[1], count=number, first=first[code])
        for code, number in sorted(count.items(), key=lambda item: (-item[1], item[0]))
    )


def _delivered(slices: Sequence[Slice], asks: Sequence[Ask]) -> Delivered:
    out = [given for given in slices if given.amplitude != 0]
    on_ns = sum(max(0, given.end_ns - given.start_ns) for given in out)
    levels = [given.amplitude for given in out if math.isfinite(given.amplitude)]
    return Delivered(
        n_trains=len({given.token for given in out}),
        n_renewals=sum(ask.renews for ask in asks),
        n_slices=len(slices),
        n_pulses=sum(max(0, given.n_pulses) for given in slices),
        on_time_s=on_ns / 1e9,
        amplitude_max=max(levels, default=0.0),
        n_assumed=sum(not given.confirmed for given in slices),
    )


def _odds(delivered: Delivered, truth: DeviceTruth | None, modality: str) -> Iterator[str]:
    """Where the device's own record and its reports tell different things."""
    if truth is None:
        return
    if truth.pulses != delivered.n_pulses:
        yield f"the device recorded {truth.pulses} pulses, {delivered.n_pulses} were reported"
    slack = 1 + AT_ODDS
    if truth.amplitude_max > delivered.amplitude_max * slack:
        yield f"the device recorded {truth.amplitude_max:g}, at most {delivered.amplitude_max:g} was reported"
    if modality not in PULSED and truth.on_time_s > delivered.on_time_s * slack + 0.5:
        yield f"the device recorded {truth.on_time_s:.1f} s of output, {delivered.on_time_s:.1f} s were reported"


def _limit_of(limits: Sequence[LimitLine], quantity: str) -> LimitLine | None:
    lines = [line for line in limits if line.quantity == quantity]
    return min(lines, key=lambda line: line.high, default=None)


def _dose(ledger: RunLedger) -> Iterator[DoseLine]:
    """Every budget of the session. Without a verified course of the dose its sums are not known: NaN."""
    if ledger.genesis is None:
        return
    last = ledger.dose[-1] if ledger.dose else None
    for budget in ledger.genesis.rules.limits.budgets:
        if budget.scope != "session":
            continue
        yield DoseLine(
            name=budget.name,
            unit=budget.unit,
            budget=budget.high,
            confirmed=math.nan if last is None else last.confirmed[budget.name],
            permitted=math.nan if last is None else last.permitted[budget.name],
            reserved=math.nan if last is None else last.reserved[budget.name],
        )


def _biomarkers(run: Run) -> Iterator[BiomarkerLine]:
    readings = run.tables.readings
    for column, name in enumerate(run.tables.biomarkers):
        values = [row.values[column] for row in readings]
        usable = sorted(value for value in values if math.isfinite(value))
        absent = Counter(
            kind_of(row.reasons[column])
            for row, value in zip(readings, values, strict=True)
            if not math.isfinite(value)
        )
        yield BiomarkerLine(
            name=name,
            unit=run.units.get(name, ""),
            n=len(values),
            median=quantile(usable, 0.50),
            p05=quantile(usable, 0.05),
            p95=quantile(usable, 0.95),
            nan_share=sum(absent.values()) / len(values) if values else math.nan,
            nan_reasons=dict(_shares(absent, len(values))),
            thresholds=dict(_thresholds(run.session.get("policy"), name)),
        )


def _shares(absent: Counter[str], n: int) -> Iterator[tuple[str, float]]:
    """The most frequent reasons as shares of all readings, and the rest in one."""
    common = absent.most_common(REASONS_MAX)
    for reason, number in common:
        yield reason, number / n
    rest = absent.total() - sum(number for _, number in common)
    if rest:
        yield OTHERS, rest / n


def _thresholds(policy: object, name: str) -> Iterator[tuple[str, float]]:
    """The numbers that a policy's table compares a biomarker with."""
    tables = policy if isinstance(policy, list) else [policy]
    for table in tables:
        if isinstance(table, Mapping) and table.get("biomarker") == name:
            for key in THRESHOLDS:
                value = table.get(key)
                if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                    yield key, float(value)


def _digests(ledger: RunLedger) -> Digests:
    genesis = ledger.genesis
    if genesis is None:
        return Digests(
            software="", nociloop="", python="", session="", limits="", limits_serial=0, limits_signed=""
        )
    return Digests(
        software=genesis.software.digest,
        nociloop=genesis.software.nociloop,
        python=genesis.software.python,
        session=genesis.rules.session_digest,
        limits=genesis.rules.limits.digest,
        limits_serial=genesis.rules.limits.serial,
        limits_signed=signed_words(genesis.rules.signed),
    )
