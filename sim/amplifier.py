"""patient -> LSL outlet: the simulated amplifier, a process of its own.

Sample i is due at start + i / rate, whatever happened before: a late block goes out at once with the stamps of when
it was due, so time never drifts. More than 1 s late, samples are lost as in a real amplifier that is not read.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import numpy as np
import pylsl

from sim import amplifier_faults as faults
from sim.field import FieldEvent, parse
from sim.leadfield import montage
from sim.patient import PRESETS, Patient, preset
from sim.truth_file import TruthFile

MANUFACTURER = "nociloop simulated patient"

_LATE_NS_MAX = 1_000_000_000
_SLEEP_NS_MAX = 50_000_000  # so that a signal or the end of stdin is seen within this
_OPENING_NS = 100_000_000  # own choice: sample 0 comes when the outlet is up
_TRUTH_HZ = 10
_DATAGRAMS_MAX = 256  # taken between two blocks; the rest waits in the socket
_DATAGRAM_BYTES_MAX = 1024


class AmplifierError(Exception):
    """A setting that cannot work; the text is one line for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All that the command line may say."""

    seed: int
    preset: str = "demo"
    name: str = "nociloop-patient"
    source_id: str = "nociloop-patient"
    sfreq_hz: float = 500.0
    channels: int = 32
    block_samples: int = 10
    field: Path | None = None
    truth: Path | None = None
    die_with_stdin: bool = False
    faults: tuple[str, ...] = ()
    impostor_at_s: float | None = None


class Stop:
    """Set by SIGTERM or SIGINT, or by the end of stdin where that is watched; `typed` are the lines on stdin."""

    def __init__(self, *, watch_stdin: bool) -> None:
        self._watch = watch_stdin
        self._asked = False
        self._rest = b""
        self.typed: list[str] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def asked(self) -> bool:
        if not self._asked and self._watch and select.select([0], [], [], 0)[0]:
            data = os.read(0, 4096)
            self._asked = data == b""
            *lines, self._rest = (self._rest + data)[-4096:].split(b"\n")
            self.typed += [line.decode(errors="replace") for line in lines]
        return self._asked


class FieldSocket:
    """The Unix datagram socket on which devices tell what they put out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            if _abandoned(path):
                path.unlink()
            self._socket.bind(str(path))
        except OSError as error:
            self._socket.close()
            raise AmplifierError(f"--field {path}: {error.strerror or error}; give a new path") from error
        self._socket.setblocking(False)
        self.n_bad = 0

    def drain(self) -> list[FieldEvent]:
        """What has arrived; a datagram that does not parse is counted and dropped."""
        events: list[FieldEvent] = []
        for _ in range(_DATAGRAMS_MAX):
            try:
                datagram = self._socket.recv(_DATAGRAM_BYTES_MAX)
            except BlockingIOError:
                break
            try:
                events.append(parse(datagram))
            except ValueError:
                self.n_bad += 1
        return events

    def close(self) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)


def _abandoned(path: Path) -> bool:
    """Whether a socket lies there that a killed process has left behind."""
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False


def open_outlet(options: Options, ch_names: Sequence[str]) -> pylsl.StreamOutlet:
    """An outlet with the metadata of the LSL convention for EEG."""
    info = pylsl.StreamInfo(
        options.name, "EEG", len(ch_names), options.sfreq_hz, pylsl.cf_float32, options.source_id
    )
    info.set_channel_labels(list(ch_names))
    info.set_channel_types("EEG")
    info.set_channel_units("microvolts")
    info.desc().append_child_value("manufacturer", MANUFACTURER)
    return pylsl.StreamOutlet(info, max_buffered=60)


