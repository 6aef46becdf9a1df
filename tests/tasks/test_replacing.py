"""A new task in the place of one that is dead or cancelled: one step."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import rediq_trio as rediq
from rediq_trio import (
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


async def cancelled(client: rediq.Client, **options: Any) -> rediq.TaskHandle[Any]:
    handle: rediq.TaskHandle[Any] = await client.enqueue(Task("t", {"a": 1}, **options))
    await handle.cancel()
    return handle


async def test_a_task_is_replaced_in_its_queue_or_in_another_one() -> None:
    async with rediq.connect("memory://") as client:
        first = await cancelled(client, priority=7, metadata={"m": "x"}, limit_key="k")
        ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=60)
        second = await first.enqueue_again(replace=True, payload={"a": 2}, expires=ends)
        with pytest.raises(TaskNotFound):
            await first.info()
        info = await second.info()
        assert (info.queue, info.state, info.payload) == ("default", State.PENDING, {"a": 2})
        assert (info.priority, info.metadata, info.limit_key) == (7, {"m": "x"}, "k")
        assert info.expires is not None
        assert abs((info.expires - ends).total_seconds()) < 10
        await second.cancel()
        third = await second.enqueue_again(replace=True, queue="other")
        stats = await client.queue("default").stats()
        assert (third.queue, stats.cancelled, stats.pending, stats.deleted) == ("other", 0, 0, 2)
        assert await client.queue("default").check() == []


async def test_what_cannot_be_replaced_stays() -> None:
    async with rediq.connect("memory://") as client:
        waiting: rediq.TaskHandle[Any] = await client.enqueue(Task("t"))
        with pytest.raises(TaskStateError, match=r"is pending, and must be dead or cancelled"):
            await waiting.enqueue_again(replace=True)
        unique = await cancelled(client, unique=Unique("k"))
        with pytest.raises(TaskStateError, match=r"its unique key could not be held.*leave replace out"):
            await unique.enqueue_again(replace=True)
        past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        for changes, text in (
            ({"unique": None}, "unique cannot be changed with replace=True"),
            ({"delay": 5}, "delay cannot be changed with replace=True"),
            ({"priorty": 5}, r"did you mean priority\?"),
            ({"priority": 101}, "priority=101"),
            ({"expires": past}, "must be in the future"),
        ):
            options: Any = changes
            with pytest.raises(ConfigError, match=text):
                await unique.enqueue_again(replace=True, **options)
        with pytest.raises(ConfigError, match=r"replace='yes': must be True or False"):
            await unique.enqueue_again(replace="yes")  # type: ignore[arg-type]  # pyright: ignore
        stats = await client.queue("default").stats()
        assert (stats.pending, stats.cancelled) == (1, 1)


class Reviving(MemoryStore):
    """A store in which someone retries and cancels the task again just before it is replaced."""

    async def requeue(self, queue: str, /, task_id: str, **options: Any) -> Requeued:
        await self.revive(queue, [task_id])
        return await super().requeue(queue, task_id, **options)


class Deleting(MemoryStore):
    """A store in which someone deletes the task just before it is replaced."""

    async def requeue(self, queue: str, /, task_id: str, **options: Any) -> Requeued:
        await self.delete(queue, [task_id])
        return await super().requeue(queue, task_id, **options)


class Losing(MemoryStore):
    """A store that replaces a task, and loses its answer."""

    async def requeue(self, queue: str, /, task_id: str, **options: Any) -> Requeued:
        await super().requeue(queue, task_id, **options)
        raise ConnectionLost("lost")


@pytest.mark.parametrize(("store", "error"), [(Reviving, TaskChanged), (Deleting, TaskNotFound)])
async def test_what_others_did_before_is_found(
    store: type[MemoryStore], error: type[Exception]
) -> None:
    async with rediq.connect(store()) as client:
        handle = await cancelled(client)
        with pytest.raises(error):
            await handle.enqueue_again(replace=True)
        stats = await client.queue("default").stats()
        assert stats.enqueued == 1


async def test_a_lost_answer_loses_nothing() -> None:
    async with rediq.connect(Losing()) as client:
        handle = await cancelled(client)
        with pytest.raises(ConnectionLost):
            await handle.enqueue_again(replace=True)
        (mail,) = await client._store.outbox("default", limit=10)
        assert mail.queue == "default"
        assert mail.task is not None
