from __future__ import annotations

import pytest
import trio

from rediq_trio.store.port import BATCH
from rediq_trio.worker.heartbeat import Heartbeat
from rediq_trio.worker.leases import LeaseTable, Reason, margin
from tests.actors.parts import LEASE, Q, Watched, claim, new_task, record

pytestmark = pytest.mark.mock_clock


class Beating:
    def __init__(self) -> None:
        self.store = Watched()
        self.lease_table = LeaseTable()
        self.heartbeat = Heartbeat(
            self.store, (Q,), self.lease_table, "w", LEASE, LEASE / 3, lambda: b"said"
        )


async def test_leases_in_hand_are_kept_alive() -> None:
    at = Beating()
    await at.store.enqueue(Q, [new_task(id="t")])
    (held,) = await claim(at.store, at.lease_table)
    with trio.move_on_after(10 * LEASE):
        await at.heartbeat.run()
    assert (await at.store.reclaim(Q, limit=10)).moved == 0
    assert held.reason is None
    assert at.store.count("renew") == pytest.approx(30, abs=2)


async def test_all_leases_of_a_queue_are_renewed_in_one_call() -> None:
    at = Beating()
    await at.store.enqueue(Q, [new_task() for _ in range(500)])
    await claim(at.store, at.lease_table, limit=500)
    with trio.move_on_after(1):
        await at.heartbeat.run()
    # The first beat, and one when listening begins.
    assert at.store.count("renew") == 2


async def test_more_leases_than_one_call_carries_are_all_kept_alive() -> None:
    at = Beating()
    for _ in range(2):
        await at.store.enqueue(Q, [new_task() for _ in range(BATCH)])
        await claim(at.store, at.lease_table, limit=BATCH)
    with trio.move_on_after(2 * LEASE):
        await at.heartbeat.run()
    assert (await at.store.reclaim(Q, limit=10)).moved == 0
    assert len(at.lease_table) == 2 * BATCH
    assert {held.reason for held in at.lease_table} == {None}


async def test_a_renewal_counts_from_when_it_was_sent_however_late_its_answer() -> None:
    at = Beating()
    await at.store.enqueue(Q, [new_task(id="t")])
    (held,) = await claim(at.store, at.lease_table)
    at.store.delay = lambda name: 4.0 if name == "renew" else 0.0
    with trio.move_on_after(20):  # the answer to the second beat has come, the third is not sent
        await at.heartbeat.run()
    ends = held.trio_time((await record(at.store, "t")).lease_ms)
    assert ends > LEASE
    assert held.safe_until == pytest.approx(ends - margin(LEASE), abs=0.01)


async def test_the_worker_is_known_while_it_beats() -> None:
    at = Beating()
    with trio.move_on_after(100):
        await at.heartbeat.run()
    assert await at.store.workers() == (b"said",)
    await trio.sleep(2 * LEASE)
    assert await at.store.workers() == ()


async def test_a_lost_lease_cancels_its_attempt() -> None:
    at = Beating()
    await at.store.enqueue(Q, [new_task(id="t")])
    (held,) = await claim(at.store, at.lease_table)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.heartbeat.run)
        await trio.sleep(1)
        await at.store.flush(Q)
        await trio.sleep(0.1)
        assert held.reason is Reason.LEASE_LOST
        nursery.cancel_scope.cancel()


async def test_a_cancel_is_heard_within_a_second() -> None:
    at = Beating()
    await at.store.enqueue(Q, [new_task(id="t"), new_task(id="other")])
    held, other = await claim(at.store, at.lease_table)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.heartbeat.run)
        await trio.sleep(1)
        await at.store.cancel(Q, "t")
        await trio.sleep(1)
        assert (held.reason, other.reason) == (Reason.CANCELLED, None)
        nursery.cancel_scope.cancel()


async def test_a_cancel_for_a_task_of_another_worker_is_none_of_ours() -> None:
    at = Beating()
    await at.store.enqueue(Q, [new_task(id="t")])
    await claim(at.store, LeaseTable())
    await at.store.enqueue(Q, [new_task(id="ours")])
    await claim(at.store, at.lease_table)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.heartbeat.run)
        await trio.sleep(1)
        before = at.store.count("renew")
        await at.store.cancel(Q, "t")
        await trio.sleep(1)
        assert at.store.count("renew") == before
        nursery.cancel_scope.cancel()


async def test_without_redis_the_attempt_is_cancelled_before_the_lease_is_over() -> None:
    at = Beating()
    await at.store.enqueue(Q, [new_task(id="t")])
    (held,) = await claim(at.store, at.lease_table)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.heartbeat.run)
        await trio.sleep(LEASE / 2)
        at.store.away = True
        with trio.fail_after(2 * LEASE):
            while held.reason is None:
                await trio.sleep(0.01)
        assert held.reason is Reason.LEASE_LOST
        now = at.store.store._clock()
        assert (await record(at.store.store, "t")).lease_ms - now >= margin(LEASE) * 900
        nursery.cancel_scope.cancel()


async def test_a_short_absence_of_redis_costs_nothing() -> None:
    at = Beating()
    await at.store.enqueue(Q, [new_task(id="t")])
    (held,) = await claim(at.store, at.lease_table)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at.heartbeat.run)
        for _ in range(5):
            at.store.away = True
            await trio.sleep(LEASE / 3)
            at.store.away = False
            await trio.sleep(LEASE / 3)
        assert held.reason is None
        nursery.cancel_scope.cancel()


async def test_an_outcome_on_its_way_is_not_called_lost() -> None:
    at = Beating()
    await at.store.enqueue(Q, [new_task(id="t")])
    (held,) = await claim(at.store, at.lease_table)
    held.settled = True
    await at.store.flush(Q)
    with trio.move_on_after(1):
        await at.heartbeat.run()
    assert held.reason is None


async def test_a_lost_lease_is_renewed_no_more() -> None:
    at = Beating()
    await at.store.enqueue(Q, [new_task(id="t")])
    (held,) = await claim(at.store, at.lease_table)
    held.cancel(Reason.LEASE_LOST)
    with trio.move_on_after(3 * LEASE):
        await at.heartbeat.run()
    assert at.store.count("renew") == 0
