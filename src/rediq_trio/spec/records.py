"""The values inside: what a queue keeps of each task, what it is asked, what it answers.

Instants and durations are whole milliseconds (`_ms`), because both stores must
compute the same numbers.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from rediq_trio.spec.lifecycle import TERMINAL, State

CANCELLED_GRACE_MS = 60_000
"""A cancelled task, and one that someone waits for, is kept at least this long
after its end, so that whoever asked can read how it ended."""

PRIORITY_SPAN = 2**45
"""Tasks that one priority can order: `score = priority * PRIORITY_SPAN + seq`, and
100 * 2**45 + 2**45 is below 2**53, up to which a double counts exactly."""


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
    waited: bool = False
    """Someone waits for its end."""
    started_ms: int = 0
    finished_ms: int = 0
    purge_ms: int = 0
    """While completed or cancelled: when it may be purged."""
    error: str = ""
    result: bytes = b""
    progress: bytes = b""

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
            case _:
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


@attrs.frozen
class Queue:
    """The whole of one queue at one instant."""

    records: Mapping[str, Record] = MappingProxyType({})
    seq: int = 0
    """Given to the task that became ready last."""
    paused: bool = False
    counters: Counters = Counters()


@attrs.frozen
class Claimed:
    """The answer to a claim."""

    leases: tuple[Lease, ...]
    remaining: int
    """Pending tasks left that a further claim could have now; 0 when paused."""


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
