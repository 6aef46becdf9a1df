from __future__ import annotations

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, Task


@pytest.mark.mock_clock
async def test_the_age_of_a_partitioned_queue_is_that_of_its_oldest_task() -> None:
    async with rediq.connect(MemoryStore()) as client:
        queue = client.queue("q")
        await queue.partition(4)
        # Own ids spread over the partitions, which differ in age and some of which are empty.
        for n in range(3):
            await client.enqueue(Task("noop", {}, queue="q", id=f"t{n}"))
            await trio.sleep(10)
        stats = await queue.stats()
        assert stats.pending == 3
        assert stats.oldest_pending_age == pytest.approx(30, abs=0.01)
        for n in range(200):
            await client.enqueue(Task("noop", {}, queue="q", id=f"more{n}"))
        assert (await queue.stats()).oldest_pending_age == pytest.approx(30, abs=0.01)


async def test_a_partitioned_queue_is_paused_when_all_its_partitions_are() -> None:
    store = MemoryStore()
    async with rediq.connect(store) as client:
        queue = client.queue("q")
        await queue.partition(2)
        await store.pause("q~1")
        assert not (await queue.stats()).paused
        await queue.pause()
        assert (await queue.stats()).paused
