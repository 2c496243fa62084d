"""session.toml -> frozen Session; every error at once, each with its key and what is expected."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated, TypeVar, cast

from pydantic import BaseModel, Field, StringConstraints

from controller import biomarkers, policies
from controller.config import Config, Problem, found, nearest, validate
from controller.montage import Montage, MontageConfig
from controller.quality import QualityConfig
from controller.source import SourceConfig
from controller.telemetry_config import OutletsConfig, RecordingConfig, TelemetryConfig
from controller.toml import TomlError, read_toml, toml_document
from controller.train import TRAINS, TrainConfig
from drivers.stimulation import Train

BIOMARKERS_MAX = 16  # own choice; each costs time at every hop

LoadBiomarker = Callable[[str], type[biomarkers.Biomarker]]
LoadPolicy = Callable[[str], type[policies.Policy]]
ConfigT = TypeVar("ConfigT", bound=BaseModel)
# A column of readings.csv and a part of an LSL label: no comma, no space, no capital to mistype.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class SessionErrors(Exception):
    """All that is wrong with a session file, a line each."""

    exit_status = 2

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(self.errors))


class GeneralConfig(Config):
    """`[session]`: how long, from which seed. Participant and device stand in limits.toml."""

    title: Annotated[str, Field(max_length=200)] = ""
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    duration_s: float = Field(gt=0, le=86_400)


class WindowConfig(Config):
    """`[window]`: how many seconds are kept, and how often an Epoch is made of them."""

    longest_s: float = Field(ge=0.1, le=600)
    hop_ms: int = Field(ge=4, le=1000)


class BiomarkerHead(Config):
    """What every `[[biomarkers]]` has; the rest belongs to its kind."""

    name: Name
    kind: Annotated[str, Field(min_length=1, max_length=80)]


class PolicyHead(Config):
    """What every `[policy]` has; the rest belongs to its kind."""

    kind: Annotated[str, Field(min_length=1, max_length=80)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BiomarkerSpec:
    """One `[[biomarkers]]`: its name in this session, its kind, and the kind's own table."""

    name: str
    kind: str
    config: Config

    def table(self) -> dict[str, object]:
        """The kind's own table as plain values, as `controller.biomarkers.build` takes it."""
        return _table(self.config)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """`[policy]`: its kind, and the kind's own table."""

    kind: str
    config: Config

    def table(self) -> dict[str, object]:
        """The kind's own table as plain values, as `controller.policies.build` takes it."""
        return _table(self.config)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the experimenter asked for, complete; it holds no limit.

    `resolved_toml` says the same with every default written out; `digest` is the SHA-256 of that content.
    """

    general: GeneralConfig
    source: SourceConfig
    montage: MontageConfig
    quality: QualityConfig
    window: WindowConfig
    biomarkers: tuple[BiomarkerSpec, ...]
    policy: PolicySpec
    train: Train
    recording: RecordingConfig
    outlets: OutletsConfig
    telemetry: TelemetryConfig
    resolved_toml: str
    digest: str


SECTIONS = (
    *("session", "source", "montage", "quality", "window", "biomarkers", "policy", "train"),
    *("recording", "outlets", "telemetry"),
)


def load_session(
    path: Path,
    *,
    biomarker_entries: Iterable[EntryPoint] | None = None,
    policy_entries: Iterable[EntryPoint] | None = None,
) -> Session:
    """The Session of a file; SessionErrors with every error of it, each naming the file."""
    try:
        document = read_toml(path)
    except TomlError as error:
        raise SessionErrors([str(error)]) from error
    reader = _Reader(document)
    for key in document:
        if key not in SECTIONS:
            reader.complain(key, f"unknown; {nearest(key, SECTIONS)}")
    biomarker_entries = None if biomarker_entries is None else tuple(biomarker_entries)
    policy_entries = None if policy_entries is None else tuple(policy_entries)
    session = reader.session(
        lambda kind: biomarkers.load(kind, biomarker_entries),
        lambda kind: policies.load(kind, policy_entries),
    )
    if session is None:
        raise SessionErrors(f"{path}: {problem}" for problem in reader.problems)
    return session


class _Reader:
    """Reads a document section by section, gathering problems; a Session comes out only of none."""

    def __init__(self, document: dict[str, object]) -> None:
        self.problems: list[Problem] = []
        self._document = {key: self._plain(value, key) for key, value in document.items()}

    def complain(self, key: str, text: str) -> None:
        self.problems.append(Problem(key=key, text=text))

    def _plain(self, value: object, key: str) -> object:
        """Without dates and times, which no key of a session takes."""
        match value:
            case dict():
                return {name: self._plain(item, f"{key}.{name}") for name, item in value.items()}
            case list():
                return [self._plain(item, f"{key}[{index}]") for index, item in enumerate(value)]
            case datetime.date() | datetime.time():
                self.complain(
                    key, f'found the date or time {value}, expected none here; put "..." around text'
                )
                return str(value)
            case _:
                return value

    def session(self, load_biomarker: LoadBiomarker, load_policy: LoadPolicy) -> Session | None:
        general = self._section("session", GeneralConfig)
        source = self._section("source", SourceConfig)
        montage = self._section("montage", MontageConfig, {})
        quality = self._section("quality", QualityConfig, {})
        window = self._section("window", WindowConfig)
        specs = self._biomarkers(load_biomarker)
        policy = self._policy(load_policy)
        train = self._train()
        recording = self._section("recording", RecordingConfig, {})
        outlets = self._section("outlets", OutletsConfig, {})
        telemetry = self._section("telemetry", TelemetryConfig, {})
        self._agree(window, specs, policy)
        if source and montage and source.channels != "all":
            self._fit_biomarkers(source, montage, specs, load_biomarker)
        if policy and train and window:
            self._fit_policy(policy, train, window, load_policy)
        if self.problems or not (
            general and source and montage and quality and window and policy and train
            and recording and outlets and telemetry
        ):  # fmt: skip
            return None
        content: dict[str, object] = {
            "session": _table(general),
            "source": _table(source),
            "montage": _table(montage),
            "quality": _table(quality),
            "window": _table(window),
            "biomarkers": [{"name": s.name, "kind": s.kind, **_table(s.config)} for s in specs],
            "policy": {"kind": policy.kind, **_table(policy.config)},
            "train": _table(train),
            "recording": _table(recording),
            "outlets": _table(outlets),
            "telemetry": _table(telemetry),
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return Session(
            general=general,
            source=source,
            montage=montage,
            quality=quality,
            window=window,
            biomarkers=specs,
            policy=policy,
            train=train.train(),
            recording=recording,
            outlets=outlets,
            telemetry=telemetry,
            resolved_toml=toml_document(content),
            digest=hashlib.sha256(canonical.encode()).hexdigest(),
        )

    def _raw(self, name: str, default: dict[str, object] | None = None) -> dict[str, object] | None:
        """A section as it stands; a problem when it is missing, or no table."""
        value = self._document.get(name, default)
        if value is None:
            self.complain(name, f"missing, expected a section [{name}]")
        elif not isinstance(value, dict):
            self.complain(name, f"found {found(value)}, expected a section [{name}]")
        else:
            return value
        return None

    def _section(
        self, name: str, model: type[ConfigT], default: dict[str, object] | None = None
    ) -> ConfigT | None:
        table = self._raw(name, default)
        return None if table is None else validate(model, table, name, self.problems)

    def _biomarkers(self, load: LoadBiomarker) -> tuple[BiomarkerSpec, ...]:
        tables = self._document.get("biomarkers")
        if not isinstance(tables, list) or not 1 <= len(tables) <= BIOMARKERS_MAX:
            seen = "missing" if tables is None else f"found {found(tables)}"
            self.complain("biomarkers", f"{seen}, expected 1 to {BIOMARKERS_MAX} sections [[biomarkers]]")
            return ()
        specs: list[BiomarkerSpec] = []
        for index, table in enumerate(tables):
            key = f"biomarkers[{index}]"
            if not isinstance(table, dict):
                self.complain(key, f"found {found(table)}, expected a section [[biomarkers]]")
                continue
            head = self._head(BiomarkerHead, table, key)
            config = self._kind(head.kind, table, BiomarkerHead, key, load) if head else None
            if head is None or config is None:
                continue
            if head.name in {spec.name for spec in specs}:
                self.complain(f"{key}.name", f"found {found(head.name)} twice, expected each name once")
            specs.append(BiomarkerSpec(name=head.name, kind=head.kind, config=config))
        return tuple(specs)

    def _policy(self, load: LoadPolicy) -> PolicySpec | None:
        table = self._raw("policy")
        head = None if table is None else self._head(PolicyHead, table, "policy")
        if table is None or head is None:
            return None
        config = self._kind(head.kind, table, PolicyHead, "policy", load)
        return None if config is None else PolicySpec(kind=head.kind, config=config)

    def _head(self, model: type[ConfigT], table: dict[str, object], key: str) -> ConfigT | None:
        head = {name: value for name, value in table.items() if name in model.model_fields}
        return validate(model, head, key, self.problems)

    def _kind(
        self,
        kind: str,
        table: dict[str, object],
        head: type[Config],
        key: str,
        load: LoadBiomarker | LoadPolicy,
    ) -> Config | None:
        """The table of a biomarker or policy, held to the model that its own kind brings along."""
        try:
            model = load(kind).Config
        except ValueError as error:  # RegistryError: not installed, or not what it should be
            self.complain(f"{key}.kind", str(error).removeprefix("kind: "))
            return None
        rest = {name: value for name, value in table.items() if name not in head.model_fields}
        return validate(model, rest, key, self.problems)

    def _train(self) -> TrainConfig | None:
        table = self._raw("train")
        if table is None:
            return None
        modality = table.get("modality")
        if not isinstance(modality, str) or modality not in TRAINS:
            seen = "missing" if modality is None else f"found {found(modality)}"
            self.complain("train.modality", f"{seen}, expected one of {', '.join(map(found, TRAINS))}")
            return None
        return validate(TRAINS[modality], table, "train", self.problems)

    def _agree(
        self, window: WindowConfig | None, specs: tuple[BiomarkerSpec, ...], policy: PolicySpec | None
    ) -> None:
        """What can be seen only of several sections at once."""
        for index, spec in enumerate(specs):
            window_s = _table(spec.config).get("window_s")
            if window and isinstance(window_s, float) and window_s > window.longest_s:
                self.complain(
                    f"biomarkers[{index}].window_s",
                    f"found {window_s:g}, expected at most window.longest_s ({window.longest_s:g})",
                )
        names = [spec.name for spec in specs]
        whole = not any(problem.key.startswith("biomarkers") for problem in self.problems)
        wanted = _table(policy.config).get("biomarker") if policy else None
        if isinstance(wanted, str) and whole and wanted not in names:
            self.complain("policy.biomarker", f"found {found(wanted)}; {nearest(wanted, names)}")

    def _fit_biomarkers(
        self,
        source: SourceConfig,
        montage: MontageConfig,
        specs: tuple[BiomarkerSpec, ...],
        load: LoadBiomarker,
    ) -> None:
        """Whether each biomarker finds its channels and its band, where the channels are known beforehand."""
        try:
            built = Montage.build(montage, source.channels)
        except ValueError as error:
            self._complain_of("montage", error)
            return
        for index, spec in enumerate(specs):
            make = cast("Callable[[str, Config, Montage, float], object]", load(spec.kind))
            try:
                make(spec.name, spec.config, built, source.sfreq_hz)
            except ValueError as error:
                self._complain_of(f"biomarkers[{index}]", error)

    def _fit_policy(
        self, policy: PolicySpec, train: TrainConfig, window: WindowConfig, load: LoadPolicy
    ) -> None:
        """Whether the policy can work on this train at this hop."""
        make = cast("Callable[[Config, Train, float], object]", load(policy.kind))
        try:
            make(policy.config, train.train(), window.hop_ms / 1e3)
        except ValueError as error:
            self._complain_of("policy", error)

    def _complain_of(self, key: str, error: ValueError) -> None:
        for line in str(error).splitlines():
            self.complain(key, line.removeprefix(f"{key}: "))


def _table(config: BaseModel) -> dict[str, object]:
    """A section as plain values, defaults written out; what is None cannot be said in TOML and is left out."""
    table: dict[str, object] = config.model_dump(mode="json", exclude_none=True)
    return table
