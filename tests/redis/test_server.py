"""What the scripts ask of a server: that they can be sent again, its time, and no TTL anywhere."""

import time
from pathlib import Path
from typing import Any

import attrs
import msgpack
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Completed,
    Mail,
    MailKind,
    NewTask,
    Relations,
    Report,
    Schedule,
    WorkerOrder,
    WorkerRecord,
)
from rediq_trio.spec.records import PROPAGATED_AT_ONCE, GroupRule
from rediq_trio.store.redis.keys import HASHES, INDEX_OF, QUEUE_KEYS
from tests.conformance.bench import LEASE, Bench, Clock, Q, failed, new
from tests.redis.conftest import Behind
from tests.servers import Server, open_redis_store
from tests.stored import AT, CARRIED, LONG


async def test_a_script_that_the_server_forgot_is_sent_again(behind: Behind) -> None:
    await behind.bench.add("a", "b")
    await behind.gateway.call(b"SCRIPT", b"FLUSH")
    assert len(await behind.bench.take(2)) == 2
    await behind.gateway.call(b"SCRIPT", b"FLUSH")
    assert (await behind.bench.store.cancel(Q, "a")).state is State.ACTIVE


async def fill(bench: Bench) -> None:
    """Put something under every key that a queue may have."""
    await bench.store.arrange(Q, history=1000)
    for state in (State.COMPLETED, State.DEAD, State.CANCELLED):
        await bench.ended(state, state, expires_in_ms=10**9)
    fence = await bench.active("active")
    await bench.store.report(Q, [Report(fence, b"p")])
    await bench.add("retry", expires_in_ms=10**9)
    [lease] = await bench.take()
    outcome = attrs.evolve(failed(lease.fence), detail=b"d", kind="k")
    await bench.store.settle(Q, [outcome])
    await bench.add("pending", expires_in_ms=10**9, envelope=LONG)
    await bench.add("scheduled", expires_in_ms=10**9, delay_ms=5)
    await bench.add("grouped", relations=Relations(group="g"))
    await bench.store.set_group_rules(Q, rules={"g": GroupRule(5, 10**9, 10**9)})
    schedule = Schedule("s", b"when", NewTask("", b"e"), next_ms=10**15)
    await bench.store.declare(Q, schedule=schedule)
    await fill_limits(bench)
    await fill_ties(bench)


async def fill_limits(bench: Bench) -> None:
    store = bench.store
    await store.limit(Q, key="slow", count=1, period_ms=10**9)
    await bench.add("slow", "slower", priority=0, relations=Relations(limit_key="slow"))
    assert len(await bench.take()) == 1
    await bench.add("open", relations=Relations(limit_key="open"))


async def fill_ties(bench: Bench) -> None:
    store = bench.store
    fence = await bench.active("source", priority=0)
    await store.remember(Q, fence, ("step", b"\x01"))
    await bench.add("waits", relations=Relations(unique="k", ttl_ms=9, needs=("source", "pending")))
    await bench.add(
        *(f"n{n:03}" for n in range(PROPAGATED_AT_ONCE)), relations=Relations(needs=("source",))
    )
    await store.settle(Q, [Completed(fence, b"r")])
    fence = await bench.active("steps", priority=0)
    await store.remember(Q, fence, ("step", b"\x01"))
    await store.enqueue(Q, [new("elsewhere", relations=Relations(queue="other"))])
    await store.receive(Q, "other", [Mail(1, Q, MailKind.SUBSCRIBE, id="x", ref="pending")])


USED = QUEUE_KEYS
OF_THE_QUEUE = ("meta", "limits", "rates", "outbox", "received", "schedules", "ticks", "history")
"""What outlives a flush."""


async def test_no_key_carries_a_ttl(behind: Behind) -> None:
    await fill(behind.bench)
    await behind.bench.store.register(WorkerRecord("w", b"w", 5))
    await behind.bench.store.order("w", WorkerOrder("1", b"o"), queue=Q)
    assert {name: await behind.raw("PTTL", name) for name in USED} == dict.fromkeys(USED, -1)
    for key in [*behind.keys.workers.values(), behind.keys.queues]:
        assert await behind.gateway.call(b"PTTL", key) == -1


async def test_a_queue_has_these_keys_and_no_other(behind: Behind) -> None:
    await fill(behind.bench)
    found = set(await behind.gateway.call(b"KEYS", b"*"))
    assert found == {*behind.keys.of(Q, USED), behind.keys.queues}


