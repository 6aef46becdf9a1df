"""What time does to tasks: promote, reclaim and expire."""

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Due
from rediq_trio.spec.records import CANCELLED_GRACE_MS, Counters
from tests.conformance.bench import LEASE, START, Bench, Q, failed


async def test_nothing_is_due_in_an_empty_queue(bench: Bench) -> None:
    assert await bench.store.promote(Q, limit=5) == Due(0, None)
    assert await bench.store.reclaim(Q, limit=5) == Due(0, None)
    assert await bench.store.expire(Q, limit=5) == Due(0, None)
    assert await bench.store.purge(Q, limit=5, dead_retention_ms=1, max_dead=1) == Due(0, None)


async def test_a_task_is_promoted_at_its_instant_and_not_before(bench: Bench) -> None:
    await bench.add("t", delay_ms=10)
    before = await bench.record()
    bench.clock.advance(9)
    assert await bench.store.promote(Q, limit=5) == Due(0, 1)
    assert await bench.record() == before
    bench.clock.advance(1)
    assert await bench.store.promote(Q, limit=5) == Due(1, None)
    assert await bench.record() == attrs.evolve(before, state=State.PENDING, seq=1)


async def test_a_retry_is_promoted_at_its_instant_and_not_before(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.settle(Q, [failed(fence, delay_ms=10)])
    before = await bench.record()
    bench.clock.advance(9)
    assert await bench.store.promote(Q, limit=5) == Due(0, 1)
    bench.clock.advance(1)
    assert await bench.store.promote(Q, limit=5) == Due(1, None)
    assert await bench.record() == attrs.evolve(before, state=State.PENDING, seq=2)


async def test_promotion_takes_the_limit_of_each_kind_in_order_of_time(bench: Bench) -> None:
    await bench.add("r1", "r2", "r3")
    for n, lease in enumerate(await bench.take(3)):
        await bench.store.settle(Q, [failed(lease.fence, delay_ms=3 - n)])
    for task_id, delay in [("s1", 5), ("s2", 4), ("s3", 6)]:
        await bench.add(task_id, delay_ms=delay)
    bench.clock.advance(10)
    assert await bench.store.promote(Q, limit=2) == Due(4, 0)
    assert await bench.ids(State.PENDING) == ["s2", "s1", "r3", "r2"]
    assert await bench.store.promote(Q, limit=2) == Due(2, None)
    assert await bench.ids(State.PENDING) == ["s2", "s1", "r3", "r2", "s3", "r1"]


async def test_promotion_tells_when_the_next_is_due_of_either_kind(bench: Bench) -> None:
    fence = await bench.active("r")
    await bench.store.settle(Q, [failed(fence, delay_ms=70)])
    await bench.add("s", delay_ms=90)
    bench.clock.advance(20)
    assert await bench.store.promote(Q, limit=5) == Due(0, 50)
    bench.clock.advance(50)
    assert await bench.store.promote(Q, limit=5) == Due(1, 20)


async def test_tasks_due_at_one_instant_are_promoted_in_the_order_of_their_ids(
    bench: Bench,
) -> None:
    uuids = ["018f3b2c-0000-7abc-8def-0123456789ab", "018f3b2c-0000-7abc-8def-0123456789aa"]
    await bench.add(*uuids, "0", ".x", "z", delay_ms=5)
    bench.clock.advance(5)
    await bench.store.promote(Q, limit=10)
    assert await bench.ids(State.PENDING) == [uuids[1], uuids[0], ".x", "0", "z"]


async def test_a_promoted_task_keeps_its_priority(bench: Bench) -> None:
    await bench.add("a", priority=50)
    await bench.add("t", delay_ms=1, priority=10)
    bench.clock.advance(1)
    await bench.store.promote(Q, limit=1)
    assert await bench.ids(State.PENDING) == ["t", "a"]


async def test_a_lease_is_reclaimed_when_it_runs_out_and_not_before(bench: Bench) -> None:
    await bench.add("t", "u")
    before = await bench.record()
    fence = (await bench.take())[0].fence
    bench.clock.advance(LEASE - 1)
    assert await bench.store.reclaim(Q, limit=5) == Due(0, 1)
    assert (await bench.record()).nonce == fence.nonce
    bench.clock.advance(1)
    assert await bench.store.reclaim(Q, limit=5) == Due(1, None)
    assert await bench.record() == attrs.evolve(
        before, deliveries=1, crashes=1, worker="w", started_ms=START
    )
    assert await bench.ids(State.PENDING) == ["t", "u"]
    assert (await bench.dump()).counters == Counters(enqueued=2)


async def test_reclaiming_takes_the_first_that_lapsed_up_to_the_limit(bench: Bench) -> None:
    await bench.add("a", "b", "c")
    for lease_ms in (30, 10, 20):
        await bench.take(lease_ms=lease_ms)
    bench.clock.advance(25)
    assert await bench.store.reclaim(Q, limit=1) == Due(1, 0)
    assert await bench.ids(State.PENDING) == ["b"]
    assert await bench.store.reclaim(Q, limit=5) == Due(1, 5)
    assert await bench.ids(State.ACTIVE) == ["a"]


@pytest.mark.parametrize("max_crashes", [0, 1, 2])
async def test_a_task_is_dead_when_its_workers_died_too_often(
    bench: Bench, max_crashes: int
) -> None:
    await bench.add("t", max_crashes=max_crashes, max_retry=0)
    for crash in range(max_crashes + 1):
        [lease] = await bench.take()
        assert lease.attempt == 1
        bench.clock.advance(LEASE)
        assert (await bench.store.reclaim(Q, limit=5)).moved == 1
        assert (await bench.record()).crashes == crash + 1
    record = await bench.record()
    assert record.state is State.DEAD
    assert record.error == f"its worker died under it {max_crashes + 1} times"
    assert (record.attempt, record.nonce, record.finished_ms) == (0, b"", bench.clock.now)
    assert (await bench.dump()).counters == Counters(enqueued=1, dead=1)


@pytest.mark.parametrize("max_crashes", [0, 3])
async def test_a_lapse_after_a_cancel_was_asked_cancels(bench: Bench, max_crashes: int) -> None:
    await bench.active(max_crashes=max_crashes, retention_ms=0)
    await bench.store.cancel(Q, "t")
    before = await bench.record()
    bench.clock.advance(LEASE)
    assert await bench.store.reclaim(Q, limit=5) == Due(1, None)
    assert await bench.record() == attrs.evolve(
        before,
        state=State.CANCELLED,
        crashes=1,
        attempt=0,
        nonce=b"",
        lease_ms=0,
        finished_ms=bench.clock.now,
        purge_ms=bench.clock.now + CANCELLED_GRACE_MS,
    )


async def test_a_reclaimed_task_keeps_its_expiry(bench: Bench) -> None:
    await bench.active(expires_in_ms=LEASE + 5)
    bench.clock.advance(LEASE)
    await bench.store.reclaim(Q, limit=5)
    assert await bench.store.expire(Q, limit=5) == Due(0, 5)


@pytest.mark.parametrize("state", [State.PENDING, State.SCHEDULED, State.RETRY])
async def test_a_waiting_task_expires_at_its_instant_and_not_before(
    bench: Bench, state: State
) -> None:
    delay = 500 if state is State.SCHEDULED else 0
    await bench.add("t", expires_in_ms=10, delay_ms=delay)
    if state is State.RETRY:
        [lease] = await bench.take()
        await bench.store.settle(Q, [failed(lease.fence, delay_ms=500)])
    before = await bench.record()
    assert before.state is state
    bench.clock.advance(9)
    assert await bench.store.expire(Q, limit=5) == Due(0, 1)
    assert await bench.record() == before
    bench.clock.advance(1)
    assert await bench.store.expire(Q, limit=5) == Due(1, None)
    assert await bench.record() == attrs.evolve(
        before, state=State.DEAD, error="expired", finished_ms=START + 10
    )
    assert (await bench.dump()).counters.dead == 1


async def test_expiring_takes_the_first_that_expired_up_to_the_limit(bench: Bench) -> None:
    for task_id, expires in [("a", 3), ("b", 1), ("c", 2), ("d", 9)]:
        await bench.add(task_id, expires_in_ms=expires)
    bench.clock.advance(5)
    assert await bench.store.expire(Q, limit=2) == Due(2, 0)
    assert await bench.ids(State.DEAD) == ["b", "c"]
    assert await bench.store.expire(Q, limit=2) == Due(1, 4)


async def test_a_task_without_an_expiry_never_expires(bench: Bench) -> None:
    await bench.add("t")
    bench.clock.advance(10**12)
    assert await bench.store.expire(Q, limit=5) == Due(0, None)
