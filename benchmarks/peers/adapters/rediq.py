"""rediq-trio itself: records deleted as they are settled, or kept for an hour as results."""

from __future__ import annotations

from typing import Any

import trio
from adapter import KEPT, NAP, Order, produce_trio, take_order, tally
from adapter import Task as Named

import rediq_trio as rediq

QUEUE = "bench"
app = rediq.App()


@app.task("noop")
async def noop(i: int) -> None:
    tally.begin()
    tally.end()


@app.task("stamp")
async def stamp(i: int) -> None:
    tally.stamp(i)


@app.task("nap")
async def nap(i: int) -> None:
    tally.begin()
    await trio.sleep(NAP)
    tally.end()


async def send(order: Order) -> None:
    retention = float(KEPT) if order.results else 0.0

    def task(name: str, payload: dict[str, Any]) -> rediq.Task[Any]:
        return rediq.Task(name, payload, queue=QUEUE, retention=retention)

    async with rediq.connect(order.url) as client:

        async def many(tasks: list[Named]) -> None:
            await client.enqueue_many([task(*named) for named in tasks])

        async def one(name: str, payload: dict[str, Any]) -> None:
            await client.enqueue(task(name, payload))

        await produce_trio(order, one, many)


async def work(order: Order) -> None:
    order.unsettled(*(["ZCARD", f"rediq:{{{QUEUE}}}:{state}"] for state in ("pending", "active")))
    async with rediq.serve(app, order.url, queues=[QUEUE], concurrency=order.concurrency):
        await trio.sleep_forever()


if __name__ == "__main__":
    order = take_order()
    trio.run(send if order.role == "produce" else work, order)
