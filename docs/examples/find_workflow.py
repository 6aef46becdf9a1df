"""Finds a workflow again by its id, and tries again what failed."""

import trio

import rediq_trio as rediq

app = rediq.App()
broken = True


@app.task("fetch")
async def fetch(source: str) -> int:
    return len(source)


@app.task("join", max_retry=0)
async def join() -> int:
    if broken:
        raise RuntimeError("no connection")
    return sum((await rediq.current_task().results()).values())


async def main() -> None:
    global broken
    async with rediq.serve(app, "memory://") as server:
        workflow = rediq.gather(fetch.task("prices"), fetch.task("stock"), then=join.task())
        workflow_id = (await server.client.enqueue(workflow)).id
        await server.wait_idle()

        found = await server.client.workflow(workflow_id)
        status = await found.status()
        print(f"{status.state}: {status.done} of {status.total} done, {status.failed} failed")

        broken = False
        await found.retry()
        print(await found.result(timeout=10))
        for each in await server.client.workflows(state="completed"):
            print(each.state, each.done, each.total)


trio.run(main)
