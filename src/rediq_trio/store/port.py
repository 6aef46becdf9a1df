"""Store: what workers and clients need of the place where tasks live.

One method for each operation of `spec.rules`, with the same arguments and results. Only the name
of the queue stands for the queue, the store has its own clock, and some methods take a batch. Ids
are those within the queue.

Every method may raise `ConnectionLost`. Whether the operation happened is then unknown, and
repeating it does no harm. A caller that is cancelled stops waiting: the operation may or may not
have happened. Long, because there are so many methods.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
    Sized,
)
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs
import trio

from rediq_trio._errors import RediqError
from rediq_trio.spec.check.findings import Repair, Target
from rediq_trio.spec.check.partitions import PartitionCount
from rediq_trio.spec.check.table import View
from rediq_trio.spec.check.totals import KeyReport, QueueTotals
from rediq_trio.spec.groups import Group
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.kinds import StoredKind
from rediq_trio.spec.history.logbook import LinePlace, Logbook, LogLine
from rediq_trio.spec.history.samples import SeriesRead
from rediq_trio.spec.history.sizes import Excess
from rediq_trio.spec.history.type_counts import TypesRead
from rediq_trio.spec.history.workflows import WorkflowRecord
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Fence, Mail, OrderAnswer, WorkerOrder, WorkerRecord
from rediq_trio.spec.operations import OP, OPERATIONS, Carries, Operation
from rediq_trio.spec.records import Counters, Limit, Place, QueueState, Record
from rediq_trio.store.broadcast import Signal, Topic
from rediq_trio.store.reads.description import Description
from rediq_trio.store.reads.scan import ALL, Scanned, Where
from rediq_trio.store.reads.situation import Situation
from rediq_trio.store.reads.states import StatesRead

P = ParamSpec("P")
A = TypeVar("A")
S = TypeVar("S", bound=type)

BATCH = 1000
"""Items of one call of a batched method, at most; a store refuses more."""


def check_batch(name: str, items: Sized) -> None:
    """Raise `RediqError` for a call with more than `BATCH` items."""
    if len(items) > BATCH:
        raise RediqError(f"{name}: {len(items)} items in one call; a store takes at most {BATCH}")


def check_batched(
    operation: Operation[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    """Raise `RediqError` where the argument that an operation bounds has more than `BATCH` items."""
    if operation.batched:
        items = kwargs[operation.batched] if operation.batched in kwargs else args[-1]
        check_batch(operation.name, items)


def method_of(
    operation: Operation[P, A],
) -> Callable[Concatenate[Any, str, P], Coroutine[Any, Any, A]]:
    """Return the method of an operation, which calls `_do` of its store."""

    async def method(self: Store, queue: str, /, *args: P.args, **kwargs: P.kwargs) -> A:
        check_batched(operation, args, kwargs)
        return await self._do(operation, queue, *args, **kwargs)

    method.__name__ = method.__qualname__ = operation.name
    method.__doc__ = operation.rule.__doc__
    return method


class Store:
    """Where tasks live. A kind of store has a method for each operation, or `_do` for all others."""

    async def _do(
        self, operation: Operation[P, A], queue: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> A:
        """Do an operation with these arguments, which are checked."""
        raise NotImplementedError

    enqueue = method_of(OP.enqueue)
    receive = method_of(OP.receive)
    acknowledge = method_of(OP.acknowledge)
    claim = method_of(OP.claim)
    renew = method_of(OP.renew)
    settle = method_of(OP.settle)
    report = method_of(OP.report)
    remember = method_of(OP.remember)
    tally = method_of(OP.tally)
    promote = method_of(OP.promote)
    unblock = method_of(OP.unblock)
    reclaim = method_of(OP.reclaim)
    expire = method_of(OP.expire)
    purge = method_of(OP.purge)
    sample = method_of(OP.sample)
    trim = method_of(OP.trim)
    set_group_rules = method_of(OP.set_group_rules)
    batch = method_of(OP.batch)
    tick = method_of(OP.tick)
    cancel = method_of(OP.cancel)
    reschedule = method_of(OP.reschedule)
    update = method_of(OP.update)
    requeue = method_of(OP.requeue)
    revive = method_of(OP.revive)
    delete = method_of(OP.delete)
    watch = method_of(OP.watch)
    pause = method_of(OP.pause)
    resume = method_of(OP.resume)
    flush = method_of(OP.flush)
    limit = method_of(OP.limit)
    arrange = method_of(OP.arrange)
    remove_queue = method_of(OP.remove_queue)
    agenda = method_of(OP.agenda)
    declare = method_of(OP.declare)
    retract = method_of(OP.retract)
    retract_others = method_of(OP.retract_others)
    suspend = method_of(OP.suspend)
    reinstate = method_of(OP.reinstate)
    trigger = method_of(OP.trigger)

    @property
    def unconfirmed(self) -> int:
        """Writes of a worker that were answered, but not confirmed as `durability` asks for."""
        raise NotImplementedError

    async def outbox(self, queue: str, /, *, limit: int) -> tuple[Mail, ...]:
        """Read the oldest messages to other queues, all if `limit` is 0."""
        raise NotImplementedError

    async def limits(self, queue: str, /) -> Mapping[str, Limit]:
        """Read the limits that are set, by key."""
        raise NotImplementedError

    async def groups(self, queue: str, /, *, limit: int, start: int = 0) -> tuple[Group, ...]:
        """Read the groups with members in the order in which they are due, from index `start` on."""
        raise NotImplementedError

    async def history(self, queue: str, /, *, after: int, limit: int) -> tuple[Entry, ...]:
        """Read the entries after step `after`, oldest first, `limit` at most."""
        raise NotImplementedError

    async def get(
        self, queue: str, /, ids: Sequence[str], *, skip_newer: bool = False
    ) -> tuple[Record | None, ...]:
        """Read tasks, each as one consistent snapshot.

        Raises `NewerTask` if a newer version wrote one of them; so do `cancel`, `watch`, and
        `revive` and `delete` of a single task. With `skip_newer`, such a task is None instead.
        """
        raise NotImplementedError

    async def description(self, queue: str, /, task_id: str) -> Description | None:
        """Read a task with what its queue knows about it, in one atomic step; None if there is none.

        Raises `NewerTask` as `get` does.
        """
        raise NotImplementedError

    async def situation(self, queue: str, /, task_id: str) -> Situation | None:
        """Read a task with all of its queue that decides when it runs, in one atomic step.

        None if there is no such task. One that a newer version wrote is not an error.
        """
        raise NotImplementedError

    async def states(self, queue: str, /, ids: Sequence[str]) -> StatesRead:
        """Read the states of tasks, in one atomic step; `BATCH` at most."""
        raise NotImplementedError

    async def list(
        self, queue: str, /, state: State, *, limit: int, after: str | None = None
    ) -> tuple[str, ...]:
        """Return ids of the tasks in one state after an id, in the order of their index.

        Raises `TaskNotFound` if the id is not in that state.
        """
        raise NotImplementedError

    async def scan(
        self,
        queue: str,
        /,
        state: State,
        *,
        limit: int,
        after: Place | None = None,
        newest: bool = False,
        where: Where = ALL,
    ) -> Scanned:
        """Look at the next tasks in one state, `SCAN_STEP` at most; return those that are chosen.

        With `newest`, the scan goes backwards from a place, or from the end. A store may look at
        fewer tasks than `limit`, but at one at least unless it is over. Records of a newer version
        are passed over.
        """
        raise NotImplementedError

    async def stats(self, queue: str, /) -> Stats:
        raise NotImplementedError

    async def series(
        self, queue: str, /, *, level: int, since_ms: int, until_ms: int = 0
    ) -> SeriesRead:
        """Read samples of one level, at one instant; see `spec.history.series.read_series`."""
        raise NotImplementedError

    async def types(self, queue: str, /, *, since_ms: int) -> TypesRead:
        """Read what is kept by type, some steps at one instant; see `spec.history.tally.read_types`."""
        raise NotImplementedError

    async def series_bytes(self, queue: str, /) -> int:
        """Return the bytes that its series and its statistics by type take in Redis, about."""
        raise NotImplementedError

    async def failure_kinds(self, queue: str, /) -> Mapping[str, StoredKind]:
        """Read the kinds of failure by their fingerprints, the one that was seen last first."""
        raise NotImplementedError

    async def overview(self, queues: Sequence[str]) -> tuple[int, tuple[Counts, ...]]:
        """Return the time in ms, and the counts of each queue; `BATCH` at most.

        As `stats` without an age, for many queues at once; a queue is not read in one atomic step.
        """
        raise NotImplementedError

    async def server_memory(self) -> tuple[ServerMemory, ...]:
        """Read how much memory each server uses; none of a store that is in this process."""
        raise NotImplementedError

    async def with_schedules(self, queues: Sequence[str], name: str = "") -> tuple[str, ...]:
        """Return those of the queues that have schedules, or one of this name; `BATCH` at most.

        Queues that could not be read are among them: to read their agenda says why.
        """
        raise NotImplementedError

    async def totals(self, queue: str, /) -> QueueTotals:
        """Read the sizes and totals of the queue, in one atomic step."""
        raise NotImplementedError

    async def key_report(self, queue: str, /) -> KeyReport:
        """Read what is wrong with the keys of the queue, and with those that begin like them."""
        raise NotImplementedError

    async def targets(self, queue: str, /, cursor: int) -> tuple[int, tuple[Target, ...]]:
        """Return some of all that can be checked in the queue, and the next cursor.

        Begin with cursor 0; the scan is over when 0 comes back. A target may come more than once.
        """
        raise NotImplementedError

    async def views(self, queue: str, /, targets: Sequence[Target]) -> tuple[View, ...]:
        """Read the views of targets of one type, each atomically; `BATCH` at most."""
        raise NotImplementedError

    async def active_leases(
        self, queue: str, /, cursor: int
    ) -> tuple[int, tuple[tuple[Fence, str], ...]]:
        """Return the fences of some active tasks with their limit keys, and the next cursor.

        As `targets`. What is active as long as the scan lasts is among them.
        """
        raise NotImplementedError

    async def repair(self, queue: str, /, repair: Repair) -> bool:
        """Make a repair, in one atomic step, if what it is for is still so; return whether it was."""
        raise NotImplementedError

    async def dump(self, queue: str, /) -> QueueState:
        """Read the whole queue as the specification's value. For tests: not bounded."""
        raise NotImplementedError

    async def register(self, worker: WorkerRecord) -> tuple[WorkerOrder, ...]:
        """Store a worker's heartbeat; return the orders to it that it has not received."""
        raise NotImplementedError

    async def unregister(self, worker_id: str) -> None:
        raise NotImplementedError

    async def workers(self, only: str = "") -> tuple[bytes, ...]:
        """Read the data of the records of all live workers, or of only one."""
        raise NotImplementedError

    async def order(self, worker_id: str, order: WorkerOrder, *, queue: str) -> OrderAnswer:
        """Send an order to the worker with this record, which serves the queue; it receives it soon."""
        raise NotImplementedError

    async def queues(self) -> tuple[str, ...]:
        raise NotImplementedError

    async def partitions(self) -> Mapping[str, PartitionCount]:
        """Read how many partitions each partitioned queue has, by what is noted and by the names."""
        raise NotImplementedError

    async def set_partitions(self, queue: str, count: int) -> None:
        """Note the number of a queue's partitions, and the name of the last; 1 for none.

        Names of partitions that it has no more are forgotten.
        """
        raise NotImplementedError

    async def log(self, logbook: Logbook, *, nonce: bytes, data: bytes) -> LinePlace:
        """Add a line to a logbook, once for a nonce, and return its place; see `spec.history.logbook`."""
        raise NotImplementedError

    async def logged(
        self, logbook: Logbook, *, limit: int, after: LinePlace | None = None, newest: bool = False
    ) -> tuple[LogLine, ...]:
        """Read the lines after a place, or before it and backwards with `newest`."""
        raise NotImplementedError

    async def note_size(
        self, queue: str, size: int, *, last: bool, most: int = 0
    ) -> tuple[Excess, ...]:
        """Note the bytes of a queue's statistics; return which queues are to lose some of theirs.

        See `spec.history.sizes`.
        """
        raise NotImplementedError

    async def keep_workflow(self, workflow_id: str, data: bytes) -> int:
        """Write the record of a workflow, once for an id; return when it was written, in ms.

        See `spec.history.workflows`.
        """
        raise NotImplementedError

    async def forget_workflow(self, workflow_id: str) -> None:
        """Remove the record of a workflow, if there is one."""
        raise NotImplementedError

    async def workflow(self, workflow_id: str) -> WorkflowRecord | None:
        """Read the record of a workflow."""
        raise NotImplementedError

    async def workflows(
        self, *, limit: int, after: int | None = None, newest: bool = False
    ) -> tuple[WorkflowRecord, ...]:
        """Read records after a number, or before it and backwards with `newest`.

        There may be fewer than `limit`, but one at least unless there is none.
        """
        raise NotImplementedError

    async def due_workflows(self, *, limit: int) -> tuple[WorkflowRecord, ...]:
        """Read records that are to be looked at, and put off each."""
        raise NotImplementedError

    def listen(
        self, topics: Iterable[Topic]
    ) -> AbstractContextManager[trio.MemoryReceiveChannel[Signal]]:
        """Receive the signals of these topics while the block lasts; each topic begins with RESYNC."""
        raise NotImplementedError


