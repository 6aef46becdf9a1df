"""What an operation costs as the queue grows.

One server has a queue of each length, filled with that many tasks that are pending
without a limit key, that many pending under a hundredth as many keys but a hundred at
least, and a tenth as many that are delayed, that wait for one task, that are grouped,
and that are dead. (No script looks at more than a hundred keys: with fewer in the short
queue, the growth would be that of the keys.) Each operation is done in rounds, some
calls on every queue in turn, so that whatever slows the machine down meets all lengths.
The time that its scripts took inside Redis is read from Redis's own statistics: that is
where a cost that grows would show. Figures are medians of the rounds, in microseconds
per call; the last column is the median of the growth, within each round, from the first
length to the last.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import attrs

from benchmarks.scaling.stage import Stage, Table
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Completed,
    Failed,
    Fence,
    Lease,
    NewTask,
    Relations,
    Released,
    Snoozed,
    Until,
)
from rediq_trio.store.opening import open_store
from rediq_trio.store.port import BATCH, Store
from rediq_trio.tasks.ids import new_id

LENGTHS = (1_000, 100_000, 1_000_000)
ROUNDS = 15
CALLS = 20
"""Calls of each operation in a round, on each queue."""
ENVELOPE = b"e" * 100
LEASE = 600_000
ONE = "one"
"""The task that others wait for."""

Operation = Callable[[], Awaitable[object]]


@attrs.define
class Long:
    """A long queue, and what is done to it."""

    store: Store
    stage: Stage
    length: int
    leases: list[Lease] = attrs.field(factory=list)
    _some: Iterator[str] = attrs.field(factory=lambda: iter(()))

    @property
    def queue(self) -> str:
        return f"long{self.length}"

    async def fill(self) -> None:
        """Put the tasks in."""
        length = self.length
        await self.add(NewTask(ONE, ENVELOPE, delay_ms=86_400_000))
        await self._many(length, lambda _: NewTask(new_id(), ENVELOPE))
        keys = max(100, length // 100)
        await self._many(length, lambda n: _tied(limit_key=f"key {n % keys}"))
        await self._many(length // 10, lambda n: NewTask(new_id(), ENVELOPE, delay_ms=10**7 + n))
        await self._many(length // 10, lambda _: _tied(needs=(ONE,)))
        await self._many(length // 10, lambda n: _tied(group=f"group {n % keys}"))
        await self._many(length // 10, lambda n: _tied(unique=f"unique {n}"))
        await self._bury(length // 10)
        await self.store.limit(self.queue, key="key 1", concurrency=1)

    async def _many(self, number: int, make: Callable[[int], NewTask]) -> None:
        for start in range(0, number, BATCH):
            tasks = [make(n) for n in range(start, min(number, start + BATCH))]
            await self.store.enqueue(self.queue, tasks)
            self.stage.say(f"{start:,} of {number:,}")

    async def _bury(self, number: int) -> None:
        await self._many(number, lambda _: NewTask(new_id(), ENVELOPE, priority=0))
        done = 0
        while done < number:
            leases = await self.claim(BATCH)
            failures = [Failed(lease.fence, "boom", 0, final=True) for lease in leases]
            await self.store.settle(self.queue, failures)
            done += len(leases)

    async def add(self, *tasks: NewTask) -> None:
        await self.store.enqueue(self.queue, tasks)

    async def claim(self, limit: int) -> list[Lease]:
        claimed = await self.store.claim(
            self.queue, limit=limit, lease_ms=LEASE, worker="w", nonce=os.urandom(8)
        )
        return list(claimed.leases)

    def taken(self) -> Fence:
        """Give a lease that was claimed before."""
        return self.leases.pop().fence

    def operations(self) -> dict[str, Operation]:
        """Give each operation by its name."""
        store = self.store
        plain: Iterator[str] = iter(new_id, "")
        return {
            "enqueue": lambda: self.add(NewTask(new_id(), ENVELOPE)),
            "enqueue, delayed": lambda: self.add(NewTask(new_id(), ENVELOPE, delay_ms=10**6)),
            "enqueue, unique": lambda: self.add(_tied(unique=next(plain))),
            "enqueue, key taken": lambda: self.add(_tied(unique="unique 1")),
            "enqueue, waiting": lambda: self.add(_tied(needs=(ONE,))),
            "enqueue, limit key": lambda: self.add(_tied(limit_key="key 1")),
            "enqueue, grouped": lambda: self.add(_tied(group="group 1")),
            "claim 1": self._claim_one,
            "renew": lambda: store.renew(self.queue, [self.leases[-1].fence], lease_ms=LEASE),
            "complete": lambda: store.settle(self.queue, [Completed(self.taken(), b"r")]),
            "fail, retried": lambda: store.settle(
                self.queue, [Failed(self.taken(), "boom", 10**6)]
            ),
            "snooze": lambda: store.settle(self.queue, [Snoozed(self.taken(), 10**6)]),
            "release": lambda: store.settle(self.queue, [Released(self.taken())]),
            "cancel": lambda: store.cancel(self.queue, next(self._some)),
            "delete": lambda: store.delete(self.queue, [next(self._some)]),
            "read a task": lambda: store.get(self.queue, [ONE]),
            "list 100 pending": lambda: store.list(self.queue, State.PENDING, limit=100),
            "stats": lambda: store.stats(self.queue),
            "promote, nothing due": lambda: store.promote(self.queue, limit=500),
            "reclaim, none lapsed": lambda: store.reclaim(self.queue, limit=500),
            "expire, none": lambda: store.expire(self.queue, limit=500),
            "purge, nothing old": lambda: store.purge(
                self.queue, limit=500, dead_retention_ms=10**10, max_dead=10**9
            ),
        }

    async def _claim_one(self) -> None:
        self.leases += await self.claim(1)

    async def time(self, name: str, calls: int) -> float:
        """Do an operation so often; give the microseconds inside Redis of each."""
        operation = self.operations()[name]
        if name in ("cancel", "delete"):
            ids = await self.store.list(self.queue, State.SCHEDULED, limit=min(BATCH, 2 * calls))
            self._some = iter([each for each in ids if each != ONE])
        needed = name in ("complete", "fail, retried", "snooze", "release")
        while needed and len(self.leases) <= calls:
            self.leases += await self.claim(BATCH)
        self.stage.bench.raw.config_resetstat()
        for _ in range(calls):
            await operation()
        return self._microseconds() / calls

    def _microseconds(self) -> float:
        # What scripts call is within the scripts' own time.
        return float(self.stage.bench.raw.info("commandstats")["cmdstat_evalsha"]["usec"])


def _tied(**relations: Any) -> NewTask:
    relations.setdefault("until", Until.DONE)
    return NewTask(new_id(), ENVELOPE, relations=Relations(**relations))


async def measure(stage: Stage) -> list[Table]:
    """Measure all lengths in turn."""
    lengths = LENGTHS[:-1] if stage.quick else LENGTHS
    stage.bench.raw.flushall()
    rounds, calls = stage.some(ROUNDS), CALLS
    rows: list[tuple[str, ...]] = []
    async with open_store(stage.bench.url) as store:
        queues = [Long(store, stage, length) for length in lengths]
        for queue in queues:
            await queue.fill()
        for name in queues[0].operations():
            stage.say(name)
            found = [[await queue.time(name, calls) for queue in queues] for _ in range(rounds)]
            figures = [statistics.median(series) for series in zip(*found, strict=True)]
            growth = statistics.median(some[-1] / some[0] for some in found)
            rows.append((name, *(f"{figure:.1f}" for figure in figures), f"{growth:.2f} x"))
    columns = ("operation", *(f"{length:,}" for length in lengths), "growth")
    title = f"Microseconds inside Redis per call, {rounds} rounds of {calls} calls, by the queue's length"
    return [Table(title, columns, tuple(rows))]
