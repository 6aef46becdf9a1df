"""A viewer in a simulated fleet: what it shows of a queue is a state that the model had while it looked."""

from __future__ import annotations

from collections import Counter, defaultdict

import attrs
import pytest
import trio

from rediq_trio import RediqError, connect
from rediq_trio.observe import views
from rediq_trio.observe.views import QueueView, look
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import QueueState
from rediq_trio.testing.effects import Effect, QueueChange
from rediq_trio.testing.fleets.fleet import SimulatedFleet
from rediq_trio.testing.fleets.scenario import draw_plan
from tests.testing.fleets.storm import SECONDS, SETTINGS, STORM, make

EVERY = 0.7
"""Simulated seconds from one look to the next."""
Numbers = tuple[int, ...]


def numbers_of(queue: QueueState) -> Numbers:
    """Return how many tasks are in each state, and whether the queue is paused."""
    counts = Counter(record.state for record in queue.records.values())
    return (*(counts[state] for state in State), queue.paused)


def shown(queue: QueueView) -> Numbers:
    return (*(getattr(queue.stats, state.value) for state in State), bool(queue.stats.paused))


class WatchedViewer:
    """Looks at a fleet while its plan is run, and keeps what was no state of the model."""

    def __init__(self, fleet: SimulatedFleet) -> None:
        self.fleet = fleet
        self.looks = 0
        self.wrong: list[str] = []
        self._had: dict[str, list[tuple[float, Numbers]]] = defaultdict(list)
        self._wire = fleet.network.connect("viewer")
        fleet.watch.facts.born["viewer"] = 0.0
        fleet.network.watchers.append(self._saw)
        fleet.world.start(self._wire.host, self._run)

    def _saw(self, effect: Effect, change: QueueChange | None) -> None:
        if change is not None and effect.queue is not None:
            for queue in (change.before, change.after):
                self._had[effect.queue].append((self.fleet.world.now, numbers_of(queue)))

    async def _run(self) -> None:
        while not self.fleet.world.over:
            try:
                async with connect(self._wire) as client:
                    view = None
                    while True:
                        begun = self.fleet.world.now
                        view = await look(client, before=view)
                        self._compare(view.queues, begun)
                        await trio.sleep(EVERY)
            except RediqError:
                await trio.sleep(EVERY)

    def _compare(self, queues: tuple[QueueView, ...], begun: float) -> None:
        for queue in queues:
            self.looks += 1
            had = self._had[queue.name]
            since = max((n for n, (at, _) in enumerate(had) if at < begun), default=0)
            possible = {numbers for _, numbers in had[since:]}
            if shown(queue) not in possible:
                self.wrong.append(f"{queue.name} at {begun:.3f}: {shown(queue)} is none of {possible}")


def viewed(seed: int) -> WatchedViewer:
    plan = draw_plan(STORM, seed, servers=2, seconds=SECONDS)
    # A look that began before a failover may show what the model has forgotten since.
    plan = attrs.evolve(plan, faults=[each for each in plan.faults if each.kind != "failover"])
    fleet = SimulatedFleet(make(), plan, SETTINGS)
    viewer = WatchedViewer(fleet)
    assert fleet.run().violation is None
    assert viewer.looks > 100
    return viewer


@pytest.mark.parametrize("seed", range(4))
def test_what_is_shown_is_a_state_that_the_model_had(seed: int) -> None:
    assert viewed(seed).wrong == []


def test_a_view_that_counts_a_task_twice_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = views._queue_view

    def wrong(*args: object) -> QueueView:
        view = real(*args)  # type: ignore[arg-type]  # passed on as they come
        return attrs.evolve(view, stats=attrs.evolve(view.stats, active=view.stats.active + 1))

    monkeypatch.setattr(views, "_queue_view", wrong)
    assert viewed(0).wrong
