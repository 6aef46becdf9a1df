"""Tasks that become ready together run in the order in which they were enqueued."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore
from tests.servers import Server

MANY = 20
"""Tasks of a story. Their ids end in a number without leading zeros, so ids sort in another order."""
WITHIN = 60.0


class Line:
    """Runs one task at a time, and keeps the number of each."""

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.attempts = 0
        self.app = rediq.App()

        @self.app.task("stand")
        async def stand(n: int) -> None:
            self.ran.append(n)

        @self.app.task("stumble", max_retry=1, backoff=rediq.Fixed(1))
        async def stumble(n: int) -> None:
            self.attempts += 1
            if rediq.current_task().attempt == 1:
                raise ValueError("the first time")
            self.ran.append(n)

        @self.app.task("begin")
        async def begin() -> None:
            pass

    async def run(
        self,
        store: Any,
        enqueue: Callable[[rediq.Client], Awaitable[list[rediq.TaskHandle[Any]]]],
    ) -> list[rediq.TaskInfo]:
        """Enqueue, then serve until all have ended; return how each ended, in their order."""
        prefix = (
            {} if isinstance(store, MemoryStore) else {"key_prefix": f"line-{uuid.uuid4().hex[:8]}"}
        )
        async with rediq.connect(store, **prefix) as client:
            handles = await enqueue(client)
            async with rediq.serve(self.app, store, concurrency=1, **prefix):
                with trio.fail_after(WITHIN):
                    for handle in handles:
                        await handle.wait()
            return [await handle.info() for handle in handles]


def tasks(kind: str = "stand", **options: Any) -> list[rediq.Task[Any]]:
    return [rediq.Task(kind, {"n": n}, id=f"job-{n}", **options) for n in range(MANY)]


async def delayed(store: Any) -> None:
    line = Line()
    infos = await line.run(store, lambda client: client.enqueue_many(tasks(delay=1)))
    assert len({info.run_at for info in infos}) == 1
    assert line.ran == [*range(MANY)]


async def retried(store: Any) -> None:
    line = Line()
    infos = await line.run(store, lambda client: client.enqueue_many(tasks("stumble")))
    assert line.attempts == 2 * MANY
    assert line.ran == sorted(range(MANY), key=lambda n: (infos[n].run_at, n))


async def dependent(store: Any) -> None:
    async def enqueue(client: rediq.Client) -> list[rediq.TaskHandle[Any]]:
        first = await client.enqueue(rediq.Task("begin", {}))
        return await client.enqueue_many(tasks(depends_on=first.id))

    line = Line()
    await line.run(store, enqueue)
    assert line.ran == [*range(MANY)]


async def in_a_workflow(store: Any) -> None:
    async def enqueue(client: rediq.Client) -> list[rediq.TaskHandle[Any]]:
        flow: rediq.Workflow[Any] = rediq.Workflow()
        first = flow.add(rediq.Task("begin", {}))
        for task in tasks():
            flow.add(task, after=first)
        await client.enqueue(flow)
        return [client.task(f"default/job-{n}") for n in range(MANY)]

    line = Line()
    await line.run(store, enqueue)
    assert line.ran == [*range(MANY)]


each_story = pytest.mark.parametrize("story", [delayed, retried, dependent, in_a_workflow])


@each_story
@pytest.mark.mock_clock
async def test_tasks_run_as_they_were_enqueued_in_memory(
    story: Callable[[Any], Awaitable[None]],
) -> None:
    await story(MemoryStore(clock=lambda: 1_000_000 + round(trio.current_time() * 1000)))


@each_story
async def test_tasks_run_as_they_were_enqueued_on_redis(
    story: Callable[[Any], Awaitable[None]], redis_server: Server
) -> None:
    await story(redis_server.url)
