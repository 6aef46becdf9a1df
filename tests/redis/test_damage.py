"""Damaged data: a task that cannot be read goes to dead with a reason, and stops nobody."""

import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Completed,
    Fence,
    Relations,
    Released,
    Report,
    Rescheduled,
    Stopped,
    Updated,
    Verdict,
    Version,
)
from rediq_trio.spec.records import Counters, Lock
from rediq_trio.store.broadcast import SignalKind
from tests.conformance.bench import Q, failed, heard, new, snoozed
from tests.redis.conftest import Behind
from tests.stored import AT, LONG, pack

UNREADABLE = "its record cannot be decoded"
GOOD = [4, 50, 3, 3, 1000, 1, 1, 0, 1, b"e", 0, 0, 0, 0, b"", b"", 0, 0, 0, 0, b""]
NEW_RECORD = GOOD[: AT["envelope"] + 1]
"""One to which nothing has happened yet."""
TIES = [b"", 1, 0, b"", b"", 0, 0]


def packed(name: str, value: object) -> bytes:
    """Pack a record with one field replaced."""
    at = AT[name]
    return pack([*GOOD[:at], value, *GOOD[at + 1 :]])


BROKEN = {
    "empty": b"",
    "no msgpack": b"\xc1",
    "text": b"junk",
    "cut short": packed("state", 4)[:-3],
    "a number": b"\x07",
    "nil": b"\xc0",
    "a map": pack({"state": 4}),
    "too short": pack(GOOD[:-1]),
    "too short for a new one": pack(NEW_RECORD[:-1]),
    "longer than a new one": pack([*NEW_RECORD, 0]),
    "a new one with a place that is text": pack([*NEW_RECORD[:-2], b"1", b"e"]),
    "a new one with an envelope that is a number": pack([*NEW_RECORD[:-1], 5]),
    "a state that is text": packed("state", b"pending"),
    "an envelope that is a number": packed("envelope", 5),
    "an expiry that is text": packed("expires_ms", b"soon"),
    "an attempt that is nil": packed("attempt", None),
    "a place that is a list": packed("seq", [1]),
    "a nonce that is a number": packed("nonce", 5),
    "a worker that is a number": packed("worker", 5),
    "an error that is a number": packed("error", 5),
    "a priority that is text": packed("priority", b"50"),
    "an end that is text": packed("finished_ms", b"0"),
    "ties that are a number": pack([*GOOD, 1]),
    "ties that are too short": pack([*GOOD, TIES[:-1]]),
    "ties that are too long": pack([*GOOD, [*TIES, 1]]),
    "something behind the ties": pack([*GOOD, TIES, 1]),
    "a unique key that is a number": pack([*GOOD, [5, *TIES[1:]]]),
    "a limit key that is a number": pack([*GOOD, [*TIES[:3], 5, *TIES[4:]]]),
    "a group that is a number": pack([*GOOD, [*TIES[:4], 5, *TIES[5:]]]),
    "waits that are text": pack([*GOOD, [*TIES[:5], b"1", 0]]),
}
broken = pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
INDEXES = ["pending", "scheduled", "retry", "active"]


async def bring(behind: Behind, index: str, **options: object) -> Fence | None:
    """Bring a task that can expire into an index."""
    bench = behind.bench
    delay = 5 if index == "scheduled" else 0
    await bench.add("t", delay_ms=delay, expires_in_ms=10**10, **options)
    if index not in ("retry", "active"):
        return None
    [lease] = await bench.take()
    if index == "retry":
        await bench.store.settle(Q, [failed(lease.fence)])
    return lease.fence


@broken
@pytest.mark.parametrize("index", INDEXES)
async def test_a_record_that_cannot_be_decoded_is_buried_with_a_reason(
    behind: Behind, index: str, raw: bytes
) -> None:
    await bring(behind, index)
    await behind.raw("HSET", "records", "t", raw)
    await behind.bench.add("other")
    assert await behind.upkeep() == ["other"]
    assert await behind.died_of("t") == UNREADABLE
    await behind.bench.check()


@pytest.mark.parametrize("index", INDEXES)
async def test_a_record_that_is_missing_is_buried_with_a_reason(behind: Behind, index: str) -> None:
    await bring(behind, index)
    await behind.raw("HDEL", "records", "t")
    assert await behind.upkeep() == []
    assert await behind.died_of("t") == UNREADABLE
    await behind.bench.check()


