"""The scenario of our own worker: handlers and clients of every kind, and every fault."""

from __future__ import annotations

from random import Random

import trio

import rediq_trio as rediq
from rediq_trio.testing.fleets.plan import Work
from rediq_trio.testing.fleets.scenario import Scenario

SECONDS = 100.0
"""How long a storm lasts."""
WORKS = 40
OPTIONS = {"timeout": 60, "max_crashes": 20, "max_retry": 5}
KINDS = ("quick", "slow", "long", "flaky", "snooze", "parent", "progress", "plain", "cancelled")
"""Kinds of work; `slow` and `long` outlast the outages that others do not."""
SETTINGS = {"lease": 30.0, "concurrency": 4, "prefetch": 1, "shutdown_grace": 10.0, "cleanup_grace": 2.0}


def make() -> rediq.App:
    """Return a new app, whose handlers remember nothing of another run."""
    app = rediq.App("storm")

    @app.task("sleep")
    async def sleep(seconds: float) -> str:
        await trio.sleep(seconds)
        return "slept"

    @app.task("plain")
    def plain() -> str:
        return "plain"

    @app.task("flaky", backoff=rediq.Exponential(first=1, cap=5))
    async def flaky(seconds: float, fails: int) -> str:
        await trio.sleep(seconds)
        if rediq.current_task().attempt <= fails:
            raise ValueError("not yet")
        return "at last"

    @app.task("snooze")
    async def snooze(seconds: float) -> str:
        if rediq.current_task().fence == 1:
            raise rediq.Snooze(2 + seconds)
        return "awake"

    @app.task("parent")
    async def parent(seconds: float) -> int:
        task = rediq.current_task()
        number = await task.once("number", lambda: 7)
        await trio.sleep(seconds)
        task.enqueue_after(sleep.task(0.1))
        return number

    @app.task("progress")
    async def progress(seconds: float) -> None:
        for n in range(5):
            rediq.current_task().progress(n * 20, f"step {n}")
            await trio.sleep(seconds / 5)
        rediq.current_task().progress(100)

    return app


def draw_work(random: Random) -> list[Work]:
    """Return works of a few kinds."""
    kinds = random.sample(KINDS, random.randint(2, len(KINDS)))
    return [_work(random, random.choice(kinds)) for _ in range(WORKS)]


def _work(random: Random, kind: str) -> Work:
    at, client = round(random.uniform(0, SECONDS * 0.7), 3), random.randrange(2)
    seconds = round(random.choice([0.05, 1.0, 5.0, 15.0]) * random.random(), 3)
    type_name, cancel_after = {"quick": "sleep", "cancelled": "sleep"}.get(kind, kind), None
    if kind in ("slow", "long"):
        type_name, seconds = "sleep", 40.0 if kind == "slow" else 55.0
    if kind == "cancelled":
        seconds = round(2 + seconds, 3)
        cancel_after = round(seconds * random.random(), 3)
    arguments: dict[str, object] = {} if kind == "plain" else {"seconds": seconds}
    if kind == "flaky":
        arguments["fails"] = random.randint(1, 3)
    return Work(type_name, arguments, OPTIONS, at=at, client=client, cancel_after=cancel_after)


STORM = Scenario(work=draw_work, settings=SETTINGS)
