"""A hundred thousand dead tasks: to read them, to try them again, to be rid of them."""

from __future__ import annotations

import os
from typing import Any

import rediq_trio as rediq
from benchmarks.scaling.stage import COST, Stage, Table
from rediq_trio.spec.messages import Failed
from rediq_trio.store.opening import open_store
from rediq_trio.store.port import BATCH

QUEUE = "died"
MANY = 100_000
PAGE = 1000


async def measure(stage: Stage) -> list[Table]:
    """Bury many tasks, read a page, read all, retry all, bury them again, purge all."""
    many = stage.some(MANY)
    stage.empty()
    rows: list[tuple[str, ...]] = []
    async with open_store(stage.bench.url) as store, rediq.connect(store) as client:
        dead = client.queue(QUEUE).dead

        async def bury() -> None:
            buried = 0
            while buried < many:
                claimed = await store.claim(
                    QUEUE, limit=BATCH, lease_ms=10**7, worker="w", nonce=os.urandom(8)
                )
                failures = [Failed(lease.fence, "boom", 0, final=True) for lease in claimed.leases]
                await store.settle(QUEUE, failures)
                buried += len(failures)
                stage.say(f"dead: {buried:,} of {many:,}")

        made: list[rediq.Task[Any]] = [
            rediq.Task("noop", {"at": 0.0}, queue=QUEUE) for _ in range(many)
        ]
        await client.enqueue_many(made)
        with stage.timed() as timed:
            await bury()
        rows.append((f"claim and move to dead {many:,}", *timed.cells(many)))
        with stage.timed() as timed:
            await dead.list(limit=100)
        rows.append(("list the first 100", *timed.cells(100)))
        with stage.timed() as timed:
            seen, after = 0, None
            while page := await dead.list(limit=PAGE, after=after):
                seen, after = seen + len(page), page[-1].id
                stage.say(f"dead: listed {seen:,} of {many:,}")
        rows.append((f"list all, {PAGE:,} at a time", *timed.cells(seen)))
        with stage.timed() as timed:
            retried = await dead.retry_all()
        rows.append((f"retry_all of {retried:,}", *timed.cells(max(1, retried))))
        await bury()
        with stage.timed() as timed:
            purged = await dead.purge()
        rows.append((f"purge of {purged:,}", *timed.cells(max(1, purged))))
    return [Table(f"{many:,} dead tasks in one queue", ("what", *COST), tuple(rows))]