@pytest.mark.parametrize("index", INDEXES)
async def test_a_payload_that_is_missing_is_buried_with_a_reason(
    behind: Behind, index: str
) -> None:
    await bring(behind, index, envelope=LONG)
    await behind.raw("HDEL", "payloads", "t")
    assert await behind.upkeep() == []
    assert await behind.died_of("t") == "its payload is missing"
    await behind.bench.check()


async def test_a_task_that_is_revived_without_its_payload_is_buried_again(behind: Behind) -> None:
    bench = behind.bench
    await bench.ended("t", State.DEAD, envelope=LONG)
    await behind.raw("HDEL", "payloads", "t")
    assert await bench.store.revive(Q, ["t"]) == (State.PENDING,)
    assert await behind.upkeep() == []
    assert await behind.died_of("t") == "its payload is missing"
    await bench.check()


@pytest.mark.parametrize("index", INDEXES)
async def test_an_id_that_only_an_index_knows_is_buried_with_a_reason(
    behind: Behind, index: str
) -> None:
    await behind.raw("ZADD", index, 1, "t")
    await behind.raw("ZADD", "expiring", 10**15, "t")
    assert await behind.upkeep() == []
    assert await behind.died_of("t") == UNREADABLE
    assert await behind.bench.ids(State.DEAD) == ["t"]
    assert await behind.raw("ZCARD", "expiring") == 0


async def test_an_id_that_only_the_expiring_know_is_forgotten(behind: Behind) -> None:
    await behind.raw("ZADD", "expiring", 1, "t")
    assert (await behind.bench.store.expire(Q, limit=5)).moved == 0
    assert await behind.bench.mentioned() == set()


@pytest.mark.parametrize("index", ["completed", "cancelled", "dead"])
async def test_an_id_that_only_a_terminal_index_knows_is_purged(behind: Behind, index: str) -> None:
    await behind.raw("ZADD", index, 1, "t")
    due = await behind.bench.store.purge(Q, limit=5, dead_retention_ms=1, max_dead=9)
    assert due.moved == 1
    assert await behind.bench.mentioned() == set()


async def test_a_damaged_task_that_expires_stays_to_be_buried_for_its_damage(
    behind: Behind,
) -> None:
    await behind.bench.add("t", expires_in_ms=10)
    await behind.raw("HSET", "records", "t", b"junk")
    behind.bench.clock.advance(10)
    assert (await behind.bench.store.expire(Q, limit=5)).moved == 0
    assert await behind.upkeep() == []
    assert await behind.died_of("t") == UNREADABLE


async def test_a_damaged_task_counts_as_dead_once(behind: Behind) -> None:
    await behind.bench.add("t")
    await behind.raw("HSET", "records", "t", b"junk")
    for _ in range(3):
        await behind.upkeep()
    assert (await behind.bench.dump()).counters == Counters(enqueued=1, dead=1)


@broken
async def test_a_lease_on_a_damaged_task_is_lost_and_stale(behind: Behind, raw: bytes) -> None:
    store = behind.bench.store
    fence = await behind.bench.active()
    await behind.raw("HSET", "records", "t", raw)
    assert await store.renew(Q, [fence], lease_ms=5) == (Verdict.LOST,)
    assert await store.settle(Q, [Completed(fence, b"r")]) == (None,)
    assert await store.settle(Q, [failed(fence)]) == (None,)
    assert await store.settle(Q, [Released(fence)]) == (None,)
    assert await store.settle(Q, [snoozed(fence)]) == (None,)
    assert await store.settle(Q, [Stopped(fence)]) == (None,)
    assert await store.report(Q, [Report(fence, b"p")]) == (False,)
    assert await behind.bench.ids(State.ACTIVE) == ["t"]


@broken
async def test_a_damaged_task_cannot_be_operated_on(behind: Behind, raw: bytes) -> None:
    store = behind.bench.store
    await behind.bench.add("t")
    await behind.raw("HSET", "records", "t", raw)
    assert await store.get(Q, ["t"]) == (None,)
    assert (await store.cancel(Q, "t")).state is None
    assert await store.watch(Q, "t") is None
    assert await store.reschedule(Q, "t") == Rescheduled()
    version = Version(b"e", 1, 1, 1, 1)
    assert await store.update(Q, "t", seen=version, new=version) == Updated()
    assert await store.revive(Q, ["t"]) == (None,)
    assert await store.delete(Q, ["t"]) == (None,)
    assert await store.enqueue(Q, [new("t")]) == (None,)
    assert (await store.stats(Q)).oldest_pending_age_ms == -1
    assert await behind.bench.ids(State.PENDING) == ["t"]


