"""A task that runs when others have completed, with their results."""

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task(queue="fetching", max_retry=0)
async def fetch(url: str) -> int:
    if "missing" in url:
        raise LookupError("404")
    return len(url)


@app.task
async def total() -> int:
    results = await rediq.current_task().results()
    return sum(size or 0 for size in results.values())


async def main() -> None:
    async with rediq.serve(app, "memory://", queues=["fetching", "default"]) as server:
        client = server.client
        good = [await client.enqueue(fetch.task(url)) for url in ("/a", "/bcd")]
        handle = await client.enqueue(total.options(depends_on=good).task())
        print("total:", await handle.result(timeout=10))

        bad = await client.enqueue(fetch.options(id="bad").task("/missing"))
        handle = await client.enqueue(total.options(depends_on=[*good, bad]).task())
        try:
            await handle.result(timeout=10)
        except rediq.TaskFailed as error:
            print("dead:", error.reason)

        anyway = total.options(depends_on=[*good, bad], on_dependency_failure="run")
        handle = await client.enqueue(anyway.task())
        print("total of what there is:", await handle.result(timeout=10))


trio.run(main)
