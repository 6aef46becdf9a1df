"""What a server refuses for its size fails that one call, and is not sent for ever."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import PayloadTooLarge
from rediq_trio.store.redis.connection.replies import LARGE_COMMAND
from tests.servers import Server, open_redis_store

TAKEN_MAX = 1024 * 1024
"""Bytes of an argument that the server takes: the least that can be set."""
LARGE = "x" * (3 * TAKEN_MAX)


@asynccontextmanager
async def client_of(server: Server) -> AsyncGenerator[rediq.Client]:
    """A client that sends what the server does not take."""
    async with open_redis_store(server) as opened:
        await opened.gateway.call(b"CONFIG", b"SET", b"proto-max-bulk-len", TAKEN_MAX)
        try:
            async with rediq.connect(
                server.url, key_prefix="test", max_payload=10 * TAKEN_MAX
            ) as client:
                yield client
        finally:
            await opened.gateway.call(b"CONFIG", b"SET", b"proto-max-bulk-len", 512 * 1024 * 1024)


async def test_a_task_that_the_server_does_not_take_is_too_large(server: Server) -> None:
    async with client_of(server) as client:
        with pytest.raises(PayloadTooLarge, match=r"queue q: .* 3,\d{3},\d{3} bytes"):
            await client.enqueue(rediq.Task("t", LARGE, queue="q"))
        handle = await client.enqueue(rediq.Task("t", "small", queue="q"))
        assert (await handle.info()).state is rediq.State.PENDING


async def test_calls_beside_it_are_carried_out(server: Server) -> None:
    async with client_of(server) as client:
        await client.queue("q").stats()
        handles: list[rediq.TaskHandle[None]] = []
        refused: list[PayloadTooLarge] = []

        async def enqueue(payload: str) -> None:
            try:
                handles.append(await client.enqueue(rediq.Task("t", payload, queue="q")))
            except PayloadTooLarge as error:
                refused.append(error)

        async with trio.open_nursery() as nursery:
            for payload in ("a", LARGE, "b", "c", LARGE, "d"):
                nursery.start_soon(enqueue, payload)
        assert len(refused) == 2
        assert (await client.queue("q").stats()).pending == len(handles) == 4


@asynccontextmanager
async def losing_proxy(server: Server) -> AsyncGenerator[str]:
    """A way to the server that cuts a connection which has carried too much, without a reply."""

    async def relay(client: trio.SocketStream) -> None:
        carried = 0

        async def pump_up() -> None:
            nonlocal carried
            async for data in client:
                carried += len(data)
                await upstream.send_all(data)
            nursery.cancel_scope.cancel()

        async with client, await trio.open_unix_socket(server.socket) as upstream:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(pump_up)
                    async for data in upstream:
                        if carried > LARGE_COMMAND and b"Protocol error" in data:
                            break
                        await client.send_all(data)
                    nursery.cancel_scope.cancel()
            except* trio.BrokenResourceError:
                pass  # one side is gone, and the other is closed with it

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, relay, 0)
        yield f"redis://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_a_refusal_that_is_lost_with_its_connection_is_asked_for_again(
    server: Server,
) -> None:
    async with (
        client_of(server),
        losing_proxy(server) as url,
        rediq.connect(url, key_prefix="test", max_payload=10 * TAKEN_MAX) as client,
    ):
        with pytest.raises(PayloadTooLarge, match=r"queue q: .* 3,\d{3},\d{3} bytes"):
            await client.enqueue(rediq.Task("t", LARGE, queue="q"))
        await client.enqueue(rediq.Task("t", "small", queue="q"))
        assert (await client.queue("q").stats()).pending == 1


async def test_a_result_that_the_server_does_not_take_fails_its_task_and_nothing_else(
    server: Server,
) -> None:
    app = rediq.App()

    @app.task("large", queue="q", max_retry=3)
    async def large() -> str:
        return LARGE

    @app.task("small", queue="q")
    async def small() -> str:
        return "small"

    async with client_of(server) as client:
        options = {"queues": ["q"], "key_prefix": "test", "max_result": 10 * TAKEN_MAX}
        tasks = [small.task(), large.task(), small.task(), large.task(), small.task()]
        handles = await client.enqueue_many(tasks)
        async with rediq.serve(app, server.url, **options) as worker:
            for n, handle in enumerate(handles):
                if n % 2:
                    with pytest.raises(rediq.TaskFailed, match=r"result.* 3,\d{3},\d{3} bytes"):
                        await handle.result(timeout=20)
                    assert (await handle.info()).attempt == 1
                else:
                    assert await handle.result(timeout=20) == "small"
            later = await client.enqueue(small.task())
            assert await later.result(timeout=20) == "small"
            assert worker.health().ready
