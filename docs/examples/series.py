"""Read how the numbers of a queue have changed."""

import datetime as dt

import trio
from trio.testing import MockClock

import rediq_trio as rediq

app = rediq.App()


@app.task
async def work() -> None:
    await trio.sleep(20)


async def main() -> None:
    async with rediq.serve(app, "memory://", concurrency=2) as server:
        await trio.sleep(60)
        await server.client.enqueue_many([work.task() for _ in range(6)])
        await trio.sleep(90)
        series = await server.client.queue("default").series(dt.timedelta(minutes=2))
    busy = [point for point in series.points if point.pending or point.active]
    print("at most", max(point.pending for point in busy), "waited")
    print(sum(point.completed for point in series.points), "completed,", len(series.gaps), "gaps")


trio.run(main, clock=MockClock(autojump_threshold=0))  # leave the clock out in earnest
