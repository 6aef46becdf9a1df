"""The specification, explored exhaustively within small bounds."""

from __future__ import annotations

import attrs
import pytest

from rediq_trio.spec import queue as spec
from rediq_trio.spec.records import NewTask, Queue
from tests.property.explore import (
    SETTINGS,
    START,
    TICK,
    WORLDS,
    canonical,
    every_edge,
    explore,
)


def test_every_reachable_state_keeps_every_invariant_and_every_edge_is_taken() -> None:
    found = [explore(actors, SETTINGS.get(name, ())) for name, actors in WORLDS.items()]
    assert set[object]().union(*(each.edges for each in found)) == every_edge()
    assert sum(each.states for each in found) > 30_000


def test_a_state_is_the_same_at_another_time() -> None:
    def begin(now: int) -> Queue:
        tasks = [NewTask("a", b"e", expires_in_ms=TICK), NewTask("b", b"e", delay_ms=TICK)]
        return spec.enqueue(Queue(), now, tasks)[0]

    assert canonical(begin(START), START) == canonical(begin(START + 7), START + 7)
    assert canonical(begin(START), START) != canonical(begin(START), START + 1)


def test_an_exploration_finds_a_transition_that_breaks_an_invariant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = spec.release

    def careless(queue: Queue, now: int, fences: object) -> object:
        after, answer = good(queue, now, fences)  # type: ignore[arg-type]
        records = {i: attrs.evolve(r, lease_ms=now) for i, r in after.records.items()}
        return attrs.evolve(after, records=records), answer

    monkeypatch.setattr(spec, "release", careless)
    with pytest.raises(AssertionError):
        explore(WORLDS["attempts"])
