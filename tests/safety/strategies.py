"""Whole limits files, devices and trains for the tests of safety/: valid ones, and hypothesis strategies around them."""

from __future__ import annotations

import copy
import datetime
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from hypothesis import strategies as st

from drivers.capabilities import Capabilities
from drivers.stimulation import MODALITIES, Modality, Train
from safety.limits import Limits, load
from safety.modalities import Declared, Facts, budgets_of, quantities_of, rows, spacing_of
from tests.safety.examples import EXAMPLES
from tests.safety.examples.example import TODAY
from tests.safety.examples.rtms import COIL, pulses
from tests.safety.examples.tacs import PAIR, hold

__all__ = ["COIL", "MODALITIES", "PAIR", "TODAY", "hold", "pulses"]

FACTS = Facts(today=TODAY, impedance_kohm=5.0)
KEYS = {
    "ann": "a3cfbb5c6f1c5b7d3f8fdb8f61e3a7f03d2ff3e7d8d7c6b5a49382716f5e4d3c",
    "bob": "b3cfbb5c6f1c5b7d3f8fdb8f61e3a7f03d2ff3e7d8d7c6b5a49382716f5e4d3c",
}
Document = dict[str, Any]


class Raw(str):
    """A token that is written into the TOML as it stands."""


def row(declared: Declared, ends: Mapping[str, float]) -> Document:
    return {**ends, **provenance(declared.unit)}


def provenance(unit: str) -> Document:
    return {"unit": unit, "source": "protocol 4.2", "edition": "1", "status": "unverified"}


def document(modality: Modality) -> Document:
    """A valid limits file as nested tables, fresh each time, to be bent by a test."""
    example = EXAMPLES[modality]
    inputs: Document = {"consent_on": datetime.date(2026, 1, 2), **example.inputs}
    budgets: dict[str, Document] = {}
    for b in budgets_of(modality):  # the scopes beyond the session are at their bounds
        high = example.budgets[b.name] if b.scope == "session" else int(b.high) if b.integer else b.high
        budgets.setdefault(b.scope, {})[b.name] = {"max": high, **provenance(b.unit)}
    return copy.deepcopy(
        {
            "file": {
                "schema": 1,
                "serial": 7,
                "valid_from": datetime.date(2026, 1, 1),
                "valid_until": datetime.date(2026, 12, 31),
                "title": "A test",
                "responsible": "Dr Test",
            },
            "participant": {"code": "P001"},
            "site": {"name": "Test site", "rig": "rig-1"},
            "device": {
                "driver": "open_device",
                "distribution": "nociloop",
                "version": "1",
                "endpoint": "tcp:127.0.0.1:4000",
                "identity": "SIM-1",
            },
            "relay": {"endpoint": "unix:/tmp/relay.sock", "silence_ms": 100},
            "people": {
                "ann": {"role": "operator", "public_key": KEYS["ann"], "salt": "0" * 32},
                "bob": {"role": "officer", "public_key": KEYS["bob"], "salt": "1" * 32},
            },
            "modality": {"name": modality},
            "inputs": inputs,
            "contacts": dict(example.contacts),
            "site_limits": {},
            "protocol_limits": {d.name: row(d, example.protocol[d.name]) for d in quantities_of(modality)},
            "participant_limits": {},
            "budgets": budgets,
            "spacing": {s.name: {"min": s.low, **provenance("s")} for s in spacing_of(modality)},
            "watch": {
                "data_age_ms": 250,
                "heartbeat_ms": 100,
                "host_ms": 100,
                "clean_fraction_min": 0.8,
                "rate_tolerance_pct": 5.0,
                "lapses_max": 3,
                "off_min_ms": 1000,
            },
            "response": {
                "expected": "falls",
                "dead_band": 0.1,
                "window_ms": 1000,
                "windows_refuse": 2,
                "windows_trip": 4,
            },
        }
    )


def to_toml(doc: Mapping[str, Any]) -> bytes:
    """A document as the bytes of a file."""
    return "\n".join(_lines(doc, ())).encode()


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    if path:
        yield f"[{'.'.join(_key(part) for part in path)}]"
    for key, value in table.items():
        if not isinstance(value, dict):
            yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _lines(value, (*path, key))


@functools.lru_cache(10_000)
def _key(key: str) -> str:
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in key) + '"'


def _value(value: object) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, str):
        return _key(value)
    return repr(value)


