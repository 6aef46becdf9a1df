"""The ways in which an attempt can end, and what becomes of the task."""

import os
from typing import Any

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task(max_retry=3, backoff=rediq.Exponential(first=0.05, cap=1, jitter=0))
async def flaky() -> str:
    """Fail twice; the backoff decides when it is tried again."""
    if rediq.current_task().attempt < 3:
        raise OSError("the other side hung up")
    return "third time lucky"


@app.task
async def busy() -> str:
    """Fail once, and say itself when to try again: the other side said so."""
    if rediq.current_task().attempt == 1:
        raise rediq.Retry(after=0.1)
    return "after the time it asked for"


@app.task
async def malformed() -> None:
    """Fail for good: no attempt could ever succeed."""
    raise rediq.Reject("the order has no customer")


@app.task(max_retry=0)
async def early() -> str:
    """Come back later, without using an attempt up; even a task with a single one may."""
    if rediq.current_task().fence == 1:
        raise rediq.Snooze(0.1)
    return "the shop is open now"


@app.task(max_retry=1, timeout=0.05, backoff=rediq.Fixed(0.05))
async def slow() -> None:
    """Take longer than allowed, twice."""
    await trio.sleep(60)


async def main() -> None:
    url = os.environ.get("REDIQ_URL", "embedded://")
    async with rediq.serve(app, url) as server:
        tasks: list[rediq.Task[Any]] = [
            flaky.task(), busy.task(), malformed.task(), early.task(), slow.task()
        ]  # fmt: skip
        for task in tasks:
            handle = await server.client.enqueue(task)
            info = await handle.wait(timeout=10)
            name = info.type.partition(":")[2]
            said = info.result or info.error
            print(f"{name}: {info.state} after {info.attempt} attempts: {said}")
            if info.state is rediq.State.DEAD:
                await handle.delete()


trio.run(main)
