"""docket (pydocket) on uvloop: what is known of a task is deleted as it ends when results are off."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from adapter import ASYNC, KEPT, Order, Task, produce, run_uvloop, take_order
from docket import Docket, Worker

order: Order = take_order()
TASKS: dict[str, Any] = {f"async_{name}": function for name, function in ASYNC.items()}


async def main() -> None:
    kept = timedelta(seconds=KEPT if order.results else 0)
    # redis-py's own limit is 100 connections, beyond which docket fails and leaves tasks behind.
    url = f"{order.url}/0?max_connections=5000"
    async with Docket(name="bench", url=url, execution_ttl=kept) as docket:
        for function in TASKS.values():
            docket.register(function)
        if order.role == "produce":

            async def one(name: str, payload: dict[str, Any]) -> None:
                await docket.add(ASYNC[name])(**payload)

            async def many(tasks: list[Task]) -> None:
                await docket.add_many(
                    [docket.call(ASYNC[name])(**payload) for name, payload in tasks]
                )

            await produce(order, one, many)
        else:
            async with Worker(docket, concurrency=order.concurrency) as worker:
                order.unsettled(["XLEN", docket.stream_key], ["ZCARD", docket.queue_key])
                await worker.run_forever()


run_uvloop(main)
