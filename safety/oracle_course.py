"""What the oracle holds of one permitted request: its output as a line, what is told of it, what is outstanding."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from drivers.stimulation import Delivery, Hold, Pulses, Sonication, Train
from safety.messages import Request
from safety.oracle_carriers import amplitude_asked, charging_ma, groups, same_shape
from safety.oracle_numbers import exact

MS = 1_000_000
S = 1_000_000_000
CLOCKS_NS = 60 * MS  # own choice: how far a device's times, mapped onto the host's clock, may be off


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangle:
    """Output between two instants, at no more than `ma`, the current by which charge is counted."""

    start_ns: int
    end_ns: int
    ma: Fraction


def union(rectangles: Iterable[Rectangle]) -> tuple[int, Fraction]:
    """The time that is covered, in ns, and the greatest current at each instant summed over it, in mA ns."""
    real = [each for each in rectangles if each.end_ns > each.start_ns]
    edges = sorted({edge for each in real for edge in (each.start_ns, each.end_ns)})
    covered_ns, area = 0, Fraction(0)
    for start_ns, end_ns in itertools.pairwise(edges):
        here = [each.ma for each in real if each.start_ns <= start_ns and end_ns <= each.end_ns]
        if here:
            covered_ns += end_ns - start_ns
            area += max(here) * (end_ns - start_ns)
    return covered_ns, area


@dataclass(slots=True, kw_only=True, eq=False)
class Course:
    """A permitted request on its way. `least` and `most`: what may have come out when it began. `joined`: the bursts
    of the segments before it that are of the same train, which began at `joined_ns`. `renews`: the course
    whose hold it asks to go on with; once the device has told that, it stands for both. `run_ns`: when the holds without a
    pause that it is one of began."""

    request: Request
    permitted_ns: int
    until_ns: int
    onset_at_ns: int
    prepare: int = 0
    joined: int = 0
    joined_ns: int | None = None
    token: int | None = None
    renews: Course | None = None
    fire: int | None = None
    fire_ns: int = 0
    onset_ns: int | None = None
    least: Fraction = Fraction(0)
    most: Fraction = Fraction(0)
    told_ns: int | None = None
    pulses: int = 0
    spent_ns: int = 0
    ended_ns: int | None = None
    run_ns: int | None = None
    stop_ns: int = 0
    failed: bool = False

    @property
    def target(self) -> Fraction:
        return amplitude_asked(self.request.train.waveform) or Fraction(0)

    @property
    def pulses_asked(self) -> int:
        """All pulses of the train; of a hold none are counted."""
        n, each, _ = groups(self.request.train.waveform)
        return n * each

    def _charging(self, amplitude: Fraction) -> Fraction:
        return charging_ma(amplitude, self.request.train.waveform)

    @property
    def begins_ns(self) -> int:
        """Its onset as the device told it, else the earliest that it can have."""
        return self.onset_ns if self.onset_ns is not None else max(self.fire_ns, self.onset_at_ns)

    @property
    def lasts_ns(self) -> int:
        """From its onset until it begins to end by itself, rounded up."""
        wave = self.request.train.waveform
        if isinstance(wave, Hold):
            return wave.duration_ms * MS
        if isinstance(wave, Sonication):
            return wave.sonication_ms * MS
        n, _, rate = groups(wave)
        return -(-n * S * rate.denominator // rate.numerator) if rate else 0

    @property
    def zero_ns(self) -> int:
        """When its output must be over."""
        wave = self.request.train.waveform
        return self.begins_ns + self.lasts_ns + (wave.ramp_down_ms * MS if isinstance(wave, Hold) else 0)

    @property
    def over_ns(self) -> int:
        """When a device that obeys has put out the last of it: a stop by ramp takes its own time, from the stop on."""
        wave = self.request.train.waveform
        ramp_ns = wave.ramp_down_ms * MS if isinstance(wave, Hold) else 0
        return max(self.zero_ns, self.stop_ns + ramp_ns) if self.stop_ns else self.zero_ns

    @property
    def settled_ns(self) -> int:
        """Until then a hold that took over from a higher one may still be above its own amplitude."""
        wave = self.request.train.waveform
        falls = isinstance(wave, Hold) and self.most > self.target
        return self.begins_ns + (wave.ramp_down_ms * MS if isinstance(wave, Hold) and falls else 0)

    def is_out(self) -> bool:
        """Whether it was fired, and nothing says yet that it is over."""
        return self.fire is not None and self.ended_ns is None and not self.failed

    def is_on_its_way(self) -> bool:
        """Whether the device has it, or is about to, and has not said that it began."""
        return not self.failed and self.ended_ns is None and self.onset_ns is None

    def ceiling_at(self, at_ns: int) -> Fraction:
        return max(self.target, self.most) if at_ns <= self.settled_ns else self.target

    def jumps_to(self, train: Train, at_ns: int) -> bool:
        """Whether a hold of other outputs, or of other pulses, would come in one step: what was put out leads nowhere."""
        wave, runs = train.waveform, self.request.train.waveform
        if not isinstance(wave, Hold) or not isinstance(runs, Hold) or self.ceiling_at(at_ns) == 0:
            return False
        parts = [sorted((o.name, o.share) for o in each.outputs) for each in (train, self.request.train)]
        pulsed = isinstance(wave.carrier, Pulses) or isinstance(runs.carrier, Pulses)
        return parts[0] != parts[1] or (pulsed and not same_shape(wave, runs))

    def level(self, at_ns: int) -> Fraction:
        """The least that a hold can put out at an instant: straight to its amplitude, then down after its lease."""
        wave = self.request.train.waveform
        if not isinstance(wave, Hold) or (self.ended_ns is not None and at_ns > self.ended_ns + CLOCKS_NS):
            return Fraction(0)
        lapse_ns = self.begins_ns + self.lasts_ns
        if at_ns <= lapse_ns:
            return self._line(wave, at_ns)
        fallen = Fraction(at_ns - lapse_ns, max(1, wave.ramp_down_ms * MS))
        return self._line(wave, lapse_ns) * max(Fraction(0), 1 - fallen)

    def _line(self, wave: Hold, at_ns: int) -> Fraction:
        ramp_ms = wave.ramp_up_ms if self.target >= self.least else wave.ramp_down_ms
        done = Fraction(at_ns - self.begins_ns, max(1, ramp_ms * MS))
        return self.least + (self.target - self.least) * min(max(done, Fraction(0)), Fraction(1))

    def go_on(self, onset_ns: int) -> None:
        """It goes on where the course that it renews was told to be; that one is nothing any more by itself."""
        before = self.renews
        if before is None:
            return
        self.token, self.permitted_ns, self.spent_ns = before.token, before.permitted_ns, before.spent_ns
        self.told_ns = before.begins_ns if before.told_ns is None else before.told_ns
        self.least, self.most = before.level(onset_ns), before.ceiling_at(self.told_ns)
        before.ended_ns, self.onset_ns = onset_ns, onset_ns

    def outstanding(self) -> Iterator[Rectangle]:
        """What may still come out of a hold, or may have come out untold: all that was permitted, until told."""
        if not isinstance(self.request.train.waveform, Hold):
            return
        start_ns = self.begins_ns if self.told_ns is None else self.told_ns
        settled_ns = min(max(self.settled_ns, start_ns), self.zero_ns)
        most = self._charging(max(self.target, self.most))
        yield Rectangle(start_ns=start_ns, end_ns=settled_ns, ma=most)
        yield Rectangle(start_ns=settled_ns, end_ns=self.zero_ns, ma=self._charging(self.target))

    def tell(self, slice_: Delivery) -> Rectangle:
        """Take a slice of its delivery; what came out since the slice before, gaps at all that was permitted."""
        if self.told_ns is None:
            self.told_ns = min(slice_.start_ns, self.begins_ns)
        amplitude = exact(slice_.amplitude) or Fraction(0)
        since_ns = min(self.told_ns, slice_.start_ns)
        if not slice_.confirmed or slice_.start_ns > self.told_ns + MS:
            amplitude = max(amplitude, self.ceiling_at(since_ns))
        ma = self._charging(amplitude)
        told = Rectangle(start_ns=since_ns, end_ns=max(since_ns, slice_.end_ns), ma=ma)
        self.told_ns = max(self.told_ns, slice_.end_ns)
        self.pulses += slice_.n_pulses
        self.spent_ns += told.end_ns - told.start_ns
        if slice_.ended:
            self.ended_ns = slice_.end_ns if slice_.confirmed else max(slice_.end_ns, self.zero_ns)
        return told

    def remaining(self) -> tuple[int, int]:
        """Pulses and ns that may still come of a train that ends by their number."""
        if isinstance(self.request.train.waveform, Hold):
            return 0, 0
        return max(0, self.pulses_asked - self.pulses), max(0, self.lasts_ns - self.spent_ns)
