"""Every history that the specification records replays without a break, from any step on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from rediq_trio.spec.history.replay import ReplaySettings, replay
from rediq_trio.spec.records import QueueState
from tests.conformance.bench import Clock
from tests.property.histories import Histories
from tests.property.lockstep import Lockstep, Step, Taken
from tests.property.walk import walk_every_edge


class Alone(Lockstep):
    """The specification without a store beside it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.model = QueueState()
        self.taken: set[Taken] = set()

    def do(self, step: Step) -> Any:
        self.model, answer = step.on_model(self.model, self.clock.now)
        return answer

    def forget_scripts(self) -> None:
        pass

    def finish(self) -> None:
        """Replay what was kept, from its beginning and from the middle of it."""
        entries, told = self.model.entries, ReplaySettings.of(self.model)
        for first in {0, 1, len(entries) // 3, len(entries) // 2}:
            for known in (told, ReplaySettings()):
                assert list(map(str, replay(entries[first:], known))) == []


class Replayed(Histories):
    """One history in each example."""

    def open(self) -> Lockstep:
        return Alone()


@pytest.mark.uncounted
def test_random_histories_replay_clean() -> None:
    machine = type("Replayed", (Replayed,), {"seen": set()})
    run_state_machine_as_test(machine, settings=settings())


def test_a_walk_over_every_edge_replays_clean() -> None:
    alone = Alone()
    walk_every_edge(alone)
    assert {entry.transition for entry in alone.model.entries} > {
        "begin",
        "batch",
        "revive",
        "reclaim",
    }
    alone.finish()
