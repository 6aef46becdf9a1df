"""BullMQ's Python port on uvloop: completed jobs are removed when results are off."""

from __future__ import annotations

import asyncio
from typing import Any

from adapter import ASYNC, KEPT, Order, Task, produce, run_uvloop, take_order
from bullmq import Queue, Worker

NAME = "bench"
order: Order = take_order()
OPTIONS: dict[str, Any] = {"removeOnComplete": {"age": KEPT} if order.results else True}


async def handle(job: Any, token: str) -> None:
    await ASYNC[job.name](**job.data)


async def main() -> None:
    if order.role == "produce":
        queue: Any = Queue(NAME, {"connection": order.url})

        async def one(name: str, payload: dict[str, Any]) -> None:
            await queue.add(name, payload, OPTIONS)

        async def many(tasks: list[Task]) -> None:
            await queue.addBulk(
                [{"name": name, "data": data, "opts": OPTIONS} for name, data in tasks]
            )

        await produce(order, one, many)
    else:
        options: Any = {"connection": order.url, "concurrency": order.concurrency, "autorun": False}
        worker: Any = Worker(NAME, handle, options)
        order.unsettled(["LLEN", f"bull:{NAME}:wait"], ["LLEN", f"bull:{NAME}:active"])
        await worker.run()
        await asyncio.Event().wait()


run_uvloop(main)
