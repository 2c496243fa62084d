"""The numbers that all implanted electrodes share: lease, ramps, impedance, Shannon, balance, leakage, budgets."""

from __future__ import annotations

from safety.limit_values import Status
from safety.modalities.quantities import Declared, DeclaredBudget, DeclaredSpacing, Down, Formula, Sides
from safety.modalities.rules import DeclaredInput
from safety.modalities.washout import WASHOUT

OWN = "own choice: "
BOSTON = "Boston Scientific, Vercise DBS programming manual 91053785"


def asked(
    name: str,
    unit: str,
    low: float,
    high: float,
    source: str,
    edition: str,
    status: Status,
    *,
    sides: Sides = "both",
    integer: bool = False,
    down: Down = "same",
) -> Declared:
    """A quantity that stands in the train."""
    return Declared(
        name=name,
        unit=unit,
        low=low,
        high=high,
        sides=sides,
        integer=integer,
        asked=True,
        down=down,
        source=source,
        edition=edition,
        status=status,
    )


def computed(
    name: str,
    unit: str,
    low: float,
    high: float,
    source: str,
    edition: str,
    status: Status,
    *,
    sides: Sides = "max",
) -> Declared:
    """A quantity that follows from the train, the contacts and the device."""
    return Declared(
        name=name,
        unit=unit,
        low=low,
        high=high,
        sides=sides,
        integer=False,
        asked=False,
        down="less",
        source=source,
        edition=edition,
        status=status,
    )


def amplitude(high_ma: float, source: str, edition: str, status: Status) -> Declared:
    """Of the first phase; the second is held to the same rows."""
    return asked("amplitude_ma", "mA", 0.0, high_ma, source, edition, status, sides="max", down="less")


def widths(low_us: float, high_us: float, source: str, edition: str, status: Status) -> tuple[Declared, ...]:
    """Of the first phase, of the gap, and of the second phase, which may be eight times as long as the first."""
    return (
        asked("width_us", "us", low_us, high_us, source, edition, status),
        asked(
            "gap_us",
            "us",
            0.0,
            200.0,
            OWN + "a short pause between the phases",
            "1",
            "unverified",
            sides="max",
        ),
        asked(
            "second_width_us",
            "us",
            low_us,
            8 * high_us,
            OWN + "from the least width up to eight times the greatest, the usual asymmetry",
            "1",
            "unverified",
        ),
    )


def rates(
    low_hz: float, high_hz: float, in_burst_hz: float, source: str, edition: str, status: Status
) -> tuple[Declared, ...]:
    """Of pulses or bursts, how many pulses a burst has, and of pulses inside it: never denser than single pulses."""
    return (
        asked("rate_hz", "Hz", low_hz, high_hz, source, edition, status),
        asked(
            "pulses_per_burst",
            "pulses",
            1,
            10,
            OWN + "a burst is sparser than single pulses at the rate inside it, which has its own row",
            "1",
            "unverified",
            sides="max",
            integer=True,
        ),
        asked("rate_in_burst_hz", "Hz", low_hz, in_burst_hz, source, edition, status),
    )


RAMP_UP = asked(
    "ramp_up_ms",
    "ms",
    1000,
    10_000,
    f"{BOSTON}: ramps of 1 to 10 s; always longer than any ramp down",
    "91053785",
    "verified",
    integer=True,
)
RAMP_DOWN = asked(
    "ramp_down_ms",
    "ms",
    10,
    500,
    OWN + "a stop must reach zero soon; down is always faster than up",
    "1",
    "unverified",
    integer=True,
)
DURATION = asked(
    "duration_ms",
    "ms",
    10,
    500,
    OWN + "the longest lease of a hold, after which output ends by itself",
    "1",
    "verified",
    sides="max",
    integer=True,
    down="less",
)
CONTACT_IMPEDANCE = computed(
    "impedance_kohm",
    "kohm",
    0.1,
    10.0,
    OWN + "below it contacts are shorted, above it one is open",
    "1",
    "unverified",
    sides="both",
)
CHARGE_DENSITY = computed(
    "density_uc_cm2",
    "uC/cm2 per phase",
    0.0,
    30.0,
    f"{BOSTON}: warning at 30 uC/cm2 per phase; here it refuses",
    "91053785",
    "verified",
)
SHANNON = computed(
    "shannon_k",
    "log10(uC2/cm2)",
    -10.0,
    1.84,
    "Shannon 1992: the least k with damage is 1.85; below it, in hundredths rounded up",
    "1992, as told in the article Shannon criteria",
    "verified",
)
IMBALANCE = computed(
    "imbalance_pct",
    "% of the charge of a phase",
    0.0,
    1.0,
    OWN + "how far the second phase may be off by the device's step of amplitude; van Dongen 2015 asks for 0",
    "1",
    "unverified",
)
DIRECT_CURRENT = computed(
    "dc_na",
    "nA per contact",
    0.0,
    99.9,
    "leakage below 100 nA per contact; with the charge that an unequal second phase leaves",
    "from memory",
    "unverified",
)
SHARED = (CONTACT_IMPEDANCE, CHARGE_DENSITY, SHANNON, IMBALANCE, DIRECT_CURRENT)

