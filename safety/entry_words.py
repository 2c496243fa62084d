"""One ledger entry in words: its line for people, its kinds, codes and persons. Pure; nothing here raises on odd content."""

from __future__ import annotations

import re

import msgspec

from drivers.link import CallFailed, Delivered, Done, Fired, Opened, Prepared, Status
from drivers.stimulation import Delivery, Train, quantities
from safety.entries import Close, Entry, Genesis, reserved_words
from safety.events import (
    ActPresented,
    Asked,
    BadFrame,
    EndAsked,
    Event,
    FireAsked,
    Gone,
    HostGone,
    HostSaid,
    Joined,
    LedgerTrouble,
    PauseAsked,
    RelayGone,
    RelaySaid,
    StopPressed,
)
from safety.messages import Reason
from safety.signature import said_of
from safety.store_records import Settled

SPAN_NS_MAX = 2**62  # beyond it lies no time of a device, and soon no float
_DECIMAL = re.compile(r"\b\d{1,17}\.\d{1,20}(?:e[+-]?\d{1,2})?\b")
_CODE = re.compile(r"ILK-\d{3}")
NS_DIGITS_MAX = 19  # of a clock's nanoseconds
ID_DIGITS_MAX = 20  # of a request's number
_reasons = msgspec.json.Decoder(tuple[Reason, ...])
_settled = msgspec.json.Decoder(Settled)


