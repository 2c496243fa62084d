"""Whole ledgers before the oracle: those of the interlock's own making pass, and no bent one does."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from drivers.link import CallFailed, Delivered, Fired, Opened, Prepared
from drivers.stimulation import Hold, Modality, PulseTrain, Train
from safety.entries import GENESIS_HASH, Close, Entry, Genesis
from safety.events import ActPresented, Asked, FireAsked, HostSaid, Joined, Now
from safety.messages import Request
from safety.oracle_ledger import check_ledger, judge
from safety.software import software
from safety.verdict_words import said_of
from safety.verify import verify
from tests.safety.bench_device import MS
from tests.safety.strategies import hold, pulses
from tests.safety.world import T0, World, rules_of

Ledger = tuple[Genesis | Entry, ...]
bend = msgspec.structs.replace


def ledger_of(world: World) -> Ledger:
    genesis = Genesis(
        prev=GENESIS_HASH, seq=0, kind="genesis", now=T0, utc="", boot_id="boot", rules=world.rules, state=world.first,
        software=software(),
    )  # fmt: skip
    return (genesis, *world.entries)


@functools.cache
def good(modality: Modality) -> Ledger:
    """Two requests that were permitted, fired and delivered; the second prepared first, and fired by a request."""
    world = World(rules=rules_of(modality)).armed()
    train = hold(0.5, duration_ms=400) if modality == "tacs" else pulses(45.0, 10.0, 20)
    world.ask(train)
    world.run_ms(2000 if modality == "tacs" else 32_000)
    world.ask(train, onset_at_ns=-1)
    world.run_ms(30)
    world.fire(world.ids)
    world.run_ms(1000 if modality == "tacs" else 3000)
    assert len(world.permits()) == 3
    return ledger_of(world)


def find(ledger: Ledger, kind: type[object], nth: int = 0) -> int:
    """The index of the nth entry whose event, or whose host's message, is of a kind."""
    found = [
        index
        for index, line in enumerate(ledger)
        if isinstance(line, Entry)
        and isinstance(line.event.message if isinstance(line.event, HostSaid) else line.event, kind)
    ]
    return found[nth]


def permit_at(ledger: Ledger, nth: int = 0) -> int:
    return [
        index
        for index, line in enumerate(ledger)
        if isinstance(line, Entry) and any(effect.startswith("permit") for effect in line.effects)
    ][nth]


def entry(ledger: Ledger, index: int) -> Entry:
    line = ledger[index]
    assert isinstance(line, Entry)
    return line


def at(ledger: Ledger, index: int, **bent: object) -> Ledger:
    return (*ledger[:index], bend(ledger[index], **bent), *ledger[index + 1 :])


def with_request(ledger: Ledger, change: Callable[[Request], Request], nth: int = 0) -> Ledger:
    index = find(ledger, Asked, nth)
    event = entry(ledger, index).event
    assert isinstance(event, Asked)
    return at(ledger, index, event=Asked(request=change(event.request)))


def with_train(ledger: Ledger, change: Callable[[Train], Train], nth: int = 0) -> Ledger:
    return with_request(ledger, lambda request: bend(request, train=change(request.train)), nth)


def with_evidence(ledger: Ledger, **bent: object) -> Ledger:
    return with_request(ledger, lambda request: bend(request, evidence=bend(request.evidence, **bent)))


def with_delivery(ledger: Ledger, nth: int = 0, **bent: object) -> Ledger:
    index = find(ledger, Delivered, nth)
    event = entry(ledger, index).event
    assert isinstance(event, HostSaid)
    assert isinstance(event.message, Delivered)
    delivery = bend(event.message.delivery, **bent)
    return at(ledger, index, event=HostSaid(message=Delivered(delivery=delivery)))


def with_rules(ledger: Ledger, **limits: object) -> Ledger:
    genesis = ledger[0]
    assert isinstance(genesis, Genesis)
    return at(ledger, 0, rules=bend(genesis.rules, limits=bend(genesis.rules.limits, **limits)))


def with_budget(ledger: Ledger, name: str, high: float) -> Ledger:
    genesis = ledger[0]
    assert isinstance(genesis, Genesis)
    budgets = genesis.rules.limits.budgets
    return with_rules(ledger, budgets=tuple(bend(b, high=high) if b.name == name else b for b in budgets))


def with_effects(ledger: Ledger, index: int, *effects: str) -> Ledger:
    return at(ledger, index, effects=effects)


def held(train: Train, **bent: object) -> Train:
    wave = train.waveform
    assert isinstance(wave, Hold)
    amplitude = bent.pop("amplitude_ma_pp", wave.carrier.amplitude_ma_pp)
    carrier = bend(wave.carrier, amplitude_ma_pp=amplitude)
    return bend(train, waveform=bend(wave, carrier=carrier, **bent))


