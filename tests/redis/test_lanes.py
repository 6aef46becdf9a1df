"""Lanes of limit keys in Redis: whom their changes wake, and more lanes than one claim opens."""

from __future__ import annotations

import trio

from rediq_trio.spec.messages import Relations
from rediq_trio.store.broadcast import SignalKind
from tests.conformance.bench import START, Q, heard, new
from tests.redis.conftest import Behind

KEY = Relations(limit_key="k")


async def test_a_task_for_a_lane_that_is_shut_already_wakes_nobody(behind: Behind) -> None:
    bench = behind.bench
    await bench.store.limit(Q, key="k", concurrency=1, count=1, period_ms=100)
    await bench.store.limit(Q, key="rated", count=1, period_ms=100)
    await bench.add("full", "waits", relations=KEY)
    await bench.add("r1", "r2", relations=Relations(limit_key="rated"))
    assert len(await bench.take(10)) == 2
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        with trio.move_on_after(0.4):
            async for _ in signals:
                pass
        await bench.add("waits-too", relations=KEY)
        await bench.add("r3", relations=Relations(limit_key="rated"))
        await bench.store.delete(Q, ["waits", "waits-too"])
        await bench.add("full-again", relations=KEY)
        with trio.move_on_after(0.4):
            async for signal in signals:
                assert signal.kind is not SignalKind.WAKE


async def test_lanes_that_one_claim_does_not_open_are_opened_by_the_next(behind: Behind) -> None:
    bench = behind.bench
    await bench.store.limit(Q, key="*", count=1, period_ms=100)
    for task in ("a", "b"):
        await bench.store.enqueue(
            Q, [new(f"{task}{n}", relations=Relations(limit_key=f"k{n}")) for n in range(500)]
        )
        await bench.store.enqueue(
            Q, [new(f"{task}{n}", relations=Relations(limit_key=f"k{n}")) for n in range(500, 1001)]
        )
    assert len(await bench.take(1000)) == 1000
    assert len(await bench.take(1000)) == 1
    bench.clock.now = START + 250
    first = await bench.store.claim(Q, limit=1000, lease_ms=1000, worker="w", nonce=b"12345678")
    # The last lane is still shut, and past its instant.
    assert (len(first.leases), first.remaining, first.next_in_ms) == (1000, 0, 0)
    assert len(await bench.take(1000)) == 1


async def test_twenty_thousand_lanes_are_emptied_in_as_few_claims_as_tasks_need(
    behind: Behind,
) -> None:
    bench, count = behind.bench, 20_000
    await bench.store.limit(Q, key="*", concurrency=1)
    for first in range(0, count, 1000):
        tasks = [
            new(f"t{n}", relations=Relations(limit_key=f"k{n}")) for n in range(first, first + 1000)
        ]
        await bench.store.enqueue(Q, tasks)
    claimed = [len(await bench.take(1000)) for _ in range(count // 1000)]
    assert claimed == [1000] * (count // 1000)
    assert [*await bench.take(1)] == []


async def test_a_task_behind_two_thousand_shut_lanes_is_claimed_at_once(behind: Behind) -> None:
    bench, count = behind.bench, 2000
    await bench.store.limit(Q, key="*", concurrency=1)
    for part in "ab":  # the first of each lane runs, and the second waits for it
        for first in range(0, count, 1000):
            tasks = [
                new(f"{part}{n}", relations=Relations(limit_key=f"k{n}"))
                for n in range(first, first + 1000)
            ]
            await bench.store.enqueue(Q, tasks)
    for _ in range(2):
        assert len(await bench.take(1000)) == 1000
    await bench.add("open", relations=Relations(limit_key="another"))
    await bench.add("free")
    # One call each, however many lanes are shut.
    assert [lease.fence.id for lease in await bench.take(1000)] == ["open", "free"]
