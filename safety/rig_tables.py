"""The tables of limits.toml that are the same for every modality: device, relay, people, watch, response."""

from __future__ import annotations

import ipaddress
import re

from safety.limit_values import AllowedDevice, Direction, Person, RelayLink, ResponseLimits, Role, Watch
from safety.strict_table import Table

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
LOWER_NAME = re.compile(r"[a-z0-9_-]{1,32}")  # names a directory of sockets, whose paths hold 107 bytes
VERSION = re.compile(r"[A-Za-z0-9.!+_-]{1,64}")
DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
IDENTITY = re.compile(r"[\x21-\x7e]{1,64}")
PUBLIC_KEY = re.compile(r"[0-9a-f]{64}")
SALT = re.compile(r"[0-9a-f]{32}")
_TCP = re.compile(r"tcp:(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[1-9][0-9]{0,4})")
_SERIAL = re.compile(r"serial:(?P<path>/[A-Za-z0-9/_.:+-]{1,200})@(?P<baud>[1-9][0-9]{2,6})")
_UNIX = re.compile(r"unix:/[A-Za-z0-9/_.+-]{1,106}")  # sun_path holds 108 bytes with its end
_PTY = re.compile(r"/dev/pts/[0-9]+")
ENDPOINT_EXPECTED = (
    '"tcp:127.0.0.1:4000", "serial:/dev/ttyACM0@115200" or, for the null driver and no other, "none"'
)
ROLES: tuple[Role, ...] = ("operator", "officer")

# y of the points of small order on the curve of Ed25519, canonical and not, sign bit cleared: under such a "public
# key" anyone can make a signature (Chalkias, Garillot, Nikolaenko 2020, "Taming the many EdDSAs"; recomputed in the
# tests). A file that names one would let everybody arm.
WEAK_PUBLIC_KEYS = frozenset(
    {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    }
)


def is_weak(public_key: str) -> bool:
    """Whether a key of 64 hex digits stands for a point of small order, whatever its sign bit."""
    raw = bytes.fromhex(public_key)
    return bytes([*raw[:31], raw[31] % 128]).hex() in WEAK_PUBLIC_KEYS


def is_simulated(endpoint: str) -> bool:
    """Whether an endpoint's name can only lead to this machine's own simulation: none, loopback, pty."""
    if endpoint == "none":
        return True
    if tcp := _TCP.fullmatch(endpoint):
        try:
            return ipaddress.ip_address(tcp["host"].strip("[]")).is_loopback
        except ValueError:
            return False  # a host's name may lead anywhere tomorrow
    serial = _SERIAL.fullmatch(endpoint)
    return serial is not None and _PTY.fullmatch(serial["path"]) is not None


def read_device(table: Table) -> AllowedDevice:
    """[device]: which driver of which package, where, and which specimen."""
    driver = table.text("driver", "a driver's name from a-z 0-9 _ -", LOWER_NAME)
    endpoint = table.text("endpoint", ENDPOINT_EXPECTED)
    if endpoint and not (_is_endpoint(endpoint) and (endpoint == "none") == (driver == "null")):
        table.refuse("endpoint", ENDPOINT_EXPECTED)
    simulated = is_simulated(endpoint)
    identity = table.text("identity", "the device's serial number, 1 to 64 printable characters", IDENTITY)
    _one_of_a_kind(table, "identity", identity, "the serial number of this device", simulated=simulated)
    distribution = table.text("distribution", "the package that holds the driver", DISTRIBUTION)
    version = table.text(
        "version", "the version of that package, as `nociloop drivers list` says it", VERSION
    )
    _one_of_a_kind(table, "version", version, "the version that was tried", simulated=simulated)
    table.close()
    return AllowedDevice(
        driver=driver,
        distribution=distribution,
        version=version,
        endpoint=endpoint,
        identity=identity,
        simulated=simulated,
    )


def _one_of_a_kind(table: Table, key: str, found: str, expected: str, *, simulated: bool) -> None:
    if found == "any" and not simulated:
        table.refuse(key, f'{expected} ("any" is for simulated endpoints)')


