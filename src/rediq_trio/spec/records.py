"""What a queue stores: one record per task, and everything beside the records.

Instants and durations are whole milliseconds (`_ms`), because both stores must compute the same
numbers. The requests to a queue, and its answers, are in `messages`.

Long, because a record and what lies beside it are read together.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from rediq_trio.spec.carried import BatchEnvelope, Kept, StoredAttempt
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.kinds import NO_KINDS, StoredKind
from rediq_trio.spec.history.samples import NO_SERIES, QueueSeries
from rediq_trio.spec.history.type_counts import NO_TYPES, QueueTypes
from rediq_trio.spec.ids import pack_id
from rediq_trio.spec.lifecycle import TERMINAL, WAITING, State, Transition
from rediq_trio.spec.messages import InState, Mail, Schedule, Until, Version
from rediq_trio.spec.order.table import Key, Table

CANCELLED_GRACE_MS = 60_000
"""How long a cancelled task, and any task that someone waits for, is kept after its end at least, so
that the caller can read how it ended."""

PRIORITY_SPAN = 2**45
"""How many tasks of one priority have different scores: `score = priority * PRIORITY_SPAN + seq`. The
highest score, 100 * 2**45 + 2**45, is below 2**53, up to which a double is exact."""

PROPAGATED_AT_ONCE = 500
"""Dependents that one step notifies, at most; the keeper notifies the others."""

ORDERED_AT_ONCE = 2000
"""Tasks that become ready at one instant, or by the end of one task, that one step puts in the order
of their enqueue, at most. If there are more, it looks at those with the lowest ids."""

ATTEMPTS_KEPT = 10
"""Attempts of one task of which a record is kept, the last ones."""

ANY_KEY = "*"
"""Stands for every limit key that has no limit of its own."""


@attrs.frozen
class Record:
    """All that a queue stores of one task."""

    id: str
    envelope: bytes | BatchEnvelope
    state: State
    priority: int
    max_retry: int
    max_crashes: int
    retention_ms: int
    created_ms: int
    run_ms: int
    """When the task is or was due."""
    expires_ms: int = 0
    seq: int = 0
    """Its rank among the ready tasks of its priority. An active task keeps it, so that a released
    task returns to its old rank. Before a task is first ready, it is its rank among all that were
    enqueued. 0 in a task that an earlier version enqueued, and that was never ready."""
    attempt: int = 0
    deliveries: int = 0
    crashes: int = 0
    snoozes: int = 0
    nonce: bytes = b""
    """The nonce of the last claim. It is kept after the settlement, to recognise a repeated one, and
    removed by a reclaim or a revive."""
    lease_ms: int = 0
    """When the lease of an active task runs out."""
    worker: str = ""
    cancel: bool = False
    """Someone asked to cancel the task while it was active."""
    has_waiters: bool = False
    """Someone waits for the task's end."""
    has_dependents: bool = False
    """Other tasks wait, or have waited, for the task's end."""
    has_steps: bool = False
    """Results of steps are stored with it."""
    started_ms: int = 0
    finished_ms: int = 0
    purge_ms: int = 0
    """When a completed or cancelled task may be purged."""
    error: str = ""
    result: bytes = b""
    progress: bytes = b""
    inputs: tuple[Kept, ...] = ()
    """The reference and the result of each task that it waited for."""
    steps: tuple[Kept, ...] = ()
    """The name and the result of each of its steps."""
    attempts: tuple[StoredAttempt, ...] = ()
    """Its last attempts that did not complete it, the oldest first."""
    unique: str = ""
    until: Until = Until.DONE
    owns_unique_key: bool = False
    """The task owns its unique key. The window may be over by time (`Lock.till_ms`) nevertheless."""
    limit_key: str = ""
    group: str = ""
    waits: int = 0
    """How many tasks this one still waits for."""
    run_on_dependency_failure: bool = False

    @property
    def score(self) -> int:
        """The task's score in the index of its state; lower comes first."""
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
    def entered_ms(self) -> int:
        """When the task entered its state, as far as its record tells: never later than it did.

        Of an ended task it is the end, and of a pending one at least the time at which it was due.
        When a task that has run waits for its time again is not stored: its last start counts.
        """
        if self.terminal:
            return self.finished_ms
        due_ms = self.run_ms if self.state is State.PENDING else 0
        return max(self.created_ms, self.started_ms, due_ms)

    def is_still(self, still: InState | None) -> bool:
        """Return whether the task is still as it must be; None is for any task."""
        return still is None or (
            self.state is still.state and self.entered_ms <= still.entered_by_ms
        )

    @property
    def enqueue_order(self) -> tuple[int, int]:
        """Orders tasks that become ready together: by the time of their enqueue, then by `seq`.

        If tasks of one millisecond were ready before, `seq` is the order in which they were last.
        """
        return self.created_ms, self.seq

    @property
    def version(self) -> Version:
        """What a caller may change of the task. A batch has an empty envelope, as nobody changes it."""
        envelope = b"" if isinstance(self.envelope, BatchEnvelope) else self.envelope
        return Version(
            envelope, self.priority, self.max_retry, self.max_crashes, self.retention_ms,
            self.expires_ms,
        )  # fmt: skip

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL

    def with_attempt(
        self, now: int, transition: Transition, detail: bytes = b"", kind: str = ""
    ) -> Record:
        """Return the active task with a record of its attempt, which ends now and is still charged.

        The worker says what went wrong (`detail`), and the queue adds what it knows of the attempt. So
        one whose worker died has a record too.
        """
        ended = StoredAttempt(
            self.attempt, self.deliveries, self.worker, self.started_ms, now, transition.value, detail,
            kind,
        )  # fmt: skip
        return attrs.evolve(self, attempts=(*self.attempts, ended)[-ATTEMPTS_KEPT:])


