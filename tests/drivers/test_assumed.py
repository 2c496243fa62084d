"""What nobody confirms counts as delivered: never less than what may have gone out."""

from __future__ import annotations

from drivers.assumed import GRACE_NS, Assumed
from drivers.stimulation import Delivery
from tests.drivers.peer import hold, pulses

ONSET = 1_000_000_000


def slice_(token: int, start_ns: int, end_ns: int, *, n_pulses: int = 0, ended: bool = False) -> Delivery:
    return Delivery(
        token=token,
        start_ns=start_ns,
        end_ns=end_ns,
        amplitude=0.5,
        n_pulses=n_pulses,
        ended=ended,
        confirmed=True,
    )


def test_an_unknown_fire_counts_in_full_with_its_ramp() -> None:
    assumed = Assumed()
    assumed.fired(3, hold(1.5), ONSET)
    assert assumed.unknown(3) == [
        Delivery(
            token=3,
            start_ns=ONSET,
            end_ns=ONSET + 350_000_000,
            amplitude=1.5,
            n_pulses=0,
            ended=True,
            confirmed=False,
        )
    ]
    assert assumed.unknown(3) == assumed.everything() == []


def test_what_was_confirmed_is_not_counted_twice() -> None:
    assumed = Assumed()
    assumed.fired(1, pulses(60.0, n_pulses=5, rate_hz=50.0), ONSET)
    assumed.confirmed(slice_(1, ONSET, ONSET + 40_000_000, n_pulses=2))
    assumed.confirmed(slice_(9, ONSET, ONSET + 40_000_000, n_pulses=2))
    (rest,) = assumed.everything()
    assert (rest.start_ns, rest.end_ns) == (ONSET + 40_000_000, ONSET + 100_000_000)
    assert (rest.n_pulses, rest.amplitude) == (3, 60.0)


def test_a_confirmed_end_leaves_nothing_to_assume() -> None:
    assumed = Assumed()
    assumed.fired(1, hold(), ONSET)
    assumed.confirmed(slice_(1, ONSET, ONSET + 1, ended=True))
    assert assumed.everything() == []


def test_a_refused_fire_leaves_nothing_to_assume() -> None:
    assumed = Assumed()
    assumed.fired(1, hold(), ONSET)
    assumed.withdrawn(1)
    assumed.withdrawn(1)
    assert assumed.everything() == []


def test_a_device_that_confirms_more_than_was_fired_leaves_a_span_that_can_be() -> None:
    assumed = Assumed()
    assumed.fired(1, pulses(n_pulses=5), ONSET)
    assumed.confirmed(slice_(1, ONSET, ONSET + 10**12, n_pulses=50))
    (rest,) = assumed.everything()
    assert rest.start_ns <= rest.end_ns
    assert rest.n_pulses == 0


def test_an_end_that_is_never_confirmed_is_assumed_after_its_grace() -> None:
    assumed = Assumed()
    assumed.fired(1, hold(), ONSET)
    assumed.started(1, ONSET + 5)
    last_ns = ONSET + 5 + 350_000_000 + GRACE_NS
    assert assumed.overdue(last_ns) == []
    (late,) = assumed.overdue(last_ns + 1)
    assert late.start_ns == ONSET + 5
    assert assumed.everything() == []


def test_a_renewed_hold_counts_to_its_new_end_and_what_was_not_told_stays_untold() -> None:
    assumed = Assumed()
    assumed.fired(3, hold(1.5), ONSET)
    assumed.confirmed(slice_(3, ONSET, ONSET + 100_000_000))
    assert assumed.running(3) and not assumed.running(4)
    assumed.renewed(3, ONSET + 200_000_000)
    assumed.started(3, ONSET + 201_000_000)
    (told,) = assumed.everything()
    assert (told.start_ns, told.end_ns) == (ONSET + 100_000_000, ONSET + 551_000_000)


def test_a_renewal_that_was_refused_leaves_the_end_as_it_was() -> None:
    assumed = Assumed()
    assumed.fired(3, hold(1.5), ONSET)
    assumed.renewed(3, ONSET + 200_000_000)
    assumed.withdrawn(3)
    (told,) = assumed.unknown(3)
    assert (told.start_ns, told.end_ns) == (ONSET, ONSET + 350_000_000)


def test_a_renewal_whose_answer_is_lost_counts_in_full() -> None:
    assumed = Assumed()
    assumed.fired(3, hold(1.5), ONSET)
    assumed.renewed(3, ONSET + 200_000_000)
    (told,) = assumed.unknown(3)
    assert (told.start_ns, told.end_ns) == (ONSET, ONSET + 550_000_000)


def test_a_train_is_nothing_to_renew() -> None:
    assumed = Assumed()
    assumed.fired(3, pulses(), ONSET)
    assert not assumed.running(3)
