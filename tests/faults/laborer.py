"""The app that the worker processes of the fault tests serve."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import trio

import rediq_trio as rediq

app = rediq.App()


def note(word: str) -> None:
    """Append a line to the log that all processes share; O_APPEND keeps lines whole."""
    line = f"{word} {rediq.current_task().id} {rediq.current_task().fence} {os.getpid()}\n"
    with Path(os.environ["LABOR_LOG"]).open("a", encoding="utf-8") as log:
        log.write(line)


@app.task("labor", max_retry=0, timeout=300)
async def labor(seconds: float, again: float | None = None) -> str:
    """Work for a while, `again` from the second delivery on, and note the beginning and the end."""
    note("begin")
    first = again is None or rediq.current_task().fence == 1
    await trio.sleep(seconds if first else again)
    note("end")
    return "done"


@app.task("stall", max_retry=0, timeout=300)
async def stall() -> int:
    """Block the event loop at the first delivery until another one has ended, then end as well."""
    note("begin")
    fence = rediq.current_task().fence
    if fence == 1:
        hold_up(rediq.current_task().id)
    note("end")
    return fence


def hold_up(task_id: str) -> None:
    """Wait, without giving way to anything, for an end of the task."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        if f"end {task_id} " in Path(os.environ["LABOR_LOG"]).read_text("utf-8"):
            return
        time.sleep(0.05)


@app.aggregator("heaps", max_size=5, grace_period=0.2)
async def gather(tasks: list[rediq.Task[Any]]) -> rediq.Task[str]:
    """Go on with what takes as long as all of the members, and note beginning and end."""
    note("begin")
    await trio.sleep(sum(task.payload["seconds"] for task in tasks))
    note("end")
    return labor.task(seconds=0)
