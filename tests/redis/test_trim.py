"""The statistics of many queues together, in a real Redis."""

from __future__ import annotations

import msgpack

from rediq_trio.worker.keeping.trimmer import Trimmer
from tests.conformance.bench import new
from tests.conformance.test_types import STEP, cell, tally
from tests.redis.conftest import Behind

QUEUES, MOST = 12, 60_000


async def memory(behind: Behind, queue: str) -> int:
    found = [
        await behind.gateway.call("MEMORY", "USAGE", key, "SAMPLES", 0)
        for key in behind.keys.of(queue, ("series", "types"))
    ]
    return sum(size or 0 for size in found)


async def test_all_queues_together_stay_within_their_bound(behind: Behind) -> None:
    store, clock = behind.bench.store, behind.bench.clock
    trimmer, n = Trimmer(store, MOST), 0
    queues = [f"q{number}" for number in range(QUEUES)]
    sizes: list[int] = []
    for round_ in range(30):
        for queue in queues[: QUEUES if round_ < 15 else 4]:
            n += 1
            await store.enqueue(queue, [new(f"t{n}")])
            begins = (await store.sample(queue, known=-1, unseen_ms=0)).begins
            counts = {f"type-{k}": cell(completed=n) for k in range(9)}
            await store.tally(queue, worker=b"worker-1", number=n, counts=counts)
            if begins:
                await trimmer.keep_within(queue)
        clock.advance(STEP)
        sizes.append(sum([await memory(behind, queue) for queue in queues]))
    assert max(sizes) < 1.3 * MOST
    assert min(sizes[15:]) > 0.7 * MOST
    busy, idle = await memory(behind, "q0"), await memory(behind, "q11")
    assert busy > 3 * idle


async def test_no_key_is_left_when_no_queue_has_statistics(behind: Behind) -> None:
    await behind.bench.store.note_size("a", 100, last=True)
    keys = behind.keys.statistics.values()

    async def found() -> list[int]:
        return [await behind.gateway.call(b"EXISTS", key) for key in keys]

    assert await found() == [1, 1]
    await behind.bench.store.note_size("a", 0, last=True)
    assert await found() == [0, 0]


async def test_statistics_of_a_newer_version_are_not_trimmed(behind: Behind) -> None:
    await behind.raw("HSET", "types", "head", msgpack.packb([2, 1]), "s1", b"cells")
    await behind.raw("HSET", "series", "last", msgpack.packb([2, 1]), "2:1", b"samples")
    assert await behind.bench.store.trim("q", shed=10**6) == 0
    assert await behind.raw("HLEN", "types") == await behind.raw("HLEN", "series") == 2


async def test_what_cannot_be_decoded_is_trimmed(behind: Behind) -> None:
    await behind.bench.add("t")
    await tally(behind.bench, {"mail": cell(completed=1)}, 1)
    await behind.raw("HSET", "types", "head", b"\xc1")
    await behind.raw("HSET", "series", "last", b"\xc1", "2:1", b"samples")
    assert await behind.bench.store.trim("q", shed=10**6) > 0
    assert await behind.raw("HKEYS", "series") == [b"last"]
    assert await behind.raw("EXISTS", "types") == 0
