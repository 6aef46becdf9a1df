"""What was damaged of a kind of failure gives way, and newer fields are kept."""

from __future__ import annotations

import re

import msgpack
import pytest

from rediq_trio.spec.history.kinds import KINDS_KEPT, StoredKind
from rediq_trio.wire.packing import pack_for_lua
from tests.conformance.bench import START, Q
from tests.conformance.test_failure_kinds import HOUR, KIND, SAMPLE, failed, kinds, take
from tests.redis.conftest import Behind

DAMAGED = [
    b"", b"\xc1", b"\xa3abc", b"\x93\x01\x02\x03", pack_for_lua(["1", 2, b"s", [b"t"]]),
    pack_for_lua([1, 2, b"s", 3]),
]  # fmt: skip


@pytest.mark.parametrize("damaged", DAMAGED)
async def test_a_damaged_kind_is_left_out_and_begins_anew(behind: Behind, damaged: bytes) -> None:
    a, b = await take(behind.bench, "a", "b")
    await behind.bench.store.settle(Q, [failed(a)])
    await behind.raw("HSET", "kinds", KIND, damaged)
    assert await kinds(behind.bench) == {}
    await behind.bench.store.settle(Q, [failed(b)])
    assert await kinds(behind.bench) == {KIND: StoredKind(1, START, START, ("b",), SAMPLE, (HOUR, 1))}


@pytest.mark.parametrize("hours", [[], 7, [HOUR], ["x", 1], [HOUR, "x"]])
async def test_hours_that_are_damaged_or_missing_begin_anew(behind: Behind, hours: object) -> None:
    a, b = await take(behind.bench, "a", "b")
    await behind.bench.store.settle(Q, [failed(a)])
    stored = [1, START, SAMPLE, [b"a"], *([hours] if hours else [])]
    await behind.raw("HSET", "kinds", KIND, pack_for_lua(stored))
    assert (await kinds(behind.bench))[KIND] == StoredKind(1, START, START, ("a",), SAMPLE)
    await behind.bench.store.settle(Q, [failed(b)])
    expected = StoredKind(2, START, START, ("b", "a"), SAMPLE, (HOUR, 1))
    assert (await kinds(behind.bench))[KIND] == expected


async def test_a_kind_that_is_missing_is_left_out(behind: Behind) -> None:
    await behind.bench.store.settle(Q, [failed(await behind.bench.active())])
    await behind.raw("HDEL", "kinds", KIND)
    assert await kinds(behind.bench) == {}


async def test_fields_of_a_newer_version_are_kept(behind: Behind) -> None:
    a, b = await take(behind.bench, "a", "b")
    await behind.bench.store.settle(Q, [failed(a)])
    stored = msgpack.unpackb(await behind.raw("HGET", "kinds", KIND), raw=True)
    await behind.raw("HSET", "kinds", KIND, pack_for_lua([*stored, "newer"]))
    await behind.bench.store.settle(Q, [failed(b)])
    assert (await kinds(behind.bench))[KIND].count == 2
    stored = msgpack.unpackb(await behind.raw("HGET", "kinds", KIND), raw=True)
    assert stored == [2, START, SAMPLE, [b"b", b"a"], [HOUR, 2], b"newer"]


WRITTEN = ("hget", "hset", "zadd", "zcard", "zremrangebyrank", "hdel")


async def test_a_failure_costs_three_commands_whatever_there_is(behind: Behind) -> None:
    fences = await take(behind.bench, *(f"t{n}" for n in range(60)))
    await behind.bench.store.settle(Q, [failed(fence) for fence in fences[:9]])

    async def calls() -> dict[str, int]:
        info = str(await behind.gateway.call("INFO", "commandstats"))
        found = dict(re.findall(r"cmdstat_(\w+)'?: ?(?:calls=|\{'calls': )(\d+)", info))
        return {name: int(found.get(name, 0)) for name in WRITTEN}

    async def cost(*outcomes: object) -> dict[str, int]:
        before = await calls()
        await behind.bench.store.settle(Q, outcomes)  # type: ignore[arg-type]
        after = await calls()
        return {name: after[name] - before[name] for name in after}

    without = await cost(failed(fences[10], ""), failed(fences[11], ""))
    with_kind = await cost(failed(fences[12]), failed(fences[13]))
    more = {name: with_kind[name] - without[name] for name in with_kind}
    assert more == {"hget": 1, "hset": 1, "zadd": 1, "zcard": 0, "zremrangebyrank": 0, "hdel": 0}


async def test_kinds_that_are_too_many_leave_nothing(behind: Behind) -> None:
    count = KINDS_KEPT + 3
    fences = await take(behind.bench, *(f"t{n}" for n in range(count)))
    names = [f"{n:012x}" for n in range(count)]
    for start, end in ((0, 2), (2, KINDS_KEPT), (KINDS_KEPT, count)):
        pairs = zip(fences[start:end], names[start:end], strict=True)
        await behind.bench.store.settle(Q, [failed(fence, kind) for fence, kind in pairs])
        behind.bench.clock.advance(1)
        expected = [name.encode() for name in names[max(0, end - KINDS_KEPT) : end]]
        assert await behind.raw("ZRANGE", "sightings", 0, -1) == expected
        assert sorted(await behind.raw("HKEYS", "kinds")) == expected
