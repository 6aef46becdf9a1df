"""The tasks in one state, read with their records, forwards and backwards, by a filter."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Relations, Report
from rediq_trio.spec.records import Place, place_of
from rediq_trio.spec.stored_format import ENCRYPTED_ERROR
from rediq_trio.store.reads.scan import BATCH_HEAD, SCAN_BYTES, SCAN_STEP, Scanned, Where

from .bench import START, Bench, Q, failed

UUID7 = "018f3b2c-0000-7abc-8def-0123456789ab"


async def scan(bench: Bench, state: State = State.PENDING, **options: Any) -> list[str]:
    """Return the ids that one step of a scan finds."""
    found = await bench.store.scan(Q, state, **{"limit": 9, **options})
    return [record.id for record in found.records]


async def pages(bench: Bench, state: State, size: int, *, newest: bool) -> list[str]:
    """Read a state's tasks step by step."""
    ids: list[str] = []
    last: Place | None = None
    while True:
        found = await bench.store.scan(Q, state, limit=size, after=last, newest=newest)
        assert found.looked_at == len(found.records) <= size
        ids += [record.id for record in found.records]
        assert found.last == (place_of(found.records[-1]) if found.records else None)
        if found.over:
            return ids
        last = found.last


async def test_a_step_says_what_it_read(bench: Bench) -> None:
    await bench.add("a", "b", "c")
    found = attrs.evolve(await bench.store.scan(Q, State.PENDING, limit=2), cost=0)
    records = (await bench.record("a"), await bench.record("b"))
    assert found == Scanned(START, 3, 2, place_of(records[1]), False, records)
    bench.clock.advance(7)
    found = attrs.evolve(await bench.store.scan(Q, State.PENDING, limit=0), cost=0)
    assert found == Scanned(START + 7, 3, 0, None, False, ())
    found = attrs.evolve(await bench.store.scan(Q, State.DEAD, limit=0), cost=0)
    assert found == Scanned(START + 7, 0, 0, None, True, ())


@pytest.mark.parametrize("size", [1, 2, 3, 5])
async def test_a_scan_goes_along_both_indexes_of_pending_tasks(bench: Bench, size: int) -> None:
    await bench.add("p", "q")
    for task_id, key in (("b1", "b"), ("a1", "a"), ("a2", "a")):
        await bench.add(task_id, relations=Relations(limit_key=key))
    expected = ["p", "q", "a1", "a2", "b1"]
    assert await pages(bench, State.PENDING, size, newest=False) == expected
    assert await pages(bench, State.PENDING, size, newest=True) == expected[::-1]


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_a_scan_goes_group_by_group(bench: Bench, size: int) -> None:
    for task_id, group in (("h1", "h"), ("g1", "g"), ("g2", "g")):
        await bench.add(task_id, relations=Relations(group=group))
    assert await pages(bench, State.GROUPED, size, newest=False) == ["g1", "g2", "h1"]
    assert await pages(bench, State.GROUPED, size, newest=True) == ["h1", "g2", "g1"]


