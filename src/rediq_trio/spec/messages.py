"""The requests to a queue and its answers: tasks, messages, leases, outcomes.

Instants and durations are whole milliseconds (`_ms`), because both stores must compute the
same numbers. What a queue stores is in `records`.
Long, because each field says what it is.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import attrs

from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.stored_format import UNSET_RETENTION_MS


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
    """How a new task is related to others.

    A reference is the id of a task of the same queue, or `"<queue>/<id>"` for one of another.
    """

    queue: str = ""
    """Another queue to send the task to; '' for the queue that receives the request."""
    unique: str = ""
    """The unique key; '' for none."""
    until: Until = Until.DONE
    ttl_ms: int = 0
    """Length of the unique key's window, in ms, whatever `until` says; 0 for no end by time."""
    replace: bool = False
    """Replace a holder of the unique key that was never claimed."""
    limit_key: str = ""
    group: str = ""
    run_on_dependency_failure: bool = False
    """Run this task even if a task that it needs did not complete."""
    needs: tuple[str, ...] = attrs.field(default=(), converter=_once)
    """Tasks that it waits for and that exist already; each is checked at the enqueue."""
    needs_later: tuple[str, ...] = attrs.field(default=(), converter=_once)
    """Tasks that it waits for and that come with it or after it, with it among their `dependents`."""
    dependents: tuple[str, ...] = attrs.field(default=(), converter=_once)
    """Tasks that wait for it and were enqueued before it."""


NO_RELATIONS = Relations()


@attrs.frozen
class NewTask:
    """A task to be enqueued."""

    id: str
    envelope: bytes
    """Type, payload, timeout, backoff and metadata, packed; the queue never reads it."""
    priority: int = 50
    max_retry: int = 3
    max_crashes: int = 3
    retention_ms: int = UNSET_RETENTION_MS
    delay_ms: int = 0
    run_at_ms: int = 0
    """An instant; 0 for none. At most one of `delay_ms` and `run_at_ms` is set."""
    expires_in_ms: int = 0
    """Milliseconds after the enqueue; 0 for never."""
    expires_at_ms: int = 0
    """An instant; 0 for none."""
    relations: Relations = NO_RELATIONS
    parent: str = ""
    """The task of another queue that enqueues it and is notified if it is refused; '' for any other."""
    may_exist: bool = False
    """Refuse it in silence: its `parent` expects that its id, or its unique key, may be taken."""


class AnswerKind(enum.IntEnum):
    """Why an enqueue did not simply add its task."""

    TAKEN = 1
    """The unique key has a holder: `ref`. Nothing was written."""
    REPLACED = 2
    """The task replaced the holder `ref`, whose state is `state` now."""
    FULL = 3
    """The queue is bounded and full. Nothing was written."""
    MISSING = 4
    """The task `ref` that it needs does not exist, or is in a group. Nothing was written."""
    WITHHELD = 5
    """Another task of the same atomic enqueue, or of the same step, was refused. Nothing was written."""
    SENT = 6
    """The task is on its way to another queue."""


@attrs.frozen
class Answer:
    """The result for a task that an enqueue did not simply add."""

    kind: AnswerKind
    ref: str = ""
    state: State | None = None


Enqueued = tuple[State | Answer | None, ...]
"""The state of each task; None for an id that exists already."""


class MailKind(enum.IntEnum):
    """What a message between queues is about."""

    TASK = 1
    """Enqueue a task."""
    SUBSCRIBE = 2
    """Task `id` of the sender waits for task `ref` of the receiver; `result` may be `ASKS_AGAIN`."""
    ENDED = 3
    """Task `ref` of the sender ended as `ended_as` says; task `id` of the receiver waits for it."""


@attrs.frozen
class Mail:
    """One message in a queue's outbox."""

    seq: int
    """The message's number. It grows with every message of a queue, even after a failover that
    lost some."""
    queue: str
    """The receiver."""
    kind: MailKind
    id: str = ""
    ref: str = ""
    ended_as: State | None = None
    """None for a task that no longer exists."""
    result: bytes = b""
    task: NewTask | None = None


@attrs.frozen
class Death:
    """A task that went to dead although no attempt of it failed.

    It expired, its workers died, or one that it needs did not complete.
    """

    id: str
    attempt: int
    """How many of its attempts were counted."""
    reason: str


@attrs.frozen
class Received:
    """The answer to messages of another queue."""

    seq: int
    """The number of the last message that was handled, now or before."""
    refused: tuple[int, ...] = ()
    """Numbers of the messages, handled now, whose task has an id that exists or a taken key."""
    deaths: tuple[Death, ...] = ()
    """The tasks that died because of one that they need."""