def read_relay(table: Table, device: AllowedDevice) -> RelayLink:
    """[relay]: the second way to zero; only what puts nothing out may do without."""
    endpoint = table.text("endpoint")
    if endpoint == "none" and device.driver != "null":
        table.refuse("endpoint", '"unix:/path/of/socket" ("none" is for the null driver)')
    elif endpoint and endpoint != "none" and not _UNIX.fullmatch(endpoint):
        table.refuse("endpoint", '"unix:/path/of/socket", an absolute path of at most 107 bytes')
    silence_ms = table.integer("silence_ms", 50, 150, "ms: silence of the interlock at which it opens")
    table.close()
    return RelayLink(endpoint=endpoint, silence_ms=silence_ms)


def read_people(table: Table) -> tuple[Person, ...]:
    """[people.NAME]: at least one operator, no key twice, no key that anyone could sign for."""
    people: list[Person] = []
    for name in table.keys:
        person = table.table(name, "a table with role, public_key and salt")
        if not NAME.fullmatch(name):
            table.refuse(name, "a person's name from A-Z a-z 0-9 _ -, at most 64")
        role = person.word("role", ROLES)
        public_key = person.text("public_key", "64 hex digits, lower case (Ed25519)", PUBLIC_KEY)
        if public_key and is_weak(public_key):
            person.refuse(
                "public_key", "a key made by `nociloop limits keygen`; this one anybody can sign for"
            )
        if public_key and any(public_key == other.public_key for other in people):
            person.refuse("public_key", "a key of this person alone; another person has the same")
        salt = person.text("salt", "32 hex digits, lower case", SALT)
        person.close()
        people.append(Person(name=name, role=role, public_key=public_key, salt=salt))
    if not any(person.role == "operator" for person in people):
        table.refuse_all("no operator", 'at least one person whose role is "operator"')
    return tuple(people)


def read_watch(table: Table) -> Watch:
    """[watch]: each watchdog within its range.

    The ranges are own choices: none so wide that the promised times to zero could not be kept, none so narrow
    that an ordinary tick would trip it.
    """
    watch = Watch(
        data_age_ms=table.integer(
            "data_age_ms", 20, 1000, "ms: age of the newest sample that stops the output"
        ),
        heartbeat_ms=table.integer("heartbeat_ms", 20, 200, "ms: silence of the controller that trips"),
        host_ms=table.integer("host_ms", 20, 200, "ms: silence of the device host that trips"),
        clean_fraction_min=table.number("clean_fraction_min", 0.5, 1.0, "of the channels"),
        rate_tolerance_pct=table.number(
            "rate_tolerance_pct", 0.1, 20.0, "% of the sampling rate, either way"
        ),
        lapses_max=table.integer("lapses_max", 1, 3, "lapses within 60 s"),
        off_min_ms=table.integer("off_min_ms", 100, 60_000, "ms without output after a lapse"),
    )
    table.close()
    return watch


def read_response(table: Table) -> ResponseLimits:
    """[response]: which sign the response must have. The ranges are own choices: no source has numbers for them."""
    known: tuple[Direction, ...] = ("falls", "rises")
    refuse = table.integer("windows_refuse", 1, 100, "windows of the wrong sign: no increase from then on")
    response = ResponseLimits(
        expected=table.word("expected", known),
        dead_band=table.number("dead_band", 0.0, 1e6, "in the unit of the biomarker that the policy acts on"),
        window_ms=table.integer(
            "window_ms", 1000, 600_000, "ms: longer than a pulse train and its interval together"
        ),
        windows_refuse=refuse,
        windows_trip=table.integer(
            "windows_trip", refuse + 1, 200, "windows of the wrong sign, more than windows_refuse: it trips"
        ),
    )
    table.close()
    return response


def _is_endpoint(text: str) -> bool:
    if tcp := _TCP.fullmatch(text):
        return int(tcp["port"]) <= 65_535
    return text == "none" or _SERIAL.fullmatch(text) is not None
