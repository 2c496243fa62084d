"""Settings of the open device: the keys of a command, their ranges, and the plan that a SET makes of them."""

from __future__ import annotations

import re

from sim.devices.open_device_output import HoldPlan, Plan, TrainPlan

COIL = "coil"
Range = tuple[int, int, int]  # low, high, step

TACS: dict[str, Range] = {
    "a": (0, 4000, 10),
    "f": (100, 100_000, 10),
    "ph": (0, 359_999, 1),
    "up": (10, 30_000, 1),
    "dn": (10, 30_000, 1),
    "dur": (50, 500, 1),
}
RTMS: dict[str, Range] = {"p": (0, 1000, 10), "r": (100, 100_000, 100), "n": (1, 10_000, 1)}
BURSTS: dict[str, Range] = {
    "p": (0, 1000, 10),
    "k": (1, 10, 1),
    "q": (10_000, 100_000, 1000),
    "r": (100, 20_000, 100),
    "n": (1, 1000, 1),
}
KINDS = {"tacs": TACS, "rtms": RTMS, "tbs": BURSTS, "ctbs": BURSTS}
_INTEGER = re.compile(r"-?[0-9]{1,10}")


class Refused(Exception):
    """A command answered with ERR."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def expect(keys: dict[str, str], *names: str) -> None:
    """Exactly these keys."""
    if set(keys) != set(names):
        raise Refused("syntax")


def integer(text: str) -> int:
    """A whole number of the wire."""
    if not _INTEGER.fullmatch(text):
        raise Refused("syntax")
    return int(text)


def ranges(keys: dict[str, str]) -> dict[str, Range]:
    """The quantities of the modality that `mod` names."""
    if "mod" not in keys:
        raise Refused("syntax")
    if keys["mod"] not in KINDS:
        raise Refused("range")
    return KINDS[keys["mod"]]


def caps_text(keys: dict[str, str]) -> str:
    """What CAPS answers after OK."""
    known = ranges(keys)
    expect(keys, "mod")
    told = " ".join(f"{name}={low}:{high}:{step}" for name, (low, high, step) in known.items())
    return f" mod={keys['mod']} {told}"


def values(keys: dict[str, str]) -> dict[str, int]:
    """The numbers of a SET, not yet held against their ranges."""
    known = ranges(keys)
    expect(keys, "mod", "out", *known)
    return {key: integer(keys[key]) for key in known}


def check_values(keys: dict[str, str], numbers: dict[str, int]) -> None:
    """Each number inside its range and on its step."""
    for key, (low, high, step) in ranges(keys).items():
        if not (low <= numbers[key] <= high and (numbers[key] - low) % step == 0):
            raise Refused("range")
    # A burst is over before the next one begins.
    if "k" in numbers and not numbers["k"] * numbers["r"] <= numbers["q"]:
        raise Refused("range")


def check_outputs(keys: dict[str, str], outputs: tuple[str, ...]) -> None:
    """Known outputs of the right kind, each once, whose currents close the loop; or the coil whole."""
    tacs = keys["mod"] == "tacs"
    shares: dict[str, int] = {}
    for part in keys["out"].split(","):
        name, _, share = part.partition(":")
        if name in shares or name not in outputs or (name == COIL) == tacs:
            raise Refused("range")
        shares[name] = integer(share)
        if not -1000 <= shares[name] <= 1000:
            raise Refused("range")
    # Each share is rounded to a thousandth: their sum may be off by one for each of them.
    if tacs and (len(shares) < 2 or abs(sum(shares.values())) > len(shares)):
        raise Refused("range")
    if not tacs and shares != {COIL: 1000}:
        raise Refused("range")


def plan(token: int, keys: dict[str, str], stored: dict[str, int]) -> Plan:
    """The plan as the device stores it."""
    out = keys["out"]
    if keys["mod"] == "rtms":
        return TrainPlan(token=token, p=stored["p"], r=stored["r"], n=stored["n"], out=out)
    if "k" in stored:
        numbers = {name: stored[name] for name in BURSTS}
        return TrainPlan(token=token, out=out, **numbers)
    return HoldPlan(
        token=token,
        a=stored["a"],
        f=stored["f"],
        ph=stored["ph"],
        up=stored["up"],
        dn=stored["dn"],
        dur=stored["dur"],
        out=out,
    )
