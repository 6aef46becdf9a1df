"""A lifespan: what a worker opens before its first task, and closes after its last.

`prices` is an app of its own, with a task in the background that refreshes its prices. `shop`
includes it. Both apps bring what their handlers need.
"""

import os
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing

import attrs
import trio

import rediq_trio as rediq


@attrs.define
class Prices:
    by_name: dict[str, int] = attrs.field(factory=dict)


prices = rediq.App[Prices]("prices")
shop = rediq.App[sqlite3.Connection]("shop")


async def refresh(found: Prices, *, task_status: trio.TaskStatus[None]) -> None:
    while True:
        found.by_name = {"tea": 250, "bread": 320}  # in your program, from a request
        task_status.started()
        await trio.sleep_forever()


@prices.lifespan
async def keep_prices() -> AsyncGenerator[Prices]:
    found = Prices()
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: refresh(found, task_status=task_status))
        yield found
        nursery.cancel_scope.cancel()  # otherwise the nursery waits for `refresh`
    print("prices: no longer refreshed")


@shop.lifespan
async def open_database() -> AsyncGenerator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("create table sales (name text, cents int)")
        yield connection
        (total,) = connection.execute("select sum(cents) from sales").fetchone()
        print(f"shop: {total} cents were sold")


@prices.task("price")
async def price(name: str) -> int:
    return prices.state.by_name[name]


@shop.task("sell")
async def sell(name: str) -> str:
    connection = rediq.current_task().state  # shop.state is the same, with its type
    cents = prices.state.by_name[name]  # the state of another app of this worker
    connection.execute("insert into sales values (?, ?)", (name, cents))
    return f"{name} for {cents} cents"


shop.include(prices)


async def main() -> None:
    url = os.environ.get("REDIQ_URL", "embedded://")
    async with rediq.serve(shop, url) as server:
        for task in (price.task("tea"), sell.task("tea"), sell.task("bread")):
            handle = await server.client.enqueue(task)
            print(await handle.result(timeout=10))


trio.run(main)
