"""What the tasks of the bench do: the app that its workers serve, and the names both sides use."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import trio

import rediq_trio as rediq
from rediq_trio.schedules.declare import SCHEDULE_METADATA, TICK_METADATA
from tests.chaos.observe import Observer

QUEUES = {"main": 4.0, "side": 2.0, "lanes": 1.0}
"""The queues and their weights."""
NARROW, PACED = "narrow", "paced"
"""Limit keys of the queue `lanes`."""
LIMITS: dict[str, dict[str, Any]] = {NARROW: {"concurrency": 3}, PACED: {"rate": [15, 1.0, 5]}}
SCHEDULES = {"every-2s": 2.0, "every-minute": 60.0}
ORIGIN = "origin"
"""The entry of metadata with the id that a task had before it was moved."""
GROUP_SIZE, GROUP_GRACE, GROUP_DELAY = 6, 0.4, 2.0


@contextmanager
def witnessed(observer: Observer) -> Generator[list[str]]:
    """Note a handler's start and how it ended; the children that it names are noted too."""
    task = rediq.current_task()
    more: dict[str, Any] = {"members": list(task.members)} if task.members else {}
    if TICK_METADATA in task.metadata:
        more["tick"] = task.metadata[TICK_METADATA]
        more["schedule"] = task.metadata[SCHEDULE_METADATA]
    if ORIGIN in task.metadata and not task.members:
        more["origin"] = task.metadata[ORIGIN]
    observer.note(
        "start", id=task.id, fence=task.fence, attempt=task.attempt, worker=observer.client, **more
    )
    children: list[str] = []
    how = "success"
    try:
        yield children
    except trio.Cancelled:
        how = "timeout" if task.cancel_reason == "timeout" else "cancelled"
        raise
    except rediq.Retry:
        how = "retry"
        raise
    except rediq.Reject:
        how = "reject"
        raise
    except rediq.Snooze:
        how = "snooze"
        raise
    except BaseException:
        how = "raise"
        raise
    finally:
        named = {"children": children} if children else {}
        observer.note(
            "end", id=task.id, fence=task.fence, how=how, reason=task.cancel_reason, **named
        )


def make_app(observer: Observer) -> rediq.App:
    """Make the app, whose handlers note what they see."""
    app = rediq.App("chaos")

    @app.task("work", queue="main")
    async def work(kind: str, seconds: float = 0.0, times: int = 0) -> str:
        with witnessed(observer) as children:
            await _work(kind, seconds, times, children)
        return kind

    @app.task("threaded", queue="main")
    def threaded(seconds: float) -> str:
        with witnessed(observer):
            time.sleep(seconds)
        return "threaded"

    @app.aggregator("g*", max_size=GROUP_SIZE, grace_period=GROUP_GRACE, max_delay=GROUP_DELAY)
    async def gather(tasks: list[rediq.Task[Any]]) -> rediq.Task[Any] | None:
        with witnessed(observer):
            await trio.sleep(tasks[0].payload["seconds"])
        return None

    app.schedule("every-2s", rediq.Every(2.0), work.options(queue="side").task("tick"))
    app.schedule("every-minute", rediq.Cron("* * * * *"), work.options(queue="main").task("tick"))
    return app


async def _work(kind: str, seconds: float, times: int, children: list[str]) -> None:
    task = rediq.current_task()
    await trio.sleep(seconds)
    match kind:
        case "raise":
            raise ValueError("as it was told to")
        case "flaky" if task.attempt <= times:
            raise ValueError(f"attempt {task.attempt} of {times} that fail")
        case "again" if task.attempt <= times:
            raise rediq.Retry(after=0.2)
        case "reject":
            raise rediq.Reject("as it was told to")
        case "snooze" if task.fence <= times:
            raise rediq.Snooze(0.3)
        case "parent":
            for number in range(times):
                queue = "side" if number % 2 else "main"
                child = rediq.Task(
                    "work", {"kind": "child"}, queue=queue, retention=task_retention()
                )
                children.append(task.enqueue_after(child).id)
        case "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        case _:
            pass


def task_retention() -> float:
    """Return the retention in seconds: longer than any run takes."""
    return 86_400.0
