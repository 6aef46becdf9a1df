"""The attempts of a queue by type: how tallies are added up, when a step ends, and what is kept."""

from __future__ import annotations

import attrs

from rediq_trio.spec.history.type_counts import (
    COUNTS,
    NO_COUNTS,
    NO_TYPES,
    RUNS_AT,
    STEPS_READ,
    TYPE_COUNT_MAX,
    TYPE_STEP_BYTES,
    TYPES_BYTES,
    TYPES_KEPT,
    TYPES_STEPS,
    WAITS_AT,
    WEIGHT,
    WEIGHT_MAX,
    KeptType,
    LastTally,
    QueueTypes,
    Tallied,
    TypeCounts,
    as_codes,
    step_size,
)

from .bench import START, Bench, Q

STEP = 300_000
FIRST = START // STEP
W1, W2 = b"worker-1", b"worker\xff2"


def cell(*, wait: int = 3, run: int = 5, failed: int = 0, completed: int = 0) -> TypeCounts:
    """Return the counts of attempts that all waited and ran as long."""
    counts = [0] * COUNTS
    counts[0], counts[1] = completed, failed
    counts[WAITS_AT + wait] = counts[RUNS_AT + run] = completed + failed
    return tuple(counts)


async def tally(
    bench: Bench, counts: dict[str, TypeCounts], number: int, worker: bytes = W1
) -> Tallied:
    return await bench.store.tally(Q, worker=worker, number=number, counts=counts)


async def kept(bench: Bench) -> QueueTypes:
    return (await bench.dump()).types


async def test_tallies_are_added_up_by_type(bench: Bench) -> None:
    await bench.add("t")
    assert await tally(bench, {"mail": cell(completed=3), "": cell(failed=1)}, 1) == Tallied(True)
    some = cell(wait=23, run=0, completed=2, failed=4)
    assert await tally(bench, {"mail": some, "sum": some}, 1, W2) == Tallied(True)
    found = await kept(bench)
    assert found.step == FIRST
    assert found.kept == (KeptType("mail", FIRST, 9 * WEIGHT), KeptType("sum", FIRST, 6 * WEIGHT))
    both = tuple(a + b for a, b in zip(cell(completed=3), some, strict=True))
    assert found.current == {0: cell(failed=1), 1: both, 2: some}
    assert found.ended == {}


async def test_a_tally_that_comes_again_is_not_counted_again(bench: Bench) -> None:
    await bench.add("t")
    for number, counted in ((4, True), (4, False), (3, False), (5, True), (5, False)):
        answer = await tally(bench, {"mail": cell(completed=1)}, number)
        assert answer == Tallied(counted)
    assert await tally(bench, {"mail": cell(completed=1)}, 4, W2) == Tallied(True)
    found = await kept(bench)
    assert found.current == {1: cell(completed=3)}
    assert found.tallies == {W1: LastTally(5, FIRST), W2: LastTally(4, FIRST)}


async def test_a_queue_that_was_never_used_keeps_nothing(bench: Bench) -> None:
    assert await tally(bench, {"mail": cell(completed=1)}, 1) == Tallied(False)
    assert await kept(bench) == NO_TYPES


async def test_a_queue_that_was_removed_keeps_nothing_and_a_flushed_one_all(bench: Bench) -> None:
    await bench.add("t")
    await tally(bench, {"mail": cell(completed=1)}, 1)
    await bench.store.flush(Q)
    assert (await kept(bench)).current == {1: cell(completed=1)}
    assert (await bench.store.remove_queue(Q, received={})).removed
    assert await tally(bench, {"mail": cell(completed=1)}, 2) == Tallied(False)
    assert await kept(bench) == NO_TYPES


async def test_a_step_that_ends_keeps_outcomes_exactly_and_buckets_as_codes(bench: Bench) -> None:
    await bench.add("t")
    some = cell(completed=70_000, failed=17)
    await tally(bench, {"mail": some, "": cell(failed=1)}, 1)
    bench.clock.advance(STEP)
    assert await tally(bench, {"mail": cell(failed=1)}, 2) == Tallied(True, ended=True)
    found = await kept(bench)
    assert (found.step, found.current) == (FIRST + 1, {1: cell(failed=1)})
    assert found.ended == {FIRST: {0: cell(failed=1), 1: as_codes(some)}}
    assert found.kept[0].weight == 70_017 * WEIGHT * 31 // 32 + WEIGHT


