"""A small working day of one worker, told in ticks, so that it can be broken off at any of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import trio
import trio.testing

import rediq_trio as rediq
from rediq_trio import MemoryStore, State
from rediq_trio.testing.judge.invariants import violations

Q = "story"
LEASE = 30.0


@attrs.define
class Told:
    """What the handlers of a story did."""

    begun: Counter[str] = attrs.field(factory=Counter)
    done: Counter[str] = attrs.field(factory=Counter)
    failed: Counter[str] = attrs.field(factory=Counter)
    running: set[str] = attrs.field(factory=set)
    overlaps: list[str] = attrs.field(factory=list)


def app(told: Told) -> rediq.App:
    made = rediq.App()

    @made.middleware
    async def watch(task: rediq.CurrentTask) -> Any:
        if task.id in told.running:
            told.overlaps.append(task.id)
        told.running.add(task.id)
        told.begun[task.id] += 1
        try:
            yield
            told.done[task.id] += 1
        finally:
            told.running.discard(task.id)

    @made.task("quick", queue=Q)
    async def quick() -> str:
        return "quick"

    @made.task("slow", queue=Q)
    async def slow() -> str:
        rediq.current_task().progress(10)
        await trio.sleep(1.0)
        rediq.current_task().progress(90)
        return "slow"

    @made.task("flaky", queue=Q, backoff=rediq.Fixed(0.5))
    async def flaky() -> str:
        task = rediq.current_task()
        await trio.lowlevel.checkpoint()
        if not told.failed[task.id]:
            told.failed[task.id] += 1
            raise ValueError("once")
        return "flaky"

    @made.task("sleepy", queue=Q)
    async def sleepy() -> str:
        task = rediq.current_task()
        if told.begun[task.id] == 1:
            raise rediq.Snooze(0.5)
        return "sleepy"

    @made.task("careful", queue=Q)
    async def careful() -> str:
        try:
            await trio.sleep(2.0)
        finally:
            with rediq.current_task().cleanup():
                await trio.sleep(0.2)
        return "careful"

    return made


KINDS = ("quick", "slow", "flaky", "sleepy", "careful", "quick")
SETTINGS: dict[str, Any] = {
    "queues": [Q],
    "concurrency": 2,
    "prefetch": 3,
    "lease": LEASE,
    "shutdown_grace": 0.7,
    "cleanup_grace": 2.0,
}


class Ticks(trio.abc.Instrument):
    """Numbers the steps of all tasks, and calls a function behind each."""

    def __init__(self, step: Callable[[int], None]) -> None:
        self.passed = 0
        self._step = step

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        # Not before the step: the task about to be run is no longer where a cancellation looks.
        self.passed += 1
        self._step(self.passed)


def tell(program: Callable[[], Any], seed: int) -> None:
    """Run a story under a clock that jumps, its scheduling fixed by the seed."""
    kept = trio._core._run._r
    # Trio shuffles what is ready at one instant; a failure must come again.
    trio._core._run._r = random.Random(seed)
    try:
        trio.run(program, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        trio._core._run._r = kept


async def work_all(store: Any, told: Told) -> None:
    """Serve until all is done."""
    async with rediq.serve(app(told), store, **SETTINGS) as server:
        for _ in range(1000):
            await trio.sleep(0.5)
            stats = await server.client.queue(Q).stats()
            if stats.completed + stats.dead + stats.cancelled == stats.enqueued:
                return
    raise AssertionError(f"not done: {stats}")


async def enqueue_all(store: Any) -> list[str]:
    async with rediq.connect(store) as client:
        tasks = [rediq.Task(kind, {}, queue=Q, id=f"{kind}{n}") for n, kind in enumerate(KINDS)]
        tasks = [attrs.evolve(t, backoff=rediq.Fixed(0.5)) for t in tasks]
        return [handle.id for handle in await client.enqueue_many(tasks)]


async def check_left(store: MemoryStore, told: Told) -> None:
    """Check what a worker that is gone has left behind."""
    queue = await store.dump(Q)
    assert violations(queue) == []
    assert await store.workers() == ()
    for record in queue.records.values():
        task_id = f"{Q}/{record.id}"
        assert record.state is not State.ACTIVE, f"{record.id}: a lease was left behind"
        finished = record.state is State.COMPLETED
        assert told.done[task_id] == finished, f"{record.id}: {record.state}, an outcome was lost"
        charged = told.failed[task_id] + finished
        assert record.attempt == charged, f"{record.id}: {record.attempt} charged for {charged}"
        assert record.crashes == 0
    assert told.overlaps == []


async def check_all_done(store: MemoryStore, told: Told, ids: list[str]) -> None:
    """Check that each task ended well, once."""
    queue = await store.dump(Q)
    assert violations(queue) == []
    assert {r.state for r in queue.records.values()} == {State.COMPLETED}
    assert told.done == Counter(ids)
    assert told.overlaps == []
