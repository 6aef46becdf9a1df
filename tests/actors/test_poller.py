from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
import trio
import trio.testing

from rediq_trio import State
from rediq_trio.store.broadcast import Broadcast, Signal, SignalKind
from rediq_trio.store.port import BATCH
from rediq_trio.worker.leases import HeldLease, LeaseTable
from rediq_trio.worker.poller import (
    ALL_POLLED_MAX,
    CLAIM_DEADLINE,
    CLAIM_PATIENCE,
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
        partitions: Mapping[str, Sequence[str]] | None = None,
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
            partitions or {},
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


async def test_a_task_that_its_claim_finds_expired_is_reported() -> None:
    at = Polling()
    reported: list[tuple[str, str]] = []
    at.poller.report_deaths = lambda queue, deaths: reported.extend((queue, d.id) for d in deaths)
    await at.store.enqueue(Q, [new_task(id="old", expires_in_ms=1_000), new_task(id="new")])
    await trio.sleep(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(1)
        assert (reported, at.claimed()) == ([(Q, "old")], ["new"])
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


async def test_with_weights_a_queue_that_was_empty_for_long_has_its_share_and_no_more() -> None:
    at = Polling(queues={"a": 3, "b": 1}, concurrency=1)
    order: list[str] = []

    async def take(count: int) -> None:
        while len(order) < count:
            for held in await at.leases.receive():
                order.append(held.queue)
                at.lease_table.drop(held)

    await at.store.enqueue("b", [new_task() for _ in range(300)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await take(200)
        await at.store.enqueue("a", [new_task() for _ in range(100)])
        await take(240)
        nursery.cancel_scope.cancel()
    assert order[:200] == ["b"] * 200
    assert order[200:240].count("a") == pytest.approx(30, abs=2)


class Instant:
    """What becomes of leases if each attempt ends at once."""

    def __init__(self, lease_table: LeaseTable) -> None:
        self.lease_table = lease_table
        self.order: list[str] = []

    def __enter__(self) -> Instant:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send_nowait(self, leases: list[HeldLease]) -> None:
        for held in leases:
            self.order.append(held.queue)
            self.lease_table.drop(held)


async def test_with_weights_a_queue_whose_tasks_end_at_once_keeps_no_other_from_its_share() -> None:
    at = Polling(queues={"a": 3, "b": 1}, concurrency=1)
    instant = Instant(at.lease_table)
    at.poller.leases = instant  # type: ignore[assignment]
    await at.store.enqueue("b", [new_task() for _ in range(300)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        while len(instant.order) < 100:
            await trio.lowlevel.checkpoint()
        await at.store.enqueue("a", [new_task() for _ in range(100)])
        before = len(instant.order)
        while len(instant.order) < before + 44:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert instant.order[before : before + 44].count("a") == pytest.approx(33, abs=3)


async def test_with_weights_what_a_claim_could_not_carry_does_not_count() -> None:
    # One claim brings at most BATCH tasks, of the three times as many that `a` may have.
    at = Polling(queues={"a": 3, "b": 1}, concurrency=4 * BATCH)
    for queue in "ab":
        for _ in range(5):
            await at.store.enqueue(queue, [new_task() for _ in range(BATCH)])
    with trio.move_on_after(1):
        await at.poller.run()
    counts = Counter(held.queue for held in at.lease_table)
    assert counts == {"a": 3 * BATCH, "b": BATCH}


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


async def test_a_claim_under_way_when_it_is_cancelled_is_handed_over() -> None:
    at = Polling()
    await at.store.enqueue(Q, [new_task(id="t")])
    at.store.delay = lambda _: 2.0
    with trio.move_on_after(1):
        await at.poller.run()
    assert trio.current_time() == pytest.approx(2.0)
    assert at.claimed() == ["t"]


async def test_a_claim_under_way_is_given_up_when_its_time_is_limited() -> None:
    at = Polling()
    await at.store.enqueue(Q, [new_task(id="t")])
    at.store.delay = lambda _: 10.0
    with trio.move_on_after(1) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(at.poller.run)
            await trio.testing.wait_all_tasks_blocked()
            at.poller.limit_claim(3.0)
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(3.0)
    assert at.claimed() == []


async def test_a_resync_makes_it_ask_at_once() -> None:
    at = Polling()
    broadcast = at.store.store._broadcast
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(1)
        at.store.store._broadcast = Broadcast()  # nobody hears of what comes now
        await at.store.enqueue(Q, [new_task(id="t")])
        await trio.sleep(0.1)
        assert at.claimed() == []
        broadcast.publish(Signal(Q, SignalKind.RESYNC))
        await trio.sleep(0.1)
        assert at.claimed() == ["t"]
        nursery.cancel_scope.cancel()


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


@pytest.mark.uncounted
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
        assert trio.current_time() == 0
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


async def test_the_partitions_of_a_queue_share_its_room() -> None:
    at = Polling(concurrency=3, partitions={Q: ("q~0", "q~1")})
    for partition in ("q~0", "q~1"):
        await at.store.enqueue(partition, [new_task(), new_task()])
    with trio.move_on_after(1):
        await at.poller.run()
    assert len(at.claimed()) == 3


async def test_a_claim_that_is_never_answered_is_given_up_and_made_again() -> None:
    at = Polling()
    at.store.delay = lambda name: math.inf if name == "claim" else 0.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(CLAIM_DEADLINE / 2)
        first = at.store.count("claim")
        await trio.sleep(CLAIM_DEADLINE)
        second = at.store.count("claim")
        # The claim under way is shielded.
        at.poller.limit_claim(0)
        nursery.cancel_scope.cancel()
    assert (first, second) == (1, 2)


async def test_a_signal_of_another_kind_does_not_make_it_ask() -> None:
    at = Polling()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(1)
        before = at.store.count("claim")
        for kind in {*SignalKind} - {SignalKind.WAKE, SignalKind.RESYNC}:
            at.store.store._broadcast.publish(Signal(Q, kind, "t"))
        await trio.sleep(1)
        assert at.store.count("claim") == before
        nursery.cancel_scope.cancel()


async def test_a_task_that_comes_while_a_slow_claim_is_under_way_is_not_forgotten() -> None:
    at = Polling(queues=("quick", "slow"))
    delays = iter([0.0, 2.0, 0.9])  # of the claims from quick, slow, and quick again
    at.store.delay = lambda name: next(delays, 0.0) if name == "claim" else 0.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        # The claim has found nothing, and its answer goes on in the background. Before it comes,
        # the signal of a new task begins a round of the other queue, in which the answer comes.
        await trio.sleep(CLAIM_PATIENCE + 0.2)
        await at.store.enqueue("slow", [new_task(id="t")])
        await trio.sleep(1.5)
        assert at.claimed() == ["t"]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("count", [1, ALL_POLLED_MAX + 4])
async def test_it_claims_again_at_the_instant_that_a_rate_allows(count: int) -> None:
    at = Polling(queues=names(count), concurrency=100)
    await at.store.limit("q0", key="", count=1, period_ms=2_500)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(100)
        begun = trio.current_time()
        await at.store.enqueue("q0", [new_task(id=f"t{n}") for n in range(3)])
        for n in range(3):
            (held,) = await at.leases.receive()
            assert (held.fence.id, trio.current_time()) == (f"t{n}", begun + n * 2.5)
        nursery.cancel_scope.cancel()


async def test_a_queue_that_is_away_is_not_asked_at_the_instant_that_its_rate_allows() -> None:
    at = Polling(queues=("a", "b"))
    await at.store.limit("a", key="", count=1, period_ms=500)
    await at.store.enqueue("a", [new_task(id=f"t{n}") for n in range(3)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(0.1)
        at.store.away_queues.add("a")
        at.store.calls.clear()
        await trio.sleep(60)
        assert at.store.count("claim") <= 60
        at.store.away_queues.clear()
        await trio.sleep(60)
        assert at.claimed() == ["t0", "t1", "t2"]
        nursery.cancel_scope.cancel()


async def test_a_rate_whose_tasks_are_gone_is_not_waited_for() -> None:
    at = Polling(concurrency=100)
    await at.store.limit(Q, key="", count=1, period_ms=1_000)
    await at.store.enqueue(Q, [new_task(id="t"), new_task(id="u")])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.poller.run)
        await trio.sleep(0.5)
        await at.store.delete(Q, ["u"])
        await at.store.limit(Q, key="", count=0)  # wakes it
        await trio.sleep(0.1)
        at.store.calls.clear()
        await trio.sleep(0.75 * POLL_INTERVAL)
        assert at.store.count("claim") == 0
        nursery.cancel_scope.cancel()
