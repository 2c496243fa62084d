"""The LSL streams on the network: list them, choose one, hold it to what the session expects."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import pylsl

from controller.config import nearest, printable
from controller.eeg import StreamSpec
from controller.source import SourceConfig, SourceError
from controller.toml import toml_document

# µV per unit; the words that streams in the field use.
MICROVOLTS = {
    **dict.fromkeys(("microvolts", "microvolt", "uV", "µV", "μV", "uv", "muV"), 1.0),
    **dict.fromkeys(("nanovolts", "nV"), 1e-3),
    **dict.fromkeys(("millivolts", "mV"), 1e3),
    **dict.fromkeys(("volts", "volt", "V"), 1e6),
    # mne-lsl writes the power of ten of the SI unit, which for EEG is the volt.
    "-9": 1e-3,
    "-6": 1.0,
    "-3": 1e3,
    "0": 1e6,
}
FORMATS = ("float32", "double64", "int32", "int16", "int8")
RATE_TOLERANCE = 0.01  # own choice: the nominal rate is a label; what really comes is watched by its count
LIST_S = 1.0  # liblsl asks by multicast at once, and the known peers one by one after 0.5 s
BEAT_S = 0.25  # liblsl's queries come at multiples of this
XML_BYTES_MAX = 1_000_000  # own choice: 1024 channels with positions take some 300 kB


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRow:
    """One stream as it announces itself. `labels`, `types`, `units`: one a channel, "" where unsaid."""

    name: str
    type: str
    source_id: str
    uid: str
    hostname: str
    n_channels: int
    sfreq_hz: float
    format: str
    labels: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def __str__(self) -> str:
        ident = f"source_id {self.source_id!r}" if self.source_id else "no source_id"
        return (
            f"{self.name!r} ({self.type}, {self.n_channels} channels, {self.sfreq_hz:g} Hz, {ident}) "
            f"on {self.hostname}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a stream is read: which of its `n_channels`, in which order, and µV per unit of each."""

    spec: StreamSpec
    n_channels: int
    picks: tuple[int, ...]
    scale_uv: tuple[float, ...]


def stream_row(info: pylsl.StreamInfo) -> StreamRow:
    """What a StreamInfo says; labels, types and units only when it is a full one, read through an inlet."""
    channels = _channels(str(info.as_xml()))
    return StreamRow(
        name=str(info.name()),
        type=str(info.type()),
        source_id=str(info.source_id()),
        uid=str(info.uid()),
        hostname=str(info.hostname()),
        n_channels=int(info.channel_count()),
        sfreq_hz=float(info.nominal_srate()),
        format=str(pylsl.lib.fmt2string[info.channel_format()]),
        labels=tuple(channel.get("label", "") for channel in channels),
        types=tuple(channel.get("type", "") for channel in channels),
        units=tuple(channel.get("unit", "") for channel in channels),
    )


def _channels(xml: str) -> list[dict[str, str]]:
    """The channels of a description. It comes from the network: too long or broken, it says nothing."""
    if len(xml) > XML_BYTES_MAX:
        return []
    try:
        root = ET.fromstring(xml)
    except ET.ParseError:
        return []
    found = root.findall("./desc/channels/channel")
    return [{item.tag: (item.text or "").strip() for item in channel} for channel in found]


def list_streams(wait_s: float = LIST_S, *, full: bool = False) -> tuple[StreamRow, ...]:
    """All streams that answer within `wait_s`; with `full`, each one's labels and units as well."""
    infos = pylsl.resolve_streams(_off_beat(wait_s))
    rows = [_full_row(info) if full else stream_row(info) for info in infos]
    return tuple(sorted(rows, key=lambda row: (row.type != "EEG", row.name, row.hostname, row.uid)))


