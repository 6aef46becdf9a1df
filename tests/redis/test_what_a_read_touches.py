"""A read that a viewer causes touches no more than its page, however many tasks, groups and keys there are.

What scripts read is counted in Redis: each runs with a `redis.call` that adds up what it returns. What
plain commands read is in their replies, whose bytes the server counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs

from benchmarks.operate.calls import NOT_VIEWED, PAGE, VIEWED, World, fill
from rediq_trio.store.port import READS
from rediq_trio.store.reads.scan import SCAN_STEP
from rediq_trio.store.redis.connection.gateway import Gateway, open_gateway, parse_address
from rediq_trio.store.redis.durability import READING
from rediq_trio.store.redis.keys import Keys
from rediq_trio.store.redis.scripts import Script, load_scripts
from rediq_trio.store.redis.store import RedisStore
from tests.servers import Server

FEW = 400
"""Tasks of the smaller world: more than a page, and than a step of a search."""
SOME = 150
"""Groups, limit keys and lines of the audit in the smaller world: more than a page."""
TIMES = 10
"""How much larger the larger world is."""
SEARCHING = 20
"""Elements that a place in an index costs: a binary search takes some more where there are more."""
CHECKING = "rediq check reads with it, in bounded pages"
NOT_SENT = {name: CHECKING for name in READING if name.startswith("inspect")}
"""Scripts that only read, and that no viewer causes."""

COUNTED = """local server, seen = redis, {0, 0, 0}
local function weigh(reply)
  if type(reply) == 'table' then
    for _, one in pairs(reply) do weigh(one) end
  else
    seen[2], seen[3] = seen[2] + 1, seen[3] + #tostring(reply)
  end
end
local redis = setmetatable({call = function(...)
  local reply = server.call(...)
  seen[1] = seen[1] + 1
  weigh(reply)
  return reply
end}, {__index = server})
local function script()
%s
end
local reply = script()
return {seen, reply}
"""


def counted(script: Script) -> Script:
    """Return a script that returns what it has read, too."""
    source = COUNTED.replace("%s", script.source)
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return attrs.evolve(script, source=source, sha=sha)


@attrs.frozen
class Touched:
    """What a call has read: commands, elements and bytes."""

    commands: int = 0
    elements: int = 0
    size: int = 0


@attrs.define
class CountingGateway:
    """A gateway that takes the counts from the replies of scripts that only read."""

    gateway: Gateway
    touched: list[int] = attrs.field(factory=lambda: [0, 0, 0])
    scripts: set[str] = attrs.field(factory=set)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gateway, name)

    async def run(self, script: Script, *args: Any, **kwargs: Any) -> Any:
        reply = await self.gateway.run(script, *args, **kwargs)
        if script.name not in READING:
            return reply
        self.scripts.add(script.name)
        seen, answer = reply
        self.touched = [a + b for a, b in zip(self.touched, seen, strict=True)]
        return answer


@attrs.frozen
class Counting:
    """A world, and what its reads touch."""

    gateway: CountingGateway
    world: World

    async def of(self, name: str) -> Touched:
        self.gateway.touched = [0, 0, 0]
        await self.gateway.call(b"CONFIG", b"RESETSTAT")
        await VIEWED[name](self.world)
        sent = _field(await self.gateway.call(b"INFO", b"stats"), "total_net_output_bytes")
        commands, elements, size = self.gateway.touched
        return Touched(commands, elements, size + sent)


def _field(info: bytes, name: str) -> int:
    (value,) = (line for line in info.decode().splitlines() if line.startswith(f"{name}:"))
    return int(value.partition(":")[2])


@asynccontextmanager
async def counting(server: Server, count: int, some: int) -> AsyncIterator[Counting]:
    keys = Keys("touch")
    scripts = {
        name: counted(script) if name in READING else script
        for name, script in load_scripts().items()
    }
    async with open_gateway(parse_address(server.url), keys) as gateway:
        await gateway.call(b"FLUSHALL")
        counter = CountingGateway(gateway)
        store = RedisStore(counter, scripts, keys)  # type: ignore[arg-type]
        yield Counting(counter, await fill(store, count, groups=some, limit_keys=some))


def test_every_read_of_a_store_is_a_call_that_is_counted_or_says_who_makes_it() -> None:
    called = {name.partition(",")[0] for name in VIEWED}
    assert called | NOT_VIEWED.keys() == READS.keys()
    assert not called & NOT_VIEWED.keys()


async def test_a_read_touches_no_more_where_there_is_ten_times_as_much(
    redis_server: Server,
) -> None:
    async with counting(redis_server, FEW, SOME) as few:
        before = {name: await few.of(name) for name in VIEWED}
    async with counting(redis_server, FEW * TIMES, SOME * TIMES) as many:
        after = {name: await many.of(name) for name in VIEWED}
        sent = many.gateway.scripts
    assert {
        name: (before[name], after[name])
        for name in VIEWED
        if not _bounded(before[name], after[name])
    } == {}
    assert sent | NOT_SENT.keys() == READING
    # What is counted is what is read: a page has at least its records.
    assert before["scan"].elements >= PAGE
    assert before["scan, a step of a search"].elements >= SCAN_STEP
    assert before["get"].size > PAGE * 10


def _bounded(before: Touched, after: Touched) -> bool:
    return (
        after.commands <= before.commands * 1.1 + SEARCHING
        and after.elements <= before.elements * 1.1 + SEARCHING
        and after.size <= before.size * 1.1 + SEARCHING * 64
    )


async def test_what_a_script_reads_and_does_not_return_is_counted(redis_server: Server) -> None:
    async with open_gateway(parse_address(redis_server.url), Keys("touch")) as gateway:
        await gateway.call(b"FLUSHALL")
        await gateway.call(b"HSET", b"h", *(b"0123456789",) * 2)
        await gateway.call(b"RPUSH", b"l", *range(100))
        greedy = "redis.call('HGETALL', 'h')\nredis.call('LRANGE', 'l', 0, -1)\nreturn 1\n"
        seen, reply = await gateway.call(b"EVAL", COUNTED.replace("%s", greedy), 0)
        assert (seen, reply) == ([2, 102, 20 + 10 + 2 * 90], 1)
