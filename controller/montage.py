"""Channels, regions and the reference: which samples a biomarker looks at, against what."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from controller.config import Config, nearest

__all__ = ["Montage", "MontageConfig", "canonical", "clean_name"]

# An array of TOML arrives as a list; the words in it stay strict.
Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)]
ReferenceKind = Literal["none", "common", "laplacian"]

# The 10-10 names of the electrodes that 10-20 called otherwise (ACNS guideline 2, 2016).
ALIASES = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}

# Which electrodes a region means. Own choice from the 10-10 rows; the sensorimotor set is that of the
# peak-alpha-frequency work (C3, Cz, C4 with their neighbours of the FC and CP rows).
REGIONS: dict[str, tuple[str, ...]] = {
    "prefrontal": ("Fp1", "Fpz", "Fp2", "AF7", "AF3", "AFz", "AF4", "AF8"),
    "frontal": ("AF3", "AFz", "AF4", "F7", "F5", "F3", "F1", "Fz", "F2", "F4", "F6", "F8", "FCz"),
    "midfrontal": ("F1", "Fz", "F2", "FCz"),
    "sensorimotor": (
        *("FC3", "FC1", "FCz", "FC2", "FC4", "C3", "C1", "Cz", "C2", "C4"),
        *("CP3", "CP1", "CPz", "CP2", "CP4"),
    ),
    "sensorimotor_left": ("C3", "CP3"),
    "sensorimotor_right": ("C4", "CP4"),
    "temporal": ("FT7", "FT8", "T7", "T8", "TP7", "TP8", "FT9", "FT10"),
    "parietal": ("P7", "P5", "P3", "P1", "Pz", "P2", "P4", "P6", "P8"),
    "occipital": ("PO7", "PO3", "POz", "PO4", "PO8", "O1", "Oz", "O2"),
}
EARS = frozenset({"a1", "a2", "m1", "m2"})
NOT_EEG = re.compile(
    r"(ecg|ekg|eog|emg|gsr|eda|resp|pleth|ppg|spo2|temp|accel|acc[\s_-]?[xyz]\b|gyr|mov|stim|sti\b|trig|status|marker|event"
    r"|annot|photic|pulse|counter|timestamp|battery|aux)",
    re.IGNORECASE,
)
PREFIX = re.compile(r"^(eeg|poly)[\s_:-]+", re.IGNORECASE)
SUFFIX = re.compile(r"[\s_-]+(le|re|ref|avg|av|cz-?ref|a1|a2|m1|m2|a1a2|a1\+a2)$", re.IGNORECASE)
LAPLACIAN_NEIGHBOURS = 4  # Hjorth 1975: the four nearest electrodes


class MontageConfig(Config):
    """`channels` empty: every EEG channel of the stream. A list of names as reference: linked electrodes."""

    reference: Literal["average", "none", "laplacian"] | Names = "average"
    channels: Names = ()


def clean_name(label: str) -> str:
    """An electrode's name out of a recording's label: "EEG Fp1-LE" and "Fp1.." are Fp1."""
    name = PREFIX.sub("", label.strip()).rstrip(". ")
    return SUFFIX.sub("", name) or label.strip()


def canonical(label: str) -> str:
    """What two labels of one electrode have in common: lower case, 10-10 names."""
    name = clean_name(label).casefold()
    return ALIASES.get(name, name)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Montage:
    """The channels taken from a stream, in its order, and what they are referred to.

    `picks` are rows of the stream, `measured` rows of the picked ones that a biomarker may look at (all but
    electrodes that only serve as the reference).
    """

    ch_names: tuple[str, ...]
    picks: tuple[int, ...]
    measured: tuple[int, ...]
    kind: ReferenceKind
    refs: tuple[int, ...] = ()
    neighbours: NDArray[np.float64] | None = None

    @classmethod
    def build(cls, config: MontageConfig, ch_names: Sequence[str]) -> Self:
        """The Montage of a stream. ValueError with one line when channels are missing, twice or unknown."""
        rows = _rows(ch_names)
        chosen = _chosen(config.channels, ch_names, rows)
        linked = config.reference if isinstance(config.reference, tuple) else ()
        if isinstance(config.reference, tuple) and not linked:
            raise ValueError('montage.reference: found an empty list, expected electrode names or "average"')
        refs = [_row(name, rows, ch_names, "montage.reference") for name in linked]
        picks = sorted({*chosen, *refs})
        twice = [ch_names[row] for row in picks if rows[canonical(ch_names[row])] != row]
        if twice:
            raise ValueError(f'montage.channels: the stream has "{twice[0]}" twice; expected distinct labels')
        place = {row: at for at, row in enumerate(picks)}
        names = tuple(clean_name(ch_names[row]) for row in picks)
        only_reference = set(refs) - (set(chosen) if config.channels else set())
        measured = tuple(place[row] for row in picks if row not in only_reference)
        if not measured:
            raise ValueError("montage.channels: none is left to measure, expected more than the reference")
        neighbours = None
        kind: ReferenceKind = "common"
        if config.reference == "none":
            kind = "none"
        elif config.reference == "laplacian":
            kind, neighbours = "laplacian", _neighbours(names)
        return cls(
            ch_names=names,
            picks=tuple(picks),
            measured=measured,
            kind=kind,
            refs=tuple(sorted(place[row] for row in refs)),
            neighbours=neighbours,
        )

    @classmethod
    def plain(cls, n_channels: int) -> Self:
        """Every channel, numbered, as recorded."""
        every = tuple(range(n_channels))
        return cls(ch_names=tuple(f"ch{i + 1}" for i in every), picks=every, measured=every, kind="none")

    def resolve(self, selection: Sequence[str]) -> tuple[int, ...]:
        """Rows of the picked channels that names and regions ("all", "frontal", ...) mean.

        A name must be there; of a region, whatever of it is there. ValueError when a name is missing or
        nothing is left.
        """
        rows = _rows(self.ch_names)
        found: set[int] = set()
        for word in selection:
            key = word.casefold()
            if key == "all":
                found.update(self.measured)
            elif key in REGIONS:
                found.update(row for name in REGIONS[key] if (row := rows.get(canonical(name))) is not None)
            else:
                found.add(_row(word, rows, self.ch_names, "channels", regions=("all", *REGIONS)))
        found.intersection_update(self.measured)
        if not found:
            raise ValueError(
                f"channels: found {', '.join(selection) or 'an empty list'}, of which the montage has none; "
                f"expected some of {_listed(self.ch_names)}"
            )
        return tuple(sorted(found))

    def weights(self, good: NDArray[np.bool_]) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_]]:
        """What to subtract (None: nothing; a row; a matrix) when only the `good` channels may serve, and
        the channels that then stand on a whole reference."""
        if self.kind == "none":
            return None, good
        if self.kind == "common":
            if self.refs:
                refs = list(self.refs)
                row = np.zeros(len(good))
                row[refs] = 1.0 / len(refs)
                return row, good if good[refs].all() else np.zeros_like(good)
            n = int(np.count_nonzero(good))
            # One channel against itself is nothing.
            return good / max(n, 1), good if n > 1 else np.zeros_like(good)
        if self.neighbours is None:
            return None, np.zeros_like(good)
        matrix = self.neighbours * good
        total = matrix.sum(axis=1)
        usable = total > 0
        matrix[usable] /= total[usable, None]
        return matrix, good & usable

    def digest(self) -> str:
        """SHA-256 of the channels and the reference with every channel good, for the record."""
        matrix, _ = self.weights(np.ones(len(self.ch_names), dtype=np.bool_))
        body = b"" if matrix is None else np.ascontiguousarray(matrix, dtype="<f8").tobytes()
        text = "\x1f".join((self.kind, *self.ch_names, *map(str, self.picks), *map(str, self.measured)))
        return hashlib.sha256(text.encode() + b"\x1e" + body).hexdigest()


def _rows(ch_names: Sequence[str]) -> dict[str, int]:
    """Row of each electrode; the first of a label that stands twice (`build` refuses to pick such)."""
    rows: dict[str, int] = {}
    for row, name in enumerate(ch_names):
        rows.setdefault(canonical(name), row)
    return rows


def _row(
    name: str, rows: dict[str, int], ch_names: Sequence[str], key: str, regions: Iterable[str] = ()
) -> int:
    row = rows.get(canonical(name))
    if row is None:
        raise ValueError(
            f'{key}: found "{name}", not among the channels {_listed(ch_names)}; '
            f"{nearest(name, [*map(clean_name, ch_names), *regions])}"
        )
    same = [label for label in ch_names if canonical(label) == canonical(name)]
    if len(same) > 1:
        raise ValueError(f'{key}: found "{name}", which may be {_listed(same)}; expected distinct labels')
    return row


def _chosen(channels: Sequence[str], ch_names: Sequence[str], rows: dict[str, int]) -> list[int]:
    if not ch_names:
        raise ValueError("montage.channels: the stream has no channel, expected at least 1")
    if not channels:
        chosen = [row for row, name in enumerate(ch_names) if _is_eeg(name)]
        if not chosen:
            raise ValueError(
                f"montage.channels: none of {_listed(ch_names)} looks like EEG; expected a list of names"
            )
        return chosen
    chosen = [_row(name, rows, ch_names, "montage.channels") for name in channels]
    twice = [name for at, name in enumerate(channels) if chosen[at] in chosen[:at]]
    if twice:
        raise ValueError(f'montage.channels: found "{twice[0]}" twice, expected each channel once')
    return chosen


def _is_eeg(label: str) -> bool:
    """Not an ear, a derivation between two ears, nor a sensor of something else."""
    name = clean_name(label).casefold()
    return name not in EARS and not NOT_EEG.search(label)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:12])
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12} more"


def _neighbours(names: Sequence[str]) -> NDArray[np.float64]:
    """Row c: 1/4 at each of the four electrodes nearest to c (all others, where there are fewer)."""
    # Loaded only for this: mne takes a second to import, and nothing else here needs it.
    from mne.channels import get_builtin_montages, make_standard_montage

    # One table under two names: mne 1.13 renamed it, and 1.14 drops the old name.
    name = "colin27_1020" if "colin27_1020" in get_builtin_montages() else "standard_1020"
    table = make_standard_montage(name).get_positions()["ch_pos"]
    known = {canonical(str(name)): np.asarray(place, dtype=np.float64) for name, place in table.items()}
    unknown = [name for name in names if canonical(name) not in known]
    if unknown:
        raise ValueError(
            f'montage.reference: found "laplacian", but {_listed(unknown)} has no place in the 10-10 system; '
            "expected 10-10 names in montage.channels"
        )
    if len(names) < 2:
        raise ValueError('montage.reference: found "laplacian" with one channel, expected at least 2')
    places = np.array([known[canonical(name)] for name in names])
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    count = min(LAPLACIAN_NEIGHBOURS, len(names) - 1)
    matrix = np.zeros((len(names), len(names)))
    nearest_rows = np.argsort(distance, axis=1, kind="stable")[:, :count]
    np.put_along_axis(matrix, nearest_rows, 1.0 / count, axis=1)
    return matrix
