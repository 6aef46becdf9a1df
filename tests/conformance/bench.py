"""The workbench of the conformance tests: a store, a clock, and short ways to say things.

The modules of this folder are shipped in the wheel, as `rediq_trio.testing.conformance.suite`: they
import one another relatively, and nothing else of `tests`. `conftest.py`, `stores.py` and `wired.py` are not.
"""

from __future__ import annotations

import logging
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from itertools import count
from typing import Any

import attrs
import trio

from rediq_trio.admin.check import check_queue
from rediq_trio.spec.check.findings import Target, TargetType
from rediq_trio.spec.check.table import View
from rediq_trio.spec.check.task import RecordView, task_target
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Failed, Fence, Lease, NewTask, Snoozed, Stopped
from rediq_trio.spec.records import QueueState, Record
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.store.port import Store

START = 1_700_000_000_000
"""The instant at which each test begins, in ms."""
LEASE = 30_000
Q = "q"


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def advance(self, by_ms: int) -> None:
        self.now += by_ms


FindViolations = Callable[[QueueState, int], Awaitable[Sequence[object]]]


@attrs.define
class Bench:
    """One queue in one store."""

    store: Store
    clock: Clock
    find_derived_violations: FindViolations | None = None
    """Returns what is wrong with what the store keeps beside the specification's values."""
    _nonces: Iterator[int] = attrs.field(factory=lambda: count(1))

    async def add(self, *ids: str, **options: Any) -> None:
        """Enqueue tasks that do not exist yet."""
        answers = await self.store.enqueue(Q, [new(task_id, **options) for task_id in ids])
        assert None not in answers

    async def take(self, limit: int = 1, lease_ms: int = LEASE, worker: str = "w") -> list[Lease]:
        """Claim with a nonce that was never used."""
        nonce = next(self._nonces).to_bytes(8, "big")
        claimed = await self.store.claim(
            Q, limit=limit, lease_ms=lease_ms, worker=worker, nonce=nonce
        )
        return list(claimed.leases)

    async def active(self, task_id: str = "t", **options: Any) -> Fence:
        """Enqueue a task and claim it."""
        await self.add(task_id, **options)
        [lease] = await self.take()
        assert lease.fence.id == task_id
        return lease.fence

    async def ended(self, task_id: str, state: State, **options: Any) -> None:
        """Bring a new task to a terminal state."""
        fence = await self.active(task_id, **options)
        if state is State.COMPLETED:
            assert await self.store.settle(Q, [Completed(fence, b"r")]) == (state,)
        elif state is State.DEAD:
            assert await self.store.settle(Q, [failed(fence, final=True)]) == (state,)
        else:
            await self.store.cancel(Q, task_id)
            assert await self.store.settle(Q, [Stopped(fence)]) == (state,)

    async def record(self, task_id: str = "t") -> Record:
        [record] = await self.store.get(Q, [task_id])
        assert record is not None
        return record

    async def dump(self) -> QueueState:
        return await self.store.dump(Q)

    async def ids(self, state: State) -> list[str]:
        return list(await self.store.list(Q, state, limit=1000))

    async def check(self) -> None:
        """Check the invariants of the queue."""
        assert await check_queue(self.store, Q, Q, None) == []
        await self.check_derived()

    async def check_derived(self) -> None:
        """Check what the store keeps beside the specification's values, if that is known."""
        if self.find_derived_violations is not None:
            assert await self.find_derived_violations(await self.dump(), self.clock.now) == []

    async def mentioned(self) -> set[str]:
        """Give the ids that any structure of the queue mentions."""
        tasks = (TargetType.TASK, TargetType.MEMBER)
        return {target.name for target in await self.targets() if target.type in tasks}

    async def targets(self) -> list[Target]:
        """Return all that can be checked."""
        seen: dict[Target, None] = {}
        cursor, part = await self.store.targets(Q, 0)
        seen.update(dict.fromkeys(part))
        while cursor:
            cursor, part = await self.store.targets(Q, cursor)
            seen.update(dict.fromkeys(part))
        return list(seen)

    async def view(self, target: Target) -> View:
        """Return the view of one target."""
        [found] = await self.store.views(Q, [target])
        return found

    async def task_views(self, *ids: str) -> list[RecordView]:
        """Return the views of tasks."""
        found = await self.store.views(Q, list(map(task_target, ids)))
        return [view for view in found if isinstance(view, RecordView)]


def new(task_id: str, **options: Any) -> NewTask:
    return NewTask(task_id, **{"envelope": b"envelope of " + task_id.encode()} | options)


def failed(fence: Fence, error: str = "boom", delay_ms: int = 1000, final: bool = False) -> Failed:
    return Failed(fence, error, delay_ms, final)


def snoozed(fence: Fence, delay_ms: int = 1000) -> Snoozed:
    return Snoozed(fence, delay_ms)


async def heard(
    signals: trio.MemoryReceiveChannel[Signal], kind: SignalKind, task_id: str = ""
) -> Signal:
    """Wait until a signal of this kind about this task comes."""
    with trio.fail_after(10):
        async for signal in signals:
            if (signal.kind, signal.id) == (kind, task_id):
                return signal
    raise AssertionError("the channel was closed")


@contextmanager
def captured_log() -> Iterator[list[logging.LogRecord]]:
    """Return what the library logs while the block lasts, warnings and worse."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("rediq_trio")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@asynccontextmanager
async def open_bench(
    open_store: Callable[[Callable[[], int]], AbstractAsyncContextManager[Store]],
) -> AsyncIterator[Bench]:
    """Open a store, which takes its time from a clock; check the invariants after the test."""
    clock = Clock()
    async with open_store(clock) as store:
        bench = Bench(store, clock)
        yield bench
        await bench.check()
