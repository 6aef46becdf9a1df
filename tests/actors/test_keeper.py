from __future__ import annotations

import pytest
import trio

from rediq_trio import ConnectionLost, State
from rediq_trio.spec.messages import Completed, Death, Relations
from rediq_trio.spec.records import PROPAGATED_AT_ONCE
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.worker.keeping import keeper as keeping
from rediq_trio.worker.keeping.keeper import Keeper
from rediq_trio.worker.leases import LeaseTable
from tests.actors.parts import LEASE, Q, Watched, claim, new_task, record, states, until

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
        await store.enqueue(Q, [new_task(delay_ms=1000) for _ in range(keeping.TASKS_PER_STEP)])
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
        await claim(store, LeaseTable())
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
        await trio.sleep(20 + keeping.UNSIGNALLED_MAX_SLEEP)
        assert await states(store) == {"old": State.DEAD, "done": State.CANCELLED}
        await trio.sleep(60)
        assert await states(store) == {"old": State.DEAD}
        await trio.sleep(300)
        assert await states(store) == {}
        nursery.cancel_scope.cancel()


async def test_each_task_that_dies_by_time_is_reported_once() -> None:
    store = Watched()
    await store.enqueue(Q, [new_task(id="held", max_crashes=0), new_task(id="again")])
    await claim(store, LeaseTable())
    # It waits, so that no claim finds it.
    await store.enqueue(Q, [new_task(id="late", delay_ms=10**6, expires_in_ms=5_000)])
    reported: list[tuple[str, Death]] = []
    keepers = [keeper(store), keeper(store)]
    async with trio.open_nursery() as nursery:
        for each in keepers:
            each.report_deaths = lambda queue, deaths: reported.extend((queue, d) for d in deaths)
            nursery.start_soon(each.run)
        await trio.sleep(LEASE + 5 + keeping.UNSIGNALLED_MAX_SLEEP)
        nursery.cancel_scope.cancel()
    assert reported == [
        (Q, Death("late", 0, "expired")),
        (Q, Death("held", 0, "its worker died under it 1 times")),
    ]


async def test_an_idle_one_hardly_asks() -> None:
    store = Watched()
    with trio.move_on_after(1000):
        await keeper(store).run()
    assert len(store.calls) < 800


async def test_it_goes_on_when_redis_comes_back() -> None:
    store = Watched()
    await store.enqueue(Q, [new_task(id="t", delay_ms=1000)])
    store.away, store.refused_after = True, 0.01
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(60)
        # One call after each pause.
        assert 60 <= len(store.calls) <= 1_500
        store.away = False
        await trio.sleep(1)
        assert (await states(store))["t"] is State.PENDING
        nursery.cancel_scope.cancel()


async def finish(store: Watched) -> None:
    """Claim the task that is ready, and complete it."""
    (held,) = await claim(store, LeaseTable(), 1)
    await store.settle(Q, [Completed(held.fence, b"\x07")])


def needing(ref: str, **options: object) -> object:
    return new_task(relations=Relations(needs=(ref,)), **options)


