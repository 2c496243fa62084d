"""limits.toml -> frozen Limits; no defaults; absolute bounds around them; digest.

The file is the responsible person's. Every key is required, an unknown key is refused, and every problem is told
at once, one line each. A layer may narrow the absolute bounds that stand in code, never widen them.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from datetime import date
from typing import NamedTuple

import msgspec

from drivers.stimulation import MODALITIES, Modality
from safety.limit_values import (
    AllowedDevice,
    Budget,
    Checked,
    Contact,
    Inputs,
    LayerName,
    Limit,
    Limits,
    Person,
    RelayLink,
    Spacing,
    Status,
    Watch,
)
from safety.modalities import (
    Declared,
    DeclaredBudget,
    DeclaredContacts,
    DeclaredSpacing,
    budgets_of,
    formulas_of,
    quantities_of,
    rules_of,
    spacing_of,
)
from safety.modalities.added import addable
from safety.modalities.rules import DeclaredChoice, DeclaredInput, needed
from safety.rig_tables import (
    LOWER_NAME,
    NAME,
    read_device,
    read_people,
    read_relay,
    read_response,
    read_watch,
)
from safety.strict_table import FILE, Problems, Table

__all__ = [
    "AllowedDevice",
    "Budget",
    "Contact",
    "Inputs",
    "Limit",
    "Limits",
    "LimitsErrors",
    "Person",
    "RelayLink",
    "Spacing",
    "Watch",
    "load",
]

BYTES_MAX = 65_536
LINE_BYTES_MAX = (
    1024  # own choice: more than a text and its key take; a key of thousands of parts takes a reader minutes
)
BOM = b"\xef\xbb\xbf"  # of UTF-8: some editors write it, no TOML reader takes it
SPACING_S_MAX = 31_536_000.0  # own choice: a year; longer is a mistake of unit
VALID_DAYS_MAX = 366  # own choice: somebody looks at the file at least once a year
INTEGER_MAX = 2**53
CONTACT_NAME = re.compile(r"[A-Za-z0-9_-]{1,16}")
CONTACTS_MAX = 64
LAYERS: tuple[LayerName, ...] = ("site", "protocol", "participant")


class LimitsErrors(Exception):
    """Everything that is wrong with a limits.toml, one line each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(content: bytes) -> Limits:
    """Read the bytes of a limits.toml; raises LimitsErrors with every problem at once."""
    problems = Problems()
    root = Table(_parse(content), "", problems)
    limits = _read(root, hashlib.sha256(content).hexdigest())
    root.close()
    if problems.lines:
        raise LimitsErrors(problems.lines)
    return limits


