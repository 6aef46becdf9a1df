"""MemoryStore: the specification as a store, in one process and without a server.

It runs the functions of `spec.rules` as they are, so a test on it is a test against the rules. Its
clock is that of Trio, so a `MockClock` moves its leases and delays too. A step takes time in
proportion to the tasks that it changes and the logarithm of all, a claim also to the limit keys that
wait. Nothing of it outlives the process: it is made for tests and small jobs.

Trio programs of several threads may share it: each change is made under a lock, which is never held
across a checkpoint, and signals reach the listeners of all of them.

Long, because each read has a method of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from types import MappingProxyType
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import attrs
import trio

from rediq_trio._errors import TaskNotFound
from rediq_trio.spec.check import table
from rediq_trio.spec.check.findings import Action, Repair, Target
from rediq_trio.spec.check.partitions import PartitionCount, count_partitions, lapsed_names
from rediq_trio.spec.check.table import View
from rediq_trio.spec.check.totals import KeyReport, QueueTotals, totals_of
from rediq_trio.spec.groups import Group, groups
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.kinds import StoredKind, newest_first
from rediq_trio.spec.history.logbook import (
    LOGBOOK_SIZES,
    LinePlace,
    Logbook,
    LogLine,
    log,
    read_lines,
)
from rediq_trio.spec.history.samples import SeriesRead
from rediq_trio.spec.history.series import read_series
from rediq_trio.spec.history.sizes import Excess, StatisticsSizes, note_size
from rediq_trio.spec.history.tally import read_types
from rediq_trio.spec.history.type_counts import TypesRead
from rediq_trio.spec.history.workflows import (
    WorkflowRecord,
    Workflows,
    due_workflows,
    forget_workflow,
    keep_workflow,
    read_workflows,
)
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Fence,
    Mail,
    OrderAnswer,
    Removal,
    WorkerOrder,
    WorkerRecord,
)
from rediq_trio.spec.operations import Operation
from rediq_trio.spec.order.lanes import oldest_due_ms
from rediq_trio.spec.records import Limit, Place, QueueState, Record, by_place
from rediq_trio.store.broadcast import Signal, SignalKind, Topic
from rediq_trio.store.memory_signals import signals_of
from rediq_trio.store.memory_workers import WorkerTable
from rediq_trio.store.port import (
    BATCH,
    Counts,
    ServerMemory,
    Stats,
    Store,
    check_batch,
    implements_store,
)
from rediq_trio.store.reads.description import Description, description_of
from rediq_trio.store.reads.scan import ALL, Scanned, Where, scan
from rediq_trio.store.reads.situation import Situation, situation_of
from rediq_trio.store.reads.states import StatesRead, states_of
from rediq_trio.store.shared_broadcast import SharedBroadcast
from rediq_trio.values.chance import wall

P = ParamSpec("P")
A = TypeVar("A")


def _trio_clock() -> Callable[[], int]:
    # Each `trio.run` has a clock with an origin of its own.
    begin = WeakKeyDictionary[trio.lowlevel.TrioToken, float]()
    latest = 0

    def now() -> int:
        nonlocal latest
        run, here = trio.lowlevel.current_trio_token(), trio.current_time()
        if run not in begin:
            begin[run] = wall() - here
        # A mock clock may be ahead of the others: time never goes back.
        latest = max(latest, round((begin[run] + here) * 1000))
        return latest

    return now


@implements_store
class MemoryStore(Store):
    """The specification as a store.

    `clock` returns the time in whole milliseconds. By default it is Trio's clock, set to the wall
    clock's time when it is first read in a `trio.run`.
    """

    _checkpoint = staticmethod(trio.lowlevel.checkpoint)

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        self._clock = clock or _trio_clock()
        self._queues: dict[str, QueueState] = {}
        self._workers = WorkerTable()
        self._names: set[str] = set()
        """The names of the queues that were ever used."""
        self._partitions: dict[str, int] = {}
        self._logbooks: dict[Logbook, tuple[LogLine, ...]] = {}
        self._workflows = Workflows()
        self._sizes = StatisticsSizes()
        self._broadcast = SharedBroadcast()
        self._lock = threading.Lock()

    @property
    def unconfirmed(self) -> int:
        return 0

    async def _do(
        self, operation: Operation[P, A], queue: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> A:
        # The checkpoint comes first: a caller that is cancelled here changed nothing.
        await self._checkpoint()
        with self._lock:
            if operation.names_queue:
                self._names.add(queue)
            before = self._queues.get(queue, QueueState())
            after, answer = operation.rule(before, self._clock(), *args, **kwargs)
            self._queues[queue] = after
        for signal in signals_of(queue, before, after):
            self._broadcast.publish(signal)
        return answer

    async def outbox(self, queue: str, *, limit: int) -> tuple[Mail, ...]:
        mail = (await self.dump(queue)).outbox
        return mail[:limit] if limit else mail

    async def limits(self, queue: str) -> Mapping[str, Limit]:
        return (await self.dump(queue)).limits

    async def groups(self, queue: str, *, limit: int, start: int = 0) -> tuple[Group, ...]:
        found = await self.dump(queue)
        return tuple(groups(found.records, found.rules)[start : start + limit])

    async def history(self, queue: str, *, after: int, limit: int) -> tuple[Entry, ...]:
        found = await self.dump(queue)
        start = max(0, after - found.last_entry + len(found.entries))
        return found.entries[start : start + limit]

    async def remove_queue(
        self, queue: str, /, *, received: Mapping[str, int] | None = None
    ) -> Removal:
        answer = await super().remove_queue(queue, received=received)
        with self._lock:
            if answer.removed and self._queues.get(queue) == QueueState():
                self._names.discard(queue)
                del self._queues[queue]
        return answer

    async def flush(self, queue: str) -> int:
        gone = await super().flush(queue)
        self._broadcast.publish(Signal(queue, SignalKind.FLUSH))
        return gone

    async def get(
        self, queue: str, ids: Sequence[str], *, skip_newer: bool = False
    ) -> tuple[Record | None, ...]:
        found = await self.dump(queue)
        return tuple(found.records.get(task_id) for task_id in ids)

    async def description(self, queue: str, task_id: str) -> Description | None:
        return description_of(await self.dump(queue), self._clock(), task_id)

    async def situation(self, queue: str, task_id: str) -> Situation | None:
        return situation_of(await self.dump(queue), self._clock(), task_id)

    async def states(self, queue: str, ids: Sequence[str]) -> StatesRead:
        check_batch("states", ids)
        return states_of(await self.dump(queue), self._clock(), ids)

    async def list(
        self, queue: str, state: State, *, limit: int, after: str | None = None
    ) -> tuple[str, ...]:
        records = (await self.dump(queue)).records
        place = None
        if after is not None:
            last = records.get(after)
            if last is None or last.state is not state:
                raise TaskNotFound(f"{queue}/{after}")
            place = by_place(after, last)
        found = records.listed(by_place, (state,), after=place)
        return tuple(record.id for record in islice(found, limit))

    async def scan(
        self,
        queue: str,
        state: State,
        *,
        limit: int,
        after: Place | None = None,
        newest: bool = False,
        where: Where = ALL,
    ) -> Scanned:
        found = await self.dump(queue)
        return scan(
            found, self._clock(), state, limit=limit, after=after, newest=newest, where=where
        )

    async def stats(self, queue: str) -> Stats:
        found = await self.dump(queue)
        sizes = dict(totals_of(found).sizes)
        oldest = oldest_due_ms(found)
        age = -1 if oldest is None else max(0, self._clock() - oldest)
        return Stats(attrs.evolve(found, records={}), sizes, age)

    async def series(
        self, queue: str, *, level: int, since_ms: int, until_ms: int = 0
    ) -> SeriesRead:
        found = await self.dump(queue)
        return read_series(found, self._clock(), level=level, since_ms=since_ms, until_ms=until_ms)

    async def types(self, queue: str, *, since_ms: int) -> TypesRead:
        return read_types(await self.dump(queue), self._clock(), since_ms=since_ms)

    async def series_bytes(self, queue: str) -> int:
        await self._checkpoint()
        return 0  # nothing of it is in a Redis

    async def failure_kinds(self, queue: str) -> Mapping[str, StoredKind]:
        kinds = (await self.dump(queue)).kinds
        return MappingProxyType({kind: kinds[kind] for kind in newest_first(kinds)})

    async def overview(self, queues: Sequence[str]) -> tuple[int, tuple[Counts, ...]]:
        check_batch("overview", queues)
        await self._checkpoint()
        found = [self._queues.get(queue, QueueState()) for queue in queues]
        counts = (
            Counts(
                totals_of(each).sizes, each.paused, each.counters,
                each.target_latency_ms, each.target_failures_ppm,
            )
            for each in found
        )  # fmt: skip
        return self._clock(), tuple(counts)

    async def server_memory(self) -> tuple[ServerMemory, ...]:
        await self._checkpoint()
        return ()

    async def with_schedules(self, queues: Sequence[str], name: str = "") -> tuple[str, ...]:
        check_batch("with_schedules", queues)
        await self._checkpoint()
        found = {queue: self._queues.get(queue, QueueState()).schedules for queue in queues}
        return tuple(q for q, some in found.items() if (name in some if name else some))

    async def totals(self, queue: str) -> QueueTotals:
        return totals_of(await self.dump(queue))

    async def key_report(self, queue: str) -> KeyReport:
        await self._checkpoint()
        return KeyReport()

    async def targets(self, queue: str, cursor: int) -> tuple[int, tuple[Target, ...]]:
        found = table.targets_of(await self.dump(queue))
        part = tuple(found[cursor : cursor + BATCH])
        return (cursor + BATCH if len(found) > cursor + BATCH else 0), part

    async def views(self, queue: str, targets: Sequence[Target]) -> tuple[View, ...]:
        check_batch("views", targets)
        found, now = await self.dump(queue), self._clock()
        return tuple(table.view_of(found, now, target) for target in targets)

    async def active_leases(
        self, queue: str, cursor: int
    ) -> tuple[int, tuple[tuple[Fence, str], ...]]:
        active = (await self.dump(queue)).records.listed(by_place, (State.ACTIVE,))
        return 0, tuple((Fence(r.id, r.deliveries, r.nonce), r.limit_key) for r in active)

    async def repair(self, queue: str, repair: Repair) -> bool:
        # In this store all else follows from the records, so nothing else can need a repair.
        await self._checkpoint()
        if repair.what is not Action.PARTITIONS:
            return False
        with self._lock:
            found = count_partitions(self._partitions, self._names)
            counted = found.get(queue, PartitionCount())
            if counted.recorded < counted.named:
                self._partitions[queue] = counted.named
        return counted.recorded < counted.named

    async def dump(self, queue: str) -> QueueState:
        await self._checkpoint()
        return self._queues.get(queue, QueueState())

    async def register(self, worker: WorkerRecord) -> tuple[WorkerOrder, ...]:
        await self._checkpoint()
        with self._lock:
            return self._workers.register(self._clock(), worker)

    async def unregister(self, worker_id: str) -> None:
        await self._checkpoint()
        with self._lock:
            self._workers.unregister(worker_id)

    async def workers(self, only: str = "") -> tuple[bytes, ...]:
        await self._checkpoint()
        with self._lock:
            return self._workers.records(self._clock(), only)

    async def order(self, worker_id: str, order: WorkerOrder, *, queue: str) -> OrderAnswer:
        await self._checkpoint()
        with self._lock:
            answer = self._workers.order(self._clock(), worker_id, order)
        if answer is OrderAnswer.GIVEN:
            self._broadcast.publish(Signal(queue, SignalKind.ORDER, worker_id))
        return answer

    async def queues(self) -> tuple[str, ...]:
        await self._checkpoint()
        with self._lock:
            return tuple(sorted(self._names))

    async def partitions(self) -> dict[str, PartitionCount]:
        await self._checkpoint()
        with self._lock:
            return count_partitions(self._partitions, self._names)

    async def set_partitions(self, queue: str, count: int) -> None:
        await self._checkpoint()
        with self._lock:
            self._names -= {*lapsed_names(queue, count, self._names)}
            self._partitions.pop(queue, None)
            if count > 1:
                self._partitions[queue] = count
                self._names.add(f"{queue}~{count - 1}")

    async def log(self, logbook: Logbook, *, nonce: bytes, data: bytes) -> LinePlace:
        await self._checkpoint()
        with self._lock:
            before = self._logbooks.get(logbook, ())
            after, place = log(
                before, self._clock(), most=LOGBOOK_SIZES[logbook], nonce=nonce, data=data
            )
            self._logbooks[logbook] = after
        return place

    async def logged(
        self, logbook: Logbook, *, limit: int, after: LinePlace | None = None, newest: bool = False
    ) -> tuple[LogLine, ...]:
        await self._checkpoint()
        return read_lines(self._logbooks.get(logbook, ()), limit=limit, after=after, newest=newest)

    async def note_size(
        self, queue: str, size: int, *, last: bool, most: int = 0
    ) -> tuple[Excess, ...]:
        await self._checkpoint()
        with self._lock:
            self._sizes, excess = note_size(
                self._sizes, self._clock(), queue, size, last=last, most=most
            )
        return excess

    async def keep_workflow(self, workflow_id: str, data: bytes) -> int:
        await self._checkpoint()
        with self._lock:
            self._workflows, created_ms = keep_workflow(
                self._workflows, self._clock(), workflow_id, data
            )
        return created_ms

    async def forget_workflow(self, workflow_id: str) -> None:
        await self._checkpoint()
        with self._lock:
            self._workflows = forget_workflow(self._workflows, workflow_id)

    async def workflow(self, workflow_id: str) -> WorkflowRecord | None:
        await self._checkpoint()
        return self._workflows.find(workflow_id)

    async def workflows(
        self, *, limit: int, after: int | None = None, newest: bool = False
    ) -> tuple[WorkflowRecord, ...]:
        await self._checkpoint()
        return read_workflows(self._workflows, limit=limit, after=after, newest=newest)

    async def due_workflows(self, *, limit: int) -> tuple[WorkflowRecord, ...]:
        await self._checkpoint()
        with self._lock:
            self._workflows, due = due_workflows(self._workflows, self._clock(), limit=limit)
        return due

    def listen(
        self, topics: Iterable[Topic]
    ) -> AbstractContextManager[trio.MemoryReceiveChannel[Signal]]:
        chosen = list(topics)
        return self._broadcast.listen(chosen, subscribed={queue for queue, _ in chosen})
