"""One end for all attempts of a task, and for the waits between them."""

import math

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task(max_retry=1000, backoff=rediq.Fixed(2), deadline=3.5)
async def ask(what: str) -> str:
    raise ConnectionError("no answer")


@app.task(timeout=math.inf, deadline=1.5)
async def listen() -> None:
    try:
        await trio.sleep_forever()
    finally:
        print("stopped by the", rediq.current_task().cancel_reason)


def described(info: rediq.TaskInfo) -> str:
    assert info.error is not None
    assert info.deadline is not None
    error = info.error.replace(info.deadline.isoformat(timespec="milliseconds"), "12:00:03.500")
    return f"{info.state} after {info.attempt}: {error}"


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        client = server.client
        for task in (ask.task("the time"), listen.task()):
            handle = await client.enqueue(task)
            print(described(await handle.wait(timeout=30)))


trio.run(main)