async def test_a_flush_leaves_totals_limits_schedules_mail_and_history_only(behind: Behind) -> None:
    await fill(behind.bench)
    await behind.bench.store.flush(Q)
    found = set(await behind.gateway.call(b"KEYS", b"*"))
    assert found == {*behind.keys.of(Q, OF_THE_QUEUE), behind.keys.queues}


async def test_a_ttl_that_someone_set_is_found(behind: Behind) -> None:
    await behind.bench.add("t")
    await behind.raw("PEXPIRE", "records", 10**6)
    report = await behind.bench.store.key_report(Q)
    assert report.with_ttl == (behind.keys.of(Q, ("records",))[0].decode(),)


async def kept_of_one(behind: Behind) -> list[str]:
    """Give the hashes and the indexes that have one member, and no more."""
    names = (*HASHES, *INDEX_OF.values())
    sizes = [await behind.raw("HLEN" if name in HASHES else "ZCARD", name) for name in names]
    assert max(sizes) <= 1
    return [name for name, size in zip(names, sizes, strict=True) if size]


@pytest.mark.parametrize("size", [0, 1, CARRIED, CARRIED + 1, 10_000])
async def test_a_record_carries_its_envelope_unless_it_is_long(behind: Behind, size: int) -> None:
    bench, envelope = behind.bench, b"e" * size
    carried = ["records"] if 0 < size <= CARRIED else ["records", "payloads"]
    await bench.add("t", envelope=envelope)
    assert await kept_of_one(behind) == [*carried, "pending"]
    assert (await bench.record("t")).envelope == envelope
    [lease] = await bench.take()
    assert lease.envelope == envelope
    await bench.store.settle(Q, [failed(lease.fence)])
    assert await kept_of_one(behind) == [*carried, "retry"]
    assert (await bench.record("t")).envelope == envelope
    if size:  # what the library makes is never empty, and what is counts as lost
        await bench.check()


@pytest.mark.parametrize("size", [1, CARRIED + 1])
@pytest.mark.parametrize("way", ["completed", "purged", "deleted", "batched"])
async def test_of_a_task_that_goes_no_envelope_stays(behind: Behind, way: str, size: int) -> None:
    bench, envelope = behind.bench, b"e" * size
    if way == "completed":
        await bench.ended("t", State.COMPLETED, envelope=envelope, retention_ms=0)
    elif way == "purged":
        await bench.ended("t", State.COMPLETED, envelope=envelope, retention_ms=5)
        bench.clock.advance(5)
        await bench.store.purge(Q, limit=5, dead_retention_ms=1, max_dead=9)
    elif way == "deleted":
        await bench.add("t", envelope=envelope)
        await bench.store.delete(Q, ["t"])
    else:
        await bench.add("t", envelope=envelope, relations=Relations(group="g"))
        bench.clock.advance(10**6)
        await bench.store.batch(Q, ids=["b"])
        [lease] = await bench.take()
        await bench.store.settle(Q, [Completed(lease.fence, b"r")])
        assert lease.fence.id == "b"
    await bench.store.purge(Q, limit=5, dead_retention_ms=1, max_dead=9)
    assert "t" not in await bench.mentioned()
    assert await behind.raw("HEXISTS", "payloads", "t") == 0


@pytest.mark.parametrize("first", [1, CARRIED + 1])
@pytest.mark.parametrize("second", [1, CARRIED + 1])
async def test_a_replaced_task_has_the_new_envelope_only(
    behind: Behind, first: int, second: int
) -> None:
    bench = behind.bench
    relations = Relations(unique="k", replace=True)
    await bench.add("t", envelope=b"a" * first, relations=relations)
    await bench.store.enqueue(Q, [new("u", envelope=b"b" * second, relations=relations)])
    assert await behind.raw("HLEN", "payloads") == (second > CARRIED)
    assert (await bench.record("t")).envelope == b"b" * second
    await bench.check()


