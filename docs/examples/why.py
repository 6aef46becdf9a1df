"""Ask why tasks wait."""

import trio
from trio.testing import MockClock

import rediq_trio as rediq

app = rediq.App()


@app.task
async def work() -> None:
    await trio.sleep(20)


async def main() -> None:
    async with rediq.serve(app, "memory://", concurrency=1, name="worker-1") as server:
        queue = server.client.queue("default")
        await queue.limit(key="acme", concurrency=1)
        task = work.options(limit_key="acme")
        runs = await server.client.enqueue(task.options(id="first").task())
        waits = await server.client.enqueue(task.options(id="second").task())
        await trio.sleep(5)
        print(await runs.why())
        await queue.pause("a deployment", by="ops")
        why = await waits.why()
        for part in why.parts:
            print(f"{part.kind}: {part.sentence}")


trio.run(main, clock=MockClock(autojump_threshold=0))  # leave the clock out in earnest
