"""The rest of the fifteen classes of `test_known_defects.py`: files, acknowledgements, streams, options, switches."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import subprocess
import sys
import uuid
from pathlib import Path

import msgspec
import pytest

from controller.source import SourceConfig
from drivers.link import FrameBuffer, FrameError, frame
from drivers.stimulation import MODALITIES, Modality
from safety import code_pages, limit_values, messages
from safety.events import Asked
from safety.limits import LimitsErrors, load
from safety.messages import DeliveryReport, Pending, Permit
from safety.start import main as start
from safety.wire import event_of
from tests.safety.bench_device import MS
from tests.safety.documents import bent, leaves
from tests.safety.strategies import (
    Raw,
    document,
    hold,
    to_toml,
)
from tests.safety.world import World, rules_of, tripped

ROOT = Path(__file__).resolve().parents[2]


# 9. A mistyped configuration that falls back to something generous


@pytest.mark.parametrize("modality", MODALITIES)
def test_09_a_mistyped_limit_starts_nothing(modality: Modality):
    doc = document(modality)
    for path in leaves(doc):
        if path[0] in ("site_limits", "participant_limits"):
            continue
        mistyped = bent(modality, path, doc_value(doc, path))
        holder = doc_value(mistyped, path[:-1])
        holder[path[-1] + "x"] = holder.pop(path[-1])  # type: ignore[index, union-attr]
        with pytest.raises(LimitsErrors) as found:
            load(to_toml(mistyped))
        assert any(path[-1] in line for line in found.value.problems), path


def doc_value(doc: object, path: tuple[str, ...]) -> object:
    for key in path:
        doc = doc[key]  # type: ignore[index]
    return doc


def test_09_the_process_itself_says_so_and_does_not_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    doc = document("tacs")
    doc["protocol_limits"]["amplitude_ma_pp"]["max"] = Raw('"1O"')
    limits = tmp_path / "limits.toml"
    limits.write_bytes(to_toml(doc))
    words = ["--run-dir", str(tmp_path), "--session-id", "s", "--session-digest", "d"]
    assert start(["--limits", str(limits), *words]) == 3
    said = capsys.readouterr().out
    assert "refused" in said and "protocol_limits.amplitude_ma_pp.max" in said
    assert not (tmp_path / "ledger.jsonl").exists()


# 10. An acknowledgement before the truth


def test_10_nothing_is_acknowledged_before_it_is_so():
    world = World(rules_of()).ready()
    world.host_answers = False
    world.present()
    world.run_ms(100)
    assert not world.answered  # the device has not said that it is armed
    world = World(rules_of()).armed()
    world.disk_ns = 50 * MS
    request = world.ask(hold(1.0))
    assert not any(isinstance(told, Permit) for told in world.heard)
    assert world.heard[-1] == Pending(id=request)
    world.run_ms(51)
    assert [permit.id for permit in world.permits()] == [request]
    assert not any(isinstance(told, DeliveryReport) for told in world.heard)
    world.run_ms(300)
    assert world.last(DeliveryReport).id == request


def test_10_no_part_of_what_came_in_one_read_is_lost():
    world = World(rules_of())
    sent = [world.request(response=float(n)) for n in range(5)]
    stream = b"".join(frame(request) for request in sent)
    for cut in range(0, len(stream), 97):
        buffer = FrameBuffer()
        bodies = [*buffer.feed(stream[:cut]), *buffer.feed(stream[cut:])]
        got = [event_of(body, True) for body in bodies]
        assert [event.request for event in got if isinstance(event, Asked)] == sent
    with pytest.raises(FrameError):
        list(FrameBuffer().feed(b"\xff\xff\xff\xff"))


# 11. Documents that say another number than the code


def test_11_what_the_documents_say_of_codes_and_limits_is_made_from_the_code():
    assert code_pages.PAGE.read_text(encoding="utf-8") == code_pages.markdown()
    text = code_pages.README.read_text(encoding="utf-8")
    assert text == code_pages.readme(text)
    for path in (ROOT / "docs" / "examples").glob("limits-*.toml"):
        load(path.read_bytes())


# 12. The loss of a stream that nobody sees


SENDER = """
import sys, time, pylsl
outlet = pylsl.StreamOutlet(pylsl.StreamInfo("amp", "EEG", 2, 500.0, "float32", sys.argv[1]))
print("ready", flush=True)
while True:
    outlet.push_sample([1.0, 2.0]); time.sleep(0.002)
