from __future__ import annotations

import pytest
import trio

from rediq_trio import State
from rediq_trio.worker import keeper as keeping
from rediq_trio.worker.keeper import Keeper
from rediq_trio.worker.leases import Book
from tests.actors.parts import LEASE, Q, Watched, claim, new_task, states

pytestmark = pytest.mark.mock_clock

def keeper(store: Watched) -> Keeper:
    return Keeper(store, (Q,), dead_retention=300.0, max_dead=100)


async def test_a_delayed_task_is_ready_at_its_time() -> None:
    store = Watched()
    await store.enqueue(Q, [new_task(id="t", delay_ms=7_300)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(7.29)
        assert (await states(store))["t"] is State.SCHEDULED
        await trio.sleep(0.02)
        assert (await states(store))["t"] is State.PENDING
        nursery.cancel_scope.cancel()


async def test_a_task_due_sooner_than_it_knew_is_not_late() -> None:
    store = Watched()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(1)
        await store.enqueue(Q, [new_task(id="t", delay_ms=500)])
        await trio.sleep(0.51)
        assert (await states(store))["t"] is State.PENDING
        nursery.cancel_scope.cancel()


async def test_however_many_are_due_all_are_promoted_at_once() -> None:
    store = Watched()
    for _ in range(3):
        await store.enqueue(Q, [new_task(delay_ms=1000) for _ in range(keeping.LIMIT)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(1.01)
        assert set((await states(store)).values()) == {State.PENDING}
        nursery.cancel_scope.cancel()


async def test_a_lapsed_lease_is_reclaimed_within_five_seconds() -> None:
    store = Watched()
    await store.enqueue(Q, [new_task(id="t")])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(1)
        await claim(store, Book())
        await trio.sleep(LEASE - 0.1)
        assert (await states(store))["t"] is State.ACTIVE
        await trio.sleep(5.1)
        assert (await states(store))["t"] is State.PENDING
        nursery.cancel_scope.cancel()


async def test_expired_tasks_are_buried_and_finished_ones_purged() -> None:
    store = Watched()
    await store.enqueue(Q, [new_task(id="old", expires_in_ms=20_000)])
    await store.enqueue(Q, [new_task(id="done", retention_ms=60_000)])
    await store.cancel(Q, "done")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(20 + keeping.OTHERS_EVERY)
        assert await states(store) == {"old": State.DEAD, "done": State.CANCELLED}
        await trio.sleep(60)
        assert await states(store) == {"old": State.DEAD}
        await trio.sleep(300)
        assert await states(store) == {}
        nursery.cancel_scope.cancel()


async def test_an_idle_one_hardly_asks() -> None:
    store = Watched()
    with trio.move_on_after(1000):
        await keeper(store).run()
    assert len(store.calls) < 650


async def test_it_goes_on_when_redis_comes_back() -> None:
    store = Watched()
    await store.enqueue(Q, [new_task(id="t", delay_ms=1000)])
    store.away = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(60)
        store.away = False
        await trio.sleep(1)
        assert (await states(store))["t"] is State.PENDING
        nursery.cancel_scope.cancel()