@pytest.mark.parametrize("newest", [False, True])
async def test_a_place_is_held_by_a_task_that_has_gone(bench: Bench, *, newest: bool) -> None:
    for n, own in enumerate(("d", "b", "bb", "a", UUID7, "c", UUID7.upper())):
        await bench.add(own, run_at_ms=START + 5 + n // 5)
    ids = await pages(bench, State.SCHEDULED, 9, newest=newest)
    records = {own: await bench.record(own) for own in ids}
    for left in (ids, ids[1::2]):
        await bench.store.delete(Q, [own for own in ids if own not in left] or ["nobody"])
        for n, (own, record) in enumerate(records.items()):
            page = await scan(bench, State.SCHEDULED, after=place_of(record), newest=newest)
            assert page == [other for other in left if other in ids[n + 1 :]], own
    await bench.store.flush(Q)
    place = place_of(records[ids[0]])
    assert await scan(bench, State.SCHEDULED, after=place, newest=newest) == []


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("state", [State.PENDING, State.GROUPED])
async def test_a_place_among_tasks_of_lanes_is_held(
    bench: Bench, state: State, *, newest: bool
) -> None:
    lane = "limit_key" if state is State.PENDING else "group"
    for own, key in (("p", ""), ("q", ""), ("b1", "b"), ("a1", "a"), ("a2", "a"), ("long", "aa")):
        if key or state is State.PENDING:
            await bench.add(own, relations=Relations(**{lane: key}))
    ids = await pages(bench, state, 9, newest=newest)
    records = {own: await bench.record(own) for own in ids}
    for gone in range(2):
        for n, record in enumerate(records.values()):
            page = await scan(bench, state, after=place_of(record), newest=newest)
            assert page == [own for own in ids[n + 1 :] if not gone or own not in ids[::2]]
        await bench.store.delete(Q, ids[::2])


async def test_a_place_stays_where_its_task_was(bench: Bench) -> None:
    await bench.add("a", "b", "c")
    place = place_of(await bench.record("a"))
    leases = await bench.take(1)
    await bench.store.settle(Q, [failed(leases[0].fence, delay_ms=0)])
    await bench.store.promote(Q, limit=9)
    assert await scan(bench) == ["b", "c", "a"]
    assert await scan(bench, limit=2, after=place) == ["b", "c"]
    assert await scan(bench, after=place, newest=True) == []


async def test_a_scan_reads_all_that_is_stored_of_a_task(bench: Bench) -> None:
    """The same records as those that are read by their ids."""
    for state in (State.COMPLETED, State.DEAD, State.CANCELLED):
        await bench.ended(state, state)
    fence = await bench.active("active", envelope=b"long" * 500, relations=Relations(limit_key="k"))
    await bench.store.report(Q, [Report(fence, b"half")])
    await bench.store.remember(Q, fence, ("step", b"done"))
    await bench.add("first")
    await bench.add("scheduled", delay_ms=5)
    await bench.add("blocked", relations=Relations(needs=("first", "scheduled")))
    [lease] = await bench.take()
    await bench.store.settle(Q, [Completed(lease.fence, b"result")])
    await bench.add("grouped", relations=Relations(group="g"))
    for state in State:
        found = await bench.store.scan(Q, state, limit=9)
        ids = [record.id for record in found.records]
        assert found.records == await bench.store.get(Q, ids), state
        counts = {State.PENDING: 0, State.RETRY: 0, State.COMPLETED: 2}
        assert len(ids) == counts.get(state, 1)


async def test_a_step_has_its_bound(bench: Bench) -> None:
    await bench.add(*[f"t{n}" for n in range(SCAN_STEP + 1)])
    found = await bench.store.scan(Q, State.PENDING, limit=1000)
    assert (found.looked_at, len(found.records), found.over) == (SCAN_STEP, SCAN_STEP, False)


async def test_a_step_over_large_tasks_may_end_early_but_not_before_the_first(bench: Bench) -> None:
    await bench.add(*"abcd", envelope=b"e" * (SCAN_BYTES // 2))
    found = await bench.store.scan(Q, State.PENDING, limit=3)
    assert 1 <= found.looked_at <= 3
    assert [record.id for record in found.records] == [*"abc"[: found.looked_at]]
    assert found.last is not None
    assert (found.last.id, found.over) == ("abc"[found.looked_at - 1], False)


async def test_tasks_are_chosen_by_priority(bench: Bench) -> None:
    await bench.add("a", priority=0)
    await bench.add("b", priority=7)
    assert await scan(bench, where=Where(priority=7)) == ["b"]
    assert await scan(bench, where=Where(priority=0)) == ["a"]


async def test_tasks_are_chosen_by_their_limit_key(bench: Bench) -> None:
    await bench.add("plain")
    await bench.add("related", relations=Relations(unique="u"))
    for key in ("k", "kk"):
        await bench.add(key, relations=Relations(limit_key=key))
    assert await scan(bench, where=Where(limit_key="k")) == ["k"]


async def test_tasks_are_chosen_by_a_part_of_their_error(bench: Bench) -> None:
    for own, error in (("a", "no %d+ here"), ("b", "No"), ("c", "x")):
        fence = await bench.active(own)
        await bench.store.settle(Q, [failed(fence, error, final=True)])
    assert await scan(bench, State.DEAD, where=Where(error="%d+")) == ["a"]
    assert await scan(bench, State.DEAD, where=Where(error="o")) == ["a", "b"]


async def test_an_encrypted_error_is_left_to_those_with_the_keys(bench: Bench) -> None:
    for own, error in (("a", f"{ENCRYPTED_ERROR}x"), ("b", f"no {ENCRYPTED_ERROR}"), ("c", "y")):
        fence = await bench.active(own)
        await bench.store.settle(Q, [failed(fence, error, final=True)])
    assert await scan(bench, State.DEAD, where=Where(error="z")) == ["a"]
    assert await scan(bench, State.DEAD, where=Where(error="no")) == ["a", "b"]


async def test_tasks_are_chosen_by_the_type_in_their_envelope(bench: Bench) -> None:
    await bench.add("a", envelope=b"\x93\x01\xa1a...")
    await bench.add("ab", envelope=b"\x93\x01\xa2ab...")
    await bench.add("long", envelope=b"\x93\x01\xa1a" + b"." * 600)
    await bench.add("batch", envelope=BATCH_HEAD + b"...")
    await bench.add("other", envelope=b"\x01\xa1a")
    assert await scan(bench, where=Where(type_head=b"\xa1a")) == ["a", "long", "batch"]


async def test_tasks_are_chosen_by_their_age(bench: Bench) -> None:
    for n in range(3):
        await bench.add(f"w{n}")
        bench.clock.advance(10)
    assert await scan(bench, where=Where(since_ms=START + 10)) == ["w1", "w2"]
    assert await scan(bench, where=Where(until_ms=START + 10)) == ["w0", "w1"]
    leases = await bench.take(3)
    for lease in leases:
        await bench.store.settle(Q, [failed(lease.fence, final=True)])
        bench.clock.advance(10)
    # Those that have ended, by their end.
    assert await scan(bench, State.DEAD, where=Where(since_ms=START + 40)) == ["w1", "w2"]
    assert await scan(bench, State.DEAD, where=Where(until_ms=START + 40)) == ["w0", "w1"]


async def test_tasks_are_chosen_by_when_they_entered_their_state(bench: Bench) -> None:
    await bench.add("a", "b")
    bench.clock.advance(10)
    await bench.add("late")
    [lease] = await bench.take()
    await bench.store.settle(Q, [failed(lease.fence, delay_ms=5)])
    assert await scan(bench, where=Where(entered_by_ms=START)) == ["b"]
    assert await scan(bench, where=Where(entered_by_ms=START + 10)) == ["b", "late"]
    assert await scan(bench, State.RETRY, where=Where(entered_by_ms=START + 9)) == []
    assert await scan(bench, State.RETRY, where=Where(entered_by_ms=START + 10)) == ["a"]
    bench.clock.advance(10)
    [lease] = await bench.take()
    bench.clock.advance(5)
    await bench.store.settle(Q, [failed(lease.fence, final=True)])
    assert await scan(bench, State.DEAD, where=Where(entered_by_ms=START + 24)) == []
    assert await scan(bench, State.DEAD, where=Where(entered_by_ms=START + 25)) == ["b"]
