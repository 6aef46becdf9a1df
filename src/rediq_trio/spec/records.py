"""The values inside: what a queue keeps of each task, what it is asked, what it answers.

Instants and durations are whole milliseconds (`_ms`), because both stores must
compute the same numbers.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import attrs

from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.lifecycle import TERMINAL, State

CANCELLED_GRACE_MS = 60_000
"""A cancelled task, and one that someone waits for, is kept at least this long
after its end, so that whoever asked can read how it ended."""

PRIORITY_SPAN = 2**45
"""Tasks that one priority can order: `score = priority * PRIORITY_SPAN + seq`, and
100 * 2**45 + 2**45 is below 2**53, up to which a double counts exactly."""


PROPAGATED_AT_ONCE = 500
"""Dependents that one step resolves at most; the keeper goes on with the others."""

ANY_KEY = "*"
"""Stands for every limit key that has no limit of its own."""


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
class Ending:
    """A task that has ended, while some that wait for it have not been told."""

    id: str
    ended_as: State | None
    """None: it is gone."""
    result: bytes = b""


@attrs.frozen
class Lock:
    """A unique key that is taken."""

    id: str
    """Its holder."""
    till_ms: int = 0
    """The window ends then in any case; 0 for never."""


@attrs.frozen
class Limit:
    """How many tasks may run at once, and start within a period."""

    concurrency: int = 0
    """0 for any number."""
    count: int = 0
    """Starts per period; 0 for any number."""
    period_ms: int = 0
    burst: int = 1
    """Starts that may come at once after a pause."""

    @property
    def interval_us(self) -> int:
        """Microseconds from one start to the next, rounded up."""
        return -(-self.period_ms * 1000 // self.count)


NO_LIMIT = Limit()


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
class GroupRule:
    """When a group is full, or has waited long enough, to become a batch."""

    max_size: int = 10
    """Members of a batch, at most."""
    grace_ms: int = 30_000
    """From the last member on; each that comes begins it anew."""
    max_delay_ms: int = 300_000
    """From the first member on."""


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
    envelope: bytes
    lease_ms: int
    """The instant at which the lease runs out unless renewed, by the store's clock."""


@attrs.frozen
class Record:
    """All that a queue keeps of one task."""

    id: str
    envelope: bytes
    state: State
    priority: int
    max_retry: int
    max_crashes: int
    retention_ms: int
    created_ms: int
    run_ms: int
    """When it is or was due."""
    expires_ms: int = 0
    seq: int = 0
    """Its place among the ready tasks of its priority; kept while it is active, so
    that a released task goes back to where it was."""
    attempt: int = 0
    deliveries: int = 0
    crashes: int = 0
    snoozes: int = 0
    nonce: bytes = b""
    """Of the last claim; kept after its settlement, so that a repeated settlement is
    known as such, and empty once a lapse or a revive made it void."""
    lease_ms: int = 0
    """While active: when the lease runs out."""
    worker: str = ""
    cancel: bool = False
    """A cancel was asked while it was active."""
    has_waiters: bool = False
    """Someone waits for its end."""
    has_dependents: bool = False
    """Tasks wait, or have waited, for its end."""
    has_steps: bool = False
    """It has kept results of steps."""
    started_ms: int = 0
    finished_ms: int = 0
    purge_ms: int = 0
    """While completed or cancelled: when it may be purged."""
    error: str = ""
    result: bytes = b""
    progress: bytes = b""
    inputs: bytes = b""
    """What the tasks it waited for returned: reference and result in turn, packed."""
    steps: bytes = b""
    """What its steps returned: name and result in turn, packed."""
    unique: str = ""
    until: Until = Until.DONE
    owns_unique_key: bool = False
    """The unique key was taken by it, and its window not ended but by its `till_ms`."""
    limit_key: str = ""
    group: str = ""
    waits: int = 0
    """How many tasks it still waits for."""
    run_on_dependency_failure: bool = False

    @property
    def score(self) -> int:
        """Where the task stands in the index of its state; lower comes first."""
        match self.state:
            case State.PENDING:
                return self.priority * PRIORITY_SPAN + self.seq
            case State.SCHEDULED | State.RETRY:
                return self.run_ms
            case State.ACTIVE:
                return self.lease_ms
            case State.COMPLETED | State.CANCELLED:
                return self.purge_ms
            case State.BLOCKED:
                return self.created_ms
            case State.GROUPED:
                return self.seq
            case State.DEAD:
                return self.finished_ms

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL


@attrs.frozen
class Counters:
    """Totals of a queue since it began."""

    enqueued: int = 0
    completed: int = 0
    failed: int = 0
    dead: int = 0
    purged: int = 0
    deleted: int = 0
    batched: int = 0


@attrs.frozen
class QueueState:
    """The whole of one queue at one instant."""

    records: Mapping[str, Record] = MappingProxyType({})
    seq: int = 0
    """Given to the task that became ready last."""
    paused: bool = False
    counters: Counters = Counters()
    locks: Mapping[str, Lock] = MappingProxyType({})
    """The unique keys that are taken, also those whose time has run out."""
    edges: Mapping[str, frozenset[str]] = MappingProxyType({})
    """For each task the references to those that wait for its end."""
    needs: Mapping[str, frozenset[str]] = MappingProxyType({})
    """For each task the references to those it still waits for."""
    endings: tuple[Ending, ...] = ()
    """Tasks whose dependents are still to be told."""
    outbox: tuple[Mail, ...] = ()
    """Messages to other queues that are not known to have arrived."""
    sent: int = 0
    """The `seq` of the last message."""
    received: Mapping[str, int] = MappingProxyType({})
    """For each other queue the `seq` of its last message that was taken in."""
    limits: Mapping[str, Limit] = MappingProxyType({})
    """By limit key; '' limits the queue, `ANY_KEY` every key without a limit of its own."""
    rates: Mapping[str, int] = MappingProxyType({})
    """By limit key: the theoretical arrival time of the next start, in microseconds."""
    max_pending: int = 0
    """How many tasks may be pending; 0 for any number."""
    fair: bool = False
    """Claims go round robin between limit keys, instead of by priority and age."""
    turn: int = 0
    """Of the last claim."""
    turns: Mapping[str, int] = MappingProxyType({})
    """For each limit key with pending tasks the turn at which it was last served, or
    began to wait; under '' for the tasks without a key."""
    schedules: Mapping[str, Schedule] = MappingProxyType({})
    """By name."""
    revision: int = 0
    """Of the schedule that was declared last."""
    rules: Mapping[str, GroupRule] = MappingProxyType({})
    """For each group with members the rule that it was given."""
    history: int = 0
    """How many entries are kept; 0 for none."""
    last_entry: int = 0
    """The number of the last entry."""
    entries: tuple[Entry, ...] = ()
    """The last transitions."""


@attrs.frozen
class Claimed:
    """The answer to a claim."""

    leases: tuple[Lease, ...]
    remaining: int
    """Pending tasks left that a further claim could have now; 0 when paused."""
    newer: int = 0
    """The layout of the next task, where a newer version wrote it: it, and what is behind it, is
    left to workers that can read it. 0 as a rule; a store of one process never has one."""


@attrs.frozen
class Due:
    """The answer of a keeper's step."""

    moved: int
    """How many tasks it moved; as many as its limit means that there may be more."""
    next_in_ms: int | None
    """Milliseconds until the next is due (0 when one is due already); None when there is none."""


class Verdict(enum.IntEnum):
    """What became of a lease that was to be renewed."""

    LOST = 0
    KEPT = 1
    CANCEL = 2
    """Kept, and its handler is to be cancelled."""


@attrs.frozen
class Failure:
    """A failed attempt, to be settled."""

    fence: Fence
    error: str
    delay_ms: int
    final: bool = False
    """No retry, whatever attempts are left."""


@attrs.frozen
class Completion:
    """A successful attempt, to be settled."""

    fence: Fence
    result: bytes
    children: tuple[NewTask, ...] = ()
    """Tasks to be enqueued in the same step."""


@attrs.frozen
class Deferral:
    """A snoozed attempt, to be settled."""

    fence: Fence
    delay_ms: int


@attrs.frozen
class Report:
    """Progress of a running attempt."""

    fence: Fence
    progress: bytes


@attrs.frozen
class WorkerRecord:
    """A worker's heartbeat."""

    id: str
    data: bytes
    ttl_ms: int
    """How long it counts as alive without another heartbeat."""
