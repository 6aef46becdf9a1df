"""What was damaged behind the queue's back: a replay names it, and no script stumbles."""

from __future__ import annotations

import msgpack
import pytest

from rediq_trio.spec.history.replay import ReplaySettings, replay
from rediq_trio.spec.lifecycle import State
from tests.conformance.bench import Q
from tests.redis.conftest import Behind
from tests.stored import changed


async def breaks(behind: Behind) -> list[str]:
    found = await behind.bench.dump()
    return list(map(str, replay(found.entries, ReplaySettings.of(found))))


async def test_a_task_whose_record_was_damaged_breaks_the_history_where_it_is_buried(
    behind: Behind,
) -> None:
    await behind.bench.store.arrange(Q, history=100)
    await behind.bench.add("t", max_retry=7)
    await behind.raw("HSET", "records", "t", b"junk")
    assert await behind.bench.take() == []
    entries = await behind.bench.store.history(Q, after=2, limit=9)
    assert [(e.transition, e.target, e.reason) for e in entries] == [
        ("claim", State.DEAD, "its record cannot be decoded")
    ]
    first, *_ = await breaks(behind)
    assert first.startswith("step 3, claim of t: invariant 8: state is dead, should be active")


async def test_counters_that_were_changed_are_named(behind: Behind) -> None:
    await behind.bench.store.arrange(Q, history=100)
    await behind.bench.add("t")
    raw = await behind.raw("HGET", "records", "t")
    await behind.raw("HSET", "records", "t", changed(raw, attempt=2))
    await behind.bench.take()
    assert await breaks(behind) == [
        "step 3, claim of t: invariant 4: attempt is 3, should be 1",
    ]


async def test_a_purge_of_a_task_that_cannot_be_read_makes_no_entry(behind: Behind) -> None:
    await behind.bench.ended("t", State.DEAD)
    await behind.bench.ended("u", State.DEAD)
    await behind.bench.store.arrange(Q, history=100)
    await behind.raw("HSET", "records", "t", b"junk")
    due = await behind.bench.store.purge(Q, limit=5, dead_retention_ms=1, max_dead=0)
    assert due.moved == 2
    entries = await behind.bench.store.history(Q, after=1, limit=9)
    assert [(e.transition, e.id) for e in entries] == [("purge", "u")]


@pytest.mark.parametrize(
    "raw", [b"", b"junk", b"\x07", b"\xc0", msgpack.packb([1, 2]), msgpack.packb([1] * 5),
            msgpack.packb([1] * 20), msgpack.packb([1] * 21)],
)  # fmt: skip
async def test_an_entry_that_cannot_be_decoded_is_named(behind: Behind, raw: bytes) -> None:
    await behind.bench.store.arrange(Q, history=100)
    await behind.raw("XADD", "history", "2", "entry", raw)
    await behind.raw("HSET", "meta", "noted", 2)
    assert await breaks(behind) == [
        "step 2, unreadable: the state machine: there is no such step of a queue"
    ]
