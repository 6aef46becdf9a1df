"""Attempts that were damaged, or left by a version that knows none."""

from __future__ import annotations

import pytest

from rediq_trio.spec.messages import Failed
from rediq_trio.spec.records import ATTEMPTS_KEPT
from rediq_trio.wire.packing import pack_for_lua
from tests.conformance.bench import START, Q
from tests.redis.conftest import Behind


@pytest.mark.parametrize("damaged", [b"\xc1", b"text", b"\x07"])
async def test_the_next_attempt_replaces_what_cannot_be_decoded(
    behind: Behind, damaged: bytes
) -> None:
    fence = await behind.bench.active()
    await behind.raw("HSET", "attempts", "t", damaged)
    await behind.bench.store.settle(Q, [Failed(fence, "boom", 0, detail=b"d")])
    assert [one.detail for one in (await behind.bench.record()).attempts] == [b"d"]


@pytest.mark.parametrize("damaged", [7, b"text", True, [], [True] * 8])
async def test_the_next_attempt_comes_after_those_that_cannot_be_decoded(
    behind: Behind, damaged: object
) -> None:
    fence = await behind.bench.active(max_retry=20)
    await behind.raw("HSET", "attempts", "t", pack_for_lua([damaged] * ATTEMPTS_KEPT))
    for _ in "12":
        await behind.bench.store.settle(Q, [Failed(fence, "boom", 0, detail=b"d")])
        await behind.bench.store.promote(Q, limit=1)
        [lease] = await behind.bench.take()
        fence = lease.fence
    assert [one.detail for one in (await behind.bench.record()).attempts] == [b"d", b"d"]


async def test_a_detail_that_repeats_is_stored_once(behind: Behind) -> None:
    fence = await behind.bench.active(max_retry=20)
    for _ in range(ATTEMPTS_KEPT + 2):
        await behind.bench.store.settle(Q, [Failed(fence, "boom", 0, detail=b"d" * 500)])
        await behind.bench.store.promote(Q, limit=1)
        [lease] = await behind.bench.take()
        fence = lease.fence
    stored = await behind.raw("HGET", "attempts", "t")
    assert isinstance(stored, bytes)
    assert stored.count(b"d" * 500) == 1


async def test_what_an_older_version_left_is_not_of_the_next_task_of_that_id(
    behind: Behind,
) -> None:
    left = pack_for_lua([[1, 1, b"w", START - 2, START - 1, b"fail", b"left"]])
    await behind.raw("HSET", "attempts", "t", left)
    fence = await behind.bench.active()
    assert (await behind.bench.record()).attempts == ()
    await behind.bench.store.settle(Q, [Failed(fence, "boom", 0, detail=b"d")])
    assert [one.detail for one in (await behind.bench.record()).attempts] == [b"d"]
