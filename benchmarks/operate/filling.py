"""What the figures are of: many dead tasks that failed in some ways, and many queues."""

from __future__ import annotations

import os
from typing import Any

import rediq_trio as rediq
from benchmarks.scaling.stage import Stage
from rediq_trio.spec.messages import Failed, Fence
from rediq_trio.store.opening import open_store
from rediq_trio.store.port import BATCH
from rediq_trio.tasks.attempts import pack_detail
from rediq_trio.tasks.failure_kinds import FailureSample
from rediq_trio.values.observed.attempt import ErrorText
from rediq_trio.worker.outcomes.detail import with_kind

DEAD = "died"
KINDS = 20
"""Kinds of failure among the dead tasks."""
MANY_DEAD = 100_000
MANY_QUEUES = 1_000


async def bury(stage: Stage, count: int) -> None:
    """Put dead tasks in the queue `DEAD` of an empty server."""
    stage.empty()
    async with open_store(stage.bench.url) as store, rediq.connect(store) as client:
        made: list[rediq.Task[Any]] = [
            rediq.Task("noop", {"at": 0.0}, queue=DEAD) for _ in range(count)
        ]
        await client.enqueue_many(made)
        buried = 0
        while buried < count:
            claimed = await store.claim(
                DEAD, limit=BATCH, lease_ms=10**7, worker="w", nonce=os.urandom(8)
            )
            failures = [failure(lease.fence, buried + n) for n, lease in enumerate(claimed.leases)]
            await store.settle(DEAD, failures)
            buried += len(failures)
            stage.say(f"{buried:,} of {count:,} dead")


def failure(fence: Fence, number: int) -> Failed:
    """Return a failure with a record and a kind, as a worker writes it."""
    kind = f"Error{number % KINDS}"
    text = ErrorText(kind, "the server said no", "Traceback (most recent call last):\n" * 10)
    failed = Failed(fence, f"{kind}: {text.message}", 0, final=True, detail=pack_detail(text))
    return with_kind(failed, FailureSample("noop", kind, text.message, "app.py:7"))


async def queue_up(stage: Stage, queue: str, count: int, **options: Any) -> None:
    """Put tasks in a queue, the last of the type `rare`."""
    async with rediq.connect(stage.bench.url) as client:
        for first in range(0, count, 10_000):
            last = min(count, first + 10_000)
            tasks: list[rediq.Task[Any]] = [
                rediq.Task("rare" if n == count - 1 else "noop", {"n": n}, queue=queue, **options)
                for n in range(first, last)
            ]
            await client.enqueue_many(tasks)
            stage.say(f"{last:,} of {count:,} tasks")


async def spread(stage: Stage, count: int) -> list[str]:
    """Put some tasks in each of many queues of an empty server; return their names."""
    stage.empty()
    names = [f"many{n}" for n in range(count)]
    async with rediq.connect(stage.bench.url) as client:
        await client.enqueue_many(
            [rediq.Task("noop", {"n": n}, queue=name) for name in names for n in range(3)]
        )
    return names