@attrs.frozen
class Schedule:
    """A schedule: it enqueues a task at each of its ticks."""

    name: str
    when: bytes
    """Its times, packed. A store compares them and never reads them."""
    template: NewTask
    """The task that each tick makes, but for its id."""
    owner: str = ""
    """The app that declares it; '' for a schedule added at run time."""
    keep: bool = False
    """Keep the schedule when its owner no longer declares it."""
    overlap_skip: bool = False
    """Skip a tick while the schedule's last task has not ended."""
    paused: bool = False
    next_ms: int = 0
    """The tick that it expects; 0 for none, as while it is paused."""
    last_ms: int = 0
    """The last tick that made a task."""
    last_id: str = ""
    """The last task that a tick or a trigger enqueued."""
    revision: int = 0
    """The number of its last change. No two changes in a queue have the same number."""


@attrs.frozen
class Tick:
    """One tick, with the task that it enqueues."""

    at_ms: int
    task: NewTask


@attrs.frozen
class Agenda:
    """Schedules of a queue, read at one instant."""

    now_ms: int
    """The instant, by the store's clock."""
    schedules: tuple[Schedule, ...]
    next_in_ms: int | None
    """Milliseconds until the next tick that is not due yet; None for none."""
    unreadable: tuple[str, ...] = ()
    """Names of schedules that cannot be decoded."""


@attrs.frozen
class InState:
    """What a task must still be for a change: in a state, which it entered at an instant or before.

    Of an active task that is its start, and of an ended one its end. Since when a task waits is not
    stored: one that was there by then counts, if it is in that state and no attempt has begun since.
    """

    state: State
    entered_by_ms: int
    """The latest instant, compared with `Record.entered_ms`."""


@attrs.frozen
class Fence:
    """The name of one delivery of one task. Every write of a worker about the task carries it."""

    id: str
    deliveries: int
    nonce: bytes
    """8 random bytes, new for each claim: no two fences are equal, even if a failover lost a
    delivery."""


@attrs.frozen
class Lease:
    """A claimed task, with the lease that a worker holds on it."""

    fence: Fence
    attempt: int
    """The number of this attempt, counted from 1."""
    max_retry: int
    envelope: bytes | BatchEnvelope
    lease_ms: int
    """When the lease runs out unless it is renewed, by the store's clock."""
    run_ms: int = 0
    """When the task was due, by the store's clock: since then it waited."""


@attrs.frozen
class Claimed:
    """The answer to a claim."""

    leases: tuple[Lease, ...]
    remaining: int
    """How many pending tasks a further claim would find at least; 0 when paused."""
    next_in_ms: int | None = None
    """If none remain: in how many ms a rate allows the next start. None if no task waits for one."""
    newer: int = 0
    """The format of the next task, if a newer version wrote it, else 0. That task, and those after
    it, are left to workers that can read it. `memory://` has no such tasks."""
    deaths: tuple[Death, ...] = ()
    """The tasks that went to dead instead of being leased, and then those that needed them."""


class Verdict(enum.IntEnum):
    """The answer to the renewal of a lease."""

    LOST = 0
    KEPT = 1
    CANCEL = 2
    """The lease is kept, but its handler is to be cancelled."""


@attrs.frozen
class Completed:
    """The attempt succeeded."""

    fence: Fence
    result: bytes
    children: tuple[NewTask, ...] = ()
    """Tasks to enqueue in the same step."""
    retention_ms: int | None = None
    """The retention of the handler, for a task whose producer left it unset; None for none."""


@attrs.frozen
class Failed:
    """The attempt failed, and is counted."""

    fence: Fence
    error: str
    delay_ms: int
    """Milliseconds until the next attempt, if there is one."""
    final: bool = False
    """Do not retry, even if attempts are left."""
    max_retry: int | None = None
    """Attempts after the first from now on, because the producer left them unset; None for no change."""
    detail: bytes = b""
    """What is kept of the attempt beside what the queue knows of it, packed; empty to keep no record."""
    kind: str = ""
    """The fingerprint of the failure: equal for those of one kind. Empty for one that is not counted."""
    sample: bytes = b""
    """What is kept of the first failure of a kind, packed."""


@attrs.frozen
class Snoozed:
    """The task is to run again after a delay. The attempt is not counted."""

    fence: Fence
    delay_ms: int
    detail: bytes = b""
    """As that of `Failed`; empty if the handler was never called."""


@attrs.frozen
class Stopped:
    """The handler was stopped because someone asked to cancel the task."""

    fence: Fence


@attrs.frozen
class Released:
    """The worker returned the task without running it to its end. The attempt is not counted."""

    fence: Fence
    detail: bytes = b""
    """As that of `Failed`; empty if the handler was never called."""


Outcome = Completed | Failed | Snoozed | Stopped | Released
"""How an attempt ended."""


@attrs.frozen
class Report:
    """Progress of a running attempt."""

    fence: Fence
    progress: bytes


