"""Entry points to classes: none, one, two of a name, and what is no driver; and `drivers list`."""

from __future__ import annotations

import json
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from drivers import listing, registry
from drivers.capabilities import Lack
from drivers.null import NullDevice
from drivers.registry import find, registered
from drivers.stimulator import ConfigError
from sim.drivers_verb import app


class Bare(NullDevice):
    """A driver whose devices read nothing back and begin when they like."""

    LACKS: tuple[Lack, ...] = ("reads_back", "exact_onset")


class Odd(NullDevice):
    """What it says is no lack."""

    LACKS = ("a screen",)  # type: ignore[assignment]


class Package(Distribution):
    """A distribution that is nowhere but here."""

    def __init__(self, name: str, version: str) -> None:
        self._text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"

    def read_text(self, filename: str) -> str | None:
        return self._text if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        return Path(str(path))


def point(name: str, value: str, package: str = "nociloop", version: str = "0.1.0") -> EntryPoint:
    entry = EntryPoint(name=name, value=value, group=registry.GROUP)
    vars(entry)["dist"] = Package(package, version)
    return entry


NULL = point("null", "drivers.null:NullDevice")
OPEN = point("open_device", "drivers.open_device:OpenDevice")


def test_a_driver_is_found_with_where_it_came_from() -> None:
    driver = find("null", [OPEN, NULL])
    assert (driver.distribution, driver.version) == ("nociloop", "0.1.0")
    assert driver.load() is NullDevice


def test_a_name_registered_twice_is_refused_with_both_named() -> None:
    stranger = point("null", "elsewhere:Null", "evil-null", "9.9")
    with pytest.raises(ConfigError) as caught:
        find("null", [NULL, OPEN, stranger])
    assert "evil-null 9.9 and nociloop 0.1.0" in str(caught.value)
    assert find("open_device", [NULL, OPEN, stranger]).name == "open_device"


@pytest.mark.parametrize("points", [[], [OPEN]])
def test_an_unknown_name_says_what_there_is(points: list[EntryPoint]) -> None:
    with pytest.raises(ConfigError, match="there are: none" if not points else "there are: open_device"):
        find("null", points)


@pytest.mark.parametrize(
    "value",
    ["no_such_module:X", "drivers.null:NoSuchThing", "drivers.null:GRADE", "drivers.registry:Registered"],
)
def test_what_is_no_driver_is_one_line(value: str) -> None:
    with pytest.raises(ConfigError, match="driver 'x' of a-package 2") as caught:
        find("x", [point("x", value, "a-package", "2")]).load()
    assert "\n" not in str(caught.value)


def test_the_list_shows_each_driver_and_says_which_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [NULL, OPEN, point("open_device", "gone:Gone", "other", "3")]
    monkeypatch.setattr(listing, "registered", lambda: registered(points))
    rows = json.loads(CliRunner().invoke(app, ["list", "--json"]).stdout)
    assert [(row["name"], row["distribution"], row["grade"]) for row in rows] == [
        ("null", "nociloop", "simulated"),
        ("open_device", "nociloop", "simulated"),
        ("open_device", "other", "unknown"),
    ]
    assert rows[0]["note"] == ""
    assert "twice" in rows[1]["note"]
    text = CliRunner().invoke(app, ["list"])
    assert text.exit_code == 0
    assert text.stdout.splitlines()[0].split() == [
        "name",
        "distribution",
        "version",
        "grade",
        "lacks",
        "note",
    ]
    assert len(text.stdout.splitlines()) == 4


def test_an_empty_list_is_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "registered", tuple)
    assert CliRunner().invoke(app, ["list"]).exit_code == 0


def test_the_list_says_what_each_lacks_and_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    here = "tests.drivers.test_registry"
    points = [
        NULL,
        point("bare", f"{here}:Bare"),
        point("odd", f"{here}:Odd"),
        point("x", "no_such_module:X"),
    ]
    monkeypatch.setattr(listing, "registered", lambda: registered(points))
    assert CliRunner().invoke(app, ["list"]).stdout.splitlines()[1:] == [
        "bare  nociloop      0.1.0    simulated  reads_back, exact_onset",
        "    ILK-423  the device does not read its settings back: allowed with a watchdog relay with feedback",
        "    ILK-426  the device's onset is too coarse: refused, another device: nothing stands in",
        "null  nociloop      0.1.0    simulated  nothing",
        "odd   nociloop      0.1.0    simulated  not said",
        "x     nociloop      0.1.0    unknown    not said                 driver 'x' of nociloop 0.1.0 cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module'",
    ]
    rows = json.loads(CliRunner().invoke(app, ["list", "--json"]).stdout)
    assert [row["lacks"] for row in rows] == [["reads_back", "exact_onset"], [], None, None]
    assert [[need[0] for need in row["needs"]] for row in rows] == [["ILK-423", "ILK-426"], [], [], []]


async def test_what_a_driver_says_it_lacks_is_what_its_device_lacks() -> None:
    caps = await NullDevice().open()
    said = {each for each in get_args(Lack) if each != "exact_onset" and not getattr(caps, each)}
    assert said == set(NullDevice.LACKS)
