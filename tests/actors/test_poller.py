from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
import trio

from rediq_trio import State
from rediq_trio.worker.flow import Flow
from rediq_trio.worker.leases import Book, Held
from rediq_trio.worker.poller import IDLE, Poller
from tests.actors.parts import LEASE, Q, Watched, new_task, states

pytestmark = pytest.mark.mock_clock


class Polling:
    def __init__(
        self,
        queues: Sequence[str] | Mapping[str, float] = (Q,),
        concurrency: int = 3,
        prefetch: int | None = 0,
    ) -> None:
        self.store = Watched()
        self.book = Book()
        self.flow = Flow(concurrency, prefetch)
        send, self.leases = trio.open_memory_channel[list[Held]](math.inf)
        self.waiting = 0
        self.poller = Poller(
            self.store, queues, "w", LEASE, self.book, self.flow, lambda: self.waiting, send
        )

    def claimed(self) -> list[str]:
        found: list[str] = []
        try:
            while True:
                found += [held.fence.id for held in self.leases.receive_nowait()]
        except (trio.WouldBlock, trio.EndOfChannel):
            return found


async def test_it_claims_what_there_is_room_for_and_no_more() -> None:
    at = Polling(concurrency=3)
    await at.store.enqueue(Q, [new_task(id=f"t{n}") for n in range(5)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(1)
        assert at.claimed() == ["t0", "t1", "t2"]
        for held in at.book:
            at.book.drop(held)
        await trio.sleep(1)
        assert at.claimed() == ["t3", "t4"]
        nursery.cancel_scope.cancel()


async def test_an_enqueue_wakes_it_at_once() -> None:
    at = Polling()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(1)
        begun = trio.current_time()
        await at.store.enqueue(Q, [new_task(id="t")])
        assert [held.fence.id for held in await at.leases.receive()] == ["t"]
        assert trio.current_time() == begun
        nursery.cancel_scope.cancel()


async def test_an_idle_one_hardly_asks() -> None:
    at = Polling()
    with trio.move_on_after(100 * IDLE):
        await at.poller.run()
    assert 80 <= at.store.count("claim") <= 130


async def test_a_full_one_does_not_ask_at_all() -> None:
    at = Polling(concurrency=1)
    await at.store.enqueue(Q, [new_task(), new_task()])
    with trio.move_on_after(1000):
        await at.poller.run()
    assert at.store.count("claim") == 1


async def test_it_does_not_claim_ahead_while_enough_waits() -> None:
    at = Polling(concurrency=1, prefetch=10)
    at.waiting = 6
    await at.store.enqueue(Q, [new_task()])
    with trio.move_on_after(10):
        await at.poller.run()
    assert at.claimed() == []


async def test_in_strict_order_the_first_queue_is_emptied_first() -> None:
    at = Polling(queues=("a", "b"), concurrency=3)
    await at.store.enqueue("b", [new_task(id=f"b{n}") for n in range(3)])
    await at.store.enqueue("a", [new_task(id=f"a{n}") for n in range(2)])
    with trio.move_on_after(1):
        await at.poller.run()
    assert at.claimed() == ["a0", "a1", "b0"]


async def test_weights_share_out_the_claims() -> None:
    at = Polling(queues={"a": 3, "b": 1}, concurrency=1)
    for queue in "ab":
        await at.store.enqueue(queue, [new_task(id=f"{queue}{n}") for n in range(400)])
    order: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        while len(order) < 400:
            for held in await at.leases.receive():
                order.append(held.queue)
                at.book.drop(held)
        nursery.cancel_scope.cancel()
    assert order[:8] == ["a", "a", "a", "b"] * 2
    assert order.count("a") == 300


async def test_with_weights_it_asks_the_others_for_what_one_does_not_use() -> None:
    at = Polling(queues={"a": 3, "b": 1}, concurrency=8)
    await at.store.enqueue("a", [new_task(id=f"a{n}") for n in range(2)])
    await at.store.enqueue("b", [new_task(id=f"b{n}") for n in range(9)])
    with trio.move_on_after(1):
        await at.poller.run()
    assert at.claimed() == ["a0", "a1", "b0", "b1", "b2", "b3", "b4", "b5"]


async def test_with_weights_too_an_idle_one_hardly_asks_and_wakes_at_once() -> None:
    at = Polling(queues={"a": 3, "b": 1})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(100 * IDLE)
        assert 160 <= at.store.count("claim") <= 260
        begun = trio.current_time()
        await at.store.enqueue("b", [new_task(id="t")])
        assert [held.fence.id for held in await at.leases.receive()] == ["t"]
        assert trio.current_time() == begun
        nursery.cancel_scope.cancel()


async def test_with_weights_too_it_goes_on_when_redis_comes_back() -> None:
    at = Polling(queues={"a": 3, "b": 1})
    at.store.away = True
    await at.store.store.enqueue("b", [new_task(id="t")])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(60)
        at.store.away = False
        assert [held.fence.id for held in await at.leases.receive()] == ["t"]
        nursery.cancel_scope.cancel()


async def test_it_goes_on_when_redis_comes_back() -> None:
    at = Polling()
    at.store.away = True
    await at.store.store.enqueue(Q, [new_task(id="t")])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(60)
        at.store.away = False
        assert [held.fence.id for held in await at.leases.receive()] == ["t"]
        nursery.cancel_scope.cancel()


async def test_what_a_cancelled_one_has_claimed_is_handed_over() -> None:
    for steps in range(12):
        at = Polling()
        await at.store.enqueue(Q, [new_task(id="t")])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(at.poller.run)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        active = (await states(at.store))["t"] is State.ACTIVE
        assert at.claimed() == (["t"] if active else [])
        with pytest.raises(trio.EndOfChannel):
            at.leases.receive_nowait()