def plain(text: str) -> str:
    """Text of anybody on one line: a control character is shown as its escape, never sent to a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def words_of(held: Genesis | Entry | Close, at_s: float) -> str:
    """The line of an entry: sequence, seconds since the first, state, what happened, what was done."""
    head = f"{held.seq:6d} {at_s:9.3f} s"
    if isinstance(held, Genesis):
        rules = held.rules
        limits = f"limits {rules.limits.digest[:12]} serial {rules.limits.serial}, {said_of(rules.signed)}"
        return plain(f"{head}  opened {held.utc} session {rules.session_id}, {limits}")
    if isinstance(held, Close):
        return f"{head}  closed, status {held.status}"
    state = held.before if held.before == held.after else f"{held.before} -> {held.after}"
    counts = () if held.fold is None else msgspec.structs.astuple(held.fold.counts)
    folded = f" (+{sum(counts)} folded)" if held.fold is not None else ""
    effects = "; ".join(effect_words(each, held.now.mono_ns) for each in held.effects) or "-"
    return plain(f"{head}  {state}  {event_words(held.event)}{folded}  => {effects}")


def kinds_of(held: Genesis | Entry | Close) -> frozenset[str]:
    """What an entry is, for whoever filters: by its event, by what was done, and `phase` where the state changed."""
    if not isinstance(held, Entry):
        return frozenset({"opened" if isinstance(held, Genesis) else "closed", "phase"})
    found = {_KIND_OF_EVENT.get(type(held.event), "")}
    if isinstance(held.event, HostSaid) and isinstance(held.event.message, Delivered):
        found.add("delivery")
    for effect in held.effects:
        word, _, rest = effect.partition(" ")
        if word in ("permit", "refusal", "trip"):
            found.add(word)
        if rest.startswith("StopDevice"):
            found.add("stop")
    if held.before != held.after:
        found.add("phase")
    return frozenset(found - {""})


def codes_of(held: Genesis | Entry | Close) -> frozenset[str]:
    """Every code in what was done."""
    if not isinstance(held, Entry):
        return frozenset()
    return frozenset(code for effect in held.effects for code in _CODE.findall(effect))


def persons_of(held: Genesis | Entry | Close) -> frozenset[str]:
    """The persons whose act an entry is; of the first line, those who are named in the limits, and who signed them."""
    if isinstance(held, Genesis):
        signed = held.rules.signed
        named = (person.name for person in held.rules.limits.people)
        return frozenset((*named, *(() if signed is None else (signed.by,))))
    if isinstance(held, Entry) and isinstance(held.event, ActPresented):
        return frozenset({held.event.act.person})
    return frozenset()


_KIND_OF_EVENT: dict[type, str] = {
    Asked: "request",
    FireAsked: "request",
    ActPresented: "act",
    StopPressed: "stop",
    HostSaid: "device",
    HostGone: "trouble",
    Gone: "trouble",
    RelayGone: "trouble",
    LedgerTrouble: "trouble",
    BadFrame: "trouble",
}


def effect_words(effect: str, now_ns: int | None = None) -> str:
    """An effect as it stands; a refusal with each limit, the value and by how much it went beyond; a permit with the time
    that it lasts from `now_ns`, where that is known; what a session leaves in the store by its sums."""
    word, _, rest = effect.partition(" ")
    if word == "permit" and now_ns is not None:
        return _permit_words(effect, now_ns)
    if word == "store":
        return _store_words(effect)
    number = rest.partition(" ")[0]
    reasons = reasons_of(effect) if word == "refusal" else ()
    if not reasons:
        return effect
    return f"refusal {number} [{' | '.join(map(reason_words, reasons))}]"


def permitted_id(effect: str) -> int | None:
    """The request that an effect permits; None where it permits none."""
    match effect.split(maxsplit=2):
        case ["permit", number, *_] if number.isdecimal() and len(number) <= ID_DIGITS_MAX:
            return int(number)
        case _:
            return None


def _permit_words(effect: str, now_ns: int) -> str:
    match effect.split():
        case ["permit", number, "until", until] if until.isdecimal() and len(until) <= NS_DIGITS_MAX:
            return f"permit {number} for {(int(until) - now_ns) / 1e6:.0f} ms at most"
        case _:
            return effect


def _store_words(effect: str) -> str:
    try:
        settled = _settled.decode(effect.removeprefix("store "))
    except (ValueError, TypeError, RecursionError):
        return _DECIMAL.sub(lambda found: f"{float(found[0]):g}", effect)  # the ledger itself has every digit
    confirmed, beyond = reserved_words(settled.confirmed), reserved_words(settled.outstanding)
    said = f"store settled: confirmed {confirmed or 'nothing'}, permitted beyond it {beyond or 'nothing'}"
    return _DECIMAL.sub(lambda found: f"{float(found[0]):g}", said)


def reasons_of(effect: str) -> tuple[Reason, ...]:
    """The reasons of a refusal as an effect holds them; empty for anything else."""
    word, _, rest = effect.partition(" ")
    try:
        return _reasons.decode(rest.partition(" ")[2]) if word == "refusal" else ()
    except (ValueError, TypeError, RecursionError):
        return ()


def reason_words(reason: Reason) -> str:
    """A reason, and where a limit refused: the value, the limit, the margin and whose limit it is."""
    if not reason.quantity:
        return f"{reason.code} {reason.text}"
    margin = abs(reason.value - reason.limit)
    over = "over" if reason.value > reason.limit else "under"
    by = f", set by {reason.set_by}" if reason.set_by else ""
    return (
        f"{reason.code} {reason.quantity} {reason.value:g}, limit {reason.limit:g}: {margin:g} {over}{by} "
        f"({reason.text})"
    )


def event_words(event: Event) -> str:
    """What happened."""
    match event:
        case Asked(request=request):
            return f"asked {request.id}: {train_words(request.train)}, response {request.response:g}"
        case FireAsked(request=request):
            return f"fire asked {request.id}"
        case HostSaid(message=Delivered(delivery=delivery)):
            return delivery_words(delivery)
        case HostSaid(message=Status(status=status)):
            fault = f", fault {status.fault}" if status.fault not in ("", "none") else ""
            return f"device is {status.state}, {status.amplitude:g} out{fault}"
        case HostSaid(message=CallFailed(call=call, code=code, text=text)):
            return f"device call {call} failed: {code} {text}"
        case HostSaid(message=Prepared(call=call, token=token, read_back=train)):
            return f"device prepared call {call} as token {token}, holds {train_words(train)}"
        case HostSaid(message=Fired(call=call, token=token)):
            return f"device fired call {call}, token {token}"
        case HostSaid(message=Opened(capabilities=caps)):
            return f"device opened: {caps.model}, serial {caps.serial}, firmware {caps.firmware}, driver {caps.driver}"
        case HostSaid(message=Done(call=call)):
            return f"device did call {call}"
        case ActPresented(act=act, uid=uid):
            return f"act {act.act} by {act.person} (account {uid}): {act.reason}"
        case StopPressed(source=source):
            return f"STOP from {source}"
        case Joined(hello=hello):
            return f"controller joined: {hello.software}, stream {hello.stream_uid}"
        case Gone(why=why) | HostGone(why=why) | RelayGone(why=why):
            return f"{type(event).__name__}: {why}"
        case RelaySaid(closed=closed):
            return f"relay says {'closed' if closed else 'open'}"
        case PauseAsked(pause=said) | EndAsked(end=said):
            return f"{type(said).__name__.lower()} asked: {said.reason}"
        case BadFrame(source=source, text=text):
            return f"bad frame from {source}: {text}"
        case LedgerTrouble(kind=kind, text=text):
            return f"ledger {kind}: {text}"
        case _:
            return type(event).__name__.lower()


def delivery_words(delivery: Delivery) -> str:
    """A slice of output as the device told it."""
    pulses = f", {delivery.n_pulses} pulses" if delivery.n_pulses else ""
    span_ns = delivery.end_ns - delivery.start_ns
    span = f"{span_ns / 1e6:g} ms" if abs(span_ns) <= SPAN_NS_MAX else "a time that cannot be"
    return (
        f"delivered by token {delivery.token}: {delivery.amplitude:g} for {span}{pulses}"
        f"{', ended' if delivery.ended else ''}{'' if delivery.confirmed else ', ASSUMED'}"
    )


def train_words(train: Train) -> str:
    """A train by the numbers that limits speak of."""
    numbers = ", ".join(f"{name} {_number(value)}" for name, value in quantities(train).items())
    return f"{train.modality} {numbers}"


def _number(value: float) -> str:
    """A number as a person reads it; an integer may be beyond all floats."""
    try:
        return f"{value:g}"
    except OverflowError:
        return "too large"
