"""A session that is killed at any instant: what its store tells by then is never less than what came out."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.stimulation import Modality
from safety.earlier import sessions_of
from safety.entries import written
from safety.exposures import NOTHING, minus, plus
from safety.history import History
from safety.modalities import Exposure
from safety.state import ToStore
from safety.store_records import Record
from tests.safety.histories import NEW, history_with, past
from tests.safety.strategies import hold, pulses
from tests.safety.world import LONG, T0, World, rules_of

MS = 1_000_000
# A little is left of the day's budget by a session four hours ago.
NEARLY = {
    "tacs": history_with(past(T0.wall_ns - 4 * 3600 * 10**9, "tacs", on_time_s=3594.0)),
    "rtms": history_with(past(T0.wall_ns - 4 * 3600 * 10**9, "rtms", n_pulses=12_860)),
}


@dataclass(slots=True)
class Killed:
    """A world that is looked at after every 10 ms as if it had been killed then."""

    world: World
    seen: int = 0
    records: list[tuple[int, Record]] = field(default_factory=list)
    granted: Exposure = NOTHING

    def wait(self, ms: int) -> None:
        for _ in range(0, ms, 10):
            self.world.run_ms(10)
            self.look()

    def look(self) -> None:
        world = self.world
        for entry in world.entries[self.seen :]:
            for effect in entry.effects:
                if effect.startswith("store "):
                    told = [each for each in world.effects if isinstance(each, ToStore)][len(self.records)]
                    assert effect == written(told)
                    self.records.append((entry.seq, told.record))
        self.seen = len(world.entries)
        durable = tuple(record for seq, record in self.records if seq < world.state.watch.durable)
        kept = sessions_of(durable)
        spent = kept[0].spent if kept else NOTHING
        device = world.device
        assert spent.on_time_s >= device.on_time_ns / 1e9 - 1e-9
        assert spent.charge_c >= device.charge_c - 1e-12
        assert spent.n_pulses >= device.n_pulses
        if device.output > 0.0:
            assert kept and kept[0].first_wall_ns <= world.now.wall_ns <= kept[0].last_wall_ns
        # Within a session what is accounted for only grows, and with what was before it stays inside the day's budget.
        assert minus(self.granted, world.state.dose.granted) == NOTHING
        self.granted = world.state.dose.granted
        before = sum((each.spent.on_time_s for each in world.rules.history.past), 0.0)
        pulses_before = sum(each.spent.n_pulses for each in world.rules.history.past)
        reserved = plus(world.state.dose.reserved, world.state.dose.coming)
        if world.modality == "tacs":
            assert before + reserved.on_time_s <= 3600.0 + 1e-6
        else:
            assert pulses_before + reserved.n_pulses <= 12_960


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "renew", "down", "stop disk", "slow disk", "disk", "stop"]),
        st.sampled_from([10, 60, 110, 150, 300, 700]),
    ),
    min_size=1,
    max_size=14,
)


@given(
    acts=ACTS,
    modality=st.sampled_from(["tacs", "rtms"]),
    nearly=st.booleans(),
    first_wait_ms=st.sampled_from([10, 200]),
)
@settings(max_examples=600 if LONG else 40, deadline=None)
def test_at_no_instant_does_the_store_tell_less_than_came_out(
    acts: list[tuple[str, int]], modality: Modality, nearly: bool, first_wait_ms: int
):
    history: History = NEARLY[modality] if nearly else NEW
    world = World(msgspec.structs.replace(rules_of(modality), history=history)).armed()
    killed = Killed(world)
    killed.wait(first_wait_ms)
    for act, wait_ms in acts:
        match act:
            case "ask":
                world.ask(
                    hold(amplitude_ma_pp=0.4, ramp_up_ms=400) if modality == "tacs" else pulses(n_pulses=30)
                )
            case "renew":
                world.ask(
                    hold(amplitude_ma_pp=0.5, ramp_up_ms=500) if modality == "tacs" else pulses(n_pulses=5)
                )
            case "down":
                world.ask(
                    hold(amplitude_ma_pp=0.1, ramp_up_ms=400) if modality == "tacs" else pulses(n_pulses=1)
                )
            case "stop disk":
                world.disk_ns = None
            case "slow disk":
                world.disk_ns = 200 * MS
            case "disk":
                world.disk_ns = 5 * MS
            case _:
                world.stop()
        killed.wait(wait_ms if modality == "tacs" else wait_ms * 20)
    assert not any(isinstance(effect, ToStore) for effect in world.effects) or killed.records
