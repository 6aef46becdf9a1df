"""Tasks that wait in groups, and the batches that are made of them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.groups import DEFAULT_RULE, MOST_BYTES, RULES_AT_ONCE, Group
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Death, Due, Relations, Until
from rediq_trio.spec.records import Counters, GroupRule, Lock
from rediq_trio.store.broadcast import SignalKind

from .bench import START, Bench, Q, failed, heard, new
from .test_signals import listening

DAY = 86_400_000
QUICK = GroupRule(max_size=3, grace_ms=100, max_delay_ms=250)
UUID = "018f3b2c-0000-7abc-8def-0123456789ab"


async def put(bench: Bench, *ids: str, group: str = "g", **options: Any) -> None:
    """Enqueue tasks into a group."""
    relations = Relations(
        group=group, unique=options.pop("unique", ""), **options.pop("relations", {})
    )
    await bench.add(*ids, relations=relations, **options)


async def batch_of(bench: Bench, task_id: str) -> BatchEnvelope:
    batch = (await bench.record(task_id)).envelope
    assert isinstance(batch, BatchEnvelope)
    return batch


async def members(bench: Bench, task_id: str) -> list[str]:
    return [member.id for member in (await batch_of(bench, task_id)).members]


async def test_nothing_becomes_of_no_group(bench: Bench) -> None:
    assert await bench.store.batch(Q, ids=["b"]) == Due(0, None)
    assert await bench.store.set_group_rules(Q, rules={"g": QUICK}) == 0
    assert await bench.store.groups(Q, limit=10) == ()
    assert (await bench.dump()).rules == {}


async def test_a_group_is_due_by_the_default_until_it_has_a_rule(bench: Bench) -> None:
    await put(bench, "a")
    due = START + DEFAULT_RULE.grace_ms
    assert await bench.store.groups(Q, limit=10) == (Group("g", None, 1, due),)
    assert await bench.store.set_group_rules(Q, rules={"g": QUICK, "h": QUICK}) == 1
    assert await bench.store.groups(Q, limit=10) == (Group("g", QUICK, 1, START + 100),)
    assert await bench.store.set_group_rules(Q, rules={"g": QUICK}) == 0


async def test_the_default_is_ten_half_a_minute_and_five(bench: Bench) -> None:
    assert GroupRule(10, 30_000, 300_000) == DEFAULT_RULE
    await put(bench, *(f"m{n}" for n in range(9)))
    assert await bench.store.batch(Q, ids=["b"]) == Due(0, 30_000)
    bench.clock.advance(30_000)
    assert await bench.store.batch(Q, ids=["b"]) == Due(1, None)


async def test_a_group_without_a_rule_is_not_due_by_its_size_before_the_grace(bench: Bench) -> None:
    await put(bench, *(f"m{n}" for n in range(10)))
    bench.clock.advance(29_999)
    await put(bench, "last")
    assert await bench.store.batch(Q, ids=["b"]) == Due(0, 1)
    bench.clock.advance(1)
    assert await bench.store.batch(Q, ids=["b", "c"]) == Due(1, 29_999)
    assert await members(bench, "b") == [f"m{n}" for n in range(10)]
    await bench.check()


async def test_a_batch_is_made_by_the_rule_of_who_makes_it(bench: Bench) -> None:
    await put(bench, *(f"m{n}" for n in range(10)))
    bench.clock.advance(30_000)
    made = await bench.store.batch(Q, ids=["w", "x", "y", "z"], rules={"g": QUICK})
    assert made == Due(4, None)
    assert [len(await members(bench, i)) for i in ("w", "x", "y", "z")] == [3, 3, 3, 1]
    await put(bench, "a")
    await bench.store.set_group_rules(Q, rules={"g": GroupRule(1)})
    large = GroupRule(9, 100, 250)
    assert await bench.store.batch(Q, ids=["b"], rules={"g": large}) == Due(0, 100)
    assert await bench.store.groups(Q, limit=10) == (Group("g", large, 1, bench.clock() + 100),)
    await bench.check()


@pytest.mark.parametrize(
    ("names", "size"),
    [
        (["g:*", "*", "g:long"], 1),
        (["*", "g:*"], 2),
        (["g:*", "*"], 1),
        (["g:lo*", "g:long*", "g:l*"], 2),
        (["g:", "g", "other"], None),
        (["*"], 1),
        (["g:longer", "g:longer*"], None),
    ],
)
async def test_the_rule_of_a_name_goes_before_that_of_the_longest_prefix(
    bench: Bench, names: list[str], size: int | None
) -> None:
    if "g:long" in names:
        size = 1 + names.index("g:long")
    await put(bench, "a", "b", "c", "d", group="g:long")
    bench.clock.advance(30_000)
    rules = {name: GroupRule(n) for n, name in enumerate(names, start=1)}
    await bench.store.batch(Q, ids=["x"], rules=rules)
    assert len(await members(bench, "x")) == (size or 4)


async def test_a_step_changes_the_rules_of_so_many_groups(bench: Bench) -> None:
    for n in range(0, RULES_AT_ONCE + 1, 500):
        tasks = [
            new(f"m{i:04}", relations=Relations(group=f"g{i}"))
            for i in range(n, min(n + 500, RULES_AT_ONCE + 1))
        ]
        await bench.store.enqueue(Q, tasks)
    bench.clock.advance(30_000)
    later = GroupRule(9, 60_000, 60_000)
    assert await bench.store.batch(Q, ids=["x"], rules={"g*": later}) == Due(0, 0)
    assert len((await bench.dump()).rules) == RULES_AT_ONCE
    assert await bench.store.batch(Q, ids=["x"], rules={"g*": later}) == Due(0, 30_000)
    assert len((await bench.dump()).rules) == RULES_AT_ONCE + 1


async def test_a_full_group_becomes_a_batch_at_once(bench: Bench) -> None:
    await put(bench, "a", "b")
    await bench.store.set_group_rules(Q, rules={"g": QUICK})
    assert await bench.store.batch(Q, ids=["x"]) == Due(0, 100)
    await put(bench, "c")
    assert await bench.store.batch(Q, ids=["x"]) == Due(1, None)
    assert await bench.ids(State.PENDING) == ["x"]
    assert await members(bench, "x") == ["a", "b", "c"]
    assert await bench.store.get(Q, ["a", "b", "c"]) == (None, None, None)


async def test_each_member_begins_the_grace_anew(bench: Bench) -> None:
    await put(bench, "a")
    await bench.store.set_group_rules(Q, rules={"g": QUICK})
    bench.clock.advance(99)
    await put(bench, "b")
    bench.clock.advance(99)
    assert await bench.store.batch(Q, ids=["x"]) == Due(0, 1)
    bench.clock.advance(1)
    assert await bench.store.batch(Q, ids=["x"]) == Due(1, None)


async def test_no_member_waits_longer_than_the_longest_delay(bench: Bench) -> None:
    await put(bench, "a")
    await bench.store.set_group_rules(Q, rules={"g": attrs.evolve(QUICK, max_size=9)})
    for n in range(3):
        bench.clock.advance(80)
        await put(bench, f"n{n}")
    bench.clock.advance(9)
    assert await bench.store.batch(Q, ids=["x"]) == Due(0, 1)
    bench.clock.advance(1)
    assert await bench.store.batch(Q, ids=["x"]) == Due(1, None)
    assert await members(bench, "x") == ["a", "n0", "n1", "n2"]


async def test_a_batch_is_a_task_made_of_its_members(bench: Bench) -> None:
    await put(bench, "a", priority=70, max_retry=1, max_crashes=9, retention_ms=5)
    await put(bench, UUID, priority=20, max_retry=5, max_crashes=0, retention_ms=DAY * 3000)
    await put(bench, "c", priority=90, max_retry=0, max_crashes=4, retention_ms=0)
    await bench.store.set_group_rules(Q, rules={"g": QUICK})
    bench.clock.advance(7)
    await bench.store.batch(Q, ids=["x"])
    record = await bench.record("x")
    batch = await batch_of(bench, "x")
    assert (record.state, record.priority, record.max_retry) == (State.PENDING, 20, 5)
    assert (record.max_crashes, record.retention_ms, record.expires_ms) == (9, DAY * 3000, 0)
    assert (record.created_ms, record.run_ms, record.group) == (START + 7, START + 7, "")
    assert batch.group == "g"
    assert [attrs.astuple(member) for member in batch.members] == [
        ("a", b"envelope of a", 70, 1, 9, 5),
        (UUID, b"envelope of " + UUID.encode(), 20, 5, 0, DAY * 3000),
        ("c", b"envelope of c", 90, 0, 4, 0),
    ]
    assert (await bench.dump()).counters == Counters(enqueued=4, batched=3)


async def test_a_batch_takes_its_place_behind_what_is_ready(bench: Bench) -> None:
    await put(bench, "a")
    await bench.store.set_group_rules(Q, rules={"g": GroupRule(1)})
    await bench.add("before")
    await bench.store.batch(Q, ids=["x"])
    await bench.add("behind")
    assert await bench.ids(State.PENDING) == ["before", "x", "behind"]


async def test_more_members_than_a_batch_holds_make_another(bench: Bench) -> None:
    await put(bench, "a", "b", "c", "d", "e", "f", "g")
    await bench.store.set_group_rules(Q, rules={"g": QUICK})
    assert await bench.store.batch(Q, ids=["x", "y", "z"]) == Due(2, 100)
    assert await members(bench, "x") == ["a", "b", "c"]
    assert await members(bench, "y") == ["d", "e", "f"]
    assert await bench.ids(State.GROUPED) == ["g"]
    assert await bench.store.groups(Q, limit=10) == (Group("g", QUICK, 1, START + 100),)


async def test_a_step_makes_no_more_batches_than_it_has_ids(bench: Bench) -> None:
    await put(bench, "a", "b", group="g")
    await put(bench, "c", group="h")
    await bench.store.set_group_rules(Q, rules={"g": GroupRule(1), "h": GroupRule(1)})
    assert await bench.store.batch(Q, ids=["x"]) == Due(1, 0)
    assert await bench.store.batch(Q, ids=["y", "z"]) == Due(2, None)


async def test_the_group_due_first_goes_first_and_names_order_the_others(bench: Bench) -> None:
    await put(bench, "a", group="late")
    bench.clock.advance(5)
    for group in ("é", "b", "aa"):
        await put(bench, f"of-{len(group.encode())}-{group.isascii()}", group=group)
    rules = {
        "b": GroupRule(9, 50, 60),
        "aa": GroupRule(9, 50, 60),
        "é": GroupRule(9, 50, 60),
        "late": GroupRule(9, 55, 60),
    }
    await bench.store.set_group_rules(Q, rules=rules)
    found = [group.name for group in await bench.store.groups(Q, limit=10)]
    assert found == ["aa", "b", "late", "é"]
    assert await bench.store.groups(Q, limit=2, start=1) == (
        Group("b", rules["b"], 1, START + 55),
        Group("late", rules["late"], 1, START + 55),
    )
    bench.clock.advance(50)
    assert await bench.store.batch(Q, ids=["1", "2", "3", "4"]) == Due(4, None)
    groups = [(await batch_of(bench, i)).group for i in ("1", "2", "3", "4")]
    assert groups == found


async def test_two_groups_do_not_mix(bench: Bench) -> None:
    for n, group in enumerate(["g", "gg", "g", "gg", "g"]):
        await put(bench, f"m{n}", group=group)
    await bench.store.set_group_rules(Q, rules={"g": QUICK})
    assert await bench.store.batch(Q, ids=["x", "y"]) == Due(1, 30_000)
    assert await members(bench, "x") == ["m0", "m2", "m4"]
    assert await bench.ids(State.GROUPED) == ["m1", "m3"]


async def test_a_batch_called_for_twice_is_made_once(bench: Bench) -> None:
    await put(bench, "a", "b", "c", "d", "e", "f")
    await bench.store.set_group_rules(Q, rules={"g": QUICK})
    assert await bench.store.batch(Q, ids=["x"]) == Due(1, 0)
    before = await bench.dump()
    assert await bench.store.batch(Q, ids=["x"]) == Due(0, 0)
    assert await bench.dump() == before


async def test_an_id_that_exists_leaves_the_group_for_the_next(bench: Bench) -> None:
    await bench.add("taken")
    await put(bench, "a")
    await bench.store.set_group_rules(Q, rules={"g": GroupRule(1)})
    assert await bench.store.batch(Q, ids=["taken", "a"]) == Due(0, 0)
    assert await bench.store.batch(Q, ids=["taken", "x"]) == Due(1, None)
    assert (await bench.record("taken")).envelope == b"envelope of taken"


@pytest.mark.parametrize("way", ["cancel", "delete", "expire", "flush"])
async def test_a_member_that_leaves_is_in_no_batch(bench: Bench, way: str) -> None:
    await put(bench, "a", expires_in_ms=50)
    bench.clock.advance(20)
    await put(bench, "b", "c")
    await bench.store.set_group_rules(Q, rules={"g": attrs.evolve(QUICK, max_delay_ms=100)})
    assert await bench.store.groups(Q, limit=1) == (
        Group("g", attrs.evolve(QUICK, max_delay_ms=100), 3, 0),
    )
    bench.clock.advance(30)
    if way == "cancel":
        assert (await bench.store.cancel(Q, "a")).state is State.CANCELLED
    elif way == "delete":
        await bench.store.delete(Q, ["a"])
    elif way == "expire":
        assert await bench.store.expire(Q, limit=5) == Due(1, None, (Death("a", 0, "expired"),))
    else:
        await bench.store.flush(Q)
        assert await bench.store.groups(Q, limit=1) == ()
        assert (await bench.dump()).rules == {}
        return
    assert await bench.store.batch(Q, ids=["x"]) == Due(0, 70)
    bench.clock.advance(70)
    assert await bench.store.batch(Q, ids=["x"]) == Due(1, None)
    assert await members(bench, "x") == ["b", "c"]


async def test_a_rule_goes_with_the_last_member(bench: Bench) -> None:
    for way in ("delete", "batch"):
        await put(bench, "a")
        assert await bench.store.set_group_rules(Q, rules={"g": GroupRule(2, 1, 1)}) == 1
        if way == "delete":
            await bench.store.delete(Q, ["a"])
        else:
            bench.clock.advance(1)
            await bench.store.batch(Q, ids=["x"])
        assert (await bench.dump()).rules == {}
        assert await bench.store.batch(Q, ids=["y"]) == Due(0, None)


async def test_a_revived_member_waits_from_its_revival_on(bench: Bench) -> None:
    await put(bench, "a")
    await bench.store.cancel(Q, "a")
    bench.clock.advance(10)
    await put(bench, "b")
    await bench.store.set_group_rules(Q, rules={"g": GroupRule(9, 100, 120)})
    bench.clock.advance(90)
    assert await bench.store.revive(Q, ["a"]) == (State.GROUPED,)
    assert await bench.store.batch(Q, ids=["x"]) == Due(0, 30)
    bench.clock.advance(30)
    await bench.store.batch(Q, ids=["x"])
    assert await members(bench, "x") == ["b", "a"]


async def test_a_batch_frees_the_unique_keys_of_its_members(bench: Bench) -> None:
    await put(bench, "a", unique="k")
    await put(bench, "b", unique="l", relations={"until": Until.STARTED})
    await put(bench, "c", unique="m", relations={"until": Until.EXPIRED, "ttl_ms": 500})
    await bench.store.set_group_rules(Q, rules={"g": QUICK})
    assert await bench.store.batch(Q, ids=["x"]) == Due(1, None)
    assert (await bench.dump()).locks == {"m": Lock("c", START + 500)}


async def test_a_member_of_a_batch_that_expires_no_more_does_not(bench: Bench) -> None:
    await put(bench, "a", expires_in_ms=5)
    await bench.store.set_group_rules(Q, rules={"g": GroupRule(1)})
    await bench.store.batch(Q, ids=["x"])
    bench.clock.advance(5)
    assert await bench.store.expire(Q, limit=5) == Due(0, None)
    [lease] = await bench.take()
    assert lease.fence.id == "x"


async def test_a_batch_holds_no_more_than_8_mib_but_one_member_in_any_case(bench: Bench) -> None:
    half = MOST_BYTES // 2
    tasks = [new("a"), new("b"), new("c"), new("d")]
    for task, size in zip(tasks, (half, half, 1, MOST_BYTES + 1), strict=True):
        task = attrs.evolve(
            task, envelope=bytes([size % 251]) * size, relations=Relations(group="g")
        )
        await bench.store.enqueue(Q, [task])
    await bench.store.set_group_rules(Q, rules={"g": GroupRule(4, 7, 9)})
    assert await bench.store.batch(Q, ids=["x", "y"]) == Due(1, 7)
    assert await members(bench, "x") == ["a", "b"]
    bench.clock.advance(7)
    assert await bench.store.batch(Q, ids=["y", "z"]) == Due(2, None)
    assert (await members(bench, "y"), await members(bench, "z")) == (["c"], ["d"])


@pytest.mark.parametrize("count", [1, 15, 16, 1000])
async def test_a_batch_can_be_read_whatever_its_length(bench: Bench, count: int) -> None:
    ids = [f"m{n}" for n in range(count)]
    await put(bench, *ids)
    await bench.store.set_group_rules(Q, rules={"g": GroupRule(1000, 1, 1)})
    bench.clock.advance(1)
    assert await bench.store.batch(Q, ids=["x"]) == Due(1, None)
    assert await members(bench, "x") == ids


async def test_a_batch_that_is_dead_keeps_its_members(bench: Bench) -> None:
    await put(bench, "a")
    await bench.store.set_group_rules(Q, rules={"g": GroupRule(1)})
    await bench.store.batch(Q, ids=["x"])
    [lease] = await bench.take()
    await bench.store.settle(Q, [failed(lease.fence, final=True)])
    assert await bench.store.revive(Q, ["x"]) == (State.PENDING,)
    [again] = await bench.take()
    assert again.envelope == lease.envelope
    assert await bench.store.settle(Q, [Completed(again.fence, b"r")]) == (State.COMPLETED,)


async def test_a_task_that_needs_a_member_is_refused(bench: Bench) -> None:
    await put(bench, "a")
    (answer,) = await bench.store.enqueue(Q, [new("b", relations=Relations(needs=("a",)))])
    assert not isinstance(answer, State)


# --- signals


async def test_a_new_group_is_told_by_its_name(bench: Bench) -> None:
    async with listening(bench) as signals:
        await put(bench, "a", group="user:1")
        await heard(signals, SignalKind.GROUP, "user:1")


async def test_a_group_due_sooner_is_told(bench: Bench) -> None:
    await put(bench, "a")
    async with listening(bench) as signals:
        await bench.store.set_group_rules(Q, rules={"g": QUICK})
        await heard(signals, SignalKind.GROUP, "g")
    async with listening(bench) as signals:
        await put(bench, "b", "c")
        await heard(signals, SignalKind.GROUP, "g")


async def test_who_waits_for_a_member_is_told_when_it_goes_into_a_batch(bench: Bench) -> None:
    await put(bench, "a")
    await bench.store.watch(Q, "a")
    await bench.store.set_group_rules(Q, rules={"g": GroupRule(1)})
    async with listening(bench, "a") as signals:
        await bench.store.batch(Q, ids=["x"])
        await heard(signals, SignalKind.DONE, "a")


async def test_a_batch_wakes(bench: Bench) -> None:
    await put(bench, "a")
    await bench.store.set_group_rules(Q, rules={"g": GroupRule(1)})
    async with listening(bench) as signals:
        await bench.store.batch(Q, ids=["x"])
        await heard(signals, SignalKind.WAKE)
