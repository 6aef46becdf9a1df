"""MemoryStore: the specification behind the port.

One process, no server. It runs `spec.queue` as it stands, so what is tested on
it is tested against the rules themselves. Its clock is Trio's, so a `MockClock`
moves its leases and delays too. Each step costs time in proportion to the
queue's length: it is made to be right, for tests and small jobs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import attrs
import trio

from rediq_trio._errors import TaskNotFound
from rediq_trio.spec import queue as spec
from rediq_trio.spec.change import Change
from rediq_trio.spec.check import invariants, of_queue
from rediq_trio.spec.check.repairs import Action, Repair
from rediq_trio.spec.check.views import Picture, Shape, Sight, Subject
from rediq_trio.spec.groups import Group, groups, sooner
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.lanes import Lanes
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.partitioning import PartitionCount, count_partitions, lapsed_names
from rediq_trio.spec.queue import Settled
from rediq_trio.spec.records import (
    Agenda,
    Claimed,
    Completion,
    Deferral,
    Due,
    Enqueued,
    Failure,
    Fence,
    GroupRule,
    Limit,
    Mail,
    NewTask,
    QueueState,
    Record,
    Report,
    Schedule,
    Tick,
    Verdict,
    WorkerRecord,
)
from rediq_trio.store.broadcast import Broadcast, Kind, Signal, Topic
from rediq_trio.store.port import BATCH, Stats, check_batch

A = TypeVar("A")


def _trio_clock() -> Callable[[], int]:
    begin: list[float] = []

    def now() -> int:
        if not begin:
            begin.append(time.time() - trio.current_time())
        return round((begin[0] + trio.current_time()) * 1000)

    return now


def _freed(before: QueueState, after: QueueState) -> bool:
    # Whether a permit has been given back that another task may wait for.
    if not after.limits:
        return False
    active = [i for i, r in before.records.items() if r.state is State.ACTIVE]
    return any(i not in after.records or after.records[i].state is not State.ACTIVE for i in active)


def _ticks_otherwise(before: QueueState, after: QueueState) -> bool:
    # Whether a schedule ticks that did not, or not like that.
    known = before.schedules
    return after.schedules is not known and any(
        new.next_ms
        and ((old := known.get(name)) is None or old.paused or old.revision != new.revision)
        for name, new in after.schedules.items()
    )


class MemoryStore:
    """The specification as a store.

    `clock` gives the time in whole milliseconds; by default Trio's clock, set to
    the wall clock's time when it is first read.
    """

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        self._clock = clock or _trio_clock()
        self._queues: dict[str, QueueState] = {}
        self._workers: dict[str, tuple[int, bytes]] = {}
        self._names: set[str] = set()
        """The queues that were ever used."""
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
        self._tell(queue, before, after)
        return answer

    def _tell(self, queue: str, before: QueueState, after: QueueState) -> None:
        woken, later = before.paused and not after.paused, False
        for task_id, new in after.records.items():
            old = before.records.get(task_id)
            if new is old:
                continue
            moved = old is None or old.state is not new.state
            woken = woken or (moved and new.state is State.PENDING)
            later = later or (moved and new.state in (State.SCHEDULED, State.RETRY))
            if old is not None and new.cancel and not old.cancel:
                self._broadcast.publish(Signal(queue, Kind.CANCEL, task_id))
            if new.has_waiters and moved and new.terminal:
                self._broadcast.publish(Signal(queue, Kind.DONE, task_id))
            if new.has_waiters and old is not None and new.progress != old.progress:
                self._broadcast.publish(Signal(queue, Kind.PROGRESS, task_id))
        changed = before.limits != after.limits
        woken = woken or changed or _freed(before, after)
        if after.outbox[-1:] != before.outbox[-1:] or len(after.endings) > len(before.endings):
            self._broadcast.publish(Signal(queue, Kind.MAIL))
        for group in sooner(before, after):
            self._broadcast.publish(Signal(queue, Kind.GROUP, group))
        later = later or changed or after.rates != before.rates
        if woken:
            self._broadcast.publish(Signal(queue, Kind.WAKE))
        if later:
            self._broadcast.publish(Signal(queue, Kind.DUE))
        if _ticks_otherwise(before, after):
            self._broadcast.publish(Signal(queue, Kind.TICK))
        for task_id, old in before.records.items():
            if old.has_waiters and task_id not in after.records:
                self._broadcast.publish(Signal(queue, Kind.DONE, task_id))

    async def enqueue(
        self, queue: str, tasks: Sequence[NewTask], *, atomic: bool = False
    ) -> Enqueued:
        check_batch("enqueue", tasks)
        self._names.add(queue)
        return await self._do(queue, lambda q, now: spec.enqueue(q, now, tasks, atomic=atomic))

    async def outbox(self, queue: str, *, limit: int) -> tuple[Mail, ...]:
        mail = (await self.dump(queue)).outbox
        return mail[:limit] if limit else mail

    async def receive(self, queue: str, sender: str, mail: Sequence[Mail]) -> int:
        check_batch("receive", mail)
        self._names.add(queue)
        return await self._do(queue, lambda q, now: spec.receive(q, now, sender, mail))

    async def acknowledge(self, queue: str, seq: int) -> int:
        return await self._do(queue, lambda q, now: spec.acknowledge(q, now, seq))

    async def unblock(self, queue: str, *, limit: int) -> Due:
        return await self._do(queue, lambda q, now: spec.unblock(q, now, limit=limit))

    async def limit(
        self,
        queue: str,
        *,
        key: str,
        concurrency: int | None = None,
        count: int | None = None,
        period_ms: int = 0,
        burst: int = 1,
    ) -> None:
        await self._do(
            queue,
            lambda q, now: spec.limit(
                q,
                now,
                key=key,
                concurrency=concurrency,
                count=count,
                period_ms=period_ms,
                burst=burst,
            ),
        )

    async def limits(self, queue: str) -> Mapping[str, Limit]:
        return (await self.dump(queue)).limits

    async def set_group_rules(self, queue: str, *, rules: Mapping[str, GroupRule]) -> int:
        check_batch("set_group_rules", rules)
        return await self._do(queue, lambda q, now: spec.set_group_rules(q, now, rules=rules))

    async def batch(self, queue: str, *, ids: Sequence[str]) -> Due:
        check_batch("batch", ids)
        return await self._do(queue, lambda q, now: spec.batch(q, now, ids=ids))

    async def groups(self, queue: str, *, limit: int, start: int = 0) -> tuple[Group, ...]:
        found = await self.dump(queue)
        return tuple(groups(found.records.values(), found.rules)[start : start + limit])

    async def arrange(
        self,
        queue: str,
        *,
        max_pending: int | None = None,
        fair: bool | None = None,
        history: int | None = None,
    ) -> None:
        await self._do(
            queue,
            lambda q, now: spec.arrange(
                q, now, max_pending=max_pending, fair=fair, history=history
            ),
        )

    async def history(self, queue: str, *, after: int, limit: int) -> tuple[Entry, ...]:
        found = await self.dump(queue)
        start = max(0, after - found.last_entry + len(found.entries))
        return found.entries[start : start + limit]

    async def agenda(self, queue: str, *, due: int = 0) -> Agenda:
        return await self._do(queue, lambda q, now: spec.agenda(q, now, due=due))

    async def declare(self, queue: str, *, schedule: Schedule) -> bool:
        self._names.add(queue)
        return await self._do(queue, lambda q, now: spec.declare(q, now, schedule=schedule))

    async def retract(self, queue: str, *, names: Collection[str]) -> tuple[str, ...]:
        return await self._do(queue, lambda q, now: spec.retract(q, now, names=names))

    async def retract_others(
        self, queue: str, *, owner: str, names: Collection[str]
    ) -> tuple[str, ...]:
        return await self._do(
            queue, lambda q, now: spec.retract_others(q, now, owner=owner, names=names)
        )

    async def suspend(self, queue: str, *, name: str) -> bool:
        return await self._do(queue, lambda q, now: spec.suspend(q, now, name=name))

    async def reinstate(self, queue: str, *, name: str, next_ms: int) -> bool:
        return await self._do(
            queue, lambda q, now: spec.reinstate(q, now, name=name, next_ms=next_ms)
        )

    async def tick(
        self,
        queue: str,
        *,
        name: str,
        expected_ms: int,
        revision: int,
        ticks: Sequence[Tick],
        next_ms: int,
    ) -> int | None:
        check_batch("tick", ticks)
        return await self._do(
            queue,
            lambda q, now: spec.tick(
                q, now, name=name, expected_ms=expected_ms, revision=revision, ticks=ticks,
                next_ms=next_ms,
            ),
        )  # fmt: skip

    async def trigger(self, queue: str, *, name: str, task: NewTask) -> Enqueued:
        return await self._do(queue, lambda q, now: spec.trigger(q, now, name=name, task=task))

    async def remember(self, queue: str, fence: Fence, step: bytes) -> bool:
        return await self._do(queue, lambda q, now: spec.remember(q, now, fence, step))

    async def claim(
        self, queue: str, *, limit: int, lease_ms: int, worker: str, nonce: bytes
    ) -> Claimed:
        return await self._do(
            queue,
            lambda q, now: spec.claim(
                q, now, limit=limit, lease_ms=lease_ms, worker=worker, nonce=nonce
            ),
        )

    async def renew(
        self, queue: str, fences: Sequence[Fence], *, lease_ms: int
    ) -> tuple[Verdict, ...]:
        check_batch("renew", fences)
        return await self._do(queue, lambda q, now: spec.renew(q, now, fences, lease_ms=lease_ms))

    async def complete(self, queue: str, items: Sequence[Completion]) -> Settled:
        check_batch("complete", items)
        return await self._do(queue, lambda q, now: spec.complete(q, now, items))

    async def fail(self, queue: str, items: Sequence[Failure]) -> Settled:
        check_batch("fail", items)
        return await self._do(queue, lambda q, now: spec.fail(q, now, items))

    async def release(self, queue: str, fences: Sequence[Fence]) -> Settled:
        check_batch("release", fences)
        return await self._do(queue, lambda q, now: spec.release(q, now, fences))

    async def snooze(self, queue: str, items: Sequence[Deferral]) -> Settled:
        check_batch("snooze", items)
        return await self._do(queue, lambda q, now: spec.snooze(q, now, items))

    async def stop(self, queue: str, fences: Sequence[Fence]) -> Settled:
        check_batch("stop", fences)
        return await self._do(queue, lambda q, now: spec.stop(q, now, fences))

    async def report(self, queue: str, items: Sequence[Report]) -> tuple[bool, ...]:
        check_batch("report", items)
        return await self._do(queue, lambda q, now: spec.report(q, now, items))

    async def promote(self, queue: str, *, limit: int) -> Due:
        due = await self._do(queue, lambda q, now: spec.promote(q, now, limit=limit))
        after = self._queues[queue]
        rated = any(limit.count for limit in after.limits.values())
        if rated and Lanes(Change(after, self._clock())).open():
            # A rate may have let a task wait long enough; that by itself changes nothing.
            self._broadcast.publish(Signal(queue, Kind.WAKE))
        return due

    async def reclaim(self, queue: str, *, limit: int) -> Due:
        return await self._do(queue, lambda q, now: spec.reclaim(q, now, limit=limit))

    async def expire(self, queue: str, *, limit: int) -> Due:
        return await self._do(queue, lambda q, now: spec.expire(q, now, limit=limit))

    async def purge(self, queue: str, *, limit: int, dead_retention_ms: int, max_dead: int) -> Due:
        return await self._do(
            queue,
            lambda q, now: spec.purge(
                q, now, limit=limit, dead_retention_ms=dead_retention_ms, max_dead=max_dead
            ),
        )

    async def cancel(self, queue: str, task_id: str) -> State | None:
        return await self._do(queue, lambda q, now: spec.cancel(q, now, task_id))

    async def revive(self, queue: str, ids: Sequence[str]) -> Settled:
        check_batch("revive", ids)
        return await self._do(queue, lambda q, now: spec.revive(q, now, ids))

    async def delete(self, queue: str, ids: Sequence[str]) -> Settled:
        check_batch("delete", ids)
        return await self._do(queue, lambda q, now: spec.delete(q, now, ids))

    async def watch(self, queue: str, task_id: str) -> State | None:
        return await self._do(queue, lambda q, now: spec.watch(q, now, task_id))

    async def pause(self, queue: str) -> None:
        await self._do(queue, spec.pause)

    async def resume(self, queue: str) -> None:
        await self._do(queue, spec.resume)

    async def flush(self, queue: str) -> int:
        gone = await self._do(queue, spec.flush)
        self._broadcast.publish(Signal(queue, Kind.FLUSH))
        return gone

    async def get(
        self, queue: str, ids: Sequence[str], *, skip_newer: bool = False
    ) -> tuple[Record | None, ...]:
        found = await self.dump(queue)
        return tuple(found.records.get(task_id) for task_id in ids)

    async def list(
        self, queue: str, state: State, *, limit: int, after: str | None = None
    ) -> tuple[str, ...]:
        ids = [record.id for record in spec.ordered(await self.dump(queue), state)]
        if after is None:
            return tuple(ids[:limit])
        if after not in ids:
            raise TaskNotFound(f"{queue}/{after}")
        start = ids.index(after) + 1
        return tuple(ids[start : start + limit])

    async def stats(self, queue: str) -> Stats:
        found = await self.dump(queue)
        # As in Redis, where the head of each priority, or lane, is all that can be looked at.
        heads: dict[int | str, int] = {}
        for record in spec.ordered(found, State.PENDING):
            heads.setdefault(record.limit_key or record.priority, record.run_ms)
        sizes = dict(invariants.listing_of(found).sizes)
        age = max(0, self._clock() - min(heads.values())) if heads else -1
        return Stats(attrs.evolve(found, records={}), sizes, age)

    async def pictures(self, queue: str, ids: Sequence[str]) -> tuple[Picture, ...]:
        found = await self.dump(queue)
        return tuple(
            invariants.picture_of(found, found.records[task_id])
            if task_id in found.records
            else Picture(task_id, None, {}, None, has_envelope=False)
            for task_id in ids
        )

    async def listed(self, queue: str, cursor: int) -> tuple[int, tuple[str, ...]]:
        ids = tuple((await self.dump(queue)).records)
        part = ids[cursor : cursor + 1000]
        return (cursor + 1000 if len(ids) > cursor + 1000 else 0), part

    async def listing(self, queue: str) -> invariants.Listing:
        return invariants.listing_of(await self.dump(queue))

    async def subjects(self, queue: str, cursor: int) -> tuple[int, tuple[Subject, ...]]:
        found = of_queue.subjects_of(await self.dump(queue))
        part = tuple(found[cursor : cursor + BATCH])
        return (cursor + BATCH if len(found) > cursor + BATCH else 0), part

    async def examine(self, queue: str, subjects: Sequence[Subject]) -> tuple[Sight, ...]:
        check_batch("examine", subjects)
        found, now = await self.dump(queue), self._clock()
        return tuple(of_queue.sight_of(found, now, subject) for subject in subjects)

    async def running(
        self, queue: str, cursor: int
    ) -> tuple[int, tuple[tuple[Fence, str], ...]]:
        records = (await self.dump(queue)).records.values()
        active = (r for r in records if r.state is State.ACTIVE)
        return 0, tuple((Fence(r.id, r.deliveries, r.nonce), r.limit_key) for r in active)

    async def shape(self, queue: str) -> Shape:
        await trio.lowlevel.checkpoint()
        return Shape()

    async def mend(self, queue: str, repair: Repair) -> bool:
        # What others are for cannot befall a value: all that is beside the records follows.
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
        return self._broadcast.listen(chosen, heard={queue for queue, _ in chosen})
