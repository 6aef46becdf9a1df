from __future__ import annotations

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConnectionLost, MemoryStore, Unconfirmed
from rediq_trio.serve import _open
from rediq_trio.settings import Settings
from rediq_trio.store.redis.store import RedisStore
from tests.actors.parts import Watched
from tests.servers import Server


@pytest.mark.mock_clock
async def test_a_burst_waits_for_the_retries() -> None:
    app, store = rediq.App(), MemoryStore()
    attempts: list[float] = []

    @app.task("flaky", max_retry=1, backoff=rediq.Fixed(5.0))
    async def flaky() -> None:
        attempts.append(trio.current_time())
        if len(attempts) == 1:
            raise ValueError("once")

    async with rediq.connect(store) as client:
        handle = await client.enqueue(flaky.task())
        async with rediq.serve(app, store, burst=True) as server:
            await server.wait_stopped()
        assert len(attempts) == 2
        assert (await handle.info()).state is rediq.State.COMPLETED


@pytest.mark.mock_clock
async def test_a_burst_outlives_an_outage_that_is_longer_than_its_patience() -> None:
    app, store = rediq.App(), Watched()

    @app.task("slow", backoff=rediq.Fixed(30.0))
    async def slow() -> None:
        if rediq.current_task().attempt == 1:
            raise rediq.Retry

    async with rediq.connect(store) as client:
        handle = await client.enqueue(slow.task())
        async with rediq.serve(app, store, burst=True, patience=1) as server:
            await trio.sleep(1)
            store.away = True
            await trio.sleep(15)
            store.away = False
            await server.wait_stopped()
        assert (await handle.info()).state is rediq.State.COMPLETED


async def test_a_worker_waits_for_as_many_replicas_as_it_is_told(redis_server: Server) -> None:
    settings = Settings(durability="replicated", replicas=3, key_prefix="three-replicas")
    async with _open(settings, redis_server.url, None) as store:
        with pytest.raises(Unconfirmed, match="0 of 3 replicas have it"):
            await store.pause("q")


async def test_a_short_lease_shortens_the_wait_for_an_answer(redis_server: Server) -> None:
    async with rediq.serve(rediq.App(), redis_server.url, lease=1.0) as server:
        store = server.client._store
        assert isinstance(store, RedisStore)
        with pytest.raises(ConnectionLost, match="no answer for 1 s"):
            await store._gateway.call(b"DEBUG", b"SLEEP", b"2")


@pytest.mark.mock_clock
async def test_a_server_is_not_idle_while_a_task_waits_for_its_queue() -> None:
    app = rediq.App()

    @app.task("noop")
    async def noop() -> None: ...

    async with rediq.serve(app, "memory://") as server:
        queue = server.client.queue("default")
        await queue.pause()
        await server.client.enqueue(noop.task())
        with trio.move_on_after(5) as waiting:
            await server.wait_idle()
        assert waiting.cancelled_caught
        await queue.resume()
        with trio.fail_after(5):
            await server.wait_idle()


@pytest.mark.mock_clock
async def test_a_burst_waits_for_messages_to_other_queues() -> None:
    app, store = rediq.App(), Watched()

    @app.task("noop")
    async def noop() -> None: ...

    async with rediq.connect(store) as client:
        first = await client.enqueue(noop.options(queue="left").task())
        last = await client.enqueue(noop.options(queue="right", depends_on=first).task())
        # The end of the first stays in the outbox for a while.
        store.delay = lambda name: 2.0 if name == "outbox" else 0.0
        async with rediq.serve(app, store, queues=["left", "right"], burst=True) as server:
            await server.wait_stopped()
        assert (await last.info()).state is rediq.State.COMPLETED
