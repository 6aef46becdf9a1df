"""A task together with all of its queue that decides when it runs."""

from __future__ import annotations

import attrs

from rediq_trio.spec.groups import Group, groups
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.order.lanes import limit_of, rank
from rediq_trio.spec.records import NO_LIMIT, Limit, QueueState, Record
from rediq_trio.store.reads.description import Description, description_of

ACTIVE_READ = 50
"""Active tasks among which one read finds the oldest, at most; with more, none is looked at."""


@attrs.frozen
class LimitUse:
    """A limit, and how much of it is used."""

    limit: Limit = NO_LIMIT
    running: int = 0
    """Active tasks that it counts."""
    arrival_us: int = 0
    """The theoretical arrival time of the next start, in microseconds; 0 without a rate."""
    oldest_ms: int = 0
    """When the oldest of those that run was claimed, if a pending task has to wait for one of them to
    end; 0 for unknown."""

    @property
    def is_held(self) -> bool:
        """Whether as many run as may."""
        return 0 < self.limit.concurrency <= self.running


@attrs.frozen
class Standing:
    """Where a pending task stands among those with the same limit key, or without one."""

    better: int = 0
    """Tasks with a better priority."""
    ahead: int = 0
    """Tasks of its priority before it."""
    equal: int = 0
    """Tasks of its priority, itself included."""
    newer_head: int = 0
    """The format of the first of all of them if a newer version wrote it, else 0: only workers of that
    version get past it."""


@attrs.frozen(kw_only=True)
class Situation:
    """A task at one instant, with what decides in its queue when it runs."""

    now_ms: int
    state: State
    newer: int = 0
    """The format of its record if a newer version wrote it, else 0."""
    description: Description | None
    """None if a newer version wrote it."""
    paused: bool = False
    paused_since_ms: int = 0
    """0 if it is not paused, or if an older version paused it."""
    pause_note: bytes = b""
    fair: bool = False
    """Limit keys take turns."""
    lanes: int = 0
    """How many limit keys have pending tasks."""
    unkeyed: int = 0
    """Pending tasks without a limit key."""
    keyed: int = 0
    """Pending tasks with one."""
    whole: LimitUse = LimitUse()
    """The limit of the queue; `running` is the number of all its active tasks."""
    lane: LimitUse = LimitUse()
    """The limit of the task's key; that of nothing for a task without one."""
    standing: Standing = Standing()
    """Of nothing unless the task is pending."""
    group: Group | None = None
    """The group in which the task waits; None unless it is grouped."""


def situation_of(queue: QueueState, now: int, task_id: str) -> Situation | None:
    """Return the situation of a task; None if there is none."""
    description = description_of(queue, now, task_id)
    if description is None:
        return None
    record = description.record
    pending = [r for r in queue.records.values() if r.state is State.PENDING]
    keys = [r.limit_key for r in pending if r.limit_key]
    return Situation(
        now_ms=now,
        state=record.state,
        description=description,
        paused=queue.paused,
        paused_since_ms=queue.paused_since_ms,
        pause_note=queue.pause_note,
        fair=queue.fair,
        lanes=len({*keys}),
        unkeyed=len(pending) - len(keys),
        keyed=len(keys),
        whole=_use(queue, record, ""),
        lane=_use(queue, record, record.limit_key) if record.limit_key else LimitUse(),
        standing=_standing(record, pending) if record.state is State.PENDING else Standing(),
        group=_group_of(queue, record) if record.state is State.GROUPED else None,
    )


def _use(queue: QueueState, record: Record, key: str) -> LimitUse:
    active = [r for r in queue.records.values() if r.state is State.ACTIVE]
    running = [r for r in active if not key or r.limit_key == key]
    found = LimitUse(limit_of(queue, key), len(running), queue.rates.get(key, 0))
    if record.state is not State.PENDING or not found.is_held or len(active) > ACTIVE_READ:
        return found
    return attrs.evolve(found, oldest_ms=min(r.started_ms for r in running))


def _standing(record: Record, pending: list[Record]) -> Standing:
    same = [r for r in pending if r.limit_key == record.limit_key]
    equal = [r for r in same if r.priority == record.priority]
    return Standing(
        better=sum(r.priority < record.priority for r in same),
        ahead=sum(rank(r) < rank(record) for r in equal),
        equal=len(equal),
    )


def _group_of(queue: QueueState, record: Record) -> Group:
    found = groups(queue.records, queue.rules)
    return next(group for group in found if group.name == record.group)