@attrs.frozen
class PartlyCompleted:
    """The answer to a completion that did not enqueue all of its children."""

    refused: tuple[str, ...]
    """Ids of the children whose id exists, or whose unique key is taken, in their order."""


@attrs.frozen
class Rescheduled:
    """The answer to a `reschedule`: the state of the task before and after it; None for no task.

    A task that may not be rescheduled is after it what it was before.
    """

    before: State | None = None
    after: State | None = None


@attrs.frozen
class Version:
    """What a caller may change of a waiting task: as it was read, or as it is to be."""

    envelope: bytes
    priority: int
    max_retry: int
    max_crashes: int
    retention_ms: int
    expires_ms: int = 0


@attrs.frozen
class Updated:
    """The answer to an `update`: the state of the task, None for no task, and whether it was done."""

    state: State | None = None
    done: bool = False


class Obstacle(enum.IntEnum):
    """Why a task was not moved to another queue."""

    STATE = 1
    """It waits for others or in a group, runs, or has completed."""
    CHANGED = 2
    """It is not as its caller has seen it, or is a batch."""
    UNIQUE_KEY = 3
    """It has a unique key, which holds within its queue; the other queue might refuse it."""
    GROUP = 4
    """It was in a group."""
    DEPENDENTS = 5
    """Other tasks wait for its end, or have waited."""
    WAITERS = 6
    """Someone waits for its end."""
    KEPT = 7
    """It needs tasks of its queue, or results of such tasks or of its steps are stored with it."""


@attrs.frozen
class Requeued:
    """The answer to a `requeue`: the state in which the task was, None for no task, and why it stays."""

    state: State | None = None
    obstacle: Obstacle | None = None


@attrs.frozen
class Removal:
    """The answer to a `remove_queue`."""

    removed: bool
    left: Mapping[str, int] = MappingProxyType({})
    """How many tasks, schedules, messages, endings and unique keys are there, of what is there."""
    received: Mapping[str, int] = MappingProxyType({})
    """Queue -> the number of its last message that was handled here."""


LEFT = ("tasks", "schedules", "messages", "endings", "unique keys")
"""What keeps a queue from being removed, in the order in which its script counts it."""


States = tuple[State | None, ...]
"""The state of each task after the call; None for one that does not exist."""
class Deleted(tuple[State | None, ...]):
    """The state that each task was in before it was removed; None for one that did not exist."""

    deaths: tuple[Death, ...]
    """The tasks that died because they need one of those."""

    def __new__(
        cls, states: Iterable[State | None] = (), deaths: tuple[Death, ...] = ()
    ) -> Deleted:
        deleted = super().__new__(cls, states)
        deleted.deaths = deaths
        return deleted


@attrs.frozen
class Cancelling:
    """The answer to a cancel."""

    state: State | None
    """The task's state after the call; None for a task that does not exist."""
    deaths: tuple[Death, ...] = ()
    """The tasks that died because they need it."""


class Settled(tuple[State | PartlyCompleted | None, ...]):
    """The state of each outcome's task after the call; None for a stale fence, which changed nothing.

    An outcome that was settled before changes nothing either.
    """

    deaths: tuple[Death, ...]
    """The tasks that died because of one that they need."""

    def __new__(
        cls,
        answers: Iterable[State | PartlyCompleted | None] = (),
        deaths: tuple[Death, ...] = (),
    ) -> Settled:
        settled = super().__new__(cls, answers)
        settled.deaths = deaths
        return settled


@attrs.frozen
class Due:
    """The answer to a duty of the keeper."""

    moved: int
    """How many tasks it moved. If that is its limit, more may be due."""
    next_in_ms: int | None
    """Milliseconds until the next task is due; 0 if one is due already, None for none."""
    deaths: tuple[Death, ...] = ()
    """The tasks that went to dead: those that were moved, and then those that died because of one that
    they need."""


@attrs.frozen
class WorkerOrder:
    """An order to a worker, from whoever operates it."""

    id: str
    """Drawn by whoever gives it: the same order given again has the same id."""
    data: bytes
    """What it says, packed; a store never reads it."""


@attrs.frozen
class WorkerRecord:
    """A worker's heartbeat."""

    id: str
    data: bytes
    ttl_ms: int
    """Milliseconds for which the worker counts as alive without another heartbeat."""
    received: tuple[str, ...] = ()
    """Ids of orders that it has received, which are not to be returned to it again."""


class OrderAnswer(enum.IntEnum):
    """The answer to whoever gives an order to a worker."""

    NO_WORKER = 0
    """No worker with such a record is alive. Nothing was written."""
    GIVEN = 1
    """The order waits to be received, or has waited before."""
    TOO_MANY = 2
    """`ORDERS_MAX` orders wait to be received. Nothing was written."""


ORDERS_MAX = 16
"""Maximum orders of one worker that wait to be received."""