@attrs.frozen
class Place:
    """A place in the list of the tasks in one state, held also when its task has gone."""

    id: str
    score: int
    lane: str = ""
    """The limit key of a pending task, or the group of a grouped one; '' without."""

    @property
    def order(self) -> tuple[bytes, int, bytes]:
        """Return the sort key of the place among those of its list."""
        return pack_lane(self.lane), self.score, pack_id(self.id)


def place_of(record: Record) -> Place:
    """Return the place of a task in the list of its state."""
    return Place(record.id, record.score, lane_of(record))


def lane_of(record: Record) -> str:
    """Return the limit key of a pending task, or the group of a grouped one; '' without."""
    if record.state is State.PENDING:
        return record.limit_key
    return record.group if record.state is State.GROUPED else ""


def pack_lane(lane: str) -> bytes:
    """Return the sort key of a lane: its length comes first, so '' is the first one."""
    packed = lane.encode()
    return bytes([len(packed)]) + packed


def by_place(_: str, record: Record) -> Key:
    """List a task by its state, its lane, and its place there."""
    return record.state, pack_lane(lane_of(record)), record.score, pack_id(record.id)


def by_running(_: str, record: Record) -> Key | None:
    """List an active task by its limit key."""
    return (record.limit_key, record.id) if record.state is State.ACTIVE else None


def by_expiry(_: str, record: Record) -> Key | None:
    """List a task that can expire by when it does."""
    expires = record.expires_ms and record.state in WAITING
    return (record.expires_ms, pack_id(record.id)) if expires else None


@attrs.frozen
class Ending:
    """A task that has ended, while some of its dependents have not been notified."""

    id: str
    ended_as: State | None
    """None for a task that no longer exists."""
    result: bytes = b""


@attrs.frozen
class Lock:
    """A unique key that is taken."""

    id: str
    """The task that holds it."""
    till_ms: int = 0
    """When the window ends by time; 0 for never."""


MAX_SLACK_US = 100_000
"""How late a start may be, at most, and be made up, in microseconds; for rates without a burst."""