FORMULAS = (
    Formula(
        name="shannon_1992",
        source="Shannon 1992, IEEE Trans Biomed Eng 39:424: Q x D = 10^k",
        edition="1992",
        status="verified",
    ),
    Formula(
        name="charge_balance",
        source="van Dongen and Serdijn 2015, PMC4779461: net charge 0 per period, and a passive recharge",
        edition="2015",
        status="verified",
    ),
)

# Of the device: what leaks at its greatest output, and how long it shorts its contacts after the second phase.
INPUTS = (
    DeclaredInput(name="leakage_na", unit="nA", low=0.0, high=100.0, dated="leakage_measured_on"),
    DeclaredInput(name="recharge_us", unit="us", low=1.0, high=5000.0),
)


def contact_current(high_ma: float, source: str, edition: str, status: Status) -> Declared:
    """Of the contact that carries most; the case, which only takes currents back, is held by the total."""
    return computed("contact_ma", "mA per contact", 0.0, high_ma, source, edition, status)


def total_current(high_ma: float, source: str, edition: str, status: Status) -> Declared:
    """Of all contacts one way."""
    return computed("total_ma", "mA over all contacts", 0.0, high_ma, source, edition, status)


def charge(high_uc: float, source: str) -> Declared:
    """Of a phase, whatever the area: holds where an area was entered too large."""
    return computed("charge_uc", "uC per phase", 0.0, high_uc, OWN + source, "1", "unverified")


def slew(high_ma_per_s: float) -> Declared:
    """How fast the amplitude may rise; down needs no limit."""
    return computed(
        "slew_ma_per_s",
        "mA/s",
        0.0,
        high_ma_per_s,
        OWN
        + "a rise that a person can report before it is at its end; PMC9097241: the ramp is a limit of its own",
        "1",
        "unverified",
    )


def budgets(
    charge_c: float, of_charge: str, day_s: float, week_s: float, of_day: str, status: Status
) -> tuple[DeclaredBudget, ...]:
    """Of a session no more time than Shannon's data are of; where its charge, and the time of a day and week, are from."""
    return (
        DeclaredBudget(
            name="on_time_s",
            scope="session",
            unit="s",
            high=25_200.0,
            integer=False,
            source="Shannon 1992: the data are of 7 h of stimulation, and exposure is not in the relation",
            edition="1992, as told in the article Shannon criteria",
            status="verified",
        ),
        DeclaredBudget(
            name="charge_c",
            scope="session",
            unit="C of first phases",
            high=charge_c,
            integer=False,
            source=OWN + of_charge,
            edition="1",
            status="unverified",
        ),
        DeclaredBudget(
            name="on_time_s",
            scope="24h",
            unit="s",
            high=day_s,
            integer=False,
            source=of_day,
            edition="1",
            status=status,
        ),
        DeclaredBudget(
            name="on_time_s",
            scope="7d",
            unit="s",
            high=week_s,
            integer=False,
            source=of_day,
            edition="1",
            status=status,
        ),
        DeclaredBudget(
            name="n_sessions",
            scope="24h",
            unit="sessions",
            high=8.0,
            integer=True,
            source=OWN + "a session is a visit, not a minute",
            edition="1",
            status="unverified",
        ),
    )


SPACING = (
    DeclaredSpacing(
        name="gap_s",
        low=300.0,
        source=OWN + "a session that goes on under another name is one session",
        edition="1",
        status="unverified",
    ),
    WASHOUT,
)
