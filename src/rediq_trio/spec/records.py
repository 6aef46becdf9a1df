"""What a queue keeps: one record per task, and all that is beside the records.

Instants and durations are whole milliseconds (`_ms`), because both stores must
compute the same numbers. What a queue is asked and answers is in `messages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from rediq_trio.spec.carried import BatchEnvelope, Kept
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.lifecycle import TERMINAL, State
from rediq_trio.spec.messages import Mail, Schedule, Until

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


@attrs.frozen
class Record:
    """All that a queue keeps of one task."""

    id: str
    envelope: bytes | BatchEnvelope
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
    inputs: tuple[Kept, ...] = ()
    """What the tasks it waited for returned: reference and result of each."""
    steps: tuple[Kept, ...] = ()
    """What its steps returned: name and result of each."""
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
        """Microseconds from one start to the next, rounded up; 0 without a rate."""
        return -(-self.period_ms * 1000 // self.count) if self.count else 0


NO_LIMIT = Limit()


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