async def test_however_many_wait_for_a_task_all_are_told_at_once() -> None:
    store = Watched()
    await store.enqueue(Q, [new_task(id="t")])
    for _ in range(4):
        await store.enqueue(Q, [needing("t") for _ in range(PROPAGATED_AT_ONCE)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(1)
        await finish(store)
        assert list((await states(store)).values()).count(State.BLOCKED) == 3 * PROPAGATED_AT_ONCE
        await trio.sleep(0.01)
        assert set((await states(store)).values()) == {State.COMPLETED, State.PENDING}
        nursery.cancel_scope.cancel()


async def test_what_a_step_left_is_told_even_if_nobody_heard_of_it() -> None:
    store = Watched()
    await store.enqueue(
        Q, [new_task(id="t"), *(needing("t") for _ in range(PROPAGATED_AT_ONCE + 1))]
    )
    await finish(store)
    assert State.BLOCKED in (await states(store)).values()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(0.01)
        assert State.BLOCKED not in (await states(store)).values()
        nursery.cancel_scope.cancel()


async def test_the_end_of_a_task_is_told_in_another_queue_at_once() -> None:
    store = Watched()
    await store.enqueue(Q, [new_task(id="t")])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await store.enqueue("other", [needing(f"{Q}/t", id="u")])
        nursery.start_soon(Keeper(store, ("other",), dead_retention=300.0, max_dead=100).run)
        await trio.sleep(0.01)
        assert (await record(store, "u", "other")).state is State.BLOCKED
        await finish(store)
        await trio.sleep(0.01)
        told = await record(store, "u", "other")
        assert (told.state, told.inputs) == (State.PENDING, (("work/t", b"\x07"),))
        for queue in (Q, "other"):
            assert (await store.dump(queue)).outbox == ()
        nursery.cancel_scope.cancel()


async def test_many_messages_are_carried_in_batches_and_in_order() -> None:
    store = Watched()
    count = 2 * keeping.TASKS_PER_STEP + 1
    away = [new_task(id=f"t{n}", relations=Relations(queue="other")) for n in range(count)]
    for first in range(0, count, 1000):
        await store.enqueue(Q, away[first : first + 1000])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(0.01)
        arrived = await store.dump("other")
        assert sorted(arrived.records, key=lambda own: arrived.records[own].seq) == [
            f"t{n}" for n in range(count)
        ]
        assert store.count("receive") == 3
        nursery.cancel_scope.cancel()


async def test_a_message_whose_receipt_was_lost_is_taken_in_once() -> None:
    store = Watched()
    await store.enqueue(Q, [new_task(id="u", relations=Relations(queue="other"))])
    (mail,) = await store.outbox(Q, limit=0)
    await store.receive("other", Q, [mail])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(0.01)
        assert (await store.dump("other")).counters.enqueued == 1
        assert (await store.dump(Q)).outbox == ()
        nursery.cancel_scope.cancel()


async def calls_of(store: Watched, seconds: float) -> int:
    before = len(store.calls)
    await trio.sleep(seconds)
    return len(store.calls) - before


async def test_an_empty_queue_is_at_rest_and_is_asked_for_next_to_nothing() -> None:
    store = Watched()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(2 * keeping.SIGNALLED_MAX_SLEEP)
        assert await calls_of(store, 1200) <= 1200 / keeping.IDLE_RECHECK_MAX * 1.3 + 100
        nursery.cancel_scope.cancel()


async def test_a_queue_that_holds_anything_is_not_at_rest() -> None:
    store = Watched()
    await store.enqueue(Q, [new_task(id="t")])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(2 * keeping.SIGNALLED_MAX_SLEEP)
        before = store.count("reclaim"), store.count("expire")
        await trio.sleep(150)
        assert store.count("reclaim") - before[0] >= 150 / keeping.RECLAIM_MAX_SLEEP - 1
        assert store.count("expire") - before[1] >= 150 / keeping.UNSIGNALLED_MAX_SLEEP - 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("rested", [100.0, 1000.0, 1017.0])
async def test_what_comes_to_a_queue_at_rest_is_kept_as_soon_as_anywhere(rested: float) -> None:
    store = Watched()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(rested)
        await store.enqueue(Q, [new_task(id="t", delay_ms=500), new_task(id="u", delay_ms=40_000)])
        await trio.sleep(0.51)
        assert (await states(store))["t"] is State.PENDING
        await claim(store, LeaseTable())
        await trio.sleep(LEASE + 5)
        assert (await states(store))["t"] is State.PENDING
        await trio.sleep(4.51)
        assert (await states(store))["u"] is State.PENDING
        nursery.cancel_scope.cancel()


class Deaf(Watched):
    """A store whose signals are all lost."""

    def listen(self, topics: object) -> object:
        return self.store.listen([])


@pytest.mark.parametrize("lease", [3.0, LEASE])
async def test_a_lease_in_a_queue_at_rest_is_reclaimed_in_time_though_no_signal_was_heard(
    lease: float,
) -> None:
    store = Deaf()
    keeping_it = Keeper(store, (Q,), dead_retention=300.0, max_dead=100, lease=lease)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeping_it.run)
        for rested in (100.0, 107.0, 111.0):
            await trio.sleep(rested)
            await store.enqueue(Q, [new_task(retention_ms=0)])
            (held,) = await claim(store, LeaseTable(), lease=lease)
            await trio.sleep(lease + 5)
            assert (await states(store))[held.fence.id] is State.PENDING
            await finish(store)
        nursery.cancel_scope.cancel()


async def test_a_schedule_in_a_queue_at_rest_ticks_though_no_signal_was_heard() -> None:
    store = Deaf()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(100)
        ticks = store.count("agenda")
        await trio.sleep(keeping.IDLE_MAX_SLEEP + 1)
        assert store.count("agenda") > ticks
        nursery.cancel_scope.cancel()


async def test_many_queues_are_tended_at_once() -> None:
    under_way, most = 0, 0

    class Slow(Watched):
        async def promote(self, queue: str, *, limit: int) -> object:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await trio.sleep(0.01)
            under_way -= 1
            return await self.store.promote(queue, limit=limit)

    queues = [f"q{n}" for n in range(100)]
    with trio.move_on_after(1):
        await Keeper(Slow(), queues, dead_retention=300.0, max_dead=100).run()
    assert most == keeping.QUEUES_AT_ONCE > 10


async def test_queues_that_cannot_be_kept_keep_no_other_from_it() -> None:
    class Half(Watched):
        async def promote(self, queue: str, *, limit: int) -> object:
            if queue.startswith("broken"):
                raise ConnectionLost("away", sent=False)
            return await self.store.promote(queue, limit=limit)

    store = Half()
    await store.enqueue(Q, [new_task(id="t", delay_ms=1000)])
    queues = [*(f"broken{n}" for n in range(2 * keeping.QUEUES_AT_ONCE)), Q]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Keeper(store, queues, dead_retention=300.0, max_dead=100).run)
        await trio.sleep(1.6)
        assert (await states(store))["t"] is State.PENDING
        nursery.cancel_scope.cancel()


