"""saq on uvloop: a ttl of -1 deletes a job as it ends; it has no bulk call."""

from __future__ import annotations

import asyncio
from typing import Any

from adapter import ASYNC, KEPT, Order, produce, run_uvloop, take_order
from saq import Queue, Worker

order: Order = take_order()


def handler(name: str) -> tuple[str, Any]:
    async def handle(ctx: Any, **payload: Any) -> None:
        await ASYNC[name](**payload)

    return name, handle


async def main() -> None:
    queue = Queue.from_url(order.url, max_concurrent_ops=100)
    await queue.connect()
    if order.role == "produce":
        ttl = KEPT if order.results else -1

        async def one(name: str, payload: dict[str, Any]) -> None:
            await queue.enqueue(name, ttl=ttl, timeout=0, **payload)

        await produce(order, one)
    else:
        worker: Any = Worker(
            queue, [handler(name) for name in ASYNC], concurrency=order.concurrency
        )
        order.unsettled(["ZCARD", "saq:default:incomplete"])
        await worker.start()
        await asyncio.Event().wait()


run_uvloop(main)
