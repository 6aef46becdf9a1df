"""What a queue is asked and what it answers: tasks, messages, leases, outcomes.

Instants and durations are whole milliseconds (`_ms`), because both stores must
compute the same numbers. What a queue keeps is in `records`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import attrs

from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.lifecycle import State


class Until(enum.IntEnum):
    """What ends the window of a unique key."""

    DONE = 1
    """Its holder reached a terminal state, or is gone."""
    STARTED = 2
    """Its holder was claimed, or `DONE`."""
    EXPIRED = 3
    """Time alone, or that its holder was cancelled or deleted."""


def _once(refs: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(refs))


@attrs.frozen
class Relations:
    """What ties a new task to others. References are ids of the task's own queue, or
    `"<queue>/<id>"` of another."""

    queue: str = ""
    """Another queue that the task goes to; '' for the one it is handed to."""
    unique: str = ""
    """The unique key; '' for none."""
    until: Until = Until.DONE
    ttl_ms: int = 0
    """The window ends then in any case; 0 for never."""
    replace: bool = False
    """Take the place of a holder that was never claimed."""
    limit_key: str = ""
    group: str = ""
    run_on_dependency_failure: bool = False
    """Run also when a task that this one needs did not complete."""
    needs: tuple[str, ...] = attrs.field(default=(), converter=_once)
    """The tasks it waits for, to be looked at now."""
    needs_later: tuple[str, ...] = attrs.field(default=(), converter=_once)
    """Others it waits for, that name it among their `dependents`: they come with it or after it."""
    dependents: tuple[str, ...] = attrs.field(default=(), converter=_once)
    """Tasks that wait for it, there before it is."""


NO_RELATIONS = Relations()


@attrs.frozen
class NewTask:
    """A task as a store takes it in."""

    id: str
    envelope: bytes
    """What the queue carries and never reads: type, payload, timeout, backoff, metadata."""
    priority: int = 50
    max_retry: int = 3
    max_crashes: int = 3
    retention_ms: int = 3_600_000
    delay_ms: int = 0
    run_at_ms: int = 0
    """An instant; 0 for none. At most one of `delay_ms` and `run_at_ms` is set."""
    expires_in_ms: int = 0
    """From the enqueue on; 0 for never."""
    expires_at_ms: int = 0
    """An instant; 0 for none."""
    relations: Relations = NO_RELATIONS


class AnswerKind(enum.IntEnum):
    """Why an enqueue did not simply add its task."""

    TAKEN = 1
    """The unique key has a holder: `ref`. Nothing was written."""
    REPLACED = 2
    """It took the place of the holder `ref`, whose state is `state` now."""
    FULL = 3
    """The queue is bounded and full. Nothing was written."""
    MISSING = 4
    """The task `ref` that it needs is not there, or in a group. Nothing was written."""
    WITHHELD = 5
    """Another task of the whole was refused. Nothing was written."""
    SENT = 6
    """It is on its way to another queue."""


@attrs.frozen
class Answer:
    """What became of a task that an enqueue did not simply add."""

    kind: AnswerKind
    ref: str = ""
    state: State | None = None


Enqueued = tuple[State | Answer | None, ...]
"""Per task the state it is in; None for an id that exists already."""


class MailKind(enum.IntEnum):
    """What a message between queues is about."""

    TASK = 1
    """A task that is to be enqueued."""
    SUBSCRIBE = 2
    """Task `id` of the sender waits for task `ref` of the receiver."""
    ENDED = 3
    """Task `ref` of the sender ended as `how` says, which task `id` of the receiver waits for."""


@attrs.frozen
class Mail:
    """One message in a queue's outbox."""

    seq: int
    """Grows with every message of a queue, also over a failover that forgot some."""
    queue: str
    """The receiver."""
    kind: MailKind
    id: str = ""
    ref: str = ""
    ended_as: State | None = None
    """None: it is gone."""
    result: bytes = b""
    task: NewTask | None = None


