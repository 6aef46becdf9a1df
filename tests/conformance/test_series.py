"""The numbers of a queue over time: when a sample is taken, and what becomes of it."""

from __future__ import annotations

import attrs
import pytest

from rediq_trio.spec.history.samples import (
    CHUNKS_KEPT,
    NEVER_SEEN_MS,
    SAMPLE_CARRIED,
    SAMPLE_GAP,
    STEPS_PER_CHUNK,
    Sample,
    Sampled,
    SeriesRead,
)
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Relations

from .bench import START, Bench, Q, failed

FIRST = START // 10_000
DAY = 86_400_000


async def sampled(bench: Bench, *, known: int = -1, unseen_ms: int = 0) -> Sampled:
    return await bench.store.sample(Q, known=known, unseen_ms=unseen_ms)


async def read(bench: Bench, level: int = 0, since_ms: int = -DAY, until_ms: int = 0) -> SeriesRead:
    return await bench.store.series(Q, level=level, since_ms=since_ms, until_ms=until_ms)


async def samples(bench: Bench, level: int = 0) -> list[tuple[int, int, tuple[int, ...]]]:
    """Give the samples of a level: steps since the test began, marks, and the numbers."""
    steps = {0: 1, 1: 6, 2: 60}[level]
    found = (await read(bench, level)).samples
    return [(one.step - -(-FIRST // steps), one.mark, one.numbers) for one in found]


async def test_a_sample_has_what_happened_and_what_there_is(bench: Bench) -> None:
    await bench.ended("done", State.COMPLETED)
    await bench.ended("gone", State.DEAD)
    fence = await bench.active("again")
    await bench.store.settle(Q, [failed(fence)])
    await bench.active("runs")
    bench.clock.advance(3_000)
    await bench.add("keyed", relations=Relations(limit_key="k"))
    await bench.add("waits", relations=Relations(needs=("runs",)))
    await bench.add("one", "two", relations=Relations(group="g"))
    await bench.add("later", "latest", "last", delay_ms=60_000)
    bench.clock.advance(4_000)
    await bench.add("plain")
    assert await sampled(bench) == Sampled(FIRST, 3_000, begins=True)
    oldest = (START + 3_000) // 1000
    assert await samples(bench) == [
        (-1, SAMPLE_CARRIED, (0,) * 12),
        (0, 0, (12, 1, 2, 1, 2, 3, 1, 1, 1, 2, 1, oldest)),
    ]


async def test_a_step_is_sampled_once(bench: Bench) -> None:
    await bench.add("a")
    await sampled(bench)
    await bench.add("b")
    bench.clock.advance(9_999)
    assert await sampled(bench) == Sampled(FIRST, 1)
    bench.clock.advance(1)
    assert await sampled(bench) == Sampled(FIRST + 1, 10_000)
    assert [numbers[0] for _, _, numbers in await samples(bench)] == [0, 1, 1]


async def test_what_has_not_changed_is_not_sampled(bench: Bench) -> None:
    await bench.add("a")
    await sampled(bench)
    bench.clock.advance(40_000)
    assert await sampled(bench) == Sampled(FIRST, 10_000)
    [lease] = await bench.take()
    await sampled(bench)
    bench.clock.advance(12_000)
    assert await sampled(bench) == Sampled(FIRST + 4, 8_000)
    await bench.store.settle(Q, [failed(lease.fence, final=True)])
    await sampled(bench)
    bench.clock.advance(10_000)
    # Nothing pending, nothing active: whatever comes next is signalled.
    assert await sampled(bench) == Sampled(FIRST + 5, None)
    assert [step for step, _, _ in await samples(bench)] == [-1, 0, 3, 4, 5]


async def test_an_unused_queue_is_not_sampled(bench: Bench) -> None:
    assert await sampled(bench, unseen_ms=NEVER_SEEN_MS) == Sampled(-1, None)
    assert (await bench.dump()).series.chunks == {}


async def test_what_was_so_before_is_repeated_ahead_of_a_change(bench: Bench) -> None:
    await bench.add("a")
    await sampled(bench)
    bench.clock.advance(3 * 3_600_000)
    await bench.add("b")
    await sampled(bench, unseen_ms=5_000)
    since = START // 1000
    assert (await samples(bench))[-2:] == [
        (1079, SAMPLE_CARRIED, (0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, since)),
        (1080, 0, (1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, since)),
    ]


async def test_a_longer_step_has_the_sum_and_the_last(bench: Bench) -> None:
    for n in range(12):
        await bench.add(f"t{n}", *([f"u{n}"] if n % 2 else []))
        if n == 8:
            await bench.take(4)
        await sampled(bench)
        bench.clock.advance(10_000)
    # The test begins 5 steps before the end of a minute.
    minutes = await samples(bench, 1)
    assert [(step, numbers[0], numbers[4]) for step, _, numbers in minutes] == [
        (-1, 0, 0), (0, 7, 7), (1, 9, 12), (2, 2, 14),
    ]  # fmt: skip
    assert [numbers[0] for _, _, numbers in await samples(bench, 2)] == [0, 18]


async def test_a_time_that_nobody_saw_is_a_gap(bench: Bench) -> None:
    await bench.add("a")
    await sampled(bench)
    bench.clock.advance(50_000)
    await bench.add("b")
    await sampled(bench, unseen_ms=30_001)
    bench.clock.advance(31_000)
    await bench.add("c")
    await sampled(bench, unseen_ms=30_000)
    bench.clock.advance(28_000)
    await bench.add("d")
    # Whatever this worker saw: another one took a sample.
    await sampled(bench, unseen_ms=NEVER_SEEN_MS)
    marks = [(step, mark) for step, mark, _ in await samples(bench)]
    assert marks == [
        (-1, SAMPLE_CARRIED), (0, 0), (5, SAMPLE_GAP), (7, SAMPLE_CARRIED), (8, 0), (9, SAMPLE_CARRIED), (10, 0),
    ]  # fmt: skip
    bench.clock.advance(10_000)
    await bench.add("e")
    await sampled(bench)
    assert [mark for _, mark, _ in await samples(bench, 1)] == [SAMPLE_CARRIED, 0, SAMPLE_GAP, 0]


async def test_a_queue_that_was_never_sampled_begins_with_a_gap(bench: Bench) -> None:
    await bench.add("a")
    await sampled(bench, unseen_ms=NEVER_SEEN_MS)
    assert [(step, mark) for step, mark, _ in await samples(bench)] == [(0, SAMPLE_GAP)]


async def test_samples_that_a_failover_lost_are_a_gap(bench: Bench) -> None:
    await bench.add("a")
    await sampled(bench)
    bench.clock.advance(10_000)
    assert await sampled(bench, known=FIRST + 1) == Sampled(FIRST, 10_000)
    await bench.add("b")
    await sampled(bench, known=FIRST)
    bench.clock.advance(10_000)
    await bench.add("c")
    await sampled(bench, known=FIRST + 2)
    assert [mark for _, mark, _ in await samples(bench)] == [SAMPLE_CARRIED, 0, 0, SAMPLE_GAP]


async def test_a_clock_that_goes_back_a_little_is_waited_for(bench: Bench) -> None:
    await bench.add("a")
    await sampled(bench)
    await bench.add("b")
    bench.clock.advance(-60_000)
    assert await sampled(bench) == Sampled(FIRST, 70_000)


@pytest.mark.parametrize("back", [70_000, 20 * 60_000, 5 * 3_600_000])
async def test_samples_that_are_still_to_come_are_removed(bench: Bench, back: int) -> None:
    for n in range(150):
        await bench.add(f"t{n}")
        await sampled(bench)
        bench.clock.advance(10_000)
    bench.clock.advance(-10_000)
    before = [await samples(bench, level) for level in (0, 1, 2)]
    bench.clock.advance(-back)
    now = bench.clock.now // 10_000 - FIRST
    begins = back > 3_600_000  # before all of them
    assert await sampled(bench) == Sampled(FIRST + now, 10_000, begins)
    for level, steps in enumerate((1, 6, 60)):
        here = -(-(FIRST + now) // steps) - -(-FIRST // steps)
        left = [one for one in before[level] if one[0] < here]
        found = await samples(bench, level)
        assert found[:-1] == left
        assert found[-1][:2] == (here, SAMPLE_GAP)
        chunks = [n for of, n in (await bench.dump()).series.chunks if of == level]
        assert max(chunks) == -(-(FIRST + now) // steps) // STEPS_PER_CHUNK
    again = (await read(bench)).samples
    assert max(one.step for one in again) == FIRST + now


async def test_old_samples_are_removed(bench: Bench) -> None:
    for n in range(4):
        await bench.add(f"t{n}")
        await sampled(bench)
        bench.clock.advance(10_000 * STEPS_PER_CHUNK * (CHUNKS_KEPT[0] - 1))
    chunks = [number for level, number in (await bench.dump()).series.chunks if level == 0]
    assert max(chunks) - min(chunks) <= CHUNKS_KEPT[0]
    bench.clock.advance(40 * DAY)
    await bench.add("later")
    await sampled(bench)
    assert {level for level, _ in (await bench.dump()).series.chunks} == {0, 1, 2}
    assert len((await bench.dump()).series.chunks) <= 6


async def test_a_flush_keeps_the_series(bench: Bench) -> None:
    await bench.add("a")
    await sampled(bench)
    before = (await bench.dump()).series
    await bench.store.flush(Q)
    assert (await bench.dump()).series == before


async def test_a_part_of_the_series_is_read(bench: Bench) -> None:
    for n in range(150):
        await bench.add(f"t{n}")
        await sampled(bench)
        bench.clock.advance(10_000)
    now = bench.clock.now
    whole = await read(bench)
    assert len(whole.samples) == 151
    assert (whole.now_ms, whole.last.step, whole.totals) == (now, FIRST + 149, (150, 0, 0, 0))
    late = await read(bench, since_ms=-60_000)
    assert {*late.samples} < {*whole.samples}
    assert min(one.step for one in late.samples) > FIRST + 60
    early = await read(bench, since_ms=START - 1, until_ms=START + 60_000)
    assert {*early.samples} < {*whole.samples}
    assert max(one.step for one in early.samples) < FIRST + 90
    assert (await read(bench, until_ms=now + DAY)).samples == whole.samples
    assert attrs.evolve(await read(bench, 2), samples=()).level == 2
    assert isinstance(whole.samples[0], Sample)
