"""What time does to tasks: promote, reclaim and expire."""

import attrs
import pytest

from rediq_trio.spec.carried import StoredAttempt
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Death, Due, Relations
from rediq_trio.spec.records import CANCELLED_GRACE_MS, ORDERED_AT_ONCE, Counters

from .bench import LEASE, START, Bench, Q, failed

UUID7 = "018f3b2c-0000-7abc-8def-0123456789ab"


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
    assert await bench.record() == attrs.evolve(before, state=State.PENDING, seq=2)


async def test_a_retry_is_promoted_at_its_instant_and_not_before(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.settle(Q, [failed(fence, delay_ms=10)])
    before = await bench.record()
    bench.clock.advance(9)
    assert await bench.store.promote(Q, limit=5) == Due(0, 1)
    bench.clock.advance(1)
    assert await bench.store.promote(Q, limit=5) == Due(1, None)
    assert await bench.record() == attrs.evolve(before, state=State.PENDING, seq=2)


async def test_scheduled_and_retried_tasks_are_promoted_in_one_order_of_time(bench: Bench) -> None:
    await bench.add("r1", "r2", "r3")
    for n, lease in enumerate(await bench.take(3)):
        await bench.store.settle(Q, [failed(lease.fence, delay_ms=3 - n)])
    for task_id, delay in [("s1", 4), ("s2", 3), ("s3", 6)]:
        await bench.add(task_id, delay_ms=delay)
    bench.clock.advance(10)
    assert await bench.store.promote(Q, limit=2) == Due(2, 0)
    assert await bench.ids(State.PENDING) == ["r3", "r2"]
    assert await bench.store.promote(Q, limit=4) == Due(4, None)
    assert await bench.ids(State.PENDING) == ["r3", "r2", "r1", "s2", "s1", "s3"]


async def test_promotion_tells_when_the_next_is_due_of_either_kind(bench: Bench) -> None:
    fence = await bench.active("r")
    await bench.store.settle(Q, [failed(fence, delay_ms=70)])
    await bench.add("s", delay_ms=90)
    bench.clock.advance(20)
    assert await bench.store.promote(Q, limit=5) == Due(0, 50)
    bench.clock.advance(50)
    assert await bench.store.promote(Q, limit=5) == Due(1, 20)


async def test_tasks_due_at_one_instant_are_promoted_as_they_were_enqueued(bench: Bench) -> None:
    uuids = ["018f3b2c-0000-7abc-8def-0123456789ab", "018f3b2c-0000-7abc-8def-0123456789aa"]
    await bench.add(*uuids, "0", ".x", "z", delay_ms=5)
    bench.clock.advance(5)
    await bench.store.promote(Q, limit=10)
    assert await bench.ids(State.PENDING) == [*uuids, "0", ".x", "z"]


async def test_tasks_that_are_retried_at_one_instant_are_promoted_as_they_were_enqueued(
    bench: Bench,
) -> None:
    await bench.add("z", "y", "x")
    fences = [lease.fence for lease in await bench.take(3)]
    await bench.store.settle(Q, [failed(fence, delay_ms=5) for fence in reversed(fences)])
    await bench.add("w", delay_ms=5)
    bench.clock.advance(5)
    assert await bench.store.promote(Q, limit=2) == Due(2, 0)
    assert await bench.ids(State.PENDING) == ["z", "y"]
    assert await bench.store.promote(Q, limit=2) == Due(2, None)
    assert await bench.ids(State.PENDING) == ["z", "y", "x", "w"]


async def test_a_task_that_was_retried_more_often_is_still_the_older_one(bench: Bench) -> None:
    await bench.add("old")
    bench.clock.advance(1)
    await bench.add("new")
    old, new = [lease.fence for lease in await bench.take(2)]
    await bench.store.settle(Q, [failed(old, delay_ms=5)])
    bench.clock.advance(5)
    await bench.store.promote(Q, limit=10)
    [old] = [lease.fence for lease in await bench.take(2)]
    assert (await bench.record("old")).seq > (await bench.record("new")).seq
    await bench.store.settle(Q, [failed(new, delay_ms=5), failed(old, delay_ms=5)])
    bench.clock.advance(5)
    assert (await bench.store.promote(Q, limit=10)).moved == 2
    assert await bench.ids(State.PENDING) == ["old", "new"]


async def test_an_order_holds_from_promotion_to_promotion(bench: Bench) -> None:
    names = [f"t{n:02}" for n in reversed(range(12))]
    await bench.add("z0", delay_ms=4)
    await bench.add(*names, delay_ms=5)
    await bench.add("a0", delay_ms=6)
    bench.clock.advance(6)
    for moved in (5, 5, 4):
        assert (await bench.store.promote(Q, limit=5)).moved == moved
    assert await bench.ids(State.PENDING) == ["z0", *names, "a0"]


async def test_of_more_tasks_of_one_instant_a_step_orders_those_with_the_lowest_ids(
    bench: Bench,
) -> None:
    names = [f"t{n:04}" for n in reversed(range(ORDERED_AT_ONCE + 2))]
    bench.clock.advance(-5)
    for start in range(0, len(names), 1000):
        await bench.add(*names[start : start + 1000], run_at_ms=START)
    bench.clock.advance(5)
    for _ in range(2):
        await bench.store.promote(Q, limit=1)
    # A step looks at the lowest ids; `names` begins with the highest.
    assert await bench.ids(State.PENDING) == [names[2], names[1]]


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
    crash = StoredAttempt(1, 1, "w", START, START + LEASE, "reclaim")
    assert await bench.record() == attrs.evolve(
        before, deliveries=1, crashes=1, worker="w", started_ms=START, attempts=(crash,)
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
        due = await bench.store.reclaim(Q, limit=5)
        assert due.moved == 1
        assert (await bench.record()).crashes == crash + 1
    assert due.deaths == (Death("t", 0, f"its worker died under it {max_crashes + 1} times"),)
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
        attempts=(StoredAttempt(1, 1, "w", START, START + LEASE, "reclaim"),),
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
    death = Death("t", int(state is State.RETRY), "expired")
    assert await bench.store.expire(Q, limit=5) == Due(1, None, (death,))
    assert await bench.record() == attrs.evolve(
        before, state=State.DEAD, error="expired", finished_ms=START + 10
    )
    assert (await bench.dump()).counters.dead == 1


async def test_expiring_takes_the_first_that_expired_up_to_the_limit(bench: Bench) -> None:
    for task_id, expires in [("a", 3), ("b", 1), ("c", 2), ("d", 9)]:
        await bench.add(task_id, expires_in_ms=expires)
    bench.clock.advance(5)
    deaths = {task_id: Death(task_id, 0, "expired") for task_id in "abc"}
    assert await bench.store.expire(Q, limit=2) == Due(2, 0, (deaths["b"], deaths["c"]))
    assert await bench.ids(State.DEAD) == ["b", "c"]
    assert await bench.store.expire(Q, limit=2) == Due(1, 4, (deaths["a"],))


async def test_what_dies_with_an_expired_task_is_a_death_of_the_step_but_did_not_expire(
    bench: Bench,
) -> None:
    await bench.add("t", UUID7, expires_in_ms=10)
    await bench.add("u", relations=Relations(needs=(UUID7,)))
    bench.clock.advance(10)
    due = await bench.store.expire(Q, limit=5)
    because = Death("u", 0, f"the task {UUID7} that it needs is dead")
    assert due == Due(2, None, (Death(UUID7, 0, "expired"), Death("t", 0, "expired"), because))
    assert await bench.ids(State.DEAD) == [UUID7, "t", "u"]


async def test_of_the_lapsed_only_the_dead_are_deaths(bench: Bench) -> None:
    await bench.add("a", max_crashes=0)
    await bench.add("b")
    await bench.add("c", max_crashes=0)
    for _ in range(3):
        await bench.take()
    await bench.store.cancel(Q, "c")
    bench.clock.advance(LEASE)
    due = await bench.store.reclaim(Q, limit=5)
    assert due == Due(3, None, (Death("a", 0, "its worker died under it 1 times"),))


async def test_a_task_without_an_expiry_never_expires(bench: Bench) -> None:
    await bench.add("t")
    bench.clock.advance(10**12)
    assert await bench.store.expire(Q, limit=5) == Due(0, None)
