"""The kinds of failure of a queue: what is counted, what is kept of each, and which are."""

from __future__ import annotations

import pytest

from rediq_trio.spec.history.kinds import HOUR_MS, HOURS_KEPT, KIND_TASKS, KINDS_KEPT, StoredKind
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Failed, Fence, Outcome, Released, Snoozed
from rediq_trio.store.reads.scan import Where

from .bench import LEASE, START, Bench, Q

KIND = "a1b2c3d4e5f6"
OTHER = "0123456789ab"
SAMPLE = b"\x00 what \xff"
HOUR = START // HOUR_MS


def failed(
    fence: Fence,
    kind: str = KIND,
    sample: bytes = SAMPLE,
    *,
    final: bool = True,
    detail: bytes = b"d",
) -> Failed:
    return Failed(fence, "boom", 0, final, detail=detail, kind=kind, sample=sample)


async def kinds(bench: Bench) -> dict[str, StoredKind]:
    return dict(await bench.store.failure_kinds(Q))


async def take(bench: Bench, *ids: str) -> list[Fence]:
    await bench.add(*ids)
    return [lease.fence for lease in await bench.take(len(ids))]


async def test_a_queue_in_which_nothing_failed_has_no_kinds(bench: Bench) -> None:
    await bench.store.settle(Q, [Completed(await bench.active(), b"r")])
    assert await kinds(bench) == {}


async def test_the_first_failure_of_a_kind_is_kept_with_its_sample(bench: Bench) -> None:
    fence = await bench.active()
    bench.clock.advance(7)
    await bench.store.settle(Q, [failed(fence)])
    assert await kinds(bench) == {KIND: StoredKind(1, START + 7, START + 7, ("t",), SAMPLE, (HOUR, 1))}


async def test_further_failures_are_counted_and_keep_the_first_sample(bench: Bench) -> None:
    a, b, c = await take(bench, "a", "b", "c")
    await bench.store.settle(Q, [failed(a), failed(b, sample=b"later")])
    bench.clock.advance(7)
    await bench.store.settle(Q, [failed(c, sample=b"latest")])
    assert await kinds(bench) == {
        KIND: StoredKind(3, START, START + 7, ("c", "b", "a"), SAMPLE, (HOUR, 3))
    }


async def test_each_kind_of_a_batch_is_counted_by_itself(bench: Bench) -> None:
    a, b, c, d = await take(bench, "a", "b", "c", "d")
    outcomes: list[Outcome] = [
        failed(a), Completed(b, b"r"), failed(c, OTHER, b"other"), failed(d),
    ]  # fmt: skip
    await bench.store.settle(Q, outcomes)
    assert await kinds(bench) == {
        KIND: StoredKind(2, START, START, ("d", "a"), SAMPLE, (HOUR, 2)),
        OTHER: StoredKind(1, START, START, ("c",), b"other", (HOUR, 1)),
    }


async def test_the_kind_that_was_seen_last_comes_first(bench: Bench) -> None:
    a, b, c = await take(bench, "a", "b", "c")
    await bench.store.settle(Q, [failed(a)])
    bench.clock.advance(1)
    await bench.store.settle(Q, [failed(b, OTHER)])
    assert [*await kinds(bench)] == [OTHER, KIND]
    bench.clock.advance(1)
    await bench.store.settle(Q, [failed(c)])
    assert [*await kinds(bench)] == [KIND, OTHER]


async def test_kinds_of_one_instant_are_ordered_by_their_fingerprints(bench: Bench) -> None:
    a, b = await take(bench, "a", "b")
    await bench.store.settle(Q, [failed(a), failed(b, OTHER)])
    assert [*await kinds(bench)] == [KIND, OTHER]


async def test_a_kind_keeps_the_last_tasks_each_once_the_newest_first(bench: Bench) -> None:
    ids = [f"t{n}" for n in range(KIND_TASKS + 2)]
    await bench.store.settle(Q, [failed(fence) for fence in await take(bench, *ids)])
    newest = ids[: -KIND_TASKS - 1 : -1]
    assert (await kinds(bench))[KIND].ids == tuple(newest)
    await bench.store.revive(Q, [newest[2]])
    [lease] = await bench.take()
    await bench.store.settle(Q, [failed(lease.fence)])
    again = [newest[2], *newest[:2], *newest[3:]]
    assert (await kinds(bench))[KIND].ids == tuple(again)
    assert (await kinds(bench))[KIND].count == len(ids) + 1


