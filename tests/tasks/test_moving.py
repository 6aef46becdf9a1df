"""Moving a task to another queue by its handle."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

import rediq_trio as rediq
from rediq_trio import (
    Client,
    ConfigError,
    ConnectionLost,
    MemoryStore,
    State,
    Task,
    TaskChanged,
    TaskNotFound,
    TaskStateError,
    Unique,
)
from rediq_trio.spec.messages import Requeued
from tests.opened import Opened


@asynccontextmanager
async def _open() -> AsyncIterator[Client]:
    async with rediq.connect("memory://") as client:
        yield client


@pytest.fixture
def client() -> Opened:
    return Opened(_open)


async def test_a_task_moves_with_its_payload_options_and_ends(client: Client) -> None:
    task = Task("t", {"a": 1}, delay=60, deadline=100, priority=7, metadata={"m": "x"})
    handle = await client.enqueue(task)
    before = await handle.info()
    moved = await handle.requeue("other")
    after = await moved.info()
    assert (moved.queue, after.state, after.priority) == ("other", State.SCHEDULED, 7)
    assert (after.run_at, after.deadline) == (before.run_at, before.deadline)
    assert after.metadata == {"m": "x"}
    with pytest.raises(TaskNotFound):
        await handle.info()
    await moved.cancel()
    ready = await (await moved.requeue("third")).info()
    assert (ready.state, ready.deadline) == (State.PENDING, None)


async def test_a_task_moves_into_a_partition(client: Client) -> None:
    await client.queue("parts").partition(2)
    handle = await client.enqueue(Task("t"))
    assert (await handle.requeue("parts")).id.startswith("parts~")
    keyed = await client.enqueue(Task("t", limit_key="k"))
    with pytest.raises(ConfigError, match=r"limit_key='k': must be None: the queue parts"):
        await keyed.requeue("parts")


async def test_a_task_that_has_to_stay_in_its_queue_stays(client: Client) -> None:
    unique = await client.enqueue(Task("t", unique=Unique("k")))
    with pytest.raises(TaskStateError, match=r"is pending.*its unique key stays in its queue"):
        await unique.requeue("other")
    needed = await client.enqueue(Task("t"))
    blocked = await client.enqueue(Task("t", depends_on=needed))
    with pytest.raises(TaskStateError, match=r"what other tasks depend on stays"):
        await needed.requeue("other")
    with pytest.raises(TaskStateError, match=r"is blocked, and must be scheduled, pending"):
        await blocked.requeue("other")
    for queue, text in (("default", "another queue than that of"), ("a b", "must be 1 to 128")):
        with pytest.raises(ConfigError, match=text):
            await needed.requeue(queue)
    with pytest.raises(TaskNotFound):
        await client.task("q/none").requeue("other")


class Changing(MemoryStore):
    """A store in which someone changes the task just before it is moved."""

    async def requeue(self, queue: str, /, task_id: str, **options: Any) -> Requeued:
        seen = options["seen"]
        await self.update(queue, task_id, seen=seen, new=attrs.evolve(seen, priority=9))
        return await super().requeue(queue, task_id, **options)


class Losing(MemoryStore):
    """A store that moves a task, and loses its answer once."""

    lost = False

    async def requeue(self, queue: str, /, task_id: str, **options: Any) -> Requeued:
        answer = await super().requeue(queue, task_id, **options)
        if not self.lost:
            self.lost = True
            raise ConnectionLost("lost")
        return answer


async def test_a_change_before_the_move_is_found() -> None:
    async with rediq.connect(Changing()) as client:
        handle = await client.enqueue(Task("t"))
        with pytest.raises(TaskChanged, match=r"since it was read: priority"):
            await handle.requeue("other")
        assert (await handle.info()).priority == 9


async def test_a_move_whose_answer_is_lost_is_made_once() -> None:
    async with rediq.connect(Losing()) as client:
        handle = await client.enqueue(Task("t"))
        moved = await handle.requeue("other")
        assert (await moved.info()).state is State.PENDING
        assert (await client.queue("other").stats()).pending == 1
