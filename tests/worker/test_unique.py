"""Unique keys under racing producers and workers."""

from __future__ import annotations

import itertools
from datetime import timedelta

import trio

import rediq_trio as rediq
from rediq_trio import State, Unique
from tests.servers import Server
from tests.worker.twin import check_sound, twins


async def test_of_one_key_one_task_at_a_time_runs(redis_server: Server) -> None:
    app = rediq.App()
    running, most, ran = 0, 0, 0

    @app.task("work", unique=Unique("key", on_conflict="return"))
    async def work() -> None:
        nonlocal running, most, ran
        running += 1
        ran += 1
        most = max(most, running)
        await trio.sleep(0.003)
        running -= 1

    made: set[str] = set()

    async def produce(client: rediq.Client) -> None:
        for _ in range(100):
            handle = await client.enqueue(work.task())
            if handle.created:
                made.add(handle.id)

    async with twins(app, redis_server) as clients:
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(produce, client)
                nursery.start_soon(produce, client)
        for task_id in made:
            await client.task(task_id).wait(timeout=10)
        stats = await client.queue("default").stats()
        assert stats.enqueued == stats.completed_total == len(made) == ran
        assert 1 < len(made) < 400
        assert most == 1
        await check_sound(client)


async def test_of_many_at_once_all_but_one_are_refused_by_the_same(redis_server: Server) -> None:
    app = rediq.App()
    holders: list[str] = []

    async def produce(client: rediq.Client) -> None:
        try:
            await client.enqueue(rediq.Task("t", unique=Unique("key"), delay=60))
        except rediq.DuplicateTask as duplicate:
            holders.append(duplicate.existing_id)

    async with twins(app, redis_server) as clients:
        async with trio.open_nursery() as nursery:
            for n in range(200):
                nursery.start_soon(produce, clients[n % 2])
        assert len(holders) == 199
        assert len(set(holders)) == 1
        assert (await clients[0].queue("default").stats()).enqueued == 1


async def test_debounced_it_runs_once_with_what_came_last(redis_server: Server) -> None:
    app = rediq.App()
    got: list[int] = []

    @app.task("save", delay=1.5, unique=Unique("document", on_conflict="replace"))
    async def save(version: int) -> None:
        got.append(version)

    async with twins(app, redis_server) as clients:
        for version in range(20):
            handle = await clients[version % 2].enqueue(save.task(version))
            await trio.sleep(0.02)
        assert got == []
        await handle.result(timeout=10)
        assert got == [19]
        again = await clients[0].enqueue(save.task(20))
        assert again.created is True
        await again.result(timeout=10)
        assert got == [19, 20]
        await check_sound(clients[0])


async def test_throttled_it_runs_once_in_each_window(redis_server: Server) -> None:
    app = rediq.App()
    ran = 0

    @app.task("refresh", unique=Unique("key", until="expired", ttl=0.5, on_conflict="return"))
    async def refresh() -> None:
        nonlocal ran
        ran += 1

    async with twins(app, redis_server) as clients:
        calls = 0
        made: list[rediq.TaskHandle[None]] = []
        with trio.fail_after(10):
            while len(made) < 3:
                for client in clients:
                    handle = await client.enqueue(refresh.task())
                    made += [handle] * handle.created
                    calls += 1
                await trio.sleep(0.01)
            created = [(await handle.wait(timeout=10)).created_at for handle in made]
        assert calls > len(made) == ran
        gaps = [b - a for a, b in itertools.pairwise(created)]
        assert min(gaps) >= timedelta(seconds=0.5)
        await check_sound(clients[0])


async def test_a_window_until_the_start_leaves_room_for_one_behind_the_running(
    redis_server: Server,
) -> None:
    app = rediq.App()
    ran: list[int] = []
    go = trio.Event()

    @app.task("sync", unique=Unique("key", until="started", on_conflict="return"))
    async def sync(n: int) -> None:
        ran.append(n)
        await go.wait()

    async with twins(app, redis_server, concurrency=1, prefetch=0) as clients:
        first = await clients[0].enqueue(sync.task(0))
        with trio.fail_after(10):
            while not ran:
                await trio.sleep(0.01)
        for queue in await clients[0].queues():
            await clients[0].queue(queue).pause()
        handles = [await clients[n % 2].enqueue(sync.task(n)) for n in range(1, 5)]
        assert [handle.created for handle in handles] == [True, False, False, False]
        assert first.id not in {handle.id for handle in handles}
        await clients[0].queue("default").resume()
        go.set()
        await handles[0].result(timeout=10)
        assert ran == [0, 1]


async def test_a_key_is_free_again_however_its_task_ended(redis_server: Server) -> None:
    app = rediq.App()

    @app.task("fail", max_retry=0, unique=Unique("key"))
    async def fail() -> None:
        raise ValueError

    async with twins(app, redis_server) as (client, _):
        dead = await client.enqueue(fail.task())
        assert (await dead.wait(timeout=10)).state is State.DEAD
        await client.queue("default").pause()
        cancelled = await client.enqueue(fail.task())
        await cancelled.cancel()
        deleted = await client.enqueue(fail.task())
        await deleted.delete()
        await client.enqueue(fail.task())
        await client.queue("default").flush()
        assert (await client.enqueue(fail.task())).created is True
