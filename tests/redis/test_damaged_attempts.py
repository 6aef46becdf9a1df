"""Attempts that were damaged, or left by a version that knows none."""

from __future__ import annotations

import pytest

from rediq_trio.spec.messages import Failed
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


async def test_what_an_older_version_left_is_not_of_the_next_task_of_that_id(
    behind: Behind,
) -> None:
    left = pack_for_lua([[1, 1, b"w", START - 2, START - 1, b"fail", b"left"]])
    await behind.raw("HSET", "attempts", "t", left)
    fence = await behind.bench.active()
    assert (await behind.bench.record()).attempts == ()
    await behind.bench.store.settle(Q, [Failed(fence, "boom", 0, detail=b"d")])
    assert [one.detail for one in (await behind.bench.record()).attempts] == [b"d"]
