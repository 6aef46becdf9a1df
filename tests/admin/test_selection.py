"""Selections: what is done to many tasks is done to those that were there, and to no other."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import rediq_trio as rediq
from rediq_trio import BulkProgress, ConfigError, MemoryStore, State, Task, Unique
from rediq_trio.spec.messages import Completed, Failed, Relations
from rediq_trio.store.port import Store
from tests.conformance.bench import Clock, failed, new
from tests.servers import Server, open_redis_store, require_any_server

Q = "q"


@attrs.frozen
class Place:
    """A store with a clock of the test, and a client on it."""

    store: Store
    clock: Clock
    client: rediq.Client

    @property
    def queue(self) -> rediq.Queue:
        return self.client.queue(Q)

    async def die(self, *ids: str, queue: str = Q) -> None:
        """Make pending tasks dead."""
        while leases := (
            await self.store.claim(queue, limit=100, lease_ms=99, worker="w", nonce=b"12345678")
        ).leases:
            outcomes: list[Failed | Completed] = [
                failed(lease.fence, final=True)
                if not ids or lease.fence.id in ids
                else Completed(lease.fence, b"")
                for lease in leases
            ]
            await self.store.settle(queue, outcomes)

    async def ids(self, state: str, queue: str = Q) -> set[str]:
        found = await self.client.queue(queue).tasks(state, limit=1000)
        return {info.id.partition("/")[2] for info in found}


@pytest.fixture(params=["memory", "redis"])
def opened(
    request: pytest.FixtureRequest, start_server: Callable[[str], Server]
) -> Callable[[], Any]:
    @asynccontextmanager
    async def open_place() -> AsyncGenerator[Place]:
        clock = Clock()
        if request.param == "memory":
            store = MemoryStore(clock)
            async with rediq.connect(store) as client:
                yield Place(store, clock, client)
            return
        server = start_server(require_any_server())
        prefix = f"select-{uuid.uuid4().hex[:8]}"
        async with (
            open_redis_store(server, clock=clock, prefix=prefix) as one,
            rediq.connect(one.store) as client,
        ):
            yield Place(one.store, clock, client)

    return open_place


async def last(run: AsyncIterator[BulkProgress]) -> BulkProgress:
    """Let a change run to its end; return the last progress."""
    steps = [step async for step in run]
    for before, after in pairwise(steps):
        assert before.done <= after.done
        assert before.looked_at <= after.looked_at
        assert before.of == after.of
    return steps[-1]


async def dead(place: Place, count: int, **options: Any) -> None:
    for first in range(0, count, 500):
        ids = [f"t{n}" for n in range(first, min(first + 500, count))]
        await place.store.enqueue(Q, [new(one, **options) for one in ids])
    await place.die()


async def test_what_was_selected_is_retried_and_what_died_later_is_not(opened: Any) -> None:
    async with opened() as place:
        await dead(place, 600)
        place.clock.advance(1)
        selection = await place.queue.select("dead")
        place.clock.advance(1)
        await place.store.enqueue(Q, [new("late")])
        await place.die()
        # One of them was revived by hand, and died again.
        await place.store.revive(Q, ["t7"])
        await place.die()
        assert await selection.count() == 599
        done = await last(selection.retry())
        assert (done.done, done.refused, done.of) == (599, 0, 600)
        assert await place.ids("dead") == {"late", "t7"}
        # To do it again does nothing.
        assert (await last(selection.retry())).done == 0
        await place.die()
        assert (await last(selection.retry())).done == 0
        assert (await last(selection.delete())).done == 0


@pytest.mark.parametrize("all_of_them", [False, True])
async def test_a_task_that_died_again_after_it_was_read_is_left(
    opened: Any, *, all_of_them: bool
) -> None:
    async with opened() as place:
        await dead(place, 3)
        store, delete = place.store, place.store.delete

        async def between(*args: Any, **options: Any) -> Any:
            place.clock.advance(1)
            await store.revive(Q, ["t1"])
            await place.die()
            return await delete(*args, **options)

        queue = rediq.Queue(store, Q)
        selection = await queue.select("dead")
        store.delete = between  # type: ignore[method-assign]
        try:
            if all_of_them:
                assert await queue.dead.purge() == 2
            else:
                assert (await last(selection.delete())).done == 2
        finally:
            del store.delete
        assert await place.ids("dead") == {"t1"}


async def test_a_change_can_be_left_and_done_again(opened: Any) -> None:
    async with opened() as place:
        await dead(place, 400)
        selection = await place.queue.select("dead")
        async for step in selection.delete():
            if step.done >= 100:
                break
        assert len(await place.ids("dead")) == 400 - step.done > 0
        with trio.CancelScope() as scope:
            async for _ in selection.delete():
                scope.cancel()
        assert scope.cancelled_caught
        await last(selection.delete())
        assert await place.ids("dead") == set()


async def test_a_filter_chooses_what_is_changed(opened: Any) -> None:
    async with opened() as place:
        tasks = [Task("t", {"n": n % 2}, id=f"t{n}", queue=Q, priority=n % 3) for n in range(30)]
        await place.client.enqueue_many(tasks)
        selection = await place.queue.select("pending", payload=("n", 1), priority=2)
        assert (await last(selection.cancel())).done == 5
        expected = {f"t{n}" for n in range(30) if n % 2 and n % 3 == 2}
        assert await place.ids("cancelled") == expected


async def test_tasks_that_depend_on_one_another_are_retried_whatever_their_order(
    opened: Any,
) -> None:
    async with opened() as place:
        # The one that is needed has the last id, and all die at the same time.
        await place.store.enqueue(Q, [new("z")])
        for one, needs in (("y", "z"), ("x", "y"), ("w", "x")):
            await place.store.enqueue(Q, [new(one, relations=Relations(needs=(needs,)))])
        await place.die()
        assert await place.ids("dead") == set("wxyz")
        selection = await place.queue.select("dead")
        preview = await selection.preview()
        assert preview.count == 4
        assert preview.retry.can == 1
        assert sum(preview.retry.cannot.values()) == 3
        done = await last(selection.retry())
        assert (done.done, done.refused) == (4, 0)
        assert await place.ids("blocked") == set("wxy")


async def test_a_preview_says_why_and_a_change_refuses_just_those(opened: Any) -> None:
    async with opened() as place:
        unique = Unique("key")
        await place.client.enqueue(Task("t", {}, id="keyed", queue=Q, unique=unique))
        await place.client.enqueue(Task("t", {}, id="free", queue=Q))
        await place.die()
        await place.client.enqueue(Task("t", {}, id="holder", queue=Q, unique=unique))
        selection = await place.queue.select("dead")
        found = await selection.preview()
        assert found.retry.can == 1
        assert dict(found.retry.cannot) == {"its unique key has another holder": 1}
        assert found.delete.can == 2
        assert dict(found.cancel.cannot) == {"it has ended": 2}
        assert dict(found.requeue.cannot) == {"it has a unique key": 1}
        moved = await last(selection.requeue("other"))
        assert (moved.done, moved.refused) == (1, 1)
        assert len(await place.ids("pending", "other")) == 1
        retried = await last(selection.retry())
        assert (retried.done, retried.refused, retried.of) == (0, 1, 2)
        await place.client.task(f"{Q}/holder").cancel()
        assert (await last(selection.retry())).done == 1


async def test_active_tasks_are_asked_to_stop(opened: Any) -> None:
    async with opened() as place:
        await place.store.enqueue(Q, [new("a"), new("b")])
        await place.store.claim(Q, limit=1, lease_ms=99, worker="w", nonce=b"12345678")
        selection = await place.queue.select("active")
        place.clock.advance(1)
        await place.store.claim(Q, limit=1, lease_ms=99, worker="w", nonce=b"12345678")
        assert (await last(selection.cancel())).done == 1
        asked = [r.id for r in await place.store.get(Q, ["a", "b"]) if r and r.cancel]
        assert asked == ["a"]
        with pytest.raises(ConfigError, match=r"delete\(\): the selection is of active tasks"):
            selection.delete()


async def test_all_partitions_are_changed(opened: Any) -> None:
    async with opened() as place:
        await place.queue.partition(3)
        tasks = [Task("t", {}, id=f"t{n}", queue=Q, delay=60) for n in range(40)]
        await place.client.enqueue_many(tasks)
        selection = await place.queue.select("scheduled")
        assert await selection.count() == 40
        moved = await last(selection.requeue("other"))
        assert (moved.done, moved.refused, moved.looked_at, moved.of) == (40, 0, 40, 40)
        assert len(await place.ids("scheduled", "other")) == 40
        assert repr(selection).startswith("<Selection of scheduled tasks of 'q' at 20")


@pytest.mark.mock_clock
async def test_a_rate_is_kept() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    async with rediq.connect(store) as client:
        place = Place(store, clock, client)
        await dead(place, 30)
        selection = await place.queue.select("dead")
        began = trio.current_time()
        steps = [
            (step.done, trio.current_time() - began) async for step in selection.retry(rate=10)
        ]
        assert steps[-1][0] == 30
        assert all(done <= 10 * (1 + at) for done, at in steps)
        assert 2 <= steps[-1][1] < 3


STEPS = st.lists(st.sampled_from(["die", "enqueue", "revive", "later"]), max_size=6)


@settings(max_examples=60)
@given(before=STEPS, after=STEPS, method=st.sampled_from(["delete", "retry"]))
def test_what_came_later_is_never_touched(before: Any, after: Any, method: str) -> None:
    async def main() -> None:
        clock = Clock()
        store = MemoryStore(clock)
        async with rediq.connect(store) as client:
            place = Place(store, clock, client)
            number = 0

            async def do(steps: list[str]) -> None:
                nonlocal number
                for step in steps:
                    clock.advance(1)
                    if step == "enqueue":
                        number += 1
                        await store.enqueue(Q, [new(f"t{number}")])
                    elif step == "revive":
                        await store.revive(Q, [f"t{number}"])
                    elif step == "die":
                        await place.die()

            await do(before)
            then = (await store.dump(Q)).records
            selection = await place.queue.select("dead")
            await do(after)
            now = (await store.dump(Q)).records
            kept = {one: record for one, record in now.items() if then.get(one) != record}
            same = {one for one, record in now.items() if then.get(one) == record}
            meant = {one for one in same if then[one].state is State.DEAD}
            steps = [step async for step in getattr(selection, method)()]
            assert (steps[-1].done if steps else 0) == len(meant)
            left = (await store.dump(Q)).records
            assert {one: left[one] for one in kept} == kept

    trio.run(main)


@pytest.mark.parametrize("rate", [0, -1, True, "5", float("nan"), 1_000_001])
async def test_a_bad_rate_is_refused(rate: Any) -> None:
    async with rediq.connect(MemoryStore()) as client:
        selection = await client.queue(Q).select("dead")
        with pytest.raises(ConfigError, match="rate"):
            selection.retry(rate=rate)
        with pytest.raises(ConfigError, match="queue"):
            selection.requeue(Q)
        with pytest.raises(ConfigError, match="selection is of dead tasks; select one of scheduled"):
            selection.cancel()
        with pytest.raises(ConfigError, match="queue"):
            selection.requeue("a b")
        with pytest.raises(ConfigError, match=r"select\(\): there is no option typ"):
            await client.queue(Q).select("dead", typ="a")  # type: ignore[call-arg]
