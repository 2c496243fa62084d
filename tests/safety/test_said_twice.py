"""What stands in no limits file and no table of a modality, said a second time: the core's own numbers and the shapes of
its values. Each was chosen, and says at its place why; none changes, and none is added, by one hand alone.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from drivers.stimulation import Value
from safety import software
from safety.history import History

SAFETY = Path(software.__file__).parent
MODULES = (*software.DECIDING, "verify", "wire")
NUMBERS: dict[str, dict[str, int | float | Fraction]] = {
    "acts": {
        "PASSPHRASE_CHARS_MIN": 12, "SCRYPT_N": 32_768, "SCRYPT_R": 8, "SCRYPT_P": 1, "REASON_CHARS_MAX": 300,
    },
    "arming": {
        "PROOF_STEP_NS": 200_000_000, "RECORD_NS": 1_000_000_000, "DEVICE_ARM_NS": 3_000_000_000,
        "ARMING_MAX_NS": 90_000_000_000_000,
    },
    "chained": {"LINE_BYTES_MAX": 65_536},
    "delivery": {
        "TIME_SLACK_NS": 60_000_000, "END_SLACK_NS": 250_000_000, "TIME_MAX_NS": 4_611_686_018_427_387_904,
        "AMPLITUDE_MAX": 1_000_000.0, "PULSES_MAX": 1_000_000, "LAPSE_SPAN_NS": 60_000_000_000,
    },
    "dose": {"BLOCK_NS": 5_000_000_000, "MARK_NS": 60_000_000_000},
    "firing": {"ONSET_SLACK_NS": 50_000_000, "SETTLE_SLACK_NS": 50_000_000},
    "interlock": {"BAD_FRAMES_MAX": 20, "END_NS": 2_000_000_000},
    "judging": {"ONSET_AHEAD_NS": 1_000_000_000, "LEASE_NS": 500_000_000, "TAKEOVER_NS": 50_000_000},
    "limits": {
        "BYTES_MAX": 65_536, "LINE_BYTES_MAX": 1024, "SPACING_S_MAX": 31_536_000.0, "VALID_DAYS_MAX": 366,
        "INTEGER_MAX": 9_007_199_254_740_992, "CONTACTS_MAX": 64,
    },
    "messages": {"PROTOCOL": 1},
    "needs": {"SHORT_LEASE_MS": 250, "COARSE_NS": 50_000_000},
    "requests": {"DURABLE_NS": 250_000_000, "READY_NS": 2_000_000_000},
    "response": {"RESPONSE_MAX": 1_000_000_000_000.0},
    "safing": {"STOP_SLACK_NS": 150_000_000, "OVER_MAX": 8},
    "earlier": {
        "COURSE_GAP_NS": 604_800_000_000_000, "LAST_OUT_NS": 75_000_000_000, "PAST_NS": 691_200_000_000_000,
    },
    "verify": {"LINE_BYTES_MAX": 262_144, "BYTES_MAX": 2**31, "GROWN_BYTES": 1_048_576},
    "watchdogs": {
        "POLL_NS": 25_000_000, "RELAY_NS": 150_000_000, "LEDGER_NS": 250_000_000, "LATE_NS": 150_000_000,
        "SUSPEND_NS": 500_000_000, "WALL_NS": 2_000_000_000, "FUTURE_NS": 20_000_000, "UNCLEAN_NS": 2_000_000_000,
        "ZERO_SLACK_NS": 60_000_000, "RATE_SPAN_NS": 4_000_000_000, "COUNT_MAX": 9_007_199_254_740_992,
    },
    "windows": {
        "DAY_NS": 86_400_000_000_000, "JUMP_NS": 2_000_000_000, "NEVER_NS": 4_611_686_018_427_387_904,
        "SURELY": 0.999999999, "NO_NUMBER": 4_611_686_018_427_387_904.0,
    },
    "wire": {"TEXT_MAX": 200},
    "modalities/bounds": {
        "INTEGER_MAX": 9_007_199_254_740_992, "ZERO": Fraction(0), "PLAIN_LEAST": 1e-9, "PLAIN_MOST": 1e9,
        "GREATEST": Fraction(2**1024 - 2**971), "STEP_TOLERANCE": Fraction(1, 1_000_000_000),
    },
    "modalities/contacts": {"SHARE_TOLERANCE": Fraction(1, 1_000_000_000)},
    "modalities/tes_numbers": {"PEAK_OF_PP": Fraction(1, 2)},
    "modalities/ctbs": {"NS": 1_000_000_000, "JOINED_NS": 900_000_000_000, "STRETCH": Fraction(21, 20)},
    "modalities/implanted": {"LEAKAGE_DAYS_MAX": 366, "NA_PER_UA": 1000, "US_PER_S": 1_000_000},
    "modalities/magnetic": {"THRESHOLD_LOW_PCT_MSO": 15.0, "THRESHOLD_HIGH_PCT_MSO": 100.0},
    "modalities/pns": {"RUN_S": 1800.0},
    "modalities/rtms": {"INTERVAL_LONG_S": 26, "INTERVAL_LONG_ABOVE_PCT_RMT": 110},
    "modalities/shannon": {"PER_ONE": 100, "K_LEAST": -10, "K_MOST": 20},
    "modalities/tens": {"ATTENTION_MA_CM2": 2, "LOAD_OHM": 500, "ROOT_STEP": 1_000_000_000},
    "modalities/tus_numbers": {
        "CEM43_BRAIN": 2.0, "CEM43_BONE": 16.0, "CEM43_SKIN": 21.0, "RISE_MAX_C": 2, "TRACK3_ISPPA_W_CM2": 190,
        "TRACK3_ISPTA_MW_CM2": 720, "TI_TIME": Fraction(3, 2),
    },
    "modalities/tus_physics": {
        "IMPEDANCE_MRAYL": Fraction("1.48"), "PI_UP": Fraction("3.14159265358979323847"), "TIC_MW_CM": 40,
        "BASELINE_C": 37, "TEMPERATURE_MAX_C": 100, "LONG_PULSE_US": 100_000, "ROOT_DIGITS": 12, "POWER_DIGITS": 40,
    },
    "../drivers/link": {"FRAME_BYTES_MAX": 65_536, "_HEADER": 4},
}  # fmt: skip
# What goes over a socket or into the ledger as an array, in the order of its fields.
ARRAYS = {
    "history": {"Stamp"},
    "state": {"Watch"},
    "entries": {"Fold", "Folded"},
    "events": {
        "Now", "Happening", "Joined", "Gone", "Beat", "Asked", "FireAsked", "PauseAsked", "EndAsked", "ActPresented",
        "StopPressed", "HostSaid", "HostGone", "RelaySaid", "RelayGone", "Durable", "LedgerTrouble", "BadFrame", "Tick",
    },
    "messages": {"Evidence", "Asking", "Hello", "Heartbeat", "Request", "FireRequest", "Pause", "End"},
    "../drivers/stimulation": {
        "Part", "MagneticPulse", "Sine", "Direct", "Noise", "Pulses", "PulseTrain", "BurstTrain", "Hold", "Sonication",
        "Output", "Train",
    },
}  # fmt: skip
# A number or a yes that nobody gave is 0 or no, but for these.
GIVEN: dict[str, int | bool] = {
    "Course.number": 1,
    "Watch.beat_seq": -1,
    "Watch.progress": -1,
    "Allowed.may_rise": True,
}


def module(name: str) -> ModuleType:
    path = (SAFETY / f"{name}.py").resolve().relative_to(SAFETY.parent)
    return importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))


def own_names(name: str) -> Iterator[str]:
    tree = ast.parse((SAFETY / f"{name}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name)) if target else ()


def values(name: str) -> list[type[msgspec.Struct]]:
    asked = module(name)
    return [
        each
        for each in vars(asked).values()
        if isinstance(each, type) and issubclass(each, Value) and each.__module__ == asked.__name__
    ]


@pytest.mark.parametrize("name", MODULES)
def test_every_number_of_the_core_is_this(name: str):
    asked = module(name)
    found = {each: getattr(asked, each, None) for each in own_names(name)}
    numbers = {
        k: v for k, v in found.items() if isinstance(v, int | float | Fraction) and type(v) is not bool
    }
    told = NUMBERS.get(name, {})
    assert numbers == told
    assert {k: type(v) for k, v in numbers.items()} == {k: type(v) for k, v in told.items()}


@pytest.mark.parametrize("name", [name for name in MODULES if values(name)])
def test_no_value_is_changed_after_it_was_made_nor_takes_a_field_that_it_has_not(name: str):
    for each in values(name):
        config = each.__struct_config__
        assert config.frozen and config.forbid_unknown_fields, each
        assert config.array_like is (each.__name__ in ARRAYS.get(name, ())), each


def test_what_is_looked_up_with_every_request_is_hashed_once():
    """A history may be long."""
    assert History.__struct_config__.cache_hash


@pytest.mark.parametrize("name", MODULES)
def test_what_nobody_gave_is_nothing(name: str):
    for each in values(name):
        for field in msgspec.structs.fields(each):
            if isinstance(field.default, int | float):
                assert field.default == GIVEN.get(f"{each.__name__}.{field.name}", 0), (each, field.name)
                assert (type(field.default) is bool) is (field.type is bool), (each, field.name)
    asked = module(name)
    for each in vars(asked).values():
        if isinstance(each, type) and dataclasses.is_dataclass(each) and each.__module__ == asked.__name__:
            for part in dataclasses.fields(each):
                assert not isinstance(part.default, int | float) or part.default == 0, (each, part.name)