class Amplifier:
    """Patient, faults, outlets and truth file, driven by the loop below."""

    def __init__(self, options: Options) -> None:
        self._options = options
        try:
            ch_names = montage(options.channels)
            found = [faults.parse(text, ch_names) for text in options.faults]
            if not 1 <= options.block_samples <= options.sfreq_hz:
                raise ValueError(
                    f"--block-samples: found {options.block_samples}, expected 1 to one second's"
                )
            if options.impostor_at_s is not None and not options.impostor_at_s >= 0:
                raise ValueError(f"--impostor: found {options.impostor_at_s}, expected 0 s or more")
            if not options.name or not options.source_id:
                raise ValueError("--name, --source-id: found nothing, expected a text")
            # A crystal that is off makes samples at its own rate and announces the nominal one.
            true_hz = options.sfreq_hz * faults.rate_factor(found)
            self._ch_names = ch_names
            self._start_ns = time.monotonic_ns() + _OPENING_NS
            self.patient = Patient(
                preset(options.preset),
                seed=options.seed,
                sfreq_hz=true_hz,
                ch_names=ch_names,
                start_ns=self._start_ns,
            )
        except ValueError as error:
            raise AmplifierError(str(error)) from error
        self._faults = faults.Faults(found, options.sfreq_hz)
        try:
            self._truth = TruthFile(options.truth) if options.truth is not None else None
        except OSError as error:
            raise AmplifierError(
                f"--truth {options.truth}: {error.strerror}; give a path that can be written"
            ) from error
        self._field = FieldSocket(options.field) if options.field is not None else None
        self._outlets = [open_outlet(options, ch_names)]
        self.uid = str(self._outlets[0].get_info().uid())
        # liblsl's clock is CLOCK_MONOTONIC in seconds on Linux; elsewhere they differ by a constant.
        offset_s = pylsl.local_clock() - time.monotonic_ns() * 1e-9
        self._offset_s = offset_s if abs(offset_s) > 1e-3 else 0.0
        self._impostor_due = options.impostor_at_s is not None
        self._truth_every = round(options.sfreq_hz / _TRUTH_HZ)
        self.n_pushed = 0
        self.n_lost = 0
        self.late_ns_max = 0

    def due_ns(self) -> int:
        """When the newest sample of the next block is taken: not before, so that no stamp lies in the future."""
        return self.patient.time_ns(self.patient.n_samples + self._options.block_samples - 1)

    def block(self, late_ns: int) -> None:
        """Make the next block and send it, unless it is so late that it is lost."""
        n, first = self._options.block_samples, self.patient.n_samples
        data = self.patient.step(n, self._field.drain() if self._field is not None else ())
        if (first + n) // self._truth_every != first // self._truth_every:
            self._note(late_ns)
        if late_ns > _LATE_NS_MAX:
            self.n_lost += n
            return
        self.late_ns_max = max(self.late_ns_max, late_ns)
        stamps = np.array([self.patient.time_ns(first + k) for k in range(n)]) * 1e-9 + self._offset_s
        self._send(self._faults.apply(data, stamps, first), first)

    def typed(self, line: str) -> None:
        """`fault NAME:AT_S:...` on standard input: AT_S counts from now."""
        word, _, text = line.partition(" ")
        now = self.patient.n_samples
        try:
            if word != "fault":
                raise ValueError(f"{line!r}: expected `fault` and one of {faults.USAGE}")
            fault = faults.parse(text, self._ch_names)
        except ValueError as error:
            print(f"amplifier: {error}", file=sys.stderr)
            return
        self._faults.add(replace(fault, at_s=fault.at_s + now / self._options.sfreq_hz))
        if self._truth is not None:
            at_ns = self.patient.time_ns(now) + round(fault.at_s * 1e9)
            self._truth.put({"t_ns": at_ns, "e": "fault", "name": text})

    def _send(self, push: faults.Push, first: int) -> None:
        if not push.alive:
            self._outlets.clear()  # destroys them: gone from the network, inlets get no more
            return
        at_s = self._options.impostor_at_s
        if self._impostor_due and at_s is not None and first >= at_s * self._options.sfreq_hz:
            self._outlets.append(open_outlet(self._options, self._ch_names))
            self._impostor_due = False
        if push.stamps_s.size == 0:
            return
        samples = np.ascontiguousarray(push.data_uv.T, dtype=np.float32)
        stamps = float(push.stamps_s[0]) if push.stamps_s.size == 1 else push.stamps_s.tolist()
        for outlet in self._outlets:
            for _ in range(push.copies):
                outlet.push_chunk(samples, stamps)
        self.n_pushed += samples.shape[0]

    def _note(self, late_ns: int) -> None:
        if self._truth is None:
            return
        truth = self.patient.truth
        self._truth.put(
            {
                "t_ns": truth.t_ns,
                "e": "truth",
                "p": truth.pain,
                "S": truth.sensitisation,
                "H": truth.habituation,
                "D_ma_pp": truth.intensity_ma_pp,
                "B_ma_s": truth.dose_ma_s,
                "E": truth.effect,
                "n": truth.noxious,
                "paf_hz": truth.paf_hz,
                "theta_gain": truth.theta_gain,
                "alpha_gain": truth.alpha_gain,
                "gamma_gain": truth.gamma_gain,
                "alpha_phase_rad": truth.alpha_phase_rad,
                "alpha_uv": truth.alpha_uv,
                "nrs": truth.nrs,
                "pushed": self.n_pushed,
                "lost": self.n_lost,
                "late_us": late_ns // 1000,
                "bad_datagrams": self._field.n_bad if self._field is not None else 0,
                "dropped_events": self.patient.n_events_dropped,
            }
        )

    def open_record(self) -> None:
        """The truth file's first row: what this patient is."""
        if self._truth is not None:
            row = {
                "seed": self._options.seed,
                "preset": self._options.preset,
                "sfreq_hz": self._options.sfreq_hz,
            }
            stream = {"source_id": self._options.source_id, "name": self._options.name, "uid": self.uid}
            injected = {"faults": list(self._options.faults), "impostor_at_s": self._options.impostor_at_s}
            self._truth.put({"t_ns": self._start_ns, "e": "start", **row, **stream, **injected})

    def close(self) -> None:
        self._outlets.clear()
        if self._field is not None:
            self._field.close()
        if self._truth is not None:
            self._truth.close()


