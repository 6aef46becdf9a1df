"""Serve several queues with one worker: in strict order, and by weight."""

from collections import Counter

import trio

import rediq_trio as rediq

app = rediq.App()
order: list[str] = []


@app.task
async def work() -> None:
    order.append(rediq.current_task().queue)


async def serve(queues: list[str] | dict[str, float]) -> None:
    order.clear()
    store = rediq.MemoryStore()
    async with rediq.connect(store) as client:
        for queue in ("reports", "mail"):
            await client.enqueue_many([work.options(queue=queue).task() for _ in range(200)])
    # One at a time, and none claimed ahead: so the order of the starts shows.
    async with rediq.serve(
        app, store, queues=queues, concurrency=1, prefetch=0, burst=True
    ) as server:
        await server.wait_stopped()


async def main() -> None:
    await serve(["mail", "reports"])
    print("strict:", *order[:8])
    print("  of the first 200:", dict(Counter(order[:200])))

    await serve({"mail": 3, "reports": 1})
    print("3 to 1:", *order[:8])
    print("  of the first 200:", dict(Counter(order[:200])))


trio.run(main)
