"""An order as a workflow: reserve each item side by side, then send them, then write the bill.

One branch fails although it is tried again. What waits for it does not run, what has completed stays,
and when the cause is gone a retry continues where it stood.
"""

import os
from collections import Counter
from collections.abc import Iterable
from typing import Any

import trio

import rediq_trio as rediq

app = rediq.App("orders")
closed = {"harbor"}
"""Warehouses that do not answer. In your program that is the world's business."""


@app.task("item:reserve", queue="orders", max_retry=2, backoff=rediq.Fixed(0.1), timeout=5)
async def reserve(item: str, warehouse: str) -> int:
    task = rediq.current_task()
    if warehouse in closed:
        raise ConnectionError(f"{warehouse} does not answer")
    if warehouse == "north" and task.attempt == 1:
        raise ConnectionResetError("north hung up")  # the next attempt reaches it
    print(f"reserved {item} in {warehouse}, attempt {task.attempt}")
    return {"tea": 250, "bread": 320, "glass": 990}[item]


@app.task("parcel:send", queue="orders")
async def send() -> int:
    """Run once when all items are reserved; their results are what the tasks before returned."""
    prices = (await rediq.current_task().results()).values()
    print(f"sent a parcel of {len(prices)} items")
    return sum(map(int, prices))


@app.task("bill:write", queue="orders")
async def write_bill(customer: str) -> str:
    (cents,) = (await rediq.current_task().results()).values()
    return f"{customer} owes {cents / 100:.2f}"


def order(customer: str, items: dict[str, str]) -> rediq.Workflow[Any]:
    workflow = rediq.Workflow[Any]("order")
    reserved = [
        workflow.add(reserve.task(item, warehouse), f"reserve {item}")
        for item, warehouse in items.items()
    ]
    sent = workflow.add(send.task(), "send", after=reserved)
    workflow.add(write_bill.task(customer), "bill", after=sent)
    return workflow


def counts(states: Iterable[str | None]) -> str:
    return ", ".join(f"{count} {state}" for state, count in Counter(states).items())


async def main() -> None:
    url = os.environ.get("REDIQ_URL", "embedded://")
    async with rediq.serve(app, url, queues=["orders"]) as server:
        items = {"tea": "south", "bread": "north", "glass": "harbor"}
        handle = await server.client.enqueue(order("Ada", items))
        try:
            await handle.result(timeout=20)
        except rediq.TaskFailed as failed:
            print(f"the order stands still: {failed.reason}")
        info = await handle.info()
        print(f"{info.failed} failed first; {counts(info.states.values())}")

        closed.clear()  # the warehouse is back
        await handle.retry()  # what has completed is not repeated
        print(await handle.result(timeout=20))
        print(counts((await handle.info()).states.values()))


trio.run(main)