def pulsed(train: Train, **bent: object) -> Train:
    assert isinstance(train.waveform, PulseTrain)
    return bend(train, waveform=bend(train.waveform, **bent))


def lease(ledger: Ledger, ns: int) -> Ledger:
    index = permit_at(ledger)
    line = entry(ledger, index)
    return with_effects(ledger, index, "device Prepare 2", f"permit 1 until {line.now.mono_ns + ns}")


def without_act(ledger: Ledger) -> Ledger:
    return at(
        ledger,
        find(ledger, ActPresented),
        event=Joined(hello=entry(ledger, find(ledger, Joined)).event.hello),  # type: ignore[union-attr]
    )


def watched(ledger: Ledger, **watch: object) -> Ledger:
    """What was heard before the first permit, told by its entry."""
    index = permit_at(ledger)
    fold = entry(ledger, index).fold
    assert fold is not None
    return at(ledger, index, fold=bend(fold, watch=bend(fold.watch, **watch)))


NOW = T0.mono_ns
TACS: dict[str, tuple[Callable[[Ledger], Ledger], str]] = {
    "amplitude above a row": (lambda g: with_train(g, lambda t: held(t, amplitude_ma_pp=2.01)), "amplitude_ma_pp"),
    "amplitude off the step": (lambda g: with_train(g, lambda t: held(t, amplitude_ma_pp=0.501)), "step"),
    "rises too fast": (lambda g: with_train(g, lambda t: held(t, ramp_up_ms=499)), "slew_ma_per_s"),
    "long hold": (lambda g: with_train(g, lambda t: held(t, duration_ms=401)), "duration_ms"),
    "lease of 500 ms and a ns": (lambda g: lease(g, 500 * MS + 1), "lease"),
    "lease of nothing": (lambda g: lease(g, 0), "lease"),
    "another modality": (lambda g: with_train(g, lambda t: pulses()), "modality"),
    "unknown contact": (lambda g: with_train(g, lambda t: bend(t, outputs=t.outputs[:1])), "outputs"),
    "old evidence": (lambda g: with_evidence(g, newest_ns=NOW - 10**8), "old"),
    "evidence of the future": (lambda g: with_evidence(g, newest_ns=NOW + 10**9), "in the future"),
    "unsure evidence": (lambda g: with_evidence(g, uncertainty_ns=251 * MS), "its time is known"),
    "evidence of another stream": (lambda g: with_evidence(g, stream_uid="other"), "another stream"),
    "dirty evidence": (lambda g: with_evidence(g, clean_fraction=0.79), "channels clean"),
    "impossibly clean evidence": (lambda g: with_evidence(g, clean_fraction=1.01), "channels clean"),
    "open contact": (lambda g: watched(g, impedance_kohm=21.0), "impedance_kohm"),
    "unmeasured contact": (lambda g: watched(g, impedance_kohm=None), "impedance_kohm"),
    "little charge left": (lambda g: with_budget(g, "charge_c", 1e-7), "charge_c"),
    "little time left": (lambda g: with_budget(g, "on_time_s", 0.4), "on_time_s"),
    "no budget": (lambda g: with_rules(g, budgets=()), "on_time_s"),
    "no rows": (lambda g: with_rules(g, rows=()), "no limit"),
    "no contacts": (lambda g: with_rules(g, contacts=()), "not in the limits"),
    "not armed": (lambda g: at(g, permit_at(g), before="READY"), "given in READY"),
    "tripped meanwhile": (lambda g: at(g, permit_at(g), after="TRIPPED"), "given in ARMED, TRIPPED"),
    "from tripped to armed": (lambda g: at(g, permit_at(g), before="TRIPPED"), "went from TRIPPED"),
    "nobody's act": (without_act, "nobody's arming"),
    "nobody asked": (lambda g: with_effects(g, permit_at(g), "device Prepare 2", "permit 7 until 1"), "nobody asked"),
    "unreadable": (lambda g: with_effects(g, permit_at(g), "permit 1 until soon"), "unreadable"),
    "unreadable number": (lambda g: with_effects(g, permit_at(g), "permit 1 until " + "9" * 5000), "unreadable"),
    "twice at once": (lambda g: with_effects(g, permit_at(g), *2 * (entry(g, permit_at(g)).effects[1],)), "more than"),
    "prepared without a permit": (lambda g: with_effects(g, permit_at(g), "device Prepare 2"), "without a permit"),
    "fired without a permit": (lambda g: with_effects(g, find(g, Asked), "device Fire 9"), "fired without"),
    "fired after the lapse": (
        lambda g: at(g, find(g, Prepared), now=Now(mono_ns=NOW + 10**10, boot_ns=NOW, wall_ns=T0.wall_ns)), "lapsed"),
    "too strong": (lambda g: with_delivery(g, amplitude=0.50006), "delivered 0.50006"),
    "negative": (lambda g: with_delivery(g, amplitude=-0.1), "no usable numbers"),
    "pulses of a hold": (lambda g: with_delivery(g, n_pulses=1), "pulses of a hold"),
    "too long": (lambda g: with_delivery(g, nth=-1, end_ns=NOW + 10**11), "permitted was until"),
    "before it was permitted": (lambda g: with_delivery(g, start_ns=NOW), "permitted at"),
    "backwards": (lambda g: with_delivery(g, end_ns=NOW), "delivered from"),
    "by an unknown token": (lambda g: with_delivery(g, token=999), "token 999"),
    "too soon after a lapse": (lambda g: off_time(g, 5000), "after a hold had lapsed"),
    "fired twice": (lambda g: twice(g, find(g, FireAsked)), "nothing is prepared"),
    "no device": (lambda g: (*g[: find(g, Opened)], at(g, find(g, Opened), event=HostSaid(
        message=CallFailed(call=0, code="", text="")))[find(g, Opened)], *g[find(g, Opened) + 1 :]), "no device"),
}  # fmt: skip
RTMS: dict[str, tuple[Callable[[Ledger], Ledger], str]] = {
    "a threshold of yesterday": (lambda g: measured(g, "2026-05-31"), "motor threshold"),
    "a threshold half as high": (lambda g: threshold(g, 25.0), "pct_rmt"),
    "too many pulses for 20 Hz": (lambda g: with_train(g, lambda t: pulsed(t, rate_hz=20.0, n_pulses=31)), "tables"),
    "too many pulses": (lambda g: with_train(g, lambda t: pulsed(t, n_pulses=51)), "n_pulses"),
    "26 Hz": (lambda g: with_train(g, lambda t: pulsed(t, rate_hz=26.0, n_pulses=1)), "no table has a row"),
    "no rate": (lambda g: with_train(g, lambda t: pulsed(t, rate_hz=0.0)), "train_s"),
    "no pulses": (lambda g: with_train(g, lambda t: pulsed(t, n_pulses=0)), "n_pulses"),
    "too soon after the last": (lambda g: with_delivery(g, nth=19, end_ns=NOW + 27 * 10**9), "end of the last train"),
    "few pulses left": (lambda g: with_budget(g, "n_pulses", 39), "n_pulses: 40 of 39"),
    "little time left": (lambda g: with_budget(g, "on_time_s", 3.9), "on_time_s"),
    "too many delivered": (lambda g: with_delivery(g, n_pulses=5), "permitted were 20"),
    "too strong": (lambda g: with_delivery(g, amplitude=46.0), "delivered 46.0"),
    "minus pulses": (lambda g: with_delivery(g, n_pulses=-5), "no usable numbers"),
    "while one is fired": (lambda g: asked_at(g, find(g, Fired)), "is not answered yet"),
    "while one runs": (lambda g: asked_at(g, find(g, Fired) + 1), "still runs"),
    "fired with another's token": (lambda g: other_token(g), "was not fired"),
}  # fmt: skip


