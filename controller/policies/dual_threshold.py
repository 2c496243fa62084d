"""dual_threshold: above one threshold more, below the other less, between them hold; for holds and for trains.

The slow law of adaptive deep-brain stimulation (ADAPT-PD's dual threshold, which adapts over minutes), made
general: a Hold's amplitude moves at a rate, a PulseTrain is asked for as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from controller.config import Config as BaseConfig
from controller.eeg import Reading
from controller.policies.room import Room, round_down, with_amplitude
from drivers.stimulation import BurstTrain, Hold, Train, amplitude, duration_ns
from safety.messages import Allowed

RENEW_SHARE: Final = 0.4  # of the lease: two more tries fit into the rest (own choice)
HOP_SHARE_MAX: Final = 0.55  # of the lease: a hop later than RENEW_SHARE must still come before its end

Positive = Annotated[float, Field(gt=0)]


class DualThresholdConfig(BaseConfig):
    """Thresholds in the biomarker's unit, `rate_per_s` and `step` in the amplitude's (mA peak to peak, % MSO)."""

    biomarker: Annotated[str, Field(min_length=1)]
    hi: float
    lo: float
    stimulate: Literal["above", "below"] = "above"
    step: Positive
    rate_per_s: Positive | None = None
    # How long a Hold stays as it is when there is no reading, before it steps down (own choice).
    hold_s: Annotated[float, Field(ge=0, le=60)] = 2.0
    # Between the end of one PulseTrain and the request for the next (own choice; the limits have their own).
    refractory_s: Annotated[float, Field(ge=0, le=3600)] = 30.0
    # The response is of the wrong sign where, N windows in a row under stimulation, the mean of a window lies
    # more than the margin on the worse side of the window before (Afshar 2013, after-discharge at high
    # amplitude; the numbers are an own choice). Default margin: half the distance between the thresholds.
    response_s: Positive = 10.0
    response_windows: Annotated[int, Field(ge=1, le=100)] = 3
    response_margin: Annotated[float, Field(ge=0)] | None = None
    lockout_s: Annotated[float, Field(ge=0, le=3600)] = 60.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.lo <= self.hi:
            raise ValueError(f"found lo {self.lo:g} above hi {self.hi:g}, expected lo at most hi")
        return self


class DualThreshold:
    """Law 2: b > hi raises by rate * T, b < lo lowers, in between hold; within what is allowed."""

    Config = DualThresholdConfig

    def __init__(self, config: DualThresholdConfig, train: Train, hop_s: float) -> None:
        if not (math.isfinite(hop_s) and hop_s > 0):
            raise ValueError(f"hop: found {hop_s:g} s, expected above 0")
        self.response = math.nan
        self._config = config
        self._train = train
        self._room = Room(train)
        self._hop_s = hop_s
        self._lease_ns = duration_ns(train)
        sign = 1.0 if config.stimulate == "above" else -1.0
        self._sign = sign
        self._hi, self._lo = (config.hi, config.lo) if sign > 0 else (-config.lo, -config.hi)
        margin = config.response_margin
        self._monitor = _Response(
            period_ns=round(config.response_s * 1e9),
            windows=config.response_windows,
            margin=(self._hi - self._lo) / 2.0 if margin is None else margin,
        )
        self._locked_until_ns: int | None = None
        self._blind_since_ns: int | None = None
        self._level = 0.0
        self._asked = 0.0
        self._asked_ns: int | None = None
        self._check()

    def decide(self, readings: Mapping[str, Reading], allowed: Allowed, now_ns: int) -> Train | None:
        """One hop: a Train to ask for, or None. NaN is no reason to raise, nor for long to stay."""
        reading = readings.get(self._config.biomarker)
        value = math.nan if reading is None else reading.value
        if math.isfinite(value):
            self.response = value
            self._blind_since_ns = None
            if self._monitor.wrong(self._sign * value, self._active(now_ns), now_ns):
                self._locked_until_ns = now_ns + round(self._config.lockout_s * 1e9)
        elif self._blind_since_ns is None:
            self._blind_since_ns = now_ns
        if isinstance(self._train.waveform, Hold):
            return self._decide_hold(self._sign * value, allowed, now_ns)
        return self._decide_train(self._sign * value, allowed, now_ns)

    def _check(self) -> None:
        config, wave = self._config, self._train.waveform
        if self._train.modality == "ctbs" and isinstance(wave, BurstTrain):
            longest_s = HOP_SHARE_MAX / wave.bursts_hz
            if self._hop_s > longest_s:
                raise ValueError(
                    f"hop: found {self._hop_s:g} s with {wave.bursts_hz:g} bursts a second; the next segment must begin "
                    f"within their period, so expected a hop of at most {longest_s:g} s"
                )
        if not isinstance(wave, Hold):
            return
        if config.rate_per_s is None:
            raise ValueError("rate_per_s: missing, expected the rate of a hold in mA peak to peak a second")
        lease_s = self._lease_ns / 1e9
        if self._hop_s > HOP_SHARE_MAX * lease_s:
            raise ValueError(
                f"hop: found {self._hop_s:g} s with a hold of {lease_s:g} s; a hold is renewed once a "
                f"hop, so expected a hop of at most {HOP_SHARE_MAX * lease_s:g} s"
            )

    def _active(self, now_ns: int) -> bool:
        """Whether stimulation, as asked, acts on this reading."""
        if self._asked_ns is None or self._asked <= 0:
            return False
        after_s = self._config.response_s
        if not isinstance(self._train.waveform, Hold):
            after_s += self._config.refractory_s  # trains in a row are one course of stimulation
        return now_ns - self._asked_ns <= self._lease_ns + round(after_s * 1e9)

    def _locked(self, now_ns: int) -> bool:
        return self._locked_until_ns is not None and now_ns < self._locked_until_ns

    def _direction(self, value: float, now_ns: int) -> int:
        """+1 up, 0 hold, -1 down, for a Hold."""
        if self._locked(now_ns):
            return -1
        if self._blind_since_ns is not None:
            return -1 if now_ns - self._blind_since_ns >= self._config.hold_s * 1e9 else 0
        if value > self._hi:
            return 1
        return -1 if value < self._lo else 0

    def _decide_hold(self, value: float, allowed: Allowed, now_ns: int) -> Train | None:
        ceiling = self._room.ceiling(allowed)
        if now_ns < allowed.not_before_ns:
            ceiling = 0.0  # the off-time after a lapse: the next hold starts from zero
        moved = self._level + self._direction(value, now_ns) * (self._config.rate_per_s or 0.0) * self._hop_s
        self._level = min(max(moved, 0.0), ceiling)
        target = round_down(self._level, self._config.step, ceiling)
        if target < self._room.low():
            target = 0.0
        since_ns = math.inf if self._asked_ns is None else now_ns - self._asked_ns
        due = target != self._asked or not 0 <= since_ns < RENEW_SHARE * self._lease_ns
        if target <= 0.0:
            # What was just asked may not have been reported yet; after a lapse there is nothing to come down.
            awaited = self._asked > 0 and since_ns < self._lease_ns and now_ns >= allowed.not_before_ns
            if not (allowed.amplitude_now > 0 or awaited):
                self._asked = 0.0
                return None
        return self._ask(target, now_ns) if due else None

    def _decide_train(self, value: float, allowed: Allowed, now_ns: int) -> Train | None:
        ceiling = self._room.ceiling(allowed)  # each time: it remembers the rows
        if self._locked(now_ns):
            return None
        # A train in segments was begun by a reading and goes on to its end without: its own pulses spoil the EEG.
        goes_on = 0 < allowed.next_from_ns <= now_ns <= allowed.next_until_ns
        begins = self._blind_since_ns is None and value > self._hi and self._rested(allowed, now_ns)
        if not (goes_on or begins):
            return None
        target = round_down(amplitude(self._train), self._config.step, ceiling)
        if target <= 0.0 or target < self._room.low():
            return None
        return self._ask(target, now_ns)

    def _rested(self, allowed: Allowed, now_ns: int) -> bool:
        """Whether another train may follow the one before."""
        if now_ns < max(allowed.not_before_ns, allowed.busy_until_ns):
            return False
        rest_ns = self._lease_ns + round(self._config.refractory_s * 1e9)
        return self._asked_ns is None or now_ns >= self._asked_ns + rest_ns

    def _ask(self, target: float, now_ns: int) -> Train:
        self._asked, self._asked_ns = target, now_ns
        return with_amplitude(self._train, target)


class _Response:
    """Watches the sign of the response: mean of each window against the one before."""

    def __init__(self, *, period_ns: int, windows: int, margin: float) -> None:
        self._period_ns = period_ns
        self._windows = windows
        self._margin = margin
        self._start_ns: int | None = None
        self._sum = 0.0
        self._n = 0
        self._active = True
        self._before: float | None = None
        self._wrong = 0

    def wrong(self, value: float, active: bool, now_ns: int) -> bool:
        """Take a value in; True at the end of the last of N windows of the wrong sign."""
        if self._start_ns is None or now_ns < self._start_ns:
            self._begin(now_ns)
        elif now_ns - self._start_ns >= self._period_ns:
            mean = self._sum / self._n
            worse = self._before is not None and mean - self._before > self._margin
            self._wrong = self._wrong + 1 if worse and self._active else 0
            self._before = mean
            self._begin(now_ns)
        self._sum += value
        self._n += 1
        self._active = self._active and active
        if self._wrong < self._windows:
            return False
        self._wrong = 0
        return True

    def _begin(self, now_ns: int) -> None:
        self._start_ns, self._sum, self._n, self._active = now_ns, 0.0, 0, True
