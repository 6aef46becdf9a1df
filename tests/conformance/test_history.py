"""What a store keeps of a queue's history."""

from __future__ import annotations

from typing import Any

import pytest

from rediq_trio.spec.history.entry import MOST_NEEDS, REASON_BYTES, Entry
from rediq_trio.spec.history.replay import ReplaySettings, replay
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Relations, Released, Snoozed, Stopped, Until
from rediq_trio.spec.records import GroupRule

from .bench import LEASE, START, Bench, Q, failed, new, snoozed

S = State


async def history(bench: Bench, after: int = 0, limit: int = 1000) -> list[Entry]:
    return list(await bench.store.history(Q, after=after, limit=limit))


async def moves(bench: Bench, after: int = 1) -> list[tuple[str, str, State | None, State | None]]:
    """Give event, task and edge of each step behind the first."""
    return [(e.transition, e.id, e.source, e.target) for e in await history(bench, after)]


async def keep(bench: Bench, count: int = 1000) -> None:
    await bench.store.arrange(Q, history=count)


async def last(bench: Bench) -> Entry:
    return (await history(bench))[-1]


async def test_a_queue_keeps_no_history_unless_it_is_told_to(bench: Bench) -> None:
    await bench.active()
    assert await history(bench) == []


async def test_a_history_begins_with_the_number_of_tasks(bench: Bench) -> None:
    await bench.add("a", "b")
    await keep(bench)
    assert await history(bench) == [Entry(1, START, "begin", after=(2,))]
    await keep(bench)
    assert len(await history(bench)) == 1


async def test_the_last_entries_are_kept_whatever_their_number(bench: Bench) -> None:
    await keep(bench, 3)
    await bench.add(*(f"t{n}" for n in range(200)))
    assert [(e.number, e.id) for e in await history(bench)] == [
        (199, "t197"), (200, "t198"), (201, "t199"),
    ]  # fmt: skip
    await keep(bench, 2)
    await keep(bench, 100)
    assert [e.number for e in await history(bench)] == [200, 201]
    await bench.add("more")
    assert [e.number for e in await history(bench)] == [200, 201, 202]


async def test_a_history_is_read_in_pages(bench: Bench) -> None:
    await keep(bench, 5)
    await bench.add(*(f"t{n}" for n in range(9)))
    assert [e.number for e in await history(bench, 0, 2)] == [6, 7]
    assert [e.number for e in await history(bench, 7, 2)] == [8, 9]
    assert [e.number for e in await history(bench, 9, 2)] == [10]
    assert await history(bench, 10, 2) == []


async def test_no_history_forgets_the_entries_and_goes_on_counting(bench: Bench) -> None:
    await keep(bench)
    await bench.add("a")
    await keep(bench, 0)
    assert await history(bench) == []
    await bench.add("b")
    await keep(bench)
    assert await history(bench) == [Entry(3, START, "begin", after=(2,))]


async def test_an_entry_says_what_the_task_is_like_behind_the_step(bench: Bench) -> None:
    await keep(bench)
    relations = Relations(
        unique="k", until=Until.STARTED, ttl_ms=5, limit_key="l", run_on_dependency_failure=True
    )
    await bench.add(
        "t", priority=7, max_retry=2, max_crashes=1, expires_in_ms=9, relations=relations
    )
    bench.clock.advance(1)
    [lease] = await bench.take(worker="w1")
    common: dict[str, Any] = {
        "id": "t", "max_retry": 2, "max_crashes": 1, "priority": 7, "seq": 1, "run_ms": START,
        "expires_ms": START + 9, "unique": "k", "limit_key": "l", "run_on_dependency_failure": True,
    }  # fmt: skip
    assert await history(bench, 1) == [
        Entry(
            2, START, "enqueue", source=None, target=S.PENDING, owns_unique_key=True, till_ms=START + 5,
            **common,
        ),
        Entry(
            3, START + 1, "claim", source=S.PENDING, target=S.ACTIVE, deliveries=1, attempt=1,
            nonce=lease.fence.nonce, worker="w1", till_ms=START + 1 + LEASE, **common,
        ),
    ]  # fmt: skip


