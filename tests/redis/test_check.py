"""A check finds each kind of damage, says which invariant it breaks and in what; and what can be
put right is put right.

Every case plants its damage by raw commands into a queue that has some of everything.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from rediq_trio.admin.queue import Queue
from rediq_trio.spec.check.findings import Action, Violation, left_over
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import MailKind, NewTask, Relations, Report, Schedule, Until
from rediq_trio.spec.records import GroupRule, Record
from rediq_trio.spec.stored_format import RELATION_FIELDS
from tests.conformance.bench import Q, new
from tests.redis.conftest import Behind
from tests.stored import AT, LONG, fields_of, pack

PLACE = 50 * 2**45
Found = set[tuple[int, str, str]]


def said(violations: list[Violation]) -> Found:
    """Return invariant, type and subject, without the sums that follow from the parts."""
    return {(v.invariant, v.about.value, v.subject) for v in violations if v.target is not None}


async def fill(behind: Behind) -> None:
    """Put some of everything into the queue, under names that the cases know."""
    bench, store = behind.bench, behind.bench.store
    for state in (State.COMPLETED, State.DEAD, State.CANCELLED):
        await bench.ended(state, state, priority=0)
    fence = await bench.active("active", priority=0, relations=Relations(limit_key="slow"))
    await store.report(Q, [Report(fence, b"p")])
    await store.remember(Q, fence, ("step", b"\x01"))
    await bench.add("pending", expires_in_ms=10**6, envelope=LONG)
    await bench.add("scheduled", delay_ms=10**5, envelope=LONG)
    await bench.add("grouped", "second", relations=Relations(group="g"))
    await store.set_group_rules(Q, rules={"g": GroupRule(5, 10**5, 10**5)})
    await store.limit(Q, key="slow", concurrency=1)
    await store.limit(Q, key="rated", count=1, period_ms=1000)
    await bench.add("shut", relations=Relations(limit_key="slow"))
    await bench.add("open", relations=Relations(limit_key="fast"))
    await bench.add("blocked", relations=Relations(needs=("pending",)))
    await bench.add("holder", relations=Relations(unique="k"))
    await bench.add("timed", relations=Relations(unique="t", until=Until.EXPIRED, ttl_ms=10**6))
    await store.enqueue(Q, [new("elsewhere", relations=Relations(queue="other"))])
    await store.declare(Q, schedule=Schedule("s", b"when", NewTask("", b"e"), next_ms=10**14))
    await store.declare(Q, schedule=Schedule("p", b"when", NewTask("", b"e"), next_ms=10**14))
    await store.suspend(Q, name="p")


def edge(one: str, two: str) -> bytes:
    return bytes([len(one)]) + one.encode() + two.encode()


def member(name: str, rank: int, own: str) -> bytes:
    return bytes([len(name)]) + name.encode() + f"{rank:016}{own}".encode()


async def record_of(behind: Behind, task_id: str) -> Record:
    return await behind.bench.record(task_id)


async def change(behind: Behind, task_id: str, name: str, value: object) -> None:
    """Change one field of a stored record, or one of its ties."""
    fields = fields_of(await behind.raw("HGET", "records", task_id))
    if name in RELATION_FIELDS:
        fields[AT["relations"]][RELATION_FIELDS.index(name)] = value
    else:
        fields[AT[name]] = value
    await behind.raw("HSET", "records", task_id, pack(fields))


@attrs.frozen
class Case:
    """A damage: raw commands, what they must be found as, and whether it can be put right."""

    commands: tuple[tuple[Any, ...], ...]
    found: tuple[tuple[int, str, str], ...]
    actions: tuple[Action, ...] = ()
    """Of the repairs; none where only a person can decide."""


A = Action
CASES: dict[str, Case] = {
    # tasks and their indexes
    "a pending task that is listed nowhere": Case(
        (("ZREM", "pending", "pending"),), ((1, "task", "pending"),), (A.LIST,)
    ),
    "a scheduled task that is listed nowhere": Case(
        (("ZREM", "scheduled", "scheduled"),), ((1, "task", "scheduled"),), (A.LIST,)
    ),
    "an active task that is listed nowhere": Case(
        (("ZREM", "active", "active"),),
        ((1, "task", "active"), (3, "task", "active"), (11, "lane", "slow")),
        (A.LIST, A.PERMITS, A.LANE),
    ),
    "a completed task that is listed nowhere": Case(
        (("ZREM", "completed", "completed"),), ((1, "task", "completed"),), (A.LIST,)
    ),
    "a dead task that is listed nowhere": Case(
        (("ZREM", "dead", "dead"),), ((1, "task", "dead"),), (A.LIST,)
    ),
    "a cancelled task that is listed nowhere": Case(
        (("ZREM", "cancelled", "cancelled"),), ((1, "task", "cancelled"),), (A.LIST,)
    ),
    "a blocked task that is listed nowhere": Case(
        (("ZREM", "blocked", "blocked"),), ((1, "task", "blocked"),), (A.LIST,)
    ),
    "a task that is listed twice": Case(
        (("ZADD", "retry", 5, "pending"),), ((1, "task", "pending"),), (A.UNLIST,)
    ),
    "a task that is listed in another index": Case(
        (("ZREM", "pending", "pending"), ("ZADD", "retry", 5, "pending")),
        ((1, "task", "pending"),),
    ),
    "a task in another place": Case(
        (("ZADD", "pending", 7, "pending"),), ((7, "task", "pending"),), (A.MOVE,)
    ),
    "a task that is due at another time": Case(
        (("ZADD", "scheduled", 7, "scheduled"),), ((7, "task", "scheduled"),), (A.MOVE,)
    ),
    "an id that an index alone knows": Case(
        (("ZADD", "pending", 7, "x"),), ((1, "task", "x"),), (A.FORGET,)
    ),
    "an id that two indexes know": Case(
        (("ZADD", "dead", 7, "x"), ("ZADD", "retry", 7, "x")), ((1, "task", "x"),), (A.FORGET,)
    ),
    "a payload without a task": Case((("HSET", "payloads", "x", b"e"),), ((2, "task", "x"),)),
    "a result without a task": Case(
        (("HSET", "results", "x", b"r"),), ((2, "task", "x"),), (A.FORGET,)
    ),
    "progress without a task": Case(
        (("HSET", "progress", "x", b"p"),), ((2, "task", "x"),), (A.FORGET,)
    ),
    "inputs without a task": Case(
        (("HSET", "inputs", "x", b"i"),), ((2, "task", "x"),), (A.FORGET,)
    ),
    "steps without a task": Case((("HSET", "steps", "x", b"s"),), ((2, "task", "x"),), (A.FORGET,)),
    "attempts without a task": Case(
        (("HSET", "attempts", "x", b"a"),), ((2, "task", "x"),), (A.FORGET,)
    ),
    "an expiry without a task": Case(
        (("ZADD", "expiring", 7, "x"),), ((2, "task", "x"),), (A.FORGET,)
    ),
    "a task without its payload": Case(
        (("HDEL", "payloads", "pending"),), ((2, "task", "pending"),)
    ),
    "a task without its record": Case(
        (("HDEL", "records", "scheduled"),), ((1, "task", "scheduled"),)
    ),
    "a record that cannot be read": Case(
        (("HSET", "records", "scheduled", b"junk"),), ((1, "task", "scheduled"),)
    ),
    "an expiry that is missing": Case(
        (("ZREM", "expiring", "pending"),), ((8, "task", "pending"),), (A.EXPIRY,)
    ),
    "an expiry at another time": Case(
        (("ZADD", "expiring", 9, "pending"),), ((8, "task", "pending"),), (A.EXPIRY,)
    ),
    "an expiry of one that cannot": Case(
        (("ZADD", "expiring", 9, "dead"),), ((8, "task", "dead"),), (A.EXPIRY,)
    ),
    "a result of a task that has none yet": Case(
        (("HSET", "results", "pending", b"r"),), ((5, "task", "pending"),)
    ),
    "inputs of a completed task": Case(
        (("HSET", "inputs", "completed", b"i"),), ((5, "task", "completed"),)
    ),
    "steps of a task that took none": Case(
        (("HSET", "steps", "pending", b"s"),), ((2, "task", "pending"),)
    ),
    # index members
    "a pending task with a limit key that is listed nowhere": Case(
        (("ZREM", "keyed", member("fast", PLACE + 10, "open")),),
        ((1, "task", "open"), (13, "lane", "fast")),
        (A.LIST, A.LANE),
    ),
    "a grouped task that is listed nowhere": Case(
        (("ZREM", "grouped", member("g", 8, "second")),),
        ((1, "task", "second"),),
        (A.LIST,),
    ),
    "a second member": Case(
        (("ZADD", "keyed", 0, member("fast", PLACE + 19, "open")),),
        ((1, "index member", "open"),),
        (A.REINDEX,),
    ),
    "a member of a task that is not pending": Case(
        (("ZADD", "keyed", 0, member("fast", PLACE + 19, "dead")),),
        ((1, "index member", "dead"),),
        (A.REINDEX,),
    ),
    "a member of nobody": Case(
        (("ZADD", "keyed", 0, member("fast", PLACE + 19, "x")),),
        ((1, "index member", "x"),),
        (A.REINDEX,),
    ),
    "a member that cannot be read": Case(
        (("ZADD", "keyed", 0, b"\x03abc"),), ((1, "index member", ""),), (A.REINDEX,)
    ),
    "a member of an unreadable task": Case(
        (("HSET", "records", "second", b"junk"),),
        ((1, "index member", "second"), (2, "task", "second")),
    ),
    "a member out of order": Case(
        (("ZADD", "grouped", 3, member("g", 7, "grouped")),),
        ((7, "index member", "grouped"),),
        (A.REINDEX,),
    ),
    # limit keys
    "a permit too many": Case(
        (("HINCRBY", "permits", "slow", 3),), ((11, "lane", "slow"),), (A.PERMITS,)
    ),
    "a permit too few": Case(
        (("HDEL", "permits", "slow"),), ((11, "lane", "slow"), (13, "lane", "slow")), (A.PERMITS,)
    ),
    "a permit that nobody has": Case(
        (("HSET", "permits", "gone", 1),), ((11, "lane", "gone"),), (A.PERMITS,)
    ),
    "a lane that is nowhere": Case(
        (("ZREM", "lanes", "fast"),), ((13, "lane", "fast"),), (A.LANE,)
    ),
    "a lane that is open and shut": Case(
        (("ZADD", "shut", 9, "fast"),), ((13, "lane", "fast"),), (A.LANE,)
    ),
    "a lane that is shut for nothing": Case(
        (("ZREM", "lanes", "fast"), ("ZADD", "shut", "+inf", "fast")),
        ((13, "lane", "fast"),),
        (A.LANE,),
    ),
    "a lane that is open over its limit": Case(
        (("ZREM", "shut", "slow"), ("ZADD", "lanes", PLACE + 9, "slow")),
        ((11, "lane", "slow"),),
        (A.LANE,),
    ),
    "a lane in another place": Case(
        (("ZADD", "lanes", 5, "fast"),), ((7, "lane", "fast"),), (A.LANE,)
    ),
    "a lane of nobody": Case((("ZADD", "lanes", 5, "x"),), ((13, "lane", "x"),), (A.LANE,)),
    "a turn of nobody": Case((("HSET", "turns", "x", 5),), ((13, "lane", "x"),), (A.LANE,)),
    "a turn that is missing": Case(
        (("HDEL", "turns", "fast"),), ((13, "lane", "fast"),), (A.LANE,)
    ),
    "a limit that cannot be read": Case(
        (("HSET", "limits", "rated", b"junk"),), ((11, "lane", "rated"),)
    ),
    "starts counted without a rate": Case(
        (("ZADD", "rates", 10**18, "x"),), ((11, "lane", "x"),), (A.LANE,)
    ),
    "starts counted for the queue without a rate": Case(
        (("ZADD", "rates", 10**18, ""),), ((11, "lane", ""),), (A.LANE,)
    ),
    "a start further off than the rate says": Case(
        (("ZADD", "rates", 10**16, "rated"),), ((13, "lane", "rated"),), (A.LANE,)
    ),
    # unique keys
    "a unique key of a task that is gone": Case(
        (("HSET", "unique", "u", "x"),), ((6, "unique", "u"),), (A.FREE,)
    ),
    "a unique key of a task that has ended": Case(
        (("HSET", "unique", "k", "dead"),), ((6, "unique", "k"),), (A.FREE,)
    ),
    "a unique key whose window is over": Case(
        (("HSET", "unique", "u", "pending"),), ((6, "unique", "u"),), (A.FREE,)
    ),
    "a window of no unique key": Case(
        (("ZADD", "locks", 10**14, "u"),), ((6, "unique", "u"),), (A.FREE,)
    ),
    "a unique key of an unreadable task": Case(
        (("HSET", "records", "holder", b"junk"),), ((1, "task", "holder"), (6, "unique", "k"))
    ),
    # groups
    "a group that is not listed": Case(
        (("ZREM", "groups", "g"),), ((10, "group", "g"),), (A.GROUP,)
    ),
    "a group that is due at another time": Case(
        (("ZADD", "groups", 10**14, "g"),), ((10, "group", "g"),), (A.GROUP,)
    ),
    "a group without members": Case(
        (("ZADD", "groups", 5, "x"),), ((10, "group", "x"),), (A.GROUP,)
    ),
    "a rule of no group": Case(
        (("HSET", "rules", "x", pack([5, 5, 5])),), ((10, "group", "x"),), (A.GROUP,)
    ),
    "a rule that cannot be read": Case((("HSET", "rules", "g", b"\xc1"),), ((10, "group", "g"),)),
    "a rule that is a number": Case((("HSET", "rules", "g", b"\x05"),), ((10, "group", "g"),)),
    "a limit that breaks off": Case(
        (("HSET", "limits", "rated", b"\x95\x01"),), ((11, "lane", "rated"),)
    ),
    # schedules
    "a schedule that cannot be read": Case(
        (("HSET", "schedules", "s", b"junk"),), ((9, "schedule", "s"),)
    ),
    "a tick of no schedule": Case(
        (("ZADD", "ticks", 5, "x"),), ((9, "schedule", "x"),), (A.SCHEDULE,)
    ),
    "a tick of a schedule that is paused": Case(
        (("ZADD", "ticks", 5, "p"),), ((9, "schedule", "p"),), (A.SCHEDULE,)
    ),
    "a tick that has fired": Case((("ZADD", "ticks", 0, "s"),), ((9, "schedule", "s"),)),
    "a revision that was never given": Case(
        (("HSET", "meta", "revision", 1),), ((9, "schedule", "p"),), (A.SCHEDULE,)
    ),
    # dependencies
    "an edge that is missing": Case(
        (("ZREM", "edges", edge("pending", "blocked")),),
        ((13, "dependency", "pending -> blocked"),),
        (A.RELINK,),
    ),
    "a need that is missing": Case(
        (("ZREM", "needs", edge("blocked", "pending")),),
        ((8, "task", "blocked"), (8, "dependency", "pending -> blocked")),
        (A.RELINK,),
    ),
    "a dependency that is gone on both sides": Case(
        (("DEL", "edges"), ("DEL", "needs")), ((8, "task", "blocked"),)
    ),
    "an edge from a task that is gone": Case(
        (("ZADD", "edges", 0, edge("x", "y")),), ((13, "dependency", "x -> y"),), (A.RELINK,)
    ),
    "an edge from a task that is gone, to another queue": Case(
        (("ZADD", "edges", 0, edge("x", "other/y")),), ((13, "dependency", "x -> other/y"),)
    ),
    "an edge from a task that has ended": Case(
        (("ZADD", "edges", 0, edge("dead", "other/y")),),
        ((13, "dependency", "dead -> other/y"),),
        (A.RELINK,),
    ),
    "an edge that its task does not know of": Case(
        (("ZADD", "edges", 0, edge("open", "y")),), ((13, "dependency", "open -> y"),), (A.RELINK,)
    ),
    "a need of a task that is gone": Case(
        (("ZADD", "needs", 0, edge("x", "pending")),), ((2, "dependency", "pending -> x"),)
    ),
    # messages
    "a message that cannot be read": Case(
        (("ZADD", "outbox", 5, b"junk"),), ((2, "message", "5"),)
    ),
    "a message at another number": Case(
        (("ZADD", "outbox", 5, pack([6, b"other", int(MailKind.SUBSCRIBE), b"x", b"y", 0, b""])),),
        ((2, "message", "5"),),
    ),
    "an ending that cannot be read": Case(
        (("ZADD", "endings", 5, b"\x93junk"),), ((2, "ending", "5"),)
    ),
    "an ending that was never given": Case(
        (("ZADD", "endings", 5, pack([5, b"x", 0, b""])),), ((2, "ending", "5"),)
    ),
    "a sender's number that cannot be read": Case(
        (("HSET", "received", "other", b"many"),), ((2, "sender", "other"),)
    ),
    # numbers of the queue
    "places that would be given again": Case((("HSET", "meta", "seq", 7),), (), (A.SEQ,)),
    "numbers of messages that would be given again": Case(
        (("HSET", "meta", "sent", 7),), (), (A.SENT,)
    ),
}
each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


async def plant(behind: Behind, case: Case) -> None:
    await fill(behind)
    assert await Queue(behind.bench.store, Q).check() == []
    for command, key, *args in case.commands:
        await behind.raw(command, key, *args)


@each
async def test_a_damage_is_found_for_what_it_is(behind: Behind, case: Case) -> None:
    await plant(behind, case)
    found = await Queue(behind.bench.store, Q).check()
    if case.found:
        assert said(found) == set(case.found)
    else:
        assert found


@each
async def test_what_can_be_put_right_is_and_all_else_is_left_to_a_person(
    behind: Behind, case: Case
) -> None:
    await plant(behind, case)
    queue = Queue(behind.bench.store, Q)
    found = await queue.check()
    plan = await queue.repair_plan(found)
    assert {repair.what for repair in plan} == set(case.actions)
    made = await queue.repair(plan)
    assert bool(made) == bool(case.actions)
    before = await behind.contents()
    assert await queue.repair(plan) == []
    assert await behind.contents() == before
    found = await queue.check()
    again = await queue.repair_plan(found)
    await queue.repair(again)
    if case.actions:
        assert await queue.check() == []
    else:
        assert again == []
        assert left_over(found, again) == found
