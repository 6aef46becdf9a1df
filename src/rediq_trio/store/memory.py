"""MemoryStore: the specification as a store, in one process and without a server.

It runs the functions of `spec.rules` as they are, so a test on it is a test against the rules. Its
clock is that of Trio, so a `MockClock` moves its leases and delays too. Each call takes time in
proportion to the length of the queue: it is made for tests and small jobs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import CoroutineType
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs
import trio

from rediq_trio._errors import TaskNotFound
from rediq_trio.spec.change import Change
from rediq_trio.spec.check import table
from rediq_trio.spec.check.findings import Action, Repair, Target
from rediq_trio.spec.check.partitions import PartitionCount, count_partitions, lapsed_names
from rediq_trio.spec.check.table import View
from rediq_trio.spec.check.totals import KeyReport, QueueTotals, totals_of
from rediq_trio.spec.groups import Group, groups, groups_due_sooner
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.lanes import Lanes, ordered
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Due, Fence, Mail, WorkerRecord
from rediq_trio.spec.operations import OP, Operation
from rediq_trio.spec.records import Limit, QueueState, Record
from rediq_trio.store.broadcast import Broadcast, Signal, SignalKind, Topic
from rediq_trio.store.port import BATCH, Stats, check_batch, check_batched, implements_store

P = ParamSpec("P")
A = TypeVar("A")


def _trio_clock() -> Callable[[], int]:
    begin: list[float] = []

    def now() -> int:
        if not begin:
            begin.append(time.time() - trio.current_time())
        return round((begin[0] + trio.current_time()) * 1000)

    return now


def _frees_slot(before: QueueState, after: QueueState) -> bool:
    # Whether a task is no longer active, so that another one may start under a limit.
    if not after.limits:
        return False
    active = [i for i, r in before.records.items() if r.state is State.ACTIVE]
    return any(i not in after.records or after.records[i].state is not State.ACTIVE for i in active)


def _schedules_changed(before: QueueState, after: QueueState) -> bool:
    # Whether a schedule was added, resumed or changed.
    known = before.schedules
    return after.schedules is not known and any(
        new.next_ms
        and ((old := known.get(name)) is None or old.paused or old.revision != new.revision)
        for name, new in after.schedules.items()
    )


def method_of(
    operation: Operation[P, A],
) -> Callable[Concatenate[MemoryStore, str, P], CoroutineType[Any, Any, A]]:
    """Return a store method that runs the rule of an operation on a queue."""

    async def method(self: MemoryStore, queue: str, /, *args: P.args, **kwargs: P.kwargs) -> A:
        check_batched(operation, args, kwargs)
        if operation.names_queue:
            self._names.add(queue)
        return await self._do(
            queue, lambda before, now: operation.rule(before, now, *args, **kwargs)
        )

    method.__name__ = method.__qualname__ = operation.name
    method.__doc__ = operation.rule.__doc__
    return method  # type: ignore[return-value]  # mypy has no CoroutineType for an async def


@implements_store
class MemoryStore:
    """The specification as a store.

    `clock` returns the time in whole milliseconds. By default it is Trio's clock, set to the wall
    clock's time when it is first read.
    """

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        self._clock = clock or _trio_clock()
        self._queues: dict[str, QueueState] = {}
        self._workers: dict[str, tuple[int, bytes]] = {}
        self._names: set[str] = set()
        """The names of the queues that were ever used."""
        self._partitions: dict[str, int] = {}
        self._broadcast = Broadcast()

    @property
    def unconfirmed(self) -> int:
        return 0

    async def _do(self, queue: str, step: Callable[[QueueState, int], tuple[QueueState, A]]) -> A:
        # The checkpoint comes first: a caller that is cancelled here changed nothing.
        await trio.lowlevel.checkpoint()
        before = self._queues.get(queue, QueueState())
        after, answer = step(before, self._clock())
        self._queues[queue] = after
        self._notify(queue, before, after)
        return answer

    def _notify(self, queue: str, before: QueueState, after: QueueState) -> None:
        woken, later = before.paused and not after.paused, False
        for task_id, new in after.records.items():
            old = before.records.get(task_id)
            if new is old:
                continue
            moved = old is None or old.state is not new.state
            woken = woken or (moved and new.state is State.PENDING)
            later = later or (moved and new.state in (State.SCHEDULED, State.RETRY))
            if old is not None and new.cancel and not old.cancel:
                self._broadcast.publish(Signal(queue, SignalKind.CANCEL, task_id))
            if new.has_waiters and moved and new.terminal:
                self._broadcast.publish(Signal(queue, SignalKind.DONE, task_id))
            if new.has_waiters and old is not None and new.progress != old.progress:
                self._broadcast.publish(Signal(queue, SignalKind.PROGRESS, task_id))
        changed = before.limits != after.limits
        woken = woken or changed or _frees_slot(before, after)
        if after.outbox[-1:] != before.outbox[-1:] or len(after.endings) > len(before.endings):
            self._broadcast.publish(Signal(queue, SignalKind.MAIL))
        for group in groups_due_sooner(before, after):
            self._broadcast.publish(Signal(queue, SignalKind.GROUP, group))
        later = later or changed or after.rates != before.rates
        if woken:
            self._broadcast.publish(Signal(queue, SignalKind.WAKE))
        if later:
            self._broadcast.publish(Signal(queue, SignalKind.DUE))
        if _schedules_changed(before, after):
            self._broadcast.publish(Signal(queue, SignalKind.TICK))
        for task_id, old in before.records.items():
            if old.has_waiters and task_id not in after.records:
                self._broadcast.publish(Signal(queue, SignalKind.DONE, task_id))

    enqueue = method_of(OP.enqueue)

    async def outbox(self, queue: str, *, limit: int) -> tuple[Mail, ...]:
        mail = (await self.dump(queue)).outbox
        return mail[:limit] if limit else mail

    receive = method_of(OP.receive)
    acknowledge = method_of(OP.acknowledge)
    unblock = method_of(OP.unblock)
    limit = method_of(OP.limit)

    async def limits(self, queue: str) -> Mapping[str, Limit]:
        return (await self.dump(queue)).limits

    set_group_rules = method_of(OP.set_group_rules)
    batch = method_of(OP.batch)

    async def groups(self, queue: str, *, limit: int, start: int = 0) -> tuple[Group, ...]:
        found = await self.dump(queue)
        return tuple(groups(found.records.values(), found.rules)[start : start + limit])

    arrange = method_of(OP.arrange)

    async def history(self, queue: str, *, after: int, limit: int) -> tuple[Entry, ...]:
        found = await self.dump(queue)
        start = max(0, after - found.last_entry + len(found.entries))
        return found.entries[start : start + limit]

    agenda = method_of(OP.agenda)
    declare = method_of(OP.declare)
    retract = method_of(OP.retract)
    retract_others = method_of(OP.retract_others)
    suspend = method_of(OP.suspend)
    reinstate = method_of(OP.reinstate)
    tick = method_of(OP.tick)
    trigger = method_of(OP.trigger)
    remember = method_of(OP.remember)
    claim = method_of(OP.claim)
    renew = method_of(OP.renew)
    settle = method_of(OP.settle)
    report = method_of(OP.report)
    _promote = method_of(OP.promote)

    async def promote(self, queue: str, *, limit: int) -> Due:
        due = await self._promote(queue, limit=limit)
        after = self._queues[queue]
        rated = any(limit.count for limit in after.limits.values())
        if rated and Lanes(Change(after, self._clock())).open():
            # A rate may allow a start now, which no change of the queue shows.
            self._broadcast.publish(Signal(queue, SignalKind.WAKE))
        return due

    reclaim = method_of(OP.reclaim)
    expire = method_of(OP.expire)
    purge = method_of(OP.purge)
    cancel = method_of(OP.cancel)
    revive = method_of(OP.revive)
    delete = method_of(OP.delete)
    watch = method_of(OP.watch)
    pause = method_of(OP.pause)
    resume = method_of(OP.resume)
    _flush = method_of(OP.flush)

    async def flush(self, queue: str) -> int:
        gone = await self._flush(queue)
        self._broadcast.publish(Signal(queue, SignalKind.FLUSH))
        return gone

    async def get(
        self, queue: str, ids: Sequence[str], *, skip_newer: bool = False
    ) -> tuple[Record | None, ...]:
        found = await self.dump(queue)
        return tuple(found.records.get(task_id) for task_id in ids)

    async def list(
        self, queue: str, state: State, *, limit: int, after: str | None = None
    ) -> tuple[str, ...]:
        ids = [record.id for record in ordered(await self.dump(queue), state)]
        if after is None:
            return tuple(ids[:limit])
        if after not in ids:
            raise TaskNotFound(f"{queue}/{after}")
        start = ids.index(after) + 1
        return tuple(ids[start : start + limit])

    async def stats(self, queue: str) -> Stats:
        found = await self.dump(queue)
        # As on Redis, where only the first task of each priority, or limit key, can be read.
        heads: dict[int | str, int] = {}
        for record in ordered(found, State.PENDING):
            heads.setdefault(record.limit_key or record.priority, record.run_ms)
        sizes = dict(totals_of(found).sizes)
        age = max(0, self._clock() - min(heads.values())) if heads else -1
        return Stats(attrs.evolve(found, records={}), sizes, age)

    async def totals(self, queue: str) -> QueueTotals:
        return totals_of(await self.dump(queue))

    async def key_report(self, queue: str) -> KeyReport:
        await trio.lowlevel.checkpoint()
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
        records = (await self.dump(queue)).records.values()
        active = (r for r in records if r.state is State.ACTIVE)
        return 0, tuple((Fence(r.id, r.deliveries, r.nonce), r.limit_key) for r in active)

    async def repair(self, queue: str, repair: Repair) -> bool:
        # In this store all else follows from the records, so nothing else can need a repair.
        await trio.lowlevel.checkpoint()
        if repair.what is not Action.PARTITIONS:
            return False
        counted = count_partitions(self._partitions, self._names).get(queue, PartitionCount())
        if counted.recorded < counted.named:
            self._partitions[queue] = counted.named
        return counted.recorded < counted.named

    async def dump(self, queue: str) -> QueueState:
        await trio.lowlevel.checkpoint()
        return self._queues.get(queue, QueueState())

    async def register(self, worker: WorkerRecord) -> None:
        await trio.lowlevel.checkpoint()
        self._workers[worker.id] = (self._clock() + worker.ttl_ms, worker.data)

    async def unregister(self, worker_id: str) -> None:
        await trio.lowlevel.checkpoint()
        self._workers.pop(worker_id, None)

    async def workers(self) -> tuple[bytes, ...]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        alive = {name: said for name, (till, said) in self._workers.items() if till > now}
        return tuple(alive[name] for name in sorted(alive))

    async def queues(self) -> tuple[str, ...]:
        await trio.lowlevel.checkpoint()
        return tuple(sorted(self._names))

    async def partitions(self) -> dict[str, PartitionCount]:
        await trio.lowlevel.checkpoint()
        return count_partitions(self._partitions, self._names)

    async def set_partitions(self, queue: str, count: int) -> None:
        await trio.lowlevel.checkpoint()
        self._names -= {*lapsed_names(queue, count, self._names)}
        self._partitions.pop(queue, None)
        if count > 1:
            self._partitions[queue] = count
            self._names.add(f"{queue}~{count - 1}")

    def listen(
        self, topics: Iterable[Topic]
    ) -> AbstractContextManager[trio.MemoryReceiveChannel[Signal]]:
        chosen = list(topics)
        return self._broadcast.listen(chosen, subscribed={queue for queue, _ in chosen})
