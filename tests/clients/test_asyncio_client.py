"""Asyncio clients: cancellation, timeouts, many callers, and where they cannot be used."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import Generator
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, ConnectionLost, MemoryStore, Task
from tests.clients.kinds import active, client_threads, run_asyncio, silent_server
from tests.servers import Server


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Generator[None]:
    yield
    gc.collect()
    for thread in client_threads():
        thread.join(30)
    assert [*client_threads()] == []


def test_many_tasks_use_one_client(redis_server: Server) -> None:
    async def main() -> None:
        prefix = f"clients-{uuid.uuid4().hex[:12]}"
        async with rediq.asyncio.connect(redis_server.url, key_prefix=prefix) as client:
            handles = await asyncio.gather(
                *(client.enqueue(Task("t", {"n": n})) for n in range(500))
            )
            assert len({handle.id for handle in handles}) == 500
            assert (await client.queue("default").stats()).pending == 500

    run_asyncio(main)


def test_a_cancelled_task_cancels_its_call_first() -> None:
    async def main() -> None:
        async with rediq.asyncio.connect("memory://") as client:
            handle = await client.enqueue(Task("t"))
            waiting = asyncio.create_task(handle.result())
            while active(client) == 0:
                await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert active(client) == 0
            assert (await handle.info()).state == "pending"

    run_asyncio(main)


def test_a_task_that_is_cancelled_before_its_call_began_makes_no_call() -> None:
    async def main() -> None:
        async with rediq.asyncio.connect("memory://") as client:
            enqueueing = asyncio.create_task(client.enqueue(Task("t")))
            await asyncio.sleep(0)
            enqueueing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await enqueueing
            assert await client.queues() == []

    run_asyncio(main)


def test_asyncios_timeout_ends_a_wait() -> None:
    async def main() -> None:
        async with rediq.asyncio.connect("memory://") as client:
            handle = await client.enqueue(Task("t"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await handle.result()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(handle.wait(), 0.1)
            assert active(client) == 0
            with pytest.raises(trio.TooSlowError, match="is pending"):
                await handle.result(timeout=0.1)

    run_asyncio(main)


def test_a_task_group_that_fails_cancels_the_calls_of_the_others() -> None:
    async def main() -> None:
        async with rediq.asyncio.connect("memory://") as client:
            handle = await client.enqueue(Task("t"))
            with pytest.raises(ExceptionGroup) as found:
                async with asyncio.TaskGroup() as group:
                    group.create_task(handle.result())
                    group.create_task(client.task("q/none").info())
            assert [type(error) for error in found.value.exceptions] == [rediq.TaskNotFound]
            assert active(client) == 0

    run_asyncio(main)


def test_a_client_of_another_loop_and_a_closed_one_are_refused() -> None:
    kept: list[Any] = []

    async def elsewhere() -> None:
        with pytest.raises(ConfigError, match="opened in another event loop: open one in each"):
            await kept[0].queues()

    async def main() -> None:
        async with rediq.asyncio.connect("memory://") as client:
            kept.append(client)
            await asyncio.to_thread(run_asyncio, elsewhere)
        with pytest.raises(
            ConfigError, match=r"is closed: open another with rediq.asyncio.connect"
        ):
            await client.queues()

    run_asyncio(main)


def test_a_call_that_runs_when_the_block_is_left_raises_connection_lost() -> None:
    async def main() -> None:
        async with rediq.asyncio.connect("memory://") as client:
            handle = await client.enqueue(Task("t"))
            waiting = asyncio.create_task(handle.result())
            while active(client) == 0:
                await asyncio.sleep(0.01)
        with pytest.raises(ConnectionLost, match="closed during the call"):
            await waiting

    run_asyncio(main)


async def test_it_names_the_client_to_use_inside_trio() -> None:
    with pytest.raises(ConfigError, match=r"inside Trio, use rediq.connect\(\)"):
        async with rediq.asyncio.connect("memory://"):
            pass


def test_a_client_that_cannot_be_opened_raises_what_connect_raises() -> None:
    async def main() -> None:
        with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1:1"):
            async with rediq.asyncio.connect("redis://127.0.0.1:1"):
                pass
        with pytest.raises(ConfigError, match="url="):
            async with rediq.asyncio.connect("nothing"):
                pass

    run_asyncio(main)


def test_opening_can_be_cancelled() -> None:
    async def main() -> None:
        with silent_server() as url, pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), rediq.asyncio.connect(url):
                pass

    run_asyncio(main)


def test_an_exception_of_the_block_is_raised_unchanged() -> None:
    mine = ZeroDivisionError()

    async def main() -> None:
        async with rediq.asyncio.connect("memory://"):
            raise mine

    with pytest.raises(ZeroDivisionError) as found:
        run_asyncio(main)
    assert found.value is mine


def test_a_block_that_is_cancelled_closes_the_client() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), rediq.asyncio.connect(MemoryStore()):
                await asyncio.sleep(60)

    run_asyncio(main)


@pytest.mark.parametrize("opens", [rediq.connect, lambda url: rediq.serve(rediq.App(), url)])
def test_connect_and_serve_under_asyncio_name_what_to_use(opens: Any) -> None:
    async def main() -> None:
        async with opens("memory://"):
            pass

    said = r"needs Trio, by trio.run\(\): .*rediq.asyncio.connect\(\).*rediq.connect_sync\(\)"
    with pytest.raises(ConfigError, match=said):
        run_asyncio(main)
    said = r"entered by `async with`, in Trio.*connect_sync\(\)"
    with pytest.raises(ConfigError, match=said), opens("memory://"):
        pass
