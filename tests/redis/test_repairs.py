"""Repairs of random damages in random queues: all is put right, nothing is lost, all gets done."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest

from rediq_trio.admin.queue import Queue
from rediq_trio.spec.lifecycle import TERMINAL, State
from rediq_trio.spec.messages import Completed, Relations
from rediq_trio.spec.records import GroupRule
from tests.conformance.bench import Q, failed, new
from tests.redis.conftest import Behind

KEYS = ("", "", "a", "b")
STEPS = 60
MOST_ROUNDS = 4
"""What a repair puts right may show another damage; not more often than there are kinds."""


async def random_queue(behind: Behind, chance: random.Random) -> set[str]:
    """Let a queue live for a while; give the ids of its tasks."""
    bench, store, ids = behind.bench, behind.bench.store, list[str]()
    await store.limit(Q, key="a", concurrency=2)
    await store.limit(Q, key="b", count=3, period_ms=100, burst=2)
    if chance.random() < 0.3:
        await store.arrange(Q, fair=True)
    for step in range(STEPS):
        match chance.randrange(6):
            case 0 | 1 | 2:
                own = f"t{step}"
                relations = Relations(
                    limit_key=chance.choice(KEYS),
                    unique=f"u{step}" if chance.random() < 0.3 else "",
                    needs=tuple(chance.sample(ids, min(len(ids), chance.randrange(3)))),
                    run_on_dependency_failure=True,
                )
                if chance.random() < 0.2:
                    relations = Relations(group=chance.choice("gh"))
                options = {
                    "delay_ms": chance.choice([0, 0, 500]),
                    "expires_in_ms": chance.choice([0, 10**9]),
                }
                [answer] = await store.enqueue(
                    Q, [new(own, relations=relations, retention_ms=10**10, **options)]
                )
                if isinstance(answer, State):
                    ids.append(own)
            case 3 | 4:
                for lease in await bench.take(chance.randrange(1, 4)):
                    end = chance.random()
                    if end < 0.4:
                        await store.settle(Q, [Completed(lease.fence, b"\x01")])
                    elif end < 0.6:
                        await store.settle(Q, [failed(lease.fence, final=end < 0.5)])
            case _:
                bench.clock.advance(chance.randrange(200))
                await store.promote(Q, limit=5)
    return set(ids)


async def a_member(behind: Behind, chance: random.Random, name: str) -> bytes | None:
    found: list[bytes] = sorted(await behind.raw("ZRANGE", name, 0, -1))
    return chance.choice(found) if found else None


async def take_out(behind: Behind, chance: random.Random) -> None:
    """Take a task, or a link, out of an index."""
    name = chance.choice(
        ["pending", "keyed", "scheduled", "retry", "blocked", "grouped", "active", "completed",
         "dead", "expiring", "edges", "lanes", "shut", "groups"]
    )  # fmt: skip
    if member := await a_member(behind, chance, name):
        await behind.raw("ZREM", name, member)


async def put_in(behind: Behind, chance: random.Random) -> None:
    """List a task also where it does not belong, or one that there is not."""
    names = ["pending", "scheduled", "retry", "blocked", "completed", "dead", "cancelled"]
    own = b"nobody"
    if chance.random() < 0.7:
        own = await a_member(behind, chance, chance.choice([*names, "active"])) or own
    name = chance.choice(names)
    if await behind.raw("ZSCORE", name, own) is None:
        await behind.raw("ZADD", name, 10**15, own)


async def misplace(behind: Behind, chance: random.Random) -> None:
    """Change a place that follows from a record."""
    name = chance.choice(
        ["pending", "scheduled", "retry", "blocked", "lanes", "groups", "expiring"]
    )
    if member := await a_member(behind, chance, name):
        await behind.raw("ZADD", name, 7, member)


async def miscount(behind: Behind, chance: random.Random) -> None:
    """Change a count."""
    name, field = chance.choice([("permits", "a"), ("permits", "b"), ("meta", "enqueued")])
    await behind.raw("HINCRBY", name, field, 3)


async def hold(behind: Behind, chance: random.Random) -> None:
    """Let nobody, or somebody without a right, hold unique keys; let a key be mortal."""
    await behind.raw("HSET", "unique", "stolen", chance.choice(["nobody", "t1", "t2"]))
    await behind.raw("PEXPIRE", "records", 10**12)


DAMAGES: tuple[Callable[[Behind, random.Random], Awaitable[None]], ...] = (
    take_out, take_out, put_in, misplace, miscount, hold,
)  # fmt: skip


async def drain(behind: Behind) -> None:
    """Do what workers and keepers do until nothing waits."""
    bench, store = behind.bench, behind.bench.store
    for turn in range(400):
        bench.clock.advance(60_000)
        await store.promote(Q, limit=100)
        await store.reclaim(Q, limit=100)
        await store.unblock(Q, limit=100)
        await store.batch(Q, ids=[f"batch{turn}"])
        for lease in await bench.take(100):
            await store.settle(Q, [Completed(lease.fence, b"r")])
        sizes = (await store.stats(Q)).sizes
        if not any(sizes.get(state) for state in State if state not in TERMINAL):
            return
    raise AssertionError(f"{sizes} are left")


@pytest.mark.parametrize("seed", range(25))
async def test_what_was_damaged_at_random_is_put_right_and_nothing_is_lost(
    behind: Behind, seed: int
) -> None:
    chance = random.Random(seed)
    ids = await random_queue(behind, chance)
    queue = Queue(behind.bench.store, Q)
    assert await queue.check() == []
    for _ in range(chance.randrange(1, 4)):
        await chance.choice(DAMAGES)(behind, chance)
    for _ in range(MOST_ROUNDS):
        if not (found := await queue.check()):
            break
        assert await queue.repair(await queue.repair_plan(found)), found
    assert await queue.check() == []
    before = await behind.contents()
    assert await queue.repair_plan(await queue.check()) == []
    assert await behind.contents() == before
    await behind.bench.store.set_group_rules(Q, rules={"g": GroupRule(2, 1, 1)})
    await drain(behind)
    assert await queue.check() == []
    records = (await behind.bench.dump()).records
    batched = (await behind.bench.dump()).counters.batched
    assert len(ids - records.keys()) == batched
    assert all(record.terminal for record in records.values())