async def test_counts_have_a_highest_value(bench: Bench) -> None:
    await bench.add("t")
    most = (TYPE_COUNT_MAX,) * COUNTS
    await tally(bench, {"mail": most}, 1)
    await tally(bench, {"mail": most}, 2)
    assert (await kept(bench)).current == {1: most}
    await tally(bench, {"mail": cell(completed=2**40)}, 3)
    assert (await kept(bench)).kept[0].weight == WEIGHT_MAX


async def test_steps_of_a_day_are_kept(bench: Bench) -> None:
    await bench.add("t")
    for number in range(4):
        await tally(bench, {"mail": cell(completed=1)}, number + 1)
        bench.clock.advance(STEP * (TYPES_STEPS // 2))
    await tally(bench, {}, 9)
    found = await kept(bench)
    assert [*found.ended] == [found.step - TYPES_STEPS, found.step - TYPES_STEPS // 2]
    bench.clock.advance(STEP * (TYPES_STEPS + 1))
    await tally(bench, {}, 10)
    assert (await kept(bench)).ended == {}


async def test_what_takes_too_much_goes_the_oldest_first(bench: Bench) -> None:
    await bench.add("t")
    wide = (9,) * COUNTS
    # So many that one step more would fit if only the cells of the others were counted.
    names = [f"type-{n}" for n in range(TYPES_KEPT - 3)]
    size = step_size(dict.fromkeys(range(1, len(names) + 1), wide))
    fits = TYPES_BYTES // size
    assert fits < TYPES_BYTES // (size - TYPE_STEP_BYTES)
    for number in range(fits + 3):
        await tally(bench, dict.fromkeys(names, wide), number + 1)
        bench.clock.advance(STEP)
    await tally(bench, {}, 999)
    found = await kept(bench)
    assert sorted(found.ended) == [*range(found.step - fits, found.step)]


async def test_the_busiest_types_are_kept_apart(bench: Bench) -> None:
    await bench.add("t")
    names = [f"type-{n}" for n in range(TYPES_KEPT)]
    await tally(bench, dict.fromkeys(names, cell(completed=3)), 1)
    await tally(bench, {"type-7": cell(completed=1), "rare": cell(completed=3)}, 2)
    found = await kept(bench)
    assert [one.name for one in found.kept] == names
    assert found.current[0] == cell(completed=3)
    bench.clock.advance(STEP)
    await tally(bench, {"busy": cell(completed=3), "busier": cell(failed=5)}, 3)
    bench.clock.advance(1)
    await tally(bench, {"busiest": cell(failed=40)}, 4)
    found = await kept(bench)
    names[0], names[1], names[2] = "busy", "busier", "busiest"
    assert [one.name for one in found.kept] == names
    assert [one.since for one in found.kept[:4]] == [FIRST + 1] * 3 + [FIRST]
    assert found.current == {1: cell(completed=3), 2: cell(failed=5), 3: cell(failed=40)}


async def test_a_type_that_gives_way_is_one_of_the_others(bench: Bench) -> None:
    await bench.add("t")
    names = [f"type-{n}" for n in range(TYPES_KEPT)]
    await tally(bench, dict.fromkeys(names, cell(completed=3)), 1)
    await tally(bench, {"busy": cell(completed=4)}, 2)
    found = await kept(bench)
    assert found.kept[0] == KeptType("busy", FIRST, 4 * WEIGHT)
    assert found.current[0] == cell(completed=3)
    assert found.current[1] == cell(completed=4)


async def test_a_weight_falls_by_each_step_and_is_nothing_after_a_day(bench: Bench) -> None:
    await bench.add("t")
    await tally(bench, {"mail": cell(completed=TYPE_COUNT_MAX)}, 1)
    weight = TYPE_COUNT_MAX * WEIGHT
    for number, steps in enumerate((1, 7, TYPES_STEPS), 2):
        for _ in range(steps):
            weight = weight * 31 // 32
        bench.clock.advance(steps * STEP)
        await tally(bench, {}, number)
        assert (await kept(bench)).kept[0].weight == weight > 0
    bench.clock.advance((TYPES_STEPS + 1) * STEP)
    await tally(bench, {}, 9)
    assert (await kept(bench)).kept[0].weight == 0


async def test_a_step_without_attempts_is_not_kept(bench: Bench) -> None:
    await bench.add("t")
    for number in range(3):
        await tally(bench, {}, number + 1)
        bench.clock.advance(STEP)
    assert (await kept(bench)).ended == {}


async def test_a_worker_that_says_nothing_for_an_hour_is_forgotten(bench: Bench) -> None:
    await bench.add("t")
    await tally(bench, {}, 1)
    bench.clock.advance(12 * STEP)
    await tally(bench, {}, 1, W2)
    assert [*(await kept(bench)).tallies] == [W1, W2]
    bench.clock.advance(STEP)
    await tally(bench, {}, 2, W2)
    assert [*(await kept(bench)).tallies] == [W2]


async def test_a_clock_that_goes_back_a_step_is_waited_for(bench: Bench) -> None:
    await bench.add("t")
    await tally(bench, {"mail": cell(completed=1)}, 1)
    bench.clock.advance(-STEP)
    assert await tally(bench, {"mail": cell(completed=1)}, 2) == Tallied(True)
    assert (await kept(bench)).current == {1: cell(completed=2)}


async def test_steps_that_are_still_to_come_are_removed(bench: Bench) -> None:
    await bench.add("t")
    for number in range(6):
        await tally(bench, {f"type-{number}": cell(completed=1)}, number + 1)
        bench.clock.advance(STEP)
    bench.clock.advance(-4 * STEP)  # two steps before the one in progress
    await tally(bench, {"late": cell(completed=2)}, 7)
    found = await kept(bench)
    assert found.step == FIRST + 2
    assert sorted(found.ended) == [FIRST, FIRST + 1]
    assert found.current == {7: cell(completed=2)}
    assert [one.since - FIRST for one in found.kept] == [0, 1, 2, 2, 2, 2, 2]


async def test_what_is_kept_has_a_size(bench: Bench) -> None:
    await bench.add("t")
    assert await bench.store.series_bytes(Q) == 0
    await bench.store.sample(Q, known=-1, unseen_ms=0)
    before = await bench.store.series_bytes(Q)
    await tally(bench, {"mail": cell(completed=1)}, 1)
    after = await bench.store.series_bytes(Q)
    assert (before > 0) == (after > before)  # both are 0 in a store that keeps no bytes


async def test_a_day_is_read_in_parts(bench: Bench) -> None:
    await bench.add("t")
    for number in range(4):
        await tally(bench, {"mail": cell(completed=number + 1)}, number + 1)
        bench.clock.advance(STEP * 60)
    bench.clock.advance(-STEP * 60)
    now, last = bench.clock.now, bench.clock.now // STEP
    found = await bench.store.types(Q, since_ms=-TYPES_STEPS * STEP)
    assert found.now_ms == now
    assert found.following_ms == (last - TYPES_STEPS + STEPS_READ) * STEP
    assert (found.types.current, found.types.ended) == ({}, {})
    sums: list[int] = []
    while found.following_ms:
        found = await bench.store.types(Q, since_ms=found.following_ms)
        sums += [cells[1][0] for _, cells in sorted(found.types.ended.items())]
        sums += [cells[0] for cells in found.types.current.values()]
    assert sums == [1, 2, 3, 4]
    late = await bench.store.types(Q, since_ms=-1)
    assert (late.types.ended, late.types.current) == ({}, {1: cell(completed=4)})
    assert await bench.store.types(Q, since_ms=now - 60 * STEP) == attrs.evolve(
        late, types=attrs.evolve(late.types, ended={last - 60: {1: cell(completed=3)}})
    )
    assert NO_COUNTS not in late.types.current.values()


async def test_a_step_that_is_ahead_of_the_clock_is_read(bench: Bench) -> None:
    await bench.add("t")
    await tally(bench, {"mail": cell(completed=1)}, 1)
    bench.clock.advance(-STEP)
    found = await bench.store.types(Q, since_ms=-1)
    assert found.types.current == {1: cell(completed=1)}


async def test_no_more_than_a_day_is_read(bench: Bench) -> None:
    await bench.add("t")
    await tally(bench, {"mail": cell(completed=1)}, 1)
    day = await bench.store.types(Q, since_ms=-TYPES_STEPS * STEP)
    assert await bench.store.types(Q, since_ms=-3 * TYPES_STEPS * STEP) == day
    assert day.following_ms > 0