async def test_an_attempt_that_is_retried_counts(bench: Bench) -> None:
    await bench.store.settle(Q, [failed(await bench.active(), final=False)])
    await bench.store.promote(Q, limit=1)
    [lease] = await bench.take()
    await bench.store.settle(Q, [failed(lease.fence, final=False)])
    assert await kinds(bench) == {KIND: StoredKind(2, START, START, ("t",), SAMPLE, (HOUR, 2))}


@pytest.mark.parametrize(
    "end",
    [
        Released,
        lambda fence: Released(fence, b"d"),
        lambda fence: Snoozed(fence, 9, b"d"),
        lambda fence: failed(fence, ""),
    ],
)
async def test_what_has_no_kind_is_not_counted(bench: Bench, end: type[Released]) -> None:
    await bench.store.settle(Q, [end(await bench.active())])
    assert await kinds(bench) == {}


async def test_a_crash_is_of_no_kind(bench: Bench) -> None:
    await bench.active(max_crashes=0)
    bench.clock.advance(LEASE)
    await bench.store.reclaim(Q, limit=1)
    assert (await bench.record()).state is State.DEAD
    assert await kinds(bench) == {}


async def test_a_failure_after_a_cancel_is_counted(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.cancel(Q, "t")
    assert await bench.store.settle(Q, [failed(fence, final=False)]) == (State.CANCELLED,)
    assert (await kinds(bench))[KIND].count == 1


async def test_a_settlement_that_comes_twice_is_counted_once(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.settle(Q, [failed(fence), failed(fence)])
    await bench.store.settle(Q, [failed(fence)])
    assert (await kinds(bench))[KIND].count == 1


async def test_a_stale_settlement_is_not_counted(bench: Bench) -> None:
    fence = await bench.active()
    bench.clock.advance(LEASE)
    await bench.store.reclaim(Q, limit=1)
    assert await bench.store.settle(Q, [failed(fence)]) == (None,)
    assert await kinds(bench) == {}


async def test_the_clock_of_a_kind_does_not_go_back(bench: Bench) -> None:
    a, b = await take(bench, "a", "b")
    await bench.store.settle(Q, [failed(a)])
    bench.clock.advance(-50)
    await bench.store.settle(Q, [failed(b)])
    assert await kinds(bench) == {KIND: StoredKind(2, START, START, ("b", "a"), SAMPLE, (HOUR, 2))}


async def test_failures_are_counted_by_the_hour_the_newest_first(bench: Bench) -> None:
    store, fences = bench.store, await take(bench, *"abcdef")
    bench.clock.advance((HOUR + 1) * HOUR_MS - 1 - START)
    await store.settle(Q, [failed(fences[0]), failed(fences[1])])
    assert (await kinds(bench))[KIND].hours == (HOUR, 2)
    bench.clock.advance(1)
    await store.settle(Q, [failed(fences[2])])
    assert (await kinds(bench))[KIND].hours == (HOUR + 1, 1, 2)
    bench.clock.advance(2 * HOUR_MS)
    await store.settle(Q, [failed(fences[3])])
    assert (await kinds(bench))[KIND].hours == (HOUR + 3, 1, 0, 1, 2)
    # A clock that goes back counts in the newest hour.
    bench.clock.advance(-HOUR_MS)
    await store.settle(Q, [failed(fences[4])])
    assert (await kinds(bench))[KIND].hours == (HOUR + 3, 2, 0, 1, 2)
    assert (await bench.dump()).kinds[KIND].hours == (HOUR + 3, 2, 0, 1, 2)


@pytest.mark.parametrize("later", [HOURS_KEPT - 1, HOURS_KEPT, 10 * HOURS_KEPT])
async def test_so_many_hours_of_a_kind_are_kept(bench: Bench, later: int) -> None:
    a, b = await take(bench, "a", "b")
    await bench.store.settle(Q, [failed(a)])
    bench.clock.advance(later * HOUR_MS)
    await bench.store.settle(Q, [failed(b)])
    oldest = (1,) if later < HOURS_KEPT else (0,)
    expected = (HOUR + later, 1, *(HOURS_KEPT - 2) * (0,), *oldest)
    assert (await kinds(bench))[KIND].hours == expected


async def test_the_kinds_not_seen_for_longest_go_when_there_are_too_many(bench: Bench) -> None:
    names = [f"{n:012x}" for n in range(KINDS_KEPT)]
    fences = await take(bench, *(f"t{n}" for n in range(KINDS_KEPT)), "seen", "x", "y")
    *many, seen, x, y = fences
    for start in range(0, KINDS_KEPT, 250):
        part = slice(start, start + 250)
        outcomes = [failed(f, k) for f, k in zip(many[part], names[part], strict=True)]
        await bench.store.settle(Q, outcomes)
        bench.clock.advance(1)
    assert len(await kinds(bench)) == KINDS_KEPT
    # The first of all is seen again, and what came after it is the oldest.
    await bench.store.settle(Q, [failed(seen, names[0])])
    bench.clock.advance(1)
    await bench.store.settle(Q, [failed(x, KIND), failed(y, OTHER)])
    found = await kinds(bench)
    assert [*found][:3] == [KIND, OTHER, names[0]]
    assert {*found} == {KIND, OTHER, names[0], *names[3:]}
    assert found[names[0]].count == 2
    assert {*(await bench.dump()).kinds} == {*found}


async def test_a_batch_of_too_many_kinds_keeps_as_many_as_there_may_be(bench: Bench) -> None:
    count = KINDS_KEPT + 3
    fences = await take(bench, *(f"t{n}" for n in range(count)))
    names = [f"{n:012x}" for n in range(count)]
    outcomes = [failed(fence, kind) for fence, kind in zip(fences, names, strict=True)]
    await bench.store.settle(Q, outcomes)
    assert [*await kinds(bench)] == names[:2:-1]


async def test_a_flush_forgets_the_kinds(bench: Bench) -> None:
    await bench.store.settle(Q, [failed(await bench.active())])
    await bench.store.flush(Q)
    assert await kinds(bench) == {}
    await bench.store.settle(Q, [failed(await bench.active())])
    assert (await kinds(bench))[KIND].count == 1


async def test_a_queue_that_is_removed_has_no_kinds(bench: Bench) -> None:
    await bench.store.settle(Q, [failed(await bench.active())])
    await bench.store.delete(Q, ["t"])
    assert [*await kinds(bench)] == [KIND]
    assert (await bench.store.remove_queue(Q, received={})).removed
    assert await kinds(bench) == {}


async def test_the_record_of_the_attempt_has_the_kind(bench: Bench) -> None:
    await bench.store.settle(Q, [failed(await bench.active(), final=False)])
    await bench.store.promote(Q, limit=1)
    [lease] = await bench.take()
    await bench.store.settle(Q, [Released(lease.fence, b"d")])
    [lease] = await bench.take()
    await bench.store.settle(Q, [failed(lease.fence, OTHER)])
    assert [one.kind for one in (await bench.record()).attempts] == [KIND, "", OTHER]


async def test_a_failure_without_a_record_is_counted(bench: Bench) -> None:
    await bench.store.settle(Q, [failed(await bench.active(), detail=b"")])
    assert (await bench.record()).attempts == ()
    assert (await kinds(bench))[KIND].count == 1


async def test_a_scan_chooses_the_tasks_whose_last_attempt_is_of_a_kind(bench: Bench) -> None:
    a, b, c, d = await take(bench, "a", "b", "c", "d")
    await bench.store.settle(
        Q,
        [failed(a), failed(b, OTHER), failed(c, final=False), failed(d, "", detail=KIND.encode())],
    )
    await bench.add("new")
    await bench.store.promote(Q, limit=1)
    [lease] = [each for each in await bench.take(9) if each.fence.id == "c"]
    await bench.store.settle(Q, [failed(lease.fence, OTHER)])

    async def found(kind: str, **options: bool) -> list[str]:
        scanned = await bench.store.scan(Q, State.DEAD, limit=9, where=Where(kind=kind), **options)
        assert scanned.looked_at == 4
        return [record.id for record in scanned.records]

    assert await found(KIND) == ["a"]
    assert await found(OTHER) == ["b", "c"]
    assert await found(OTHER, newest=True) == ["c", "b"]
    assert await found("ffffffffffff") == []
    assert sorted(await found("")) == ["a", "b", "c", "d"]
    assert (await bench.store.scan(Q, State.ACTIVE, limit=9, where=Where(kind=KIND))).records == ()
