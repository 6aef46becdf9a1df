"""When the keeper samples a queue, and what it says that it has seen."""

from __future__ import annotations

import datetime as dt

import pytest
import trio

from rediq_trio.admin.queue import Queue
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.worker.keeping.keeper import Keeper
from rediq_trio.worker.keeping.sampler import Sampler
from tests.actors.parts import Q, Watched, new_task

pytestmark = pytest.mark.mock_clock
HOUR = dt.timedelta(hours=1)


async def test_what_changes_is_sampled_within_ten_seconds() -> None:
    store = Watched()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Keeper(store, (Q,), dead_retention=300.0, max_dead=100).run)
        await trio.sleep(3600)
        for n in range(3):
            await store.enqueue(Q, [new_task(id=f"t{n}")])
            await trio.sleep(11)
            assert (await store.dump(Q)).series.last.numbers[0] == n + 1
            await store.delete(Q, [f"t{n}"])
            await trio.sleep(7200)
        nursery.cancel_scope.cancel()
    assert (await Queue(store, Q).series(dt.timedelta(hours=5))).gaps == ()


async def test_an_idle_queue_costs_no_call() -> None:
    store = Watched()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Keeper(store, (Q,), dead_retention=300.0, max_dead=100).run)
        await trio.sleep(600)
        before = store.count("sample")
        await trio.sleep(24 * 3600)
        assert store.count("sample") == before <= 2
        nursery.cancel_scope.cancel()
    assert (await store.dump(Q)).series.chunks == {}


async def test_two_keepers_take_one_sample_a_step() -> None:
    store = Watched()
    await store.enqueue(Q, [new_task(id="t")])
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(Keeper(store, (Q,), dead_retention=300.0, max_dead=100).run)
        await trio.sleep(60)
        for n in range(30):
            await store.enqueue(Q, [new_task(id=f"t{n}")])
            await trio.sleep(5)
        await trio.sleep(11)
        nursery.cancel_scope.cancel()
    found = await Queue(store, Q).series(HOUR)
    assert sum(point.enqueued for point in found.points[-18:]) == 30
    assert max(point.enqueued for point in found.points[-18:]) <= 4


async def test_while_no_worker_runs_there_is_a_gap() -> None:
    store = Watched()
    for n in range(2):
        await store.enqueue(Q, [new_task(id=f"t{n}")])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Keeper(store, (Q,), dead_retention=300.0, max_dead=100).run)
            await trio.sleep(30)
            nursery.cancel_scope.cancel()
        await trio.sleep(300)
    first, second = (await Queue(store, Q).series(HOUR)).gaps
    assert [first.enqueued, second.enqueued] == [1, 1]
    assert dt.timedelta(seconds=280) < second.until - second.since < dt.timedelta(seconds=360)


async def test_signals_that_may_be_lost_make_the_time_since_the_last_look_unseen() -> None:
    store = Watched()
    sampler = Sampler(store, Q)
    await sampler.step()
    await trio.sleep(100)
    sampler.handle_signal(Signal(Q, SignalKind.WAKE))
    await trio.sleep(3)
    assert sampler._unseen_ms(trio.current_time()) == 3_000
    sampler.handle_signal(Signal(Q, SignalKind.RESYNC))
    assert sampler._unseen_ms(trio.current_time()) == 103_000