@attrs.frozen
class Schedule:
    """What makes a task at each of its ticks."""

    name: str
    when: bytes
    """When it ticks, packed; a store compares it and never reads it."""
    template: NewTask
    """The task that each tick makes, but for its id."""
    owner: str = ""
    """The app that declares it; '' for a schedule added at run time."""
    keep: bool = False
    """It stays when its owner declares it no more."""
    overlap_skip: bool = False
    """A tick makes no task while the last one has not ended."""
    paused: bool = False
    next_ms: int = 0
    """The tick that is expected; 0 for none, as while it is paused."""
    last_ms: int = 0
    """The last tick that made a task."""
    last_id: str = ""
    """The last task that it made, by a tick or a trigger."""
    revision: int = 0
    """New whenever it is declared otherwise, and never given twice in a queue."""


@attrs.frozen
class Tick:
    """One tick that fires."""

    at_ms: int
    task: NewTask


@attrs.frozen
class Agenda:
    """Schedules of a queue, as they were at one instant."""

    now_ms: int
    """By the store's clock."""
    schedules: tuple[Schedule, ...]
    next_in_ms: int | None
    """Milliseconds until the next one that is not due yet; None when there is none."""
    unreadable: tuple[str, ...] = ()
    """Names of schedules that cannot be decoded."""


@attrs.frozen
class Fence:
    """Names one delivery of one task. Every write about the task carries it."""

    id: str
    deliveries: int
    nonce: bytes
    """8 random bytes, new for each claim, so that a token is never given twice,
    not even after a failover forgot a delivery."""


@attrs.frozen
class Lease:
    """A claimed task in the hands of a worker."""

    fence: Fence
    attempt: int
    """The number of this attempt, from 1."""
    max_retry: int
    envelope: bytes | BatchEnvelope
    lease_ms: int
    """The instant at which the lease runs out unless renewed, by the store's clock."""


@attrs.frozen
class Claimed:
    """The answer to a claim."""

    leases: tuple[Lease, ...]
    remaining: int
    """Pending tasks left that a further claim could have now; 0 when paused."""
    newer: int = 0
    """The layout of the next task, where a newer version wrote it: it, and what is behind it, is
    left to workers that can read it. 0 as a rule; a store of one process never has one."""


class Verdict(enum.IntEnum):
    """What became of a lease that was to be renewed."""

    LOST = 0
    KEPT = 1
    CANCEL = 2
    """Kept, and its handler is to be cancelled."""


@attrs.frozen
class Completed:
    """The attempt succeeded."""

    fence: Fence
    result: bytes
    children: tuple[NewTask, ...] = ()
    """Tasks to be enqueued in the same step."""


@attrs.frozen
class Failed:
    """The attempt failed, and is charged."""

    fence: Fence
    error: str
    delay_ms: int
    """Until the next attempt, if there is one."""
    final: bool = False
    """No retry, whatever attempts are left."""


@attrs.frozen
class Snoozed:
    """The task is to run again after a delay. The attempt is not charged."""

    fence: Fence
    delay_ms: int


@attrs.frozen
class Stopped:
    """The handler was stopped because someone asked to cancel the task."""

    fence: Fence


@attrs.frozen
class Released:
    """The task is given back as it was. The attempt is not charged."""

    fence: Fence


Outcome = Completed | Failed | Snoozed | Stopped | Released
"""How an attempt ended, to be settled."""


@attrs.frozen
class Report:
    """Progress of a running attempt."""

    fence: Fence
    progress: bytes


Settled = tuple[State | None, ...]
"""Per outcome the state that the task is in now; None for a stale fence, which changed
nothing. An outcome settled before changes nothing either and gives today's state."""


@attrs.frozen
class Due:
    """The answer of a keeper's step."""

    moved: int
    """How many tasks it moved; as many as its limit means that there may be more."""
    next_in_ms: int | None
    """Milliseconds until the next is due (0 when one is due already); None when there is none."""


@attrs.frozen
class WorkerRecord:
    """A worker's heartbeat."""

    id: str
    data: bytes
    ttl_ms: int
    """How long it counts as alive without another heartbeat."""