@attrs.frozen
class Stats:
    """The result of `Store.stats`."""

    queue: QueueState
    """Without records: `paused` with its note and time, `seq`, the length of its history, and the
    counters."""
    sizes: dict[State, int]
    oldest_pending_age_ms: int
    """The longest time that the first task of a priority has been due; -1 if none is pending."""


@attrs.frozen
class Counts:
    """The part of a queue in `Store.overview`."""

    sizes: Mapping[State, int]
    """How many tasks are in each state that has any."""
    paused: bool
    counters: Counters
    target_latency_ms: int = 0
    target_failures_ppm: int = 0


@attrs.frozen
class ServerMemory:
    """The memory of a server, in bytes."""

    server: str
    """Its address."""
    used: int
    most: int
    """What `maxmemory` allows; 0 for no bound."""


OF_THE_STORE = frozenset({"unconfirmed", "listen"})
"""What a `Store` has beside its methods for a queue and for the workers."""
READS: Mapping[str, Carries] = MappingProxyType(
    {
        "get": Carries.TASKS_OUT,
        "description": Carries.TASKS_OUT,
        "scan": Carries.TASKS_OUT,
        "situation": Carries.TASKS_OUT | Carries.NOTES_OUT,
        "outbox": Carries.ENCRYPTED,
        "dump": Carries.ENCRYPTED,
        "stats": Carries.NOTES_OUT,
        "failure_kinds": Carries.ERRORS_OUT,
        "logged": Carries.NOTES_OUT,
        **dict.fromkeys(("workflow", "workflows"), Carries.NOTES_OUT),
        **dict.fromkeys(
            ("active_leases", "groups", "history", "key_report", "limits", "list", "overview",
             "partitions", "queues", "series", "series_bytes", "server_memory", "states", "targets",
             "totals", "types", "views", "with_schedules", "workers"),
            Carries.NOTHING,
        ),
    }
)  # fmt: skip
"""What is read of queues and workers beside the operations, with what it carries."""
WRITES: Mapping[str, Carries] = MappingProxyType(
    {
        "log": Carries.NOTES_IN,
        "keep_workflow": Carries.NOTES_IN,
        "due_workflows": Carries.NOTES_OUT,
        **dict.fromkeys(
            ("forget_workflow", "note_size", "order", "register", "repair", "set_partitions",
             "unregister"),
            Carries.NOTHING,
        ),
    }
)  # fmt: skip
"""What is written beside the operations, with what it carries."""

METHODS = frozenset(name for name in vars(Store) if not name.startswith("_"))
"""Every method of `Store`, by name."""


def unclassified_methods(operations: Collection[str]) -> list[str]:
    """Return the methods of `Store` that are nothing, and the operations that it does not have."""
    return sorted(METHODS ^ ({*operations} | READS.keys() | WRITES.keys() | OF_THE_STORE))


if _unclassified := unclassified_methods(OPERATIONS.keys()):
    raise TypeError(
        f"store/port.py: {', '.join(_unclassified)}: each method of Store is an operation of "
        "spec/operations.py, or stands in READS, WRITES or OF_THE_STORE"
    )


def implements_store(kind: S) -> S:
    """Return the class; raise `TypeError` if it lacks a method of `Store`."""
    own = vars(kind).keys()
    if missing := sorted(METHODS - own - (OPERATIONS.keys() if "_do" in own else set())):
        raise TypeError(f"{kind.__name__} does not define {', '.join(missing)}")
    return kind
