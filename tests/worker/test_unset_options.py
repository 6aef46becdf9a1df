"""Options that a producer by name leaves unset are those of the handler that runs the task."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import Encryption, MemoryStore, State
from rediq_trio.values.backoff import DEFAULT_BACKOFF

pytestmark = pytest.mark.mock_clock

SLOW = 100.0


def app() -> rediq.App:
    made = rediq.App()

    @made.task("slow", timeout=10, max_retry=0)
    async def slow() -> None:
        await trio.sleep(SLOW)

    @made.task("boom", max_retry=7, backoff=rediq.Fixed(60))
    async def boom() -> None:
        raise OSError(f"of {rediq.current_task().max_retry}")

    @made.task("once", max_retry=0)
    async def once() -> None:
        raise OSError(f"of {rediq.current_task().max_retry}")

    @made.task("short", retention=5)
    async def short() -> str:
        return "done"

    @made.task("gone", retention=0)
    async def gone() -> str:
        return "done"

    return made


async def ended(
    *tasks: rediq.Task[Any], encryption: Encryption | None = None
) -> list[rediq.TaskInfo]:
    async with rediq.serve(app(), MemoryStore(), encryption=encryption) as server:
        handles = await server.client.enqueue_many(tasks)
        found = [await handle.wait() for handle in handles]
        assert await server.client.queue("default").check() == []
        return found


@pytest.mark.parametrize("encryption", [None, Encryption(keys=[b"k" * 32])])
async def test_the_handlers_options_apply(encryption: Encryption | None) -> None:
    slow, boom, once = await ended(
        rediq.Task("slow", {}), rediq.Task("boom", {}, metadata={"a": "b"}), rediq.Task("once", {}),
        encryption=encryption,
    )  # fmt: skip
    assert (slow.state, slow.error) == (State.DEAD, "timeout: it took longer than 10 s")
    assert (slow.attempt, slow.max_retry) == (1, 0)
    assert (boom.state, boom.attempt, boom.max_retry) == (State.DEAD, 8, 7)
    assert boom.error is not None
    assert "of 7" in boom.error
    assert boom.started_at is not None
    assert 420 <= (boom.started_at - boom.created_at).total_seconds() < 422
    assert (once.state, once.attempt, once.max_retry) == (State.DEAD, 1, 0)


async def test_what_the_producer_sets_applies_also_if_it_equals_the_default() -> None:
    slow, boom, once = await ended(
        rediq.Task("slow", {}, timeout=30.0),
        rediq.Task("boom", {}, max_retry=3, backoff=rediq.Exponential()),
        rediq.Task("once", {}, max_retry=3, retention=3600.0),
    )
    assert slow.error == "timeout: it took longer than 30 s"
    assert (boom.attempt, boom.max_retry) == (4, 3)
    assert boom.started_at is not None
    assert (boom.started_at - boom.created_at).total_seconds() < 30
    assert (once.attempt, once.max_retry) == (4, 3)


async def test_options_override_those_of_the_handler() -> None:
    made = app()
    task_type = made.handler("boom").options(max_retry=3, timeout=30)
    (info,) = await ended(task_type.task())
    assert (info.attempt, info.max_retry) == (4, 3)


async def test_the_retention_of_the_handler_applies() -> None:
    store = MemoryStore()
    async with rediq.serve(app(), store) as server:
        client = server.client

        async def lifetime(task: rediq.Task[Any]) -> float:
            handle = await client.enqueue(task)
            while (
                record := (await store.get("default", [handle.id.partition("/")[2]]))[0]
            ) is None or (record.state is not State.COMPLETED):
                if record is None:
                    return 0.0
                await trio.sleep(0.01)
            return (record.purge_ms - record.finished_ms) / 1000

        assert await lifetime(rediq.Task("short", {})) == 5
        assert await lifetime(rediq.Task("short", {}, retention=7)) == 7
        assert await lifetime(rediq.Task("short", {}, retention=3600)) == pytest.approx(
            3600, abs=0.002
        )
        assert await lifetime(rediq.Task("gone", {})) == 0


async def test_a_batch_of_tasks_by_name_has_the_options_of_its_handler() -> None:
    made = rediq.App()

    @made.task("many", timeout=10, max_retry=0)
    async def many(payloads: list[Any]) -> None:
        await trio.sleep(SLOW)

    async with rediq.serve(made, MemoryStore()) as server:
        client = server.client
        for n in range(10):
            await client.enqueue(rediq.Task("many", n, group="g"))
        while not (found := await client.queue("default").tasks(state=State.DEAD)):
            await trio.sleep(1)
    assert [(info.error, info.attempt) for info in found] == [
        ("timeout: it took longer than 10 s", 1)
    ]


async def test_an_aggregator_enqueues_again_what_was_left_unset() -> None:
    made = app()
    seen: list[rediq.Task[Any]] = []

    @made.aggregator("g", max_size=1)
    async def one(tasks: list[rediq.Task[Any]]) -> rediq.Task[Any]:
        seen.extend(tasks)
        return rediq.Task(
            "boom", {}, max_retry=tasks[0].max_retry, timeout=tasks[0].timeout,
            retention=tasks[0].retention, backoff=tasks[0].backoff,
        )  # fmt: skip

    async with rediq.serve(made, MemoryStore()) as server:
        await server.client.enqueue(rediq.Task("boom", {}, group="g"))
        while not (found := await server.client.queue("default").tasks(state=State.DEAD)):
            await trio.sleep(1)
    assert [info.attempt for info in found] == [8]
    assert seen[0].backoff is DEFAULT_BACKOFF


def test_a_task_shows_its_options_as_before() -> None:
    task: rediq.Task[Any] = rediq.Task("t")
    assert (task.timeout, task.max_retry, task.retention) == (30.0, 3, 3600.0)
    assert "timeout=30.0" in repr(task)
    assert task == rediq.Task(
        "t", timeout=30, max_retry=3, retention=3600, backoff=rediq.Exponential()
    )
    assert rediq.Task("t", timeout=math.inf).timeout == math.inf
