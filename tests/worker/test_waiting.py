"""Handlers that wait for other tasks: a worker whose handlers all wait goes on."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, State

mocked = pytest.mark.mock_clock
app = rediq.App()


@app.task("nested", timeout=1000, max_retry=0)
async def nested(depth: int, how: str) -> int:
    if not depth:
        return 0
    client, child = rediq.current_task().client, nested.task(depth - 1, how)
    match how:
        case "result":
            return 1 + await (await client.enqueue(child)).result()
        case "wait":
            return 1 + int((await (await client.enqueue(child)).wait()).result)
        case "workflow":
            handle = await client.enqueue(rediq.chain(child, leaf.task()))
            assert await handle.result() == "leaf"
            done = await handle.wait()
            return 1 + int(done.tasks["nested"].result)
        case _:
            handle = await client.enqueue(child)
            async for _ in handle.progress():
                pass
            return 1 + await handle.result()


@app.task("leaf")
async def leaf(seconds: float = 0) -> str:
    await trio.sleep(seconds)
    return "leaf"


@app.task("threaded", timeout=200, max_retry=0)
def threaded(depth: int) -> int:
    async def ask() -> int:
        handle = await rediq.current_task().client.enqueue(threaded.task(depth - 1))
        return await handle.result()

    return 1 + trio.from_thread.run(ask) if depth else 0


@app.task("own trio", timeout=200, max_retry=0)
def own_trio(url: str, depth: int) -> int:
    async def ask() -> int:
        async with rediq.connect(url) as client:
            return await (await client.enqueue(own_trio.task(url, depth - 1))).result()

    return 1 + trio.run(ask) if depth else 0


@app.task("parent", timeout=1000, max_retry=0)
async def parent(options: dict[str, Any], patience: float | None = None) -> str:
    child = await rediq.current_task().client.enqueue(leaf.options(**options).task())
    try:
        return await child.result(patience)
    except trio.TooSlowError:
        return "too slow"


@app.task("busy", timeout=1000)
async def busy(seconds: float) -> None:
    await trio.sleep(seconds)


@asynccontextmanager
async def served(**options: Any) -> AsyncGenerator[rediq.Server]:
    async with rediq.serve(app, MemoryStore(), **options) as server:
        yield server


def lending(server: rediq.Server) -> int:
    return server._worker.lease_table.slots.lending


@mocked
@pytest.mark.parametrize("prefetch", ["auto", 0, 5])
@pytest.mark.parametrize("how", ["result", "wait", "workflow", "progress"])
async def test_nested_waits_end_with_one_slot_at_any_depth(how: str, prefetch: Any) -> None:
    async with served(concurrency=1, prefetch=prefetch) as server:
        handle = await server.client.enqueue(nested.task(60, how))
        with trio.fail_after(900):
            assert await handle.result() == 60
        await server.wait_idle()
        assert (lending(server), server.stats().failed) == (0, 0)


async def test_two_hundred_nested_waits_of_plain_functions_end_with_one_thread() -> None:
    async with served(concurrency=1, threads=1) as server:
        handle = await server.client.enqueue(threaded.task(200))
        assert await handle.result(timeout=120) == 200
        limiter = server._worker.executor.attempts.threads
        await server.wait_idle()
        assert (lending(server), limiter.total_tokens, limiter.borrowed_tokens) == (0, 1, 0)


@mocked
async def test_as_many_attempts_work_as_there_are_slots_while_others_wait() -> None:
    async with served(concurrency=2) as server:
        waits = [await server.client.enqueue(parent.task({"delay": 5.0})) for _ in range(10)]
        await trio.sleep(1)
        assert (server.stats().running, lending(server)) == (10, 10)
        works = [await server.client.enqueue(busy.task(100)) for _ in range(6)]
        await trio.sleep(1)
        assert server.stats().running - lending(server) == 2
        for handle in (*waits, *works):
            await handle.wait()
        assert lending(server) == 0


@mocked
async def test_a_parent_continues_at_once_and_nothing_starts_until_there_is_room() -> None:
    async with served(concurrency=1, prefetch=0) as server:
        handle = await server.client.enqueue(parent.task({"delay": 50.0}, 5.0))
        await trio.sleep(1)
        working = await server.client.enqueue(busy.task(20))
        await trio.sleep(1)
        waiting = await server.client.enqueue(busy.task(1))
        # Its wait is over while another task has its slot.
        assert await handle.result() == "too slow"
        assert (await working.info()).state is State.ACTIVE
        assert (await waiting.info()).state is State.PENDING
        await trio.sleep(5)
        assert (await waiting.info()).state is State.PENDING
        assert server.stats().held == 1
        await working.wait()
        await waiting.wait()


@mocked
async def test_a_cancelled_wait_takes_the_slot_back() -> None:
    async with served(concurrency=1) as server:
        handle = await server.client.enqueue(parent.task({"delay": 500.0}))
        await trio.sleep(1)
        assert lending(server) == 1
        await handle.cancel()
        assert (await handle.wait()).state is State.CANCELLED
        assert lending(server) == 0


@mocked
async def test_several_waits_of_one_handler_lend_one_slot() -> None:
    own = rediq.App()

    @own.task("wide", timeout=1000)
    async def wide() -> int:
        client = rediq.current_task().client
        handles = [await client.enqueue(late.options(delay=n).task()) for n in range(1, 6)]
        async with trio.open_nursery() as nursery:
            for handle in handles:
                nursery.start_soon(handle.result)
        return len(handles)

    @own.task("late")
    async def late() -> None:
        await trio.sleep(0.1)

    async with rediq.serve(own, MemoryStore(), concurrency=1) as server:
        handle = await server.client.enqueue(wide.task())
        await trio.sleep(0.5)
        for _ in range(5):
            assert lending(server) == 1
            await trio.sleep(0.9)
        assert await handle.result() == 5
        assert lending(server) == 0


@mocked
async def test_a_wait_that_outlives_its_handler_lends_nothing() -> None:
    own = rediq.App()

    @own.task("starter")
    async def starter(late: bool) -> None:
        client = rediq.current_task().client
        handle = await client.enqueue(never.options(delay=1000).task())

        async def wait() -> None:
            await trio.sleep(10 if late else 0)
            await handle.wait()

        outer.start_soon(wait)
        await trio.sleep(1)

    @own.task("never")
    async def never() -> None: ...

    async with trio.open_nursery() as outer, rediq.serve(own, MemoryStore()) as server:
        for late in (False, True):
            await (await server.client.enqueue(starter.task(late))).result()
            await trio.sleep(20)
            assert lending(server) == 0
        outer.cancel_scope.cancel()


@mocked
async def test_a_handler_that_waits_for_room_lends_its_slot() -> None:
    own = rediq.App()

    @own.task("filler", timeout=1000, max_retry=0)
    async def filler() -> None:
        client = rediq.current_task().client
        for _ in range(5):
            await client.enqueue(work.task(), wait=True)

    @own.task("work")
    async def work() -> None: ...

    async with rediq.serve(own, MemoryStore(), concurrency=1) as server:
        await server.client.queue("default").limit(max_pending=1)
        await (await server.client.enqueue(filler.task())).result(timeout=900)
        await server.wait_idle()
        assert (await server.client.queue("default").stats()).completed_total == 6


@mocked
@pytest.mark.parametrize("key", ["", "tenant", "any"])
async def test_a_permit_is_not_lent_and_the_log_says_who_holds_it(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "rediq_trio")
    options = {"limit_key": key} if key else {}
    async with served(concurrency=1) as server:
        limited = {"": None, "tenant": "tenant", "any": "*"}[key]
        await server.client.queue("default").limit(key=limited, concurrency=1)
        handle = await server.client.enqueue(parent.options(**options).task(options, 60.0))
        assert await handle.result() == "too slow"
    (told,) = caplog.messages
    (child,) = [one for one in told.split() if one.startswith("default/") and handle.id not in one]
    assert told.startswith(
        f"task {handle.id} waits for {child} which cannot start: all permits of the "
    )
    assert ("limit key" if key else "queue default") in told
    assert f"(1) are taken, 1 of them by tasks that wait for others: {handle.id}. " in told


@mocked
async def test_a_child_that_waits_for_other_reasons_is_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "rediq_trio")
    async with served(concurrency=1) as server:
        queue = server.client.queue("default")
        await queue.limit(concurrency=3)
        await queue.limit(key="*", concurrency=1)
        options = {"limit_key": "b"}
        handle = await server.client.enqueue(
            parent.options(limit_key="a").task({**options, "queue": "elsewhere"}, 60.0)
        )
        same_queue = await server.client.enqueue(
            parent.options(limit_key="c").task({**options, "delay": 30.0})
        )
        assert await handle.result() == "too slow"
        assert await same_queue.result() == "leaf"
    assert caplog.messages == []


async def test_a_plain_function_that_runs_trio_itself_lends_its_slot(redis_server: Any) -> None:
    url = redis_server.url
    async with rediq.serve(app, url, concurrency=1, threads=1) as server:
        handle = await server.client.enqueue(own_trio.task(url, 3))
        assert await handle.result(timeout=60) == 3
        assert lending(server) == 0
