"""Every Permissive, Refusal, Trip: code, operator's text, remedy, ramp or cut.

A code is never reused for another meaning. 0xx are a person's acts, 1xx refusals by a limit (`modalities/reasons.py`),
2xx trips, 3xx refusals by the state of things, 4xx permissives that are missing.
"""

from __future__ import annotations

from typing import Literal

from drivers.stimulation import Value

How = Literal["ramp", "cut"]


class TripKind(Value, frozen=True):
    """One way to latch to safe. `cut` only where a ramp cannot be trusted to happen."""

    code: str
    text: str
    remedy: str
    how: How


def _trip(code: str, how: How, text: str, remedy: str) -> TripKind:
    return TripKind(code=code, how=how, text=text, remedy=remedy)


STOP = _trip("ILK-001", "ramp", "STOP was pressed", "find out why; a named person resets")
STOP_AGAIN = _trip(
    "ILK-002", "cut", "STOP was pressed again before output was zero", "find out why; a named person resets"
)
SIGNALLED = _trip(
    "ILK-003", "ramp", "the interlock was told to end while armed", "find out why; a named person resets"
)
UNFINISHED = _trip(
    "ILK-004",
    "cut",
    "the last session was armed and had no orderly end",
    "find out why; look at the device; a named person resets",
)

HEARTBEAT = _trip(
    "ILK-201",
    "ramp",
    "the controller's heartbeat stopped",
    "look at the controller's CPU load and its last lines",
)
CONTROLLER_GONE = _trip(
    "ILK-202", "ramp", "the controller's connection closed", "look at why the controller ended"
)
EEG_STALE = _trip(
    "ILK-203", "ramp", "the newest EEG sample is too old", "check amplifier, cable and radio link"
)
EEG_FUTURE = _trip("ILK-204", "ramp", "EEG stamps lie in the future", "check the clock of the LSL sender")
EEG_FROZEN = _trip(
    "ILK-205", "ramp", "EEG repeats itself", "check the amplifier; it sends the same block again"
)
EEG_RATE = _trip(
    "ILK-206", "ramp", "EEG samples do not come at the declared rate", "check the stream's nominal rate"
)
EEG_CHANGED = _trip(
    "ILK-207",
    "ramp",
    "another stream took the place of the first",
    "leave one stream of that name on the network",
)
EEG_UNCLEAN = _trip("ILK-208", "ramp", "too few EEG channels are clean", "check electrodes and reference")
HOST_SILENT = _trip(
    "ILK-211", "cut", "the device host does not answer in time", "check the driver and its device"
)
HOST_GONE = _trip(
    "ILK-212",
    "cut",
    "the device host ended",
    "check the driver; its last line: RUN_DIR/interlock.err, or where the interlock's own errors go",
)
DEVICE_FAILED = _trip(
    "ILK-213",
    "cut",
    "the device reported a failure",
    "check the device; the driver's line: `nociloop ledger show RUN_DIR --kind device`",
)
READ_BACK = _trip("ILK-214", "cut", "the device holds other settings than were permitted", "check the driver")
OVER_DELIVERY = _trip(
    "ILK-215", "cut", "the device delivered more than was permitted", "take the device out of use"
)
UNASKED = _trip("ILK-216", "cut", "the device delivered what nobody permitted", "take the device out of use")
NOT_ENDED = _trip("ILK-217", "cut", "output went on after its lease", "take the device out of use")
DEVICE_STATE = _trip(
    "ILK-218", "cut", "the device left the armed state by itself", "check link, fault and enable input"
)
RELAY_SILENT = _trip("ILK-221", "cut", "the watchdog relay does not answer", "check the relay and its line")
RELAY_OPEN = _trip("ILK-222", "cut", "the watchdog relay opened", "check the relay and its line")
LEDGER_LATE = _trip("ILK-231", "ramp", "the ledger was not durable in time", "check the disk's load")
LEDGER_FAILED = _trip(
    "ILK-232", "ramp", "the ledger could not be written", "check the disk; nothing runs unrecorded"
)
DISK_LOW = _trip(
    "ILK-233", "ramp", "too little disk space for the ledger", "free space on the disk of the run folder"
)
LIMITS_CHANGED = _trip(
    "ILK-234", "ramp", "the limits file changed during the session", "end, check the file, start again"
)
LATE = _trip("ILK-241", "ramp", "the interlock itself was late", "check the machine's load")
SUSPENDED = _trip("ILK-242", "cut", "the machine was suspended", "switch suspend off on this machine")
WALL_CLOCK = _trip("ILK-243", "ramp", "the wall clock jumped", "check time synchronisation")
LAPSES = _trip("ILK-251", "ramp", "the hold lapsed too often", "check the controller's load")
RESPONSE = _trip(
    "ILK-252",
    "ramp",
    "the response to stimulation has the wrong sign",
    "see how the participant is; ask the responsible person before stimulating again",
)
FRAMES = _trip("ILK-261", "ramp", "the controller sent frames that cannot be read", "check its version")
ARMING_EXPIRED = _trip("ILK-271", "ramp", "the arming expired", "a named person arms again, in a new session")

