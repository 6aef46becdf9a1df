"""Records of workflows: written once, in an order, bounded, and looked at again and again."""

from __future__ import annotations

import pytest

from rediq_trio.spec.history.workflows import (
    CHECK_FIRST_MS,
    CHECK_LEAST_MS,
    CHECK_MOST_MS,
    CREATED_DIGITS,
    DROPPED_AT_ONCE,
    WORKFLOWS_MAX_BYTES,
    WORKFLOWS_READ_BYTES,
    WorkflowRecord,
)

from .bench import START, Bench


async def keep(bench: Bench, *ids: str, data: bytes = b"\x00data") -> list[int]:
    return [await bench.store.keep_workflow(each, data) for each in ids]


async def listed(bench: Bench, *, limit: int = 1000, **options: object) -> list[str]:
    found = await bench.store.workflows(limit=limit, **options)  # type: ignore[arg-type]
    return [one.id for one in found]


async def due(bench: Bench, limit: int = 100) -> list[str]:
    return [one.id for one in await bench.store.due_workflows(limit=limit)]


async def test_a_record_has_the_time_of_the_server_a_number_and_what_was_written(
    bench: Bench,
) -> None:
    bench.clock.advance(7)
    assert await keep(bench, "a", "b") == [START + 7, START + 7]
    found = await bench.store.workflows(limit=5)
    assert found == (
        WorkflowRecord("a", 1, START + 7, b"\x00data"),
        WorkflowRecord("b", 2, START + 7, b"\x00data"),
    )
    assert await bench.store.workflow("b") == found[1]
    assert await bench.store.workflow("c") is None


async def test_a_record_is_written_once(bench: Bench) -> None:
    await keep(bench, "a", "b")
    bench.clock.advance(3)
    assert await keep(bench, "a", data=b"other") == [START]
    assert await listed(bench) == ["a", "b"]
    assert await bench.store.workflow("a") == WorkflowRecord("a", 1, START, b"\x00data")


async def test_a_record_that_is_removed_leaves_nothing_and_its_number_is_not_used_again(
    bench: Bench,
) -> None:
    await keep(bench, "a", "b")
    await bench.store.forget_workflow("b")
    await bench.store.forget_workflow("b")
    assert await listed(bench) == ["a"]
    assert await bench.store.workflow("b") is None
    bench.clock.advance(CHECK_FIRST_MS)
    assert await due(bench) == ["a"]
    await keep(bench, "c")
    assert [one.number for one in await bench.store.workflows(limit=9)] == [1, 3]


@pytest.mark.parametrize("newest", [False, True])
async def test_pages_meet(bench: Bench, newest: bool) -> None:
    ids = [f"w{n}" for n in range(5)]
    await keep(bench, *ids)
    ordered = ids[::-1] if newest else ids
    first = await bench.store.workflows(limit=2, newest=newest)
    assert [one.id for one in first] == ordered[:2]
    rest = await listed(bench, after=first[-1].number, newest=newest)
    assert rest == ordered[2:]


@pytest.mark.parametrize("newest", [False, True])
async def test_a_read_ends_after_many_bytes(bench: Bench, newest: bool) -> None:
    half = WORKFLOWS_READ_BYTES // 2
    await keep(bench, "a", "b", "c", data=bytes(half - CREATED_DIGITS))
    assert await listed(bench, newest=newest) == (["c", "b"] if newest else ["a", "b"])
    await keep(bench, "d", data=bytes(2 * WORKFLOWS_READ_BYTES))
    assert await listed(bench, newest=True) == ["d"]


async def test_a_workflow_is_looked_at_first_after_some_minutes(bench: Bench) -> None:
    await keep(bench, "a")
    bench.clock.advance(CHECK_FIRST_MS - 1)
    assert await due(bench) == []
    bench.clock.advance(1)
    assert await due(bench) == ["a"]
    assert await due(bench) == []