def off_time(ledger: Ledger, ms: int) -> Ledger:
    genesis = ledger[0]
    assert isinstance(genesis, Genesis)
    return with_rules(ledger, watch=bend(genesis.rules.limits.watch, off_min_ms=ms))


def twice(ledger: Ledger, index: int) -> Ledger:
    return (*ledger[: index + 2], ledger[index], *ledger[index + 2 :])


def asked_at(ledger: Ledger, index: int) -> Ledger:
    """A second request, permitted at once, put in before an entry."""
    first = entry(ledger, find(ledger, Asked))
    assert isinstance(first.event, Asked)
    now = entry(ledger, index - 1).now
    evidence = bend(first.event.request.evidence, newest_ns=now.mono_ns)
    asked = Asked(request=bend(first.event.request, id=7, evidence=evidence))
    effects = ("device Prepare 70", f"permit 7 until {now.mono_ns + 10**9}")
    return (*ledger[:index], bend(first, event=asked, now=now, effects=effects, fold=None), *ledger[index:])


def measured(ledger: Ledger, on: str) -> Ledger:
    genesis = ledger[0]
    assert isinstance(genesis, Genesis)
    return with_rules(ledger, inputs=bend(genesis.rules.limits.inputs, motor_threshold_measured_on=on))


def threshold(ledger: Ledger, pct_mso: float) -> Ledger:
    genesis = ledger[0]
    assert isinstance(genesis, Genesis)
    return with_rules(ledger, inputs=bend(genesis.rules.limits.inputs, motor_threshold_pct_mso=pct_mso))


