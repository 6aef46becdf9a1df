"""Changing a waiting task by its handle: what is raised, and in which words."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import rediq_trio as rediq
from rediq_trio import Client, ConfigError, State, Task, TaskNotFound, TaskStateError
from rediq_trio.spec.lifecycle import TERMINAL
from tests.opened import Opened


@asynccontextmanager
async def _open() -> AsyncIterator[Client]:
    async with rediq.connect("memory://") as client:
        yield client


@pytest.fixture
def client() -> Opened:
    return Opened(_open)


async def test_a_scheduled_task_runs_now(client: Client) -> None:
    handle = await client.enqueue(Task("t", delay=60))
    assert await handle.run_now() is True
    assert (await handle.info()).state is State.PENDING
    assert await handle.run_now() is False


async def test_a_task_is_rescheduled(client: Client) -> None:
    handle = await client.enqueue(Task("t"))
    at = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=2)
    assert await handle.reschedule(run_at=at) is State.SCHEDULED
    assert (await handle.info()).run_at == at
    assert await handle.reschedule(delay=dt.timedelta(hours=1)) is State.SCHEDULED
    assert (await handle.info()).run_at < at
    assert await handle.reschedule(run_at=at - dt.timedelta(days=9)) is State.PENDING


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({}, "pass delay or run_at"),
        ({"delay": 1, r"run_at": dt.datetime.now(dt.UTC)}, "run_at=.*left out if delay is given"),
        ({"delay": -1}, "delay=-1: must be a number of seconds from 0"),
        ({"delay": 400 * 86_400}, r"delay=34560000.*1 year"),
        ({"run_at": dt.datetime.now()}, r"run_at=.*a datetime with a time zone"),
        ({"run_at": dt.datetime.now(dt.UTC) + dt.timedelta(400)}, r"run_at=.*at most 1 year ahead"),
    ],
)
async def test_a_bad_time_is_refused(client: Client, asked: dict[str, object], text: str) -> None:
    handle = await client.enqueue(Task("t"))
    with pytest.raises(ConfigError, match=text):
        await handle.reschedule(**asked)  # type: ignore[arg-type]
    assert (await handle.info()).state is State.PENDING


async def test_a_task_that_is_not_there_is_not_found(client: Client) -> None:
    handle = client.task("q/none")
    with pytest.raises(TaskNotFound):
        await handle.run_now()
    with pytest.raises(TaskNotFound):
        await handle.reschedule(delay=1)


async def test_a_task_in_another_state_is_refused_in_words(client: Client) -> None:
    needed = await client.enqueue(Task("t", delay=60))
    blocked = await client.enqueue(Task("t", depends_on=needed))
    with pytest.raises(
        TaskStateError, match=r"is blocked, and must be scheduled, retry or pending"
    ):
        await blocked.run_now()
    grouped = await client.enqueue(Task("t", group="g"))
    with pytest.raises(TaskStateError, match=r"is grouped.*its group decides"):
        await grouped.reschedule(delay=5)
    await needed.cancel()
    with pytest.raises(TaskStateError, match=r"is cancelled.*it has ended; retry") as refused:
        await needed.run_now()
    assert (refused.value.task_id, refused.value.state) == (needed.id, "cancelled")
    assert State(refused.value.state) in TERMINAL
