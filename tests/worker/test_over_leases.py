"""No handler begins on a lease that is over by the local clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import trio
import trio.testing

import rediq_trio as rediq
from rediq_trio.worker.leases import margin
from tests.actors.parts import Bench, Watched, new_task

LEASE = 10.0


def block_loop(seconds: float) -> None:
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    clock.jump(seconds)


def app(begun: list[str], *, sync: bool = False) -> rediq.App:
    made = rediq.App()

    @made.task("block", max_retry=0)
    async def block(seconds: float) -> None:
        begun.append("block")
        await trio.sleep(0.5)
        block_loop(seconds)

    if sync:

        @made.task("next")
        def next_one() -> None:
            begun.append("next")
    else:

        @made.task("next")
        async def next_other() -> None:
            begun.append("next")

    return made


@pytest.mark.mock_clock
@pytest.mark.parametrize(
    ("seconds", "sync"),
    [
        (LEASE - margin(LEASE) - 2.0, False),
        (LEASE - margin(LEASE) - 0.49, False),
        (LEASE - margin(LEASE) - 0.49, True),
    ],
)
async def test_a_task_claimed_ahead_is_not_begun_once_its_lease_is_over(
    seconds: float, sync: bool
) -> None:
    begun: list[str] = []
    at = Bench(app(begun, sync=sync), concurrency=1, prefetch=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.executor.run)
        tasks = [new_task("block", {"seconds": seconds}), new_task("next", id="next")]
        await at.store.enqueue("work", tasks)
        asked = trio.current_time()
        claimed = await at.store.claim(
            "work", limit=2, lease_ms=round(LEASE * 1000), worker="w", nonce=b"12345678"
        )
        held = at.lease_table.add("work", claimed.leases, asked_at=asked, length=LEASE)
        at.leases.send_nowait(held)
        at.leases.close()
    over = {outcome.held.fence.id: outcome.written for outcome in at.over()}
    lost = seconds > LEASE - margin(LEASE) - 0.5
    assert (over["next"] is None, begun) == (lost, ["block"] if lost else ["block", "next"])


@pytest.mark.mock_clock
@pytest.mark.parametrize("sync", [False, True])
async def test_a_handler_is_not_called_when_its_middleware_took_the_whole_lease(sync: bool) -> None:
    begun: list[str] = []
    made = app(begun, sync=sync)

    @made.middleware
    async def slow(task: Any) -> AsyncGenerator[None]:
        block_loop(LEASE)
        yield

    store = Watched()
    async with rediq.serve(made, store, lease=LEASE, shutdown_grace=1) as server:
        await server.client.enqueue(rediq.Task("next", {}, id="t"))
        while not server.stats().stale:
            await trio.sleep(0.1)
        info = await server.client.task("default/t").info()
        assert info.attempt == (1 if info.state is rediq.State.ACTIVE else 0)
        assert begun == []


async def test_a_def_handler_is_not_called_when_no_thread_was_free_in_time() -> None:
    clock = trio.lowlevel.current_clock()
    assert clock is not None
    begun: list[str] = []
    at = Bench(app(begun, sync=True), concurrency=1)
    at.executor.attempts.threads = limiter = trio.CapacityLimiter(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.executor.run)
        async with limiter:
            (held,) = await at.give(new_task("next", id="next"))
            await trio.testing.wait_all_tasks_blocked()
            assert limiter.statistics().tasks_waiting == 1
            held.safe_until = trio.current_time()
        await trio.testing.wait_all_tasks_blocked(0.05)
        at.leases.close()
    (outcome,) = at.over()
    assert (outcome.written, begun) == (None, [])