def other_token(ledger: Ledger) -> Ledger:
    index = find(ledger, Fired)
    event = entry(ledger, index).event
    assert isinstance(event, HostSaid)
    assert isinstance(event.message, Fired)
    return at(ledger, index, event=HostSaid(message=bend(event.message, token=5)))


def test_good_ledgers_pass_and_each_permit_is_counted() -> None:
    for modality in ("tacs", "rtms"):
        judgement = judge(good(modality))
        assert judgement.objections == ()
        assert judgement.permits == 3


@pytest.mark.parametrize("name", TACS)
def test_no_bent_ledger_of_holds_passes(name: str) -> None:
    forge, words = TACS[name]
    said = check_ledger(forge(good("tacs")))
    assert any(words in text for text in said), said
    assert all(text.startswith("entry ") for text in said)


@pytest.mark.parametrize("name", RTMS)
def test_no_bent_ledger_of_trains_passes(name: str) -> None:
    forge, words = RTMS[name]
    said = check_ledger(forge(good("rtms")))
    assert any(words in text for text in said), said
    assert all(text.startswith("entry ") for text in said)


def test_an_objection_names_its_entry() -> None:
    forged = with_train(good("tacs"), lambda train: held(train, amplitude_ma_pp=2.01))
    assert any(text.startswith(f"entry {permit_at(forged)}: permit 1: ") for text in check_ledger(forged))


def test_a_train_waits_for_the_end_that_was_told_and_a_failed_fire_hides_no_train() -> None:
    """A late fire is none: the interval still counts from the train before it."""
    ledger = good("rtms")
    start = find(ledger, FireAsked)
    failed = find(ledger, Fired, 1)
    event = entry(ledger, failed).event
    assert isinstance(event, HostSaid)
    late = HostSaid(message=CallFailed(call=event.message.call, code="late", text=""))  # type: ignore[union-attr]
    soon = bend(T0, mono_ns=entry(ledger, failed).now.mono_ns + 3 * 10**9)
    asked = find(ledger, Asked, 1)
    request = entry(ledger, asked).event.request  # type: ignore[union-attr]
    assert isinstance(request, Request)
    fresh = bend(request.evidence, newest_ns=soon.mono_ns)
    again = bend(request, id=9, onset_at_ns=0, evidence=fresh)
    forged = (
        *at(ledger, failed, event=late)[: failed + 1],
        bend(
            entry(ledger, start),
            seq=failed + 1,
            now=soon,
            event=Asked(request=again),
            effects=("device Prepare 20", f"permit 9 until {soon.mono_ns + 10**9}"),
        ),
    )
    assert check_ledger(forged) == ()
    assert any(
        "end of the last train" in text
        for text in check_ledger(with_delivery(forged, 19, end_ns=soon.mono_ns))
    )


# A file, with its hashes made anew


def written(path: Path, ledger: Ledger) -> Path:
    """The ledger as a file whose chain is whole, whatever was changed in it."""
    lines: list[bytes] = []
    for line in ledger:
        before = hashlib.sha256(lines[-1]).hexdigest() if lines else GENESIS_HASH
        lines.append(msgspec.json.encode(bend(line, prev=before)))
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def test_verify_asks_the_oracle(tmp_path: Path) -> None:
    verdict = verify(written(tmp_path / "good.jsonl", good("tacs")), software())
    assert verdict.ok, verdict
    assert (verdict.permits, verdict.oracle) == (3, ())
    assert "3 permits checked by a second implementation of the limits, agrees" in said_of(verdict)


def test_verify_is_not_content_when_the_oracle_objects_alone(tmp_path: Path) -> None:
    """Chain whole by recomputed hashes, other code, so nothing else speaks against it as plainly."""
    forged = with_train(good("tacs"), lambda train: held(train, amplitude_ma_pp=2.01))
    verdict = verify(written(tmp_path / "bad.jsonl", forged), software())
    assert verdict.chain
    assert verdict.permits == 3
    assert verdict.oracle
    assert not verdict.ok
    assert "objection     entry" in said_of(verdict)
    bare = type(verdict)(
        **{name: getattr(verdict, name) for name in verdict.__slots__} | {"execution": "same", "problems": ()}
    )
    assert not bare.ok
    assert type(verdict)(**{name: getattr(bare, name) for name in bare.__slots__} | {"oracle": ()}).ok


def test_no_ledger_at_all_is_no_agreement() -> None:
    assert judge([]).permits == 0
    assert check_ledger([entry(good("tacs"), 1)]) == ("entry 0: no genesis, nothing can be judged",)
    assert check_ledger([Close(prev="", seq=0, kind="closed", now=T0, status=0)]) != ()
