"""The states of some tasks of a queue at one instant."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import QueueState


@attrs.frozen
class StatesRead:
    """The states of tasks, and when they were read."""

    now_ms: int
    states: tuple[State | None, ...]
    """In the order in which they were asked for; None for a task that is not there."""


def states_of(queue: QueueState, now: int, ids: Sequence[str]) -> StatesRead:
    """Return the states of tasks."""
    found = (queue.records.get(task_id) for task_id in ids)
    return StatesRead(now, tuple(None if one is None else one.state for one in found))
