"""When a queue has something to do next, found by running its rules without keeping what they change."""

from __future__ import annotations

import math
from collections.abc import Collection

from rediq_trio.spec import rules
from rediq_trio.spec.groups import groups
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Due
from rediq_trio.spec.records import QueueState, by_place
from rediq_trio.values.bounds import queue_of


def has_any(queue: QueueState, state: State) -> bool:
    """Return whether a task is in this state."""
    return any(True for _ in queue.records.listed(by_place, (state,)))


def next_due_ms(
    name: str, queue: QueueState, now: int, served: Collection[str], keep: tuple[int, int]
) -> float:
    """Return when the queue next has something to do; `now` for at once, inf for never.

    `served` are the queues from which a live server claims; `keep` is for how many ms dead tasks are
    kept, and how many.
    """
    claimable = queue_of(name) in served and not queue.paused
    if queue.outbox or queue.endings or (claimable and has_any(queue, State.PENDING)):
        return now
    found = [
        *(schedule.next_ms for schedule in queue.schedules.values() if not schedule.paused),
        *(group.due_ms for group in groups(queue.records, queue.rules)),
    ]
    dues = [
        rules.promote(queue, now, limit=1)[1],
        rules.reclaim(queue, now, limit=1)[1],
        rules.expire(queue, now, limit=1)[1],
        rules.purge(queue, now, limit=1, dead_retention_ms=keep[0], max_dead=keep[1])[1],
    ]
    found += [instant for due in dues if (instant := _instant(due, now)) is not None]
    return max(now, min((each for each in found if each), default=math.inf))


def _instant(due: Due, now: int) -> int | None:
    if due.moved:
        return now
    return None if due.next_in_ms is None else now + due.next_in_ms
