"""Limits: of concurrency, of rates, of pending tasks; and turns between limit keys."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Answer,
    AnswerKind,
    Completed,
    Fence,
    NewTask,
    Relations,
    Released,
    Stopped,
)
from rediq_trio.spec.records import Limit
from rediq_trio.store.broadcast import SignalKind

from .bench import START, Bench, Q, failed, heard, new, snoozed

KEY_A, KEY_B = Relations(limit_key="a"), Relations(limit_key="b")
FULL = Answer(AnswerKind.FULL)


def keyed(key: str, *ids: str, **options: Any) -> list[NewTask]:
    return [new(task_id, relations=Relations(limit_key=key), **options) for task_id in ids]


async def ids_of(bench: Bench, limit: int = 100, **options: Any) -> list[str]:
    """Claim, and give the ids in the order in which they came."""
    leases = await bench.take(limit, **options)
    await bench.check_derived()
    return [lease.fence.id for lease in leases]


async def claimed(bench: Bench, limit: int = 100) -> tuple[list[str], int]:
    """Claim, and give the ids with how many are said to remain."""
    answer = await bench.store.claim(Q, limit=limit, lease_ms=1000, worker="w", nonce=b"87654321")
    await bench.check_derived()
    return [lease.fence.id for lease in answer.leases], answer.remaining


async def fence_of(bench: Bench, task_id: str) -> Fence:
    record = await bench.record(task_id)
    return Fence(task_id, record.deliveries, record.nonce)


async def start_times(bench: Bench, until: int, step: int = 1) -> list[int]:
    """Let time pass, claim whenever it may be, complete at once; give when tasks started."""
    starts: list[int] = []
    for at in range(0, until, step):
        bench.clock.now = START + at
        for lease in await bench.take(100):
            starts.append(at)
            await bench.store.settle(Q, [Completed(lease.fence, b"")])
    return starts


# --- concurrency


async def test_no_more_run_than_the_queue_may(bench: Bench) -> None:
    await bench.add("t", "u", "v")
    await bench.store.limit(Q, key="", concurrency=2)
    assert await claimed(bench) == (["t", "u"], 0)
    assert await claimed(bench) == ([], 0)
    assert (await bench.dump()).rates == {}
    assert await bench.ids(State.PENDING) == ["v"]


async def test_a_queue_counts_tasks_of_every_key_and_of_none(bench: Bench) -> None:
    await bench.add("t", relations=KEY_A)
    await bench.add("u")
    await bench.add("v", relations=KEY_B)
    await bench.store.limit(Q, key="", concurrency=2)
    assert await ids_of(bench) == ["t", "u"]
    assert await ids_of(bench) == []


async def test_no_more_of_a_key_run_than_may_and_others_pass(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.add("b1", "b2", relations=KEY_B)
    await bench.add("plain")
    await bench.store.limit(Q, key="a", concurrency=1)
    assert await claimed(bench) == (["a1", "b1", "b2", "plain"], 0)
    assert await bench.ids(State.PENDING) == ["a2"]


async def test_tasks_that_wait_for_a_permit_are_not_moved(bench: Bench) -> None:
    await bench.add("a1", "a2", "a3", relations=KEY_A)
    await bench.store.limit(Q, key="a", concurrency=1)
    await bench.take()
    before = await bench.dump()
    for _ in range(3):
        assert await bench.take(10) == []
        await bench.store.promote(Q, limit=100)
    assert await bench.dump() == before


async def give_back(bench: Bench, way: str) -> None:
    fence = await fence_of(bench, "a1")
    match way:
        case "complete":
            await bench.store.settle(Q, [Completed(fence, b"")])
        case "complete and drop":
            await bench.store.settle(Q, [Completed(fence, b"")])
        case "fail":
            await bench.store.settle(Q, [failed(fence)])
        case "die":
            await bench.store.settle(Q, [failed(fence, final=True)])
        case "snooze":
            await bench.store.settle(Q, [snoozed(fence)])
        case "stop":
            await bench.store.cancel(Q, "a1")
            await bench.store.settle(Q, [Stopped(fence)])
        case "release":
            await bench.store.settle(Q, [Released(fence)])
        case "reclaim":
            bench.clock.advance(30_000)
            await bench.store.reclaim(Q, limit=10)
        case _:
            raise AssertionError(way)


WAYS = ["complete", "complete and drop", "fail", "die", "snooze", "stop", "release", "reclaim"]


@pytest.mark.parametrize("key", ["", "a"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_permit_dies_with_its_lease(bench: Bench, key: str, way: str) -> None:
    keep = 0 if way == "complete and drop" else 60_000
    await bench.add("a1", relations=KEY_A, retention_ms=keep)
    await bench.add("a2", relations=KEY_A)
    await bench.store.limit(Q, key=key, concurrency=1)
    assert await ids_of(bench) == ["a1"]
    await give_back(bench, way)
    await bench.check_derived()
    # What was given back goes to its old place, in front.
    following = "a1" if way in ("release", "reclaim") else "a2"
    assert await claimed(bench) == ([following], 0)


@pytest.mark.parametrize("key", ["", "a"])
async def test_a_flush_takes_the_permits_too(bench: Bench, key: str) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.store.limit(Q, key=key, concurrency=1)
    await bench.take()
    await bench.store.flush(Q)
    await bench.check_derived()
    await bench.add("a3", relations=KEY_A)
    assert await ids_of(bench) == ["a3"]


async def test_a_cancelled_task_in_hand_keeps_its_permit_until_it_has_stopped(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.store.limit(Q, key="a", concurrency=1)
    await bench.take()
    await bench.store.cancel(Q, "a1")
    assert await ids_of(bench) == []


async def test_a_renewed_lease_is_one_permit(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.store.limit(Q, key="a", concurrency=2)
    [lease] = await bench.take()
    await bench.store.renew(Q, [lease.fence], lease_ms=90_000)
    assert await ids_of(bench) == ["a2"]


async def test_a_stale_outcome_frees_no_permit(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.store.limit(Q, key="a", concurrency=1)
    [lease] = await bench.take(lease_ms=1)
    bench.clock.advance(1)
    await bench.store.reclaim(Q, limit=1)
    assert await ids_of(bench) == ["a1"]
    await bench.store.settle(Q, [Completed(lease.fence, b"")])
    assert await ids_of(bench) == []


async def test_every_key_without_a_limit_has_the_common_one(bench: Bench) -> None:
    await bench.add("a1", "a2", "a3", relations=KEY_A)
    await bench.add("b1", "b2", relations=KEY_B)
    await bench.add("t", "u")
    await bench.store.limit(Q, key="*", concurrency=1)
    await bench.store.limit(Q, key="a", concurrency=2)
    assert await ids_of(bench) == ["a1", "a2", "b1", "t", "u"]


async def test_a_key_whose_limit_is_lifted_has_the_common_one(bench: Bench) -> None:
    await bench.add("a1", "a2", "a3", relations=KEY_A)
    await bench.store.limit(Q, key="*", concurrency=2)
    await bench.store.limit(Q, key="a", concurrency=1)
    assert await ids_of(bench) == ["a1"]
    await bench.store.limit(Q, key="a", concurrency=0)
    await bench.check_derived()
    assert await ids_of(bench) == ["a2"]


@pytest.mark.parametrize("key", ["", "a", "*"])
async def test_a_limit_set_raised_lowered_and_lifted_is_seen_by_the_next_claim(
    bench: Bench, key: str
) -> None:
    await bench.add(*"123456", relations=KEY_A)
    assert await ids_of(bench, 1) == ["1"]
    await bench.store.limit(Q, key=key, concurrency=1)
    await bench.check_derived()
    assert await ids_of(bench) == []
    await bench.store.limit(Q, key=key, concurrency=3)
    await bench.check_derived()
    assert await ids_of(bench) == ["2", "3"]
    await bench.store.limit(Q, key=key, concurrency=2)
    await bench.store.settle(Q, [Completed(await fence_of(bench, "1"), b"")])
    assert await ids_of(bench) == []
    await bench.store.limit(Q, key=key, concurrency=0)
    await bench.check_derived()
    assert await ids_of(bench) == ["4", "5", "6"]


async def test_each_part_of_a_limit_is_set_by_itself(bench: Bench) -> None:
    await bench.store.limit(Q, key="a", concurrency=2)
    await bench.store.limit(Q, key="a", count=3, period_ms=20, burst=2)
    assert await bench.store.limits(Q) == {"a": Limit(2, 3, 20, 2)}
    await bench.store.limit(Q, key="a", concurrency=0)
    assert await bench.store.limits(Q) == {"a": Limit(0, 3, 20, 2)}
    await bench.store.limit(Q, key="a", concurrency=1, count=0)
    assert await bench.store.limits(Q) == {"a": Limit(1)}
    await bench.store.limit(Q, key="a", concurrency=0)
    assert await bench.store.limits(Q) == {}


# --- rates


@pytest.mark.parametrize("key", ["", "a", "*"])
async def test_starts_are_spread_over_the_period(bench: Bench, key: str) -> None:
    await bench.add(*"12345", relations=KEY_A)
    await bench.store.limit(Q, key=key, count=4, period_ms=40)
    assert await start_times(bench, 60) == [0, 10, 20, 30, 40]


async def test_a_burst_may_come_at_once_and_fills_up_in_a_pause(bench: Bench) -> None:
    await bench.add(*"123456789", relations=KEY_A)
    await bench.store.limit(Q, key="a", count=4, period_ms=40, burst=3)
    assert await start_times(bench, 25) == [0, 0, 0, 10, 20]
    # The last arrival is due at 50; a pause longer than that leaves no more than the burst.
    bench.clock.now = START + 1000
    assert await ids_of(bench) == ["6", "7", "8"]
    bench.clock.now = START + 1009
    assert await ids_of(bench) == []
    bench.clock.now = START + 1010
    assert await ids_of(bench) == ["9"]


async def test_a_period_that_does_not_divide_rounds_up_and_never_gives_one_more(
    bench: Bench,
) -> None:
    await bench.add(*"12345678", relations=KEY_A)
    await bench.store.limit(Q, key="a", count=3, period_ms=10)
    # An interval of 3.4 ms, with a slack of 0.2 ms. A start comes at a whole ms, and the arrival
    # counts from there.
    assert await start_times(bench, 30) == [0, 4, 8, 12, 16, 20, 24, 28]


async def test_an_arrival_is_kept_to_the_microsecond_where_there_is_a_burst(bench: Bench) -> None:
    await bench.add(*"12345678", relations=KEY_A)
    await bench.store.limit(Q, key="a", count=3, period_ms=10, burst=2)
    # An interval of 3.334 ms, and a tolerance of 3.336. The arrival is 2 starts ahead at 0: 6.668.
    assert await start_times(bench, 22) == [0, 0, 4, 7, 10, 14, 17, 21]


async def test_a_start_that_is_late_delays_none_after_it(bench: Bench) -> None:
    await bench.add(*map(str, range(9)), relations=KEY_A)
    # An interval of 102 ms, and a slack of 20.
    await bench.store.limit(Q, key="a", count=10, period_ms=1000)
    starts: list[int] = []
    for at in (0, 81, 82, 204, 285, 286, 387, 388, 1000, 1081, 1082, 1183, 1184):
        bench.clock.now = START + at
        starts += [at for _ in await ids_of(bench)]
    # 204 is 20 ms late, which delays none; 1000 is later, which is lost.
    assert starts == [0, 82, 204, 286, 388, 1000, 1082, 1184]


async def test_a_rate_of_one_start_has_no_slack(bench: Bench) -> None:
    await bench.add(*"123", relations=KEY_A)
    await bench.store.limit(Q, key="a", count=1, period_ms=1000)
    assert await start_times(bench, 2500, 5) == [0, 1000, 2000]


async def test_no_period_sees_more_starts_than_count_and_burst(bench: Bench) -> None:
    await bench.add(*map(str, range(40)), relations=KEY_A)
    await bench.store.limit(Q, key="a", count=5, period_ms=17, burst=3)
    starts = await start_times(bench, 100)
    for begin in starts:
        assert sum(begin <= at < begin + 17 for at in starts) <= 5 + 3 - 1
    assert len(starts) == 3 + 100 * 5 // 17


async def test_a_queues_rate_counts_every_task(bench: Bench) -> None:
    await bench.add("a1", relations=KEY_A)
    await bench.add("t", "u")
    await bench.store.limit(Q, key="", count=1, period_ms=10)
    assert await claimed(bench) == (["a1"], 0)
    bench.clock.advance(9)
    assert await claimed(bench) == ([], 0)
    bench.clock.advance(1)
    assert await claimed(bench) == (["t"], 0)


async def test_what_a_queues_rate_allows_at_this_instant_remains(bench: Bench) -> None:
    await bench.add("t", "u", "v")
    await bench.store.limit(Q, key="", count=2, period_ms=20, burst=2)
    answer = await bench.store.claim(Q, limit=1, lease_ms=1000, worker="w", nonce=b"87654321")
    # An arrival 10 ms ahead, and a tolerance of 10 ms: the next start is free now, and no later.
    assert (len(answer.leases), answer.remaining, answer.next_in_ms) == (1, 2, None)
    assert await claimed(bench) == (["u"], 0)


async def test_a_common_rate_counts_each_key_apart(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.add("b1", "b2", relations=KEY_B)
    await bench.store.limit(Q, key="*", count=1, period_ms=10)
    assert await ids_of(bench) == ["a1", "b1"]
    bench.clock.advance(10)
    assert await ids_of(bench) == ["a2", "b2"]


async def test_a_rate_does_not_wait_for_an_end_nor_is_it_paid_back(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.store.limit(Q, key="a", count=1, period_ms=10)
    [lease] = await bench.take()
    await bench.store.settle(Q, [Released(lease.fence)])
    assert await ids_of(bench) == []
    bench.clock.advance(10)
    assert await ids_of(bench) == ["a1"]
    bench.clock.advance(10)
    assert await ids_of(bench) == ["a2"]


async def test_tasks_that_wait_for_a_rate_are_not_moved(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.add("t", "u")
    await bench.store.limit(Q, key="a", count=1, period_ms=100)
    await bench.store.limit(Q, key="", count=2, period_ms=100, burst=2)
    assert await ids_of(bench) == ["a1", "t"]
    before = await bench.dump()
    for _ in range(3):
        bench.clock.advance(10)
        assert await ids_of(bench) == []
        await bench.store.promote(Q, limit=100)
    assert await bench.dump() == before


async def test_both_the_rate_and_the_concurrency_of_a_key_hold(bench: Bench) -> None:
    await bench.add("a1", "a2", "a3", relations=KEY_A)
    await bench.store.limit(Q, key="a", concurrency=2, count=1, period_ms=10)
    assert await ids_of(bench) == ["a1"]
    bench.clock.advance(10)
    assert await ids_of(bench) == ["a2"]
    bench.clock.advance(10)
    assert await ids_of(bench) == []
    await bench.store.settle(Q, [Completed(await fence_of(bench, "a1"), b"")])
    assert await ids_of(bench) == ["a3"]


@pytest.mark.parametrize("key", ["", "a", "*"])
async def test_a_rate_that_is_raised_counts_from_now(bench: Bench, key: str) -> None:
    await bench.add("a1", "a2", "a3", relations=KEY_A)
    await bench.store.limit(Q, key=key, count=1, period_ms=3_600_000)
    assert await ids_of(bench) == ["a1"]
    await bench.store.limit(Q, key=key, count=1, period_ms=10)
    await bench.check_derived()
    assert await next_start(bench) == 10
    assert await start_times(bench, 30) == [10, 20]


async def test_a_rate_that_is_raised_keeps_its_burst_for_later(bench: Bench) -> None:
    await bench.add(*"12345", relations=KEY_A)
    await bench.store.limit(Q, key="a", count=1, period_ms=3_600_000)
    assert await ids_of(bench) == ["1"]
    await bench.store.limit(Q, key="a", count=2, period_ms=20, burst=2)
    assert await start_times(bench, 35) == [10, 20, 30]


async def test_a_rate_that_is_lowered_counts_from_the_last_start(bench: Bench) -> None:
    await bench.add("a1", "a2", "a3", relations=KEY_A)
    await bench.store.limit(Q, key="a", count=1, period_ms=10)
    assert await ids_of(bench) == ["a1"]
    await bench.store.limit(Q, key="a", count=1, period_ms=1000)
    assert await start_times(bench, 2000, 5) == [10, 1010]


@pytest.mark.parametrize("key", ["", "a", "*"])
async def test_a_rate_that_is_lifted_is_forgotten(bench: Bench, key: str) -> None:
    await bench.add("a1", "a2", "a3", relations=KEY_A)
    await bench.store.limit(Q, key=key, count=1, period_ms=1000)
    assert await ids_of(bench) == ["a1"]
    await bench.store.limit(Q, key=key, count=0)
    assert (await bench.dump()).rates == {}
    await bench.store.limit(Q, key=key, count=1, period_ms=1000)
    assert await ids_of(bench) == ["a2"]


async def test_the_common_rate_leaves_the_queues_and_others_own_alone(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.store.limit(Q, key="", count=1, period_ms=1000)
    await bench.store.limit(Q, key="a", count=1, period_ms=1000)
    assert await ids_of(bench) == ["a1"]
    before = (await bench.dump()).rates
    assert set(before) == {"", "a"}
    await bench.store.limit(Q, key="*", count=1, period_ms=1)
    await bench.store.limit(Q, key="*", count=0)
    assert (await bench.dump()).rates == before


async def test_rates_that_do_not_bind_any_more_are_purged(bench: Bench) -> None:
    await bench.add("a1", relations=KEY_A)
    await bench.store.limit(Q, key="*", count=1, period_ms=10)
    await bench.take()
    keep = {"limit": 10, "dead_retention_ms": 10**9, "max_dead": 10}
    bench.clock.advance(9)
    await bench.store.purge(Q, **keep)
    assert (await bench.dump()).rates == {"a": (START + 10) * 1000}
    bench.clock.advance(1)
    await bench.store.purge(Q, **keep)
    assert (await bench.dump()).rates == {}


async def next_start(bench: Bench) -> int | None:
    """Claim nothing, and return in how many ms the next start is said to be possible."""
    answer = await bench.store.claim(Q, limit=100, lease_ms=1000, worker="w", nonce=b"nextstar")
    await bench.check_derived()
    assert answer.leases == ()
    assert answer.remaining == 0
    return answer.next_in_ms


async def test_a_claim_is_told_when_a_rate_allows_the_next_start(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.add("b1", "b2", relations=KEY_B)
    await bench.store.limit(Q, key="a", count=1, period_ms=50)
    await bench.store.limit(Q, key="b", count=1, period_ms=30)
    first = await bench.store.claim(Q, limit=100, lease_ms=1000, worker="w", nonce=b"87654321")
    assert (len(first.leases), first.remaining, first.next_in_ms) == (2, 0, 30)
    assert await next_start(bench) == 30
    bench.clock.advance(30)
    second = await bench.store.claim(Q, limit=100, lease_ms=1000, worker="w", nonce=b"87654322")
    assert (len(second.leases), second.remaining, second.next_in_ms) == (1, 0, 20)
    bench.clock.advance(20)
    assert await ids_of(bench) == ["a2"]
    # Nothing is left that could start.
    assert await next_start(bench) is None


async def test_a_claim_that_leaves_tasks_is_told_of_no_instant(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.add("t", "u")
    await bench.store.limit(Q, key="a", count=1, period_ms=50)
    answer = await bench.store.claim(Q, limit=2, lease_ms=1000, worker="w", nonce=b"87654321")
    assert (answer.remaining, answer.next_in_ms) == (1, None)
    # Plain tasks and a lane that a rate shuts.
    answer = await bench.store.claim(Q, limit=2, lease_ms=1000, worker="w", nonce=b"87654322")
    assert (len(answer.leases), answer.remaining, answer.next_in_ms) == (1, 0, 50)


async def test_a_claim_of_a_paused_queue_is_told_of_no_instant(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.store.limit(Q, key="a", count=1, period_ms=50)
    await bench.take()
    await bench.store.pause(Q)
    assert await next_start(bench) is None


async def test_a_claim_that_buries_is_told_of_the_lane_that_this_fills(bench: Bench) -> None:
    await bench.store.limit(Q, key="a", count=1, period_ms=50)
    await bench.add("a1", relations=KEY_A)
    await bench.take()
    await bench.add("t", expires_in_ms=5)
    after = Relations(needs=("t",), run_on_dependency_failure=True, limit_key="a")
    await bench.add("a2", relations=after)
    bench.clock.advance(5)
    assert await next_start(bench) == 45
    assert (await bench.record("t")).state is State.DEAD


async def test_the_queues_rate_comes_before_those_of_its_keys(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.store.limit(Q, key="a", count=1, period_ms=30)
    await bench.store.limit(Q, key="", count=1, period_ms=50)
    await bench.take()
    assert await next_start(bench) == 50
    bench.clock.advance(50)
    assert await ids_of(bench) == ["a2"]


async def test_a_claim_is_told_of_the_queues_rate_also_without_keys(bench: Bench) -> None:
    await bench.add("t", "u")
    await bench.store.limit(Q, key="", count=1, period_ms=50)
    await bench.take()
    assert await next_start(bench) == 50


async def test_a_claim_is_told_of_no_rate_where_nothing_could_start(bench: Bench) -> None:
    await bench.add("a1", relations=KEY_A)
    await bench.store.limit(Q, key="", count=1, period_ms=50)
    await bench.store.limit(Q, key="a", concurrency=1, count=1, period_ms=50)
    await bench.take()
    assert await next_start(bench) is None
    await bench.add("a2", relations=KEY_A)
    await bench.store.limit(Q, key="", concurrency=1)
    assert await next_start(bench) is None
    await bench.store.limit(Q, key="", concurrency=0, count=0)
    # The end of the other task opens the lane, and no time.
    assert await next_start(bench) is None


async def test_a_promotion_waits_for_no_rate(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.store.limit(Q, key="a", count=1, period_ms=50)
    await bench.store.limit(Q, key="", count=1, period_ms=50)
    await bench.take()
    await bench.add("later", delay_ms=80)
    assert (await bench.store.promote(Q, limit=100)).next_in_ms == 80


# --- turns


async def test_keys_take_turns_in_a_fair_queue(bench: Bench) -> None:
    await bench.add("a1", "a2", "a3", "a4", relations=KEY_A)
    await bench.add("b1", "b2", relations=KEY_B)
    await bench.add("t", "u")
    await bench.store.arrange(Q, fair=True)
    await bench.check_derived()
    assert await ids_of(bench) == ["t", "a1", "b1", "u", "a2", "b2", "a3", "a4"]


async def test_turns_go_on_from_claim_to_claim(bench: Bench) -> None:
    await bench.add("a1", "a2", "a3", relations=KEY_A)
    await bench.add("b1", "b2", relations=KEY_B)
    await bench.add("t", "u")
    await bench.store.arrange(Q, fair=True)
    taken = [(await ids_of(bench, 1))[0] for _ in range(7)]
    assert taken == ["t", "a1", "b1", "u", "a2", "b2", "a3"]


async def test_priorities_hold_within_a_key(bench: Bench) -> None:
    await bench.add("a-last", relations=KEY_A, priority=90)
    await bench.add("a-first", relations=KEY_A, priority=10)
    await bench.add("b-last", relations=KEY_B, priority=99)
    await bench.store.arrange(Q, fair=True)
    assert await ids_of(bench) == ["a-first", "b-last", "a-last"]


async def test_who_comes_late_waits_no_longer_than_a_round(bench: Bench) -> None:
    await bench.add(*(f"a{n}" for n in range(9)), relations=KEY_A)
    await bench.store.arrange(Q, fair=True)
    assert await ids_of(bench, 4) == ["a0", "a1", "a2", "a3"]
    await bench.add("b1", "b2", "b3", relations=KEY_B)
    # The newcomer has no old turns to catch up on.
    assert await ids_of(bench, 5) == ["a4", "b1", "a5", "b2", "a6"]


async def test_a_key_that_its_limit_shuts_out_is_passed_over(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.add("b1", "b2", "b3", relations=KEY_B)
    await bench.store.limit(Q, key="a", concurrency=1)
    await bench.store.arrange(Q, fair=True)
    assert await ids_of(bench) == ["a1", "b1", "b2", "b3"]
    await bench.store.settle(Q, [Completed(await fence_of(bench, "a1"), b"")])
    assert await ids_of(bench) == ["a2"]


async def test_fairness_can_be_switched_while_tasks_wait(bench: Bench) -> None:
    await bench.add("a1", "a2", "a3", relations=KEY_A)
    await bench.add("b1", "b2", relations=KEY_B)
    await bench.add("t")
    assert await ids_of(bench, 1) == ["a1"]
    await bench.store.arrange(Q, fair=True)
    await bench.check_derived()
    assert await ids_of(bench, 2) == ["t", "b1"]
    await bench.store.arrange(Q, fair=False)
    await bench.check_derived()
    assert await ids_of(bench) == ["a2", "a3", "b2"]


async def test_without_fairness_order_is_by_priority_and_age_across_keys(bench: Bench) -> None:
    await bench.add("a1", relations=KEY_A)
    await bench.add("t", priority=10)
    await bench.add("b1", relations=KEY_B, priority=20)
    await bench.add("u")
    await bench.add("a2", relations=KEY_A)
    assert await ids_of(bench) == ["t", "b1", "a1", "u", "a2"]
    # Turns are counted for keys alone.
    found = await bench.dump()
    assert (found.turn, found.turns) == (3, {})


async def test_a_task_tied_otherwise_has_no_permit_of_a_key(bench: Bench) -> None:
    await bench.add("t", relations=Relations(unique="k"))
    assert await ids_of(bench) == ["t"]


async def test_tasks_without_a_key_count_their_turns_also_where_they_are_alone(
    bench: Bench,
) -> None:
    await bench.add("t", "u")
    await bench.store.arrange(Q, fair=True)
    assert await ids_of(bench) == ["t", "u"]
    await bench.store.limit(Q, key="", concurrency=3)
    found = await bench.dump()
    assert (found.turn, found.turns) == (2, {"": 2})


async def test_what_is_gone_takes_no_turn(bench: Bench) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.add("b1", relations=KEY_B)
    await bench.store.arrange(Q, fair=True)
    await bench.store.cancel(Q, "a1")
    await bench.store.delete(Q, ["b1"])
    await bench.check_derived()
    assert await ids_of(bench) == ["a2"]
    assert set((await bench.dump()).turns) <= {""}


# --- with the rest


async def test_an_expired_task_uses_up_no_limit(bench: Bench) -> None:
    await bench.add("a1", relations=KEY_A, expires_in_ms=5)
    await bench.add("a2", "a3", relations=KEY_A)
    await bench.store.limit(Q, key="a", concurrency=1, count=1, period_ms=100)
    await bench.store.limit(Q, key="", concurrency=1, count=1, period_ms=100)
    bench.clock.advance(5)
    assert await claimed(bench, 2) == (["a2"], 0)
    assert (await bench.record("a1")).state is State.DEAD


async def test_an_expired_task_that_waits_for_a_permit_is_buried(bench: Bench) -> None:
    await bench.add("a1", relations=KEY_A)
    await bench.add("a2", relations=KEY_A, expires_in_ms=5)
    await bench.store.limit(Q, key="a", concurrency=1)
    await bench.take()
    bench.clock.advance(5)
    await bench.store.expire(Q, limit=10)
    await bench.check_derived()
    assert (await bench.record("a2")).state is State.DEAD


async def test_a_paused_queue_charges_nothing(bench: Bench) -> None:
    await bench.add("a1", relations=KEY_A)
    await bench.store.limit(Q, key="a", concurrency=1, count=1, period_ms=100)
    await bench.store.pause(Q)
    before = await bench.dump()
    assert await claimed(bench) == ([], 0)
    assert await bench.dump() == before
    await bench.store.resume(Q)
    assert await ids_of(bench) == ["a1"]


async def test_each_open_lane_remains(bench: Bench) -> None:
    await bench.add("a1", "a2", "a3", relations=KEY_A)
    await bench.add("b1", "b2", relations=KEY_B)
    await bench.add("t", "u")
    assert await claimed(bench, 1) == (["a1"], 4)
    await bench.store.limit(Q, key="b", count=1, period_ms=100)
    assert await claimed(bench, 3) == (["a2", "a3", "b1"], 2)


async def test_the_age_of_the_first_of_each_lane_counts(bench: Bench) -> None:
    await bench.add("a1", relations=KEY_A)
    bench.clock.advance(10)
    await bench.add("b1", relations=KEY_B)
    bench.clock.advance(10)
    await bench.add("t")
    assert (await bench.store.stats(Q)).oldest_pending_age_ms == 20
    assert (await bench.store.stats(Q)).sizes == {State.PENDING: 3}
    await bench.store.limit(Q, key="a", concurrency=1)
    await bench.take()
    assert (await bench.store.stats(Q)).oldest_pending_age_ms == 10
    await bench.add("a2", relations=KEY_A)
    bench.clock.advance(10)
    await bench.take(10)
    assert (await bench.store.stats(Q)).oldest_pending_age_ms == 10


async def test_a_replaced_task_changes_lanes(bench: Bench) -> None:
    first = Relations(unique="k", limit_key="a", replace=True)
    await bench.add("t", relations=first)
    [answer] = await bench.store.enqueue(
        Q, [new("u", relations=Relations(unique="k", limit_key="b", replace=True))]
    )
    assert answer == Answer(AnswerKind.REPLACED, "t", State.PENDING)
    await bench.check_derived()
    await bench.store.limit(Q, key="b", concurrency=1)
    await bench.add("v", relations=KEY_B)
    assert await ids_of(bench) == ["t"]


async def test_tasks_scheduled_and_retried_come_into_their_lane(bench: Bench) -> None:
    await bench.add("a1", relations=KEY_A)
    await bench.add("a2", relations=KEY_A, delay_ms=500)
    await bench.store.limit(Q, key="a", concurrency=1)
    [lease] = await bench.take()
    await bench.store.settle(Q, [failed(lease.fence, delay_ms=500)])
    await bench.check_derived()
    bench.clock.advance(500)
    await bench.store.promote(Q, limit=10)
    await bench.check_derived()
    assert await ids_of(bench) == ["a1"]


async def test_a_revived_task_comes_into_its_lane(bench: Bench) -> None:
    await bench.store.limit(Q, key="a", concurrency=1)
    await bench.ended("a1", State.DEAD, relations=KEY_A)
    await bench.store.revive(Q, ["a1"])
    await bench.check_derived()
    assert await ids_of(bench) == ["a1"]


async def test_a_key_may_hold_any_letters(bench: Bench) -> None:
    for n, key in enumerate(["Ünïcode", "x" * 128, "a", "aa", "-inf"]):
        await bench.store.enqueue(Q, keyed(key, f"{n}-1", f"{n}-2"))
        await bench.check_derived()
    await bench.store.limit(Q, key="*", concurrency=1)
    assert await ids_of(bench) == ["0-1", "1-1", "2-1", "3-1", "4-1"]


# --- bounded queues


async def test_a_bounded_queue_takes_as_many_as_may_be_pending(bench: Bench) -> None:
    await bench.store.arrange(Q, max_pending=2)
    answers = await bench.store.enqueue(
        Q, [new("t"), *keyed("a", "a1"), new("u"), *keyed("a", "a2")]
    )
    assert answers == (State.PENDING, State.PENDING, FULL, FULL)
    assert (await bench.dump()).counters.enqueued == 2
    await bench.take()
    assert await bench.store.enqueue(Q, [new("u")]) == (State.PENDING,)


async def test_only_tasks_that_would_be_pending_need_room(bench: Bench) -> None:
    await bench.store.arrange(Q, max_pending=1)
    await bench.add("t")
    await bench.add("later", delay_ms=1)
    await bench.add("grouped", relations=Relations(group="g"))
    await bench.add("blocked", relations=Relations(needs=("t",)))
    bench.clock.advance(1)
    # What was taken in is never refused later.
    assert (await bench.store.promote(Q, limit=10)).moved == 1
    assert await bench.ids(State.PENDING) == ["t", "later"]
    assert await bench.store.enqueue(Q, [new("u")]) == (FULL,)


async def test_a_whole_that_does_not_fit_stays_out(bench: Bench) -> None:
    await bench.store.arrange(Q, max_pending=1)
    await bench.add("t")
    withheld = Answer(AnswerKind.WITHHELD)
    answers = await bench.store.enqueue(Q, [new("u"), new("v", delay_ms=5)], atomic=True)
    assert answers == (FULL, withheld)


async def test_a_bound_can_be_raised_and_lifted_and_left(bench: Bench) -> None:
    await bench.store.arrange(Q, max_pending=1)
    await bench.add("t")
    await bench.store.arrange(Q, fair=True)
    assert await bench.store.enqueue(Q, [new("u")]) == (FULL,)
    await bench.store.arrange(Q, max_pending=2)
    assert (await bench.dump()).fair
    await bench.add("u")
    assert await bench.store.enqueue(Q, [new("v")]) == (FULL,)
    await bench.store.arrange(Q, max_pending=0)
    await bench.add("v")


async def test_an_id_that_exists_is_no_question_of_room(bench: Bench) -> None:
    await bench.store.arrange(Q, max_pending=1)
    await bench.add("t")
    assert await bench.store.enqueue(Q, [new("t")]) == (None,)


# --- signals


async def caught_up(signals: trio.MemoryReceiveChannel[Any]) -> None:
    """Hear what was told before: in a Cluster it may come over another node, late."""
    with trio.move_on_after(0.4):
        async for _ in signals:
            pass


async def silent(signals: trio.MemoryReceiveChannel[Any], *kinds: SignalKind) -> None:
    """Check that no such signal comes: one that is sent last comes last."""
    with trio.move_on_after(0.4):
        async for signal in signals:
            assert signal.kind not in kinds


@pytest.mark.parametrize("key", ["", "a"])
async def test_a_permit_that_frees_wakes(bench: Bench, key: str) -> None:
    await bench.add("a1", "a2", relations=KEY_A)
    await bench.store.limit(Q, key=key, concurrency=1)
    [lease] = await bench.take()
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await bench.store.settle(Q, [Completed(lease.fence, b"")])
        await heard(signals, SignalKind.WAKE)


async def test_a_lane_that_a_rate_shuts_wakes_who_does_not_know_of_it(bench: Bench) -> None:
    await bench.store.limit(Q, key="a", concurrency=1, count=1, period_ms=100)
    await bench.add("a1", relations=KEY_A)
    [lease] = await bench.take()
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await bench.store.settle(Q, [Completed(lease.fence, b"")])
        await caught_up(signals)
        # The lane was empty: nobody has been told when it opens.
        await bench.add("a2", relations=KEY_A)
        await heard(signals, SignalKind.WAKE)


async def test_a_permit_that_frees_wakes_who_has_to_wait_for_the_rate(bench: Bench) -> None:
    await bench.store.limit(Q, key="a", concurrency=1, count=1, period_ms=100)
    await bench.add("a1", "a2", relations=KEY_A)
    [lease] = await bench.take()
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await caught_up(signals)
        await bench.store.settle(Q, [Completed(lease.fence, b"")])
        await heard(signals, SignalKind.WAKE)
    assert await next_start(bench) == 100


@pytest.mark.parametrize("key", ["", "a"])
async def test_a_claim_under_a_rate_wakes_nobody(bench: Bench, key: str) -> None:
    await bench.add("a1", "a2", "a3", relations=KEY_A)
    await bench.store.limit(Q, key=key, count=1, period_ms=100)
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await caught_up(signals)
        [lease] = await bench.take()
        await bench.store.settle(Q, [Completed(lease.fence, b"")])
        bench.clock.advance(100)
        assert await ids_of(bench) == ["a2"]
        bench.clock.advance(50)
        assert await next_start(bench) == 50
        await silent(signals, SignalKind.WAKE, SignalKind.DUE)


async def test_a_limit_that_changes_wakes(bench: Bench) -> None:
    await bench.add("t")
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        for limit in ({"concurrency": 1}, {"concurrency": 2}, {"count": 2, "period_ms": 100}):
            await caught_up(signals)
            await bench.store.limit(Q, key="", **limit)
            await heard(signals, SignalKind.WAKE)


async def test_a_claim_that_finds_nothing_allowed_wakes_nobody(bench: Bench) -> None:
    await bench.add("a1", "a2", "a3", relations=KEY_A)
    await bench.store.limit(Q, key="", concurrency=1, count=1, period_ms=10)
    await bench.take()
    bench.clock.advance(10)
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await caught_up(signals)
        # The rate would allow a start, and the concurrency does not.
        assert await bench.take() == []
        await bench.store.promote(Q, limit=10)
        await silent(signals, SignalKind.WAKE, SignalKind.DUE)


async def test_targets_are_kept_and_each_can_be_left(bench: Bench) -> None:
    async def found() -> tuple[int, int]:
        queue = (await bench.store.stats(Q)).queue
        return queue.target_latency_ms, queue.target_failures_ppm

    assert await found() == (0, 0)
    await bench.store.arrange(Q, target_latency_ms=1500, target_failures_ppm=10)
    assert await found() == (1500, 10)
    await bench.store.arrange(Q, target_latency_ms=0)
    await bench.store.arrange(Q, max_pending=5)
    assert await found() == (0, 10)
    await bench.store.arrange(Q, target_latency_ms=7, target_failures_ppm=0)
    await bench.store.pause(Q)
    assert await found() == (7, 0)
    assert (await bench.dump()).target_latency_ms == 7
    await bench.store.flush(Q)
    assert await found() == (7, 0)
