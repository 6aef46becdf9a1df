"""What the budgets are for: small pieces of work, each told in the library's own words.

A story gets everything ready, lets the worker do one task so that it is connected and hears
signals, and counts the rest. It waits for signals of the library, not for time to pass: what
moves with time is in the budgets' ranges.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

import rediq_trio as rediq
from benchmarks.counting import Counting
from benchmarks.server import Bench

QUEUE = "story"
LOOK = 0.005
"""Seconds between looks at the worker's tally."""
START = 1.0
"""Seconds in which a worker looks at everything once."""
GIVE_UP = 60.0
"""Seconds that a story may take, on any machine."""
MANY = tuple(f"{QUEUE}{n}" for n in range(100))
"""The queues of the stories that have many."""

app = rediq.App()


@app.task("noop")
async def noop(i: int = 0) -> None:
    pass


@app.task("fails once")
async def fail_once(i: int) -> None:
    if rediq.current_task().attempt == 1:
        raise rediq.Retry(after=0)


@app.task("reports")
async def report(i: int) -> None:
    rediq.current_task().progress(50, "half")


@app.task("has a child")
async def have_child(i: int) -> None:
    rediq.current_task().enqueue_after(rediq.Task("noop", {"i": i}, queue=QUEUE, retention=0))


def tasks(count: int, kind: str = "noop", **options: Any) -> list[rediq.Task[Any]]:
    """Make tasks, kept no longer than they run unless the options say so."""
    options.setdefault("queue", QUEUE)
    options.setdefault("retention", 0)
    return [rediq.Task(kind, {"i": i}, **options) for i in range(count)]


@attrs.frozen
class Stage:
    """Where a story is played: an empty server, and what counts."""

    bench: Bench
    counting: Counting

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[rediq.Client]:
        """Connect, and let the first task tell the server its queue and scripts."""
        async with rediq.connect(self.bench.url) as client:
            await client.enqueue(rediq.Task("noop", {"i": 0}, queue=QUEUE))
            yield client

    @asynccontextmanager
    async def worker(
        self, queues: Sequence[str] = (QUEUE,), **options: Any
    ) -> AsyncGenerator[rediq.Server]:
        """Run a worker that has done a task, so that it has heard a signal."""
        async with rediq.serve(app, self.bench.url, queues=queues, lease=60, **options) as server:
            for queue in (queues[0], queues[-1]):
                await server.client.queue(queue).resume()
                (task,) = tasks(1, queue=queue, retention=3600)
                await (await server.client.enqueue(task)).wait(timeout=GIVE_UP)
            yield server

    async def settle(
        self, server: rediq.Server, count: int, begin: Callable[[], Awaitable[Any]]
    ) -> None:
        """Count from `begin` until the worker has completed so many more."""
        until = server.stats().completed + count
        with trio.fail_after(GIVE_UP), self.counting.counted():
            await begin()
            with self.counting.aside():
                while server.stats().completed < until:  # the tally tells nobody
                    await trio.sleep(LOOK)

    async def drain(self, made: Sequence[rediq.Task[Any]], count: int = 0, **options: Any) -> None:
        """Count what a worker needs for tasks that wait for it."""
        async with self.worker(**options) as server:
            await server.client.queue(QUEUE).pause()
            await server.client.enqueue_many(made)
            await self.settle(server, count or len(made), server.client.queue(QUEUE).resume)


async def enqueue_singly(stage: Stage, count: int) -> None:
    async with stage.client() as client:
        with stage.counting.counted():
            for task in tasks(count):
                await client.enqueue(task)


async def enqueue_unique(stage: Stage, count: int) -> None:
    async with stage.client() as client:
        with stage.counting.counted():
            for task in tasks(count, unique=rediq.Unique(ttl=60)):
                await client.enqueue(task)


async def enqueue_together(stage: Stage, count: int) -> None:
    waiting = iter(tasks(count))
    async with stage.client() as client:

        async def caller() -> None:
            for task in waiting:
                await client.enqueue(task)

        with stage.counting.counted():
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(caller)


async def enqueue_in_bulk(stage: Stage, count: int) -> None:
    async with stage.client() as client:
        with stage.counting.counted():
            await client.enqueue_many(tasks(count))