async def test_a_record_is_short_until_something_happens_to_its_task(behind: Behind) -> None:
    bench = behind.bench
    await bench.add("now", "then", retention_ms=0)
    await bench.add("later", delay_ms=5)

    async def fields(own: str) -> list[Any]:
        raw = await behind.raw("HGET", "records", own)
        found: list[Any] = msgpack.unpackb(raw, raw=True)
        return found

    assert [len(await fields(own)) for own in ("now", "later")] == [AT["envelope"] + 1] * 2
    assert (await fields("now"))[AT["run_ms"]] == 0
    assert (await fields("later"))[AT["run_ms"]] == bench.clock.now + 5
    before = await bench.record("then")
    await bench.store.watch(Q, "then")
    assert len(await fields("then")) == AT["relations"]
    assert await bench.record("then") == attrs.evolve(before, has_waiters=True)


async def test_without_a_clock_the_time_is_the_servers(server: Server) -> None:
    async with open_redis_store(server) as opened:
        store = opened.store
        begin = int(time.time() * 1000) - 1
        await store.enqueue(Q, [new("t"), new("u", delay_ms=3_600_000)])
        claimed = await store.claim(Q, limit=1, lease_ms=LEASE, worker="w", nonce=b"n" * 8)
        [lease] = claimed.leases
        due = await store.promote(Q, limit=1)
        await store.settle(Q, [Completed(lease.fence, b"r")])
        await store.register(WorkerRecord("w", b"alive", 60_000))
        assert await store.workers() == (b"alive",)
        records = (await store.dump(Q)).records
        end = int(time.time() * 1000) + 1
    assert begin <= records["t"].created_ms <= records["t"].started_ms <= end
    assert begin <= lease.lease_ms - LEASE <= end
    assert begin <= records["t"].finished_ms <= end
    assert due.next_in_ms is not None
    assert 0 <= 3_600_000 - due.next_in_ms <= end - begin


async def test_a_beat_drops_what_silent_workers_said(behind: Behind) -> None:
    await behind.bench.store.register(WorkerRecord("w1", b"1", 50))
    behind.bench.clock.advance(50)
    await behind.bench.store.register(WorkerRecord("w2", b"2", 50))
    records, alive, _ = behind.keys.workers.values()
    assert await behind.gateway.call(b"HKEYS", records) == [b"w2"]
    assert await behind.gateway.call(b"ZCARD", alive) == 1


async def test_orders_that_nobody_will_hear_are_not_kept(behind: Behind) -> None:
    store, order = behind.bench.store, WorkerOrder("1", b"o")
    orders = behind.keys.workers["orders"]

    async def kept() -> list[bytes]:
        found: list[bytes] = await behind.gateway.call(b"HKEYS", orders)
        return found

    async def give() -> None:
        await store.register(WorkerRecord("w", b"1", 50))
        await store.order("w", order, queue=Q)
        assert await kept() == [b"w"]

    await give()
    await store.register(WorkerRecord("w", b"1", 50, ("1",)))
    assert await kept() == []
    await give()
    behind.bench.clock.advance(50)
    await store.order("w", order, queue=Q)
    assert await kept() == []
    await give()
    behind.bench.clock.advance(50)
    await store.register(WorkerRecord("other", b"2", 50))
    assert await kept() == []
    await give()
    await store.unregister("w")
    assert await kept() == []


async def test_two_prefixes_on_one_server_are_apart(behind: Behind, server: Server) -> None:
    await behind.bench.add("t")
    before = await behind.gateway.call(b"DUMP", behind.keys.of(Q, ("records",))[0])
    from rediq_trio.store.redis.keys import Keys
    from rediq_trio.store.redis.scripts import load_scripts
    from rediq_trio.store.redis.store import RedisStore
    from tests.servers import tested_lua

    other = RedisStore(behind.gateway, load_scripts(tested_lua()), Keys("other"), clock=Clock())
    assert await other.queues() == ()
    assert await other.enqueue(Q, [new("t", priority=1)]) == (State.PENDING,)
    assert await behind.gateway.call(b"DUMP", behind.keys.of(Q, ("records",))[0]) == before


def test_the_scripts_use_no_command_that_walks_a_whole_queue() -> None:
    from tests.servers import tested_lua

    for path in sorted(Path(tested_lua()).rglob("*.lua")):
        text = path.read_text("utf-8")
        few = ("agenda", "remove_queue", "retract_others", "sample", "statistics", "tally", "trim")
        if path.stem in few:
            # Reads all schedules of a queue, chunks of its series, or which queues have sent it
            # messages: these are a few.
            continue
        for command in ("KEYS", "LREM", "SMEMBERS", "HGETALL", "HKEYS", "HVALS", "SCAN"):
            assert f"call('{command}'" not in text, path.name
