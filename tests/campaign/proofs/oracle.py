"""Two hands, one verdict: whatever the first implementation of the limits permits, the second in exact rationals does.

Plain seeded random trains, most of them near a limit of random limits files. What the first hand refuses and the second
would let pass is counted (`stricter`): it is no fault, but much of it would mean that the second hand sees too little.
"""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import cast, get_args

import msgspec

from drivers.capabilities import Capabilities, Envelope
from drivers.stimulation import Modality, Train
from safety.limit_values import Limits
from safety.modalities import Declared, Facts, check, check_slew, quantities_of
from safety.oracle import objections
from safety.oracle_numbers import Circumstances, exact
from tests.campaign.proof import Case, Outcome, Proof
from tests.safety.strategies import TODAY, caps_of, valid_train, with_quantity
from tests.safety.test_oracle import random_limits

MODALITIES: tuple[Modality, ...] = get_args(Modality)
REQUESTS = 2_000  # of a trial
FILES = 8  # limits files of a trial
STRANGE = (0.0, -0.0, -1.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, True, "1", None, 2**60)


def cases() -> list[Case]:
    """One a modality; a million in all."""
    each = -(-1_000_000 // len(MODALITIES))
    return [
        Case(name=modality, short=REQUESTS, long=each, unit="requests", measure="stricter_pct")
        for modality in MODALITIES
    ]


def run(case: str, seed: int) -> Outcome:
    """Some thousand requests of one modality."""
    modality = cast(Modality, case)
    rng = random.Random(f"oracle/{case}/{seed}")
    permitted = objected = stricter = 0
    for index in range(REQUESTS):
        if index % (REQUESTS // FILES) == 0:
            limits, caps = random_limits(modality, rng), _device(modality, rng)
        train = _train(modality, limits, caps, rng)
        kohm = rng.choice([5.0, 5.0, 5.0, 5.0, 10.0, 15.0, 20.0, 20.000001, 0.0, math.nan, None])
        present = rng.choice([0.0, 0.0, round(rng.uniform(0.0, 2.0), 3)])
        refused = check(train, limits, caps, Facts(today=TODAY, impedance_kohm=kohm))
        refused = refused or check_slew(train, present, limits)
        found = objections(
            train,
            Circumstances(
                limits=limits, capabilities=caps, today=TODAY, simulated=True, impedance_kohm=kohm,
                least_ma_pp=exact(present) or Fraction(0),
            ),
        )  # fmt: skip
        permitted += not refused
        objected += bool(found)
        stricter += bool(refused) and not found
        if found and not refused:
            return Outcome(
                "failed", f"permitted, and the oracle objects {found}: {train} under {limits.rows}"
            )
    measured = {
        "n": REQUESTS,
        "permitted": permitted,
        "objected": objected,
        "stricter_pct": 100 * stricter / REQUESTS,
    }
    if permitted < REQUESTS // 100 or objected < REQUESTS // 20:
        return Outcome(
            "void", f"{permitted} permitted and {objected} objected of {REQUESTS}: too one-sided", measured
        )
    return Outcome("held", "", measured)


def _device(modality: Modality, rng: random.Random) -> Capabilities:
    """The usual device, at times without steps."""
    caps = caps_of(modality)
    if rng.random() < 0.3:
        free: dict[str, Envelope] = {
            name: msgspec.structs.replace(each, step=0.0) for name, each in caps.envelopes.items()
        }
        caps = msgspec.structs.replace(caps, envelopes=free)
    return caps


def _train(modality: Modality, limits: Limits, caps: Capabilities, rng: random.Random) -> Train:
    """The valid train with a few of its numbers elsewhere: at a limit, a hair beyond it, anywhere, or no number at all."""
    train = valid_train(modality)
    asked = [declared for declared in quantities_of(modality) if declared.asked]
    for declared in rng.sample(asked, rng.choice((0, 1, 1, 1, 2, 2, 3))):
        train = with_quantity_of(train, modality, declared, _value(declared, limits, caps, rng))
    return train


def with_quantity_of(train: Train, modality: Modality, declared: Declared, value: object) -> Train:
    """`train` with one quantity changed; the others stay as they are."""
    changed = with_quantity(modality, declared.name, value)
    return _merged(train, changed, valid_train(modality))


def _merged(train: Train, changed: Train, valid: Train) -> Train:
    """All that `changed` differs in from `valid`, put into `train`."""
    return cast(Train, _merge(train, changed, valid))


def _merge(into: object, changed: object, valid: object) -> object:
    if (
        isinstance(changed, msgspec.Struct)
        and isinstance(into, msgspec.Struct)
        and type(changed) is type(valid)
    ):
        return type(into)(
            **{
                name: _merge(getattr(into, name), getattr(changed, name), getattr(valid, name))
                for name in into.__struct_fields__
            }
        )
    same = changed is valid or (type(changed) is type(valid) and changed == valid)
    return into if same else changed


def _value(declared: Declared, limits: Limits, caps: Capabilities, rng: random.Random) -> object:
    if rng.random() < 0.03:
        return rng.choice(STRANGE)
    ends = [declared.low, declared.high]
    ends += [end for row in limits.rows if row.quantity == declared.name for end in (row.low, row.high)]
    envelope = caps.envelopes.get(declared.name)
    step = (1.0 if declared.integer else 0.01) if envelope is None or envelope.step <= 0 else envelope.step
    end = rng.choice(ends)
    at = rng.choice(
        (
            end, end, end + step, end - step, math.nextafter(end, math.inf), math.nextafter(end, -math.inf),
            rng.uniform(min(ends), max(ends)), rng.uniform(min(ends), max(ends)),
        )
    )  # fmt: skip
    if declared.integer and rng.random() < 0.98:
        return round(at)
    if rng.random() < 0.5:
        return float(round(at / step) * step)
    return round(at, rng.choice((1, 2, 3, 17)))


PROOF = Proof(name="oracle", title=__doc__.partition("\n")[0], cases=cases, run=run, timeout_s=120.0)
