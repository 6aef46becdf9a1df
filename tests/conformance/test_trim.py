"""What a queue loses of its statistics, and which queues are asked to lose some."""

from __future__ import annotations

import attrs

from rediq_trio.spec.history.samples import CHUNKS_KEPT
from rediq_trio.spec.history.sizes import TRIMMED_AT_ONCE, Excess
from rediq_trio.spec.history.type_counts import NO_TYPES, TYPE_STEP_BYTES, TYPES_STEPS, step_size
from rediq_trio.spec.records import QueueState

from .bench import Bench, Q
from .test_types import STEP, cell, tally

CHUNK_MS = (600_000, 3_600_000, 36_000_000)
"""How long a chunk of each level lasts."""


async def use(bench: Bench, times: int, apart_ms: int) -> None:
    """Add a task, sample and tally, again and again."""
    for _ in range(times):
        bench.clock.advance(apart_ms)
        await bench.add(f"t{bench.clock.now}")
        await bench.store.sample(Q, known=-1, unseen_ms=0)
        await tally(bench, {"mail": cell(completed=1)}, bench.clock.now // 1000)


def chunks(queue: QueueState, level: int) -> list[int]:
    return sorted(number for of, number in queue.series.chunks if of == level)


async def test_what_can_be_read_stays_if_nothing_has_to_go(bench: Bench) -> None:
    await use(bench, 4, STEP)
    before = await bench.dump()
    assert await bench.store.trim(Q, shed=0) == 0
    assert await bench.dump() == before


async def test_what_is_too_old_to_be_read_goes_in_any_case(bench: Bench) -> None:
    await use(bench, 4, STEP)
    before = await bench.dump()
    bench.clock.advance(CHUNK_MS[0] * (CHUNKS_KEPT[0] + 2))
    assert await bench.store.trim(Q, shed=0) > 0
    after = await bench.dump()
    assert chunks(after, 0) == []
    assert [chunks(after, n) for n in (1, 2)] == [chunks(before, n) for n in (1, 2)]
    assert after.types == before.types
    bench.clock.advance(STEP * (TYPES_STEPS + 1) - CHUNK_MS[0] * (CHUNKS_KEPT[0] + 2))
    assert await bench.store.trim(Q, shed=0) == sum(map(step_size, before.types.ended.values()))
    after = await bench.dump()
    assert (after.types, chunks(after, 1)) == (NO_TYPES, chunks(before, 1))
    bench.clock.advance(CHUNK_MS[2] * (CHUNKS_KEPT[2] + 2))
    await bench.store.trim(Q, shed=0)
    after = await bench.dump()
    assert (after.series.chunks, after.series.last) == ({}, before.series.last)


async def test_what_may_just_be_read_stays(bench: Bench) -> None:
    await use(bench, 2, STEP)
    before = await bench.dump()
    last, [ended] = before.types.step, before.types.ended
    bench.clock.advance((ended + TYPES_STEPS + 1) * STEP - bench.clock.now - 1)
    await bench.store.trim(Q, shed=0)
    assert (await bench.dump()).types == before.types
    bench.clock.advance((last + TYPES_STEPS + 1) * STEP - bench.clock.now - 1)
    await bench.store.trim(Q, shed=0)
    assert (await bench.dump()).types == attrs.evolve(before.types, ended={})
    bench.clock.advance(1)
    await bench.store.trim(Q, shed=0)
    assert (await bench.dump()).types == NO_TYPES


async def test_a_chunk_is_kept_as_long_as_it_is_read(bench: Bench) -> None:
    for level, length in enumerate(CHUNK_MS):
        await bench.store.flush(Q)
        await use(bench, 1, length)
        number = max(chunks(await bench.dump(), level))
        # A sample belongs to the step at whose end it is: the next chunk begins after its first step.
        end = (number + CHUNKS_KEPT[level] + 1) * length - length // 60
        bench.clock.advance(end - bench.clock.now)
        await bench.store.trim(Q, shed=0)
        found = number in chunks(await bench.dump(), level)
        bench.clock.advance(1)
        await bench.store.trim(Q, shed=0)
        after = number in chunks(await bench.dump(), level)
        # Of the shortest steps only whole ones are sampled; of the others, the one in progress too.
        assert (found, after) == (True, False)


async def test_the_coarsest_goes_first_and_the_oldest_of_it(bench: Bench) -> None:
    await use(bench, 30, CHUNK_MS[2])
    await use(bench, 20, STEP)
    order: list[tuple[str, int]] = []
    before = await bench.dump()
    while await bench.store.trim(Q, shed=1):
        after = await bench.dump()
        order += [
            (str(level), number)
            for level in (0, 1, 2)
            for number in chunks(before, level)
            if number not in chunks(after, level)
        ]
        order += [("types", at) for at in before.types.ended if at not in after.types.ended]
        before = after
    ranks = ("2", "types", "1", "0")
    rest = [one for one in order if not is_old(*one, bench.clock.now)]
    assert order[-len(rest) :] == rest
    assert rest == sorted(rest, key=lambda one: (ranks.index(one[0]), one[1]))
    assert {kind for kind, _ in rest} == {*ranks}
    assert [len(chunks(before, level)) for level in (0, 1, 2)] == [1, 0, 0]
    assert (before.types.ended, len(before.types.current)) == ({}, 1)
    # All goes on from there.
    await use(bench, 2, STEP)
    assert len((await bench.dump()).types.ended) == 2
    found = await bench.dump()
    assert chunks(found, 1) != [] != chunks(found, 2)


def is_old(kind: str, number: int, now: int) -> bool:
    if kind == "types":
        return number < now // STEP - TYPES_STEPS
    return number < now // CHUNK_MS[int(kind)] - CHUNKS_KEPT[int(kind)]


async def test_no_more_goes_than_has_to(bench: Bench) -> None:
    await use(bench, 6, STEP)
    before = await bench.dump()
    first, *others = sorted(before.types.ended)
    size = step_size(before.types.ended[first])
    coarse = await bench.store.trim(Q, shed=1)
    assert coarse > TYPE_STEP_BYTES
    assert chunks(await bench.dump(), 2) == []
    assert await bench.store.trim(Q, shed=size) == size
    assert sorted((await bench.dump()).types.ended) == others
    assert await bench.store.trim(Q, shed=size + 1) == 2 * size


async def test_a_sample_says_whether_it_begins_a_chunk(bench: Bench) -> None:
    begins: list[bool] = []
    bench.clock.advance(CHUNK_MS[0] - bench.clock.now % CHUNK_MS[0])
    for n in range(121):
        await bench.add(f"t{n}")
        begins.append((await bench.store.sample(Q, known=-1, unseen_ms=0)).begins)
        bench.clock.advance(10_000)
    assert [n for n, one in enumerate(begins) if one] == [0, 60, 120]
    assert not (await bench.store.sample(Q, known=-1, unseen_ms=0)).begins


async def noted(
    bench: Bench, queue: str, size: int, *, last: bool = True, most: int = 0
) -> list[tuple[str, int]]:
    found = await bench.store.note_size(queue, size, last=last, most=most)
    return [(one.queue, one.shed) for one in found]


async def test_the_queue_that_was_longest_not_used_is_to_lose_first(bench: Bench) -> None:
    for queue in ("b", "a", "ü"):
        assert await noted(bench, queue, 100) == []
        bench.clock.advance(1)
    assert await noted(bench, "d", 50, most=350) == []
    assert await bench.store.note_size("d", 50, last=True, most=349) == (Excess("b", 1),)
    assert await noted(bench, "d", 60, most=150) == [("b", 100), ("a", 100), ("ü", 10)]
    assert await noted(bench, "d", 60, most=0) == []
    bench.clock.advance(1)
    assert await noted(bench, "b", 70, most=230) == [("a", 100)]


async def test_a_queue_that_lost_some_keeps_its_turn_unless_it_has_no_more(bench: Bench) -> None:
    for queue in ("a", "b", "c"):
        await noted(bench, queue, 100)
        bench.clock.advance(1)
    assert await noted(bench, "a", 80, last=False) == []
    assert await noted(bench, "c", 100, most=279) == [("a", 1)]
    await noted(bench, "a", 80, last=True)
    assert await noted(bench, "x", 1, last=False, most=280) == [("b", 1)]


async def test_queues_of_one_instant_are_asked_in_the_order_of_bytes(bench: Bench) -> None:
    for queue in ("é", "b", "Z"):
        await noted(bench, queue, 10)
    assert await noted(bench, "é", 10, most=1) == [("Z", 10), ("b", 10), ("é", 9)]


async def test_a_queue_without_statistics_is_forgotten(bench: Bench) -> None:
    await noted(bench, "a", 100)
    await noted(bench, "b", 100)
    await noted(bench, "a", 0)
    assert await noted(bench, "b", 100, most=99) == [("b", 1)]
    await noted(bench, "b", 0)
    assert await noted(bench, "never", 0, most=1) == []
    assert await noted(bench, "new", 9, last=False, most=8) == [("new", 1)]
    await noted(bench, "new", 0)


async def test_only_some_queues_are_asked_at_once(bench: Bench) -> None:
    for n in range(TRIMMED_AT_ONCE + 2):
        await noted(bench, f"q{n}", 10)
        bench.clock.advance(1)
    found = await noted(bench, "q0", 10, last=False, most=1)
    assert found == [(f"q{n}", 10) for n in range(TRIMMED_AT_ONCE)]
