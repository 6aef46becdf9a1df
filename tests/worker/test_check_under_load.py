"""A check of a queue that two servers drain as fast as they can: no movement is a violation."""

from __future__ import annotations

import uuid

import trio

import rediq_trio as rediq
from tests.servers import Server

Q = "busy"
TASKS = 3000


def some_task(n: int) -> rediq.Task[None]:
    """Give a task; by its number it is plain, limited, unique, delayed or grouped."""
    match n % 6:
        case 0:
            return rediq.Task(
                "work", {"n": n}, queue=Q, limit_key=f"key{n % 4}", metadata={"k": "v"}
            )
        case 1:
            return rediq.Task("work", {"n": n}, queue=Q, unique=rediq.Unique(f"u{n}"))
        case 2:
            return rediq.Task("work", {"n": n}, queue=Q, delay=0.05 * (n % 7))
        case 3:
            return rediq.Task("work", {"n": n}, queue=Q, group=f"g{n % 3}", expires=600)
        case 4:
            return rediq.Task("fails", {"n": n}, queue=Q, backoff=rediq.Fixed(0.05), max_retry=1)
        case _:
            return rediq.Task("parent", {"n": n}, queue=Q, retention=0)


def make_app() -> rediq.App:
    app = rediq.App()

    @app.task("work")
    async def work(n: int) -> int:
        await trio.lowlevel.checkpoint()
        return n

    @app.task("fails")
    async def fails(n: int) -> None:
        raise ValueError(n)

    @app.task("parent")
    async def parent(n: int) -> None:
        child = rediq.Task("work", {"n": n}, queue=Q, limit_key="child")
        rediq.current_task().enqueue_after(child)

    @app.aggregator("g*", max_size=5, grace_period=0.2, max_delay=1)
    async def gather(tasks: list[rediq.Task[None]]) -> None:
        return None

    return app


async def test_a_check_of_a_queue_under_full_load_gives_no_false_alarm(
    redis_server: Server,
) -> None:
    prefix = f"load-{uuid.uuid4().hex[:8]}"
    app, checks, over = make_app(), 0, trio.Event()
    async with (
        rediq.connect(redis_server.url, key_prefix=prefix) as client,
        rediq.serve(app, redis_server.url, queues=[Q], concurrency=50, key_prefix=prefix) as one,
        rediq.serve(app, redis_server.url, queues=[Q], concurrency=50, key_prefix=prefix) as two,
    ):
        queue = client.queue(Q)
        await queue.limit(key="key1", concurrency=3)
        await queue.limit(key="key2", rate=rediq.Rate(300, per=1, burst=20))

        async def check() -> None:
            nonlocal checks
            while not over.is_set():
                assert await queue.check() == []
                checks += 1

        async def feed() -> None:
            for first in range(0, TASKS, 100):
                handles = await client.enqueue_many(
                    [some_task(n) for n in range(first, first + 100)]
                )
                after = [
                    rediq.Task(
                        "work", {"n": n}, queue=Q, depends_on=(handle,), on_dependency_failure="run"
                    )
                    for n, handle in enumerate(handles)
                    if n % 6 in (0, 2)
                ]
                await client.enqueue_many(after)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(check)
            nursery.start_soon(check)
            await feed()
            with trio.fail_after(50):
                await one.wait_idle()
                await two.wait_idle()
            over.set()
        assert checks >= 2
        assert (await queue.stats()).enqueued > TASKS
