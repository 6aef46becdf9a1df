"""What is kept by type, as it is stored: what is damaged, what a newer version wrote, and its bytes."""

from __future__ import annotations

import random

import msgpack

from rediq_trio.spec.history.type_counts import (
    COUNTS,
    NO_TYPES,
    RUNS_AT,
    TYPES_KEPT,
    TYPES_STEPS,
    WAITS_AT,
    Tallied,
    TypeCounts,
)
from rediq_trio.values.histogram import Histogram
from tests.conformance.bench import Q
from tests.conformance.test_types import STEP, W1, cell, kept, tally
from tests.redis.conftest import Behind

ALL_BYTES = 2_000_000
"""What the series of a queue may take, those by type and the others."""
SERIES_BYTES = 350 * 1024


def busy(chance: random.Random) -> TypeCounts:
    """Return a step of a type that is busy: times are spread as they mostly are, a few fail."""
    counts = [0] * COUNTS
    for at, typical in ((WAITS_AT, 0.05), (RUNS_AT, 0.2)):
        seen = Histogram()
        for _ in range(150):
            seen.add(chance.lognormvariate(0, 0.7) * typical)
        for place, count in enumerate(seen.counts, at):
            counts[place] = count * 20
    counts[0], counts[1] = 2950, 50
    return tuple(counts)


async def test_a_day_of_200_busy_types_takes_no_more_than_it_may(behind: Behind) -> None:
    bench, chance = behind.bench, random.Random(5)
    await bench.add("t")
    names = [f"package.module:handler_{n}" for n in range(TYPES_KEPT)]
    kinds = [busy(chance) for _ in range(50)]
    for number in range(TYPES_STEPS + 1):
        await tally(bench, {name: chance.choice(kinds) for name in names}, number + 1)
        bench.clock.advance(STEP)
    await tally(bench, {}, 999)
    steps = (await kept(bench)).ended
    said = await bench.store.series_bytes(Q)
    key = behind.keys.of(Q, ("types",))[0]
    size = await behind.gateway.call("MEMORY", "USAGE", key, "SAMPLES", 0)
    assert len(steps) == TYPES_STEPS  # nothing had to go
    assert 1_000_000 < size <= ALL_BYTES - SERIES_BYTES
    assert 0.8 < said / size < 1.2


async def test_types_of_the_widest_times_take_no_more_than_they_may(behind: Behind) -> None:
    bench = behind.bench
    await bench.add("t")
    widest = (1000,) * COUNTS
    counts = dict.fromkeys([f"package.module:handler_{n}" for n in range(TYPES_KEPT)], widest)
    for number in range(140):
        await tally(bench, counts, number + 1)
        bench.clock.advance(STEP)
    await tally(bench, {}, 999)
    key = behind.keys.of(Q, ("types",))[0]
    size = await behind.gateway.call("MEMORY", "USAGE", key, "SAMPLES", 0)
    assert size <= ALL_BYTES - SERIES_BYTES
    assert 80 < len((await kept(bench)).ended) < 140


async def test_types_of_a_newer_version_are_left_alone(behind: Behind) -> None:
    await behind.bench.add("t")
    await behind.raw("HSET", "types", "head", msgpack.packb([2, "?"]), "kept", b"?")
    before = await behind.raw("HGETALL", "types")
    assert await tally(behind.bench, {"mail": cell(completed=1)}, 1) == Tallied(False)
    assert await behind.raw("HGETALL", "types") == before
    found = await behind.bench.store.types(Q, since_ms=-STEP)
    assert (found.types, found.following_ms) == (NO_TYPES, 0)


async def test_types_that_cannot_be_decoded_begin_anew(behind: Behind) -> None:
    await behind.bench.add("t")
    await behind.raw("HSET", "types", "head", b"\xc1", "kept", b"\xc1")
    assert (await behind.bench.store.types(Q, since_ms=-STEP)).types == NO_TYPES
    assert await tally(behind.bench, {"mail": cell(completed=1)}, 1) == Tallied(True)
    found = await kept(behind.bench)
    assert found.current == {1: cell(completed=1)}
    assert [*found.tallies] == [W1]


async def test_series_and_types_have_a_size(behind: Behind) -> None:
    bench = behind.bench
    await bench.add("t")
    await bench.store.sample(Q, known=-1, unseen_ms=0)
    before = await bench.store.series_bytes(Q)
    await tally(bench, {"mail": cell(completed=1)}, 1)
    assert 0 < before < await bench.store.series_bytes(Q)
