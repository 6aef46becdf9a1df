"""What happens when a handler fails: it is retried, and ends as a dead letter."""

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task(max_retry=2, backoff=rediq.Fixed(0.05))
async def fetch(page: int) -> str:
    task = rediq.current_task()
    if task.attempt < 3:
        raise ConnectionError(f"attempt {task.attempt}: no answer")
    return f"page {page}"


@app.task
async def parse(text: str) -> int:
    if not text.isdecimal():
        raise rediq.Reject(f"{text!r} is no number")
    return int(text)


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        client = server.client

        handle = await client.enqueue(fetch.task(7))
        info = await handle.wait(timeout=10)
        print(info.state, "after", info.attempt, "attempts:", info.result)

        handle = await client.enqueue(parse.task("twelve"))
        try:
            await handle.result(timeout=10)
        except rediq.TaskFailed as failed:
            print(failed.state, "because", failed.reason)

        dead = client.queue("default").dead
        print("dead:", [letter.type.partition(":")[2] for letter in await dead.list()])
        await handle.delete()
        print("dead:", await dead.list())


trio.run(main)
