"""How the index of a state orders its tasks."""

from __future__ import annotations

from heapq import nsmallest

from rediq_trio.spec.ids import pack_id
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import QueueState, Record


def ordered(queue: QueueState, state: State) -> list[Record]:
    """Return the tasks in one state, in the order of its index.

    Pending tasks with a limit key come after those without, key by key. Grouped tasks come
    group by group.
    """
    found = (r for r in queue.records.values() if r.state is state)
    return sorted(found, key=_listed)


def _listed(record: Record) -> tuple[bytes, int, bytes]:
    lane = ""
    if record.state is State.PENDING:
        lane = record.limit_key
    elif record.state is State.GROUPED:
        lane = record.group
    return bytes([len(lane.encode())]) + lane.encode(), *rank(record)


def rank(record: Record) -> tuple[int, bytes]:
    """Return the sort key of a task among those of its state."""
    return record.score, pack_id(record.id)


def first_tasks(
    queue: QueueState, state: State, limit: int, until: int | None = None
) -> list[Record]:
    """Return the first tasks in one state; with `until`, of those that are due by then."""
    found = (
        r
        for r in queue.records.values()
        if r.state is state and (until is None or r.score <= until)
    )
    return nsmallest(limit, found, key=rank)