"""


async def test_12_a_stream_that_is_lost_is_an_error_soon() -> None:
    from controller.lsl_inlet import Inlet

    pylsl = pytest.importorskip("pylsl")
    source_id = f"defect-{uuid.uuid4().hex[:8]}"
    child = subprocess.Popen([sys.executable, "-c", SENDER, source_id], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        infos = await asyncio.to_thread(pylsl.resolve_byprop, "source_id", source_id, 1, 5.0)
        inlet = Inlet(infos[0])
        await asyncio.to_thread(inlet.open)
        samples, _ = await asyncio.to_thread(inlet.pull)
        child.kill()
        child.wait()
        with pytest.raises(pylsl.util.LostError):
            for _ in range(25):
                await asyncio.to_thread(inlet.pull)
        assert samples.shape[1] == 2
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def test_12_a_source_that_falls_silent_ends_output():
    world = World(rules_of()).armed()
    world.ask()
    world.run_ms(60)
    world.stream_ns += 10**12
    world.data_age_ns = 251 * MS
    world.run_ms(60)
    assert tripped(world) in ("ILK-203", "ILK-206")
    world.run_ms(200)
    assert world.device.output == 0.0


# 13. Stale data found late, or by comparing what may be the same


def test_13_data_of_equal_value_with_a_new_stamp_are_stale_at_the_limit():
    """Stamps go on, the same block comes again and again: found at the age of data, with no waiting in any loop."""
    world = World(rules_of()).armed()
    world.ask()
    world.run_ms(60)
    world.frozen_crc = True
    since_ns = world.mono_ns
    while world.phase == "ARMED" and world.mono_ns < since_ns + 1_000 * MS:
        world.ask(hold(1.0))
        world.run_ms(10)
    assert tripped(world) == "ILK-205"
    assert world.mono_ns - since_ns <= (250 + 20 + 20) * MS


def test_13_nothing_that_loops_sleeps():
    """Neither the deciding process nor the controller's loop waits by sleeping."""
    files = (
        "safety/process.py",
        "safety/interlock.py",
        "safety/watchdogs.py",
        "controller/loop.py",
        "controller/lsl.py",
    )
    for name in files:
        for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) != ("time", "sleep"), name


# 14. A user's option that is overwritten


def test_14_an_option_of_the_user_is_kept_or_refused_never_replaced():
    table = {
        "source_id": "a",
        "sfreq_hz": 500.0,
        "lost": "pause",
        "resolve_s": 3.0,
        "silence_ms": 250,
        "jitter_ms": 40,
    }
    kept = SourceConfig.model_validate(table)
    for key, value in table.items():
        assert getattr(kept, key) == value
    with pytest.raises(ValueError, match="dejitter"):
        SourceConfig.model_validate(table | {"dejitter": True})


def test_14_the_limits_of_the_file_are_those_that_hold():
    """A stricter number of the responsible person is never replaced by a default of the code."""
    for name, value in (("heartbeat_ms", 20), ("data_age_ms", 20), ("host_ms", 20), ("off_min_ms", 60_000)):
        assert getattr(rules_of(**{name: value}).limits.watch, name) == value
    world = World(rules_of(heartbeat_ms=30, data_age_ms=500)).armed()
    world.beating = False
    world.run_ms(50)
    assert tripped(world) == "ILK-201"


# 15. A switch that turns the safety off


OFF = re.compile(
    r"\b(no_?(safety|limits?|checks?)|unsafe|bypass|override|ignore|force|disable|skip|trust_me)\b", re.I
)


def test_15_there_is_no_switch_that_turns_anything_off():
    fields = {
        field
        for module in (messages, limit_values)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, msgspec.Struct)
        for field in kind.__struct_fields__
    }
    assert {"response", "evidence", "expires_wall_ns"} <= fields
    assert not [field for field in fields if OFF.search(field.replace("_", " ")) or OFF.search(field)]
    for path in [*(ROOT / "safety").glob("*.py"), *(ROOT / "controller").glob("*.py")]:
        for option in re.findall(r'"(--[a-z-]+)"', path.read_text(encoding="utf-8")):
            assert not OFF.search(option.replace("-", " ")), (path.name, option)


def test_15_no_number_of_the_limits_file_switches_a_watchdog_off():
    """0, a huge number, false and nothing at all are refused at every key of [watch] and [response]."""
    doc = document("tacs")
    for table in ("watch", "response"):
        for key, right in doc[table].items():
            for value in (0, -1, 10**9, False, Raw("inf"), "none"):
                if (key, value) == ("dead_band", 0) or (isinstance(right, str) and value == right):
                    continue
                with pytest.raises(LimitsErrors):
                    load(to_toml(bent("tacs", (table, key), value)))


def test_15_only_directories_are_read_from_the_environment():
    named = set()
    for path in (ROOT / "safety").rglob("*.py"):
        named |= set(re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', path.read_text(encoding="utf-8")))
    named.discard("NOCILOOP_RUNTIME_ALONE")  # whether one of them is a world of its own
    assert named == {"NOCILOOP_RUNTIME_DIR", "NOCILOOP_STATE_DIR", "NOCILOOP_TRUST_DIR", "XDG_RUNTIME_DIR",
                     "XDG_STATE_HOME", "XDG_CONFIG_HOME"} & named  # fmt: skip
    assert named >= {"NOCILOOP_RUNTIME_DIR", "NOCILOOP_STATE_DIR"}