@functools.cache
def limits_of(modality: Modality) -> Limits:
    """The valid file, loaded; frozen, so once is enough."""
    return load(to_toml(document(modality)))


def caps_of(modality: Modality) -> Capabilities:
    """A device as the open device protocol would describe it, for one modality."""
    example = EXAMPLES[modality]
    return Capabilities(
        driver="open_device",
        model="M",
        serial="SIM-1",
        firmware="1",
        modalities=(modality,),
        outputs=example.outputs,
        envelopes=dict(example.envelopes),
        onset_latency_ns=500_000,
        stop_latency_ns=500_000,
        link_timeout_ms=250,
        ends_by_itself=True,
        stops_on_link_loss=True,
        confirms=True,
        reads_back=True,
        measures_impedance=True,
        renews=True,
        grade="simulated",
    )


def valid_train(modality: Modality) -> Train:
    """A train that passes the valid file, the device and the facts of this module."""
    return EXAMPLES[modality].train()


def with_quantity(modality: Modality, name: str, value: object) -> Train:
    """The valid train with one of its quantities replaced by anything."""
    bent: dict[str, Any] = {name: value}
    return EXAMPLES[modality].train(**bent)


@st.composite
def limits_documents(draw: st.DrawFn, modality: Modality) -> Document:
    """A valid document whose layers narrow the absolute bounds at random, down to limits of exactly 0."""
    doc = document(modality)
    for declared in quantities_of(modality):
        for layer in ("site", "protocol", "participant"):
            if layer == "protocol" or draw(st.booleans()):
                doc[f"{layer}_limits"][declared.name] = row(declared, draw(_ends(declared)))
    for budget in budgets_of(modality):
        doc["budgets"][budget.scope][budget.name]["max"] = draw(
            _number(0.0, budget.high, integer=budget.integer)
        )
    for spacing in spacing_of(modality):
        doc["spacing"][spacing.name]["min"] = draw(st.floats(spacing.low, 31_536_000.0))
    return doc


def limits_bytes(modality: Modality) -> st.SearchStrategy[bytes]:
    """The bytes of a valid file."""
    return limits_documents(modality).map(to_toml)


@st.composite
def _ends(draw: st.DrawFn, declared: Declared) -> Mapping[str, float]:
    one = draw(_number(declared.low, declared.high, integer=declared.integer))
    if declared.sides != "both":
        return {declared.sides: one}
    other = draw(_number(declared.low, declared.high, integer=declared.integer))
    return {"min": min(one, other), "max": max(one, other)}


def _number(low: float, high: float, *, integer: bool) -> st.SearchStrategy[float]:
    if integer:
        return st.integers(int(low), int(high))
    return st.floats(low, high).map(lambda x: x + 0.0)  # -0.0 becomes 0.0


NASTY = (math.nan, math.inf, -math.inf, -0.0, 0.0, -1.0, 1e308, 5e-324)


@st.composite
def trains_near(draw: st.DrawFn, limits: Limits, caps: Capabilities) -> Train:
    """A train whose numbers lie at, just inside, just outside or far from their effective limits."""
    known = {found.quantity: found for found in rows(limits, caps)}
    numbers: dict[str, Any] = {}
    for name in caps.envelopes:
        low, high = known[name].low, known[name].high
        if quantity_of(limits.modality, name).integer:
            numbers[name] = draw(
                st.sampled_from([int(low) - 1, int(low), int(low) + 1, int(high), int(high) + 1, 0, -1])
            )
        else:
            edges = [
                x
                for end in (low, high)
                for x in (math.nextafter(end, -math.inf), end, math.nextafter(end, math.inf))
            ]
            inside = st.floats(min(low, high), max(low, high))
            numbers[name] = draw(st.one_of(st.sampled_from(edges), inside, st.sampled_from(NASTY)))
    example = EXAMPLES[limits.modality]
    outputs = example.train().outputs
    if len(outputs) == 1:
        return example.train(**numbers)
    share = draw(st.sampled_from([1.0, 1.0, 1.0, -1.0, 0.5, 1.0 + 1e-8, 2.0, math.nan]))
    bent = (msgspec.structs.replace(outputs[0], share=share), *outputs[1:])
    return example.train(**numbers, outputs=bent)


def quantity_of(modality: Modality, name: str) -> Declared:
    return next(declared for declared in quantities_of(modality) if declared.name == name)
