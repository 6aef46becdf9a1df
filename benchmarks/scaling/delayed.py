"""A million delayed tasks: what it costs to put another one in, and to make them ready."""

from __future__ import annotations

import os

import trio

import rediq_trio.worker.keeping.keeper as keeping
from benchmarks.scaling.stage import COST, Stage, Table, number
from rediq_trio.spec.messages import NewTask
from rediq_trio.store.opening import open_store
from rediq_trio.store.port import BATCH, Store
from rediq_trio.tasks.ids import new_id

QUEUE = "later"
MANY = 1_000_000
SINGLE = 300
"""Tasks that are enqueued one by one among the many."""
ENVELOPE = b"e" * 100
FAR = 10**9
"""Milliseconds, beyond what the part takes."""


async def measure(stage: Stage) -> list[Table]:
    """Fill a queue with delayed tasks, then promote a tenth of them, all due at one instant."""
    many = stage.some(MANY)
    due = many // 10
    stage.empty()
    rows: list[tuple[str, ...]] = []
    async with open_store(stage.bench.url) as store:
        held = stage.memory()
        with stage.timed() as timed:
            await _put(stage, store, many - due, FAR)
        rows.append(
            (f"enqueue {many - due:,} delayed, {BATCH:,} at a time", *timed.cells(many - due))
        )
        memory = (stage.memory() - held) * 2**20 / (many - due)
        with stage.timed() as timed:
            for _ in range(SINGLE):
                await store.enqueue(QUEUE, [NewTask(new_id(), ENVELOPE, delay_ms=FAR // 2)])
        rows.append((f"enqueue {SINGLE} more, one by one", *timed.cells(SINGLE)))
        with stage.timed() as timed:
            for _ in range(SINGLE):
                await store.promote(QUEUE, limit=keeping.TASKS_PER_STEP)
        rows.append((f"promote {SINGLE} times, nothing due", *timed.cells(SINGLE)))
        await _put(stage, store, due, 1)
        await trio.sleep(0.01)  # until the last of them is due too
        moved = 0
        with stage.timed() as timed:
            while moved < due:
                moved += (await store.promote(QUEUE, limit=keeping.TASKS_PER_STEP)).moved
        rows.append(
            (f"promote {due:,} that are due, {keeping.TASKS_PER_STEP} at a time", *timed.cells(due))
        )
        with stage.timed() as timed:
            for _ in range(SINGLE):
                await store.claim(QUEUE, limit=1, lease_ms=FAR, worker="w", nonce=os.urandom(8))
        rows.append((f"claim {SINGLE}, one by one", *timed.cells(SINGLE)))
    title = f"{many:,} delayed tasks in one queue, {number(memory)} bytes of Redis each"
    return [Table(title, ("what", *COST), tuple(rows))]


async def _put(stage: Stage, store: Store, number_: int, delay_ms: int) -> None:
    for start in range(0, number_, BATCH):
        some = range(start, min(number_, start + BATCH))
        await store.enqueue(QUEUE, [NewTask(new_id(), ENVELOPE, delay_ms=delay_ms) for _ in some])
        stage.say(f"delayed: {start:,} of {number_:,}")