async def test_a_resync_makes_every_duty_due_that_a_signal_announces() -> None:
    store = Watched()
    await store.enqueue(Q, [new_task(delay_ms=3_600_000)])  # so that the queue is not at rest
    signalled = ("promote", "unblock", "outbox", "batch", "agenda")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        await trio.sleep(1)
        before = {name: store.count(name) for name in signalled}
        await trio.sleep(5)
        assert {name: store.count(name) for name in signalled} == before
        store.store._broadcast.publish(Signal(Q, SignalKind.RESYNC))
        await trio.sleep(0.1)
        assert {name: store.count(name) - before[name] for name in signalled} == dict.fromkeys(
            signalled, 1
        )
        nursery.cancel_scope.cancel()


async def test_any_signal_ends_the_rest_of_a_queue() -> None:
    store = Watched()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper(store).run)
        # Its duties were done at about 108 s last, as in any queue at rest.
        await trio.sleep(keeping.IDLE_MAX_SLEEP + 1)
        looked = store.count("stats")
        await until(lambda: store.count("stats") > looked)
        # No look of its own finds this task before it has expired long ago.
        await store.enqueue(Q, [new_task(id="t", expires_in_ms=1_000)])
        await trio.sleep(1 + keeping.UNSIGNALLED_MAX_SLEEP)
        assert (await states(store))["t"] is State.DEAD
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("refused_after", [0.0, 10.0])
async def test_messages_to_a_queue_that_is_away_delay_no_duty_of_their_own(
    refused_after: float,
) -> None:
    store = Watched()
    store.refused_after = refused_after
    store.away_queues.add("away")
    relations = Relations(queue="away")
    await store.enqueue(Q, [new_task(id="child", relations=relations)])
    keeping_two = Keeper(store, (Q, "away"), dead_retention=300.0, max_dead=100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeping_two.run)
        for n in range(20):
            await trio.sleep(2)
            await store.enqueue(Q, [new_task(id=f"t{n}", delay_ms=500)])
            await trio.sleep(0.5 + keeping.RELAY_PATIENCE + 0.1)
            assert (await states(store))[f"t{n}"] is State.PENDING
        assert keeping_two.outages.failing == {"away"}
        store.away_queues.clear()
        await trio.sleep(refused_after + 2)
        assert {r.id for r in (await store.dump("away")).records.values()} == {"child"}
        assert keeping_two.outages.failing == frozenset()
        nursery.cancel_scope.cancel()


async def test_messages_to_a_queue_of_other_workers_that_is_away_are_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Watched()
    store.away_queues.add("away")
    await store.enqueue(Q, [new_task(id="child", relations=Relations(queue="away"))])
    alone = keeper(store)
    with trio.move_on_after(30):
        await alone.run()
    assert alone.outages.failing == frozenset()
    # Not once for each of the many attempts.
    assert 1 <= caplog.text.count(f"messages from queue {Q} to queue away wait: away") <= 10
