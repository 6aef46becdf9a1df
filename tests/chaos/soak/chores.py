"""What the soak's tasks do: something of everything that the library has."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import trio

import rediq_trio as rediq

QUEUE, OTHER = "soak", "soak-other"
KEPT = 1.0
"""Seconds that a finished task is kept."""
BACKOFF = rediq.Fixed(0.1)

hoard: list[bytes] = []
"""What the planted leak keeps."""


def make_app(*, leaks: bool = False) -> rediq.App:
    """Make the app; with `leaks` its handlers keep what they should not."""
    app = rediq.App("soak")

    @app.middleware
    async def around(task: rediq.CurrentTask) -> AsyncGenerator[None]:
        yield

    @app.task("chore", queue=QUEUE, retention=KEPT, backoff=BACKOFF, max_retry=1)
    async def chore(kind: str) -> str:
        if leaks:
            hoard.append(bytes(200_000))
        await _do(kind)
        return kind

    @app.task("threaded", queue=QUEUE, retention=KEPT)
    def threaded() -> None:
        rediq.current_task().progress(50, "in a thread")

    @app.aggregator("heap", max_size=5, grace_period=0.3, max_delay=1.0)
    async def gather(tasks: list[rediq.Task[Any]]) -> rediq.Task[Any] | None:
        return chore.task("heap") if len(tasks) > 1 else None

    app.schedule("every-second", rediq.Every(1.0), chore.task("tick"))
    return app


async def _do(kind: str) -> None:
    task = rediq.current_task()
    match kind:
        case "fails":
            raise ValueError("as it was told to")
        case "rejects":
            raise rediq.Reject("as it was told to")
        case "snoozes" if task.fence == 1:
            raise rediq.Snooze(0.1)
        case "slow":
            await trio.sleep(30)
        case "parent":
            child: rediq.Task[str] = rediq.Task(
                "chore", {"kind": "child"}, queue=OTHER, retention=KEPT
            )
            task.enqueue_after(child)
        case "steps":
            await task.once("one", trio.sleep, 0)
            task.progress(10, "one step")
        case _:
            pass