@attrs.frozen
class Limit:
    """How many tasks may run at once, and how many may start within a period."""

    concurrency: int = 0
    """0 for any number."""
    count: int = 0
    """Starts per period; 0 for any number."""
    period_ms: int = 0
    burst: int = 1
    """How many starts may follow at once after a pause."""

    @property
    def interval_us(self) -> int:
        """Microseconds from one start to the next, rounded up; 0 without a rate.

        It is a little longer than `period / count`, so that a start that comes late can be made
        up (`tolerance_us`): by a fiftieth of the period, at most 0.1 s, shared among the starts. A
        burst makes up for lateness too, and at one start per period nothing can be made up.
        """
        if not self.count:
            return 0
        period = self.period_ms * 1000
        slack = 0
        if self.count > 1:
            burst = (self.burst - 1) * period // self.count
            slack = max(0, min(period // 50, MAX_SLACK_US) - burst)
        return -(-(period + slack) // self.count)

    @property
    def tolerance_us(self) -> int:
        """How far ahead of a start its theoretical arrival time may be; 0 without a rate.

        The maximum at which no period sees more than `count + burst - 1` starts (`spec.order.lanes`).
        """
        if not self.count:
            return 0
        return (self.count + self.burst - 1) * self.interval_us - self.period_ms * 1000


NO_LIMIT = Limit()


@attrs.frozen
class GroupRule:
    """When a group becomes a batch."""

    max_size: int = 10
    """Members of a batch, at most; a group with so many is due at once."""
    grace_ms: int = 30_000
    """How long the group waits after its newest member."""
    max_delay_ms: int = 300_000
    """How long the group waits after its oldest member, at most."""


@attrs.frozen
class Counters:
    """Totals of a queue since its first task."""

    enqueued: int = 0
    completed: int = 0
    failed: int = 0
    dead: int = 0
    purged: int = 0
    deleted: int = 0
    batched: int = 0


def by_lapse(key: str, lock: Lock) -> Key | None:
    """List a unique key whose window ends by time by when it does."""
    return (lock.till_ms, key) if lock.till_ms else None


def by_arrival(key: str, arrival_us: int) -> Key:
    """List the rate of a limit key by its theoretical arrival time."""
    return arrival_us, key


def _records(rows: Mapping[str, Record]) -> Table[Record]:
    return rows if isinstance(rows, Table) else Table(rows, by_place, by_running, by_expiry)


def _locks(rows: Mapping[str, Lock]) -> Table[Lock]:
    return rows if isinstance(rows, Table) else Table(rows, by_lapse)


def _rates(rows: Mapping[str, int]) -> Table[int]:
    return rows if isinstance(rows, Table) else Table(rows, by_arrival)


def _turns(rows: Mapping[str, int]) -> Table[int]:
    return rows if isinstance(rows, Table) else Table(rows)


def _refs(rows: Mapping[str, frozenset[str]]) -> Table[frozenset[str]]:
    return rows if isinstance(rows, Table) else Table(rows)


def _rules(rows: Mapping[str, GroupRule]) -> Table[GroupRule]:
    return rows if isinstance(rows, Table) else Table(rows)


@attrs.frozen
class QueueState:
    """One queue at one instant, with all that it stores.

    What can have as many rows as there are tasks is a `Table`, so a step copies little of it.
    """

    records: Table[Record] = attrs.field(default=_records({}), converter=_records)
    seq: int = 0
    """The last `seq` that a task got."""
    paused: bool = False
    counters: Counters = Counters()
    pause_note: bytes = b""
    """Who paused the queue and why, as the caller packed it; empty if it is not paused."""
    paused_since_ms: int = 0
    """When it was paused; 0 if it is not, or if an older version paused it."""
    locks: Table[Lock] = attrs.field(default=_locks({}), converter=_locks)
    """The unique keys that are taken, even those whose window is over by time."""
    edges: Table[frozenset[str]] = attrs.field(default=_refs({}), converter=_refs)
    """Task id -> references of the tasks that wait for its end."""
    needs: Table[frozenset[str]] = attrs.field(default=_refs({}), converter=_refs)
    """Task id -> references of the tasks that it still waits for."""
    endings: tuple[Ending, ...] = ()
    """Ended tasks whose dependents are still to be notified."""
    outbox: tuple[Mail, ...] = ()
    """Messages to other queues whose arrival is not acknowledged yet."""
    sent: int = 0
    """The `seq` of the last message."""
    received: Mapping[str, int] = MappingProxyType({})
    """Queue -> the `seq` of its last message that was handled here."""
    ask_at_ms: int = 0
    """When blocked tasks ask again about tasks of other queues; 0 for at once."""
    asked: int = 0
    """How many of the oldest blocked tasks have asked in this turn."""
    asked_needs: int = 0
    """How many of its dependencies the next one has asked about."""
    limits: Mapping[str, Limit] = MappingProxyType({})
    """Limit key -> its limit; '' limits the queue, `ANY_KEY` every key without a limit of its own."""
    rates: Table[int] = attrs.field(default=_rates({}), converter=_rates)
    """Limit key -> the theoretical arrival time of the next start, in microseconds."""
    max_pending: int = 0
    """How many tasks may be pending; 0 for any number."""
    fair: bool = False
    """Claims go round robin between limit keys, not by priority and age."""
    turn: int = 0
    """The turn of the last claim."""
    turns: Table[int] = attrs.field(default=_turns({}), converter=_turns)
    """Limit key with pending tasks -> the turn at which it was last served, or began to wait. '' is
    for the tasks without a key."""
    schedules: Mapping[str, Schedule] = MappingProxyType({})
    """Name -> schedule."""
    revision: int = 0
    """The revision of the last change of a schedule."""
    rules: Table[GroupRule] = attrs.field(default=_rules({}), converter=_rules)
    """Group with members -> the rule that it was given."""
    history: int = 0
    """How many entries of its history the queue keeps; 0 for none."""
    last_entry: int = 0
    """The number of the last entry."""
    target_latency_ms: int = 0
    """How long a pending task may wait before its operators want to know; 0 for no target."""
    target_failures_ppm: int = 0
    """How many of a million attempts may fail before they want to know; 0 for no target."""
    entries: tuple[Entry, ...] = ()
    """The last transitions."""
    series: QueueSeries = NO_SERIES
    """Its numbers over time."""
    types: QueueTypes = NO_TYPES
    """Its attempts by type."""
    kinds: Mapping[str, StoredKind] = NO_KINDS
    """Its kinds of failure, by their fingerprints."""
