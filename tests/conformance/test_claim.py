"""Who gets which task, and when nobody does."""

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Claimed, Death, Fence, Lease, Released

from .bench import LEASE, START, Bench, Q, failed

UUID7 = "018f3b2c-0000-7abc-8def-0123456789ab"


async def test_a_claim_leases_a_task(bench: Bench) -> None:
    await bench.add("t", max_retry=7, priority=3)
    before = await bench.record()
    bench.clock.advance(5)
    nonce = b"\x00\xff\r\n1234"
    claimed = await bench.store.claim(Q, limit=1, lease_ms=LEASE, worker="w", nonce=nonce)
    till = START + 5 + LEASE
    lease = Lease(Fence("t", 1, nonce), 1, 7, b"envelope of t", till, START)
    assert claimed == Claimed((lease,), 0)
    assert await bench.record() == attrs.evolve(
        before,
        state=State.ACTIVE,
        deliveries=1,
        attempt=1,
        nonce=nonce,
        worker="w",
        lease_ms=till,
        started_ms=START + 5,
    )


async def test_a_lease_says_when_its_task_was_due(bench: Bench) -> None:
    await bench.add("now", "later", "again")
    await bench.add("delayed", delay_ms=100)
    bench.clock.advance(400)
    await bench.store.promote(Q, limit=10)
    due = {lease.fence.id: lease.run_ms for lease in await bench.take(4)}
    assert due == {"now": START, "later": START, "again": START, "delayed": START + 100}


async def test_an_empty_queue_gives_nothing(bench: Bench) -> None:
    claimed = await bench.store.claim(Q, limit=5, lease_ms=1, worker="w", nonce=b"n" * 8)
    assert claimed == Claimed((), 0)


async def test_a_claim_takes_no_more_than_its_limit_and_tells_what_remains(bench: Bench) -> None:
    await bench.add("a", "b", "c", "d", "e")
    claimed = await bench.store.claim(Q, limit=2, lease_ms=1, worker="w", nonce=b"n" * 8)
    assert [lease.fence.id for lease in claimed.leases] == ["a", "b"]
    assert claimed.remaining == 3


async def test_the_lower_priority_number_comes_first_then_the_first_come(bench: Bench) -> None:
    for task_id, priority in [("a", 100), ("b", 50), ("c", 0), ("d", 50), ("e", 0), ("f", 51)]:
        await bench.add(task_id, priority=priority)
    leases = await bench.take(10)
    assert [lease.fence.id for lease in leases] == ["c", "e", "b", "d", "f", "a"]


async def test_a_promoted_task_stands_behind_those_that_were_ready(bench: Bench) -> None:
    await bench.add("late", delay_ms=10)
    await bench.add("early")
    bench.clock.advance(10)
    await bench.store.promote(Q, limit=10)
    assert [lease.fence.id for lease in await bench.take(10)] == ["early", "late"]


async def test_a_task_in_hand_is_not_claimed_again(bench: Bench) -> None:
    await bench.active()
    assert await bench.take(10) == []


async def test_a_scheduled_task_is_not_claimed_though_it_is_due(bench: Bench) -> None:
    await bench.add("t", delay_ms=1)
    bench.clock.advance(1)
    assert await bench.take(10) == []


async def test_a_paused_queue_gives_nothing_and_says_that_nothing_remains(bench: Bench) -> None:
    await bench.add("t")
    await bench.store.pause(Q)
    before = await bench.dump()
    assert before.paused
    claimed = await bench.store.claim(Q, limit=5, lease_ms=1, worker="w", nonce=b"n" * 8)
    assert claimed == Claimed((), 0)
    assert await bench.dump() == before


async def test_a_resumed_queue_gives_again(bench: Bench) -> None:
    await bench.add("t")
    await bench.store.pause(Q)
    await bench.store.resume(Q)
    assert not (await bench.dump()).paused
    assert len(await bench.take()) == 1