async def test_the_record_that_the_broken_ones_are_made_of_is_good(behind: Behind) -> None:
    await behind.bench.add("t")
    await behind.bench.add("u", "v")
    await behind.raw("HSET", "records", "t", pack(GOOD))
    await behind.raw("HSET", "records", "u", pack([*GOOD, TIES]))
    await behind.raw("HSET", "records", "v", pack(NEW_RECORD))
    assert await behind.upkeep() == ["t", "u", "v"]


async def test_a_damaged_dead_letter_goes_like_any_other(behind: Behind) -> None:
    await behind.bench.ended("t", State.DEAD)
    await behind.raw("HSET", "records", "t", b"junk")
    await behind.bench.store.purge(Q, limit=5, dead_retention_ms=1, max_dead=0)
    assert await behind.bench.mentioned() == set()


async def test_a_buried_task_can_be_purged_and_deleted(behind: Behind) -> None:
    for task_id in "ab":
        await behind.raw("ZADD", "pending", 1, task_id)
    await behind.upkeep()
    assert await behind.bench.store.delete(Q, ["a"]) == (State.DEAD,)
    await behind.bench.store.purge(Q, limit=5, dead_retention_ms=1, max_dead=0)
    assert await behind.bench.mentioned() == set()


async def test_those_that_wait_for_a_damaged_task_are_told_that_it_is_dead(behind: Behind) -> None:
    bench = behind.bench
    await bench.add("t")
    await bench.add("u", relations=Relations(needs=("t",)))
    await behind.raw("HSET", "records", "t", b"junk")
    await behind.upkeep()
    assert await behind.died_of("u") == "the task t that it needs is dead"
    assert await behind.raw("EXISTS", "edges") == 0


async def test_whoever_waits_for_a_damaged_task_hears_of_its_end(behind: Behind) -> None:
    await behind.bench.add("t")
    await behind.raw("HSET", "records", "t", b"junk")
    with behind.bench.store.listen([(Q, "t")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await behind.upkeep()
        await heard(signals, SignalKind.DONE, "t")


@pytest.mark.parametrize("damage", ["junk", "missing"])
async def test_a_damaged_task_that_waits_for_others_is_buried_once_one_has_ended(
    behind: Behind, damage: str
) -> None:
    bench = behind.bench
    fence = await bench.active("s")
    await bench.add("t", relations=Relations(needs=("s",)))
    if damage == "junk":
        await behind.raw("HSET", "records", "t", b"junk")
    else:
        await behind.raw("HDEL", "records", "t")
    await bench.store.settle(Q, [Completed(fence, b"r")])
    assert await behind.upkeep() == []
    assert await behind.died_of("t") == UNREADABLE
    await bench.check()
    assert await behind.raw("EXISTS", "needs") == 0


async def test_a_damaged_task_with_a_limit_key_is_buried(behind: Behind) -> None:
    await behind.bench.add("t", relations=Relations(limit_key="k"))
    await behind.raw("HSET", "records", "t", b"junk")
    assert await behind.upkeep() == []
    assert await behind.died_of("t") == UNREADABLE
    await behind.bench.check()


async def test_a_damaged_holder_does_not_keep_its_key(behind: Behind) -> None:
    bench = behind.bench
    await bench.add("t", relations=Relations(unique="k"))
    await behind.raw("HSET", "records", "t", b"junk")
    await behind.upkeep()
    await bench.add("u", relations=Relations(unique="k"))
    assert (await bench.dump()).locks == {"k": Lock("u")}


async def test_a_damaged_task_leaves_no_steps_and_no_inputs_behind(behind: Behind) -> None:
    bench = behind.bench
    fence = await bench.active("s")
    await bench.add("t", relations=Relations(needs=("s",)))
    await bench.store.settle(Q, [Completed(fence, b"r")])
    [lease] = await bench.take()
    await bench.store.remember(Q, lease.fence, ("step", b"\x01"))
    await behind.raw("HSET", "records", "t", b"junk")
    await behind.upkeep()
    await behind.upkeep()
    assert await behind.died_of("t") == UNREADABLE
    assert await behind.raw("EXISTS", "steps") == await behind.raw("EXISTS", "inputs") == 0
