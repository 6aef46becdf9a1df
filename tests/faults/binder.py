"""The app of the tests of children, steps and messages, and programs that die half-way."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import trio

import rediq_trio as rediq
from rediq_trio.store.redis.store import RedisStore

app = rediq.App()
PARTS = 30
"""Tasks in each of the two queues of the workflow."""


def note(word: str) -> None:
    """Append a line to the log that all processes share; O_APPEND keeps lines whole."""
    line = f"{word} {rediq.current_task().id} {rediq.current_task().fence} {os.getpid()}\n"
    with Path(os.environ["LABOR_LOG"]).open("a", encoding="utf-8") as log:
        log.write(line)


def die(*_: Any) -> Any:
    """End the process as the power does."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.task("child", queue="children")
async def child() -> None:
    note("child")


@app.task("parent", max_crashes=9)
async def parent(step_dies: bool) -> int:
    """Do a step and name children; the first worker dies behind the step, or behind the end."""
    task = rediq.current_task()
    note("begin")

    def step() -> int:
        note("step")
        return task.fence

    found = await task.once("step", step)
    for queue in ("default", "children", "children"):
        task.enqueue_after(child.options(queue=queue).task())
    if task.fence == 1:
        if step_dies:
            die()
        # The handler has ended well, and what it leaves is not written.
        RedisStore.settle = die  # type: ignore[method-assign]
    return found


@app.task("sleepy")
async def sleepy(seconds: float) -> int:
    """Sleep in a step, shielded, as one that is slow to notice that the lease is lost."""
    note("begin")

    async def step() -> int:
        await trio.sleep(seconds)
        note("step")
        return rediq.current_task().fence

    try:
        with trio.CancelScope(shield=True):
            found = await rediq.current_task().once("step", step)
    except rediq.StaleLease:
        note("stale")
        raise
    note("end")
    return found


def made() -> rediq.Workflow[Any]:
    """Make the workflow that a dying client enqueues."""
    queues = ("default", "children", "third")
    parts = [rediq.Task("child", queue=queues[n % 3]) for n in range(PARTS)]
    return rediq.chain(
        rediq.Task("child", queue="default"),
        rediq.gather(*parts),
        rediq.Task("child", queue="third", id="last"),
    )


async def enqueue_and_die(url: str, received: int) -> None:
    """Enqueue the workflow, and die when so many messages have been carried."""
    async with rediq.connect(url) as client:
        carried = 0
        store: Any = client._store
        receive = store.receive

        async def some(queue: str, sender: str, mail: Any) -> Any:
            nonlocal carried
            if carried + len(mail) >= received:
                await receive(queue, sender, mail[: received - carried])
                die()
            carried += len(mail)
            return await receive(queue, sender, mail)

        store.receive = some
        await client.enqueue(made())


if __name__ == "__main__":
    trio.run(enqueue_and_die, sys.argv[1], int(sys.argv[2]))
