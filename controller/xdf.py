"""XDF 1.0, append-only: a writer of numeric streams, a reader of its own files that keeps chunk boundaries.

Format: https://github.com/sccn/xdf/wiki/Specifications. Stamps are written raw; clock offsets are zero, for
the stamps are on the host's clock already. Without footers, or with a torn last chunk, a file still loads.
"""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from controller.append_file import AppendFile

Format = Literal["float32", "double64", "int64"]
Values = NDArray[np.float32] | NDArray[np.float64] | NDArray[np.int64]

MAGIC = b"XDF:"
FILE_HEADER, STREAM_HEADER, SAMPLES, CLOCK_OFFSET, BOUNDARY, STREAM_FOOTER = 1, 2, 3, 4, 5, 6
BOUNDARY_UUID = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")
OFFSET_EVERY_S = 5.0  # as LabRecorder
BOUNDARY_EVERY_S = 10.0  # as LabRecorder
CHUNK_BYTES_MAX = 1 << 30  # own choice: a length above it in our own file means a torn or foreign one
DTYPES: dict[Format, str] = {"float32": "<f4", "double64": "<f8", "int64": "<i8"}


class XdfError(ValueError):
    """Not an XDF file of this writer, or not one at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class XdfStream:
    """The header of one stream. `sfreq_hz` 0: irregular."""

    stream_id: int
    name: str
    type: str
    format: Format
    sfreq_hz: float
    labels: tuple[str, ...]
    unit: str = ""
    channel_type: str = ""
    source_id: str = ""
    uid: str = ""
    hostname: str = ""


class Chunk(NamedTuple):
    """One samples chunk as it was written: `data` is samples x channels."""

    stream: XdfStream
    stamps_s: NDArray[np.float64]
    data: Values


@dataclass(slots=True)
class _Tally:
    stream: XdfStream
    n_samples: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    offsets_s: tuple[float, float] = (0.0, 0.0)  # when the first and the last offset were written
    n_offsets: int = 0


class XdfWriter:
    """Collects chunks; `flush` appends them in one write."""

    def __init__(self, path: Path) -> None:
        self._file = AppendFile(path)
        self._buffer = bytearray(MAGIC)
        self._tallies: dict[int, _Tally] = {}
        self._offset_due_s = float("-inf")
        self._boundary_due_s: float | None = None
        info = ET.Element("info")
        ET.SubElement(info, "version").text = "1.0"
        self._put(FILE_HEADER, _xml(info))

    def add_stream(self, stream: XdfStream) -> None:
        """Write a stream's header."""
        if stream.stream_id in self._tallies:
            raise XdfError(f"{self._file.path}: stream {stream.stream_id} has its header already")
        self._tallies[stream.stream_id] = _Tally(stream)
        self._put(STREAM_HEADER, struct.pack("<I", stream.stream_id) + _header_xml(stream))
        self._offset_due_s = float("-inf")  # every stream has an offset before its first sample

    def samples(self, stream_id: int, stamps_s: NDArray[np.float64], data: Values) -> None:
        """Write one chunk: `data` is samples x channels, in the stream's own format."""
        tally = self._tallies[stream_id]
        n_samples = len(stamps_s)
        if n_samples == 0:
            return
        rows = np.empty(n_samples, dtype=_row_dtype(tally.stream))
        if data.shape != rows["v"].shape or np.dtype(DTYPES[tally.stream.format]) != data.dtype:
            raise XdfError(
                f"{self._file.path}: stream {tally.stream.name}: got {data.shape} of {data.dtype}, "
                f"expected {rows['v'].shape} of {tally.stream.format}"
            )
        rows["n"], rows["t"], rows["v"] = 8, stamps_s, data
        self._put(SAMPLES, struct.pack("<IBI", stream_id, 4, n_samples) + rows.tobytes())
        if tally.n_samples == 0:
            tally.first_s = float(stamps_s[0])
        tally.n_samples += n_samples
        tally.last_s = float(stamps_s[-1])

    def tick(self, now_s: float) -> None:
        """Write the clock offsets and the boundary where they are due."""
        if now_s >= self._offset_due_s:
            self._offset_due_s = now_s + OFFSET_EVERY_S
            self._put_offsets(now_s)
        if self._boundary_due_s is None:
            self._boundary_due_s = now_s + BOUNDARY_EVERY_S
        elif now_s >= self._boundary_due_s:
            self._boundary_due_s = now_s + BOUNDARY_EVERY_S
            self._put(BOUNDARY, BOUNDARY_UUID)

    def flush(self) -> None:
        if self._buffer:
            record, self._buffer = bytes(self._buffer), bytearray()
            self._file.write(record)

    def close(self, now_s: float) -> None:
        """Footers, sync, close; idempotent, and closes the file where the footers cannot be written."""
        try:
            if self._tallies:
                self._put_offsets(now_s)
            for tally in self._tallies.values():
                self._put(STREAM_FOOTER, struct.pack("<I", tally.stream.stream_id) + _footer_xml(tally))
            self._tallies = {}
            self.flush()
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close without footers, after a write that failed: what stands in the file is whole."""
        self._buffer.clear()
        self._file.close()

    def _put_offsets(self, now_s: float) -> None:
        for tally in self._tallies.values():
            self._put(CLOCK_OFFSET, struct.pack("<Idd", tally.stream.stream_id, now_s, 0.0))
            tally.offsets_s = (now_s if tally.n_offsets == 0 else tally.offsets_s[0], now_s)
            tally.n_offsets += 1

    def _put(self, tag: int, content: bytes) -> None:
        self._buffer += struct.pack("<BIH", 4, len(content) + 2, tag)
        self._buffer += content


class XdfReader:
    """Reads a file of `XdfWriter`. After `chunks` has ended, `torn` tells whether the tail was incomplete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = False
        self.streams: dict[int, XdfStream] = {}
        self.counts: dict[int, int] = {}  # samples by the footers; a file that was cut short has none

    def chunks(self) -> Iterator[Chunk]:
        """Each samples chunk in the order of the file, its boundaries kept."""
        with self.path.open("rb") as file:
            if file.read(4) != MAGIC:
                raise XdfError(f"{self.path}: not an XDF file (it does not begin with 'XDF:')")
            while (found := self._next(file)) is not None:
                try:
                    chunk = self._chunk(*found)
                except (struct.error, ET.ParseError) as error:
                    raise XdfError(f"{self.path}: the chunk before byte {file.tell()}: {error}") from None
                if chunk is not None:
                    yield chunk

    def _chunk(self, tag: int, content: bytes) -> Chunk | None:
        if tag == STREAM_HEADER:
            stream = _parse_header(self.path, content)
            self.streams[stream.stream_id] = stream
        elif tag == STREAM_FOOTER:
            count = ET.fromstring(content[4:]).findtext("sample_count", "0")
            self.counts[struct.unpack_from("<I", content)[0]] = int(count)
        return self._samples(content) if tag == SAMPLES else None

    def _next(self, file: BinaryIO) -> tuple[int, bytes] | None:
        head = file.read(7)
        if not head:
            return None
        if len(head) < 7:
            self.torn = True
            return None
        n_length, length, tag = struct.unpack("<BIH", head)
        if n_length != 4 or not 2 <= length <= CHUNK_BYTES_MAX:
            raise XdfError(
                f"{self.path}: a chunk at byte {file.tell() - 7} is not as this writer writes them; "
                "read recordings of other programs with pyxdf"
            )
        content = file.read(length - 2)
        if len(content) < length - 2:
            self.torn = True
            return None
        return tag, content

    def _samples(self, content: bytes) -> Chunk:
        stream_id, n_length, n_samples = struct.unpack_from("<IBI", content)
        stream = self.streams.get(stream_id)
        if stream is None or n_length != 4:
            raise XdfError(f"{self.path}: a samples chunk of stream {stream_id} has no header before it")
        dtype = _row_dtype(stream)
        if len(content) != 9 + n_samples * dtype.itemsize:
            raise XdfError(f"{self.path}: a samples chunk of stream {stream.name} has the wrong length")
        rows = np.frombuffer(content, dtype=dtype, count=n_samples, offset=9)
        return Chunk(stream, np.ascontiguousarray(rows["t"]), np.ascontiguousarray(rows["v"]))


