"""What to take for delivered where nobody confirms it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.stimulation import Delivery, Hold, Train, amplitude, duration_ns, n_pulses

# A device reports the end of a train at once. This much later the report is taken for lost. Own choice.
GRACE_NS = 1_000_000_000


@dataclass(slots=True, kw_only=True)
class _Fired:
    train: Train
    reported_ns: int
    ends_ns: int
    pulses_left: int
    before_ns: int | None = None


class Assumed:
    """The trains that were fired and of which the end is not confirmed. Unknown delivery counts as delivered."""

    def __init__(self) -> None:
        self._fired: dict[int, _Fired] = {}

    def fired(self, token: int, train: Train, onset_ns: int) -> None:
        """A train was sent to start at `onset_ns`."""
        self._fired[token] = _Fired(
            train=train,
            reported_ns=onset_ns,
            ends_ns=onset_ns + _lasts_ns(train),
            pulses_left=n_pulses(train),
        )

    def renewed(self, token: int, onset_ns: int) -> None:
        """The lease of a running hold was told to begin anew; what was not reported yet stays unreported."""
        fired = self._fired[token]
        fired.before_ns = fired.ends_ns
        fired.ends_ns = max(fired.ends_ns, onset_ns + _lasts_ns(fired.train))

    def running(self, token: int) -> bool:
        """Whether a hold was fired under this token, and its end is not confirmed."""
        fired = self._fired.get(token)
        return fired is not None and isinstance(fired.train.waveform, Hold)

    def started(self, token: int, onset_ns: int) -> None:
        """The device named the onset that it plans; a slice that came before keeps what it said."""
        fired = self._fired.get(token)
        if fired is None:
            return
        fired.ends_ns = onset_ns + _lasts_ns(fired.train)
        if fired.before_ns is None:
            fired.reported_ns = max(fired.reported_ns, onset_ns)

    def withdrawn(self, token: int) -> None:
        """The driver says that nothing went out; of a renewal: nothing more than before."""
        fired = self._fired.pop(token, None)
        if fired is not None and fired.before_ns is not None:
            fired.ends_ns = fired.before_ns
            self._fired[token] = fired

    def confirmed(self, delivery: Delivery) -> None:
        """The device confirmed a slice."""
        fired = self._fired.get(delivery.token)
        if fired is None:
            return
        if delivery.ended:
            del self._fired[delivery.token]
            return
        fired.reported_ns = max(fired.reported_ns, delivery.end_ns)
        fired.pulses_left = max(0, fired.pulses_left - delivery.n_pulses)

    def unknown(self, token: int) -> list[Delivery]:
        """Whether this one went out cannot be known: all of it did."""
        return self._take([token] if token in self._fired else [])

    def overdue(self, now_ns: int) -> list[Delivery]:
        """Those whose end should have been confirmed by now."""
        return self._take(
            [token for token, fired in self._fired.items() if now_ns > fired.ends_ns + GRACE_NS]
        )

    def everything(self) -> list[Delivery]:
        """The link is gone, or the host ends: all that is open."""
        return self._take(list(self._fired))

    def _take(self, tokens: list[int]) -> list[Delivery]:
        deliveries = []
        for token in tokens:
            fired = self._fired.pop(token)
            deliveries.append(
                Delivery(
                    token=token,
                    start_ns=min(fired.reported_ns, fired.ends_ns),
                    end_ns=fired.ends_ns,
                    amplitude=amplitude(fired.train),
                    n_pulses=fired.pulses_left,
                    ended=True,
                    confirmed=False,
                )
            )
        return deliveries


def _lasts_ns(train: Train) -> int:
    wave = train.waveform
    return duration_ns(train) + (wave.ramp_down_ms * 1_000_000 if isinstance(wave, Hold) else 0)
