"""A task with what its queue knows about it beside its record."""

from __future__ import annotations

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Relations, Until
from rediq_trio.spec.records import Lock
from rediq_trio.store.reads import description
from rediq_trio.store.reads.description import Description

from .bench import START, Bench, Q, new


async def described(bench: Bench, task_id: str = "t") -> Description:
    found = await bench.store.description(Q, task_id)
    assert found is not None
    return found


async def test_a_task_that_is_not_there_is_not_described(bench: Bench) -> None:
    assert await bench.store.description(Q, "nobody") is None


async def test_a_description_holds_the_whole_record_and_its_instant(bench: Bench) -> None:
    await bench.active("t")
    bench.clock.advance(7)
    found = await described(bench)
    assert found.now_ms == START + 7
    assert found.record == await bench.record()
    assert attrs.astuple(found, recurse=False)[2:] == (None, 0, (), ())


async def test_the_holder_of_the_unique_key_is_named(bench: Bench) -> None:
    await bench.add("t", relations=Relations(unique="k"))
    await bench.add("other", relations=Relations(limit_key="k"))
    assert (await described(bench)).lock == Lock("t")
    assert (await described(bench, "other")).lock is None
    await bench.store.cancel(Q, "t")
    assert (await described(bench)).lock is None
    key = Relations(unique="k", until=Until.EXPIRED, ttl_ms=50)
    await bench.add("next", relations=key)
    bench.clock.advance(60)
    for task_id in ("t", "next"):
        assert (await described(bench, task_id)).lock == Lock("next", START + 50)


async def test_dependents_and_what_is_awaited_are_named(bench: Bench) -> None:
    await bench.add("a", delay_ms=5)
    await bench.add("t", relations=Relations(needs=("a", "other/x")))
    await bench.add("below", relations=Relations(needs=("t",)))
    found = await described(bench)
    assert found.needs == (("a", State.SCHEDULED), ("other/x", None))
    assert (found.dependent_count, found.dependents) == (1, ("below",))
    assert (await described(bench, "below")).needs == (("t", State.BLOCKED),)
    assert (await described(bench, "a")).dependents == ("t",)


async def test_of_many_dependents_some_are_named(bench: Bench) -> None:
    most = description.NAMED_RELATED
    await bench.add("a", delay_ms=5)
    below = [new(f"d{n:04}", relations=Relations(needs=("a",))) for n in range(most + 1)]
    await bench.store.enqueue(Q, below[:-1])
    await bench.store.enqueue(Q, below[-1:])
    found = await described(bench, "a")
    assert found.dependent_count == most + 1
    assert found.dependents == tuple(one.id for one in below[:-1])


async def test_of_many_dependencies_some_are_looked_at(bench: Bench) -> None:
    most, read = description.NAMED_RELATED, description.NEEDS_READ
    ids = [f"n{n:04}" for n in range(most + 1)]
    await bench.add(*ids[:-1])
    await bench.add(ids[-1])
    await bench.add("t", relations=Relations(needs=tuple(ids)))
    found = await described(bench)
    assert [ref for ref, _ in found.needs] == ids[:-1]
    states = [state for _, state in found.needs]
    assert states == [State.PENDING] * read + [None] * (most - read)


@pytest.mark.parametrize("state", [State.COMPLETED, State.DEAD, State.CANCELLED])
async def test_a_task_that_has_ended_is_described(bench: Bench, state: State) -> None:
    await bench.ended("t", state)
    assert (await described(bench)).record == await bench.record()