def read_blocks(path: Path) -> Iterator[Chunk]:
    """(stream, stamps, data) of each chunk of an own file, in order; a torn tail ends it quietly."""
    return XdfReader(path).chunks()


def _row_dtype(stream: XdfStream) -> np.dtype[np.void]:
    return np.dtype([("n", "u1"), ("t", "<f8"), ("v", DTYPES[stream.format], (len(stream.labels),))])


def _header_xml(stream: XdfStream) -> bytes:
    info = ET.Element("info")
    for key, text in (
        ("name", stream.name),
        ("type", stream.type),
        ("channel_count", str(len(stream.labels))),
        ("nominal_srate", repr(stream.sfreq_hz)),
        ("channel_format", stream.format),
        ("source_id", stream.source_id),
        ("version", "1.1"),
        ("created_at", "0"),
        ("uid", stream.uid),
        ("hostname", stream.hostname),
    ):
        ET.SubElement(info, key).text = _legal(text)
    channels = ET.SubElement(ET.SubElement(info, "desc"), "channels")
    for label in stream.labels:
        channel = ET.SubElement(channels, "channel")
        ET.SubElement(channel, "label").text = _legal(label)
        ET.SubElement(channel, "unit").text = stream.unit
        ET.SubElement(channel, "type").text = stream.channel_type
    return _xml(info)


