"""A repair looks again before it writes: what is right by now, or is no more certain, stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rediq_trio.admin.queue import Queue
from rediq_trio.spec.check.invariants import Violation
from rediq_trio.spec.check.repairs import Action, Repair, repairs_of
from rediq_trio.spec.check.views import Kind, Subject
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import CANCELLED_GRACE_MS, Completion, GroupRule, Relations, Until
from tests.conformance.bench import Q, failure, new
from tests.redis.conftest import Behind
from tests.redis.test_check import CASES, Case, change, edge, fill, plant, record_of, seat
from tests.redis.test_damage import GOOD
from tests.stored import LONG, pack

A = Action
OF = {
    Kind.TASK: (A.LIST, A.UNLIST, A.PLACE, A.EXPIRY, A.FORGET, A.SEQ),
    Kind.SEAT: (A.SEAT,),
    Kind.TIE: (A.TIE,),
    Kind.LANE: (A.LANE, A.PERMITS),
    Kind.UNIQUE: (A.FREE,),
    Kind.GROUP: (A.GROUP,),
    Kind.SCHEDULE: (A.SCHEDULE,),
    Kind.MESSAGE: (A.SENT,),
}


def task(own: str) -> Subject:
    return Subject(Kind.TASK, own, raw=(own.encode(),))


def tie(one: str, two: str) -> Subject:
    return Subject(Kind.TIE, one, two, raw=(one.encode(), two.encode()))


def named(kind: Kind, name: str) -> Subject:
    return Subject(kind, name, raw=(name.encode(),))


async def mend(behind: Behind, what: Action, about: Subject) -> bool:
    return await behind.bench.store.mend(Q, Repair(what, about, "", "", "", Q))


async def changes_nothing(behind: Behind, subjects: Sequence[Subject]) -> None:
    before = await behind.contents()
    for about in subjects:
        for what in OF.get(about.kind, ()):
            assert not await mend(behind, what, about), (what, about)
    assert await behind.contents() == before


async def test_in_a_sound_queue_no_repair_changes_anything(behind: Behind) -> None:
    await fill(behind)
    store, subjects = behind.bench.store, list[Subject]()
    cursor = 0
    while True:
        cursor, some = await store.subjects(Q, cursor)
        subjects += some
        if not cursor:
            break
    assert {about.kind for about in subjects} >= OF.keys()
    await changes_nothing(behind, subjects)
    assert not await mend(behind, A.ENQUEUED, Subject(Kind.QUEUE, "enqueued"))


LEFT = {name: case for name, case in CASES.items() if not case.actions}


@pytest.mark.parametrize("case", LEFT.values(), ids=LEFT)
async def test_what_only_a_person_can_decide_no_repair_decides(behind: Behind, case: Case) -> None:
    await plant(behind, case)
    found: list[Violation] = await Queue(behind.bench.store, Q).check()
    await changes_nothing(behind, [one.about for one in found if one.about is not None])


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
    assert await mend(behind, A.LIST, task(own))
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
    await bench.store.complete(Q, [Completion(fence, b"r")])
    await behind.raw("ZREM", "completed", "t")
    assert await mend(behind, A.LIST, task("t"))
    assert (await bench.record("t")).purge_ms == bench.clock.now + keep


async def test_a_cancelled_task_is_kept_for_a_while(behind: Behind) -> None:
    await behind.bench.add("t", retention_ms=5)
    await behind.bench.store.cancel(Q, "t")
    await behind.raw("ZREM", "cancelled", "t")
    assert await mend(behind, A.LIST, task("t"))
    assert (await behind.bench.record("t")).purge_ms == behind.bench.clock.now + CANCELLED_GRACE_MS


async def test_an_active_task_that_was_lost_is_left_to_its_worker_for_a_minute(
    behind: Behind,
) -> None:
    bench = behind.bench
    fence = await bench.active("t")
    await behind.raw("ZREM", "active", "t")
    assert await mend(behind, A.LIST, task("t"))
    assert (await bench.record("t")).lease_ms == bench.clock.now + 60_000
    assert await bench.store.complete(Q, [Completion(fence, b"r")]) == (State.COMPLETED,)


async def test_a_retried_task_is_listed_when_it_is_due(behind: Behind) -> None:
    bench = behind.bench
    await bench.store.fail(Q, [failure(await bench.active("t"))])
    await behind.raw("ZREM", "retry", "t")
    assert await mend(behind, A.LIST, task("t"))
    await bench.check()


async def test_a_task_that_sits_in_another_state_is_not_listed(behind: Behind) -> None:
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
    [picture] = await behind.bench.store.examine(Q, [task("t")])
    assert [repair.what for repair in repairs_of(picture)] == [A.LIST]
    assert await mend(behind, A.LIST, task("t"))
    await behind.bench.check()


async def test_a_lane_and_a_group_follow_what_is_listed(behind: Behind) -> None:
    await behind.bench.add("t", relations=Relations(limit_key="k"))
    await behind.bench.add("m", relations=Relations(group="g"))
    for name in ("keyed", "lanes", "grouped", "groups"):
        await behind.raw("DEL", name)
    assert await mend(behind, A.LIST, task("t"))
    assert await mend(behind, A.LIST, task("m"))
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
        await mend(behind, A.LIST, task("t"))
        assert {(await signals.receive()).kind.value for _ in range(2)} == {"wake", "due"}


async def test_what_is_left_of_a_task_is_forgotten_whole(behind: Behind) -> None:
    for name in ("results", "progress", "inputs", "steps"):
        await behind.raw("HSET", name, "x", b"v")
    for name in ("expiring", "pending", "dead"):
        await behind.raw("ZADD", name, 5, "x")
    await behind.raw("ZADD", "needs", 0, edge("x", "y"))
    assert await mend(behind, A.FORGET, task("x"))
    assert await behind.gateway.call(b"KEYS", b"*:{q}:*") == []


# --- seats


async def unseat(behind: Behind, index: str, name: str, place: int, own: str) -> bool:
    member = seat(name, place, own)
    about = Subject(Kind.SEAT, own, raw=(index.encode(), member))
    return await mend(behind, A.SEAT, about)


async def test_a_seat_that_is_gone_by_now_is_no_matter(behind: Behind) -> None:
    await behind.bench.add("t", relations=Relations(limit_key="k"))
    assert not await unseat(behind, "keyed", "k", 5, "t")


async def test_the_only_seat_of_a_task_stays_whatever_its_record_says(behind: Behind) -> None:
    await behind.bench.add("t", relations=Relations(limit_key="k"), envelope=LONG)
    await change(behind, "t", "priority", 9)
    place = 50 * 2**45 + 1
    where = Subject(Kind.SEAT, "t", f"pending {place} k", raw=(b"keyed", seat("k", place, "t")))
    [picture] = await behind.bench.store.examine(Q, [where])
    assert list(repairs_of(picture)) == []
    assert not await unseat(behind, "keyed", "k", place, "t")
    await behind.raw("HDEL", "records", "t")
    assert not await unseat(behind, "keyed", "k", place, "t")
    await behind.raw("HSET", "records", "t", b"junk")
    await behind.raw("HDEL", "payloads", "t")
    assert not await unseat(behind, "keyed", "k", place, "t")


async def test_a_group_and_a_lane_follow_their_seats(behind: Behind) -> None:
    for index, name in (("keyed", "k"), ("grouped", "g")):
        await behind.raw("ZADD", index, 0, seat(name, 5, "x"))
    await behind.raw("ZADD", "lanes", 5, "k")
    await behind.raw("ZADD", "groups", 5, "g")
    assert await unseat(behind, "keyed", "k", 5, "x")
    assert await unseat(behind, "grouped", "g", 5, "x")
    assert await behind.gateway.call(b"KEYS", b"*:{q}:*") == []


# --- ties


async def related(behind: Behind, **options: Any) -> None:
    await behind.bench.add("one", priority=0, retention_ms=10**9)
    await behind.bench.add("two", relations=Relations(needs=("one",)), **options)


async def test_a_task_that_has_ended_tells_those_that_were_not_told(behind: Behind) -> None:
    await related(behind)
    await behind.raw("DEL", "edges")
    [lease] = await behind.bench.take()
    await behind.bench.store.complete(Q, [Completion(lease.fence, b"result")])
    assert (await behind.bench.record("two")).state is State.BLOCKED
    assert await mend(behind, A.TIE, tie("one", "two"))
    record = await behind.bench.record("two")
    assert (record.state, record.inputs) == (State.PENDING, b"\xa3oneresult")
    await behind.bench.check()


async def test_an_edge_of_a_task_that_has_ended_tells_with_its_result(behind: Behind) -> None:
    await related(behind)
    await behind.raw("DEL", "edges")
    [lease] = await behind.bench.take()
    await behind.bench.store.complete(Q, [Completion(lease.fence, b"result")])
    await behind.raw("ZADD", "edges", 0, edge("one", "two"))
    assert await mend(behind, A.TIE, tie("one", "two"))
    assert (await behind.bench.record("two")).inputs == b"\xa3oneresult"
    await behind.bench.check()


async def test_an_end_that_is_still_to_be_told_is_told_by_that(behind: Behind) -> None:
    await related(behind)
    [lease] = await behind.bench.take()
    await behind.raw("ZREM", "edges", edge("one", "two"))
    await behind.bench.store.complete(Q, [Completion(lease.fence, b"r")])
    await behind.raw("ZADD", "endings", 1, pack([1, b"one", 7, b""]))
    await behind.raw("HSET", "meta", "rippled", 1)
    await changes_nothing(behind, [tie("one", "two")])
    await behind.raw("ZADD", "edges", 0, edge("one", "two"))
    await changes_nothing(behind, [tie("one", "two")])
    assert await Queue(behind.bench.store, Q).check() == []


async def test_where_endings_are_too_many_to_look_at_no_tie_is_touched(behind: Behind) -> None:
    for n in range(1, 1002):
        await behind.raw("ZADD", "endings", n, pack([n, b"e%d" % n, 0, b""]))
    await behind.raw("HSET", "meta", "rippled", 1001)
    await behind.raw("ZADD", "edges", 0, edge("x", "y"))
    assert await Queue(behind.bench.store, Q).check() == []
    await changes_nothing(behind, [tie("x", "y")])
    await behind.raw("ZREMRANGEBYRANK", "endings", 0, 0)
    assert await mend(behind, A.TIE, tie("x", "y"))


async def test_an_ending_that_cannot_be_read_hides_no_tie(behind: Behind) -> None:
    await behind.raw("ZADD", "endings", 1, b"\x05")
    await behind.raw("ZADD", "edges", 0, edge("x", "y"))
    found = await Queue(behind.bench.store, Q).check()
    assert {(one.invariant, one.subject) for one in found} == {(13, "x -> y"), (2, "1")}


async def test_who_waits_for_a_task_that_is_gone_is_left_to_a_person(behind: Behind) -> None:
    await related(behind)
    for name in ("records", "payloads"):
        await behind.raw("HDEL", name, "one")
    await changes_nothing(behind, [tie("one", "two")])
    await behind.raw("DEL", "edges")
    await changes_nothing(behind, [tie("one", "two")])


async def test_a_source_that_cannot_be_read_is_left_alone(behind: Behind) -> None:
    await related(behind)
    await behind.raw("HSET", "records", "one", b"junk")
    await changes_nothing(behind, [tie("one", "two")])
    await behind.raw("DEL", "needs")
    await changes_nothing(behind, [tie("one", "two")])


async def test_a_source_of_no_edge_stays_as_it_is(behind: Behind) -> None:
    await behind.bench.add("one", "two")
    await changes_nothing(behind, [tie("one", "two")])


async def test_a_need_is_not_added_where_none_is_missing(behind: Behind) -> None:
    await related(behind)
    await behind.bench.add("other")
    await behind.raw("ZADD", "edges", 0, edge("other", "two"))
    assert await mend(behind, A.TIE, tie("other", "two"))  # it knows now that others wait
    assert (await behind.bench.dump()).needs == {"two": {"one"}}


async def test_a_second_that_does_not_wait_is_not_tied(behind: Behind) -> None:
    await related(behind)
    await behind.bench.store.cancel(Q, "two")
    await behind.raw("DEL", "needs")
    await changes_nothing(behind, [tie("one", "two")])
    await behind.raw("ZADD", "needs", 0, edge("two", "one"))
    await behind.raw("DEL", "edges")
    await changes_nothing(behind, [tie("one", "two")])


async def test_a_member_of_a_group_tells_nobody(behind: Behind) -> None:
    bench = behind.bench
    await related(behind)
    await bench.add("m", relations=Relations(group="g"))
    await behind.raw("ZADD", "needs", 0, edge("two", "m"))
    await changes_nothing(behind, [tie("m", "two")])


async def test_a_tie_to_another_queue_is_told_by_a_message(behind: Behind) -> None:
    await behind.bench.ended("one", State.DEAD)
    await behind.raw("ZADD", "edges", 0, edge("one", "other/x"))
    assert await mend(behind, A.TIE, Subject(Kind.TIE, "one", "other/x", raw=(b"one", b"other/x")))
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
    await changes_nothing(behind, [named(Kind.UNIQUE, key) for key in ("done", "time", "gone")])


async def test_a_key_of_a_task_that_has_ended_is_freed_though_it_has_an_end(behind: Behind) -> None:
    await behind.bench.ended("t", State.DEAD, relations=Relations(unique="k", ttl_ms=10**6))
    await behind.raw("HSET", "unique", "k", "t")
    await change(behind, "t", "owns_unique_key", 1)
    await behind.raw("ZADD", "locks", 10**14, "k")
    assert await mend(behind, A.FREE, named(Kind.UNIQUE, "k"))
    assert await behind.raw("EXISTS", "unique") == await behind.raw("EXISTS", "locks") == 0


async def test_permits_are_those_of_the_key_alone(behind: Behind) -> None:
    bench = behind.bench
    await bench.add("a", "b", relations=Relations(limit_key="k"))
    await bench.add("c", relations=Relations(limit_key="l"))
    await bench.take(3)
    await behind.raw("DEL", "permits")
    assert await mend(behind, A.PERMITS, named(Kind.LANE, "k"))
    assert await behind.raw("HGETALL", "permits") == [b"k", b"2"]
    await behind.raw("HSET", "permits", "gone", 5)
    assert await mend(behind, A.PERMITS, named(Kind.LANE, "gone"))
    assert await behind.raw("HEXISTS", "permits", "gone") == 0


async def test_the_turn_of_tasks_without_a_key_stays(behind: Behind) -> None:
    await behind.bench.store.arrange(Q, fair=True)
    await behind.bench.active("t")
    assert (await behind.bench.dump()).turns == {"": 1}
    await changes_nothing(behind, [named(Kind.LANE, "")])


async def test_a_start_that_the_rate_lets_come_soon_is_not_put_off(behind: Behind) -> None:
    await behind.bench.store.limit(Q, key="k", count=1, period_ms=100, burst=1)
    await behind.bench.add("a", "b", relations=Relations(limit_key="k"))
    await behind.bench.take()
    behind.bench.clock.advance(50)
    await changes_nothing(behind, [named(Kind.LANE, "k")])


async def test_a_group_that_is_due_keeps_its_rule(behind: Behind) -> None:
    await behind.bench.add("m", relations=Relations(group="g"))
    await behind.bench.store.set_group_rules(Q, rules={"g": GroupRule(1, 5, 5)})
    await behind.raw("ZREM", "groups", "g")
    assert await mend(behind, A.GROUP, named(Kind.GROUP, "g"))
    [group] = await behind.bench.store.groups(Q, limit=5)
    assert (group.due_ms, group.rule) == (0, GroupRule(1, 5, 5))


async def test_the_last_message_is_what_counts(behind: Behind) -> None:
    await behind.bench.store.enqueue(Q, [new(f"t{n}", relations=Relations(queue="o")) for n in range(3)])
    sent = (await behind.bench.dump()).sent
    await behind.raw("HSET", "meta", "sent", sent + 9)
    await changes_nothing(behind, [named(Kind.MESSAGE, str(sent))])
    await behind.raw("HSET", "meta", "sent", 1)
    assert await mend(behind, A.SENT, named(Kind.MESSAGE, str(sent)))
    assert (await behind.bench.dump()).sent == sent
