"""Whether a fleet is at rest, and how long that may take."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rediq_trio.spec.lifecycle import TERMINAL, State
from rediq_trio.spec.records import Record
from rediq_trio.testing.fleets.plan import FaultPlan
from rediq_trio.testing.simulated.store import SimStore
from rediq_trio.values.unset import UNSET_TIMEOUT

LONGEST_WAIT = 3600.0
"""Seconds; a task that is due later than this need not be waited for."""


def _records(store: SimStore) -> Iterator[tuple[str, Record]]:
    for name, queue in store.queue_states.items():
        for record in queue.records.values():
            yield name, record


def unrested(store: SimStore, now_ms: int) -> list[str]:
    """Return the tasks that are ready, running or due soon."""
    soon = now_ms + LONGEST_WAIT * 1000
    return [
        f"{name}/{record.id} is {record.state}"
        for name, record in _records(store)
        if record.state in (State.PENDING, State.ACTIVE, State.RETRY)
        or (record.state is State.SCHEDULED and record.run_ms <= soon)
    ]


def longest_due(store: SimStore, now_ms: int) -> float:
    """Return the seconds until the last task is due that waits for its time."""
    waiting = (State.RETRY, State.SCHEDULED)
    due = [(r.run_ms - now_ms) / 1000 for _, r in _records(store) if r.state in waiting]
    return max(due, default=0.0)


def longest_timeout(plan: FaultPlan) -> float:
    """Return the longest timeout of the works of a plan, and that of a task without one."""
    timeouts: list[float] = [UNSET_TIMEOUT, *(work.task().timeout for work in plan.works)]
    return max(timeout for timeout in timeouts if timeout < math.inf)


def all_ended(store: SimStore) -> bool:
    """Return whether no task is left that has not ended."""
    return all(record.state in TERMINAL for _, record in _records(store))
