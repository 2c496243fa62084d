"""What a run comes down to: the frozen values of summary.json, of the screen and of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

SCHEMA: Final = 1
OTHERS: Final = "other reasons"
AMPLITUDE_UNIT: Final[Mapping[str, str]] = {
    "tacs": "mA pp",
    "tdcs": "mA",
    "trns": "mA pp",
    "tens": "mA",
    "dbs": "mA",
    "scs": "mA",
    "drg": "mA",
    "pns": "mA",
    "rtms": "% MSO",
    "tbs": "% MSO",
    "ctbs": "% MSO",
    "tus": "MPa in water",
}
AMPLITUDE_QUANTITY: Final[Mapping[str, str]] = {
    "tacs": "amplitude_ma_pp",
    "tdcs": "amplitude_ma",
    "trns": "amplitude_ma_pp",
    "tens": "amplitude_ma",
    "dbs": "amplitude_ma",
    "scs": "amplitude_ma",
    "drg": "amplitude_ma",
    "pns": "amplitude_ma",
    "rtms": "amplitude_pct_mso",
    "tbs": "amplitude_pct_mso",
    "ctbs": "amplitude_pct_mso",
    "tus": "amplitude_mpa_water",
}
PULSED: Final = frozenset(
    {"rtms", "tbs", "ctbs", "tus"}
)  # what is told in pulses; the others in seconds of output
EXIT_TEXT: Final[Mapping[int, str]] = {
    0: "done",
    1: "the check's answer is no",
    2: "usage or configuration",
    3: "refused to start",
    4: "ended by a trip",
    70: "internal failure",
    130: "interrupted and safely ended",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request and what became of it; `codes` refused it, each with its text. The amplitude is in the train's unit.
    `renews`: it was permitted by firing the running hold's token again."""

    id: int
    t_ns: int
    amplitude: float
    verdict: str
    codes: tuple[str, ...]
    texts: tuple[str, ...]
    renews: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One reported piece of a delivery."""

    token: int
    start_ns: int
    end_ns: int
    amplitude: float
    n_pulses: int
    ended: bool
    confirmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSpan:
    """One stay in a phase of the interlock, in seconds of the session; `why`: the code or text that led to it."""

    phase: str
    start_s: float
    end_s: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Requests by verdict. `unanswered`: no verdict reached the record."""

    asked: int
    permitted: int
    refused: int
    tripped: int
    unanswered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One code of refusal: what it means, what to do, how often, and the first case in full."""

    code: str
    text: str
    remedy: str
    count: int
    first: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripped:
    """One trip, at `at_s` of the session."""

    code: str
    text: str
    remedy: str
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What the device reported through its host. `n_renewals`: holds that were fired again under their token.
    `n_assumed` slices were not confirmed, and count as delivered."""

    n_trains: int
    n_renewals: int
    n_slices: int
    n_pulses: int
    on_time_s: float
    amplitude_max: float
    n_assumed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTruth:
    """What the simulated device itself wrote down of the same time."""

    pulses: int
    on_time_s: float
    amplitude_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The distribution of one stage, never its mean; NaN where `n` is 0. `text`: what the stage is."""

    stage: str
    n: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseLine:
    """One budget of the session: confirmed by the device, permitted, and reserved (which counts as spent)."""

    name: str
    unit: str
    budget: float
    confirmed: float
    permitted: float
    reserved: float

    @property
    def share(self) -> float:
        """What counts as spent, as a share of the budget; NaN without a budget."""
        return self.reserved / self.budget if self.budget > 0 else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitLine:
    """One effective limit, and which layer set it."""

    quantity: str
    unit: str
    low: float
    high: float
    set_by: str
    source: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BiomarkerLine:
    """One biomarker over the session. `nan_reasons`: share of all readings by reason; `thresholds` by name."""

    name: str
    unit: str
    n: int
    median: float
    p05: float
    p95: float
    nan_share: float
    nan_reasons: Mapping[str, float]
    thresholds: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """What can be said of ledger.jsonl; `found` is false where it cannot be read at all. `problems` speak against the
    file, `objections` against a decision of the interlock, `strays` against the device: there the interlock tripped."""

    found: bool
    ok: bool
    entries: int
    head: str
    chain: bool
    execution: str
    closed: bool
    torn: bool
    problems: tuple[str, ...]
    objections: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """What ran, under what; empty where it is not known."""

    software: str
    nociloop: str
    python: str
    session: str
    limits: str
    limits_serial: int
    limits_signed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One run. `simulated` and `shadow` are None where nothing says so; `notes`: what is missing, torn or at odds."""

    run_dir: str
    session_id: str
    title: str
    participant: str
    modality: str
    started_utc: str
    duration_s: float
    armed_s: float
    armed_by: str
    simulated: bool | None
    shadow: bool | None
    device: str
    exit_status: int | None
    source: str
    asked: Asked
    refusals: tuple[Refused, ...]
    trips: tuple[Tripped, ...]
    delivered: Delivered
    device_truth: DeviceTruth | None
    latency: tuple[Spread, ...]
    skipped_hops: int
    drops: Mapping[str, int]
    amplitude_limit: LimitLine | None
    dose: tuple[DoseLine, ...]
    biomarkers: tuple[BiomarkerLine, ...]
    ledger: LedgerLine
    phases: tuple[PhaseSpan, ...]
    limits: tuple[LimitLine, ...]
    digests: Digests
    notes: tuple[str, ...]
    schema: int = field(default=SCHEMA)

    @property
    def unit(self) -> str:
        """The unit of every amplitude here."""
        return AMPLITUDE_UNIT.get(self.modality, "")

    @property
    def banner(self) -> str:
        """Which device this was, in capitals, and never a guess."""
        known = {True: "SIMULATED DEVICE", False: "REAL DEVICE", None: "DEVICE UNKNOWN: treat as real"}
        text = known[self.simulated]
        return f"{text} · SHADOW: nothing was sent to a stimulator" if self.shadow else text

    @property
    def exit_text(self) -> str:
        """The exit status and what it means."""
        if self.exit_status is None:
            return "not recorded: the session did not end in order"
        return f"{self.exit_status} ({EXIT_TEXT.get(self.exit_status, 'unknown')})"