def _full_row(info: pylsl.StreamInfo) -> StreamRow:
    inlet = pylsl.StreamInlet(info, max_buflen=1, recover=False)
    try:
        return stream_row(inlet.info(timeout=1.0))
    except RuntimeError:  # gone, or it does not answer: what it announced is still worth listing
        return stream_row(info)


def resolve(config: SourceConfig) -> pylsl.StreamInfo:
    """A stream that fits all of source_id, name and type; SourceError when none is found in `resolve_s`."""
    named, predicate = _wanted(config)
    infos = pylsl.resolve_bypred(predicate, 1, _off_beat(config.resolve_s))
    if infos:
        return infos[0]
    rows = list_streams()
    there = "; ".join(str(row) for row in rows[:8]) or "none at all"
    raise SourceError(
        f"LSL: found no stream with {named} in {config.resolve_s:g} s; on the network: {there}; "
        "start the amplifier's LSL output, or correct [source] in session.toml "
        '("nociloop streams" prints the lines)'
    )


def refuse_doubles(config: SourceConfig) -> None:
    """SourceError when more than one stream fits: which one would be read would be chance. Takes `LIST_S`."""
    named, predicate = _wanted(config)
    infos = pylsl.resolve_bypred(predicate, 2, _off_beat(LIST_S))
    if len({str(info.uid()) for info in infos}) > 1:
        both = "; ".join(str(stream_row(info)) for info in infos[:8])
        raise SourceError(
            f"LSL: found {len(infos)} streams with {named}, expected one: {both}; "
            "stop the others, or name one by its source_id in [source] of session.toml"
        )


def _wanted(config: SourceConfig) -> tuple[str, str]:
    """What is looked for, in words and as a predicate of XPath 1.0."""
    wanted = {"source_id": config.source_id, "name": config.name, "type": config.type}
    given = {key: value for key, value in wanted.items() if value is not None}
    named = ", ".join(f"{key} {value!r}" for key, value in given.items())
    return named, " and ".join(f"{key}={_quoted(key, value)}" for key, value in given.items())


def _off_beat(wait_s: float) -> float:
    """A wait that does not end with one of liblsl's queries: 1.18 then waits 5 s more (seen at 0.5 s)."""
    late_s = wait_s % BEAT_S
    return wait_s + 0.1 if min(late_s, BEAT_S - late_s) < 0.05 else wait_s


def _quoted(key: str, text: str) -> str:
    """A literal of XPath 1.0, which has no escapes."""
    for quote in ("'", '"'):
        if quote not in text:
            return f"{quote}{text}{quote}"
    raise SourceError(f"session.toml: key source.{key}: found both ' and \" in it, expected at most one kind")


def plan(row: StreamRow, config: SourceConfig) -> Plan:
    """How to read this stream for this session, or a SourceError with everything that does not fit."""
    wrong: list[str] = []
    if row.format not in FORMATS:
        wrong.append(
            f"sends {row.format}, expected one of {', '.join(FORMATS)}: it is no EEG stream; "
            "choose another in [source]"
        )
    if not row.sfreq_hz > 0:
        wrong.append(f"has an irregular rate, expected {config.sfreq_hz:g} Hz; choose another stream")
    elif abs(row.sfreq_hz - config.sfreq_hz) > RATE_TOLERANCE * config.sfreq_hz:
        wrong.append(
            f"announces {row.sfreq_hz:g} Hz, expected {config.sfreq_hz:g} Hz (source.sfreq_hz); "
            "set the amplifier, or the key"
        )
    labels = _labels(row, config, wrong)
    picks = _picks(row, labels, config, wrong)
    scale_uv = _scales(row, labels, picks, config, wrong)
    if wrong:
        lines = dict.fromkeys(f"LSL stream {row.name!r} on {row.hostname}: {text}" for text in wrong)
        raise SourceError("\n".join(map(printable, lines)))
    spec = StreamSpec(
        name=row.name,
        type=row.type,
        source_id=row.source_id,
        uid=row.uid,
        sfreq_hz=row.sfreq_hz,
        ch_names=tuple(labels[pick] for pick in picks),
        hostname=row.hostname,
    )
    return Plan(spec=spec, n_channels=row.n_channels, picks=picks, scale_uv=scale_uv)


