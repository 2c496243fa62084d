"""The effective limits of a file alone, before any device has been asked: for `check`."""

from __future__ import annotations

from drivers.capabilities import Capabilities, Envelope
from drivers.stimulation import Train
from safety import clocks
from safety.limit_values import Limits
from safety.messages import Row
from safety.modalities import Facts, check, check_facts, quantities_of, rows

ANY_DEVICE = "any device"


def rows_of_file(limits: Limits) -> tuple[Row, ...]:
    """The least of the file's layers for each quantity; a device may narrow it further."""
    return rows(limits, _any_device(limits))


def objections(limits: Limits, train: Train) -> tuple[str, ...]:
    """Why this file would refuse this train today, whatever the device; a line each."""
    impedance = next((row for row in rows_of_file(limits) if row.quantity == "impedance_kohm"), None)
    facts = Facts(today=clocks.today(), impedance_kohm=None if impedance is None else impedance.high)
    reasons = check(train, limits, _any_device(limits), facts)
    seen = dict.fromkeys(f"{reason.code} {reason.text}" for reason in (*check_facts(limits, facts), *reasons))
    return tuple(seen)


def _any_device(limits: Limits) -> Capabilities:
    """A device that can do whatever is asked: its envelopes are the absolute bounds."""
    return Capabilities(
        driver=limits.device.driver,
        model=ANY_DEVICE,
        serial=limits.device.identity,
        firmware="",
        modalities=(limits.modality,),
        outputs=tuple(contact.name for contact in limits.contacts),
        envelopes={
            q.name: Envelope(low=q.low, high=q.high, step=0.0) for q in quantities_of(limits.modality)
        },
        onset_latency_ns=0,
        stop_latency_ns=0,
        link_timeout_ms=0,
        ends_by_itself=True,
        stops_on_link_loss=True,
        confirms=True,
        reads_back=True,
        measures_impedance=True,
        renews=True,
        grade="simulated",
    )