def _parse(content: bytes) -> dict[str, object]:
    if len(content) > BYTES_MAX:
        raise LimitsErrors(
            (f"{FILE}: found more than {BYTES_MAX} bytes, expected fewer; is it the right file?",)
        )
    if content.startswith(BOM):
        raise LimitsErrors(
            (f"{FILE}: found a byte-order mark before the text, expected none; save it as UTF-8 without one",)
        )
    for number, line in enumerate(content.split(b"\n"), start=1):
        if len(line) > LINE_BYTES_MAX and not line.lstrip().startswith(b"#"):
            long = f"found a line {number} of {len(line)} bytes, expected at most {LINE_BYTES_MAX}; break it"
            raise LimitsErrors((f"{FILE}: {long}",))
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise LimitsErrors(
            (
                f"{FILE}: found a byte at {error.start} that is not UTF-8, expected UTF-8 text; save it as UTF-8",
            )
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise LimitsErrors(
            (f"{FILE}: found text that is not TOML: {_one_line(error)}; correct that place",)
        ) from None
    except (ValueError, RecursionError) as error:  # thousands of digits; arrays nested without end
        raise LimitsErrors((f"{FILE}: found what no TOML reader takes: {_one_line(error)}",)) from None


def _one_line(error: Exception) -> str:
    return ascii(str(error))[1:-1]


def _read(root: Table, digest: str) -> Limits:
    """Every table in the order of the file. The value is good only if no problem was found on the way."""
    file = root.table("file")
    participant = root.table("participant")
    site = root.table("site")
    inputs = root.table("inputs")
    device = read_device(root.table("device"))
    modality = _read_modality(root.table("modality"))
    rows = _read_layers(root, modality)
    budgets = _read_budgets(root.table("budgets"), modality)
    spacing = _read_spacing(root.table("spacing"), modality)
    limits = Limits(
        schema=file.integer("schema", 1, 1, "(what this version reads)"),
        serial=file.integer("serial", 1, INTEGER_MAX, "higher than that of the file before"),
        valid_from=file.date("valid_from"),
        valid_until=file.date("valid_until"),
        title=file.text("title"),
        responsible=file.text("responsible"),
        participant=participant.text("code", "a code from A-Z a-z 0-9 _ -, at most 64", NAME),
        site=site.text("name"),
        rig=site.text("rig", "a name from a-z 0-9 _ -, at most 32", LOWER_NAME),
        device=device,
        relay=read_relay(root.table("relay"), device),
        people=read_people(root.table("people")),
        modality=modality or "tacs",
        rows=rows,
        contacts=_read_contacts(root.table("contacts"), modality),
        inputs=_read_inputs(inputs, modality),
        budgets=budgets,
        spacing=spacing,
        watch=read_watch(root.table("watch")),
        response=read_response(root.table("response")),
        unverified=() if modality is None else _unverified(modality, rows, budgets, spacing),
        digest=digest,
    )
    _check_dates(limits, file, inputs)
    for table in (file, participant, site):
        table.close()
    return limits


def _check_dates(limits: Limits, file: Table, inputs: Table) -> None:
    """Dates that can hold on one and the same day."""
    if not (limits.valid_from and limits.valid_until):
        return  # reported already
    first, last = date.fromisoformat(limits.valid_from), date.fromisoformat(limits.valid_until)
    if not 0 <= (last - first).days <= VALID_DAYS_MAX:
        file.refuse("valid_until", f"a date from {first} on, at most {VALID_DAYS_MAX} days later")
    if not limits.inputs.consent_on <= limits.valid_until:
        inputs.refuse("consent_on", f"a date not after {last}, when this file ends")
    if not limits.last_checked_on <= limits.valid_until:
        file.refuse("valid_until", f"a date from {limits.last_checked_on} on, when a number was checked")
    for declared in rules_of(limits.modality).inputs:
        measured_on: str | None = getattr(limits.inputs, declared.dated, None)
        if measured_on and not limits.valid_on(measured_on):
            inputs.refuse(declared.dated, f"a date from {first} to {last}, while this file is valid")


def _read_modality(table: Table) -> Modality | None:
    """The modality, on which four of the tables depend; where it is wrong, they are left unread."""
    name = table.choice("name", MODALITIES)
    table.close()
    return name


def _read_layers(root: Table, modality: Modality | None) -> tuple[Limit, ...]:
    """The three layers: the protocol has a row for every quantity, the others may have any."""
    rows: list[Limit] = []
    for layer in LAYERS:
        table = root.table(f"{layer}_limits")
        if modality is None:
            continue
        for declared in quantities_of(modality):
            if layer == "protocol" or declared.name in table.keys:
                rows.append(_read_row(table, declared, layer))
        table.close()
    return tuple(rows)


def _read_row(layer_table: Table, declared: Declared, layer: LayerName) -> Limit:
    """One quantity in one layer, inside its absolute bounds."""
    row = layer_table.table(declared.name, f"a table of the limits of {declared.name} in {declared.unit}")
    about = f"{declared.unit} (absolute bound: {declared.source}, {declared.edition})"
    low = _read_end(row, "min", declared, about) if declared.sides != "max" else declared.low
    high = _read_end(row, "max", declared, about) if declared.sides != "min" else declared.high
    if not low <= high:
        row.refuse("min", f"at most max, which is {high:.10g}")
    provenance = _read_provenance(row, declared.unit)
    row.close()
    return Limit(quantity=declared.name, low=low, high=high, layer=layer, **provenance._asdict())


def _read_end(row: Table, key: str, declared: Declared, about: str) -> float:
    if declared.integer:
        return float(row.integer(key, int(declared.low), int(declared.high), about))
    return row.number(key, declared.low, declared.high, about)


class _Provenance(NamedTuple):
    """What makes a number a limit; fields as those of Limit, Budget and Spacing."""

    unit: str
    source: str
    edition: str
    status: Status
    checked: Checked | None


def _read_provenance(row: Table, unit: str) -> _Provenance:
    """Unit, source, edition, status; a verified number says who compared it with its source, and when."""
    known: tuple[Status, ...] = ("unverified", "verified")
    row.choice("unit", (unit,))  # this word or a problem
    status = row.word("status", known)
    return _Provenance(
        unit=unit,
        source=row.text("source", "where the number comes from, on one line"),
        edition=row.text("edition", "the edition of the source, on one line"),
        status=status,
        checked=_read_checked(row) if status == "verified" else None,
    )


def _read_checked(row: Table) -> Checked:
    who = row.text("checked_by", "who compared the number with its source, on one line; or status unverified")
    return Checked(by=who, on=row.date("checked_on"))


def _read_contacts(table: Table, modality: Modality | None) -> tuple[Contact, ...]:
    """The outputs that may be used: contacts with their area for a current, one coil with its kind for pulses."""
    if modality is None:
        return ()
    contacts = []
    for name in table.keys:
        contact = table.table(name, "a table of one contact")
        if not CONTACT_NAME.fullmatch(name):
            table.refuse(name, "a contact's name from A-Z a-z 0-9 _ -, at most 16")
        contacts.append(_read_contact(contact, name, rules_of(modality).contacts))
        contact.close()
    declared = rules_of(modality).contacts
    if not declared.fewest <= len(contacts) <= declared.most:
        table.refuse_all(f"{len(contacts)} contacts", f"{declared.fewest} to {declared.most} for {modality}")
    return tuple(contacts)


def _read_contact(table: Table, name: str, declared: DeclaredContacts) -> Contact:
    if declared.coils:
        return Contact(name=name, area_cm2=None, coil=table.choice("coil", declared.coils))
    low, high = declared.area_of(name)
    area_cm2 = table.number("area_cm2", low, high, "cm2")
    place = table.choice("place", declared.places) if declared.places else None
    return Contact(name=name, area_cm2=area_cm2, coil=None, place=place)


def _read_inputs(table: Table, modality: Modality | None) -> Inputs:
    """The dated facts about the participant that the modality needs."""
    inputs = Inputs(consent_on=table.date("consent_on"))
    if modality is None:
        return inputs
    rules = rules_of(modality)
    for choice in rules.choices:
        if _is_asked(choice, inputs, table):
            inputs = msgspec.structs.replace(
                inputs, **{choice.name: table.choice(choice.name, choice.options)}
            )
    for name in rules.dates:
        inputs = msgspec.structs.replace(inputs, **{name: table.date(name)})
    for declared in rules.inputs:
        if not _is_asked(declared, inputs, table):
            continue
        value = table.number(declared.name, declared.low, declared.high, declared.unit)
        inputs = msgspec.structs.replace(inputs, **{declared.name: value})
        if declared.dated:
            inputs = msgspec.structs.replace(inputs, **{declared.dated: table.date(declared.dated)})
    table.close()
    return inputs


def _is_asked(declared: DeclaredChoice | DeclaredInput, inputs: Inputs, table: Table) -> bool:
    """Whether the choices made ask for it. After a choice that is none, what there is of it is read for its mistakes."""
    unmade = any(getattr(inputs, name) is None for name, _ in declared.only)
    return declared.name in table.keys if unmade else needed(declared.only, inputs)


def _read_budgets(table: Table, modality: Modality | None) -> tuple[Budget, ...]:
    """How much may be spent: a table a scope that the modality declares, in it a row for each of its budgets. Any other
    that means something for the modality may be added."""
    if modality is None:
        return ()
    declared = budgets_of(modality)
    more = addable(modality, declared)
    budgets: list[Budget] = []
    for scope in dict.fromkeys(each.scope for each in (*declared, *more)):
        required = tuple(each for each in declared if each.scope == scope)
        added = tuple(each for each in more if each.scope == scope)
        if not required and scope not in table.keys:
            continue
        inside = table.table(scope, f"a table of the budgets {scope}")
        budgets += (_read_budget(inside, each) for each in required)
        budgets += (_read_budget(inside, each) for each in added if each.name in inside.keys)
        inside.close(*(each.name for each in added))
    table.close(*(each.scope for each in more))
    return tuple(budgets)


def _read_budget(table: Table, declared: DeclaredBudget) -> Budget:
    row = table.table(declared.name, f"a table of the budget {declared.name} in {declared.unit}")
    about = f"{declared.unit} (absolute bound: {declared.source}, {declared.edition})"
    if declared.integer:
        high = float(row.integer("max", 0, int(declared.high), about))
    else:
        high = row.number("max", 0.0, declared.high, about)
    provenance = _read_provenance(row, declared.unit)
    row.close()
    return Budget(name=declared.name, scope=declared.scope, high=high, **provenance._asdict())


def _read_spacing(table: Table, modality: Modality | None) -> tuple[Spacing, ...]:
    """How long there must have been no output before a session begins."""
    if modality is None:
        return ()
    spacing = tuple(_read_gap(table, declared) for declared in spacing_of(modality))
    table.close()
    return spacing


def _read_gap(table: Table, declared: DeclaredSpacing) -> Spacing:
    row = table.table(declared.name, f"a table of the least {declared.name}")
    about = f"s (absolute bound: {declared.source}, {declared.edition})"
    low = row.number("min", declared.low, SPACING_S_MAX, about)
    provenance = _read_provenance(row, "s")
    row.close()
    return Spacing(name=declared.name, low=low, **provenance._asdict())


def _unverified(
    modality: Modality,
    rows: tuple[Limit, ...],
    budgets: tuple[Budget, ...],
    spacing: tuple[Spacing, ...],
) -> tuple[str, ...]:
    """Every number, of code and of file, that nobody has checked against its source."""
    named: list[tuple[str, Status]] = [
        *((f"absolute.{declared.name}", declared.status) for declared in quantities_of(modality)),
        *((f"absolute.{each.scope}.{each.name}", each.status) for each in budgets_of(modality)),
        *((f"absolute.{each.name}", each.status) for each in spacing_of(modality)),
        *((f"tissue.{formula.name}", formula.status) for formula in formulas_of(modality)),
        *((f"{row.layer}.{row.quantity}", row.status) for row in rows),
        *((f"{budget.scope}.{budget.name}", budget.status) for budget in budgets),
        *((f"spacing.{each.name}", each.status) for each in spacing),
    ]
    return tuple(name for name, status in named if status == "unverified")
