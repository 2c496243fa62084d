"""Wiring happens once: from a Session and an open stream to the parts of the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TextIO

from controller import biomarkers, policies
from controller.console import Console
from controller.eeg import Samples, StreamSpec
from controller.montage import Montage
from controller.outlets import WANTS as OUTLETS_WANT
from controller.outlets import Outlets
from controller.quality import CleanChannels
from controller.recorder import Recorder
from controller.session import Session, SessionErrors
from controller.taps import KINDS, Tap, Taps
from controller.telemetry.feed import WANTS as TELEMETRY_WANTS
from controller.telemetry.feed import TelemetryFeed
from controller.window import Window
from safety.messages import PROTOCOL, Hello
from safety.rig import STOP

# Some 4 s of one-sample blocks at 1 kHz; the rest of the taps see only what a hop makes.
RECORDER_ITEMS = 4096
OTHER_ITEMS = 1024


def judge(session: Session, spec: StreamSpec) -> Callable[[Samples], float]:
    """What judges blocks for their Evidence: the montage's channels, by the session's rail."""
    try:
        picks = Montage.build(session.montage, spec.ch_names).picks
    except ValueError:
        picks = None  # `build_measures` refuses the session with every line that is wrong
    return CleanChannels(len(spec.ch_names), spec.sfreq_hz, session.quality, picks).clean_fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What turns Blocks into Readings and Readings into requests."""

    window: Window
    biomarkers: tuple[biomarkers.Biomarker, ...]
    policy: policies.Policy


def build_measures(session: Session, spec: StreamSpec) -> Measures:
    """Fit the session to the stream that was found; SessionErrors with every line that does not fit."""
    errors: list[str] = []
    try:
        montage = Montage.build(session.montage, spec.ch_names)
        window = Window(
            len(spec.ch_names),
            spec.sfreq_hz,
            session.window.longest_s,
            session.window.hop_ms / 1e3,
            montage=montage,
            quality=session.quality,
        )
    except ValueError as error:
        raise SessionErrors(
            [f"session with stream {spec.name}: {line}" for line in str(error).splitlines()]
        ) from error
    built = []
    for each in session.biomarkers:
        try:
            built.append(
                biomarkers.build(
                    each.name, each.kind, each.table(), montage, spec.sfreq_hz, f"biomarkers.{each.name}"
                )
            )
        except ValueError as error:
            errors += [f"session with stream {spec.name}: {line}" for line in str(error).splitlines()]
    if errors:
        raise SessionErrors(errors)
    return Measures(
        window=window,
        biomarkers=tuple(built),
        policy=policies.build(
            session.policy.kind, session.policy.table(), session.train, session.window.hop_ms / 1e3
        ),
    )


def hello(session: Session, spec: StreamSpec, session_id: str, session_digest: str) -> Hello:
    """How the controller introduces itself."""
    return Hello(
        protocol=PROTOCOL,
        session_id=session_id,
        session_digest=session_digest,
        software=f"nociloop {metadata.version('nociloop')}",
        modality=session.train.modality,
        sfreq_hz=spec.sfreq_hz,
        stream_uid=spec.uid,
    )


def start_taps(
    session: Session, spec: StreamSpec, measures: Measures, run_dir: Path, rig: Path, out: TextIO
) -> Taps:
    """Start every consumer that the session asks for; RecordError when the run folder cannot be written."""
    units = {each.name: each.unit for each in measures.biomarkers}
    recorder = Tap("recorder", RECORDER_ITEMS, KINDS)
    recorder.start(Recorder(run_dir, spec, tuple(units), raw=session.recording.raw))
    console = Tap("console", OTHER_ITEMS)
    console.start(Console(out, session.general.duration_s, session.train.modality))
    taps = [recorder, console]
    if session.outlets.readings or session.outlets.markers:
        outlets = Tap("outlets", OTHER_ITEMS, OUTLETS_WANT)
        outlets.start(
            Outlets(
                session.outlets.name,
                units,
                readings=session.outlets.readings,
                markers=session.outlets.markers,
            )
        )
        taps.append(outlets)
    if session.telemetry.enabled:
        telemetry = Tap("telemetry", OTHER_ITEMS, TELEMETRY_WANTS)
        telemetry.start(TelemetryFeed.spawn(session.telemetry, rig / STOP))
        taps.append(telemetry)
    return Taps(taps)
