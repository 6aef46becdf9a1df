from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
import trio

from rediq_trio import State
from rediq_trio.worker.leases import HeldLease, LeaseTable
from rediq_trio.worker.poller import (
    ALL_POLLED_MAX,
    POLL_INTERVAL,
    POLL_INTERVAL_MAX,
    POLLS_PER_SECOND,
    Poller,
)
from rediq_trio.worker.prefetch import Prefetch
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
        self.lease_table = LeaseTable()
        self.prefetch = Prefetch(concurrency, prefetch)
        send, self.leases = trio.open_memory_channel[list[HeldLease]](math.inf)
        self.waiting = 0
        self.poller = Poller(
            self.store,
            queues,
            "w",
            LEASE,
            self.lease_table,
            self.prefetch,
            lambda: self.waiting,
            send,
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
        for held in at.lease_table:
            at.lease_table.drop(held)
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
    with trio.move_on_after(100 * POLL_INTERVAL):
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
                at.lease_table.drop(held)
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
        await trio.sleep(100 * POLL_INTERVAL)
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


def names(count: int) -> list[str]:
    return [f"q{n}" for n in range(count)]


@pytest.mark.parametrize("weighted", [False, True])
async def test_of_many_queues_it_asks_the_one_that_a_signal_names(weighted: bool) -> None:
    many = names(200)
    at = Polling(queues=dict.fromkeys(many, 1.0) if weighted else many)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(1)
        before, begun = at.store.count("claim"), trio.current_time()
        await at.store.enqueue("q150", [new_task(id="t")])
        assert [held.fence.id for held in await at.leases.receive()] == ["t"]
        assert trio.current_time() == begun
        assert at.store.count("claim") == before + 1
        nursery.cancel_scope.cancel()


async def test_of_many_queues_it_empties_the_first_before_the_others() -> None:
    at = Polling(queues=names(ALL_POLLED_MAX + 4), concurrency=100)
    for queue in ("q19", "q3"):
        await at.store.enqueue(queue, [new_task(id=f"{queue}-{n}") for n in range(2)])
    with trio.move_on_after(1):
        await at.poller.run()
    assert at.claimed() == ["q3-0", "q3-1", "q19-0", "q19-1"]


@pytest.mark.parametrize("count", [ALL_POLLED_MAX + 1, 1000])
async def test_many_idle_queues_are_looked_at_rarely_and_one_after_another(count: int) -> None:
    at = Polling(queues=names(count))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(100)
        before, quiet = at.store.count("claim"), 0.0
        for _ in range(300):
            seen = at.store.count("claim")
            await trio.sleep(1)
            quiet = quiet + 1 if at.store.count("claim") == seen else 0
            assert quiet <= POLL_INTERVAL
        polls = (at.store.count("claim") - before) / 300
        few = count <= POLLS_PER_SECOND * POLL_INTERVAL
        assert polls <= 1.5 * max(POLLS_PER_SECOND, count / POLL_INTERVAL if few else 0)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("count", "within"), [(ALL_POLLED_MAX + 1, POLL_INTERVAL), (1000, POLL_INTERVAL_MAX)]
)
async def test_a_task_whose_signal_was_lost_is_found_by_a_look(count: int, within: float) -> None:
    at = Polling(queues=names(count), concurrency=100)
    at.store.store.listen, listen = lambda _: listen([]), at.store.store.listen  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(100)
        for queue in ("q0", "q7", "q16"):
            await at.store.enqueue(queue, [new_task()])
        await trio.sleep(within + 1)
        assert len(at.claimed()) == 3
        nursery.cancel_scope.cancel()


async def test_a_queue_that_had_more_is_asked_again_without_a_signal() -> None:
    at = Polling(queues=names(100), concurrency=1)
    await at.store.enqueue("q50", [new_task(id=f"t{n}") for n in range(3)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        for n in range(3):
            (held,) = await at.leases.receive()
            assert held.fence.id == f"t{n}"
            at.lease_table.drop(held)
        nursery.cancel_scope.cancel()


async def test_a_queue_whose_claim_failed_is_asked_again() -> None:
    at = Polling(queues=names(100))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(1)
        at.store.away = True
        await at.store.store.enqueue("q50", [new_task(id="t")])
        await trio.sleep(1)
        at.store.away = False
        await trio.sleep(0.5)
        assert at.claimed() == ["t"]
        nursery.cancel_scope.cancel()


async def test_large_payloads_are_not_claimed_ahead_by_the_hundred() -> None:
    at = Polling(concurrency=2, prefetch=1000)
    large = [new_task("bytes", b"x" * 500_000) for _ in range(100)]
    await at.store.enqueue(Q, large[:50])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(1)
        # What it had not seen before, it could not judge.
        assert len(at.claimed()) == 50
        for held in at.lease_table:
            at.lease_table.drop(held)
        await at.store.enqueue(Q, large[50:])
        await trio.sleep(1)
        assert len(at.claimed()) == at.prefetch.capacity() < 25
        nursery.cancel_scope.cancel()