async def drain_forgotten(stage: Stage, count: int) -> None:
    await stage.drain(tasks(count), concurrency=100, prefetch=200)


async def drain_kept(stage: Stage, count: int) -> None:
    await stage.drain(tasks(count, retention=3600), concurrency=100, prefetch=200)


async def drain_by_one(stage: Stage, count: int) -> None:
    await stage.drain(tasks(count), concurrency=1, prefetch=0)


async def drain_adapting(stage: Stage, count: int) -> None:
    await stage.drain(tasks(count), concurrency=100)


async def drain_failing(stage: Stage, count: int) -> None:
    await stage.drain(tasks(count, "fails once"), concurrency=100, prefetch=200)


async def drain_reporting(stage: Stage, count: int) -> None:
    await stage.drain(tasks(count, "reports"), concurrency=100, prefetch=200)


async def drain_with_children(stage: Stage, count: int) -> None:
    await stage.drain(tasks(count, "has a child"), 2 * count, concurrency=100, prefetch=200)


async def drain_limited(stage: Stage, count: int) -> None:
    await stage.drain(tasks(count, limit_key="key"), concurrency=100, prefetch=200)


async def drain_delayed(stage: Stage, count: int) -> None:
    async with stage.worker(concurrency=100, prefetch=200) as server:
        await stage.settle(
            server, count, lambda: server.client.enqueue_many(tasks(count, delay=1.0))
        )


async def drain_chain(stage: Stage, count: int) -> None:
    async with stage.worker() as server:
        chain = rediq.chain(*tasks(count, retention=3600))
        await stage.settle(server, count, lambda: server.client.enqueue(chain))


async def drain_spread(stage: Stage, count: int) -> None:
    async with stage.worker(MANY, concurrency=100, prefetch=200) as server:

        async def begin() -> None:
            each = count // len(MANY)
            every = [task for queue in MANY for task in tasks(each, queue=queue)]
            await server.client.enqueue_many(every)

        await stage.settle(server, count, begin)


async def round_trips(stage: Stage, count: int) -> None:
    async with stage.worker() as server:
        with trio.fail_after(GIVE_UP), stage.counting.counted():
            for task in tasks(count, retention=60):
                await (await server.client.enqueue(task)).result(timeout=GIVE_UP)


async def idle(stage: Stage, seconds: int, queues: Sequence[str] = (QUEUE,)) -> None:
    async with stage.worker(queues):
        await trio.sleep(START)
        with stage.counting.counted(), stage.counting.aside():
            await trio.sleep(seconds)


async def idle_with_many(stage: Stage, seconds: int) -> None:
    await idle(stage, seconds, MANY)


@attrs.frozen
class Story:
    """One story."""

    play: Callable[[Stage, int], Awaitable[None]]
    units: int
    """Tasks, or seconds, that the figures are divided by."""
    of: str = "task"


STORIES: Mapping[str, Story] = {
    "enqueue, one by one": Story(enqueue_singly, 300),
    "enqueue, unique": Story(enqueue_unique, 300),
    "enqueue, 100 callers": Story(enqueue_together, 2000),
    "enqueue_many": Story(enqueue_in_bulk, 2000),
    "drain, results off": Story(drain_forgotten, 2000),
    "drain, results on": Story(drain_kept, 2000),
    "drain, adapting": Story(drain_adapting, 2000),
    "drain, one at a time": Story(drain_by_one, 200),
    "drain, failing once": Story(drain_failing, 1000),
    "drain, with progress": Story(drain_reporting, 1000),
    "drain, with a child": Story(drain_with_children, 1000),
    "drain, with a limit key": Story(drain_limited, 1000),
    "drain, delayed": Story(drain_delayed, 1000),
    "drain, a chain": Story(drain_chain, 100),
    "drain, over 100 queues": Story(drain_spread, 2000),
    "enqueue and await": Story(round_trips, 100),
    "idle": Story(idle, 4, "second"),
    "idle, 100 queues": Story(idle_with_many, 4, "second"),
}
"""Each story by its name."""


def play(bench: Bench, name: str) -> Mapping[str, float]:
    """Play a story on an emptied server; give its figures for each unit."""
    bench.raw.flushall()
    story = STORIES[name]
    counting = Counting(bench)
    trio.run(story.play, Stage(bench, counting), story.units)
    return counting.figures(story.units)
