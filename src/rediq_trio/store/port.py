"""Store: what workers and clients need of the place where tasks live.

One method for each operation of `spec.rules`, with the same arguments and results. Only the name
of the queue stands for the queue, the store has its own clock, and some methods take a batch. Ids
are those within the queue.

Every method may raise `ConnectionLost`. Whether the operation happened is then unknown, and
repeating it does no harm. A caller that is cancelled stops waiting: the operation may or may not
have happened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Sized
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import attrs
import trio

from rediq_trio._errors import RediqError
from rediq_trio.spec.carried import Kept
from rediq_trio.spec.check.findings import Repair, Target
from rediq_trio.spec.check.partitions import PartitionCount
from rediq_trio.spec.check.table import View
from rediq_trio.spec.check.totals import KeyReport, QueueTotals
from rediq_trio.spec.groups import Group
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Agenda,
    Claimed,
    Due,
    Enqueued,
    Fence,
    Mail,
    NewTask,
    Outcome,
    Report,
    Schedule,
    Settled,
    Tick,
    Verdict,
    WorkerRecord,
)
from rediq_trio.spec.operations import OPERATIONS, Carries, Operation
from rediq_trio.spec.records import GroupRule, Limit, QueueState, Record
from rediq_trio.store.broadcast import Signal, Topic

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


class Store(Protocol):
    """Where tasks live."""

    @property
    def unconfirmed(self) -> int:
        """Writes of a worker that were answered, but not confirmed as `durability` asks for."""
        ...

    async def enqueue(
        self, queue: str, /, tasks: Sequence[NewTask], *, atomic: bool = False
    ) -> Enqueued: ...

    async def outbox(self, queue: str, /, *, limit: int) -> tuple[Mail, ...]:
        """Read the oldest messages to other queues, all if `limit` is 0."""
        ...

    async def receive(self, queue: str, /, sender: str, mail: Sequence[Mail]) -> int: ...

    async def acknowledge(self, queue: str, /, seq: int) -> int: ...

    async def unblock(self, queue: str, /, *, limit: int) -> Due: ...

    async def limit(
        self,
        queue: str, /,
        *,
        key: str,
        concurrency: int | None = None,
        count: int | None = None,
        period_ms: int = 0,
        burst: int = 1,
    ) -> None: ...

    async def limits(self, queue: str, /) -> Mapping[str, Limit]:
        """Read the limits that are set, by key."""
        ...

    async def set_group_rules(self, queue: str, /, *, rules: Mapping[str, GroupRule]) -> int: ...

    async def batch(self, queue: str, /, *, ids: Sequence[str]) -> Due: ...

    async def groups(self, queue: str, /, *, limit: int, start: int = 0) -> tuple[Group, ...]:
        """Read the groups with members in the order in which they are due, from index `start` on."""
        ...

    async def arrange(
        self,
        queue: str, /,
        *,
        max_pending: int | None = None,
        fair: bool | None = None,
        history: int | None = None,
    ) -> None: ...

    async def history(self, queue: str, /, *, after: int, limit: int) -> tuple[Entry, ...]:
        """Read the entries after step `after`, oldest first, `limit` at most."""
        ...

    async def agenda(self, queue: str, /, *, due: int = 0) -> Agenda:
        """Read the schedules by name; with `due`, at most so many due ones, the longest due first."""
        ...

    async def declare(self, queue: str, /, *, schedule: Schedule) -> bool: ...

    async def retract(self, queue: str, /, *, names: Collection[str]) -> tuple[str, ...]: ...

    async def retract_others(
        self, queue: str, /, *, owner: str, names: Collection[str]
    ) -> tuple[str, ...]: ...

    async def suspend(self, queue: str, /, *, name: str) -> bool: ...

    async def reinstate(self, queue: str, /, *, name: str, next_ms: int) -> bool: ...

    async def tick(
        self,
        queue: str, /,
        *,
        name: str,
        expected_ms: int,
        revision: int,
        ticks: Sequence[Tick],
        next_ms: int,
    ) -> int | None: ...

    async def trigger(self, queue: str, /, *, name: str, task: NewTask) -> Enqueued: ...

    async def remember(self, queue: str, /, fence: Fence, step: Kept) -> bool: ...

    async def claim(
        self, queue: str, /, *, limit: int, lease_ms: int, worker: str, nonce: bytes
    ) -> Claimed: ...

    async def renew(
        self, queue: str, /, fences: Sequence[Fence], *, lease_ms: int
    ) -> tuple[Verdict, ...]: ...

    async def settle(self, queue: str, /, outcomes: Sequence[Outcome]) -> Settled: ...

    async def report(self, queue: str, /, items: Sequence[Report]) -> tuple[bool, ...]: ...

    async def promote(self, queue: str, /, *, limit: int) -> Due: ...

    async def reclaim(self, queue: str, /, *, limit: int) -> Due: ...

    async def expire(self, queue: str, /, *, limit: int) -> Due: ...

    async def purge(
        self, queue: str, /, *, limit: int, dead_retention_ms: int, max_dead: int
    ) -> Due: ...

    async def cancel(self, queue: str, /, task_id: str) -> State | None: ...

    async def revive(self, queue: str, /, ids: Sequence[str]) -> Settled: ...

    async def delete(self, queue: str, /, ids: Sequence[str]) -> Settled: ...

    async def watch(self, queue: str, /, task_id: str) -> State | None: ...

    async def pause(self, queue: str, /) -> None: ...

    async def resume(self, queue: str, /) -> None: ...

    async def flush(self, queue: str, /) -> int: ...

    async def get(
        self, queue: str, /, ids: Sequence[str], *, skip_newer: bool = False
    ) -> tuple[Record | None, ...]:
        """Read tasks, each as one consistent snapshot.

        Raises `NewerTask` if a newer version wrote one of them; so do `cancel`, `watch`, and
        `revive` and `delete` of a single task. With `skip_newer`, such a task is None instead.
        """
        ...

    async def list(
        self, queue: str, /, state: State, *, limit: int, after: str | None = None
    ) -> tuple[str, ...]:
        """Return ids of the tasks in one state after the id `after`, in the order of their index.

        Raises `TaskNotFound` if `after` is not in that state.
        """
        ...

    async def stats(self, queue: str, /) -> Stats: ...

    async def totals(self, queue: str, /) -> QueueTotals:
        """Read the sizes and totals of the queue, in one atomic step."""
        ...

    async def key_report(self, queue: str, /) -> KeyReport:
        """Read what is wrong with the keys of the queue, and with those that begin like them."""
        ...

    async def targets(self, queue: str, /, cursor: int) -> tuple[int, tuple[Target, ...]]:
        """Return some of all that can be checked in the queue, and the next cursor.

        Begin with cursor 0; the scan is over when 0 comes back. A target may come more than once.
        """
        ...

    async def views(self, queue: str, /, targets: Sequence[Target]) -> tuple[View, ...]:
        """Read the views of targets of one type, each atomically; `BATCH` at most."""
        ...

    async def active_leases(
        self, queue: str, /, cursor: int
    ) -> tuple[int, tuple[tuple[Fence, str], ...]]:
        """Return the fences of some active tasks with their limit keys, and the next cursor.

        As `targets`. What is active as long as the scan lasts is among them.
        """
        ...

    async def repair(self, queue: str, /, repair: Repair) -> bool:
        """Make a repair, in one atomic step, if what it is for is still so; return whether it was."""
        ...

    async def dump(self, queue: str, /) -> QueueState:
        """Read the whole queue as the specification's value. For tests: not bounded."""
        ...

    async def register(self, worker: WorkerRecord) -> None: ...

    async def unregister(self, worker_id: str) -> None: ...

    async def workers(self) -> tuple[bytes, ...]: ...

    async def queues(self) -> tuple[str, ...]: ...

    async def partitions(self) -> Mapping[str, PartitionCount]:
        """Read how many partitions each partitioned queue has, by what is noted and by the names."""
        ...

    async def set_partitions(self, queue: str, count: int) -> None:
        """Note the number of a queue's partitions, and the name of the last; 1 for none.

        Names of partitions that it has no more are forgotten.
        """
        ...

    def listen(
        self, topics: Iterable[Topic]
    ) -> AbstractContextManager[trio.MemoryReceiveChannel[Signal]]:
        """Receive the signals of these topics while the block lasts; each topic begins with RESYNC."""
        ...


