"""The effective limits of a file as a table: each number, and which of its layers set it."""

from __future__ import annotations

from textwrap import fill

from drivers.capabilities import Capabilities
from drivers.stimulation import Value
from safety.admission import Admitted, real_refusals
from safety.effective import rows_of_file
from safety.limit_values import AllowedDevice, Checked, Limits
from safety.modalities import formulas_of, rows
from safety.signature import fingerprint, said_of

WIDTH_MIN, WIDTH_MAX = 60, 120
MILLION = 1_000_000  # from here on `g` would tell a power of ten


class Effective(Value, frozen=True):
    """One number that holds. `scope`: over what a budget is counted, empty for a quantity. `set_by`: absolute, site,
    protocol, participant, device, tissue formula or budget. A side that does not exist is None."""

    quantity: str
    scope: str
    unit: str
    low: float | None
    high: float | None
    set_by: str
    source: str
    status: str
    checked: Checked | None = None


def effective(limits: Limits, device: Capabilities | None = None) -> tuple[Effective, ...]:
    """The least of all layers for each quantity, with the `device`'s where it is known; then budgets and spacing."""
    held = rows_of_file(limits) if device is None else rows(limits, device)
    checked = {(row.quantity, str(row.layer)): row.checked for row in limits.rows}
    quantities = (
        Effective(
            quantity=row.quantity,
            scope="",
            unit=row.unit,
            low=row.low,
            high=row.high,
            set_by="tissue formula" if row.set_by == "tissue" else row.set_by,
            source=row.source,
            status=row.status,
            checked=checked.get((row.quantity, row.set_by)),
        )
        for row in held
    )
    budgets = (
        Effective(
            quantity=row.name,
            scope=row.scope,
            unit=row.unit,
            low=None,
            high=row.high,
            set_by="budget",
            source=f"{row.source}, {row.edition}",
            status=row.status,
            checked=row.checked,
        )
        for row in limits.budgets
    )
    spacing = (
        Effective(
            quantity=row.name,
            scope="between sessions",
            unit=row.unit,
            low=row.low,
            high=None,
            set_by="budget",
            source=f"{row.source}, {row.edition}",
            status=row.status,
            checked=row.checked,
        )
        for row in limits.spacing
    )
    return (*quantities, *budgets, *spacing)


def table_of(shown: tuple[Effective, ...], columns: int) -> str:
    """Two lines a number, who set it and whence in the second, so that neither is torn on a narrow terminal."""
    width = min(max(columns, WIDTH_MIN), WIDTH_MAX)
    rows = [(f"{row.quantity} {row.scope}".rstrip(), _told(row.low), _told(row.high), row) for row in shown]
    named = max((len("quantity"), *(len(name) for name, *_ in rows)))
    least = max((len("least"), *(len(low) for _, low, _, _ in rows)))
    most = max((len("most"), *(len(high) for _, _, high, _ in rows)))
    lines = [f"  {'quantity':<{named}}  {'least':>{least}}  {'most':>{most}}  unit"]
    for name, low, high, row in rows:
        lines.append(f"  {name:<{named}}  {low:>{least}}  {high:>{most}}  {row.unit}")
        by = f" by {row.checked.by} on {row.checked.on}" if row.checked is not None else ""
        lines.append(_folded(f"      set by {row.set_by}, {row.status}{by}: {row.source}", width, 6))
    return "\n".join(lines)


def _told(end: float | None) -> str:
    """An end of a range; a dash where there is none."""
    if end is None:
        return "–"
    return f"{end:,.0f}" if abs(end) >= MILLION else f"{end:,.6g}"


def device_words(device: AllowedDevice) -> str:
    """The one device of a file, in words."""
    return (
        f"{device.driver} of {device.distribution}, version {device.version}, at {device.endpoint}, "
        f"identity {device.identity}"
    )


def head_of(admitted: Admitted, columns: int) -> str:
    """Whose limits these are, until when, who signed, and who may arm."""
    width = min(max(columns, WIDTH_MIN), WIDTH_MAX)
    limits = admitted.limits
    people = ", ".join(
        f"{each.name} ({each.role}, key {fingerprint(each.public_key)})" for each in limits.people
    )
    facts = (
        ("limits", f"{limits.title} ({limits.modality}), participant {limits.participant}, rig {limits.rig}"),
        ("file", str(admitted.path)),
        ("serial", f"{limits.serial}, valid {limits.valid_from} to {limits.valid_until}"),
        ("digest", limits.digest),
        ("signed", signed_words(admitted)),
        ("by", f"{limits.responsible}, {limits.site}"),
        ("device", device_words(limits.device)),
        ("people", people),
    )
    return "\n".join(_folded(f"{name:<9}{text}", width, 9) for name, text in facts)


def foot_of(admitted: Admitted, columns: int) -> str:
    """What stands in code beside the numbers, what no session starts with, and what a real device would be refused for."""
    width = min(max(columns, WIDTH_MIN), WIDTH_MAX)
    lines = [
        f"tissue formula {each.name} ({each.status}): {each.source}, {each.edition}"
        for each in formulas_of(admitted.limits.modality)
    ]
    lines += [f"REFUSED  no session starts: {line}" for line in admitted.refusals]
    lines += [f"note     {line}" for line in real_words(admitted)]
    return "\n".join(_folded(line, width, 9) for line in lines)


def real_words(admitted: Admitted) -> list[str]:
    """As `real_lines`, for people: the unverified numbers a layer a line."""
    names = admitted.limits.unverified
    told = [line for line in real_lines(admitted) if not (names and line.endswith(", ".join(names)))]
    found = [f"a real device would be refused (ILK-409): {line}" for line in told]
    if names:
        found.append(
            f"a real device would be refused (ILK-409): {len(names)} numbers are unverified; somebody compares each with "
            "its source and marks it:"
        )
    by_layer: dict[str, list[str]] = {}
    for layer, _, name in (each.partition(".") for each in names):
        by_layer.setdefault(layer, []).append(name)
    return found + [f"  {layer}: {', '.join(each)}" for layer, each in by_layer.items()]


def signed_words(admitted: Admitted) -> str:
    """Who signed, in words; a signature that is there and does not hold is nobody's."""
    if admitted.signature is not None and admitted.signed is None:
        return "NOT AS IT MUST BE"
    return said_of(admitted.signed)


def real_lines(admitted: Admitted) -> tuple[str, ...]:
    """What a real device would still be refused for. A signature that does not hold keeps every session from starting,
    and is told as that."""
    found = real_refusals(admitted.limits, admitted.signed)
    return found[1:] if admitted.signature is not None and admitted.signed is None else found


def _folded(text: str, width: int, indent: int) -> str:
    return fill(
        text,
        width,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
