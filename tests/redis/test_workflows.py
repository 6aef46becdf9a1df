"""Records of workflows on a server that is full of them."""

from __future__ import annotations

from rediq_trio.spec.history.workflows import WORKFLOWS_MAX
from tests.redis.conftest import Behind

FILL = b"""
for n = 1, tonumber(ARGV[1]) do
  redis.call('HSET', KEYS[1], 'w' .. n, string.format('%016.0f', n))
  redis.call('ZADD', KEYS[2], n, 'w' .. n)
  redis.call('ZADD', KEYS[3], n, 'w' .. n)
end
redis.call('HSET', KEYS[4], 'last', ARGV[1], 'bytes', 16 * ARGV[1])
"""


async def test_no_more_records_are_kept_than_may_be(behind: Behind) -> None:
    keys = [*behind.keys.workflows.values()]
    await behind.gateway.call(b"EVAL", FILL, 4, *keys, WORKFLOWS_MAX - 1, key=keys[0])

    async def sizes() -> list[int]:
        found = [await behind.gateway.call(b"HLEN", keys[0])]
        return found + [await behind.gateway.call(b"ZCARD", key) for key in keys[1:3]]

    await behind.bench.store.keep_workflow("new", b"")
    assert await sizes() == [WORKFLOWS_MAX] * 3
    assert await behind.bench.store.workflow("w1") is not None
    await behind.bench.store.keep_workflow("newer", b"")
    assert await sizes() == [WORKFLOWS_MAX] * 3
    assert await behind.bench.store.workflow("w1") is None
    [oldest] = await behind.bench.store.workflows(limit=1)
    assert oldest.id == "w2"
    assert [one.id for one in await behind.bench.store.workflows(limit=2, newest=True)] == [
        "newer", "new",
    ]  # fmt: skip
