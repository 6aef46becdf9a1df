"""Enqueue many tasks at once, and wait until all are done."""

import os

import trio

import rediq_trio as rediq

app = rediq.App()
COUNT = 5000


@app.task
async def square(n: int) -> int:
    return n * n


async def main() -> None:
    url = os.environ.get("REDIQ_URL", "embedded://")
    async with rediq.serve(app, url, concurrency=100) as server:
        begun = trio.current_time()
        tasks = [square.options(id=f"square-{n}").task(n) for n in range(COUNT)]
        handles = await server.client.enqueue_many(tasks)
        print(f"{len(handles):,} tasks enqueued")

        # With ids of one's own, to enqueue again what is there already changes nothing.
        again = await server.client.enqueue_many(tasks[:10])
        print(f"{sum(handle.created for handle in again)} of {len(again)} enqueued again")

        await server.wait_idle()
        took = trio.current_time() - begun
        print(f"{server.stats().completed:,} tasks completed")
        print(f"the last result is {await handles[-1].result(timeout=10):,}")
        print(f"{COUNT / took:,.0f} tasks per second")


trio.run(main)
