"""Changing a waiting task, and enqueueing one again, by its handle."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

import rediq_trio as rediq
from rediq_trio import (
    Client,
    ConfigError,
    DuplicateTask,
    MemoryStore,
    PayloadError,
    PayloadTooLarge,
    State,
    Task,
    TaskChanged,
    TaskNotFound,
    TaskStateError,
    Unique,
)
from rediq_trio.spec.lifecycle import TERMINAL
from rediq_trio.spec.messages import Failed, Updated
from rediq_trio.spec.records import GroupRule
from rediq_trio.spec.stored_format import UNSET_RETENTION_MS
from rediq_trio.values.unset import UnsetFloat
from rediq_trio.wire.envelope import open_envelope, unpack_value
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


async def test_payload_and_options_are_changed_in_place(client: Client) -> None:
    handle = await client.enqueue(
        Task("t", {"a": 1}, delay=60, metadata={"m": "x"}, timeout=5, max_retry=3)
    )
    before = await handle.info()
    assert await handle.update(payload={"a": 2}, priority=7, expires=600) is State.SCHEDULED
    [record] = await client._store.get("default", [handle.id.split("/")[1]])
    assert record is not None
    assert isinstance(record.envelope, bytes)
    envelope = open_envelope(record.envelope)
    assert unpack_value(envelope.payload) == {"a": 2}
    assert (envelope.timeout, envelope.max_retry_is_set, dict(envelope.metadata)) == (
        5.0, True, {"m": "x"}
    )  # fmt: skip
    after = await handle.info()
    assert (after.id, after.priority, after.run_at) == (before.id, 7, before.run_at)
    assert record.expires_ms > record.created_ms
    await handle.update(expires=None, max_retry=0, timeout=math.inf, backoff=rediq.Fixed(1))
    assert (await handle.info()).max_retry == 0


async def test_what_the_producer_left_unset_stays_so(client: Client) -> None:
    handle = await client.enqueue(Task("t"))
    await handle.update(priority=1)
    [record] = await client._store.get("default", [handle.id.split("/")[1]])
    assert record is not None
    assert isinstance(record.envelope, bytes)
    envelope = open_envelope(record.envelope)
    assert type(envelope.timeout) is UnsetFloat
    assert not envelope.max_retry_is_set
    assert record.retention_ms == UNSET_RETENTION_MS


async def test_a_deadline_bounds_a_new_expiry_and_a_removed_one_stays_removed(
    client: Client,
) -> None:
    handle = await client.enqueue(Task("t", deadline=100))
    ends = (await handle.info()).deadline
    await handle.update(expires=600)
    await handle.update(expires=None)
    assert (await handle.info()).deadline == ends
    await handle.cancel()
    await handle.retry()
    await handle.update(expires=600)
    assert (await handle.info()).deadline is None


async def test_the_second_of_two_people_learns_what_was_changed(client: Client) -> None:
    handle = await client.enqueue(Task("t", {"a": 1}))
    seen = await handle.info()
    await handle.update(seen=seen, payload={"a": 2}, priority=3)
    with pytest.raises(TaskChanged, match="payload, priority; read it again") as told:
        await handle.update(seen=seen, priority=4)
    assert told.value.changed == ("payload", "priority")
    assert (await handle.info()).priority == 3
    await handle.update(seen=await handle.info(), priority=4)
    assert (await handle.info()).priority == 4


class Meddling(MemoryStore):
    """A store in which someone else changes the task between a read and a change."""

    meddled = False

    async def update(self, queue: str, /, task_id: str, **options: Any) -> Updated:
        if not self.meddled:
            self.meddled = True
            seen = options["seen"]
            new = attrs.evolve(seen, max_crashes=9)
            await super().update(queue, task_id, seen=seen, new=new)
        return await super().update(queue, task_id, **options)


async def test_a_change_between_the_read_and_the_write_is_found() -> None:
    async with rediq.connect(Meddling()) as client:
        handle = await client.enqueue(Task("t"))
        with pytest.raises(TaskChanged, match="was changed since it was read: max_crashes"):
            await handle.update(priority=4)
        assert await handle.update(priority=4) is State.PENDING


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, r"update\(\): pass what is to be changed"),
        ({"priority": 101}, r"priority=101: must be a whole number from 0 to 100"),
        ({"unique": None}, r"unique cannot be changed; enqueue_again\(\) makes a new task"),
        ({"delay": 5}, r"delay cannot be changed; reschedule\(delay=...\)"),
        ({"queue": "o"}, r"queue cannot be changed; requeue\(queue=...\) moves the task"),
        ({"priorty": 5}, r"no option priorty; did you mean priority\?"),
        ({"metadata": {"a": 1}}, r"metadata=1: must be str to str"),
        ({"expires": -1}, r"expires=-1: must be a number of seconds above 0"),
    ],
)
async def test_a_bad_change_is_refused(client: Client, changes: dict[str, Any], text: str) -> None:
    handle = await client.enqueue(Task("t"))
    before = await handle.info()
    with pytest.raises(ConfigError, match=text):
        await handle.update(**changes)
    assert await handle.info() == before


async def test_bad_payloads_and_batches_are_refused() -> None:
    async with rediq.connect("memory://", max_payload=50) as client:
        handle = await client.enqueue(Task("t"))
        with pytest.raises(PayloadTooLarge):
            await handle.update(payload={"a": "x" * 60})
        with pytest.raises(PayloadError):
            await handle.enqueue_again(payload={"a": 1j})
        await client.enqueue(Task("t", group="g"))
        await client._store.set_group_rules("default", rules={"g": GroupRule(1)})
        await client._store.batch("default", ids=["b"])
        batch = client.task("default/b")
        for call in (batch.enqueue_again(), batch.update(priority=1)):
            with pytest.raises(ConfigError, match=r"of a single task: this is a batch"):
                await call


async def test_a_task_keeps_at_least_the_attempts_that_it_used(client: Client) -> None:
    handle = await client.enqueue(Task("t"))
    claimed = await client._store.claim(
        "default", limit=1, lease_ms=60_000, worker="w", nonce=b"12345678"
    )
    with pytest.raises(TaskStateError, match=r"is active.*a worker runs it"):
        await handle.update(priority=1)
    await client._store.settle("default", [Failed(claimed.leases[0].fence, "boom", 10_000)])
    with pytest.raises(ConfigError, match=r"max_retry=0: must be at least 1"):
        await handle.update(max_retry=0)
    assert await handle.update(max_retry=1) is State.RETRY


async def test_a_task_is_enqueued_again_whatever_became_of_it(client: Client) -> None:
    first = await client.enqueue(
        Task("t", {"a": 1}, priority=7, metadata={"m": "x"}, limit_key="k", delay=60)
    )
    second = await first.enqueue_again()
    await first.cancel()
    third = await first.enqueue_again(payload={"a": 2}, delay=5)
    infos = [await each.info() for each in (first, second, third)]
    assert len({info.id for info in infos}) == 3
    assert [info.state for info in infos] == [State.CANCELLED, State.PENDING, State.SCHEDULED]
    assert {info.priority for info in infos} == {7}
    assert {info.metadata["m"] for info in infos} == {"x"}
    records = (await client._store.dump("default")).records.values()
    assert [record.limit_key for record in records] == ["k", "k", "k"]
    await first.delete()
    with pytest.raises(TaskNotFound):
        await first.enqueue_again()


async def test_a_task_that_is_enqueued_again_waits_for_no_other(client: Client) -> None:
    needed = await client.enqueue(Task("t", delay=60))
    blocked = await client.enqueue(Task("t", depends_on=needed))
    again = await blocked.enqueue_again()
    info = await again.info()
    assert (info.state, info.depends_on) == (State.PENDING, ())


async def test_ends_count_from_the_new_enqueue(client: Client) -> None:
    first = await client.enqueue(Task("t", deadline=100, expires=50))
    again = await first.enqueue_again()
    info = await again.info()
    assert info.deadline is not None
    assert (info.deadline - info.created_at).total_seconds() == 100
    records = (await client._store.dump("default")).records.values()
    assert [record.expires_ms - record.created_ms for record in records] == [50_000, 50_000]


async def test_a_unique_key_is_kept(client: Client) -> None:
    first = await client.enqueue(Task("t", unique=Unique("k")))
    with pytest.raises(DuplicateTask) as held:
        await first.enqueue_again()
    assert held.value.existing_id == first.id
    await first.cancel()
    second = await first.enqueue_again()
    with pytest.raises(DuplicateTask):
        await client.enqueue(Task("t", unique=Unique("k")))
    found = await first.enqueue_again(unique=Unique("k", on_conflict="return"))
    assert (found.id, found.created) == (second.id, False)
    assert (await first.enqueue_again(unique=None)).created
    with pytest.raises(ConfigError, match=r"unique='k': must be passed with another queue"):
        await first.enqueue_again(queue="other")
    there = await first.enqueue_again(queue="other", unique=None, id="own")
    assert there.id == "other/own"
    with pytest.raises(DuplicateTask):
        await first.enqueue_again(queue="other", unique=None, id="own")


async def test_a_window_by_time_has_to_be_passed(client: Client) -> None:
    first = await client.enqueue(Task("t", unique=Unique("k", until="expired", ttl=60)))
    with pytest.raises(ConfigError, match=r"how long its window was is not stored"):
        await first.enqueue_again()


async def test_a_full_queue_takes_no_task_again(client: Client) -> None:
    first = await client.enqueue(Task("t"))
    await client.queue("default").limit(max_pending=1)
    with pytest.raises(rediq.QueueFull):
        await first.enqueue_again()
    with pytest.raises(ConfigError, match=r"enqueue_again\(\): depends_on cannot be changed"):
        await first.enqueue_again(depends_on="x")  # type: ignore[call-arg]


async def test_a_task_stays_in_its_partition_when_it_is_enqueued_again(client: Client) -> None:
    await client.queue("default").partition(2)
    first = await client.enqueue(Task("t", unique=Unique("k")))
    await first.cancel()
    again = await first.enqueue_again()
    assert again.id.split("/")[0] == first.id.split("/")[0]
    assert "~" in (await again.enqueue_again(unique=None, id="own")).id
