"""The values that limits.toml becomes: frozen, embedded whole in the ledger; no rule, no file."""

from __future__ import annotations

import datetime
from typing import Literal, TypeGuard

from drivers.stimulation import Modality, Value

Status = Literal["verified", "unverified"]
Role = Literal["operator", "officer"]
LayerName = Literal["site", "protocol", "participant"]
Scope = Literal["pulse", "train", "session", "24h", "7d", "course", "in_a_row"]
BudgetName = Literal[
    "on_time_s",
    "charge_c",
    "n_pulses",
    "n_sessions",
    "n_days",
    "cem43_brain_min",
    "cem43_bone_min",
    "cem43_skin_min",
]
SpacingName = Literal["gap_s", "washout_s"]
Coil = Literal["figure-8", "round"]
Place = Literal["limb", "back", "abdomen"]
Direction = Literal["falls", "rises"]


class Checked(Value, frozen=True):
    """Who compared a number with its source, and on which day (ISO)."""

    by: str
    on: str


class Limit(Value, frozen=True):
    """One row of one layer. A side that the quantity does not have holds its absolute bound. A verified one says by whom it
    was `checked`."""

    quantity: str
    unit: str
    low: float
    high: float
    layer: LayerName
    source: str
    edition: str
    status: Status
    checked: Checked | None = None


class Budget(Value, frozen=True):
    """How much one participant may be given of one modality within `scope`.

    `pulse`, `train`, `session`; `24h` and `7d` before this instant; `course`: since the present course began. `in_a_row`
    counts calendar days with output, up to today.
    """

    name: BudgetName
    scope: Scope
    unit: str
    high: float
    source: str
    edition: str
    status: Status
    checked: Checked | None = None


class Spacing(Value, frozen=True):
    """The least time without output before a session's first: `gap_s` since the last session of the same modality,
    `washout_s` since the last of any other."""

    name: SpacingName
    unit: str
    low: float
    source: str
    edition: str
    status: Status
    checked: Checked | None = None


class Person(Value, frozen=True):
    """A named person: what they may sign (`role`), and the key and salt of their signature, in hex."""

    name: str
    role: Role
    public_key: str
    salt: str


class Signed(Value, frozen=True):
    """Who signed the limits: the officer's name in the trust store, key and signature in hex, and which store.

    `simulated_only`: the key is good for simulated endpoints alone. Whether the signature fits was judged before.
    """

    by: str
    fingerprint: str
    public_key: str
    signature: str
    simulated_only: bool
    store: str


class AllowedDevice(Value, frozen=True):
    """The one device of this file. `simulated` is what the endpoint's *name* says (none, loopback, pty)."""

    driver: str
    distribution: str
    version: str
    endpoint: str
    identity: str
    simulated: bool


class RelayLink(Value, frozen=True):
    """The watchdog relay: "unix:/path", or "none", which only the null device may have."""

    endpoint: str
    silence_ms: int


class Contact(Value, frozen=True):
    """An output that may be used: a tES contact has an area, a TENS contact also a place on the body, a coil its kind.
    What it has not is None."""

    name: str
    area_cm2: float | None
    coil: Coil | None
    place: Place | None = None


class Inputs(Value, frozen=True):
    """Facts about the participant and the implanted device, with their days as ISO dates; those that the modality does
    not have are None. `leakage_na`: the direct current that a contact leaks at the device's greatest output;
    `recharge_us`: how long the device shorts its contacts after the second phase of a pulse."""

    consent_on: str
    motor_threshold_pct_mso: float | None = None
    motor_threshold_measured_on: str | None = None
    active_threshold_pct_mso: float | None = None
    active_threshold_measured_on: str | None = None
    leakage_na: float | None = None
    leakage_measured_on: str | None = None
    recharge_us: float | None = None
    thermal: str | None = None
    exposure_times: str | None = None
    diagnostic: str | None = None
    no_exclusion_on: str | None = None
    planned_on: str | None = None
    transmission: float | None = None
    rise_brain_c_cm2_per_w: float | None = None
    rise_bone_c_cm2_per_w: float | None = None
    rise_skin_c_cm2_per_w: float | None = None
    cooling_s: float | None = None
    power_mw_cm2_per_w: float | None = None
    open_circuit_v: float | None = None


class Watch(Value, frozen=True):
    """When silence or bad data stop the output. `lapses_max` counts within 60 s."""

    data_age_ms: int
    heartbeat_ms: int
    host_ms: int
    clean_fraction_min: float
    rate_tolerance_pct: float
    lapses_max: int
    off_min_ms: int


class ResponseLimits(Value, frozen=True):
    """Which way the response is expected to go under stimulation, and how often it may go the other way.

    `dead_band` is in the biomarker's unit. Windows are of `window_ms`; for that long after its end output still acts.
    """

    expected: Direction
    dead_band: float
    window_ms: int
    windows_refuse: int
    windows_trip: int


class Limits(Value, frozen=True):
    """A limits.toml that was found to be whole. `digest` is the SHA-256 of its bytes, in hex.

    `unverified` names each number that nobody has checked against its source, in the file or in the
    modality's code ("protocol.amplitude_ma_pp", "absolute.n_pulses", "tissue.rossi2009_table5"): such
    limits run simulated endpoints only.
    """

    schema: int
    serial: int
    valid_from: str
    valid_until: str
    title: str
    responsible: str
    participant: str
    site: str
    rig: str
    device: AllowedDevice
    relay: RelayLink
    people: tuple[Person, ...]
    modality: Modality
    rows: tuple[Limit, ...]
    contacts: tuple[Contact, ...]
    inputs: Inputs
    budgets: tuple[Budget, ...]
    spacing: tuple[Spacing, ...]
    watch: Watch
    response: ResponseLimits
    unverified: tuple[str, ...]
    digest: str

    @property
    def all_verified(self) -> bool:
        """Whether every number has been checked against its source: asked before a real device is armed."""
        return not self.unverified

    @property
    def last_checked_on(self) -> str:
        """The latest day on which a number was compared with its source, as ISO; "" where none was."""
        rows: tuple[Limit | Budget | Spacing, ...] = (*self.rows, *self.budgets, *self.spacing)
        return max((row.checked.on for row in rows if row.checked is not None), default="")

    def valid_on(self, today: str) -> bool:
        """Whether the file is valid on the ISO date `today`; a text that is no ISO date is not."""
        return is_iso_date(today) and self.valid_from <= today <= self.valid_until

    def person(self, name: str) -> Person | None:
        return next((person for person in self.people if person.name == name), None)

    def contact(self, name: str) -> Contact | None:
        return next((contact for contact in self.contacts if contact.name == name), None)

    def budget(self, name: BudgetName, scope: Scope) -> float:
        """The budget of that name and scope, 0 where there is none: a missing limit allows nothing."""
        return next((b.high for b in self.budgets if b.name == name and b.scope == scope), 0.0)


def is_iso_date(text: object) -> TypeGuard[str]:
    """Whether `text` is a date as YYYY-MM-DD, the one form in which dates may be compared as texts."""
    if not isinstance(text, str):
        return False
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
