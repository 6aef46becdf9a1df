"""A store in memory is shared by Trio, asyncio and blocking clients and a worker, each in a thread."""

from __future__ import annotations

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, Task
from rediq_trio.store.broadcast import SignalKind
from rediq_trio.store.named_memory import named_store
from tests.clients.kinds import in_threads, on_trio, run_asyncio, worker

app = rediq.App()


@app.task("double")
async def double(n: int) -> int:
    rediq.current_task().progress(50, "half")
    return 2 * n


@pytest.mark.parametrize("named", [True, False])
def test_web_code_shares_a_store_with_a_worker(named: bool) -> None:
    store = "memory://shared" if named else MemoryStore()

    async def main() -> list[int]:
        async with rediq.asyncio.connect(store) as client:
            return [await (await client.enqueue(double.task(n))).result(60) for n in range(5)]

    with worker(app, store), rediq.connect_sync(store) as client:
        assert [client.enqueue(double.task(n)).result(60) for n in range(5)] == [0, 2, 4, 6, 8]
        assert run_asyncio(main) == [0, 2, 4, 6, 8]
        assert client.queue("default").check() == []
        assert client.queue("default").stats().completed == 10


def test_threads_lose_no_change_of_a_shared_store() -> None:
    store = MemoryStore()

    def produce(number: int) -> None:
        with rediq.connect_sync(store) as client:
            for n in range(50):
                client.enqueue(Task("t", {"n": n}, id=f"{number}-{n}"))

    in_threads(8, produce)
    with rediq.connect_sync(store) as client:
        assert client.queue("default").stats().enqueued == 400
        assert client.queue("default").check() == []


def test_a_name_lasts_as_long_as_a_client_that_has_opened_it() -> None:
    async def queues(client: rediq.Client) -> list[str]:
        return await client.queues()

    with rediq.connect_sync("memory://lasting") as client:
        client.enqueue(Task("t", queue="mine"))
        with rediq.connect_sync("memory://other") as other:
            assert other.queues() == []
        with rediq.connect_sync("memory://") as other:
            assert other.queues() == []
        assert on_trio(queues, "memory://lasting") == ["mine"]
    with rediq.connect_sync("memory://lasting") as client:
        assert client.queues() == []


def test_a_name_lasts_as_long_as_a_run_that_has_opened_it() -> None:
    async def main() -> None:
        kept = named_store("kept")
        assert named_store("kept") is kept
        assert await trio.to_thread.run_sync(trio.run, look) is kept
        assert named_store("kept") is kept

    async def look() -> MemoryStore:
        return named_store("kept")

    async def again() -> bool:
        return named_store("kept") in found

    found: list[MemoryStore] = []

    async def first() -> None:
        found.append(named_store("kept"))

    trio.run(main)
    trio.run(first)
    assert trio.run(again) is False


async def test_a_signal_reaches_the_listeners_of_another_run() -> None:
    store = MemoryStore()

    async def enqueue() -> None:
        async with rediq.connect(store) as client:
            await client.enqueue(Task("t"))

    with store.listen([("default", "")]) as signals:
        assert (await signals.receive()).kind is SignalKind.RESYNC
        await trio.to_thread.run_sync(trio.run, enqueue)
        with trio.fail_after(60):
            assert (await signals.receive()).kind is SignalKind.WAKE


async def test_a_run_that_has_ended_is_not_signalled() -> None:
    store = MemoryStore()

    async def listen() -> None:
        with store.listen([("default", "")]):
            pass

    await trio.to_thread.run_sync(trio.run, listen)
    async with rediq.connect(store) as client:
        await client.enqueue(Task("t"))
        assert store._broadcast._broadcasts == {}


def test_the_time_of_a_shared_store_never_goes_back() -> None:
    store = MemoryStore()

    async def now() -> int:
        return store._clock()

    async def later() -> int:
        store._clock()
        await trio.sleep(3600)
        return store._clock()

    begun = trio.run(now)
    ahead = trio.run(later, clock=trio.testing.MockClock(autojump_threshold=0))
    assert ahead - begun >= 3_600_000
    assert trio.run(now) == ahead
