from __future__ import annotations

import pytest
import trio
import trio.testing

import rediq_trio as rediq
from rediq_trio import MemoryStore, State, Task, TaskInfo
from rediq_trio.store.broadcast import Broadcast, Signal, SignalKind

pytestmark = pytest.mark.mock_clock


async def test_a_resync_makes_a_waiter_read_at_once() -> None:
    store = MemoryStore()
    broadcast = store._broadcast
    ended: list[TaskInfo] = []
    async with rediq.connect(store) as client, trio.open_nursery() as nursery:
        handle = await client.enqueue(Task("noop", {}))

        async def wait() -> None:
            ended.append(await handle.wait(timeout=60))

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        store._broadcast = Broadcast()  # nobody hears of what comes now
        await handle.cancel()
        await trio.sleep(0.1)
        assert ended == []
        broadcast.publish(Signal("default", SignalKind.RESYNC))
        await trio.sleep(0.1)
        assert [info.state for info in ended] == [State.CANCELLED]
