"""What a check sees of the queue as a whole: its keys, its totals, and permits by the thousand."""

from __future__ import annotations

import pytest

from rediq_trio.admin.check import check_queue
from rediq_trio.admin.queue import Queue
from rediq_trio.spec.check.findings import Action, Repair, Target, TargetType
from rediq_trio.spec.check.lane import lane_target
from rediq_trio.spec.messages import Completed, Relations
from tests.conformance.bench import Q, new
from tests.redis.conftest import Behind

MANY = 1_200
"""More active tasks than one script counts."""


async def test_a_key_with_a_ttl_is_found_and_made_to_stay(behind: Behind) -> None:
    await behind.bench.add("t")
    queue, key = Queue(behind.bench.store, Q), behind.keys.of(Q, ("pending",))[0].decode()
    await behind.raw("PEXPIRE", "pending", 10**6)
    found = await queue.check()
    assert [str(one) for one in found] == [f"invariant 2, {key}: the key {key} has a TTL"]
    [repair] = await queue.repair_plan(found)
    assert (repair.what, repair.subject) == (Action.PERSIST, key)
    assert await queue.repair([repair, repair]) == [repair]
    assert await queue.check() == []


async def test_keys_that_no_queue_has_are_found_and_left_alone(behind: Behind) -> None:
    await behind.bench.add("t")
    stray, other = behind.keys.of(Q, ("backup",))[0], behind.keys.of("q2", ("backup",))[0]
    for key in (stray, other):
        await behind.gateway.call(b"SET", key, b"x")
    queue = Queue(behind.bench.store, Q)
    found = await queue.check()
    assert [(one.invariant, one.subject) for one in found] == [(2, stray.decode())]
    assert await queue.repair_plan(found) == []


@pytest.mark.parametrize(("name", "kind"), [("pending", "zset"), ("records", "hash")])
async def test_a_key_of_another_type_is_found_though_no_script_can_read_it(
    behind: Behind, name: str, kind: str
) -> None:
    await behind.bench.add("t")
    key = behind.keys.of(Q, (name,))[0]
    await behind.gateway.call(b"SET", key, b"x")
    queue = Queue(behind.bench.store, Q)
    [one] = await queue.check()
    assert one.subject == f"{key.decode()} (string, not {kind})"
    assert await queue.repair_plan([one]) == []


async def test_the_total_of_enqueued_tasks_is_counted_anew(behind: Behind) -> None:
    await behind.bench.add("t", "u")
    await behind.bench.store.delete(Q, ["u"])
    await behind.raw("HINCRBY", "meta", "enqueued", 5)
    queue = Queue(behind.bench.store, Q)
    found = await queue.check()
    assert [(one.invariant, one.subject) for one in found] == [(12, "")]
    [repair] = await queue.repair_plan(found)
    assert (repair.before, repair.after) == ("7 enqueued", "2")
    await queue.repair([repair])
    assert (await behind.bench.dump()).counters.enqueued == 2
    assert await queue.check() == []


async def test_the_total_is_left_while_a_task_is_half_gone(behind: Behind) -> None:
    await behind.bench.add("t")
    await behind.raw("HDEL", "records", "t")
    made = Repair(Action.ENQUEUED, Target(TargetType.QUEUE, "enqueued"), "1", "0", "", Q)
    assert await Queue(behind.bench.store, Q).repair([made]) == []
    assert (await behind.bench.dump()).counters.enqueued == 1


async def many_active(behind: Behind) -> None:
    await behind.bench.add(*(f"t{n}" for n in range(1000)), relations=Relations(limit_key="k"))
    await behind.bench.add(
        *(f"u{n}" for n in range(MANY - 1000)), relations=Relations(limit_key="l")
    )
    assert sum([len(await behind.bench.take(500)) for _ in range(3)]) == MANY


@pytest.mark.parametrize(("key", "by"), [("k", 1), ("k", -1), ("gone", 1), ("l", -200)])
async def test_permits_are_compared_also_where_the_active_are_too_many_to_count_at_once(
    behind: Behind, key: str, by: int
) -> None:
    await many_active(behind)
    queue = Queue(behind.bench.store, Q)
    assert await queue.check() == []
    await behind.raw("HINCRBY", "permits", key, by)
    if key == "l":
        await behind.raw("HDEL", "permits", key)
    found = await queue.check()
    assert [(one.invariant, one.subject) for one in found] == [(11, key)]
    # Counted in two steps they are no more than bounds, which no repair goes by.
    assert await queue.repair_plan(found) == []
    repair = Repair(Action.PERMITS, lane_target(key), "", "", "", Q)
    assert await queue.repair([repair]) == []


async def test_permits_that_move_between_two_counts_are_no_violation(behind: Behind) -> None:
    await many_active(behind)
    bench, store = behind.bench, behind.bench.store
    await bench.add(*(f"v{n}" for n in range(300)), relations=Relations(limit_key="k"))
    active_leases, fences = store.active_leases, [*(await bench.take(100))]

    async def while_they_move(queue: str, cursor: int) -> object:
        answer = await active_leases(queue, cursor)
        fences.extend(await bench.take(40))
        done = [Completed(fences.pop(0).fence, b"") for _ in range(20)]
        await store.settle(queue, done)
        return answer

    store.active_leases = while_they_move  # type: ignore[method-assign, assignment]
    assert await check_queue(store, Q, Q, None) == []


async def test_the_limit_of_all_keys_holds_for_each_and_not_for_the_queue(behind: Behind) -> None:
    await behind.bench.store.limit(Q, key="*", concurrency=1, count=1, period_ms=100)
    await behind.bench.add("a", "b", relations=Relations(limit_key="k"))
    await behind.bench.take(2)
    queue = Queue(behind.bench.store, Q)
    assert await queue.check() == []
    await behind.raw("ZADD", "rates", behind.bench.clock.now * 1000, "")
    assert [(one.invariant, one.subject) for one in await queue.check()] == [(11, "")]


async def test_a_check_is_told_how_far_it_has_come(behind: Behind) -> None:
    await behind.bench.store.enqueue(Q, [new(f"t{n}") for n in range(250)])
    seen: list[tuple[int, int]] = []
    await Queue(behind.bench.store, Q).check(progress=lambda *both: seen.append(both))
    assert seen == [(100, 250), (200, 250)]


async def test_violations_and_repairs_of_another_queue_are_refused(behind: Behind) -> None:
    from rediq_trio import ConfigError

    await behind.bench.add("t")
    await behind.raw("ZREM", "pending", "t")
    queue, other = Queue(behind.bench.store, Q), Queue(behind.bench.store, "other")
    found = await queue.check()
    with pytest.raises(ConfigError, match="violations='q'"):
        await other.repair_plan(found)
    with pytest.raises(ConfigError, match="plan='q'"):
        await other.repair(await queue.repair_plan(found))
    assert await queue.check() == found