TRIPS: tuple[TripKind, ...] = (
    STOP, STOP_AGAIN, SIGNALLED, UNFINISHED, HEARTBEAT, CONTROLLER_GONE, EEG_STALE, EEG_FUTURE, EEG_FROZEN,
    EEG_RATE, EEG_CHANGED, EEG_UNCLEAN, HOST_SILENT, HOST_GONE, DEVICE_FAILED, READ_BACK, OVER_DELIVERY,
    UNASKED, NOT_ENDED, DEVICE_STATE, RELAY_SILENT, RELAY_OPEN, LEDGER_LATE, LEDGER_FAILED, DISK_LOW,
    LIMITS_CHANGED, LATE, SUSPENDED, WALL_CLOCK, LAPSES, RESPONSE, FRAMES, ARMING_EXPIRED,
)  # fmt: skip
BY_CODE = {kind.code: kind for kind in TRIPS}

REFUSALS: dict[str, tuple[str, str]] = {
    "ILK-301": ("not armed", "a named person arms first"),
    "ILK-302": ("another request is under way", "wait for its verdict"),
    "ILK-303": ("a pulse train is running", "wait for its end"),
    "ILK-304": ("the interval since the last train is not over", "wait until `not_before_ns`"),
    "ILK-305": ("the off-time after a lapse is not over", "wait until `not_before_ns`"),
    "ILK-306": ("an increase needs fresh good evidence", "improve the EEG; going down stays possible"),
    "ILK-308": ("a budget would be exceeded", "end the session, or stay at zero"),
    "ILK-309": ("nothing is prepared under this id", "request it first"),
    "ILK-310": ("the onset lies in the past or too far ahead", "ask with an onset within one second"),
    "ILK-311": ("the ledger was not durable in time", "ask again"),
    "ILK-312": ("the id does not rise", "use a new id for each request"),
    "ILK-313": (
        "the response is no number of a biomarker",
        "send the biomarker value that the request acts on",
    ),
    "ILK-314": (
        "the response has the wrong sign: no increase",
        "step down, or rest; going down stays possible",
    ),
    "ILK-315": (
        "the gap since the last session is not over",
        "wait until `nociloop check` says that the next session may begin",
    ),
    "ILK-316": (
        "the wash-out after another modality is not over",
        "wait until `nociloop check` says that the next session may begin",
    ),
    "ILK-317": ("too many sessions in the window", "wait until one of them has left it"),
    "ILK-318": ("too many days with output in a row", "leave a day without output"),
    "ILK-319": (
        "a hold would change more than its amplitude while output is on",
        "go down to zero, then ask for other outputs or other pulses",
    ),
    "ILK-321": ("one controller per session, ever", "start a new session"),
    "ILK-322": ("the hello does not fit this session", "compare session, modality and protocol"),
    "ILK-331": ("the person is not named in the limits", "name the person in limits.toml"),
    "ILK-332": ("the signature does not fit", "check the pass-phrase"),
    "ILK-333": (
        "the act is for another session or nonce, or expired",
        "call the command again: it signs for the session that runs now",
    ),
    "ILK-334": (
        "this act does not fit the present state",
        "an arming needs READY, a reset TRIPPED: `nociloop ledger show RUN_DIR --kind phase --last 1`",
    ),
    "ILK-335": ("the relay failed its proof test", "check the relay, its contact and its feedback"),
    "ILK-336": (
        "the device did not arm",
        "check the device; the driver's line: `nociloop ledger show RUN_DIR --kind device`",
    ),
    "ILK-337": (
        "the machine was suspended, or its wall clock was set, since the start",
        "end this session and start a new one",
    ),
    "ILK-338": ("an arming ends within 25 h", "sign for as long as somebody stays beside the rig"),
}

PERMISSIVES: dict[str, tuple[str, str]] = {
    "ILK-401": ("no controller", "start `nociloop run`"),
    "ILK-402": (
        "the device is not open, or not the one of the limits",
        "check [device] in limits.toml: driver, distribution, version, endpoint, identity",
    ),
    "ILK-403": (
        "too little disk space for the ledger",
        "free space on the disk of the run folder, then start again",
    ),
    "ILK-404": ("the limits are not valid today", "ask the responsible person for a new file"),
    "ILK-405": (
        "the limits file changed since the start",
        "check the file, then start again",
    ),
    "ILK-407": ("the relay is not connected", "check [relay] endpoint"),
    "ILK-409": (
        "unverified or unsigned limits run only simulated endpoints",
        "have the rows verified and the file signed",
    ),
    "ILK-410": ("a fact of today is missing", "write it into [inputs] of limits.toml"),
    "ILK-411": (
        "the wall clock is earlier than the participant's last record",
        "set the clock of this machine",
    ),
    "ILK-412": (
        "the wall clock was set since the participant's last record, without a restart",
        "set it right; then a named person: `nociloop participant confirm-date`",
    ),
    "ILK-413": (
        "nobody has confirmed the date since this machine started",
        "compare it with another clock; then a named person: `nociloop participant confirm-date`",
    ),
    "ILK-421": (
        "the device does not end a train by itself",
        "add a relay and shorten the leases, or use another device",
    ),
    "ILK-422": ("the device does not stop when its link is lost", "add a relay, or use another device"),
    "ILK-423": ("the device does not read its settings back", "add a relay, or use another device"),
    "ILK-424": (
        "the device does not confirm what it delivered",
        "add a relay and shorten the leases, or use another device",
    ),
    "ILK-425": ("the device measures no impedance", "use a device that does"),
    "ILK-426": ("the device's onset is too coarse", "use a device whose onset is known to 50 ms"),
}