async def test_a_pause_leaves_what_is_in_hand_alone(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.pause(Q)
    assert await bench.store.settle(Q, [Released(fence)]) == (State.PENDING,)


async def test_a_claim_buries_what_has_expired(bench: Bench) -> None:
    await bench.add("t", expires_in_ms=10)
    before = await bench.record()
    bench.clock.advance(10)
    claimed = await bench.store.claim(Q, limit=5, lease_ms=1, worker="w", nonce=b"n" * 8)
    assert claimed == Claimed((), 0, deaths=(Death("t", 0, "expired"),))
    assert await bench.record() == attrs.evolve(
        before, state=State.DEAD, error="expired", finished_ms=START + 10
    )
    assert (await bench.dump()).counters.dead == 1


async def test_a_task_is_claimed_up_to_the_instant_before_it_expires(bench: Bench) -> None:
    await bench.add("t", expires_in_ms=10)
    bench.clock.advance(9)
    assert len(await bench.take()) == 1


@pytest.mark.parametrize("delay_ms", [0, 70])
async def test_no_attempt_starts_before_its_task_was_due_by_a_clock_that_was_set_back(
    bench: Bench, delay_ms: int
) -> None:
    await bench.add("t", delay_ms=delay_ms)
    bench.clock.advance(delay_ms)
    await bench.store.promote(Q, limit=1)
    bench.clock.advance(-1000)
    (lease,) = await bench.take()
    assert (await bench.record()).started_ms == START + delay_ms
    assert lease.lease_ms == bench.clock.now + LEASE
    await bench.check()
    # So its record is that of this task, and not of an older one with its id.
    await bench.store.settle(Q, [attrs.evolve(failed(lease.fence), detail=b"x")])
    assert [one.started_ms for one in (await bench.record()).attempts] == [START + delay_ms]


async def test_a_task_that_expired_before_it_was_due_does_not_start_by_such_a_clock(
    bench: Bench,
) -> None:
    await bench.add("t", delay_ms=100, expires_in_ms=50)
    bench.clock.advance(100)
    await bench.store.promote(Q, limit=1)
    bench.clock.advance(-90)
    assert await bench.take() == []
    assert (await bench.record()).state is State.DEAD


async def test_an_expired_task_takes_a_place_within_the_limit(bench: Bench) -> None:
    await bench.add("old", expires_in_ms=1)
    await bench.add("a", "b", "c")
    bench.clock.advance(1)
    claimed = await bench.store.claim(Q, limit=2, lease_ms=1, worker="w", nonce=b"n" * 8)
    assert [lease.fence.id for lease in claimed.leases] == ["a"]
    assert claimed.remaining == 2


async def test_each_delivery_has_the_next_number_and_its_own_token(bench: Bench) -> None:
    first = await bench.active()
    await bench.store.settle(Q, [Released(first)])
    [lease] = await bench.take()
    assert (lease.fence.deliveries, lease.attempt) == (2, 1)
    assert lease.fence.nonce != first.nonce


async def test_an_attempt_that_failed_is_charged_at_the_next_claim(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.settle(Q, [failed(fence, delay_ms=0)])
    await bench.store.promote(Q, limit=1)
    [lease] = await bench.take()
    assert (lease.fence.deliveries, lease.attempt) == (2, 2)


async def test_a_claim_that_buries_and_leases_answers_both(bench: Bench) -> None:
    await bench.add("old", UUID7, expires_in_ms=10)
    await bench.add("new")
    bench.clock.advance(10)
    claimed = await bench.store.claim(Q, limit=5, lease_ms=1, worker="w", nonce=b"n" * 8)
    assert [lease.fence.id for lease in claimed.leases] == ["new"]
    assert claimed.deaths == (Death("old", 0, "expired"), Death(UUID7, 0, "expired"))


@pytest.mark.parametrize("worker", ["other", "wörker:1"])
async def test_a_claim_names_its_worker(bench: Bench, worker: str) -> None:
    await bench.add("t")
    await bench.take(worker=worker)
    assert (await bench.record()).worker == worker


async def test_a_mortal_task_in_hand_does_not_expire(bench: Bench) -> None:
    await bench.active(expires_in_ms=10)
    bench.clock.advance(10)
    assert (await bench.store.expire(Q, limit=10)).moved == 0
    assert (await bench.record()).state is State.ACTIVE
