"""Plain `def` handlers. Under the real clock: a mocked one would jump while a thread works."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, State


async def test_a_plain_def_runs_in_a_thread_with_its_task_at_hand() -> None:
    app = rediq.App()

    @app.task("where")
    def where() -> list[object]:
        task = rediq.current_task()
        task.progress(30, "on the way")
        return [threading.current_thread() is threading.main_thread(), task.id, task.attempt]

    async with rediq.serve(app, MemoryStore()) as server:
        handle = await server.client.enqueue(where.task())
        assert await handle.result(timeout=10) == [False, handle.id, 1]
        progress = (await handle.info()).progress
    assert progress is not None
    assert (progress.percent, progress.message) == (30, "on the way")


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), StopIteration()])
async def test_what_a_thread_raises_fails_the_attempt(error: BaseException) -> None:
    app = rediq.App()

    @app.task("throw", max_retry=0)
    def throw() -> None:
        raise error

    async with rediq.serve(app, MemoryStore()) as server:
        handle = await server.client.enqueue(throw.task())
        info = await handle.wait(timeout=10)
    assert info.state is State.DEAD
    assert info.error is not None
    assert type(error).__name__ in info.error


async def test_a_thread_that_asks_can_be_cancelled() -> None:
    app = rediq.App()
    started = threading.Event()

    @app.task("patient")
    def patient() -> None:
        started.set()
        while True:
            trio.from_thread.check_cancelled()
            threading.Event().wait(0.01)

    async with rediq.serve(app, MemoryStore()) as server:
        handle = await server.client.enqueue(patient.task())
        await trio.to_thread.run_sync(started.wait)
        assert await handle.cancel() is State.ACTIVE
        assert (await handle.wait(timeout=10)).state is State.CANCELLED


async def test_a_thread_learns_why_it_is_cancelled() -> None:
    app = rediq.App()
    started = threading.Event()
    reasons: list[str | None] = []

    @app.task("curious")
    def curious() -> None:
        task = rediq.current_task()
        reasons.append(task.cancel_reason)
        started.set()
        while task.cancel_reason is None:
            threading.Event().wait(0.01)
        reasons.append(task.cancel_reason)
        trio.from_thread.check_cancelled()

    async with rediq.serve(app, MemoryStore()) as server:
        handle = await server.client.enqueue(curious.task())
        await trio.to_thread.run_sync(started.wait)
        await handle.cancel()
        assert (await handle.wait(timeout=10)).state is State.CANCELLED
    assert reasons == [None, "cancelled"]


async def test_no_more_threads_run_than_are_allowed() -> None:
    app = rediq.App()
    lock = threading.Lock()
    now = most = 0

    @app.task("count")
    def count() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.05)
        with lock:
            now -= 1

    async with rediq.serve(app, MemoryStore(), threads=2) as server:
        handles = await server.client.enqueue_many([count.task() for _ in range(6)])
        for handle in handles:
            await handle.result(timeout=10)
    assert most == 2


async def test_a_handler_in_a_thread_that_leaves_a_nursery_open_fails_its_attempt() -> None:
    app = rediq.App()
    stack = AsyncExitStack()

    @asynccontextmanager
    async def pool() -> AsyncGenerator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            yield

    @app.task("leave", max_retry=0)
    def leave() -> None:
        trio.from_thread.run(stack.enter_async_context, pool())

    @app.task("add")
    def add(a: int, b: int) -> int:
        return a + b

    async with rediq.serve(app, MemoryStore(), concurrency=1) as server:
        left = await server.client.enqueue(leave.task())
        added = await server.client.enqueue(add.task(1, 2))
        with pytest.raises(
            rediq.TaskFailed, match=r"left a nursery open, in which trio\.sleep_forever"
        ):
            await left.result(timeout=10)
        assert await added.result(timeout=10) == 3
