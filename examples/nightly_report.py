"""A nightly report: sales come in one by one, are added by the batch, and summed up at night.

The report is of the day of its tick, and not of the hour at which it happens to run: one that is late,
or made again, has the same numbers.
"""

import datetime as dt
import os
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from typing import TypedDict

import trio

import rediq_trio as rediq

BOOKS = os.environ.get("BOOKS", ":memory:")
"""The file of the books. By default there is none, and they are gone with the program."""


class Sale(TypedDict):
    shop: str
    cents: int


app = rediq.App[sqlite3.Connection]("books")


@app.lifespan
async def open_books() -> AsyncGenerator[sqlite3.Connection]:
    with closing(sqlite3.connect(BOOKS)) as books:
        books.execute(
            "create table if not exists sales (id text primary key, day text, shop text, cents int)"
        )
        yield books


@app.task("sale", queue="books", retention=3600)
async def sale(shop: str, cents: int) -> None:
    """Never runs by itself: every sale goes into the group of its day."""


@app.aggregator("sales:*", max_size=50, grace_period=0.5, max_delay=5)
async def add_up(tasks: list[rediq.Task[Sale]]) -> None:
    task = rediq.current_task()
    day = (task.group or "").removeprefix("sales:")
    rows = [
        (id, day, one.payload["shop"], one.payload["cents"])
        for id, one in zip(task.members, tasks, strict=True)
    ]
    with app.state:  # one transaction
        # A batch may run twice, when its worker dies late: the ids keep each sale single.
        app.state.executemany("insert or ignore into sales values (?, ?, ?, ?)", rows)
    print(f"added a batch of {len(rows)}")


@app.task("report", queue="books", max_retry=5, timeout=60)
async def report(day: str = "") -> list[str]:
    """Sum up a day: the one that is named, else that of the tick, else today."""
    tick = rediq.current_task().metadata.get("rediq.tick") or dt.datetime.now(dt.UTC).isoformat()
    day = day or tick[:10]
    sums = app.state.execute(
        "select shop, count(*), sum(cents) from sales where day = ? group by shop order by shop",
        (day,),
    )
    return [f"{shop}: {count} sales, {cents / 100:.2f}" for shop, count, cents in sums]


app.schedule("nightly", rediq.Cron("55 23 * * *"), report.task())


async def main() -> None:
    url = os.environ.get("REDIQ_URL", "embedded://")
    async with rediq.serve(app, url, queues=["books"]) as server:
        client = server.client
        today = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
        of_today = sale.options(group=f"sales:{today}")
        sales = [
            of_today.task(("north", "south", "harbor")[n % 3], 100 + 25 * n) for n in range(120)
        ]
        await client.enqueue_many(sales)
        while (await client.queue("books").stats()).grouped:
            await trio.sleep(0.1)
        await server.wait_idle()

        nightly = await client.schedules().get("nightly")
        assert nightly.next_run is not None
        print(f"{nightly.name}, {nightly.description}: next at {nightly.next_run:%H:%M} UTC")
        early = await client.schedules().trigger(nightly.name)
        await early.result(timeout=10)
        print(f"made once before its time: {(await early.info()).state}")

        again = await client.enqueue(report.task(day=today))  # for any day, as often as one likes
        for line in await again.result(timeout=10):
            print(line)


trio.run(main)