async def test_writing_a_record_again_puts_its_first_look_off(bench: Bench) -> None:
    await keep(bench, "a")
    bench.clock.advance(CHECK_FIRST_MS - 1)
    await keep(bench, "a")
    bench.clock.advance(CHECK_FIRST_MS - 1)
    assert await due(bench) == []


@pytest.mark.parametrize(
    ("age_ms", "after_ms"),
    [
        (CHECK_FIRST_MS, CHECK_FIRST_MS // 4),
        (CHECK_FIRST_MS + 7, CHECK_FIRST_MS // 4 + 1),
        (100 * CHECK_MOST_MS, CHECK_MOST_MS),
    ],
)
async def test_a_workflow_is_looked_at_again_after_a_quarter_of_its_age(
    bench: Bench, age_ms: int, after_ms: int
) -> None:
    await keep(bench, "a")
    bench.clock.advance(age_ms)
    assert await due(bench) == ["a"]
    bench.clock.advance(after_ms - 1)
    assert await due(bench) == []
    bench.clock.advance(1)
    assert await due(bench) == ["a"]


async def test_a_workflow_of_a_clock_that_was_set_back_is_looked_at_after_a_minute(
    bench: Bench,
) -> None:
    bench.clock.advance(CHECK_FIRST_MS)
    await keep(bench, "a")
    bench.clock.advance(CHECK_FIRST_MS)
    await due(bench)
    bench.clock.advance(-2 * CHECK_FIRST_MS)
    await keep(bench, "a")
    bench.clock.advance(CHECK_FIRST_MS)
    assert await due(bench) == ["a"]
    bench.clock.advance(CHECK_LEAST_MS - 1)
    assert await due(bench) == []
    bench.clock.advance(1)
    assert await due(bench) == ["a"]


async def test_the_longest_due_are_looked_at_first(bench: Bench) -> None:
    for name in ("b", "a", "c"):
        await keep(bench, name)
        bench.clock.advance(1)
    bench.clock.advance(CHECK_FIRST_MS)
    assert [await due(bench, 2), await due(bench, 2)] == [["b", "a"], ["c"]]


async def test_what_is_not_read_for_its_bytes_is_not_put_off(bench: Bench) -> None:
    await keep(bench, "a", "b", data=bytes(WORKFLOWS_READ_BYTES))
    bench.clock.advance(CHECK_FIRST_MS)
    assert [await due(bench), await due(bench)] == [["a"], ["b"]]


async def test_the_oldest_are_dropped_where_there_are_too_many_bytes(bench: Bench) -> None:
    most = WORKFLOWS_MAX_BYTES // 4 - CREATED_DIGITS
    await keep(bench, "a", "b", "c", "d", data=bytes(most))
    assert await listed_all(bench) == ["a", "b", "c", "d"]
    await keep(bench, "e", data=b"")
    assert await listed_all(bench) == ["b", "c", "d", "e"]
    await keep(bench, "f", data=b"")
    assert await listed_all(bench) == ["b", "c", "d", "e", "f"]
    bench.clock.advance(CHECK_FIRST_MS)
    looked: list[str] = []
    while some := await due(bench):
        looked += some
    assert looked == ["b", "c", "d", "e", "f"]


async def listed_all(bench: Bench) -> list[str]:
    ids: list[str] = []
    after: int | None = None
    while found := await bench.store.workflows(limit=1000, after=after):
        ids += [one.id for one in found]
        after = found[-1].number
    return ids


async def test_one_new_record_drops_some_of_the_oldest_only_and_never_itself(bench: Bench) -> None:
    ids = [f"w{n:03}" for n in range(DROPPED_AT_ONCE + 5)]
    await keep(bench, *ids, data=b"")
    await keep(bench, "big", data=bytes(WORKFLOWS_MAX_BYTES))
    assert await listed_all(bench) == [*ids[DROPPED_AT_ONCE:], "big"]
    await keep(bench, "last", data=b"")
    assert await listed_all(bench) == ["last"]
    await keep(bench, "bigger", data=bytes(WORKFLOWS_MAX_BYTES))
    assert await listed_all(bench) == ["bigger"]