def run(options: Options) -> None:
    """Until SIGTERM, SIGINT or, where asked, the end of stdin."""
    amplifier = Amplifier(options)
    stop = Stop(watch_stdin=options.die_with_stdin)
    try:
        amplifier.open_record()
        ready = {"source_id": options.source_id, "name": options.name, "uid": amplifier.uid}
        print(json.dumps(ready), flush=True)
        gc.collect()
        gc.freeze()
        looked_ns = 0
        while True:
            due_ns = amplifier.due_ns()
            while (now_ns := time.monotonic_ns()) < due_ns:
                time.sleep(min(due_ns - now_ns, _SLEEP_NS_MAX) * 1e-9)
            if now_ns - looked_ns >= _SLEEP_NS_MAX:
                looked_ns = now_ns
                if stop.asked():
                    return
                while stop.typed:
                    amplifier.typed(stop.typed.pop(0))
            amplifier.block(now_ns - due_ns)
    finally:
        amplifier.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sim.amplifier", description=__doc__, allow_abbrev=False)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--preset", default="demo", help=", ".join(PRESETS))
    parser.add_argument("--name", default="nociloop-patient")
    parser.add_argument("--source-id", default="nociloop-patient")
    parser.add_argument("--sfreq", type=float, default=500.0, help="Hz")
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--block-samples", type=int, default=10)
    parser.add_argument("--field", type=Path, help="Unix datagram socket to bind; devices send to it")
    parser.add_argument("--truth", type=Path, help="JSONL file to append to")
    parser.add_argument(
        "--die-with-stdin", action="store_true",
        help="end when standard input ends; its lines are `fault NAME:AT_S:...`, AT_S from then on",
    )  # fmt: skip
    parser.add_argument("--fault", action="append", default=[], help=faults.USAGE)
    parser.add_argument(
        "--impostor", type=float, help="after so many s, a second outlet of the same name and source_id"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    found = _parser().parse_args(arguments)
    options = Options(
        seed=found.seed,
        preset=found.preset,
        name=found.name,
        source_id=found.source_id,
        sfreq_hz=found.sfreq,
        channels=found.channels,
        block_samples=found.block_samples,
        field=found.field,
        truth=found.truth,
        die_with_stdin=found.die_with_stdin,
        faults=tuple(found.fault),
        impostor_at_s=found.impostor,
    )
    return run_reported(options)


def run_reported(options: Options) -> int:
    """`run`, with what can go wrong as one line and an exit status."""
    try:
        run(options)
    except AmplifierError as error:
        print(f"amplifier: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"amplifier: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        return 70
    return 0


if __name__ == "__main__":
    sys.exit(main())
