"""The stream of a history: as long as it is told to be, and gone when it is told so."""

from __future__ import annotations

from tests.conformance.bench import Q
from tests.redis.conftest import Behind

BLOCK = 100
"""Entries of one block of a stream, which goes as a whole: `stream-node-max-entries`."""


async def test_a_stream_holds_few_more_entries_than_are_kept(behind: Behind) -> None:
    await behind.bench.store.arrange(Q, history=10)
    await behind.bench.add(*(f"t{n}" for n in range(5 * BLOCK)))
    assert 10 <= await behind.raw("XLEN", "history") <= 10 + BLOCK


async def test_a_queue_that_keeps_no_history_has_no_stream(behind: Behind) -> None:
    await behind.bench.store.arrange(Q, history=10)
    assert await behind.raw("EXISTS", "history") == 1
    await behind.bench.store.arrange(Q, history=0)
    assert await behind.raw("EXISTS", "history") == 0
    await behind.bench.add("t")
    assert await behind.raw("EXISTS", "history") == 0


async def test_nothing_that_is_set_otherwise_begins_a_history(behind: Behind) -> None:
    await behind.bench.store.pause(Q)
    await behind.bench.store.limit(Q, key="", concurrency=1)
    await behind.bench.store.arrange(Q, fair=True, max_pending=5)
    await behind.bench.store.flush(Q)
    assert await behind.raw("EXISTS", "history") == 0