@attrs.frozen
class Stats:
    """The result of `Store.stats`."""

    queue: QueueState
    """Without records: `paused`, `seq`, the length of its history, and the counters."""
    sizes: dict[State, int]
    oldest_pending_age_ms: int
    """The longest time that the first task of a priority has been due; -1 if none is pending."""


OF_THE_STORE = frozenset({"unconfirmed", "listen"})
"""What a `Store` has beside its methods for a queue and for the workers."""
READS: Mapping[str, Carries] = MappingProxyType(
    {
        "get": Carries.TASKS_OUT,
        "outbox": Carries.ENCRYPTED,
        "dump": Carries.ENCRYPTED,
        **dict.fromkeys(
            ("active_leases", "groups", "history", "key_report", "limits", "list", "partitions",
             "queues", "stats", "targets", "totals", "views", "workers"),
            Carries.NOTHING,
        ),
    }
)  # fmt: skip
"""What is read of queues and workers beside the operations, with what it carries."""
WRITES = frozenset({"register", "repair", "set_partitions", "unregister"})
"""What is written beside the operations. It carries nothing of a task."""

METHODS = frozenset(name for name in vars(Store) if not name.startswith("_"))
"""Every method of `Store`, by name."""


def unclassified_methods(operations: Collection[str]) -> list[str]:
    """Return the methods of `Store` that are nothing, and the operations that it does not have."""
    return sorted(METHODS ^ ({*operations} | READS.keys() | WRITES | OF_THE_STORE))


if _unclassified := unclassified_methods(OPERATIONS.keys()):
    raise TypeError(
        f"store/port.py: {', '.join(_unclassified)}: each method of Store is an operation of "
        "spec/operations.py, or stands in READS, WRITES or OF_THE_STORE"
    )


def implements_store(kind: S) -> S:
    """Return the class; raise `TypeError` if it lacks a method of `Store`."""
    if missing := sorted(METHODS - vars(kind).keys()):
        raise TypeError(f"{kind.__name__} does not define {', '.join(missing)}")
    return kind
