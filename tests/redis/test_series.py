"""Series as they are stored: what is damaged, what a newer version wrote, and how many bytes they take."""

from __future__ import annotations

import msgpack

from rediq_trio.spec.history.samples import (
    CHUNKS_KEPT,
    NO_SAMPLE,
    SAMPLE_GAP,
    STEPS_PER_CHUNK,
    Sampled,
)
from rediq_trio.store.redis.keys import QUEUE_KEYS
from tests.conformance.bench import Q
from tests.redis.conftest import Behind

SERIES_BYTES = 350 * 1024
"""What the series of a queue may take."""


async def test_series_of_a_newer_version_are_left_alone(behind: Behind) -> None:
    await behind.bench.add("a")
    await behind.raw("HSET", "series", "last", msgpack.packb([2, "?"]))
    before = await behind.raw("HGETALL", "series")
    sampled = await behind.bench.store.sample(Q, known=-1, unseen_ms=0)
    assert sampled == Sampled(-1, None)
    assert await behind.raw("HGETALL", "series") == before
    found = await behind.bench.store.series(Q, level=0, since_ms=-60_000)
    assert (found.samples, found.last, found.totals) == ((), NO_SAMPLE, (1, 0, 0, 0))


async def test_a_last_sample_that_cannot_be_decoded_is_none(behind: Behind) -> None:
    await behind.bench.add("a")
    await behind.raw("HSET", "series", "last", b"\xc1")
    assert (await behind.bench.store.series(Q, level=0, since_ms=-60_000)).last == NO_SAMPLE
    assert (await behind.bench.store.sample(Q, known=-1, unseen_ms=0)).step > 0


async def test_full_series_take_no_more_than_they_may(behind: Behind) -> None:
    await behind.bench.add("a")
    await behind.bench.store.sample(Q, known=-1, unseen_ms=0)
    # Every number of every sample at its highest, in every chunk that can be there at once.
    record = b"\x0f\xff" + b"\xff" * 48
    chunk = b"".join(bytes([n]) + record for n in reversed(range(STEPS_PER_CHUNK)))
    for level, kept in enumerate(CHUNKS_KEPT):
        for number in range(2_833_000, 2_833_000 + kept + 1):
            await behind.raw("HSET", "series", f"{level}:{number}", chunk)
    key = behind.keys.of(Q, ("series",))[0]
    assert await behind.gateway.call("MEMORY", "USAGE", key, "SAMPLES", 0) <= SERIES_BYTES


async def test_the_keys_of_statistics_are_known(behind: Behind) -> None:
    await behind.bench.add("a")
    await behind.bench.store.sample(Q, known=-1, unseen_ms=0)
    assert "series" not in QUEUE_KEYS
    assert (await behind.bench.store.key_report(Q)).unknown == ()


async def test_numbers_have_a_highest_value(behind: Behind) -> None:
    bench = behind.bench
    await bench.add("a")
    for _ in range(3):
        await behind.raw("HINCRBY", "meta", "enqueued", 2**33)
        await bench.store.sample(Q, known=-1, unseen_ms=0)
        bench.clock.advance(10_000)
        for level in (0, 1):
            newest = (await bench.store.series(Q, level=level, since_ms=-10_000)).samples[-1]
            assert newest.numbers[0] == 2**32 - 1


async def test_totals_that_a_failover_took_back_are_a_gap(behind: Behind) -> None:
    bench = behind.bench
    await bench.add("a", "b")
    await bench.store.sample(Q, known=-1, unseen_ms=0)
    bench.clock.advance(10_000)
    await behind.raw("HSET", "meta", "enqueued", 1)
    await bench.add("c")
    await behind.raw("HSET", "meta", "enqueued", 1)
    await bench.store.sample(Q, known=-1, unseen_ms=0)
    newest = (await bench.store.series(Q, level=0, since_ms=-10_000)).samples[-1]
    assert (newest.mark, newest.numbers[0]) == (SAMPLE_GAP, 0)
    newest = (await bench.store.series(Q, level=1, since_ms=-10_000)).samples[-1]
    assert (newest.mark, newest.numbers[0]) == (SAMPLE_GAP, 2)