def _labels(row: StreamRow, config: SourceConfig, wrong: list[str]) -> tuple[str, ...]:
    labels = row.labels if any(row.labels) else config.labels
    if not labels:
        wrong.append(
            f"names none of its {row.n_channels} channels; give them in order in source.labels, "
            "as the amplifier's montage says"
        )
    elif len(labels) != row.n_channels:
        wrong.append(
            f"has {row.n_channels} channels but {len(labels)} labels; correct the sender, or source.labels"
        )
    elif any(row.labels) and config.labels and row.labels != config.labels:
        wrong.append(
            f"names its channels {', '.join(row.labels)}, which differs from source.labels; "
            "correct the montage, or leave source.labels out"
        )
    elif not all(labels) or len(set(labels)) != len(labels):
        wrong.append(
            f"has a channel without a name, or two of one name: {', '.join(labels)}; correct the sender"
        )
    else:
        return labels
    return ()


def _picks(
    row: StreamRow, labels: tuple[str, ...], config: SourceConfig, wrong: list[str]
) -> tuple[int, ...]:
    if not labels:
        return ()
    if config.channels == "all":
        kinds = row.types if len(row.types) == len(labels) else ("",) * len(labels)
        picks = tuple(index for index, kind in enumerate(kinds) if kind.upper() in ("", "EEG"))
        if not picks:
            wrong.append(f"has no channel of type EEG: {', '.join(kinds)}; name channels in source.channels")
        return picks
    for name in config.channels:
        if name not in labels:
            wrong.append(f"has no channel {name!r} (source.channels); {nearest(name, labels)}")
    return tuple(labels.index(name) for name in config.channels if name in labels)


def _scales(
    row: StreamRow, labels: tuple[str, ...], picks: tuple[int, ...], config: SourceConfig, wrong: list[str]
) -> tuple[float, ...]:
    """µV per unit of each channel; a line for each unit that does not fit, however many channels have it."""
    by_unit: dict[str, list[str]] = {}
    units = [row.units[pick] if len(row.units) == len(labels) else "" for pick in picks]
    for pick, said in zip(picks, units, strict=True):
        by_unit.setdefault(said, []).append(labels[pick])
    for said, names in by_unit.items():
        those = f"channel {names[0]!r}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        if not said and config.unit is None:
            wrong.append('says no unit; give it in source.unit, e.g. "µV", as the amplifier\'s manual says')
        elif said and said not in MICROVOLTS:
            wrong.append(
                f"gives {those} in {said!r}, expected microvolts, volts or the like; "
                "leave such channels out, or correct the sender"
            )
        elif said and config.unit is not None and MICROVOLTS[config.unit] != MICROVOLTS[said]:
            wrong.append(
                f"gives {those} in {said!r} but source.unit is {config.unit!r}; "
                "leave source.unit out, or correct the sender"
            )
    return tuple(MICROVOLTS.get(said or config.unit or "", 1.0) for said in units)


def source_lines(row: StreamRow) -> str:
    """The lines of session.toml that choose this stream."""
    known = len(row.units) == row.n_channels and any(row.units)
    table: dict[str, object] = {
        "source_id": row.source_id or None,
        "name": None if row.source_id else row.name,
        "type": row.type or None,
        "sfreq_hz": row.sfreq_hz,
        "channels": list(row.labels) if any(row.labels) else "all",
    }
    text = toml_document({"source": table}).rstrip("\n")
    if not any(row.labels):
        text += f"\nlabels = []  # it names none of its {row.n_channels} channels: give them in order"
    if not known:
        text += '\nunit = "µV"  # it says no unit: as the amplifier\'s manual says'
    return text