async def test_settlements_leave_their_entries(bench: Bench) -> None:
    await keep(bench)
    store = bench.store
    await store.settle(Q, [Completed(await bench.active("a"), b"r")])
    await store.settle(Q, [Completed(await bench.active("b", retention_ms=0), b"r")])
    await store.settle(Q, [failed(await bench.active("c"), error="ö" * 80)])
    reason = (await last(bench)).reason
    assert reason == "ö" * (REASON_BYTES // 2)
    await store.settle(Q, [failed(await bench.active("d"), final=True)])
    await store.settle(Q, [snoozed(await bench.active("e"))])
    await store.settle(Q, [Released(await bench.active("f"))])
    fence = await bench.active("g", priority=0)
    await store.cancel(Q, "g")
    assert (await last(bench)).cancel
    await store.settle(Q, [Stopped(fence)])
    assert [m for m in await moves(bench) if m[0] not in ("enqueue", "claim")] == [
        ("complete", "a", S.ACTIVE, S.COMPLETED),
        ("complete", "b", S.ACTIVE, None),
        ("fail", "c", S.ACTIVE, S.RETRY),
        ("fail", "d", S.ACTIVE, S.DEAD),
        ("snooze", "e", S.ACTIVE, S.SCHEDULED),
        ("release", "f", S.ACTIVE, S.PENDING),
        ("cancel", "g", S.ACTIVE, S.ACTIVE),
        ("stop", "g", S.ACTIVE, S.CANCELLED),
    ]


async def test_what_is_stale_or_repeated_leaves_none(bench: Bench) -> None:
    fence = await bench.active()
    await keep(bench)
    await bench.store.settle(Q, [Stopped(fence)])
    await bench.store.renew(Q, [fence], lease_ms=LEASE)
    await bench.store.settle(Q, [Completed(fence, b"")] * 2)
    await bench.store.settle(Q, [Completed(fence, b"")])
    await bench.store.settle(Q, [Snoozed(fence, 1)])
    await bench.store.cancel(Q, "t")
    await bench.store.enqueue(Q, [new("t")])
    await bench.store.delete(Q, ["nobody"])
    assert await moves(bench) == [("complete", "t", S.ACTIVE, S.COMPLETED)]


async def test_what_keepers_do_leaves_its_entries(bench: Bench) -> None:
    await keep(bench)
    store, clock = bench.store, bench.clock
    await bench.add("later", delay_ms=5)
    await bench.store.settle(Q, [failed(await bench.active("again"), delay_ms=5)])
    await bench.active("lapses", max_crashes=0)
    await bench.active("comes back")
    clock.advance(LEASE)
    await store.promote(Q, limit=10)
    await store.reclaim(Q, limit=10)
    lapsed = [e for e in await history(bench) if e.transition == "reclaim"]
    assert [(e.till_ms, e.crashes, e.attempt, e.nonce) for e in lapsed] == [
        (START + LEASE, 1, 0, b"")
    ] * 2
    await bench.add("expires", expires_in_ms=1, priority=99)
    clock.advance(1)
    await store.expire(Q, limit=10)
    clock.advance(10**9)
    await store.purge(Q, limit=10, dead_retention_ms=0, max_dead=10)
    assert [m for m in await moves(bench) if m[0] not in ("enqueue", "claim", "fail")] == [
        ("promote", "later", S.SCHEDULED, S.PENDING),
        ("promote", "again", S.RETRY, S.PENDING),
        ("reclaim", "comes back", S.ACTIVE, S.PENDING),
        ("reclaim", "lapses", S.ACTIVE, S.DEAD),
        ("expire", "expires", S.PENDING, S.DEAD),
        ("purge", "lapses", S.DEAD, None),
        ("purge", "expires", S.DEAD, None),
    ]


async def test_what_an_operator_does_leaves_its_entries(bench: Bench) -> None:
    await bench.add("a", "b", "c", "d")
    await keep(bench)
    store = bench.store
    await store.pause(Q)
    await store.pause(Q)
    await store.resume(Q)
    await store.limit(Q, key="k", concurrency=2)
    await store.limit(Q, key="k", count=3, period_ms=50, burst=4)
    await store.arrange(Q, fair=True)
    await store.arrange(Q, max_pending=5)
    told = [(e.transition, e.key, e.before, e.after) for e in await history(bench, 1)]
    assert told == [
        ("pause", "", (0,), (1,)),
        ("pause", "", (1,), (1,)),
        ("resume", "", (1,), (0,)),
        ("limit", "k", (0, 0, 0, 1), (2, 0, 0, 1)),
        ("limit", "k", (2, 0, 0, 1), (2, 3, 50, 4)),
        ("arrange", "", (0,), (1,)),
    ]
    at = (await last(bench)).number
    await store.cancel(Q, "a")
    await store.revive(Q, ["a"])
    await store.delete(Q, ["b"])
    await store.flush(Q)
    assert await moves(bench, at) == [
        ("cancel", "a", S.PENDING, S.CANCELLED),
        ("revive", "a", S.CANCELLED, S.PENDING),
        ("delete", "b", S.PENDING, None),
        ("flush", "", None, None),
    ]
    assert (await last(bench)).after == (3,)
    await store.flush(Q)
    assert (await last(bench)).after == (0,)


async def test_what_follows_from_a_step_has_entries_of_its_own(bench: Bench) -> None:
    fence = await bench.active("a", relations=Relations(dependents=("b", "c")))
    await keep(bench)
    await bench.add("b", relations=Relations(needs_later=("a",)))
    await bench.add("c", run_at_ms=START + 9, relations=Relations(needs_later=("a",)))
    child = new("child", relations=Relations(needs=("b",)))
    await bench.store.settle(Q, [Completed(fence, b"r", (child,))])
    await bench.store.delete(Q, ["b"])
    assert await moves(bench) == [
        ("enqueue", "b", None, S.BLOCKED),
        ("enqueue", "c", None, S.BLOCKED),
        ("enqueue", "child", None, S.BLOCKED),
        ("complete", "a", S.ACTIVE, S.COMPLETED),
        ("unblock", "b", S.BLOCKED, S.PENDING),
        ("unblock", "c", S.BLOCKED, S.SCHEDULED),
        ("delete", "b", S.PENDING, None),
        ("unblock", "child", S.BLOCKED, S.DEAD),
    ]
    assert (await last(bench)).reason == "the task b that it needs is gone"
    assert [e.needs for e in await history(bench, 1)][:3] == [("a",), ("a",), ("b",)]


async def test_an_entry_names_some_of_the_tasks_that_are_waited_for(bench: Bench) -> None:
    many = [f"n{n}" for n in range(MOST_NEEDS + 5)]
    await bench.add(*many)
    await keep(bench)
    await bench.add("few", relations=Relations(needs=("n1", "other/n1"), needs_later=("x", "y")))
    assert (await last(bench)).needs == ("n1", "other/n1", "x", "y")
    await bench.add(
        "many", relations=Relations(needs=tuple(many[:-8]), needs_later=("x", "y", "z", "last"))
    )
    assert (await last(bench)).needs == (*many[:-8], "x", "y", "z")
    assert (await last(bench)).waits == MOST_NEEDS + 1
    await bench.store.flush(Q)


async def test_a_batch_leaves_an_entry_for_each_member_and_for_itself(bench: Bench) -> None:
    await keep(bench)
    await bench.add("a", "b", relations=Relations(group="g"))
    await bench.store.set_group_rules(Q, rules={"g": GroupRule(2)})
    await bench.store.batch(Q, ids=["all"])
    assert await moves(bench) == [
        ("enqueue", "a", None, S.GROUPED),
        ("enqueue", "b", None, S.GROUPED),
        ("batch", "a", S.GROUPED, None),
        ("batch", "b", S.GROUPED, None),
        ("batch", "all", None, S.PENDING),
    ]


async def test_a_replacement_is_an_entry_with_the_new_window(bench: Bench) -> None:
    await keep(bench)
    relations = Relations(unique="k", ttl_ms=9, replace=True)
    await bench.add("a", relations=relations)
    bench.clock.advance(2)
    await bench.store.enqueue(Q, [new("b", delay_ms=5, relations=relations)])
    entry = await last(bench)
    assert (entry.transition, entry.id, entry.source, entry.target) == (
        "enqueue", "a", S.PENDING, S.SCHEDULED,
    )  # fmt: skip
    assert (entry.till_ms, entry.run_ms) == (START + 11, START + 7)


async def test_a_task_that_waits_again_is_an_entry_before_what_it_waits_for_is_looked_at(
    bench: Bench,
) -> None:
    await bench.add("a")
    await bench.add("b", relations=Relations(needs=("a",), run_on_dependency_failure=True))
    await bench.store.cancel(Q, "b")
    await bench.store.delete(Q, ["a"])
    await keep(bench)
    await bench.store.revive(Q, ["b"])
    assert await moves(bench) == [
        ("revive", "b", S.CANCELLED, S.BLOCKED),
        ("unblock", "b", S.BLOCKED, S.PENDING),
    ]


async def test_an_expired_task_that_is_claimed_is_an_entry_without_a_lease(bench: Bench) -> None:
    await bench.add("t", expires_in_ms=1)
    await keep(bench)
    bench.clock.advance(1)
    assert await bench.take() == []
    entry = await last(bench)
    assert (entry.transition, entry.target, entry.reason) == ("claim", S.DEAD, "expired")
    assert (entry.nonce, entry.worker, entry.till_ms) == (b"", "", 0)


@pytest.mark.parametrize("count", [4, 1000])
async def test_what_a_store_keeps_replays_clean(bench: Bench, count: int) -> None:
    await keep(bench, count)
    store, clock = bench.store, bench.clock
    await store.limit(Q, key="l", concurrency=1)
    await bench.add("a", "b", relations=Relations(limit_key="l"))
    await bench.add("c", expires_in_ms=5)
    for _ in range(3):
        for lease in await bench.take(2):
            await store.settle(Q, [failed(lease.fence, delay_ms=5)])
        clock.advance(5)
        await store.promote(Q, limit=10)
    found = await bench.dump()
    assert list(map(str, replay(found.entries, ReplaySettings.of(found)))) == []