def _footer_xml(tally: _Tally) -> bytes:
    info = ET.Element("info")
    ET.SubElement(info, "first_timestamp").text = repr(tally.first_s)
    ET.SubElement(info, "last_timestamp").text = repr(tally.last_s)
    ET.SubElement(info, "sample_count").text = str(tally.n_samples)
    offsets = ET.SubElement(info, "clock_offsets")
    for time_s in tally.offsets_s[: tally.n_offsets]:
        offset = ET.SubElement(offsets, "offset")
        ET.SubElement(offset, "time").text = repr(time_s)
        ET.SubElement(offset, "value").text = "0.0"
    return _xml(info)


def _parse_header(path: Path, content: bytes) -> XdfStream:
    stream_id = struct.unpack_from("<I", content)[0]
    info = ET.fromstring(content[4:])
    kind = info.findtext("channel_format", "")
    formats: dict[str, Format] = {name: name for name in get_args(Format)}
    if kind not in formats:
        raise XdfError(f"{path}: stream {stream_id} has format {kind!r}, expected {', '.join(formats)}")
    channels = info.findall("desc/channels/channel")
    return XdfStream(
        stream_id=stream_id,
        name=info.findtext("name", ""),
        type=info.findtext("type", ""),
        format=formats[kind],
        sfreq_hz=float(info.findtext("nominal_srate", "0")),
        labels=tuple(channel.findtext("label", "") for channel in channels),
        unit=channels[0].findtext("unit", "") if channels else "",
        channel_type=channels[0].findtext("type", "") if channels else "",
        source_id=info.findtext("source_id", ""),
        uid=info.findtext("uid", ""),
        hostname=info.findtext("hostname", ""),
    )


def _legal(text: str) -> str:
    """XML 1.0 bears no control characters, and a header that no reader can parse loses the recording."""
    return "".join(char if char >= " " and not "\ud800" <= char <= "\udfff" else "\ufffd" for char in text)


def _xml(element: ET.Element) -> bytes:
    return b'<?xml version="1.0"?>' + ET.tostring(element, encoding="unicode").encode()
