"""A scan of large tasks on a server ends early, by bytes."""

from __future__ import annotations

from rediq_trio.spec.lifecycle import State
from rediq_trio.store.reads.scan import SCAN_BYTES, Where
from tests.conformance.bench import Q
from tests.conformance.test_failure_kinds import KIND, OTHER, failed, take
from tests.redis.conftest import Behind


async def test_a_step_ends_early_when_the_tasks_are_large(behind: Behind) -> None:
    bench = behind.bench
    await bench.add(*"abcd", envelope=b"e" * (SCAN_BYTES // 2))
    found = await bench.store.scan(Q, State.PENDING, limit=3)
    assert found.last is not None
    assert (found.looked_at, found.last.id, found.over) == (2, "b", False)
    # What is not chosen costs nothing.
    found = await bench.store.scan(Q, State.PENDING, limit=9, where=Where(priority=1))
    assert (found.looked_at, found.over) == (4, True)


async def test_a_scan_for_a_kind_ends_early_when_the_attempts_are_large(behind: Behind) -> None:
    bench = behind.bench
    detail = b"x" * (SCAN_BYTES // 2)
    fences = await take(bench, *"abcd")
    await bench.store.settle(Q, [failed(fence, OTHER, detail=detail) for fence in fences])
    found = await bench.store.scan(Q, State.DEAD, limit=9, where=Where(kind=KIND))
    assert (found.records, found.looked_at) == ((), 2)
