"""A repair looks again before it writes: what is right by now, or is no more certain, stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rediq_trio.admin.queue import Queue
from rediq_trio.spec.check.dependency import dependency_target
from rediq_trio.spec.check.findings import Action, Repair, Target, TargetType, Violation
from rediq_trio.spec.check.member import member_target
from rediq_trio.spec.check.table import CHECKS, repairs_of
from rediq_trio.spec.check.task import task_target as task
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Relations, Until
from rediq_trio.spec.records import CANCELLED_GRACE_MS, GroupRule
from tests.conformance.bench import Q, failed, new
from tests.redis.conftest import Behind
from tests.redis.test_check import CASES, Case, change, edge, fill, member, plant, record_of
from tests.redis.test_damage import GOOD
from tests.stored import LONG, pack

A = Action
REPAIRS_OF = {
    TargetType.TASK: [A.SEQ, A.LIST, A.UNLIST, A.MOVE, A.EXPIRY, A.FORGET],
    TargetType.MEMBER: [A.REINDEX],
    TargetType.DEPENDENCY: [A.RELINK],
    TargetType.LANE: [A.PERMITS, A.LANE],
    TargetType.UNIQUE: [A.FREE],
    TargetType.GROUP: [A.GROUP],
    TargetType.SCHEDULE: [A.SCHEDULE],
    TargetType.MESSAGE: [A.SENT],
    TargetType.QUEUE: [A.PARTITIONS, A.PERSIST, A.ENQUEUED],
}


def dependency(one: str, two: str) -> Target:
    return dependency_target(one, two, one.encode(), two.encode())


def named(kind: TargetType, name: str) -> Target:
    return Target(kind, name, raw=(name.encode(),))


async def repair(behind: Behind, what: Action, target: Target) -> bool:
    return await behind.bench.store.repair(Q, Repair(what, target, "", "", "", Q))


async def changes_nothing(behind: Behind, targets: Sequence[Target]) -> None:
    before = await behind.contents()
    for target in targets:
        if target.type in (TargetType.QUEUE, TargetType.ENDING, TargetType.SENDER):
            continue  # what is wrong with these is left to a person, or is a key's TTL
        for what in REPAIRS_OF[target.type]:
            assert not await repair(behind, what, target), (what, target)
    assert await behind.contents() == before


def test_each_repair_is_of_one_type_of_target() -> None:
    assert sorted(action for actions in REPAIRS_OF.values() for action in actions) == sorted(Action)


async def test_in_a_sound_queue_no_repair_changes_anything(behind: Behind) -> None:
    await fill(behind)
    targets = await behind.bench.targets()
    assert {target.type for target in targets} >= CHECKS.keys() - {
        TargetType.ENDING,
        TargetType.SENDER,
    }
    await changes_nothing(behind, targets)
    assert not await repair(behind, A.ENQUEUED, Target(TargetType.QUEUE, "enqueued"))


LEFT = {name: case for name, case in CASES.items() if not case.actions}


@pytest.mark.parametrize("case", LEFT.values(), ids=LEFT)
async def test_what_only_a_person_can_decide_no_repair_decides(behind: Behind, case: Case) -> None:
    await plant(behind, case)
    found: list[Violation] = await Queue(behind.bench.store, Q).check()
    await changes_nothing(behind, [one.target for one in found if one.target is not None])


# --- tasks


@pytest.mark.parametrize(
    ("own", "state"),
    [("completed", State.COMPLETED), ("cancelled", State.CANCELLED), ("dead", State.DEAD),
     ("holder", State.PENDING), ("pending", State.PENDING), ("scheduled", State.SCHEDULED),
     ("blocked", State.BLOCKED)],
)  # fmt: skip
async def test_a_task_is_listed_again_just_as_it_was(
    behind: Behind, own: str, state: State
) -> None:
    await fill(behind)
    was = await record_of(behind, own)
    await behind.raw("ZREM", state.value, own)
    assert await repair(behind, A.LIST, task(own))
    assert await record_of(behind, own) == was
    assert await Queue(behind.bench.store, Q).check() == []


@pytest.mark.parametrize(("has_waiters", "keep"), [(True, CANCELLED_GRACE_MS), (False, 5)])
async def test_a_completed_task_is_kept_as_long_as_it_would_have_been(
    behind: Behind, has_waiters: bool, keep: int
) -> None:
    bench = behind.bench
    fence = await bench.active("t", retention_ms=5)
    if has_waiters:
        await bench.store.watch(Q, "t")
    await bench.store.settle(Q, [Completed(fence, b"r")])
    await behind.raw("ZREM", "completed", "t")
    assert await repair(behind, A.LIST, task("t"))
    assert (await bench.record("t")).purge_ms == bench.clock.now + keep


async def test_a_cancelled_task_is_kept_for_a_while(behind: Behind) -> None:
    await behind.bench.add("t", retention_ms=5)
    await behind.bench.store.cancel(Q, "t")
    await behind.raw("ZREM", "cancelled", "t")
    assert await repair(behind, A.LIST, task("t"))
    assert (await behind.bench.record("t")).purge_ms == behind.bench.clock.now + CANCELLED_GRACE_MS


async def test_an_active_task_that_was_lost_is_left_to_its_worker_for_a_minute(
    behind: Behind,
) -> None:
    bench = behind.bench
    fence = await bench.active("t")
    await behind.raw("ZREM", "active", "t")
    assert await repair(behind, A.LIST, task("t"))
    assert (await bench.record("t")).lease_ms == bench.clock.now + 60_000
    assert await bench.store.settle(Q, [Completed(fence, b"r")]) == (State.COMPLETED,)


async def test_a_retried_task_is_listed_when_it_is_due(behind: Behind) -> None:
    bench = behind.bench
    await bench.store.settle(Q, [failed(await bench.active("t"))])
    await behind.raw("ZREM", "retry", "t")
    assert await repair(behind, A.LIST, task("t"))
    await bench.check()


async def test_a_task_that_is_a_member_in_another_state_is_not_listed(behind: Behind) -> None:
    bench = behind.bench
    await bench.add("t", relations=Relations(limit_key="k"))
    await bench.add("m", relations=Relations(group="g"))
    for own in "tm":
        await change(behind, own, "state", 1)  # scheduled
    await changes_nothing(behind, [task("t"), task("m")])


async def test_a_state_that_is_none_is_not_listed(behind: Behind) -> None:
    await behind.bench.add("t")
    await behind.raw("ZREM", "pending", "t")
    await behind.raw("HSET", "records", "t", pack([12, *GOOD[1:]]))
    await changes_nothing(behind, [task("t")])


async def test_a_task_without_its_payload_is_not_listed(behind: Behind) -> None:
    await behind.bench.add("t", envelope=LONG)
    await behind.raw("ZREM", "pending", "t")
    await behind.raw("HDEL", "payloads", "t")
    await changes_nothing(behind, [task("t")])


async def test_a_dead_task_without_its_payload_is_listed(behind: Behind) -> None:
    await behind.bench.ended("t", State.DEAD, envelope=LONG)
    await behind.raw("ZREM", "dead", "t")
    await behind.raw("HDEL", "payloads", "t")
    view = await behind.bench.view(task("t"))
    assert [each.what for each in repairs_of(view)] == [A.LIST]
    assert await repair(behind, A.LIST, task("t"))
    await behind.bench.check()


async def test_a_lane_and_a_group_follow_what_is_listed(behind: Behind) -> None:
    await behind.bench.add("t", relations=Relations(limit_key="k"))
    await behind.bench.add("m", relations=Relations(group="g"))
    for name in ("keyed", "lanes", "grouped", "groups"):
        await behind.raw("DEL", name)
    assert await repair(behind, A.LIST, task("t"))
    assert await repair(behind, A.LIST, task("m"))
    await behind.bench.check()


async def test_what_does_not_wait_is_not_listed_to_expire(behind: Behind) -> None:
    await behind.bench.active("a", expires_in_ms=10**6)
    await behind.bench.ended("d", State.DEAD, expires_in_ms=10**6)
    await changes_nothing(behind, [task("a"), task("d")])


async def test_what_waits_is_woken_by_what_is_listed(behind: Behind) -> None:
    await behind.bench.add("t")
    await behind.raw("ZREM", "pending", "t")
    with behind.bench.store.listen([(Q, "")]) as signals:
        await signals.receive()  # resync
        await repair(behind, A.LIST, task("t"))
        assert {(await signals.receive()).kind.value for _ in range(2)} == {"wake", "due"}


async def test_what_is_left_of_a_task_is_forgotten_whole(behind: Behind) -> None:
    for name in ("results", "progress", "inputs", "steps", "attempts"):
        await behind.raw("HSET", name, "x", b"v")
    for name in ("expiring", "pending", "dead"):
        await behind.raw("ZADD", name, 5, "x")
    await behind.raw("ZADD", "needs", 0, edge("x", "y"))
    assert await repair(behind, A.FORGET, task("x"))
    assert await behind.gateway.call(b"KEYS", b"*:{q}:*") == []


# --- index members


async def reindex(behind: Behind, index: str, name: str, rank: int, own: str) -> bool:
    raw = (index.encode(), member(name, rank, own))
    return await repair(behind, A.REINDEX, Target(TargetType.MEMBER, own, raw=raw))


async def test_a_member_that_is_gone_by_now_is_no_matter(behind: Behind) -> None:
    await behind.bench.add("t", relations=Relations(limit_key="k"))
    assert not await reindex(behind, "keyed", "k", 5, "t")


async def test_the_only_member_of_a_task_stays_whatever_its_record_says(behind: Behind) -> None:
    await behind.bench.add("t", relations=Relations(limit_key="k"), envelope=LONG)
    await change(behind, "t", "priority", 9)
    rank = 50 * 2**45 + 1
    where = member_target("t", State.PENDING, rank, "k", b"keyed", member("k", rank, "t"))
    assert list(repairs_of(await behind.bench.view(where))) == []
    assert not await reindex(behind, "keyed", "k", rank, "t")
    await behind.raw("HDEL", "records", "t")
    assert not await reindex(behind, "keyed", "k", rank, "t")
    await behind.raw("HSET", "records", "t", b"junk")
    await behind.raw("HDEL", "payloads", "t")
    assert not await reindex(behind, "keyed", "k", rank, "t")


async def test_a_group_and_a_lane_follow_their_members(behind: Behind) -> None:
    for index, name in (("keyed", "k"), ("grouped", "g")):
        await behind.raw("ZADD", index, 0, member(name, 5, "x"))
    await behind.raw("ZADD", "lanes", 5, "k")
    await behind.raw("ZADD", "groups", 5, "g")
    assert await reindex(behind, "keyed", "k", 5, "x")
    assert await reindex(behind, "grouped", "g", 5, "x")
    assert await behind.gateway.call(b"KEYS", b"*:{q}:*") == []


# --- dependencies


async def related(behind: Behind, **options: Any) -> None:
    await behind.bench.add("one", priority=0, retention_ms=10**9)
    await behind.bench.add("two", relations=Relations(needs=("one",)), **options)


async def test_a_task_that_has_ended_tells_those_that_were_not_told(behind: Behind) -> None:
    await related(behind)
    await behind.raw("DEL", "edges")
    [lease] = await behind.bench.take()
    await behind.bench.store.settle(Q, [Completed(lease.fence, b"\xa6result")])
    assert (await behind.bench.record("two")).state is State.BLOCKED
    assert await repair(behind, A.RELINK, dependency("one", "two"))
    record = await behind.bench.record("two")
    assert (record.state, record.inputs) == (State.PENDING, (("one", b"\xa6result"),))
    await behind.bench.check()


async def test_an_edge_of_a_task_that_has_ended_tells_with_its_result(behind: Behind) -> None:
    await related(behind)
    await behind.raw("DEL", "edges")
    [lease] = await behind.bench.take()
    await behind.bench.store.settle(Q, [Completed(lease.fence, b"\xa6result")])
    await behind.raw("ZADD", "edges", 0, edge("one", "two"))
    assert await repair(behind, A.RELINK, dependency("one", "two"))
    assert (await behind.bench.record("two")).inputs == (("one", b"\xa6result"),)
    await behind.bench.check()


async def test_an_end_that_is_still_to_be_told_is_told_by_that(behind: Behind) -> None:
    await related(behind)
    [lease] = await behind.bench.take()
    await behind.raw("ZREM", "edges", edge("one", "two"))
    await behind.bench.store.settle(Q, [Completed(lease.fence, b"r")])
    await behind.raw("ZADD", "endings", 1, pack([1, b"one", 7, b""]))
    await behind.raw("HSET", "meta", "rippled", 1)
    await changes_nothing(behind, [dependency("one", "two")])
    await behind.raw("ZADD", "edges", 0, edge("one", "two"))
    await changes_nothing(behind, [dependency("one", "two")])
    assert await Queue(behind.bench.store, Q).check() == []


async def test_where_endings_are_too_many_to_look_at_no_dependency_is_touched(
    behind: Behind,
) -> None:
    for n in range(1, 1002):
        await behind.raw("ZADD", "endings", n, pack([n, b"e%d" % n, 0, b""]))
    await behind.raw("HSET", "meta", "rippled", 1001)
    await behind.raw("ZADD", "edges", 0, edge("x", "y"))
    assert await Queue(behind.bench.store, Q).check() == []
    await changes_nothing(behind, [dependency("x", "y")])
    await behind.raw("ZREMRANGEBYRANK", "endings", 0, 0)
    assert await repair(behind, A.RELINK, dependency("x", "y"))


async def test_an_ending_that_cannot_be_read_hides_no_dependency(behind: Behind) -> None:
    await behind.raw("ZADD", "endings", 1, b"\x05")
    await behind.raw("ZADD", "edges", 0, edge("x", "y"))
    found = await Queue(behind.bench.store, Q).check()
    assert {(one.invariant, one.subject) for one in found} == {(13, "x -> y"), (2, "1")}


async def test_who_waits_for_a_task_that_is_gone_is_left_to_a_person(behind: Behind) -> None:
    await related(behind)
    for name in ("records", "payloads"):
        await behind.raw("HDEL", name, "one")
    await changes_nothing(behind, [dependency("one", "two")])
    await behind.raw("DEL", "edges")
    await changes_nothing(behind, [dependency("one", "two")])


async def test_a_source_that_cannot_be_read_is_left_alone(behind: Behind) -> None:
    await related(behind)
    await behind.raw("HSET", "records", "one", b"junk")
    await changes_nothing(behind, [dependency("one", "two")])
    await behind.raw("DEL", "needs")
    await changes_nothing(behind, [dependency("one", "two")])


async def test_a_source_of_no_edge_stays_as_it_is(behind: Behind) -> None:
    await behind.bench.add("one", "two")
    await changes_nothing(behind, [dependency("one", "two")])


async def test_a_need_is_not_added_where_none_is_missing(behind: Behind) -> None:
    await related(behind)
    await behind.bench.add("other")
    await behind.raw("ZADD", "edges", 0, edge("other", "two"))
    assert await repair(
        behind, A.RELINK, dependency("other", "two")
    )  # it knows now that others wait
    assert (await behind.bench.dump()).needs == {"two": {"one"}}


async def test_a_dependent_that_does_not_wait_is_not_linked(behind: Behind) -> None:
    await related(behind)
    await behind.bench.store.cancel(Q, "two")
    await behind.raw("DEL", "needs")
    await changes_nothing(behind, [dependency("one", "two")])
    await behind.raw("ZADD", "needs", 0, edge("two", "one"))
    await behind.raw("DEL", "edges")
    await changes_nothing(behind, [dependency("one", "two")])


async def test_a_member_of_a_group_tells_nobody(behind: Behind) -> None:
    bench = behind.bench
    await related(behind)
    await bench.add("m", relations=Relations(group="g"))
    await behind.raw("ZADD", "needs", 0, edge("two", "m"))
    await changes_nothing(behind, [dependency("m", "two")])


async def test_a_dependent_in_another_queue_is_told_by_a_message(behind: Behind) -> None:
    await behind.bench.ended("one", State.DEAD)
    await behind.raw("ZADD", "edges", 0, edge("one", "other/x"))
    assert await repair(behind, A.RELINK, dependency("one", "other/x"))
    [mail] = (await behind.bench.dump()).outbox
    assert (mail.queue, mail.id, mail.ref, mail.ended_as) == ("other", "x", "one", State.DEAD)
    await behind.bench.check()


# --- unique keys, groups, lanes


async def test_a_key_that_is_held_by_right_is_not_freed(behind: Behind) -> None:
    bench = behind.bench
    await bench.add("t", relations=Relations(unique="done"))
    await bench.ended("u", State.DEAD, priority=0,
                      relations=Relations(unique="time", until=Until.EXPIRED, ttl_ms=10**6))  # fmt: skip
    await bench.add("v", relations=Relations(unique="gone", until=Until.EXPIRED, ttl_ms=10**6))
    await behind.raw("HSET", "unique", "gone", "nobody")
    await changes_nothing(
        behind, [named(TargetType.UNIQUE, key) for key in ("done", "time", "gone")]
    )


async def test_a_key_of_a_task_that_has_ended_is_freed_though_it_has_an_end(behind: Behind) -> None:
    await behind.bench.ended("t", State.DEAD, relations=Relations(unique="k", ttl_ms=10**6))
    await behind.raw("HSET", "unique", "k", "t")
    await change(behind, "t", "owns_unique_key", 1)
    await behind.raw("ZADD", "locks", 10**14, "k")
    assert await repair(behind, A.FREE, named(TargetType.UNIQUE, "k"))
    assert await behind.raw("EXISTS", "unique") == await behind.raw("EXISTS", "locks") == 0


async def test_permits_are_those_of_the_key_alone(behind: Behind) -> None:
    bench = behind.bench
    await bench.add("a", "b", relations=Relations(limit_key="k"))
    await bench.add("c", relations=Relations(limit_key="l"))
    await bench.take(3)
    await behind.raw("DEL", "permits")
    assert await repair(behind, A.PERMITS, named(TargetType.LANE, "k"))
    assert await behind.raw("HGETALL", "permits") == [b"k", b"2"]
    await behind.raw("HSET", "permits", "gone", 5)
    assert await repair(behind, A.PERMITS, named(TargetType.LANE, "gone"))
    assert await behind.raw("HEXISTS", "permits", "gone") == 0


async def test_the_turn_of_tasks_without_a_key_stays(behind: Behind) -> None:
    await behind.bench.store.arrange(Q, fair=True)
    await behind.bench.active("t")
    assert (await behind.bench.dump()).turns == {"": 1}
    await changes_nothing(behind, [named(TargetType.LANE, "")])


async def test_a_start_that_the_rate_lets_come_soon_is_not_put_off(behind: Behind) -> None:
    await behind.bench.store.limit(Q, key="k", count=1, period_ms=100, burst=1)
    await behind.bench.add("a", "b", relations=Relations(limit_key="k"))
    await behind.bench.take()
    behind.bench.clock.advance(50)
    await changes_nothing(behind, [named(TargetType.LANE, "k")])


async def test_a_group_that_is_due_keeps_its_rule(behind: Behind) -> None:
    await behind.bench.add("m", relations=Relations(group="g"))
    await behind.bench.store.set_group_rules(Q, rules={"g": GroupRule(1, 5, 5)})
    await behind.raw("ZREM", "groups", "g")
    assert await repair(behind, A.GROUP, named(TargetType.GROUP, "g"))
    [group] = await behind.bench.store.groups(Q, limit=5)
    assert (group.due_ms, group.rule) == (0, GroupRule(1, 5, 5))


async def test_the_last_message_is_what_counts(behind: Behind) -> None:
    await behind.bench.store.enqueue(
        Q, [new(f"t{n}", relations=Relations(queue="o")) for n in range(3)]
    )
    sent = (await behind.bench.dump()).sent
    await behind.raw("HSET", "meta", "sent", sent + 9)
    await changes_nothing(behind, [named(TargetType.MESSAGE, str(sent))])
    await behind.raw("HSET", "meta", "sent", 1)
    assert await repair(behind, A.SENT, named(TargetType.MESSAGE, str(sent)))
    assert (await behind.bench.dump()).sent == sent
