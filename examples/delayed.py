"""Tasks for later: after a delay, at an instant, by priority, or not at all when too late."""

import datetime as dt
import os

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task
async def remind(of: str) -> None:
    print("reminder:", of)


async def main() -> None:
    url = os.environ.get("REDIQ_URL", "embedded://")
    async with rediq.serve(app, url, concurrency=1) as server:
        client = server.client
        queue = client.queue("default")
        await queue.pause()
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
        handles = await client.enqueue_many(
            [
                remind.options(run_at=soon).task("the train"),
                remind.options(delay=1).task("the tea"),
                remind.options(priority=90).task("the plants"),
                remind.options(priority=10).task("the fire"),
                remind.options(expires=0.3).task("the fish"),
            ]
        )
        stats = await queue.stats()
        print(f"{stats.scheduled} scheduled, {stats.pending} pending")
        await trio.sleep(0.4)  # the fish goes off meanwhile
        await queue.resume()
        for handle in handles:
            info = await handle.wait(timeout=10)
            if info.state is rediq.State.DEAD:
                print("no reminder:", info.error)


trio.run(main)
